//! What stops a call from outside.
//! Knows no call.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::ptr;

use cofferdam::CancelToken;

use crate::call::value_or;
use crate::handle::{self, Object};
use crate::status::cfd_status;

/// Stops calls: each call of a sealer, opener or reader that it was set for, now and later. Any number of threads may use it at once.
pub struct cfd_cancel(pub(crate) CancelToken);

impl Object for cfd_cancel {
    const MAGIC: u64 = 0x6366_645f_6361_6e63;
    const NAME: &'static str = "cancel object";
}

/// A cancel object that has not been used. Yours, until cfd_cancel_free.
#[unsafe(no_mangle)]
pub extern "C" fn cfd_cancel_new() -> *mut cfd_cancel {
    value_or(ptr::null_mut(), || Ok(handle::give(cfd_cancel(CancelToken::new()))))
}

/// Has every call that it was set for end with CFD_CANCELLED, soon, and with its target as it was. A call that has begun to publish is not
/// stopped. It cannot be taken back. From any thread, and from a signal handler. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_cancel_now(cancel: *const cfd_cancel) {
    // SAFETY: the header asks for NULL or a cancel object that has not been freed.
    if let Some(cfd_cancel(token)) = unsafe { handle::borrow_in_handler(cancel) } {
        token.cancel();
    }
}

/// Whether it has been used. From any thread, and from a signal handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_cancel_is_cancelled(cancel: *const cfd_cancel) -> bool {
    // SAFETY: the header asks for NULL or a cancel object that has not been freed.
    unsafe { handle::borrow_in_handler(cancel) }.is_some_and(|cfd_cancel(token)| token.is_cancelled())
}

/// Frees a cancel object; those that it was set for keep what they need of it. NULL is no error. CFD_USAGE: it has been freed (found in builds
/// for debugging).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_cancel_free(cancel: *mut cfd_cancel) -> cfd_status {
    // SAFETY: the header asks for NULL or a cancel object that nobody uses.
    unsafe { handle::free(cancel) }
}
