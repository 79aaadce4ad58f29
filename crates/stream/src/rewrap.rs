//! Changing who can open a stream, in place: both key copies are written anew, one after the other.
//! It touches no byte outside the key area.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::Path;

use framing::Preamble;
use framing::limits::PREAMBLE_BLOCK_LEN;
use keys::{Identities, Recipients};
use segment_worker::CancelToken;

use crate::foreign::parse_preamble;
use crate::key_area::{KeyArea, encode_copy};
use crate::{Error, ErrorKind, memory};

/// What a re-wrap did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Rewrapped {
    /// The generation of both key copies now.
    pub generation: u64,
    /// How many slots each of them has: ways to open the stream.
    pub slots: usize,
}

/// Lets `recipients`, and nobody else from now on, open the stream at `path`; any of `identities` has to open it now.
/// Only the key area is written. A crash at any point leaves at least one intact copy, with the old recipients or the
/// new.
///
/// This is not revocation: whoever could open the stream before may have kept its key, or a copy of it.
///
/// # Errors
/// Nothing has changed, unless the error says that writing failed.
pub fn rewrap(
    path: impl AsRef<Path>,
    identities: &Identities,
    recipients: &Recipients,
) -> Result<Rewrapped, Error> {
    let path = path.as_ref();
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let file = opened
        .map_err(|error| Error::io(format!("{} could not be opened for writing", path.display()), error))?;
    lock(&file)?;
    let preamble = read_preamble(&file)?;
    let bytes = preamble.to_bytes();
    let copy_len = preamble.key_copy_len as usize;
    let mut area = memory::zeroed("the key copies", 2 * copy_len)?;
    read_exactly(&file, PREAMBLE_BLOCK_LEN as u64, &mut area)?;
    let key_area = KeyArea::parse(&bytes, &area);
    let unlocked = key_area.unlock(identities, &CancelToken::new())?;
    let generation = key_area.generation(unlocked.taken).checked_add(1);
    let generation =
        generation.ok_or_else(|| Error::new(ErrorKind::Limit, "the stream cannot be re-wrapped again"))?;
    let mut head = [0; 80];
    head.copy_from_slice(&bytes[..80]);
    let slots = recipients.wrap(&unlocked.stream_key, &head).map_err(Error::key)?;
    let copy = encode_copy(&preamble, &unlocked.schedule, &slots, generation).map_err(|error| {
        error.advise("The key area has a fixed size. Give fewer recipients, or seal the snapshot again.")
    })?;
    // The copy that served goes last: until the other one is whole and durable, it is the only way to the key.
    for index in [1 - unlocked.taken, unlocked.taken] {
        write_copy(&file, index, &copy)?;
    }
    Ok(Rewrapped { generation, slots: slots.len() })
}

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
        io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::Truncated, "the sealed stream ends too early").at(position)
        }
        _ => Error::io("the sealed stream could not be read", error).at(position),
    })
}
