//! What a restored tree is given of what its headers say, and what becomes of a tree that is replaced.

use contract::IfExists;
use storage::OnPartial;

/// How a tree is restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TreeOptions {
    pub(crate) if_exists: IfExists,
    pub(crate) old_tree: OldTree,
    pub(crate) owners: Owners,
    pub(crate) set_id_bits: SetIdBits,
    pub(crate) device_files: DeviceFiles,
    pub(crate) room: Room,
    pub(crate) on_partial: OnPartial,
    pub(crate) placement: Placement,
}

/// How a tree gets to its target.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Placement {
    /// It becomes the target as a whole: *atomic*.
    #[default]
    Whole,
    /// It is moved into the target, a directory that is there, when all of it has been verified: name by name, each by a rename; nothing is removed
    /// that the tree does not have. A crash meanwhile leaves some of both, and the same restore brings it to its end: *recoverable*.
    /// With [`IfExists::Refuse`] no file may have the name of another one.
    Into,
}

/// Whose files are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Owners {
    /// If this process is root's: whoever has the name that the header says, else the number. Otherwise this process's user.
    #[default]
    ByName,
    /// If this process is root's: the number. Otherwise this process's user.
    ByNumber,
    /// This process's user.
    Ours,
}

/// Whether files run as their owner or group where the header says so.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SetIdBits {
    /// The bits are left out, and counted.
    #[default]
    LeaveOut,
    /// They are set.
    Restore,
}

/// Whether device files are made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum DeviceFiles {
    /// They are left out, and counted.
    #[default]
    LeaveOut,
    /// They are made, which takes root.
    Restore,
}

/// Whether a tree must fit before anything of it is made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Room {
    /// All bytes of its files must, holes counted: how much of them are holes is not known before.
    #[default]
    Check,
    /// Its inodes must; whether its bytes do is found out.
    Assume,
}

/// What decides which attributes and device files a tree gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AttributeOptions {
    pub(crate) owners: Owners,
    pub(crate) set_id_bits: SetIdBits,
    pub(crate) device_files: DeviceFiles,
}

impl AttributeOptions {
    /// In what they differ from `other`, as a reader of a message calls it. Empty: in nothing.
    pub(crate) fn differences(&self, other: &AttributeOptions) -> String {
        let differences = [
            ("owners", self.owners != other.owners),
            ("set-id bits", self.set_id_bits != other.set_id_bits),
            ("device files", self.device_files != other.device_files),
        ];
        let names = differences.into_iter().filter(|(_, differ)| *differ).map(|(name, _)| name);
        names.collect::<Vec<_>>().join(", ")
    }
}

/// What becomes of a tree that is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OldTree {
    /// It is removed, unless another file system is mounted in it: then it is kept.
    #[default]
    Remove,
    /// It is kept beside the new one, as `NAME.cofferdam-old`.
    Keep,
}

/// The target must be free.
impl Default for TreeOptions {
    fn default() -> TreeOptions {
        TreeOptions::new(IfExists::Refuse)
    }
}

impl TreeOptions {
    /// The target must be free, or is replaced.
    pub fn new(if_exists: IfExists) -> TreeOptions {
        TreeOptions {
            if_exists,
            old_tree: OldTree::default(),
            owners: Owners::default(),
            set_id_bits: SetIdBits::default(),
            device_files: DeviceFiles::default(),
            room: Room::default(),
            on_partial: OnPartial::default(),
            placement: Placement::default(),
        }
    }

    /// Says whether a target that is there is replaced.
    #[must_use]
    pub fn if_exists(self, if_exists: IfExists) -> TreeOptions {
        TreeOptions { if_exists, ..self }
    }

    /// Says what becomes of the tree that is replaced.
    #[must_use]
    pub fn old_tree(self, old_tree: OldTree) -> TreeOptions {
        TreeOptions { old_tree, ..self }
    }

    /// Says whose files are.
    #[must_use]
    pub fn owners(self, owners: Owners) -> TreeOptions {
        TreeOptions { owners, ..self }
    }

    /// Says whether set-id bits are set.
    #[must_use]
    pub fn set_id_bits(self, set_id_bits: SetIdBits) -> TreeOptions {
        TreeOptions { set_id_bits, ..self }
    }

    /// Says whether device files are made.
    #[must_use]
    pub fn device_files(self, device_files: DeviceFiles) -> TreeOptions {
        TreeOptions { device_files, ..self }
    }

    /// Says whether all bytes must fit.
    #[must_use]
    pub fn room(self, room: Room) -> TreeOptions {
        TreeOptions { room, ..self }
    }

    /// Says what becomes of what an interrupted attempt has left.
    #[must_use]
    pub fn on_partial(self, on_partial: OnPartial) -> TreeOptions {
        TreeOptions { on_partial, ..self }
    }

    /// How the tree gets to its target.
    pub fn placement_of(&self) -> Placement {
        self.placement
    }

    /// What becomes of the tree that is replaced.
    pub fn old_tree_of(&self) -> OldTree {
        self.old_tree
    }

    /// Whose files are.
    pub fn owners_of(&self) -> Owners {
        self.owners
    }

    /// Whether set-id bits are set.
    pub fn set_id_bits_of(&self) -> SetIdBits {
        self.set_id_bits
    }

    /// Whether device files are made.
    pub fn device_files_of(&self) -> DeviceFiles {
        self.device_files
    }

    pub(crate) fn attribute_options(&self) -> AttributeOptions {
        let TreeOptions { owners, set_id_bits, device_files, .. } = *self;
        AttributeOptions { owners, set_id_bits, device_files }
    }

    pub(crate) fn with_attribute_options(self, options: AttributeOptions) -> TreeOptions {
        let AttributeOptions { owners, set_id_bits, device_files } = options;
        TreeOptions { owners, set_id_bits, device_files, ..self }
    }

    /// Whether a tree that is replaced is removed.
    pub fn removes_old(&self) -> bool {
        self.placement == Placement::Whole && self.old_tree == OldTree::Remove
    }

    /// Says how the tree gets to its target.
    #[must_use]
    pub fn placement(self, placement: Placement) -> TreeOptions {
        TreeOptions { placement, ..self }
    }
}
