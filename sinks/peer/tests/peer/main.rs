//! The fenced peer over real sockets: the contract, the key, every fault of the network, senders that come too late.
//! Knows the protocol's bytes only as far as a proxy needs them to lose, repeat or change a message.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod contract;
mod faults;
mod fencing;
mod greeting;
mod hostile;
mod post;
mod proxy;
mod restarts;
mod security;
mod store;
