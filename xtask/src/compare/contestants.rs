//! Owns the table of the programs that are compared.
//! Starts nothing and knows no figure; what the words of a command mean is `contestant`'s to say.

use super::contestant::{COFFERDAM, Contestant, Synced, Variant};
use super::fixture::RECIPIENT;
use crate::programs;

/// The contestants that take part: all of them, or those whose names `only` lists; and `cp`, which the others stand
/// beside. What is not installed is left out, with a line on how to install it.
pub(crate) fn present(only: &[String]) -> (Vec<&'static Contestant>, Vec<String>) {
    let wanted =
        |one: &&Contestant| only.is_empty() || one.name == BASE || only.iter().any(|name| name == one.name);
    let (present, missing): (Vec<_>, Vec<_>) = CONTESTANTS
        .iter()
        .filter(wanted)
        .partition(|one| one.is_cofferdam() || programs::is_on_path(one.program));
    let advice = |one: &&Contestant| format!("{} is not installed; to have it: {}", one.program, one.install);
    (present, missing.iter().map(advice).collect())
}

/// The contestant of this name.
pub(crate) fn find(name: &str) -> Option<&'static Contestant> {
    CONTESTANTS.iter().find(|one| one.name == name)
}

/// The names of all.
pub(crate) fn names() -> Vec<&'static str> {
    CONTESTANTS.iter().map(|one| one.name).collect()
}

/// The name of the contestant that all ratios are beside.
pub(crate) const BASE: &str = "cp";

const COREUTILS: &str = "apt-get install coreutils";

const CP: Contestant = Contestant {
    name: BASE,
    program: "cp",
    version: &["cp", "--version"],
    install: COREUTILS,
    environment: &[],
    prepare: &[],
    seal: Variant { name: "cp", command: &["cp", "plain", "sealed"], synced: Synced::No },
    restore: Variant { name: "cp", command: &["cp", "../sealed", "plain"], synced: Synced::No },
};

const BLAKE3: Contestant = Contestant {
    name: "cofferdam",
    program: COFFERDAM,
    version: &[],
    install: "",
    environment: &[],
    prepare: &[],
    seal: Variant {
        name: "cofferdam seal",
        command: &[COFFERDAM, "seal", "--quiet", "-r", RECIPIENT, "-o", "sealed", "plain"],
        synced: Synced::Yes,
    },
    restore: Variant {
        name: "cofferdam restore",
        command: &[COFFERDAM, "restore", "--quiet", "-i", "../key.txt", "../sealed", "plain"],
        synced: Synced::Yes,
    },
};

/// In the order in which they run. `cp` comes again at the end, to show how far the machine has moved meanwhile.
#[rustfmt::skip] // One command on as few lines as it fits.
static CONTESTANTS: [Contestant; 14] = [
    CP,
    Contestant {
        name: "cp-sync",
        version: &[],
        seal: Variant {
            name: "cp, then sync -f",
            command: &["cp", "plain", "sealed", ";", "sync", "-f", "sealed"],
            synced: Synced::Yes,
        },
        restore: Variant {
            name: "cp, then sync -f",
            command: &["cp", "../sealed", "plain", ";", "sync", "-f", "plain"],
            synced: Synced::Yes,
        },
        ..CP
    },
    Contestant {
        name: "cat",
        program: "cat",
        version: &[],
        seal: Variant { name: "cat", command: &["cat", "plain", ">", "sealed"], synced: Synced::No },
        restore: Variant { name: "cat", command: &["cat", "../sealed", ">", "plain"], synced: Synced::No },
        ..CP
    },
    BLAKE3,
    Contestant {
        name: "cofferdam-tags",
        seal: Variant {
            name: "cofferdam seal --digest tags",
            command: &[
                COFFERDAM, "seal", "--quiet", "--digest", "tags", "-r", RECIPIENT, "-o", "sealed", "plain",
            ],
            synced: Synced::Yes,
        },
        restore: Variant { name: "cofferdam restore, digest tags", ..BLAKE3.restore },
        ..BLAKE3
    },
    Contestant {
        name: "openssl",
        program: "openssl",
        version: &["openssl", "version"],
        install: "apt-get install openssl",
        environment: &[],
        prepare: &[],
        seal: Variant {
            name: "openssl enc -aes-256-ctr",
            command: &[
                "openssl", "enc", "-e", "-aes-256-ctr", "-pbkdf2", "-pass", "file:password", "-in", "plain", "-out",
                "sealed",
            ],
            synced: Synced::No,
        },
        restore: Variant {
            name: "openssl enc -d -aes-256-ctr",
            command: &[
                "openssl", "enc", "-d", "-aes-256-ctr", "-pbkdf2", "-pass", "file:../password", "-in", "../sealed",
                "-out", "plain",
            ],
            synced: Synced::No,
        },
    },
    Contestant {
        name: "age",
        program: "age",
        version: &["age", "--version"],
        install: "apt-get install age",
        environment: &[],
        prepare: &[],
        seal: Variant {
            name: "age -r",
            command: &["age", "-r", RECIPIENT, "-o", "sealed", "plain"],
            synced: Synced::No,
        },
        restore: Variant {
            name: "age -d",
            command: &["age", "-d", "-i", "../key.txt", "-o", "plain", "../sealed"],
            synced: Synced::No,
        },
    },
    Contestant {
        name: "rage",
        program: "rage",
        version: &["rage", "--version"],
        install: "cargo install rage",
        environment: &[],
        prepare: &[],
        seal: Variant {
            name: "rage -r",
            command: &["rage", "-r", RECIPIENT, "-o", "sealed", "plain"],
            synced: Synced::No,
        },
        restore: Variant {
            name: "rage -d",
            command: &["rage", "-d", "-i", "../key.txt", "-o", "plain", "../sealed"],
            synced: Synced::No,
        },
    },
    Contestant {
        name: "concryptor",
        program: "concryptor",
        version: &["concryptor", "--version"],
        install: "cargo install concryptor",
        environment: &[],
        prepare: &[],
        seal: Variant {
            name: "concryptor encrypt",
            command: &["concryptor", "encrypt", "-p", "password", "-o", "sealed", "plain"],
            synced: Synced::No,
        },
        restore: Variant {
            name: "concryptor decrypt",
            command: &["concryptor", "decrypt", "-p", "password", "-o", "plain", "../sealed"],
            synced: Synced::No,
        },
    },
    Contestant {
        name: "gpg",
        program: "gpg",
        version: &["gpg", "--version"],
        install: "apt-get install gpg",
        environment: &[],
        prepare: &[],
        // With a count for the key derivation, its own default, gpg starts no agent to find one.
        seal: Variant {
            name: "gpg --symmetric, AES256, no compression",
            command: &[
                "gpg", "--quiet", "--batch", "--no-autostart", "--pinentry-mode", "loopback", "--passphrase-file",
                "password", "--s2k-count", "65011712", "--cipher-algo", "AES256", "--compress-algo", "none",
                "--symmetric", "-o", "sealed", "plain",
            ],
            synced: Synced::No,
        },
        restore: Variant {
            name: "gpg --decrypt",
            command: &[
                "gpg", "--quiet", "--batch", "--no-autostart", "--pinentry-mode", "loopback", "--passphrase-file",
                "../password", "-o", "plain", "--decrypt", "../sealed",
            ],
            synced: Synced::No,
        },
    },
    Contestant {
        name: "rclone",
        program: "rclone",
        version: &["rclone", "version"],
        install: "apt-get install rclone",
        // "password", as `rclone obscure` writes it.
        environment: &[("RCLONE_CRYPT_PASSWORD", "2xh861uMtvT1dJZczG-V8c0kr8rkS3Wv")],
        prepare: &[],
        seal: Variant {
            name: "rclone copyto, to crypt",
            command: &["rclone", "--quiet", "copyto", "plain", ":crypt,remote=sealed:plain"],
            synced: Synced::No,
        },
        restore: Variant {
            name: "rclone copyto, from crypt",
            command: &["rclone", "--quiet", "copyto", ":crypt,remote=../sealed:plain", "plain"],
            synced: Synced::No,
        },
    },
    Contestant {
        name: "restic",
        program: "restic",
        version: &["restic", "version"],
        install: "apt-get install restic",
        environment: &[("RESTIC_PASSWORD", "password")],
        prepare: &["restic", "--no-cache", "--quiet", "--repo", "sealed", "init"],
        seal: Variant {
            name: "restic backup, no compression",
            command: &[
                "restic", "--no-cache", "--quiet", "--repo", "sealed", "--compression", "off", "backup", "plain",
            ],
            synced: Synced::Yes,
        },
        restore: Variant {
            name: "restic restore",
            command: &[
                "restic", "--no-cache", "--quiet", "--repo", "../sealed", "restore", "latest", "--target", ".",
            ],
            synced: Synced::No,
        },
    },
    Contestant {
        name: "borg",
        program: "borg",
        version: &["borg", "--version"],
        install: "apt-get install borgbackup",
        // The repository is where it was, but its path as borg sees it differs between the two folders.
        environment: &[("BORG_PASSPHRASE", "password"), ("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes")],
        prepare: &["borg", "init", "--encryption", "repokey-blake2", "sealed"],
        seal: Variant {
            name: "borg create, repokey-blake2, no compression",
            command: &["borg", "create", "--compression", "none", "sealed::archive", "plain"],
            synced: Synced::Yes,
        },
        restore: Variant {
            name: "borg extract",
            command: &["borg", "extract", "../sealed::archive"],
            synced: Synced::No,
        },
    },
    Contestant {
        name: "cp-again",
        version: &[],
        seal: Variant { name: "cp, again at the end", ..CP.seal },
        restore: Variant { name: "cp, again at the end", ..CP.restore },
        ..CP
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::contestant::Direction;

    #[test]
    fn every_contestant_has_a_name_of_its_own_and_cp_is_the_first() {
        let mut names = names();
        assert_eq!(names[0], BASE);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CONTESTANTS.len());
    }

    #[test]
    fn commands_seal_into_their_own_folder_and_restore_from_the_one_above() {
        for one in &CONTESTANTS {
            let [seal, restore] = Direction::BOTH.map(|direction| one.way(direction).command.join(" "));
            assert!(seal.contains("plain") && seal.contains("sealed"), "{seal}");
            assert!(!seal.contains("../"), "{seal}");
            assert!(restore.contains("../sealed"), "{restore}");
            assert!(one.is_cofferdam() || !one.install.is_empty(), "{}", one.name);
        }
    }

    #[test]
    fn cp_takes_part_whatever_is_asked_for() {
        let (present, missing) = present(&["cofferdam-tags".to_owned()]);
        assert_eq!(present.iter().map(|one| one.name).collect::<Vec<_>>(), ["cp", "cofferdam-tags"]);
        assert_eq!(missing, Vec::<String>::new());
    }
}
