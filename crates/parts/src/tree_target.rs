//! A target that is a directory: what decides how it is made of a tree, whoever commits.
//! It knows no tree.

use std::fmt;

use crate::RecordError;
use crate::text::Values;

/// How a tree becomes the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TreeTarget {
    /// Whose its files are.
    pub owners: TreeOwners,
    /// Whether files run as their owner or group where the tree says so.
    pub restores_set_id: bool,
    /// Whether device files are made.
    pub makes_devices: bool,
    /// Whether a directory that is replaced is kept.
    pub keeps_old: bool,
}

/// Whose the files of a tree are, if whoever commits is root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeOwners {
    /// Whoever has the name that the tree says, else the number.
    ByName,
    /// Whoever has the number.
    ByNumber,
    /// Whoever commits.
    Ours,
}

impl TreeTarget {
    pub(crate) fn words(self) -> [&'static dyn fmt::Display; 4] {
        fn of(words: [&'static &'static str; 2], is_second: bool) -> &'static dyn fmt::Display {
            words[usize::from(is_second)]
        }
        let owners = OWNERS.iter().find(|(owners, _)| *owners == self.owners);
        let [set_id, devices, old] = WORDS;
        [
            owners.map_or(&"" as &dyn fmt::Display, |(_, word)| word),
            of(set_id, self.restores_set_id),
            of(devices, self.makes_devices),
            of(old, self.keeps_old),
        ]
    }

    pub(crate) fn parse(values: &Values<'_, 4>) -> Result<TreeTarget, RecordError> {
        let owners = OWNERS.iter().find(|(_, word)| *word == values.word(0));
        let (owners, _) = owners.ok_or_else(|| values.malformed())?;
        let is_second = |index: usize| match WORDS[index - 1] {
            [first, _] if values.word(index) == *first => Ok(false),
            [_, second] if values.word(index) == *second => Ok(true),
            _ => Err(values.malformed()),
        };
        Ok(TreeTarget {
            owners: *owners,
            restores_set_id: is_second(1)?,
            makes_devices: is_second(2)?,
            keeps_old: is_second(3)?,
        })
    }
}

const OWNERS: [(TreeOwners, &str); 3] =
    [(TreeOwners::ByName, "by-name"), (TreeOwners::ByNumber, "by-number"), (TreeOwners::Ours, "ours")];
/// Of set-id bits, of device files, and of a directory that is replaced.
const WORDS: [[&&str; 2]; 3] =
    [[&"no-set-id", &"set-id"], [&"no-devices", &"devices"], [&"remove-old", &"keep-old"]];
