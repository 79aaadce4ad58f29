//! One call from C: its outcome becomes a status and an error object, and a panic ends here.
//! The one place where panics are caught.
#![allow(unsafe_code, reason = "an error is written through the caller's pointer")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use cofferdam::{Error, ErrorKind};

use crate::error::cfd_error;
use crate::handle;
use crate::status::cfd_status;

/// Runs `work`. `error` is NULL, or gets NULL or what went wrong.
///
/// Whatever `work` holds of an object is dropped as the panic passes, which has that object refused from then on (`handle::Borrowed`).
pub(crate) unsafe fn call(
    error: *mut *mut cfd_error,
    work: impl FnOnce() -> Result<(), Error>,
) -> cfd_status {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let failed = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(failed)) => Some(cfd_error::of(&failed)),
        Err(panic) => Some(cfd_error::of_panic(words_of(&*panic))),
    };
    let status = failed.as_ref().map_or(cfd_status::CFD_OK, cfd_error::status);
    if !error.is_null() {
        // SAFETY: the caller's pointer is NULL, which it is not here, or leads to room for a pointer.
        unsafe { error.write(failed.map_or(ptr::null_mut(), handle::give)) };
    }
    status
}

/// As [`call`], of a function that has no error object.
pub(crate) fn call_briefly(work: impl FnOnce() -> Result<(), Error>) -> cfd_status {
    // SAFETY: NULL is what `call` asks for.
    unsafe { call(ptr::null_mut(), work) }
}

/// As [`call_briefly`], of a function that gives something else than a status: `otherwise` where it fails.
pub(crate) fn value_or<T>(otherwise: T, work: impl FnOnce() -> Result<T, Error>) -> T {
    catch_unwind(AssertUnwindSafe(work)).ok().and_then(Result::ok).unwrap_or(otherwise)
}

pub(crate) fn usage(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, what)
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<&str>().copied();
    words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words were left")
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;
    use crate::handle::Object;
    use crate::{cfd_error_free, cfd_error_message, cfd_error_status};

    struct Anything;

    impl Object for Anything {
        const MAGIC: u64 = 1;
        const NAME: &'static str = "object";
    }

    #[test]
    fn a_panic_is_an_error_and_the_objects_it_passes_are_refused_from_then_on() {
        let object = handle::give(Anything);
        let other = handle::give(Anything);
        let mut error = ptr::null_mut();
        let borrow = || {
            // SAFETY: `give` has made it, and it is freed below.
            unsafe { handle::borrow(object) }
        };
        let panics = || {
            let _borrowed = borrow()?;
            panic!("a bug");
        };
        // SAFETY: there is room for the error; the objects are freed once, and the error is.
        unsafe {
            assert_eq!(call(&raw mut error, panics), cfd_status::CFD_PANIC);
            assert_eq!(cfd_error_status(error), cfd_status::CFD_PANIC);
            assert!(CStr::from_ptr(cfd_error_message(error)).to_str().unwrap().ends_with("a bug"));
            assert_eq!(cfd_error_free(error), cfd_status::CFD_OK);
            assert_eq!(call(&raw mut error, || borrow().map(drop)), cfd_status::CFD_USAGE);
            assert_eq!(cfd_error_free(error), cfd_status::CFD_OK);
            assert_eq!(call(&raw mut error, || handle::borrow(other).map(drop)), cfd_status::CFD_OK);
            assert!(error.is_null());
            assert_eq!(handle::free(object), cfd_status::CFD_OK);
            assert_eq!(handle::free(other), cfd_status::CFD_OK);
        }
    }
}
