//! Owns the cases of compressed streams, as patches of one of them.
//! Refuses to know what compressed streams and others have in common: those faults have their cases already.

mod flags;
mod moved;
mod records;
mod success;
mod truncated;
mod zstd_frames;

use super::super::case::Case;
use super::super::plan::{FRAME_LEN, Frame, Plan, Record};
use super::super::zstd_frame::{Block, ZstdFrame};

const FRAME: usize = FRAME_LEN as usize;
const FIRST: Record = Record::Frame(0, 0);
const BASE: &str = "success-zstd";

pub(super) fn cases() -> Vec<Case> {
    let base = Plan::compressed(&[&[run(FRAME), Frame::Plain(FRAME), Frame::Plain(100)]]).seal();
    let bytes = base.bytes.clone();
    let comment = "a compressed frame, and two that are not: the base of patches";
    let good = Case::good(BASE, comment, base).clause("F8.5");
    let others = [
        success::cases(),
        flags::cases(),
        zstd_frames::cases(),
        records::cases(),
        moved::cases(),
        truncated::cases(),
    ];
    let others = others.into_iter().flatten().map(|case| case.patch_of(BASE, &bytes));
    std::iter::once(good).chain(others).collect()
}

/// A compressed frame of so many times the same byte.
fn run(len: usize) -> Frame {
    ZstdFrame::of(&[Block::Run(b'c', len)]).frame()
}

/// A full frame that is compressed, and a short one that is not.
fn small() -> Plan {
    Plan::compressed(&[&[run(FRAME), Frame::Plain(100)]])
}

/// A compressed stream of one frame, which is compressed and has this text, whatever that is.
fn of_text(plaintext_len: usize, text: Vec<u8>) -> Plan {
    Plan::compressed(&[&[Frame::Compressed { plaintext: vec![b'c'; plaintext_len], text }]])
}
