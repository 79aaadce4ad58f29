//! Owns the command line of `cargo xtask bench-gate`.
//! Measures nothing.

use std::path::PathBuf;

use crate::compare::parse_size;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where the whole processes work.
    pub(crate) directory: PathBuf,
    /// Bytes that they seal and restore.
    pub(crate) size: u64,
    pub(crate) action: Action,
}

/// What is done with the ratios.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// They are compared with those in the file.
    Compare,
    /// They are written into it.
    Accept,
    /// Those of files are judged beside this earlier build of the program.
    Against(PathBuf),
}

impl Options {
    /// # Errors
    /// What is not understood, and the usage.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Options, String> {
        let mut options = Options { directory: DIRECTORY.into(), size: SIZE, action: Action::Compare };
        let mut words = arguments.iter().copied();
        while let Some(word) = words.next() {
            let unknown = || format!("{word} is not known here, or needs a value\n{USAGE}");
            let mut value = || words.next().ok_or_else(unknown);
            match word {
                "--accept" if options.action == Action::Compare => options.action = Action::Accept,
                "--against" if options.action == Action::Compare => {
                    options.action = Action::Against(value()?.into());
                }
                "--directory" => options.directory = value()?.into(),
                "--size" => options.size = parse_size(value()?)?,
                _ => return Err(unknown()),
            }
        }
        Ok(options)
    }
}

const USAGE: &str =
    "use: cargo xtask bench-gate [--directory DIR] [--size SIZE] [--accept | --against PROGRAM]";
const DIRECTORY: &str = "/dev/shm";
const SIZE: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_compares_on_tmpfs_unless_told_otherwise() {
        let expected = Options { directory: "/dev/shm".into(), size: 1_073_741_824, action: Action::Compare };
        assert_eq!(Options::parse(&[]), Ok(expected));
        let expected = Options { directory: "/tmp".into(), size: 64 << 20, action: Action::Accept };
        assert_eq!(Options::parse(&["--accept", "--size", "64MiB", "--directory", "/tmp"]), Ok(expected));
        let options = Options::parse(&["--against", "old/cofferdam"]).unwrap();
        assert_eq!(options.action, Action::Against("old/cofferdam".into()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for arguments in [
            &["--fast"][..],
            &["--size"],
            &["--size", "1"],
            &["--against"],
            &["--accept", "--against", "old"],
        ] {
            Options::parse(arguments).unwrap_err();
        }
    }
}
