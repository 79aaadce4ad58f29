//! POSIX access control lists as attributes of files, and what a mode may give where one could not be set.
//! Knows no file.

/// The attribute's name.
pub const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

/// What is left of `mode` where the file could not be given its list, the [attribute](ACCESS_LIST)'s value: nobody has more than the list gave. The group
/// bits of a file with a list are its mask and not its group's rights, and users and groups that it names count as group or as others without it. Where it
/// is no list, nothing is left to either.
#[must_use]
pub fn mode_without_list(mode: u32, list: &[u8]) -> u32 {
    let Some(rights) = Rights::of(list) else { return mode & !0o077 };
    let others = rights.named & rights.mask;
    let group = rights.own_group & others;
    mode & (!0o077 | group << 3 | if rights.has_names { others } else { ALL })
}

/// The rights that a list gives: read 4, write 2, execute 1.
struct Rights {
    own_group: u32,
    mask: u32,
    /// Those that all have that it names.
    named: u32,
    has_names: bool,
}

impl Rights {
    fn of(list: &[u8]) -> Option<Rights> {
        let entries = list.strip_prefix(&VERSION.to_le_bytes())?;
        let (entries, rest) = entries.as_chunks::<ENTRY_LEN>();
        let mut rights = Rights { own_group: 0, mask: ALL, named: ALL, has_names: false };
        for &[tag, tag_high, given, given_high, ..] in entries {
            let given = u32::from(u16::from_le_bytes([given, given_high]));
            match u16::from_le_bytes([tag, tag_high]) {
                OWN_GROUP => rights.own_group = given,
                MASK => rights.mask = given,
                USER | GROUP => {
                    rights.named &= given;
                    rights.has_names = true;
                }
                OWNER | OTHERS => {}
                _ => return None,
            }
        }
        rest.is_empty().then_some(rights)
    }
}

const ALL: u32 = 0o7;
/// The layout's version, bytes of an entry (tag, rights, number), and tags, all little-endian: linux/posix_acl_xattr.h and linux/posix_acl.h.
const VERSION: u32 = 2;
const ENTRY_LEN: usize = 8;
const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWN_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16)]) -> Vec<u8> {
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights) in entries {
            list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
            list.extend(1_000_u32.to_le_bytes());
        }
        list
    }

    /// acl(5): the group bits of the mode are the mask, where there is one.
    #[test]
    fn without_its_list_a_mode_gives_nobody_more_than_the_list_gave() {
        for (mode, entries, expected) in [
            // The group is shut out, and a user is let in.
            (0o660, &[(OWNER, 6), (USER, 6), (OWN_GROUP, 0), (MASK, 6), (OTHERS, 0)][..], 0o600),
            (0o664, &[(OWNER, 6), (USER, 6), (OWN_GROUP, 4), (MASK, 6), (OTHERS, 4)], 0o644),
            (0o775, &[(OWNER, 7), (GROUP, 7), (OWN_GROUP, 5), (MASK, 7), (OTHERS, 5)], 0o755),
            // A user is shut out of what others may read: without the list that one is one of them, or one of the group.
            (0o644, &[(OWNER, 6), (USER, 0), (OWN_GROUP, 4), (MASK, 4), (OTHERS, 4)], 0o600),
            (0o745, &[(OWNER, 7), (GROUP, 4), (OWN_GROUP, 7), (MASK, 4), (OTHERS, 5)], 0o744),
            // What the mask takes.
            (0o604, &[(OWNER, 6), (USER, 6), (OWN_GROUP, 6), (MASK, 0), (OTHERS, 4)], 0o600),
            // Without names it says what the mode says.
            (0o6754, &[(OWNER, 7), (OWN_GROUP, 5), (OTHERS, 4)], 0o6754),
        ] {
            assert_eq!(mode_without_list(mode, &list(entries)), expected, "{entries:?}");
        }
    }

    #[test]
    fn what_is_no_list_leaves_nothing_to_others() {
        let good = list(&[(OWNER, 7), (OWN_GROUP, 7), (OTHERS, 7)]);
        let mut later = good.clone();
        later[0] = 3;
        for bad in [&[][..], &good[..3], &good[..good.len() - 1], &later, &list(&[(0x40, 7)])] {
            assert_eq!(mode_without_list(0o1777, bad), 0o1700, "{bad:?}");
        }
    }
}
