//! The names beside a target's, under which a sink keeps what is its own.
//! Knows no directory, and nothing of what stands there.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// `.NAME.cofferdam-staging`, for instance; of a name too long for that, its head and its tail.
///
/// `suffix` has at most [`SUFFIX_LEN_MAX`] bytes, and the directory takes names of up to `len_max`.
///
/// Two long names may share a name beside them: then their writers exclude each other, and no more.
pub fn beside(target: &OsStr, suffix: &[u8], len_max: usize) -> OsString {
    // Some file systems count characters, or answer nothing.
    let usable = (NAME_LEN_MIN..NAME_LEN_MAX).contains(&len_max);
    let len_max = if usable { len_max } else { NAME_LEN_MAX };
    let target = target.as_bytes();
    let free_space = len_max - PREFIX.len() - suffix.len();
    let mut name = PREFIX.to_vec();
    if target.len() <= free_space {
        name.extend_from_slice(target);
    } else {
        let half = (free_space - CUT.len()) / 2;
        name.extend_from_slice(&target[..floor_boundary(target, half)]);
        name.extend_from_slice(CUT);
        name.extend_from_slice(&target[ceil_boundary(target, target.len() - half)..]);
    }
    name.extend_from_slice(suffix);
    OsString::from_vec(name)
}

/// The last place up to `at` where no UTF-8 sequence is cut. Names need not be UTF-8, but some file systems insist.
fn floor_boundary(bytes: &[u8], at: usize) -> usize {
    (0..=at).rev().find(|i| is_boundary(bytes, *i)).unwrap_or(0)
}

fn ceil_boundary(bytes: &[u8], at: usize) -> usize {
    (at..bytes.len()).find(|i| is_boundary(bytes, *i)).unwrap_or(bytes.len())
}

fn is_boundary(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000)
}

/// The longest name that file systems of note take, in bytes.
pub const NAME_LEN_MAX: usize = 255;
/// The longest suffix of a name beside a target's, in bytes.
pub const SUFFIX_LEN_MAX: usize = 32;

const PREFIX: &[u8] = b".";
const CUT: &[u8] = b"~";
/// POSIX's least that a file system may allow would leave no room; below this the usual maximum is tried.
const NAME_LEN_MIN: usize = 64;
const _: () = assert!(NAME_LEN_MIN > PREFIX.len() + SUFFIX_LEN_MAX + CUT.len() + 2);
