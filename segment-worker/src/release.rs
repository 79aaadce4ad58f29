//! When plaintext leaves for the sink.
//! It knows no sink but by what others can see of it.

use contract::Visibility;

/// When a segment's plaintext may go to the sink: memory against caution.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum ReleasePolicy {
    /// As soon as each frame has been authenticated. For sinks that keep tentative bytes to themselves.
    #[default]
    AtOnce,
    /// Not before the segment's digest has been checked. Takes a segment of memory.
    AfterDigest,
    /// Streams whose frames have more plaintext bytes than this as `AfterDigest`, others as `AtOnce`.
    AfterDigestIfFrameOver(u32),
}

impl ReleasePolicy {
    /// Whether a segment is held until its digest. What others can see is always held, whatever the caller wants.
    pub fn holds(self, frame_len: u32, visibility: Visibility) -> bool {
        match (self, visibility) {
            (_, Visibility::Visible) | (ReleasePolicy::AfterDigest, _) => true,
            (ReleasePolicy::AtOnce, _) => false,
            (ReleasePolicy::AfterDigestIfFrameOver(limit), _) => frame_len > limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_what_is_held() {
        use ReleasePolicy::{AfterDigest, AfterDigestIfFrameOver, AtOnce};
        use Visibility::{Private, Visible};
        let table = [
            (AtOnce, 4096, Private, false),
            (AtOnce, 4096, Visible, true),
            (AfterDigest, 4096, Private, true),
            (AfterDigest, 4096, Visible, true),
            (AfterDigestIfFrameOver(4095), 4096, Private, true),
            (AfterDigestIfFrameOver(4096), 4096, Private, false),
            (AfterDigestIfFrameOver(4097), 4096, Private, false),
            (AfterDigestIfFrameOver(0), 4096, Private, true),
            (AfterDigestIfFrameOver(u32::MAX), 4096, Private, false),
            (AfterDigestIfFrameOver(u32::MAX), 4096, Visible, true),
        ];
        for (release, frame_len, visibility, held) in table {
            let what = format!("{release:?} for frames of {frame_len} into a sink that is {visibility:?}");
            assert_eq!(release.holds(frame_len, visibility), held, "{what}");
        }
        assert_eq!(ReleasePolicy::default(), AtOnce);
    }
}
