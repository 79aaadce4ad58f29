//! Changing who can open a stream: in place, both key copies written anew one after the other, or in a copy with more room.
//! It touches no byte after the key area.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::Path;

use contract::{Checkpoint, StreamingSink};
use framing::limits::{KEY_COPY_HEAD_LEN, KEY_COPY_TAIL_LEN, PREAMBLE_BLOCK_LEN};
use framing::{KeyCopy, Preamble};
use keys::{Identities, Recipients, SealedSlot};
use local::StagedFile;
use segment_worker::CancelToken;
use storage::Seed;

use crate::envelope::ROOM_FOR_SLOTS;
use crate::key_area::{KeyArea, Unlocked, encode_copy, framing_slots};
use crate::not_a_stream::parse_preamble;
use crate::{Error, ErrorKind, Remedy, Warning, memory};

/// Who can open a stream from now on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RecipientChange<'a> {
    /// These, and nobody else.
    Replace(&'a Recipients),
    /// Those who can open it now, but for some, and with others.
    Edit {
        /// Numbers of the list, as [`list_recipients`](crate::list_recipients) gives it.
        remove: &'a [usize],
        /// Those who come in.
        add: Option<&'a Recipients>,
        /// The generation of the list that the numbers are of; another one is refused.
        generation: Option<u64>,
    },
}

impl<'a> From<&'a Recipients> for RecipientChange<'a> {
    fn from(recipients: &'a Recipients) -> RecipientChange<'a> {
        RecipientChange::Replace(recipients)
    }
}

/// What a re-wrap did.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Rewrapped {
    /// The generation of both key copies now.
    pub generation: u64,
    /// How many slots each of them has: ways to open the stream.
    pub slots: usize,
    /// Bytes that are left in each of them, for slots to come.
    pub room_bytes: usize,
    /// What was not as it should be in the key copies that were read: in place they have been written over, both of them.
    pub warnings: Vec<Warning>,
}

/// Changes who can open the stream at `path`: `&Recipients` are those who can from now on, and nobody else; [`RecipientChange::Edit`]
/// leaves the others as they are. Any of `identities` has to open it now. Only the key area is written. A crash at any point leaves at least one intact copy, with the old recipients or the
/// new.
///
/// This is not revocation: whoever could open the stream before may have kept its key, or a copy of it.
///
/// # Errors
/// Nothing has changed, unless the error says that writing failed.
pub fn rewrap<'a>(
    path: impl AsRef<Path>,
    identities: &Identities,
    change: impl Into<RecipientChange<'a>>,
) -> Result<Rewrapped, Error> {
    rewrap_unless(path, identities, change, &CancelToken::new())
}

/// As [`rewrap`], unless it is cancelled before anything is written: keys may come from a service that is slow.
///
/// # Errors
/// As [`rewrap`], and [`ErrorKind::Cancelled`]: nothing has changed.
pub fn rewrap_unless<'a>(
    path: impl AsRef<Path>,
    identities: &Identities,
    change: impl Into<RecipientChange<'a>>,
    cancel: &CancelToken,
) -> Result<Rewrapped, Error> {
    let path = path.as_ref();
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let file = opened
        .map_err(|error| Error::io(format!("{} could not be opened for writing", path.display()), error))?;
    lock(&file)?;
    let Wrapped { preamble, unlocked, generation, slots } = wrap(&file, identities, change.into(), cancel)?;
    let copy = encode_copy(&preamble, &unlocked.schedule, &slots, generation)
        .map_err(|error| error.remedied(Remedy::CopyWithRoom))?;
    // The copy that served goes last: until the other one is whole and durable, it is the only way to the key.
    for index in [1 - unlocked.taken, unlocked.taken] {
        write_copy(&file, index, &copy)?;
    }
    Ok(Rewrapped::new(&preamble, &slots, generation, unlocked.warnings))
}

/// Copies the stream at `path` into the sink that `make_sink` makes for so many bytes, with another list of who can open it, and room for
/// more (FORMAT F12.13). The data is copied as it is, unread, and shares the room of the original
/// where the file system can: verify the copy before the original goes.
///
/// # Errors
/// The sink has been dropped unpublished, unless the kind is [`ErrorKind::DurabilityUnknown`].
pub fn rewrap_copy(
    path: &Path,
    identities: &Identities,
    change: RecipientChange<'_>,
    cancel: &CancelToken,
    make_sink: impl FnOnce(u64) -> Result<StagedFile, Error>,
) -> Result<Rewrapped, Error> {
    let opened = File::open(path);
    let file = opened.map_err(|error| Error::io(format!("{} could not be opened", path.display()), error))?;
    let Wrapped { preamble: old, unlocked, generation, slots } = wrap(&file, identities, change, cancel)?;
    let room = KeyCopy::len_for(&framing_slots(&slots), ROOM_FOR_SLOTS);
    let room = room.map_err(|error| Error::framing(error, PREAMBLE_BLOCK_LEN as u64))?;
    let preamble = Preamble { key_copy_len: room.max(old.key_copy_len), ..old.clone() };
    let copy = encode_copy(&preamble, &unlocked.schedule, &slots, generation)?;
    let metadata =
        file.metadata().map_err(|error| Error::io("the sealed stream could not be examined", error))?;
    let data_len = metadata.len().checked_sub(old.origin()).ok_or_else(|| ends_too_early(metadata.len()))?;
    let len = preamble.origin() + data_len;
    let mut sink = make_sink(len)?;
    let mut head = preamble.to_bytes().to_vec();
    head.resize(PREAMBLE_BLOCK_LEN, 0);
    head.extend([&copy[..], &copy].concat());
    let failed = |error| Error::io("the copy could not be written", error);
    sink.begin_segment(0, 0).map_err(failed)?;
    sink.write_tentative(0, &head).map_err(failed)?;
    copy_data(&file, old.origin(), &mut sink, preamble.origin(), data_len, cancel)?;
    sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN])).map_err(Error::publish)?;
    sink.publish(len).map_err(Error::publish)?;
    Ok(Rewrapped::new(&preamble, &slots, generation, unlocked.warnings))
}

/// Copies `len` bytes from `from` on to `at`: by the file system's own means as long as it has them, else block by block.
fn copy_data(
    file: &File,
    from: u64,
    sink: &mut StagedFile,
    at: u64,
    len: u64,
    cancel: &CancelToken,
) -> Result<(), Error> {
    let mut seed = file.try_clone().ok().map(Seed::from);
    let mut block = Vec::new();
    let mut done = 0;
    while done < len {
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
        let cloned = |seed| sink.clone_tentative(seed, from + done, at + done, len - done).unwrap_or(0);
        let count = seed.as_ref().map_or(0, cloned);
        if count > 0 {
            done += count;
            continue;
        }
        // Whatever kept it from that, a read and a write say what it is.
        seed = None;
        memory::grow("a block to copy", &mut block, COPY_BLOCK_LEN)?;
        let block_len = block.len().min((len - done) as usize);
        read_exactly(file, from + done, &mut block[..block_len])?;
        sink.write_tentative(at + done, &block[..block_len])
            .map_err(|error| Error::io("the copy could not be written", error))?;
        done += block_len as u64;
    }
    Ok(())
}

/// What a stream is to be opened with from now on.
struct Wrapped {
    preamble: Preamble,
    unlocked: Unlocked,
    /// Of the key copies to come.
    generation: u64,
    slots: Vec<SealedSlot>,
}

/// Opens the key area of the stream in `file`, and wraps its key anew.
fn wrap(
    file: &File,
    identities: &Identities,
    change: RecipientChange<'_>,
    cancel: &CancelToken,
) -> Result<Wrapped, Error> {
    let preamble = read_preamble(file)?;
    let bytes = preamble.to_bytes();
    let mut area = memory::zeroed("the key copies", 2 * preamble.key_copy_len as usize)?;
    read_exactly(file, PREAMBLE_BLOCK_LEN as u64, &mut area)?;
    let key_area = KeyArea::parse(&bytes, &area);
    let unlocked = key_area.unlock(identities, cancel)?;
    let found = key_area.generation(unlocked.taken);
    let generation = found.checked_add(1);
    let generation =
        generation.ok_or_else(|| Error::new(ErrorKind::Limit, "the stream cannot be re-wrapped again"))?;
    let mut head = [0; 80];
    head.copy_from_slice(&bytes[..80]);
    let slots = match change {
        RecipientChange::Replace(recipients) => recipients.wrap(&unlocked.stream_key, &head),
        RecipientChange::Edit { generation: Some(listed), .. } if listed != found => {
            return Err(Error::new(
                ErrorKind::SourceChanged,
                "the stream has been re-wrapped since it was listed",
            )
            .advise("List who can open it again: the numbers may be others'."));
        }
        RecipientChange::Edit { remove, add, .. } => {
            let slots = key_area.slots(unlocked.taken)?;
            identities.change_slots(&slots, remove, add, &unlocked.stream_key, &head)
        }
    };
    let slots = slots.map_err(|error| Error::key(error).unless_cancelled(cancel))?;
    Ok(Wrapped { preamble, unlocked, generation, slots })
}

impl Rewrapped {
    fn new(preamble: &Preamble, slots: &[SealedSlot], generation: u64, warnings: Vec<Warning>) -> Rewrapped {
        let used: usize = framing_slots(slots).iter().map(framing::Slot::encoded_len).sum();
        let room_bytes = preamble.key_copy_len as usize - KEY_COPY_HEAD_LEN - KEY_COPY_TAIL_LEN - used;
        Rewrapped { generation, slots: slots.len(), room_bytes, warnings }
    }
}

/// Bytes that are read and written at once.
const COPY_BLOCK_LEN: usize = 1024 * 1024;

/// Of a file that is shorter than a preamble as much as there is: it may be no stream at all.
fn read_preamble(file: &File) -> Result<Preamble, Error> {
    let mut block = Vec::with_capacity(PREAMBLE_BLOCK_LEN);
    let read = file.take(PREAMBLE_BLOCK_LEN as u64).read_to_end(&mut block);
    read.map_err(|error| Error::io("the sealed stream could not be read", error).at(0))?;
    parse_preamble(&block)
}

fn lock(file: &File) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(ErrorKind::TargetLocked, "another process re-wraps this stream")
                .advise("Wait for it to end."))
        }
        Err(TryLockError::Error(error)) => Err(Error::io("the stream could not be locked", error)),
    }
}

/// Writes copy `index`, makes it durable, and reads it back. A failed sync is not tried again: the next one can succeed
/// over lost data.
fn write_copy(file: &File, index: usize, copy: &[u8]) -> Result<(), Error> {
    let position = (PREAMBLE_BLOCK_LEN + index * copy.len()) as u64;
    let failed = |advice| {
        move |error| {
            let what = format!("key copy {index} could not be written, copy {} is whole", 1 - index);
            Error::io(what, error).at(position).advise(advice)
        }
    };
    file.write_all_at(copy, position).map_err(failed(AGAIN))?;
    file.sync_data().map_err(failed(ELSEWHERE))?;
    let mut written = vec![0; copy.len()];
    file.read_exact_at(&mut written, position).map_err(failed(ELSEWHERE))?;
    if written != copy {
        let error = io::Error::other("what was read back is not what was written");
        return Err(failed(ELSEWHERE)(error));
    }
    Ok(())
}

const AGAIN: &str = "An old or a new identity opens the stream. Re-wrap again with both.";
/// A re-wrap that begins now would take the copy that may be lost for good, and write over the one that is whole.
const ELSEWHERE: &str = "An old or a new identity opens the stream. Do not re-wrap it again here: copy the file to \
    another disk, verify the copy, and re-wrap that.";

fn read_exactly(file: &File, position: u64, buffer: &mut [u8]) -> Result<(), Error> {
    file.read_exact_at(buffer, position).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ends_too_early(position),
        _ => Error::io("the sealed stream could not be read", error).at(position),
    })
}

fn ends_too_early(position: u64) -> Error {
    Error::new(ErrorKind::Truncated, "the sealed stream ends too early").at(position)
}
