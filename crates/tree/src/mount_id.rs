//! Which mount a file or directory is in: where that changes, something else is mounted.
//! Knows no path.

use rustix::fs::{Statx, StatxFlags};

/// The mount that something is in. Files of one mount may have several device numbers, as those of an overlay have whose layers are of several file
/// systems; two mounts of one file system have the same. Compared within a process alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MountId {
    /// Its number, which Linux tells since 5.8.
    Mount(u64),
    /// The device's before that: a directory of the same file system that is mounted there is not seen.
    Device(u32, u32),
}

impl MountId {
    /// Of what statx(2) told, if it was asked for [`MountId::MASK`].
    pub fn of(told: &Statx) -> MountId {
        match StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::MNT_ID) {
            true => MountId::Mount(told.stx_mnt_id),
            false => MountId::Device(told.stx_dev_major, told.stx_dev_minor),
        }
    }

    /// What has to be asked for.
    pub const MASK: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);
}
