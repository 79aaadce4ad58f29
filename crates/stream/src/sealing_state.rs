//! What lets an interrupted sealing resume: the key of its stream, which stream and which input it is of.
//! It knows no step of a sealing, and looks for nothing beside the output.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use framing::StreamId;
use keys::{StreamKey, Zeroizing};
use sha2::{Digest as _, Sha256};

use crate::plan_dir::PLAN_EXTENSION;
use crate::state_dir::StateDir;
use crate::{Error, ErrorKind, Kept, Remedy};

/// The state of one unfinished sealing. It holds a secret: the stream's key.
///
/// As bytes, little-endian: magic 0:8, length of the path 8:4, nanoseconds of the input's modification 12:4, stream key
/// 16:32, stream id 48:16, SHA-256 of the stream's beginning 64:32, length of the input 96:8, seconds of its
/// modification 104:8, its inode number 112:8, the output's real path, SHA-256 of all of that, which is against damage.
pub(crate) struct SealingState {
    pub(crate) key: StreamKey,
    pub(crate) stream_id: StreamId,
    /// Of what stands before the first segment, with one of its two key copies.
    pub(crate) beginning: [u8; 32],
    pub(crate) input: InputMark,
}

/// What an input shows of itself without being read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InputMark {
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, u32),
    /// A name for the file, not part of what must stay: a copy with the same times serves as well, and device numbers
    /// are not kept over a reboot.
    inode: u64,
}

/// The place of one output's state: a file whose name follows from the output's real path.
#[derive(Debug)]
pub(crate) struct StatePlace {
    directory: StateDir,
    name: String,
    output: PathBuf,
}

impl StatePlace {
    /// In `directory`, for the output whose real path is `output`.
    pub(crate) fn new(directory: StateDir, output: PathBuf) -> StatePlace {
        let digest = Sha256::new().chain_update(LABEL_PATH).chain_update(output.as_os_str().as_bytes());
        let mut name: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        name.push_str(EXTENSION);
        StatePlace { directory, name, output }
    }

    /// The state that is kept. Refuses one that cannot be believed.
    pub(crate) fn find(&self) -> Result<Option<SealingState>, Error> {
        let Some(bytes) = self.directory.read(&self.name)? else { return Ok(None) };
        match SealingState::parse(&bytes) {
            Some((state, output)) if output == self.output => Ok(Some(state)),
            Some(_) => Err(self.refused("it is of another output")),
            None => Err(self.refused("it is damaged, or of another release")),
        }
    }

    /// Keeps `state`, durably, in place of what was kept.
    pub(crate) fn keep(&self, state: &SealingState) -> Result<(), Error> {
        self.directory.write(&self.name, &state.to_bytes(&self.output))
    }

    /// Removes the state of the stream `stream_id`, if that is what is kept.
    pub(crate) fn remove(&self, stream_id: StreamId) -> Result<(), Error> {
        let is_due =
            |bytes: &[u8]| SealingState::parse(bytes).is_some_and(|(state, _)| state.stream_id == stream_id);
        self.directory.remove_if(&self.name, is_due).map(|_| ())
    }

    /// What is kept, whether it can be used or not.
    pub(crate) fn find_any(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        self.directory.read(&self.name)
    }

    /// Removes what is kept if it still is these bytes; whether it was.
    pub(crate) fn remove_same(&self, bytes: &[u8]) -> Result<bool, Error> {
        self.directory.remove_if(&self.name, |found| found == bytes)
    }

    /// The name of the directory, in the same one, for the plan of a tree's sealing.
    pub(crate) fn plan_name(&self) -> String {
        let digest = self.name.strip_suffix(EXTENSION).unwrap_or(&self.name);
        format!("{digest}{PLAN_EXTENSION}")
    }

    /// The directory of plans that is kept.
    pub(crate) fn plan_path(&self) -> Option<PathBuf> {
        let path = self.directory.path_of(&self.plan_name());
        fs::symlink_metadata(&path).is_ok().then_some(path)
    }

    /// Removes the directory of plans, if there is one that nobody has locked, and says where it was.
    pub(crate) fn remove_plan(&self) -> Result<Option<PathBuf>, Error> {
        let Some(path) = self.plan_path() else { return Ok(None) };
        let name = self.plan_name();
        match self.directory.lock_directory(&name)? {
            Some(_locked) => self.directory.remove_directory(&name).map(|()| Some(path)),
            None => {
                Err(Error::new(ErrorKind::TargetLocked, "another process is sealing a tree to this output")
                    .advise("Wait for it to end, or stop it; then discard what it leaves."))
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path_of(&self.name)
    }

    fn refused(&self, why: &str) -> Error {
        let what = format!("{}: the state of a sealing that cannot be used: {why}", self.path().display());
        Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::SealingState))
    }
}

impl SealingState {
    fn to_bytes(&self, output: &Path) -> Zeroizing<Vec<u8>> {
        let path = output.as_os_str().as_bytes();
        // Made long enough at once: a vector that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(PATH_AT + path.len() + DIGEST_LEN));
        bytes.extend(MAGIC);
        bytes.extend((path.len() as u32).to_le_bytes());
        bytes.extend(self.input.modified.1.to_le_bytes());
        bytes.extend(self.key.expose());
        bytes.extend(self.stream_id.0);
        bytes.extend(self.beginning);
        bytes.extend(self.input.len.to_le_bytes());
        bytes.extend(self.input.modified.0.to_le_bytes());
        bytes.extend(self.input.inode.to_le_bytes());
        bytes.extend(path);
        let digest = Sha256::digest(&*bytes);
        bytes.extend(digest);
        bytes
    }

    /// The state, and the path of the output that it is of.
    fn parse(bytes: &[u8]) -> Option<(SealingState, PathBuf)> {
        let (content, digest) = bytes.split_last_chunk::<DIGEST_LEN>()?;
        if content.len() < PATH_AT || content[..8] != *MAGIC || Sha256::digest(content)[..] != *digest {
            return None;
        }
        let path = &content[PATH_AT..];
        if path.len() != u32::from_le_bytes(array(content, 8)) as usize {
            return None;
        }
        let input = InputMark {
            len: u64::from_le_bytes(array(content, 96)),
            modified: (i64::from_le_bytes(array(content, 104)), u32::from_le_bytes(array(content, 12))),
            inode: u64::from_le_bytes(array(content, 112)),
        };
        let state = SealingState {
            key: StreamKey::copy_from(&content[16..48])?,
            stream_id: StreamId(array(content, 48)),
            beginning: array(content, 64),
            input,
        };
        Some((state, OsString::from_vec(path.to_vec()).into()))
    }

    /// Refuses another input, and one that has changed, as far as that shows without reading it.
    pub(crate) fn check_input(&self, found: &InputMark) -> Result<(), Error> {
        let due = &self.input;
        if (due.len, due.modified) == (found.len, found.modified) {
            return Ok(());
        }
        if due.inode != found.inode {
            let what = "the interrupted sealing of this output was of another input";
            return Err(
                Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::OtherInput))
            );
        }
        let what = if due.len == found.len {
            "the input was modified after its sealing was interrupted".to_owned()
        } else {
            format!("the input has {} bytes, and had {} when its sealing began", found.len, due.len)
        };
        Err(Error::new(ErrorKind::SourceChanged, what).remedied(Remedy::Restart(Kept::ChangedInput)))
    }
}

impl InputMark {
    /// Of a regular file.
    pub(crate) fn of(metadata: &Metadata) -> InputMark {
        // The system counts them from 0 to 999,999,999.
        let nanoseconds = metadata.mtime_nsec() as u32;
        InputMark { len: metadata.size(), modified: (metadata.mtime(), nanoseconds), inode: metadata.ino() }
    }

    /// Of the plaintext of `len` bytes that a plan says, whose file `plan` is: whatever becomes of the tree, it says the same.
    pub(crate) fn of_plan(plan: &Metadata, len: u64) -> InputMark {
        InputMark { len, ..InputMark::of(plan) }
    }

    /// Bytes of the input.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

/// The path by which an output's state is found, whatever links and relative parts lead there: the file that a symbolic
/// link leads to, else the name in its directory.
pub(crate) fn real_path(output: &Path) -> io::Result<PathBuf> {
    if fs::symlink_metadata(output).is_ok_and(|found| found.is_symlink()) {
        return fs::canonicalize(output);
    }
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let name = output.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(fs::canonicalize(parent.unwrap_or(Path::new(".")))?.join(name))
}

/// A sealed segment is not of the input's bytes.
pub(crate) fn other_bytes(segment: u64) -> Error {
    let what = "the input has other bytes than those that were sealed before the interruption";
    Error::new(ErrorKind::SourceChanged, what)
        .in_segment(segment)
        .remedied(Remedy::Restart(Kept::ChangedInput))
}

fn array<const LEN: usize>(bytes: &[u8], at: usize) -> [u8; LEN] {
    std::array::from_fn(|i| bytes[at + i])
}

const MAGIC: &[u8; 8] = b"CFDSEAL\x02";
const LABEL_PATH: &[u8] = b"cofferdam/v1/output-path\0";
const EXTENSION: &str = ".sealing";
const PATH_AT: usize = 120;
const DIGEST_LEN: usize = 32;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    const INPUT: InputMark = InputMark { len: 5, modified: (-6, 7), inode: 8 };

    fn state() -> SealingState {
        SealingState {
            key: StreamKey::from_bytes([1; 32]),
            stream_id: StreamId([2; 16]),
            beginning: [3; 32],
            input: INPUT,
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_description_and_are_read_back() {
        let bytes = state().to_bytes(Path::new("/a/b"));
        let mut expected = b"CFDSEAL\x02\x04\0\0\0\x07\0\0\0".to_vec();
        expected.extend([&[1; 32][..], &[2; 16], &[3; 32], b"\x05\0\0\0\0\0\0\0"].concat());
        expected.extend(b"\xfa\xff\xff\xff\xff\xff\xff\xff\x08\0\0\0\0\0\0\0/a/b");
        assert_eq!(bytes[..expected.len()], expected[..]);
        assert_eq!(bytes.len(), expected.len() + 32);
        let (read, output) = SealingState::parse(&bytes).unwrap();
        assert_eq!(output, Path::new("/a/b"));
        assert_eq!((read.stream_id, read.beginning, read.input), (StreamId([2; 16]), [3; 32], INPUT));
        assert_eq!(read.key.expose(), &[1; 32]);
    }

    #[test]
    fn a_state_with_any_bit_changed_cut_or_longer_is_refused() {
        let good = state().to_bytes(Path::new("/a/b"));
        for bit in 0..8 * good.len() {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SealingState::parse(&bytes).is_none(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(SealingState::parse(&good[..len]).is_none(), "{len} bytes");
        }
        assert!(SealingState::parse(&[&good[..], &[0]].concat()).is_none());
    }

    #[test]
    fn a_changed_input_and_another_one_are_told_apart() {
        let kind = |checkpoint| state().check_input(&checkpoint).err().map(|error| error.kind());
        assert_eq!(kind(InputMark { len: 6, ..INPUT }), Some(ErrorKind::SourceChanged));
        assert_eq!(kind(InputMark { modified: (-6, 8), ..INPUT }), Some(ErrorKind::SourceChanged));
        assert_eq!(kind(InputMark { len: 6, inode: 9, ..INPUT }), Some(ErrorKind::JournalMismatch));
        assert_eq!(kind(InputMark { inode: 9, ..INPUT }), None);
        assert_eq!(kind(INPUT), None);
    }
}
