//! A source of a few bytes, read whole into memory.
//! It knows no content.

use std::io;
use std::time::Duration;

use cofferdam::{Arrival, CancelToken, Source};

/// All bytes of `source`, or the first `len_max` and one of them: whoever asks sees that there are more.
pub(crate) fn read_up_to(
    mut source: impl Source,
    len_max: usize,
    cancel: &CancelToken,
) -> io::Result<Vec<u8>> {
    let mut content = vec![0; len_max + 1];
    let mut len = 0;
    while len < content.len() {
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match source.read_within(&mut content[len..], PATIENCE)? {
            Arrival::Bytes(count) => len += count,
            Arrival::End => break,
            Arrival::NothingYet => {}
        }
    }
    content.truncate(len);
    Ok(content)
}

/// How long one read waits before it is asked whether the caller still does.
const PATIENCE: Duration = Duration::from_millis(100);
