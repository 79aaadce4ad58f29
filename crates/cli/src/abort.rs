//! What the runtime can only abort for: memory for something small that is not to be had, a stack that is too small.
//! The runtime has said what it was by then, and the system removes nothing that a crash would not.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGABRT;

/// From here on an abort ends the process with the exit code of what the machine could not do, and no core dump.
///
/// What is long, or of a length that somebody else chose, is allocated fallibly, and is an error like any other.
pub(crate) fn install() {
    // Where even this fails, an abort is what it was.
    let _ = signal_hook::flag::register_conditional_shutdown(
        SIGABRT,
        EXIT_MACHINE,
        Arc::new(AtomicBool::new(true)),
    );
}

/// Exit code of I/O errors and of what the machine does not give.
const EXIT_MACHINE: i32 = 1;
