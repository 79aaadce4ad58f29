//! Names of owners and groups, each looked up once.
//! Knows no file.

use std::collections::HashMap;

use nix::unistd::{Gid, Group, Uid, User};

/// The names that numbers have here, as the system's name services say: a look-up may take long, so each number is looked up once.
#[derive(Debug, Default)]
pub(crate) struct OwnerNames {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl OwnerNames {
    /// The user's name; empty where there is none.
    pub(crate) fn user(&mut self, uid: u32) -> Vec<u8> {
        let look_up = || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        self.users.entry(uid).or_insert_with(|| short(look_up())).clone()
    }

    /// The group's name; empty where there is none.
    pub(crate) fn group(&mut self, gid: u32) -> Vec<u8> {
        let look_up = || Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
        self.groups.entry(gid).or_insert_with(|| short(look_up())).clone()
    }
}

/// A name that a header can have.
fn short(name: Option<String>) -> Vec<u8> {
    let is_short = |name: &String| name.len() <= crate::limits::OWNER_NAME_LEN_MAX && !name.contains('\0');
    name.filter(is_short).unwrap_or_default().into_bytes()
}
