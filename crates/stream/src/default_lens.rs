//! How long frames and segments are where whoever seals says nothing.
//! It knows no stream: the same length of input gives the same lengths, today and in the run that resumes.

/// Plaintext bytes of a frame.
pub const FRAME_LEN_DEFAULT: u32 = 64 * 1024;
/// The same where frames are compressed, each by itself: at 64 KiB that costs a tenth in size, at 256 KiB three hundredths.
pub const FRAME_LEN_COMPRESSED: u32 = 256 * 1024;
/// Plaintext bytes of a segment, where nobody knows how long the stream will be, and of most streams.
pub const SEGMENT_LEN_DEFAULT: u64 = 8 * MIB;

/// The segments of an input of so many bytes, for inputs up to that length: the first line that it fits into counts. docs/DESIGN.md, section
/// 4, has what was measured.
const SEGMENT_LENS: [(u64, u64); 2] = [
    // What is interrupted, damaged or differs from a seed costs a segment: of a small input that should not be all.
    (8 * MIB, MIB),
    (256 * GIB, SEGMENT_LEN_DEFAULT),
];
/// Of what is longer: the index is half as long. A segment that is held until it is verified has to fit into the default budget, with
/// the runs beside it, so they do not grow further.
const SEGMENT_LEN_MAX: u64 = 16 * MIB;

/// Plaintext bytes of a segment of a stream of `plaintext_len` bytes, if that is known, in frames of `frame_len`.
pub(crate) fn default_segment_len(plaintext_len: Option<u64>, frame_len: u32) -> u64 {
    let Some(len) = plaintext_len else { return SEGMENT_LEN_DEFAULT };
    let fitting = SEGMENT_LENS.iter().find(|(input_len, _)| len <= *input_len);
    let segment_len = fitting.map_or(SEGMENT_LEN_MAX, |(_, segment_len)| *segment_len);
    // Frames that somebody has chosen may be longer, or of a length that divides no segment of the table.
    if segment_len.is_multiple_of(u64::from(frame_len.max(1))) { segment_len } else { SEGMENT_LEN_DEFAULT }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const _: () = assert!(MIB.is_multiple_of(FRAME_LEN_DEFAULT as u64));
const _: () = assert!(MIB.is_multiple_of(FRAME_LEN_COMPRESSED as u64));
const _: () = assert!(2 * SEGMENT_LEN_MAX <= crate::MEMORY_DEFAULT as u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_segment_lengths() {
        for (len, expected) in [
            (None, 8 << 20),
            (Some(0), 1 << 20),
            (Some(1), 1 << 20),
            (Some((8 << 20) - 1), 1 << 20),
            (Some(8 << 20), 1 << 20),
            (Some((8 << 20) + 1), 8 << 20),
            (Some(1 << 30), 8 << 20),
            (Some((1 << 38) - 1), 8 << 20),
            (Some(1 << 38), 8 << 20),
            (Some((1 << 38) + 1), 16 << 20),
            (Some(u64::MAX), 16 << 20),
        ] {
            for frame_len in [4096, 64 << 10, 256 << 10, 1 << 20] {
                assert_eq!(default_segment_len(len, frame_len), expected, "{len:?} in {frame_len}");
            }
        }
    }

    #[test]
    fn frames_that_fit_into_no_segment_of_the_table_have_those_of_a_stream_of_unknown_length() {
        for frame_len in [0, 12 << 10, 2 << 20, 4 << 20] {
            let expected = if frame_len == 0 { 1 << 20 } else { 8 << 20 };
            assert_eq!(default_segment_len(Some(1), frame_len), expected, "{frame_len}");
        }
    }
}
