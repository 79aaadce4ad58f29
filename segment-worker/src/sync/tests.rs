//! Tests of the synchronisation that need no model.
//! They lie outside the files they test, because `loom-tests` compiles those.

mod gate;
mod mailbox;
mod reorder;
