//! The choice that whoever names a target makes of one that is there.
//! Knows no kind of target.

/// What to do with a target that exists.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum IfExists {
    /// Refuse it, at the start, and again at publish if one has appeared.
    #[default]
    Refuse,
    /// Replace it at publish. A symbolic link is followed, once, at the start.
    Replace,
}
