//! Reads what stands before the chunks, as far as the format asks for it.
//! It knows no format, and decides nothing.

use cofferdam_io::ReadAt;
use foreign::{Fault, FaultKind, Format, HEAD_LEN_MAX, HeadStep, Keys, Opened, open_head};
use keys::Identities;
use sources::Source;

use super::window::ChunkWindow;
use crate::resources::Resources;
use crate::{Error, index, memory};

/// Opens the head of the stream at `place`.
pub(crate) fn open_at(
    place: &dyn ReadAt,
    format: Format,
    identities: &Identities,
    resources: &Resources,
) -> Result<Opened, Error> {
    let mut beginning = Vec::new();
    read_until(
        place,
        |bytes, is_all| {
            with_keys(identities, resources, |keys| match open_head(format, bytes, is_all, keys) {
                Ok(HeadStep::More(more)) => Ok(Err(more)),
                Ok(HeadStep::Opened(opened)) => Ok(Ok(*opened)),
                Err(fault) => Err(Error::foreign(fault)),
            })
        },
        &mut beginning,
        resources,
    )
}

/// Reads more and more of the beginning at `place`, until `step` has enough.
pub(crate) fn read_until<T>(
    place: &dyn ReadAt,
    mut step: impl FnMut(&[u8], bool) -> Result<Result<T, usize>, Error>,
    beginning: &mut Vec<u8>,
    resources: &Resources,
) -> Result<T, Error> {
    let mut wanted = FIRST_LEN;
    loop {
        resources.check_cancelled()?;
        let len = place.len().min(wanted as u64) as usize;
        let before = beginning.len();
        if len > before {
            memory::grow("the beginning of the stream", beginning, len)?;
            index::read(place, before as u64, &mut beginning[before..])?;
        }
        match step(beginning, beginning.len() as u64 >= place.len())? {
            Ok(done) => return Ok(done),
            // A format refuses a head of more.
            Err(_) if beginning.len() >= HEAD_LEN_MAX => return Err(Error::foreign(too_long())),
            Err(more) => wanted = more.clamp(beginning.len() + 1, HEAD_LEN_MAX),
        }
    }
}

/// Opens the head that comes first in `window`, and passes it.
pub(crate) fn open_in_order<S: Source>(
    window: &mut ChunkWindow<S>,
    format: Format,
    identities: &Identities,
    resources: &Resources,
) -> Result<Opened, Error> {
    let mut wanted = Format::FIRST_LEN.min(FIRST_LEN);
    loop {
        window.wait(wanted, resources)?;
        let ahead = &window.ahead()[..window.ahead().len().min(HEAD_LEN_MAX)];
        let is_all = window.is_all() && ahead.len() == window.ahead().len();
        let step = with_keys(identities, resources, |keys| {
            open_head(format, ahead, is_all, keys).map_err(Error::foreign)
        })?;
        match step {
            HeadStep::Opened(opened) => {
                window.pass(opened.head_len);
                return Ok(*opened);
            }
            // A format refuses a head of more.
            HeadStep::More(_) if ahead.len() >= HEAD_LEN_MAX => return Err(Error::foreign(too_long())),
            HeadStep::More(more) => wanted = more.max(ahead.len() + 1),
        }
    }
}

fn too_long() -> Fault {
    let what = format!("what stands before the chunks has more than {HEAD_LEN_MAX} bytes");
    Fault::new(FaultKind::Limit, what)
}

fn with_keys<T>(identities: &Identities, resources: &Resources, open: impl FnOnce(&Keys<'_>) -> T) -> T {
    let cancelled = || resources.cancel.is_cancelled();
    open(&Keys { identities, backend: resources.backend, cancelled: &cancelled })
}

/// Enough for most heads.
const FIRST_LEN: usize = 4096;
