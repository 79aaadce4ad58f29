//! Numbers of inodes: what each stands for follows from the number alone, so that nothing is kept of what the kernel has seen.
//! Knows no catalog.

use tree::TreePath;
use tree::limits::ENTRIES_MAX;

/// What has an inode. Hard links have none of their own: theirs is that of the member they lead to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inode {
    /// The directory that is mounted.
    Root,
    /// The member of this number; never the root.
    Entry(u64),
    /// A directory without a member of its own: the beginning, of so many bytes, of the path of this member.
    Implied { below: u64, path_len: u64 },
}

impl Inode {
    /// As the kernel has it: 1 for the root, which FUSE demands, and from 2 on members in the order of the archive.
    pub(crate) fn number(self) -> u64 {
        match self {
            Inode::Root => 1,
            Inode::Entry(number) => number + FIRST_ENTRY,
            Inode::Implied { below, path_len } => IMPLIED | below << PATH_LEN_BITS | path_len,
        }
    }

    /// None where it is a number of nothing.
    pub(crate) fn of_number(number: u64) -> Option<Inode> {
        let entry = |number| (number < ENTRIES_MAX).then_some(number);
        match number {
            0 => None,
            1 => Some(Inode::Root),
            number if number & IMPLIED == 0 => entry(number - FIRST_ENTRY).map(Inode::Entry),
            number => {
                let path_len = number & (PATH_LEN_END - 1);
                let below = entry((number & !IMPLIED) >> PATH_LEN_BITS)?;
                Some(Inode::Implied { below, path_len })
            }
        }
    }
}

const FIRST_ENTRY: u64 = 2;
const PATH_LEN_BITS: u32 = 12;
const PATH_LEN_END: u64 = 1 << PATH_LEN_BITS;
const IMPLIED: u64 = 1 << 40;
const _: () = assert!((TreePath::LEN_MAX as u64) < PATH_LEN_END);
const _: () = assert!(ENTRIES_MAX << PATH_LEN_BITS <= IMPLIED && ENTRIES_MAX + FIRST_ENTRY <= IMPLIED);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_inode_has_a_number_of_its_own_that_leads_back_to_it() {
        let last = ENTRIES_MAX - 1;
        let inodes = [
            Inode::Root,
            Inode::Entry(0),
            Inode::Entry(1),
            Inode::Entry(last),
            Inode::Implied { below: 0, path_len: 1 },
            Inode::Implied { below: 1, path_len: 1 },
            Inode::Implied { below: last, path_len: 4_094 },
        ];
        let mut numbers = inodes.map(Inode::number);
        assert_eq!(numbers.map(Inode::of_number), inodes.map(Some));
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    }

    #[test]
    fn a_number_of_nothing_is_none() {
        for number in [0, ENTRIES_MAX + FIRST_ENTRY, IMPLIED - 1, IMPLIED << 1, u64::MAX] {
            assert_eq!(Inode::of_number(number), None, "{number:x}");
        }
    }
}
