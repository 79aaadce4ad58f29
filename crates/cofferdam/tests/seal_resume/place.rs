//! Owns a directory in which sealings are interrupted, what they leave there, and how frames are found in that.
//! Refuses to know what any test expects.

use std::fs::{self, File, FileTimes, Permissions};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use cofferdam::{CancelToken, Error, ErrorKind, Observer, Progress, Sealed, Sealer, Warning};
use tempfile::TempDir;

use crate::reference::{self, Key};
use crate::streams::map::segments;
use crate::streams::{FRAME, KEY, SEGMENT, counted, names_in, scratch, small_sealer, threads};

/// A directory with an input, and room for an output; and a directory for states.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) states: TempDir,
    pub(crate) plaintext: Vec<u8>,
}

/// What an interrupted sealing has left: beside the output, and in the state directory.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) staging: Vec<u8>,
    pub(crate) journal: Vec<u8>,
    pub(crate) state: Vec<u8>,
    pub(crate) state_path: PathBuf,
}

impl Place {
    pub(crate) fn new(plaintext: Vec<u8>) -> Place {
        let place = Place { directory: scratch(), states: scratch(), plaintext };
        fs::write(place.input(), &place.plaintext).unwrap();
        place
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.directory.path().join("input")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.directory.path().join("sealed.cfd")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.directory.path().join(".sealed.cfd.cofferdam-staging")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.directory.path().join(".sealed.cfd.cofferdam-journal")
    }

    /// The one state there is.
    pub(crate) fn state(&self) -> PathBuf {
        let names = names_in(self.states.path());
        assert_eq!(names.len(), 1, "{names:?}");
        self.states.path().join(&names[0])
    }

    pub(crate) fn modified(&self) -> SystemTime {
        fs::metadata(self.input()).unwrap().modified().unwrap()
    }

    /// Gives the input this time of modification.
    pub(crate) fn touch(&self, time: SystemTime) {
        let input = File::options().write(true).open(self.input()).unwrap();
        input.set_times(FileTimes::new().set_modified(time)).unwrap();
    }

    pub(crate) fn seal(&self, sealer: &Sealer) -> Result<Sealed, Error> {
        sealer.seal_file_resumable(self.input(), self.output(), self.states.path())
    }

    /// Seals until so many segments have committed, in this and earlier attempts.
    pub(crate) fn seal_until(&self, sealer: Sealer, segments: u64) -> Left {
        let token = CancelToken::new();
        let observer = Arc::new(Interruption { segments, token: token.clone() });
        let interrupted = self.seal(&sealer.observer(observer).cancel(token)).unwrap_err();
        assert_eq!(interrupted.kind(), ErrorKind::Cancelled);
        assert!(interrupted.resumable_bytes() >= Some(1), "{interrupted:?}");
        self.left()
    }

    pub(crate) fn left(&self) -> Left {
        let [staging, journal, state] =
            [self.staging(), self.journal(), self.state()].map(|path| fs::read(path).unwrap());
        Left { staging, journal, state, state_path: self.state() }
    }

    pub(crate) fn put(&self, left: &Left) {
        put_private(&self.staging(), &left.staging);
        put_private(&self.journal(), &left.journal);
        self.put_state(left);
    }

    pub(crate) fn put_state(&self, left: &Left) {
        put_private(&left.state_path, &left.state);
    }

    /// Another stream of the same input, whose output is gone again.
    pub(crate) fn seal_to_another_output(&self) -> Vec<u8> {
        let other = self.directory.path().join("other");
        small_sealer().seal_file(self.input(), &other).unwrap();
        let sealed = fs::read(&other).unwrap();
        fs::remove_file(other).unwrap();
        sealed
    }

    /// The sealed stream, which opens with the reference; then it is removed.
    pub(crate) fn take_sealed(&self) -> Vec<u8> {
        let sealed = fs::read(self.output()).unwrap();
        let opened = reference::open(&sealed, &Key::KeyFile(KEY)).unwrap();
        assert!(opened.plaintext == self.plaintext);
        let names: Vec<_> = ["input", "sealed.cfd"].map(PathBuf::from).into();
        assert_eq!(names_in(self.directory.path()), names, "nothing else is left");
        assert_eq!(names_in(self.states.path()), Vec::<PathBuf>::new(), "no state is left");
        fs::remove_file(self.output()).unwrap();
        sealed
    }
}

/// Puts a file there for its owner alone, as what is kept is made.
pub(crate) fn put_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Cancels once so many segments have committed.
pub(crate) struct Interruption {
    pub(crate) segments: u64,
    pub(crate) token: CancelToken,
}

impl Observer for Interruption {
    fn progress(&self, progress: &Progress) {
        if progress.segments >= self.segments {
            self.token.cancel();
        }
    }
}

/// Notes what it is told.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) resumed: Mutex<Option<(u64, u64)>>,
    pub(crate) warnings: Mutex<Vec<Warning>>,
}

impl Observer for Notes {
    fn progress(&self, _: &Progress) {}

    fn resumed(&self, kept: u64, segments: u64) {
        *self.resumed.lock().unwrap() = Some((kept, segments));
    }

    fn warning(&self, warning: &Warning) {
        self.warnings.lock().unwrap().push(*warning);
    }
}

pub(crate) fn salt<'a>(sealed: &'a [u8], segment: &Range<usize>) -> &'a [u8] {
    &sealed[segment.start + 32..segment.start + 48]
}

/// A place with a sealing of five segments and a bit, interrupted after the last, when all of it was there.
pub(crate) fn sealed_whole() -> (Place, Left) {
    let place = Place::new(counted(5 * SEGMENT + FRAME + 7));
    let left = place.seal_until(small_sealer().threads(threads(2)), 6);
    assert_eq!(segments(&left.staging).len(), 6);
    (place, left)
}

/// A frame's place under a key of its own: stream, attempt salt, kind and index.
pub(crate) type Spot = (Vec<u8>, Vec<u8>, u8, u32);

/// All frames that stand in a stream up to where it ends, or to where a hole is.
pub(crate) fn frames(bytes: &[u8]) -> Vec<(Spot, Vec<u8>)> {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut frames = Vec::new();
    let headers = bytes.windows(8).enumerate().filter(|(_, magic)| magic == b"CFDSEG1\0");
    for (header, _) in headers.filter(|(at, _)| at + 48 <= bytes.len()) {
        let salt = bytes[header + 32..header + 48].to_vec();
        let mut at = header + 48;
        while at + 16 <= bytes.len() && matches!(bytes[at], 1..=3) {
            let end = at + 16 + u32_at(at + 12) as usize;
            if end > bytes.len() {
                break;
            }
            let spot = (bytes[32..80].to_vec(), salt.clone(), bytes[at], u32_at(at + 4));
            frames.push((spot, bytes[at..end].to_vec()));
            if bytes[at] == 3 {
                break;
            }
            at = end;
        }
    }
    frames
}

/// How many segments stand in a stream from its front, each up to its TERMINATOR.
pub(crate) fn whole_segments(staging: &[u8]) -> usize {
    frames(staging).iter().filter(|((_, _, kind, _), _)| *kind == 3).count()
}
