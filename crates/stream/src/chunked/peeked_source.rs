//! A source whose first bytes have been looked at, and come again.
//! It opens nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_io::ReadAt;
use foreign::{Detected, Format};
use sources::{Arrival, Source};

use crate::feed::PATIENCE;
use crate::resources::Resources;
use crate::{Error, index};

/// A source, from its first byte on, whoever has looked at that.
pub(crate) struct PeekedSource<S> {
    source: S,
    first: Vec<u8>,
    given: usize,
}

impl<S: Source> PeekedSource<S> {
    /// Looks at the first bytes of `source`: by their place, or in order, and then waits for them.
    ///
    /// # Errors
    /// The source's own; it is cancelled.
    pub(crate) fn peek(
        mut source: S,
        resources: &Resources,
    ) -> Result<(PeekedSource<S>, Option<Detected>), Error> {
        resources.check_cancelled()?;
        if let Some(place) = source.positioned() {
            return Ok((PeekedSource::unread(source), detect_at(&*place)?));
        }
        let mut first = vec![0; Format::FIRST_LEN];
        let mut len = 0;
        while len < first.len() && Format::may_be(&first[..len]) {
            resources.check_cancelled()?;
            let arrival = source.read_within(&mut first[len..], PATIENCE);
            match arrival.map_err(|error| Error::io("the sealed stream could not be read", error))? {
                Arrival::Bytes(count) => len += count,
                Arrival::End => break,
                Arrival::NothingYet => {}
            }
        }
        first.truncate(len);
        let detected = Format::detect(&first);
        Ok((PeekedSource { source, first, given: 0 }, detected))
    }

    /// `source`, at which nobody has looked.
    pub(crate) fn unread(source: S) -> PeekedSource<S> {
        PeekedSource { source, first: Vec::new(), given: 0 }
    }
}

/// Whether `source` detected like a stream of another format. Of one that has no offsets it cannot be said without taking bytes from it:
/// then it is `false`.
///
/// # Errors
/// The source's own.
pub fn is_foreign(source: &impl Source) -> Result<bool, Error> {
    let Some(place) = source.positioned() else { return Ok(false) };
    Ok(detect_at(&*place)?.is_some())
}

fn detect_at(place: &dyn ReadAt) -> Result<Option<Detected>, Error> {
    let mut first = vec![0; place.len().min(Format::FIRST_LEN as u64) as usize];
    index::read(place, 0, &mut first)?;
    Ok(Format::detect(&first))
}

impl<S: Source> Source for PeekedSource<S> {
    fn len(&self) -> Option<u64> {
        self.source.len()
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        self.source.positioned()
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        let left = &self.first[self.given..];
        if left.is_empty() || buffer.is_empty() {
            return self.source.read_within(buffer, patience);
        }
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.given += count;
        Ok(Arrival::Bytes(count))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    /// Brings two bytes at a time, and has no offsets.
    struct Trickle(Vec<u8>);

    impl Source for Trickle {
        fn len(&self) -> Option<u64> {
            None
        }
        fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
            None
        }
        fn read_within(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<Arrival> {
            let count = self.0.len().min(2).min(buffer.len());
            if count == 0 {
                return Ok(Arrival::End);
            }
            buffer[..count].copy_from_slice(&self.0.drain(..count).collect::<Vec<_>>());
            Ok(Arrival::Bytes(count))
        }
    }

    fn all(mut source: impl Source) -> Vec<u8> {
        let (mut bytes, mut piece) = (Vec::new(), [0; 7]);
        loop {
            match source.read_within(&mut piece, PATIENCE).unwrap() {
                Arrival::Bytes(count) => bytes.extend_from_slice(&piece[..count]),
                Arrival::End => return bytes,
                Arrival::NothingYet => {}
            }
        }
    }

    #[test]
    fn what_was_looked_at_comes_again_and_all_that_follows() {
        let age = [&b"age-encryption.org/v1\n"[..], &[7; 5000]].concat();
        for (bytes, detected) in [
            (age, Some(Detected::Binary(Format::Age))),
            (b"\x89CFD and more".to_vec(), None),
            (b"-----BEGIN AGE ENCRYPTED FILE-----".to_vec(), Some(Detected::Armored)),
            (Vec::new(), None),
        ] {
            let (peeked, found) = PeekedSource::peek(Trickle(bytes.clone()), &Resources::default()).unwrap();
            assert_eq!(found, detected);
            assert_eq!(all(peeked), bytes);
        }
    }

    /// A stream of ours through a slow pipe is not held up for what no format begins with.
    #[test]
    fn no_more_is_waited_for_than_it_takes_to_tell() {
        let bytes = [&b"\x89CFD"[..], &[0; 5000]].concat();
        let (peeked, _) = PeekedSource::peek(Trickle(bytes), &Resources::default()).unwrap();
        assert_eq!(peeked.first.len(), 2);
    }
}
