//! New identities.
//! Knows nothing of who uses them.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::ffi::c_char;

use cofferdam::{Error, Identity};

use crate::arguments::bytes_mut;
use crate::call::{call, usage};
use crate::error::cfd_error;
use crate::status::cfd_status;

/// Room for a recipient of an identity that is made here, in bytes, with its NUL.
pub const CFD_RECIPIENT_LEN: usize = 128;
/// Room for an identity that is made here, in bytes, with its NUL.
pub const CFD_IDENTITY_LEN: usize = 256;

/// Draws a new identity, `AGE-SECRET-KEY-1…`, into `identity`, and its recipient, `age1…`, into `recipient`, both with a NUL. The identity is
/// secret: it opens what is sealed for the recipient. Errors: CFD_USAGE where there is too little room; CFD_IO without random numbers.
/// From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_identity_generate(
    identity: *mut c_char,
    identity_capacity: usize,
    recipient: *mut c_char,
    recipient_capacity: usize,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for this room.
        let identity_room = unsafe { bytes_mut(identity.cast(), identity_capacity, "the identity")? };
        // SAFETY: the same.
        let recipient_room = unsafe { bytes_mut(recipient.cast(), recipient_capacity, "the recipient")? };
        let made = Identity::try_generate()?;
        let text = made.file_text("")?;
        let secret = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
        copy(secret, identity_room, "the identity")?;
        copy(&made.recipient(), recipient_room, "the recipient")
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

fn copy(text: &str, room: &mut [u8], name: &str) -> Result<(), Error> {
    let (len, bytes) = (text.len(), text.as_bytes());
    if room.len() <= len {
        return Err(usage(format!("{name} has {} bytes, and there is room for {}", len + 1, room.len())));
    }
    room[..len].copy_from_slice(bytes);
    room[len] = 0;
    Ok(())
}
