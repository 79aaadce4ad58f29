//! Models of the synchronisation of `segment-worker`: its own source files, compiled against loom's primitives.
//! It knows no stream: what runs here is the gate, the mailbox, the marks, the token and the reordering, in every
//! interleaving of two or three threads with a bounded number of preemptions.
//!
//! A model that cannot fail shows nothing. So each stands beside *canaries*: copies of the same file with one line
//! made wrong, in which the same model has to find the fault.

#![cfg(test)]
#![allow(clippy::duplicate_mod, reason = "what waits for a time is compiled twice, against two clocks")]

mod broken;
mod impatient;
mod models;
mod patient;
mod prim;
