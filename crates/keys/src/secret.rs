//! Owns secret bytes: one heap place for their whole life, zeroed when dropped.
//! Refuses to know what the bytes are for.

use std::fmt;
use std::ops::{Deref, DerefMut};

use zeroize::{Zeroize, Zeroizing};

/// `N` secret bytes on the heap.
///
/// The box is the point: moving the value moves a pointer, so no copy of the bytes stays behind on a stack
/// that nobody zeroes. There is no `Clone`, and `Debug` says how many they are.
pub(crate) struct Secret<const N: usize>(Box<Zeroizing<[u8; N]>>);

impl<const N: usize> Secret<N> {
    pub(crate) fn zeroed() -> Self {
        Self(Box::new(Zeroizing::new([0; N])))
    }

    pub(crate) fn copy_of(bytes: &[u8; N]) -> Self {
        let mut secret = Self::zeroed();
        secret.copy_from_slice(bytes);
        secret
    }

    /// Takes the bytes over and zeroes the argument; what the caller copied from is the caller's.
    pub(crate) fn taking(mut bytes: [u8; N]) -> Self {
        let secret = Self::copy_of(&bytes);
        bytes.zeroize();
        secret
    }
}

impl<const N: usize> Deref for Secret<N> {
    type Target = [u8; N];

    fn deref(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> DerefMut for Secret<N> {
    fn deref_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} secret bytes")
    }
}
