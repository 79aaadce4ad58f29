//! Bytes in object stores and on HTTP servers, as sources and for sinks.
//! Knows nothing of what the bytes mean. Its asynchronous part runs on threads of its own, and none of it is in a public type.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod connector;
mod credentials;
mod failure;
mod far;
mod identity;
mod inflow;
mod moment;
mod options;
mod parts;
mod place;
mod request;
mod retry;
mod runtime;
mod settings;
mod source;
mod store;
mod tally;
mod telemetry;
mod tries;
pub mod upload;

pub use options::RemoteOptions;
pub use place::{Place, PlaceKind};
pub use retry::{Retry, RetryPolicy};
pub use source::RemoteSource;
pub use tally::Tally;
#[cfg(feature = "metrics")]
pub use telemetry::describe_metrics;
