//! Wrong copies of the synchronisation, one fault each.
//! They are here to be caught, and nothing else may use them.

pub(crate) mod gate;
pub(crate) mod mailbox;
pub(crate) mod marks;
pub(crate) mod reorder;
pub(crate) mod token;
