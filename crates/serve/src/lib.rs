//! Bytes that can be read at offsets, served to programs of this machine: by HTTP on loopback, by NBD on a Unix socket.
//! Knows no sealed stream and no key.
//!
//! Reading is all that a client can do. Who may do it is said by a random token in the URL, or by the socket's mode and the user at
//! its other end. A read of the source that fails is an error at the client: an answer holds the bytes of the source, or
//! it ends early.
//!
//! ```
//! # use std::{io::{self, Read, Write}, net::TcpStream, sync::Arc};
//! # struct Text(&'static [u8]);
//! # impl cofferdam_io::ReadAt for Text {
//! #     fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
//! #         buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
//! #         Ok(())
//! #     }
//! #     fn len(&self) -> u64 {
//! #         self.0.len() as u64
//! #     }
//! # }
//! use serve::{Export, GRACE, Server};
//!
//! let source = Arc::new(Text(b"plaintext"));
//! let mut server = Server::new(Export::new(source, "text", "the-id-of-these-bytes"), Arc::new(|_| ()))?;
//! let url = server.listen_http(0)?;
//! let path = url.path().to_owned();
//!
//! let mut client = TcpStream::connect(url.address())?;
//! write!(client, "GET {path} HTTP/1.1\r\nHost: {}\r\nRange: bytes=0-4\r\nConnection: close\r\n\r\n", url.address())?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 206") && answer.ends_with("plain"));
//! server.finish(GRACE);
//! # io::Result::Ok(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client_stream;
mod connections;
mod export;
mod http;
mod nbd;
mod notice;
mod reads;
mod recorder;
mod server;
mod socket;
mod working_set;

pub use connections::Limits;
pub use export::Export;
pub use http::HttpUrl;
pub use nbd::REQUEST_LEN_MAX;
pub use notice::Notice;
pub use reads::{HTTP_READS_MAX, NBD_CLIENT_READS_MAX, OWN_LEN, READ_BYTES_MAX, READS_MAX};
pub use recorder::Recorder;
pub use server::{GRACE, Server};
pub use working_set::{WorkingSet, WorkingSetError};
