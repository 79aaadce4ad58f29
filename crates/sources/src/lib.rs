//! Where the engine's bytes come from: files, pipes, memory.
//! Knows nothing of what the bytes mean, and starts no threads.
//!
//! A [`Source`] is read in order, with a patience after which an idle one says so, so that whoever waits can look
//! at other things (a cancellation, a clock). A source whose bytes lie still also gives a [`ReadAt`], for reads at
//! offsets from any thread.
//!
//! ```
//! use sources::{Arrival, BytesSource, Source};
//! use std::time::Duration;
//!
//! let mut source = BytesSource::new(b"six bytes".to_vec());
//! let mut buffer = [0; 3];
//! let arrival = source.read_within(&mut buffer, Duration::ZERO)?;
//! assert_eq!(arrival, Arrival::Bytes(3));
//! source.positioned().expect("memory lies still").read_exact_at(4, &mut buffer)?;
//! assert_eq!(&buffer, b"byt");
//! # Ok::<(), std::io::Error>(())
//! ```

mod bytes;
mod file;
mod open;
mod pipe;
mod reader;
mod source;

pub use bytes::BytesSource;
pub use cofferdam_io::ReadAt;
pub use file::FileSource;
pub use open::{descriptor_named, open_descriptor, open_path};
pub use pipe::PipeSource;
pub use reader::ReaderSource;
pub use source::{Arrival, InputChanged, Source};
