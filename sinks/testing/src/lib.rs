//! What sinks are tested with, strangers' too: the suite of the contract's rules, a disk in memory that loses power, and calls
//! that fail.
//! Knows no sink: development dependencies of this crate are what it tries itself on.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod conformance;
pub mod simulation;
