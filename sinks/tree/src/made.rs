//! What a restore has made of a tree, as the journal keeps it: the run that finds the tree in its place tells it.
//! Knows no journal: a record's bytes alone.

use storage::sector::{self, is_whole, u64_at};
use tree::EntryCounts;

use crate::attributes::LeftOut;

/// What a tree is made of, its root aside, as it was before it became the target.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Made {
    pub(crate) counts: EntryCounts,
    pub(crate) left_out: LeftOut,
}

impl Made {
    /// In the order of the record.
    fn numbers(&mut self) -> [&mut u64; 16] {
        let Made { counts, left_out } = self;
        [
            &mut counts.files,
            &mut counts.hard_links,
            &mut counts.symlinks,
            &mut counts.directories,
            &mut counts.others,
            &mut counts.devices,
            &mut counts.changed,
            &mut counts.gone,
            &mut counts.gone_len,
            &mut counts.data_len,
            &mut left_out.owners,
            &mut left_out.xattrs,
            &mut left_out.set_id_bits,
            &mut left_out.devices,
            &mut left_out.times,
            &mut left_out.group_rights,
        ]
    }

    /// One sector at most, so that it is there as a whole or not at all.
    pub(crate) fn to_record(mut self) -> [u8; MADE_LEN] {
        let mut bytes = [0; MADE_LEN];
        bytes[..8].copy_from_slice(MADE_MAGIC);
        for (index, number) in self.numbers().into_iter().enumerate() {
            bytes[8 * (1 + index)..][..8].copy_from_slice(&number.to_le_bytes());
        }
        sector::close(&mut bytes);
        bytes
    }

    /// None: it is not whole, or none.
    pub(crate) fn parse(record: &[u8; MADE_LEN]) -> Option<Made> {
        let mut made = Made::default();
        for (index, number) in made.numbers().into_iter().enumerate() {
            *number = u64_at(record, 8 * (1 + index));
        }
        (is_whole(record) && record.starts_with(MADE_MAGIC)).then_some(made)
    }
}

/// Bytes of a record.
pub(crate) const MADE_LEN: usize = 256;
const MADE_MAGIC: &[u8; 8] = b"CFDTMAD\x01";
const _: () = assert!(8 * 17 + 4 <= MADE_LEN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_comes_back_and_not_with_a_bit_changed() {
        let mut made = Made::default();
        for (index, number) in made.numbers().into_iter().enumerate() {
            *number = u64::MAX - index as u64;
        }
        let record = made.to_record();
        assert_eq!(Made::parse(&record), Some(made));
        assert_eq!(Made::parse(&[0; MADE_LEN]), None);
        for bit in 0..MADE_LEN * 8 {
            let mut damaged = record;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Made::parse(&damaged), None, "bit {bit}");
        }
    }
}
