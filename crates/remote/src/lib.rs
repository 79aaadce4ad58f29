//! Bytes in object stores and on HTTP servers, as sources and for sinks.
//! Knows nothing of what the bytes mean. Its asynchronous part runs on threads of its own, and none of it is in a public type.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod connector;
mod place;
mod retry;
mod runtime;
mod store;

pub use place::{Place, PlaceKind};
pub use retry::{Retry, RetryPolicy};
