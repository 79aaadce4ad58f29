//! Seal, restore, open: the library for callers who need no options.
//! Each is one line over the builders.

use std::path::Path;

use contract::IfExists;
use keys::{Identities, Recipients};
use local::MemorySink;
use sources::BytesSource;
use stream::RecipientChange;

use crate::files::{of_ciphertext, refuse_same_file, stage};
use crate::{CancelToken, Error, ErrorKind, Opener, Restored, Rewrapped, Sealed, Sealer};

/// Seals the file at `input` for `recipients` into a new file at `output`.
///
/// # Errors
/// [`ErrorKind::TargetExists`] if `output` exists. After any error there is no `output`.
pub fn seal(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    recipients: Recipients,
) -> Result<Sealed, Error> {
    Sealer::new(recipients).seal_file(input, output)
}

/// Restores the sealed file at `sealed` into a new file at `target`: all of it, or nothing.
///
/// # Errors
/// [`ErrorKind::TargetExists`] if `target` exists. After any error there is no `target`, unless the kind is
/// [`ErrorKind::DurabilityUnknown`].
pub fn restore(
    sealed: impl AsRef<Path>,
    target: impl AsRef<Path>,
    identities: Identities,
) -> Result<Restored, Error> {
    Opener::new(identities).restore_file(sealed, target)
}

/// Copies the sealed file at `sealed` to `output`, all or nothing, with another list of who can open it (see [`rewrap`](crate::rewrap)), and
/// with room for more keys than the original may have. The data is copied as it is, unread: [`Opener::verify`] the copy before the original goes.
///
/// This is not revocation: the original still opens with the old keys, and so does every other copy of it.
///
/// # Errors
/// [`ErrorKind::TargetExists`] if `output` exists and is not to be replaced; [`ErrorKind::Cancelled`] by `cancel`. After any
/// error `output` is as it was, unless the kind is [`ErrorKind::DurabilityUnknown`].
pub fn rewrap_to<'a>(
    sealed: impl AsRef<Path>,
    output: impl AsRef<Path>,
    identities: &Identities,
    change: impl Into<RecipientChange<'a>>,
    if_exists: IfExists,
    cancel: &CancelToken,
) -> Result<Rewrapped, Error> {
    let (sealed, output) = (sealed.as_ref(), output.as_ref());
    refuse_same_file(sealed, output)?;
    let sink = |len| stage(output, &of_ciphertext(if_exists, len), None);
    stream::rewrap_copy(sealed, identities, change.into(), cancel, sink)
}

/// Opens a sealed stream that is in memory.
///
/// # Errors
/// Nothing of the plaintext comes out.
pub fn open(sealed: Vec<u8>, identities: Identities) -> Result<Vec<u8>, Error> {
    let (sink, contents) = MemorySink::new();
    Opener::new(identities).open(BytesSource::new(sealed), sink)?;
    contents.take().ok_or_else(|| Error::new(ErrorKind::Io, "the memory sink published nothing"))
}
