//! Memory whose length somebody else chose, and that may not be available.
//! It knows no budget. Small allocations of fixed length do not come here.

use crate::Error;

/// `len` zeros, for `what`.
pub(crate) fn zeroed(what: &str, len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    grow(what, &mut bytes, len)?;
    Ok(bytes)
}

/// Makes `bytes` so long, with zeros.
pub(crate) fn grow(what: &str, bytes: &mut Vec<u8>, len: usize) -> Result<(), Error> {
    reserve(what, bytes, len.saturating_sub(bytes.len()))?;
    bytes.resize(len, 0);
    Ok(())
}

/// Makes room for `more` of them.
pub(crate) fn reserve<T>(what: &str, items: &mut Vec<T>, more: usize) -> Result<(), Error> {
    items.try_reserve_exact(more).map_err(|_| Error::no_memory(what, more.saturating_mul(size_of::<T>())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// No address space holds this many bytes.
    #[test]
    fn what_is_not_to_be_had_is_an_error_that_says_what_for_and_how_much() {
        let error = zeroed("a directory", usize::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted);
        assert_eq!(error.to_string(), format!("there is no memory for a directory of {} bytes", usize::MAX));
        let mut bytes = vec![1];
        assert!(grow("a window", &mut bytes, usize::MAX).is_err());
        assert_eq!(bytes, [1]);
        grow("a window", &mut bytes, 3).unwrap();
        assert_eq!(bytes, [1, 0, 0]);
    }
}
