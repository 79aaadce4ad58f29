//! A source over any reader.
//! Knows nothing of what is read, and so cannot bound how long a read waits.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use cofferdam_io::{ReadAt, retried};

use crate::{Arrival, Source};

/// Any [`Read`] as a source.
///
/// A reader gives no way to wait for a limited time: `read_within` returns when the reader does, and the patience
/// is not looked at. A cancellation is then seen only after the read that is running. Where that matters and there
/// is a descriptor, use [`PipeSource`](crate::PipeSource).
#[derive(Debug)]
pub struct ReaderSource<R> {
    reader: R,
}

impl<R: Read + Send> ReaderSource<R> {
    /// A source that reads `reader` to its end.
    pub fn new(reader: R) -> Self {
        Self { reader }
    }
}

impl<R: Read + Send> Source for ReaderSource<R> {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        if buffer.is_empty() {
            return Ok(Arrival::Bytes(0));
        }
        Ok(match retried(|| self.reader.read(buffer))? {
            0 => Arrival::End,
            count => Arrival::Bytes(count),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Script(Vec<io::Result<&'static [u8]>>);

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let bytes = self.0.remove(0)?;
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn interruptions_are_not_seen_and_other_errors_are() {
        let interrupted = || Err(io::ErrorKind::Interrupted.into());
        let broken = Err(io::ErrorKind::ConnectionReset.into());
        let script = Script(vec![interrupted(), interrupted(), Ok(b"ab"), broken]);
        let mut source = ReaderSource::new(script);
        let mut buffer = [0; 4];
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::Bytes(2));
        assert_eq!(&buffer[..2], b"ab");
        let error = source.read_within(&mut buffer, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn the_end_of_the_reader_is_the_end_of_the_source() {
        let mut source = ReaderSource::new(&b"x"[..]);
        let mut buffer = [0; 4];
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::Bytes(1));
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::End);
    }
}
