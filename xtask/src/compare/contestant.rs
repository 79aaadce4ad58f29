//! Owns the programs that are compared: their commands, what they sync, how to install them.
//! Starts nothing but what prints a version, and knows no figure.
//!
//! A contestant seals in a folder with `plain`, `key.txt`, `password` and an empty `home`, and leaves `sealed`, a file
//! or a folder. It restores in an empty folder `restored` below, so that everything is one folder up, and leaves `plain`
//! there. Commands are words with blanks between: `;` begins another command,
//! `{recipient}` and `{cofferdam}` are filled in. `HOME` and `TMPDIR` are `home`; the environment has nothing else but
//! `PATH` and what stands here.

use std::process::Command;

use crate::programs;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Seal,
    Restore,
}

impl Direction {
    pub(crate) const BOTH: [Direction; 2] = [Direction::Seal, Direction::Restore];

    pub(crate) fn name(self) -> &'static str {
        ["seal", "restore"][self as usize]
    }
}

/// One program, or one way of using it. Pairs are for sealing and restoring.
pub(crate) struct Contestant {
    /// How `--only` calls it.
    pub(crate) name: &'static str,
    /// What prints its version; Cofferdam's is the commit that is measured.
    pub(super) version: &'static str,
    pub(super) install: &'static str,
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// What comes before each seal, and is not timed.
    pub(crate) prepare: &'static str,
    /// What the tables call it.
    pub(super) titles: [&'static str; 2],
    pub(super) commands: [&'static str; 2],
    /// Whether the result is on the disk when the program returns, as its system calls show.
    pub(super) synced: [bool; 2],
}

impl Contestant {
    pub(crate) fn title(&self, direction: Direction) -> &'static str {
        self.titles[direction as usize]
    }

    pub(crate) fn command(&self, direction: Direction) -> &'static str {
        self.commands[direction as usize]
    }

    pub(crate) fn is_synced(&self, direction: Direction) -> bool {
        self.synced[direction as usize]
    }

    fn program(&self) -> &'static str {
        self.command(Direction::Seal).split(' ').next().unwrap_or_default()
    }

    pub(super) fn is_installed(&self) -> bool {
        self.program() == COFFERDAM || programs::is_on_path(self.program())
    }

    /// The program and its version, as it says itself.
    pub(crate) fn version(&self) -> Option<String> {
        let (program, argument) = self.version.split_once(' ')?;
        let output = Command::new(program).arg(argument).output().ok()?;
        version_in(&String::from_utf8_lossy(&output.stdout)).map(|version| format!("{program} {version}"))
    }
}

/// The first word that looks like a version: digits and dots, with or without a `v`.
fn version_in(text: &str) -> Option<&str> {
    let mut words = text.split_whitespace().map(|word| word.strip_prefix('v').unwrap_or(word));
    words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
}

/// The contestants that take part: all of them, or those whose names `only` lists. What is not installed is left out,
/// with a line on how to install it.
pub(crate) fn present(only: &[String]) -> (Vec<&'static Contestant>, Vec<String>) {
    let wanted = |one: &&Contestant| only.is_empty() || only.iter().any(|name| name == one.name);
    let (present, missing): (Vec<_>, Vec<_>) =
        CONTESTANTS.iter().filter(wanted).partition(|one| one.is_installed());
    let advice =
        |one: &&Contestant| format!("{} is not installed; to have it: {}", one.program(), one.install);
    (present, missing.iter().map(advice).collect())
}

/// The contestant of this name, `cp` among them.
pub(crate) fn find(name: &str) -> Option<&'static Contestant> {
    [&CP].into_iter().chain(&CONTESTANTS).find(|one| one.name == name)
}

/// The names of all that `cp` stands beside.
pub(crate) fn names() -> Vec<&'static str> {
    CONTESTANTS.iter().map(|one| one.name).collect()
}

/// What the commands call our own program, wherever it lies.
pub(crate) const COFFERDAM: &str = "{cofferdam}";
pub(crate) const RECIPIENT: &str = "{recipient}";

/// What all others stand beside.
pub(crate) static CP: Contestant = COPY;

const COPY: Contestant = Contestant {
    name: "cp",
    version: "cp --version",
    install: "apt-get install coreutils",
    environment: &[],
    prepare: "",
    titles: ["cp", "cp"],
    commands: ["cp plain sealed", "cp ../sealed plain"],
    synced: [false, false],
};

const OURS: Contestant = Contestant {
    name: "cofferdam",
    version: "",
    install: "",
    titles: ["cofferdam seal", "cofferdam restore"],
    commands: [
        "{cofferdam} seal --quiet -r {recipient} -o sealed plain",
        "{cofferdam} restore --quiet -i ../key.txt ../sealed plain",
    ],
    synced: [true, true],
    ..COPY
};

#[rustfmt::skip] // One command on one line.
static CONTESTANTS: [Contestant; 14] = [
    Contestant {
        name: "cp-sync",
        version: "",
        titles: ["cp, then sync -f", "cp, then sync -f"],
        commands: ["cp plain sealed ; sync -f sealed", "cp ../sealed plain ; sync -f plain"],
        synced: [true, true],
        ..COPY
    },
    OURS,
    Contestant {
        name: "cofferdam-tags",
        titles: ["cofferdam seal --digest tags", "cofferdam restore, digest tags"],
        commands: ["{cofferdam} seal --quiet --digest tags -r {recipient} -o sealed plain", OURS.commands[1]],
        ..OURS
    },
    Contestant {
        name: "cofferdam-zstd",
        titles: ["cofferdam seal --zstd", "cofferdam restore, zstd"],
        commands: ["{cofferdam} seal --quiet --zstd -r {recipient} -o sealed plain", OURS.commands[1]],
        ..OURS
    },
    Contestant {
        name: "cofferdam-age",
        titles: ["cofferdam seal --format age", "cofferdam restore, of an age file"],
        commands: ["{cofferdam} seal --quiet --format age -r {recipient} -o sealed plain", OURS.commands[1]],
        ..OURS
    },
    Contestant {
        name: "zstd",
        version: "zstd --version",
        install: "apt-get install zstd",
        titles: ["zstd -T0 -3, no encryption", "zstd -d, no encryption"],
        commands: ["zstd -q -T0 -3 plain -o sealed", "zstd -q -d ../sealed -o plain"],
        ..COPY
    },
    Contestant {
        name: "openssl",
        version: "openssl version",
        install: "apt-get install openssl",
        titles: ["openssl enc -aes-256-ctr", "openssl enc -d -aes-256-ctr"],
        commands: [
            "openssl enc -e -aes-256-ctr -pbkdf2 -pass file:password -in plain -out sealed",
            "openssl enc -d -aes-256-ctr -pbkdf2 -pass file:../password -in ../sealed -out plain",
        ],
        ..COPY
    },
    Contestant {
        name: "age",
        version: "age --version",
        install: "apt-get install age",
        titles: ["age -r", "age -d"],
        commands: ["age -r {recipient} -o sealed plain", "age -d -i ../key.txt -o plain ../sealed"],
        ..COPY
    },
    Contestant {
        name: "rage",
        version: "rage --version",
        install: "cargo install rage",
        titles: ["rage -r", "rage -d"],
        commands: ["rage -r {recipient} -o sealed plain", "rage -d -i ../key.txt -o plain ../sealed"],
        ..COPY
    },
    Contestant {
        name: "concryptor",
        version: "concryptor --version",
        install: "cargo install concryptor",
        titles: ["concryptor encrypt", "concryptor decrypt"],
        commands: ["concryptor encrypt -p password -o sealed plain", "concryptor decrypt -p password -o plain ../sealed"],
        ..COPY
    },
    Contestant {
        name: "gpg",
        version: "gpg --version",
        install: "apt-get install gpg",
        titles: ["gpg --symmetric, AES256, no compression", "gpg --decrypt"],
        // With a count for the key derivation, its own default, gpg starts no agent to find one.
        commands: [
            "gpg --quiet --batch --no-autostart --pinentry-mode loopback --passphrase-file password --s2k-count 65011712 \
             --cipher-algo AES256 --compress-algo none --symmetric -o sealed plain",
            "gpg --quiet --batch --no-autostart --pinentry-mode loopback --passphrase-file ../password -o plain --decrypt ../sealed",
        ],
        ..COPY
    },
    Contestant {
        name: "rclone",
        version: "rclone version",
        install: "apt-get install rclone",
        // "password", as `rclone obscure` writes it.
        environment: &[("RCLONE_CRYPT_PASSWORD", "2xh861uMtvT1dJZczG-V8c0kr8rkS3Wv")],
        titles: ["rclone copyto, to crypt", "rclone copyto, from crypt"],
        commands: [
            "rclone --quiet copyto plain :crypt,remote=sealed:plain",
            "rclone --quiet copyto :crypt,remote=../sealed:plain plain",
        ],
        ..COPY
    },
    Contestant {
        name: "restic",
        version: "restic version",
        install: "apt-get install restic",
        environment: &[("RESTIC_PASSWORD", "password")],
        prepare: "restic --no-cache --quiet --repo sealed init",
        titles: ["restic backup, no compression", "restic restore"],
        commands: [
            "restic --no-cache --quiet --repo sealed --compression off backup plain",
            "restic --no-cache --quiet --repo ../sealed restore latest --target .",
        ],
        synced: [true, false],
    },
    Contestant {
        name: "borg",
        version: "borg --version",
        install: "apt-get install borgbackup",
        // The repository is where it was, but its path as borg sees it differs between the two folders.
        environment: &[("BORG_PASSPHRASE", "password"), ("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes")],
        prepare: "borg init --encryption repokey-blake2 sealed",
        titles: ["borg create, repokey-blake2, no compression", "borg extract"],
        commands: ["borg create --compression none sealed::archive plain", "borg extract ../sealed::archive"],
        synced: [true, false],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_the_programs_print() {
        for (printed, version) in [
            ("cp (GNU coreutils) 9.1\nCopyright", Some("9.1")),
            ("v1.1.1\n", Some("1.1.1")),
            ("rclone v1.60.1-DEV\n- os/version", Some("1.60.1-DEV")),
            ("OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)", Some("3.0.19")),
            ("no such option", None),
        ] {
            assert_eq!(version_in(printed), version, "{printed}");
        }
    }

    #[test]
    fn every_contestant_has_a_name_of_its_own() {
        let mut names = [names(), vec![CP.name]].concat();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CONTESTANTS.len() + 1);
    }

    #[test]
    fn commands_seal_into_their_own_folder_and_restore_from_the_one_above() {
        for one in &CONTESTANTS {
            let [seal, restore] = one.commands;
            assert!(seal.contains("plain") && seal.contains("sealed"), "{seal}");
            assert!(!seal.contains("../"), "{seal}");
            assert!(restore.contains("../sealed"), "{restore}");
            assert!(one.program() == COFFERDAM || !one.install.is_empty(), "{}", one.name);
        }
    }

    #[test]
    fn those_take_part_that_are_asked_for() {
        let (present, missing) = present(&["cofferdam-tags".to_owned()]);
        assert_eq!(present.iter().map(|one| one.name).collect::<Vec<_>>(), ["cofferdam-tags"]);
        assert_eq!(missing, Vec::<String>::new());
    }
}
