//! The splitter over a whole made-up stream: the same pieces however the bytes arrive.
//! It knows no key: tags and MACs are zeros here.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use framing::{
    DigestFrame, DigestKind, Fault, FrameHeader, FrameIndex, MetadataHead, Piece, Preamble, SegmentHeader,
    SegmentIndex, Shape, Splitter, StreamId, Suite, Terminator, limits, page_len,
};

/// A stream of segments with the given frame counts, all frames full, the last segment LAST.
fn stream(frame_counts: &[u32]) -> Vec<u8> {
    let shape = Shape::new(4096, 2).unwrap();
    let preamble = Preamble {
        suite: Suite::Aes256Gcm,
        digest: DigestKind::Blake3,
        shape,
        stream_id: StreamId([1; 16]),
        salt: [2; 32],
        commitment: [3; 32],
        key_copy_len: 4096,
    };
    let mut wire = preamble.to_bytes().to_vec();
    wire.resize(4096 + 2 * 4096, 0);
    wire.extend(MetadataHead { salt: [4; 16], body_len: 16 }.to_bytes());
    wire.extend([0; 16]);
    for (index, frame_count) in frame_counts.iter().copied().enumerate() {
        let index = SegmentIndex(index as u64);
        wire.extend(SegmentHeader { index, plaintext_offset: 0, attempt_salt: [5; 16] }.to_bytes());
        for frame in 0..frame_count {
            wire.extend(FrameHeader::data(FrameIndex(frame), 4096).to_bytes());
            wire.extend([6; 4096 + 16]);
        }
        let last = index.0 + 1 == frame_counts.len() as u64;
        let plaintext_len = u64::from(frame_count) * 4096;
        wire.extend(DigestFrame { frame_count, digest: [7; 32] }.clear_bytes());
        wire.extend([0; 16]);
        wire.extend(Terminator { frame_count, last, plaintext_len, chain_before: [8; 32] }.clear_bytes());
        wire.extend([0; 16]);
        if last {
            wire.resize(
                wire.len()
                    + page_len(frame_counts.len() as u32)
                    + limits::DIRECTORY_ENTRY_LEN
                    + limits::FOOTER_LEN,
                0,
            );
        }
    }
    wire
}

/// Feeds `wire` in blocks of `block` bytes, keeping what is not yet a whole piece.
fn pieces(wire: &[u8], block: usize) -> Vec<(u64, Piece, usize)> {
    let mut splitter = Splitter::new();
    let mut seen = Vec::new();
    let mut kept = Vec::new();
    for arrived in wire.chunks(block) {
        kept.extend_from_slice(arrived);
        loop {
            let offset = splitter.offset();
            let Some((piece, len)) = splitter.next_piece(&kept).unwrap() else { break };
            seen.push((offset, piece, len));
            kept.drain(..len);
        }
    }
    assert!(kept.is_empty());
    splitter.finish().unwrap();
    seen
}

#[test]
fn blocks_of_any_size_give_the_same_pieces() {
    let wire = stream(&[2, 1, 0]);
    let whole = pieces(&wire, wire.len());
    let kinds: Vec<_> = whole.iter().map(|(_, piece, _)| std::mem::discriminant(piece)).collect();
    let data = Piece::Data(FrameHeader::data(FrameIndex(0), 1));
    let expected = [
        Piece::Preamble,
        Piece::KeyArea,
        Piece::Metadata,
        Piece::SegmentHeader,
        data,
        data,
        Piece::Closing,
        Piece::SegmentHeader,
        data,
        Piece::Closing,
        Piece::SegmentHeader,
        Piece::Closing,
        Piece::IndexPage,
        Piece::Directory,
        Piece::Footer,
    ];
    assert_eq!(kinds, expected.iter().map(std::mem::discriminant).collect::<Vec<_>>());
    assert_eq!(whole.iter().map(|(_, _, len)| len).sum::<usize>(), wire.len());
    for block in [1, 2, 15, 16, 17, 4095, 4096, 4097, 10_000] {
        assert_eq!(pieces(&wire, block), whole, "blocks of {block}");
    }
}

#[test]
fn every_cut_is_truncated_and_every_longer_stream_damaged() {
    let wire = stream(&[1, 1]);
    for len in (0..wire.len()).step_by(13) {
        let mut splitter = Splitter::new();
        let mut at = 0;
        while let Some((_, len)) = splitter.next_piece(&wire[at..len]).unwrap() {
            at += len;
        }
        assert_eq!(splitter.finish().unwrap_err().fault, Fault::Truncated, "cut at {len}");
    }
    let mut splitter = Splitter::new();
    let longer = [&wire[..], &[0]].concat();
    let mut at = 0;
    let error = loop {
        match splitter.next_piece(&longer[at..]) {
            Ok(piece) => at += piece.expect("the splitter ends in an error").1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.fault, error.offset), (Fault::Damaged, wire.len() as u64));
}

#[test]
fn an_index_page_stands_after_4096_segments() {
    let last = pieces(&stream(&[1; 4096]), 10_000).into_iter().rev().take(3).collect::<Vec<_>>();
    assert_eq!(last[2].1, Piece::IndexPage);
    assert_eq!(last[2].2, 64 + 4096 * 80);
    assert_eq!(last[1].2, 40);
}
