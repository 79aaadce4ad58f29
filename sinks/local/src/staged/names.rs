//! The names beside a target's.
//! Knows no directory, and nothing of what stands there.

use std::ffi::{OsStr, OsString};

use storage::names::{SUFFIX_LEN_MAX, beside};

/// The names of a target's own files. They are fixed by the target's name, so that writers of one target meet there.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Where the bytes are until publish.
    pub(super) staging: OsString,
    /// What the attempt is and how far it got.
    pub(super) journal: OsString,
    /// Where it is tried what the file system can do, and the name that is tried for it.
    pub(super) probes: [OsString; 2],
}

impl Names {
    /// The names beside `target`, in a directory that takes names of up to `len_max` bytes.
    pub(super) fn beside(target: &OsStr, len_max: usize) -> Self {
        let [staging, journal, probe, second] =
            [STAGING, JOURNAL, PROBE, PROBE_AGAIN].map(|suffix| beside(target, suffix, len_max));
        Self { staging, journal, probes: [probe, second] }
    }
}

const STAGING: &[u8] = b".cofferdam-staging";
const JOURNAL: &[u8] = b".cofferdam-journal";
const PROBE: &[u8] = b".cofferdam-probe";
const PROBE_AGAIN: &[u8] = b".cofferdam-probe2";
const _: () = assert!(STAGING.len() <= SUFFIX_LEN_MAX);
const _: () = assert!(STAGING.len() == JOURNAL.len() && PROBE_AGAIN.len() <= STAGING.len());

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use storage::names::NAME_LEN_MAX;

    use super::*;

    fn names(target: &str) -> Names {
        Names::beside(OsStr::new(target), NAME_LEN_MAX)
    }

    fn staging_of(target: &OsStr, len_max: usize) -> OsString {
        Names::beside(target, len_max).staging
    }

    #[test]
    fn a_short_name_is_kept_whole() {
        assert_eq!(names("db.img").staging, ".db.img.cofferdam-staging");
        assert_eq!(names("db.img").journal, ".db.img.cofferdam-journal");
    }

    #[test]
    fn a_long_name_is_cut_to_what_the_file_system_takes() {
        for len in 200..=255 {
            for letter in ["a", "é", "€", "😀"] {
                let target: String = letter.repeat(len / letter.len());
                for max in [64, 143, 255] {
                    let name = staging_of(OsStr::new(&target), max);
                    assert!(name.len() <= max, "{} > {max}", name.len());
                    assert!(name.to_str().is_some_and(|name| name.ends_with(".cofferdam-staging")));
                }
            }
        }
    }

    #[test]
    fn long_names_that_differ_at_either_end_have_different_staging_names() {
        let name = |head: &str, tail: &str| {
            staging_of(OsStr::new(&format!("{head}{}{tail}", "x".repeat(250))), NAME_LEN_MAX)
        };
        assert_ne!(name("1", "1"), name("2", "1"));
        assert_ne!(name("1", "1"), name("1", "2"));
    }

    #[test]
    fn a_name_of_stray_continuation_bytes_is_cut_and_not_refused() {
        let target = OsString::from_vec(vec![0x80; 255]);
        assert!(staging_of(&target, NAME_LEN_MAX).len() <= NAME_LEN_MAX);
    }
}
