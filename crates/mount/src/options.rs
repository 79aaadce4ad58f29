//! What can be chosen of a mount.
//! Knows nothing of what is mounted.

use std::time::Duration;

/// How a mount is read, and by whom.
#[derive(Clone, Debug)]
pub struct MountOptions {
    pub(crate) access: Access,
    pub(crate) owners: Owners,
    pub(crate) patience: Duration,
}

/// Who gets to the mount at all; modes and ACLs are enforced besides.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Access {
    /// The user who mounts alone; not even root, where that is another.
    #[default]
    Owner,
    /// Every user. Whoever is not root needs `user_allow_other` in /etc/fuse.conf for it.
    AllUsers,
}

/// Whose the files are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Owners {
    /// The numbers that were sealed.
    #[default]
    AsSealed,
    /// This user's and group's, all of them.
    All {
        /// The user's number.
        user: u32,
        /// The group's number.
        group: u32,
    },
}

impl MountOptions {
    /// Who gets to the mount; [`Access::Owner`] by default.
    #[must_use]
    pub fn access(mut self, access: Access) -> MountOptions {
        self.access = access;
        self
    }

    /// Whose the files are; [`Owners::AsSealed`] by default.
    #[must_use]
    pub fn owners(mut self, owners: Owners) -> MountOptions {
        self.owners = owners;
        self
    }

    /// How long one read of the source may take, all of it; 5 minutes by default. Programs that wait for it cannot be killed meanwhile.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> MountOptions {
        self.patience = patience;
        self
    }
}

impl Default for MountOptions {
    fn default() -> MountOptions {
        MountOptions { access: Access::default(), owners: Owners::default(), patience: PATIENCE }
    }
}

const PATIENCE: Duration = Duration::from_secs(300);
