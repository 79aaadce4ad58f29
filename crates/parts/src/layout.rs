//! Which bytes of a part are in which file of its attempt: those of large files of a tree each in a file of their own, all others in the part's.
//! It knows neither files nor trees.

use std::iter;
use std::ops::Range;

use crate::{PAD_MAX, RecordError};

/// Where the bytes of a part are. Offsets count from its first byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartLayout {
    len: u64,
    members: Vec<MemberRange>,
    /// Bytes of all members before the one of this number; of all of them, at the end.
    before: Vec<u64>,
}

/// Bytes of one file of a tree, which an attempt has in a file of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRange {
    /// Which bytes of the part.
    pub range: Range<u64>,
    /// How many bytes of its file are before them, less than [`PAD_MAX`](crate::PAD_MAX). Nobody reads those.
    pub pad: u64,
}

impl MemberRange {
    /// Bytes of its file.
    pub fn file_len(&self) -> u64 {
        self.pad + (self.range.end - self.range.start)
    }
}

/// Where a byte is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartPlace {
    /// In the part's own file, which has all that is in no other, one behind the other.
    Own {
        /// Where in it.
        offset: u64,
    },
    /// In the file of a member.
    Member {
        /// Which of [`members`](PartLayout::members).
        number: usize,
        /// Where in it.
        offset: u64,
    },
}

impl PartLayout {
    /// Of a part of `len` bytes, of which these `members` are in files of their own.
    ///
    /// # Errors
    /// [`RecordError::Contradictory`]: one of them is empty, or not in the part, or not behind the one before it, or has too much before it.
    pub fn new(len: u64, members: Vec<MemberRange>) -> Result<PartLayout, RecordError> {
        let (mut end, mut sum, mut before) = (0, 0, vec![0]);
        for MemberRange { range, pad } in &members {
            if range.start < end || range.is_empty() || range.end > len || *pad >= PAD_MAX {
                return Err(RecordError::Contradictory);
            }
            end = range.end;
            sum += range.end - range.start;
            before.push(sum);
        }
        Ok(PartLayout { len, members, before })
    }

    /// What is in files of its own, in order.
    pub fn members(&self) -> &[MemberRange] {
        &self.members
    }

    /// Bytes of the part's own file.
    pub fn own_len(&self) -> u64 {
        self.own_offset(self.len)
    }

    /// How many of the bytes before `at` are in the part's own file.
    pub fn own_offset(&self, at: u64) -> u64 {
        let number = self.number_at(at);
        let within = self.members.get(number).map_or(0, |member| at.saturating_sub(member.range.start));
        at - self.before[number] - within
    }

    /// `range`, cut to what lies in one file each, in order.
    pub fn places(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, PartPlace)> {
        let (mut at, mut number) = (range.start, self.number_at(range.start));
        iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let (end, place) = match self.members.get(number) {
                Some(MemberRange { range, pad }) if range.start <= at => {
                    number += 1;
                    (range.end, PartPlace::Member { number: number - 1, offset: pad + at - range.start })
                }
                next => {
                    let end = next.map_or(range.end, |member| member.range.start);
                    (end, PartPlace::Own { offset: at - self.before[number] })
                }
            };
            let piece = at..end.min(range.end);
            at = piece.end;
            Some((piece, place))
        })
    }

    /// The first member that does not end before or at `at`.
    fn number_at(&self, at: u64) -> usize {
        self.members.partition_point(|member| member.range.end <= at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    /// Every byte, looked for without any arithmetic.
    #[test]
    fn each_byte_is_where_it_is_if_one_is_laid_behind_the_other() {
        for members in [&[][..], &[(0, 3)], &[(2, 5), (5, 6), (9, 12)], &[(0, 12)]] {
            let members: Vec<MemberRange> =
                members.iter().map(|(start, end)| MemberRange { range: *start..*end, pad: 7 }).collect();
            let layout = PartLayout::new(12, members.clone()).unwrap();
            let mut own = 0;
            let expected: Vec<PartPlace> = (0..12_u64)
                .map(|at| match members.iter().position(|member| member.range.contains(&at)) {
                    Some(number) => {
                        PartPlace::Member { number, offset: 7 + at - members[number].range.start }
                    }
                    None => {
                        own += 1;
                        PartPlace::Own { offset: own - 1 }
                    }
                })
                .collect();
            assert_eq!(layout.own_len(), own);
            for (start, end) in (0..=12).flat_map(|start| (start..=12).map(move |end| (start, end))) {
                let bytes = layout.places(start..end).flat_map(|(piece, place)| {
                    piece.clone().map(move |at| match place {
                        PartPlace::Own { offset } => PartPlace::Own { offset: offset + at - piece.start },
                        PartPlace::Member { number, offset } => {
                            PartPlace::Member { number, offset: offset + at - piece.start }
                        }
                    })
                });
                assert!(bytes.eq(expected[start as usize..end as usize].iter().copied()), "{start}..{end}");
                let before = expected[..start as usize].iter();
                let own = before.filter(|place| matches!(place, PartPlace::Own { .. })).count();
                assert_eq!(layout.own_offset(start), own as u64, "{members:?}, {start}");
            }
        }
    }

    #[test]
    fn members_that_overlap_or_are_empty_or_not_in_the_part_are_none() {
        let refuses = |members: &[(u64, u64)], pad| {
            let members = members.iter().map(|(start, end)| MemberRange { range: *start..*end, pad });
            PartLayout::new(12, members.collect()) == Err(RecordError::Contradictory)
        };
        let wrong = [&[(0, 13)][..], &[(3, 3)], &[(5, 2)], &[(4, 6), (5, 7)], &[(4, 6), (1, 2)]];
        assert!(wrong.into_iter().all(|members| refuses(members, 0)));
        assert!(refuses(&[(0, 3)], PAD_MAX) && !refuses(&[(0, 3)], PAD_MAX - 1));
    }
}
