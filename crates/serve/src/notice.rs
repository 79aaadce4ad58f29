//! What whoever serves may want to know while it goes on.
//! Nothing of a token is in it.

use std::io;

/// Something that did not go as a client wished. Told on a thread of the server, which waits meanwhile.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// The source could not be read; the client has been told, or its answer ends early.
    ReadFailed {
        /// Where, in bytes.
        offset: u64,
        /// How many bytes.
        len: usize,
        /// The source's own.
        error: &'a io::Error,
    },
    /// A process of another user came to the socket, and was sent away.
    StrangerRefused {
        /// The number of the user.
        user: u32,
    },
}
