//! Real servers on the loopback interface, for tests, and a proxy before them that fails as networks do.
//! Knows nothing of sealed streams.

mod azurite;
mod client;
mod gcs;
mod http;
pub mod installed;
mod listener;
mod nginx;
mod port;
mod process;
mod proxy;
mod seaweedfs;

pub use azurite::{Access, Azurite};
pub use client::{Answer, request};
pub use gcs::GcsFake;
pub use nginx::Nginx;
pub use process::Place;
pub use proxy::{Counts, Fault, FaultKind, FaultProxy, Link, Plan, Request, Seen};
pub use seaweedfs::{Identity, SeaweedFs};
