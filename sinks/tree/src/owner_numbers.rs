//! The numbers of owners' names, each looked up once.
//! Knows no file.

use std::num::NonZeroUsize;

use lru::LruCache;
use nix::{
    Error,
    unistd::{Group, User},
};
use parking_lot::Mutex;

/// The numbers that names have here, as the system's name services say, for all threads of a restore. A look-up may take long, so each name is looked
/// up once, as long as few others come between: how many names there are is whoever sealed the tree's to say.
#[derive(Debug)]
pub(crate) struct OwnerNumbers {
    users: Mutex<Names>,
    groups: Mutex<Names>,
}

type Names = LruCache<Vec<u8>, LookedUp>;

/// The number of a name, none where nobody has it; or what the name services failed with.
pub(crate) type LookedUp = Result<Option<u32>, Error>;

impl OwnerNumbers {
    pub(crate) fn new() -> OwnerNumbers {
        let names = || Mutex::new(LruCache::new(NAMES_MAX));
        OwnerNumbers { users: names(), groups: names() }
    }

    /// The user's number.
    pub(crate) fn user(&self, name: &[u8]) -> LookedUp {
        let find = |name: &str| User::from_name(name).map(|user| user.map(|user| user.uid.as_raw()));
        look_up(&mut self.users.lock(), name, find)
    }

    /// The group's number.
    pub(crate) fn group(&self, name: &[u8]) -> LookedUp {
        let find = |name: &str| Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()));
        look_up(&mut self.groups.lock(), name, find)
    }
}

fn look_up(names: &mut Names, name: &[u8], find: impl Fn(&str) -> LookedUp) -> LookedUp {
    let Ok(text) = std::str::from_utf8(name) else { return Ok(None) };
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(known) = names.get(name) {
        return *known;
    }
    let found = match find(text) {
        // getpwnam(3): so they say that there is none, or that there is no list of names.
        Err(Error::ENOENT | Error::ESRCH | Error::EBADF | Error::EPERM) => Ok(None),
        found => found,
    };
    names.put(name.to_vec(), found);
    found
}

/// Names of users that are kept, and as many of groups.
const NAMES_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("4096 is not 0");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_service_that_fails_has_not_said_that_there_is_no_such_name() {
        let said = [
            (Ok(Some(7)), Ok(Some(7))),
            (Ok(None), Ok(None)),
            (Err(Error::ENOENT), Ok(None)),
            (Err(Error::EIO), Err(Error::EIO)),
            (Err(Error::EAGAIN), Err(Error::EAGAIN)),
        ];
        for (found, expected) in said {
            let numbers = OwnerNumbers::new();
            let mut names = numbers.users.lock();
            assert_eq!(look_up(&mut names, b"somebody", |_| found), expected);
            // It is asked once.
            assert_eq!(look_up(&mut names, b"somebody", |_| panic!("asked again")), expected);
        }
        assert_eq!(look_up(&mut OwnerNumbers::new().users.lock(), b"", |_| panic!("of nobody")), Ok(None));
    }

    /// A tree may have a name for each file.
    #[test]
    fn no_more_names_are_kept_than_there_is_room_for() {
        let numbers = OwnerNumbers::new();
        let mut names = numbers.users.lock();
        let most = NAMES_MAX.get() as u32;
        for number in 0..most + 1 {
            assert_eq!(
                look_up(&mut names, format!("n{number}").as_bytes(), |_| Ok(Some(number))),
                Ok(Some(number))
            );
        }
        assert_eq!(names.len(), most as usize);
        assert_eq!(look_up(&mut names, b"n1", |_| panic!("asked again")), Ok(Some(1)));
        assert_eq!(look_up(&mut names, b"n0", |_| Ok(None)), Ok(None), "the oldest is asked for again");
    }
}
