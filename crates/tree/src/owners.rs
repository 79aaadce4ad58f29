//! Names of owners and groups, each looked up once.
//! Knows no file.

use std::num::NonZeroUsize;

use lru::LruCache;
use nix::{
    Error,
    unistd::{Gid, Group, Uid, User},
};

/// The names that numbers have here, as the system's name services say: a look-up may take long, so each number is looked up once, as long as few
/// others come between.
#[derive(Debug)]
pub(crate) struct OwnerNames {
    users: LruCache<u32, LookedUp>,
    groups: LruCache<u32, LookedUp>,
}

/// A name, empty where there is none; or what the name services failed with.
pub(crate) type LookedUp = Result<Vec<u8>, Error>;

impl OwnerNames {
    pub(crate) fn new() -> OwnerNames {
        OwnerNames { users: LruCache::new(NAMES_MAX), groups: LruCache::new(NAMES_MAX) }
    }

    /// The user's name.
    pub(crate) fn user(&mut self, uid: u32) -> LookedUp {
        look_up(&mut self.users, uid, || {
            User::from_uid(Uid::from_raw(uid)).map(|user| user.map(|user| user.name))
        })
    }

    /// The group's name.
    pub(crate) fn group(&mut self, gid: u32) -> LookedUp {
        look_up(&mut self.groups, gid, || {
            Group::from_gid(Gid::from_raw(gid)).map(|group| group.map(|group| group.name))
        })
    }
}

fn look_up(
    names: &mut LruCache<u32, LookedUp>,
    number: u32,
    find: impl FnOnce() -> Result<Option<String>, Error>,
) -> LookedUp {
    let found = names.get_or_insert(number, || match find() {
        // getpwnam(3): so they say that there is none, or that there is no list of names.
        Err(Error::ENOENT | Error::ESRCH | Error::EBADF | Error::EPERM) => Ok(Vec::new()),
        found => found.map(short),
    });
    found.clone()
}

/// A name that a header can have.
fn short(name: Option<String>) -> Vec<u8> {
    let is_short = |name: &String| name.len() <= crate::limits::OWNER_NAME_LEN_MAX && !name.contains('\0');
    name.filter(is_short).unwrap_or_default().into_bytes()
}

/// Names of users that are kept, and as many of groups.
const NAMES_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("4096 is not 0");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_service_that_fails_has_not_said_that_a_number_has_no_name() {
        let said = [
            (Ok(Some("somebody".to_owned())), Ok(b"somebody".to_vec())),
            (Ok(None), Ok(Vec::new())),
            (Ok(Some("n".repeat(crate::limits::OWNER_NAME_LEN_MAX + 1))), Ok(Vec::new())),
            (Err(Error::ENOENT), Ok(Vec::new())),
            (Err(Error::EIO), Err(Error::EIO)),
            (Err(Error::EAGAIN), Err(Error::EAGAIN)),
        ];
        for (found, expected) in said {
            let mut names = OwnerNames::new();
            assert_eq!(look_up(&mut names.users, 7, || found), expected);
            // It is asked once.
            assert_eq!(look_up(&mut names.users, 7, || panic!("asked again")), expected);
        }
    }
}
