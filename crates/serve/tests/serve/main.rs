//! A server over bytes in memory, and clients that say what they like.
//! Real clients are tried where the command is.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod http;
mod http_refusals;
mod nbd;
mod nbd_refusals;
mod source;
mod waiting;
