//! Directories sealed and restored, for C.
//! Joins what C gives to the facade, and does none of its work.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::ffi::c_char;

use cofferdam::tree::EntryCounts;
use cofferdam::tree_sink::{DeviceFiles, OldTree, Owners, SetIdBits, TreeOptions};
use cofferdam::{Error, Opener, SealedTree, TreeInput, TreeOutcome};

use crate::arguments::{self, write_if_wanted};
use crate::call::{call, usage};
use crate::error::cfd_error;
use crate::handle;
use crate::opener::{cfd_opener, opener_of};
use crate::report::cfd_report;
use crate::sealer::{cfd_sealer, settings};
use crate::source::cfd_source;
use crate::status::cfd_status;

/// Of cfd_open_tree: a process of root's gives files to the owners' numbers, and not first to whoever has their names.
pub const CFD_TREE_NUMERIC_OWNER: u32 = 1;
/// Of cfd_open_tree: files are this process's, root's too.
pub const CFD_TREE_NO_OWNER: u32 = 2;
/// Of cfd_open_tree: set-user-ID and set-group-ID bits are set. Without it they are left out, and counted.
pub const CFD_TREE_SET_ID: u32 = 4;
/// Of cfd_open_tree: device files are made, which takes root. Without it they are left out, and counted.
pub const CFD_TREE_DEVICES: u32 = 8;
/// Of cfd_open_tree: a tree that is replaced is kept beside the new one, as NAME.cofferdam-old.
pub const CFD_TREE_KEEP_OLD: u32 = 16;

/// What came of a tree.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct cfd_tree_report {
    /// The stream that it is.
    pub stream: cfd_report,
    /// Members that it has, directories among them.
    pub entries: u64,
    /// From sealing: files that changed while they were read. They are flagged in the stream, and their bytes may be of several moments.
    pub changed: u64,
    /// From opening: files whose owner could not be set.
    pub owners_left_out: u64,
    /// From opening: extended attributes that could not be set.
    pub xattrs_left_out: u64,
    /// From opening: files whose set-ID bits were left out.
    pub set_id_left_out: u64,
    /// From opening: device files that were not made.
    pub devices_left_out: u64,
    /// From sealing: of the files that changed, those that were gone. Zeros stand for what was not read of them.
    pub gone: u64,
    /// From opening: files whose time the file system cannot hold.
    pub times_left_out: u64,
    /// Zeros, for later.
    pub reserved: [u64; 6],
}

/// Seals the directory at `directory` into a file at `output`, as a tree: all, or nothing. Its plan, which names its files, is kept until then in
/// the directory of cfd_sealer_set_state_dir, which has to be set; an interrupted call leaves it there with what was sealed, and the same call then
/// resumes. Other file systems that are mounted in it are left out. `report` may be NULL; it is written on success alone.
///
/// It blocks, and works on threads of its own as well, which inherit the caller's signal mask. From any thread. Errors: as of cfd_seal.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_seal_tree(
    sealer: *const cfd_sealer,
    directory: *const c_char,
    output: *const c_char,
    report: *mut cfd_tree_report,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for strings.
        let paths = unsafe {
            (arguments::path(directory, "the directory")?, arguments::path(output, "the output's path")?)
        };
        // SAFETY: the header asks for a sealer.
        let _in_use = unsafe { handle::borrow(sealer)? };
        // SAFETY: the same.
        let settings = unsafe { settings(sealer)? };
        let state_dir = settings.state_dir().ok_or_else(|| {
            usage("there is no place for the tree's plan").advise("Set one by cfd_sealer_set_state_dir.")
        })?;
        let sealed =
            settings.into_sealer().seal_tree_resumable(&TreeInput::new(paths.0), paths.1, state_dir)?;
        // SAFETY: the header asks for NULL or room.
        unsafe { write_if_wanted(report, cfd_tree_report::from(&sealed)) };
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// Restores the tree that the stream in `source` is to a directory at `target`, in one step: all, or nothing. It takes the source, whatever it
/// returns. What the opener says of existing targets and of interrupted attempts holds for the directory. `flags` are CFD_TREE_ flags, joined by `|`.
/// `report` may be NULL; it is written on success alone. After an error the target is as it was, but for CFD_DURABILITY_UNKNOWN; what was
/// restored is kept beside it, and the same call resumes from there.
///
/// It blocks, and works on threads of its own as well, which inherit the caller's signal mask. From any thread. Errors: all there are; CFD_USAGE
/// where the stream is no tree, or its file lies in the directory that would be removed: CFD_TREE_KEEP_OLD keeps that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_open_tree(
    opener: *const cfd_opener,
    source: *mut cfd_source,
    target: *const c_char,
    flags: u32,
    report: *mut cfd_tree_report,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a source, and gives it up.
        let source = unsafe { cfd_source::taken(source)? };
        // SAFETY: the header asks for a string.
        let target = unsafe { arguments::path(target, "the target's path")? };
        // SAFETY: the header asks for an opener.
        let _in_use = unsafe { handle::borrow(opener)? };
        // SAFETY: the same.
        let opener = unsafe { opener_of(opener)? };
        let outcome = TreeOutcome::default();
        let opener = opener.trees(options_of(flags)?, &outcome).only_trees();
        let restored = restore(&opener, source, target)?;
        let report_of = cfd_tree_report { stream: cfd_report::from(&restored), ..of_outcome(&outcome) };
        // SAFETY: the header asks for NULL or room.
        unsafe { write_if_wanted(report, report_of) };
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

fn restore(
    opener: &Opener,
    source: cfd_source,
    target: &std::path::Path,
) -> Result<cofferdam::Restored, Error> {
    if let Some(sealed) = source.path() {
        return opener.restore_file(sealed, target);
    }
    let opened = source.open()?;
    let (_lease, source) = (opened.lease, opened.source);
    opener.restore_to(source, target)
}

fn options_of(flags: u32) -> Result<TreeOptions, Error> {
    let known =
        CFD_TREE_NUMERIC_OWNER | CFD_TREE_NO_OWNER | CFD_TREE_SET_ID | CFD_TREE_DEVICES | CFD_TREE_KEEP_OLD;
    let has = |flag| flags & flag != 0;
    if flags & !known != 0 {
        return Err(usage(format!("{flags} has flags that this library does not know")));
    }
    let owners = match (has(CFD_TREE_NUMERIC_OWNER), has(CFD_TREE_NO_OWNER)) {
        (true, true) => return Err(usage("two of the flags say different things of owners")),
        (true, false) => Owners::ByNumber,
        (false, true) => Owners::Ours,
        (false, false) => Owners::ByName,
    };
    let set_id_bits = if has(CFD_TREE_SET_ID) { SetIdBits::Restore } else { SetIdBits::LeaveOut };
    let device_files = if has(CFD_TREE_DEVICES) { DeviceFiles::Restore } else { DeviceFiles::LeaveOut };
    let old_tree = if has(CFD_TREE_KEEP_OLD) { OldTree::Keep } else { OldTree::Remove };
    let options = TreeOptions::default().owners(owners).set_id_bits(set_id_bits);
    Ok(options.device_files(device_files).old_tree(old_tree))
}

impl From<&SealedTree> for cfd_tree_report {
    fn from(tree: &SealedTree) -> cfd_tree_report {
        cfd_tree_report {
            stream: cfd_report::from(&tree.sealed),
            entries: members(&tree.counts),
            changed: tree.changed.count,
            gone: tree.changed.gone,
            ..EMPTY
        }
    }
}

fn of_outcome(outcome: &TreeOutcome) -> cfd_tree_report {
    let Some(restored) = outcome.restored() else { return EMPTY };
    cfd_tree_report {
        entries: members(&restored.counts),
        owners_left_out: restored.left_out.owners,
        xattrs_left_out: restored.left_out.xattrs,
        set_id_left_out: restored.left_out.set_id_bits,
        devices_left_out: restored.left_out.devices,
        times_left_out: restored.left_out.times,
        ..EMPTY
    }
}

fn members(counts: &EntryCounts) -> u64 {
    counts.files + counts.hard_links + counts.symlinks + counts.directories + counts.others
}

const EMPTY: cfd_tree_report = cfd_tree_report {
    stream: crate::report::EMPTY,
    entries: 0,
    changed: 0,
    owners_left_out: 0,
    xattrs_left_out: 0,
    set_id_left_out: 0,
    devices_left_out: 0,
    gone: 0,
    times_left_out: 0,
    reserved: [0; 6],
};
