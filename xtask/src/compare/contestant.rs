//! Owns the description of one program that is compared: its commands, what it syncs, how to install it.
//! Knows no figure, and none of the programs: `contestants` has the table.
//!
//! A contestant seals in a folder with `plain`, `key.txt`, `password` and an empty `home`, and leaves `sealed`, a file
//! or a folder. It restores in an empty folder `restored` below, so that everything is one folder up, and leaves `plain`
//! there. Commands are words: `;` begins another command, `>` names the file for standard output, `{recipient}` and
//! `{cofferdam}` are filled in. `HOME` and `TMPDIR` are `home`; the environment has nothing else but `PATH` and what
//! stands here.

use std::process::Command;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Seal,
    Restore,
}

impl Direction {
    pub(crate) const BOTH: [Direction; 2] = [Direction::Seal, Direction::Restore];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Direction::Seal => "seal",
            Direction::Restore => "restore",
        }
    }
}

/// One program, or one way of using it.
pub(crate) struct Contestant {
    /// How `--only` calls it.
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    /// What prints its version.
    pub(crate) version: &'static [&'static str],
    /// What installs it.
    pub(crate) install: &'static str,
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// What comes before each seal, and is not timed.
    pub(crate) prepare: &'static [&'static str],
    pub(crate) seal: Variant,
    pub(crate) restore: Variant,
}

/// One direction of a contestant.
pub(crate) struct Variant {
    /// What the tables call it.
    pub(crate) name: &'static str,
    pub(crate) command: &'static [&'static str],
    /// Whether its result is on the disk when it returns, as its system calls show.
    pub(crate) synced: Synced,
}

/// Whether a result has been synced to the disk when the program returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    Yes,
    No,
}

impl Synced {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Synced::Yes => "yes",
            Synced::No => "no",
        }
    }
}

impl Contestant {
    pub(crate) fn way(&self, direction: Direction) -> &Variant {
        match direction {
            Direction::Seal => &self.seal,
            Direction::Restore => &self.restore,
        }
    }

    pub(crate) fn is_cofferdam(&self) -> bool {
        self.program == COFFERDAM
    }

    /// The program and its version, as it says itself; Cofferdam's is the commit that is measured.
    pub(crate) fn version(&self) -> Option<String> {
        let [program, arguments @ ..] = self.version else { return None };
        let output = Command::new(program).args(arguments).output().ok()?;
        version_in(&String::from_utf8_lossy(&output.stdout))
            .map(|version| format!("{} {version}", self.program))
    }
}

/// The first word that looks like a version: digits and dots, with or without a `v`.
fn version_in(text: &str) -> Option<&str> {
    let words = text.split_whitespace().map(|word| word.strip_prefix('v').unwrap_or(word));
    words.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
}

/// What the commands call our own program, wherever it lies.
pub(crate) const COFFERDAM: &str = "{cofferdam}";

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
}
