//! Mode and time of a sealed file, as the stream's metadata keeps them: the pair `cofferdam.file` (FORMAT F6.5).
//! It knows no file but by what the system says of it.

use std::fs::Metadata as Found;
use std::os::unix::fs::MetadataExt as _;

use storage::FileTime;

use crate::{Error, ErrorKind, Metadata};

/// What a restore to a new name does with the mode and time that the sealed file had, where the stream tells them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Attributes {
    /// Sets them on the target, without set-user-ID, set-group-ID and the sticky bit.
    #[default]
    Restore,
    /// Ignores them: the target gets the mode and time of any new file.
    Ignore,
}

/// What a stream says of the file that was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileAttributes {
    /// The bits of `st_mode` below 0o10000.
    pub(crate) mode: u32,
    pub(crate) modified: FileTime,
}

impl FileAttributes {
    /// The mode that a target gets: without set-id and sticky bits.
    pub(crate) fn permissions(self) -> u32 {
        self.mode & PERMISSIONS
    }
}

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o777;

/// The key under which they are kept.
pub(crate) const KEY: &[u8] = b"cofferdam.file";

/// The pair to keep for a file that the system describes so.
pub(crate) fn pair(found: &Found) -> (Vec<u8>, Vec<u8>) {
    let (mode, seconds, nanos) = (found.mode() & 0o7777, found.mtime(), found.mtime_nsec());
    (KEY.to_vec(), format!("mode={mode:04o} mtime={seconds}.{nanos:09}").into_bytes())
}

/// What `metadata` says of the file that was sealed: nothing, something, or something that cannot be read.
pub(crate) fn find(metadata: &Metadata) -> Option<Result<FileAttributes, Malformed>> {
    let (_, value) = metadata.iter().find(|(key, _)| key == KEY)?;
    Some(parse(value).ok_or(Malformed))
}

/// The value is not one of ours.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// Refuses a caller's key that would be taken for one of this program's.
pub(crate) fn refuse_reserved(metadata: &Metadata) -> Result<(), Error> {
    match metadata.iter().any(|(key, _)| is_reserved(key)) {
        false => Ok(()),
        true => {
            Err(Error::new(ErrorKind::Usage, "metadata keys that begin with `cofferdam.` are this program's")
                .advise("Give the pair another key."))
        }
    }
}

/// Whether a key is this program's to give.
pub(crate) fn is_reserved(key: &[u8]) -> bool {
    key.starts_with(b"cofferdam.")
}

fn parse(value: &[u8]) -> Option<FileAttributes> {
    let text = std::str::from_utf8(value).ok()?;
    let (mode, time) = text.strip_prefix("mode=")?.split_once(" mtime=")?;
    let (seconds, nanos) = time.split_once('.')?;
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mode = mode.len() == 4 && mode.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let is_time = are_digits(seconds.strip_prefix('-').unwrap_or(seconds)) && are_digits(nanos);
    if !is_mode || !is_time || nanos.len() != 9 {
        return None;
    }
    let modified = FileTime { seconds: seconds.parse().ok()?, nanos: nanos.parse().ok()? };
    Some(FileAttributes { mode: u32::from_str_radix(mode, 8).ok()?, modified })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use super::*;
    use contract::Durability;
    use keys::{Identities, Recipients, WrappingKey};
    use local::MemorySink;
    use segment_worker::ReleasePolicy;
    use sources::BytesSource;
    use storage::StageOptions;

    use crate::{
        FormatOptions, Observer, OfSource, OpenOptions, Progress, Resources, SealOptions, Warning,
        restore_into,
    };

    fn read(value: &str) -> Option<Result<FileAttributes, Malformed>> {
        find(&vec![(b"a".to_vec(), b"b".to_vec()), (KEY.to_vec(), value.as_bytes().to_vec())])
    }

    #[test]
    fn what_the_format_describes_is_read() {
        for (value, mode, seconds, nanos) in [
            ("mode=0600 mtime=0.000000000", 0o600, 0, 0),
            ("mode=4755 mtime=1700000000.123456789", 0o4755, 1_700_000_000, 123_456_789),
            // Half a second before 1969-12-31 23:59:59.
            ("mode=0000 mtime=-2.500000000", 0, -2, 500_000_000),
            ("mode=7777 mtime=9223372036854775807.999999999", 0o7777, i64::MAX, 999_999_999),
            ("mode=7777 mtime=-9223372036854775808.000000000", 0o7777, i64::MIN, 0),
        ] {
            let modified = FileTime { seconds, nanos };
            assert_eq!(read(value), Some(Ok(FileAttributes { mode, modified })), "{value}");
        }
        assert_eq!(find(&Metadata::new()), None);
    }

    #[test]
    fn what_is_malformed_is_told_from_what_is_absent() {
        for value in [
            "",
            "mode=0600",
            "mode=600 mtime=0.000000000",
            "mode=00600 mtime=0.000000000",
            "mode=0800 mtime=0.000000000",
            "mode=0600 mtime=0",
            "mode=0600 mtime=0.0",
            "mode=0600 mtime=.000000000",
            "mode=0600 mtime=-.000000000",
            "mode=0600 mtime=+1.000000000",
            "mode=0600 mtime=1.0000000000",
            "mode=0600 mtime=1.00000000x",
            "mode=0600  mtime=1.000000000",
            "mode=0600 mtime=1.000000000 ",
            "mode=0600 mtime=9223372036854775808.000000000",
            "mtime=1.000000000 mode=0600",
            "mode=0600 mtime=1.000000000 owner=0",
        ] {
            assert_eq!(read(value), Some(Err(Malformed)), "{value}");
        }
        assert_eq!(find(&vec![(KEY.to_vec(), vec![0xff])]), Some(Err(Malformed)));
    }

    #[derive(Default)]
    struct Notes(Mutex<Vec<Warning>>);

    impl Observer for Notes {
        fn progress(&self, _: &Progress) {}

        fn warning(&self, warning: &Warning) {
            self.0.lock().unwrap().push(*warning);
        }
    }

    #[test]
    fn a_malformed_note_is_a_warning_and_the_target_is_as_any_new_file() {
        let directory = tempfile::tempdir().unwrap();
        for (value, mode, warnings) in [
            ("mode=0610 mtime=7.000000000", Some(0o610), &[][..]),
            ("mode=rw mtime=7.000000000", None, &[Warning::FileAttributesMalformed]),
        ] {
            let (sink, sealed) = MemorySink::new();
            let metadata = vec![(KEY.to_vec(), value.as_bytes().to_vec())];
            let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
            let (form, resources) = (FormatOptions::default(), Resources::default());
            let sealing = SealOptions { recipients: &recipients, form: &form, resources: &resources };
            sealing.seal_with(Box::new(BytesSource::new(*b"bytes")), metadata, |_| Ok(sink)).unwrap();
            let notes = Arc::new(Notes::default());
            let identities = Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
            let target = directory.path().join("target");
            let opening = OpenOptions {
                identities: Some(&identities),
                release: ReleasePolicy::AtOnce,
                durability: Durability::default(),
                expected: None,
                pin_checks: &[],
                min_sequence: None,
                foreign: crate::Foreign::Refuse,
                resources: &resources,
            };
            let of_source = OfSource {
                attributes: Attributes::Restore,
                observer: Some(notes.clone() as Arc<dyn Observer>),
            };
            let options = StageOptions::default();
            let source = BytesSource::new(sealed.take().unwrap());
            let make_sink = |envelope: &_, _| restore_into(&target, &options, of_source, None, envelope);
            opening.open_with(source, make_sink).unwrap();
            assert_eq!(*notes.0.lock().unwrap(), warnings, "{value}");
            let any = directory.path().join("any");
            fs::write(&any, b"").unwrap();
            let mode_of = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
            assert_eq!(mode_of(&target), mode.unwrap_or(mode_of(&any)), "{value}");
            assert_eq!(fs::metadata(&target).unwrap().mtime() == 7, mode.is_some(), "{value}");
            fs::remove_file(target).unwrap();
        }
    }

    #[test]
    fn keys_that_begin_as_ours_are_refused_and_no_others() {
        let refused = |key: &str| refuse_reserved(&vec![(key.as_bytes().to_vec(), Vec::new())]).is_err();
        assert!(
            ["cofferdam.file", "cofferdam.", "cofferdam.anything"]
                .map(refused)
                .iter()
                .all(|refused| *refused)
        );
        assert!(
            !["cofferdam", "cofferdam-x", "", "Cofferdam.file", "x.cofferdam."].map(refused).contains(&true)
        );
    }
}
