//! How whoever names a target wants its file written.
//! Knows no way of writing it.

use contract::IfExists;

/// What to do with an earlier attempt at the same target that was not published.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OnPartial {
    /// Offer to resume it.
    #[default]
    Resume,
    /// Remove it unread, unless another process is at work on it.
    Discard,
}

/// How to stage a file.
#[derive(Clone, Copy, Default, Debug)]
pub struct StageOptions {
    /// What to do with a target that exists.
    pub if_exists: IfExists,
    /// What opening a staged file does with an earlier attempt. Creating one discards it, and a mapped file never has one.
    pub on_partial: OnPartial,
    /// Bytes that the target will have, if known: they are checked against the free space, and preallocated where
    /// that is cheap. A wrong length does no harm.
    pub expected_len: Option<u64>,
}
