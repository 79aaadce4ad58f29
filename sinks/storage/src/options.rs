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

/// What becomes of long runs of zeros in a file that is staged.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Sparse {
    /// They are left as holes, which take no room (lseek(2)). No room is taken in advance. What has holes may fit where its length does
    /// not, so a length that does not fit is reported, and not refused.
    #[default]
    Auto,
    /// They are written. Room is taken in advance where that is cheap, and a length that does not fit is refused.
    Never,
}

/// What room a staging file will take.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Room {
    /// As much as it has bytes: looked for, and taken where that is cheap.
    #[default]
    Whole,
    /// Less, where bytes of it are shared with a seed. How much less is not known before they are taken.
    Shared,
}

/// How to stage a file.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct StageOptions {
    /// What to do with a target that exists.
    pub if_exists: IfExists,
    /// What opening a staged file does with an earlier attempt. Creating one discards it, and a mapped file never has one.
    pub on_partial: OnPartial,
    /// Bytes that the target will have, if known: they are checked against the free space, and preallocated where
    /// that is cheap and [`sparse`](Self::sparse) says so. A wrong length does no harm.
    pub expected_len: Option<u64>,
    /// What becomes of runs of zeros. A mapped file never has holes, and takes all its room.
    pub sparse: Sparse,
    /// What room those bytes take.
    pub room: Room,
}

impl StageOptions {
    /// Chooses what to do with a target that exists. Default: refuse it.
    #[must_use]
    pub fn if_exists(mut self, if_exists: IfExists) -> StageOptions {
        self.if_exists = if_exists;
        self
    }

    /// Chooses what opening a staged file does with an earlier attempt. Default: resume it.
    #[must_use]
    pub fn on_partial(mut self, on_partial: OnPartial) -> StageOptions {
        self.on_partial = on_partial;
        self
    }

    /// Says how many bytes the target will have, if that is known. Default: not known.
    #[must_use]
    pub fn expected_len(mut self, expected_len: impl Into<Option<u64>>) -> StageOptions {
        self.expected_len = expected_len.into();
        self
    }

    /// Chooses what becomes of runs of zeros. Default: holes.
    #[must_use]
    pub fn sparse(mut self, sparse: Sparse) -> StageOptions {
        self.sparse = sparse;
        self
    }

    /// Says what room the target's bytes will take. Default: [`Room::Whole`].
    #[must_use]
    pub fn room(mut self, room: Room) -> StageOptions {
        self.room = room;
        self
    }
}
