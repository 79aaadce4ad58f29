//! The members of a sealed tree, for C: listed, found, and read one by one.
//! Joins what C gives to the facade's catalog, and does none of its work.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::collections::HashSet;
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use cofferdam::tree::{Catalog, Content, Entry, EntryKind, LocatedEntry, TreePath};
use cofferdam::{Error, Reader, tree_content, tree_error};
use lent::Held;

use crate::arguments::{self, Out, bytes_mut};
use crate::call::{call, usage, value_or};
use crate::error::cfd_error;
use crate::handle::{self, Object};
use crate::opener::{cfd_opener, opener_of};
use crate::source::cfd_source;
use crate::source_callbacks::outcome_of;
use crate::status::cfd_status;

/// The members of a sealed tree, each of which can be read without the others. What it gives is authentic, as a cfd_reader's is. Any number of
/// threads may use it at once. It belongs to the process that has made it: in a forked child it is CFD_USAGE, and freeing it there frees
/// nothing.
pub struct cfd_tree {
    catalog: Catalog,
    /// Numbers of files whose headers have been found to say what the catalog says.
    checked: Mutex<HashSet<u64>>,
    /// Before the lease: it has to end before what it reads is given back.
    reader: Arc<Reader>,
    _lease: Option<Box<dyn Held>>,
}

impl Object for cfd_tree {
    const MAGIC: u64 = 0x6366_645f_7472_6565;
    const NAME: &'static str = "tree";
    const HAS_THREADS: bool = true;
}

/// What a member of a tree is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct cfd_entry {
    /// Names it in this tree: for cfd_tree_read_at.
    pub number: u64,
    /// Bytes of a file's contents; of a hard link those of the file that it is another name of.
    pub size: u64,
    /// When its contents last changed: seconds since 1970, which may be negative.
    pub modified_seconds: i64,
    /// Nanoseconds of that second.
    pub modified_nanos: u32,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// What it is, as tar writes it: '0' a file, '1' a hard link, '2' a symbolic link, '3' a character device, '4' a block device, '5' a
    /// directory, '6' a FIFO.
    pub kind: u8,
    /// Whether the file changed while it was sealed: its bytes may be of several moments.
    pub changed: bool,
    /// Whether the file was gone when it was read, and zeros stand for it, or for the rest of it; then it has changed as well.
    pub gone: bool,
    /// Zeros, for later.
    pub reserved: [u8; 29],
}

/// Is told of one member: its path, without "./" before it ("." is the tree's own directory); of a hard link the path of the file, of a symbolic
/// link its target, of others NULL; and what it is. All three stay until it returns. 0, or an errno value, which ends the list.
pub type cfd_on_entry = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        path: *const c_char,
        link: *const c_char,
        entry: *const cfd_entry,
    ) -> c_int,
>;

/// The tree that the stream in `source` is, into `*tree`. It takes the source, whatever it returns. Yours, until cfd_tree_free. It holds a share
/// of the opener's memory, as a cfd_reader does. Errors: those of cfd_reader_new; CFD_USAGE where the stream is no tree, or is one without a catalog;
/// CFD_DAMAGED where it says that it is one, and is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_tree_new(
    opener: *const cfd_opener,
    source: *mut cfd_source,
    tree: *mut *mut cfd_tree,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a source, and gives it up.
        let source = unsafe { cfd_source::taken(source)? };
        // SAFETY: the header asks for room for a pointer.
        let room = unsafe { Out::new(tree, "the place for the tree")? };
        // SAFETY: the header asks for an opener.
        let opener = unsafe { opener_of(opener)? };
        let opened = source.open()?;
        let lease = opened.lease;
        let reader = Arc::new(opener.reader(opened.source)?);
        let Content::Tree(catalog) = tree_content(&reader)? else {
            return Err(usage("the stream is no tree, or one without a catalog")
                .advise("cfd_reader_new reads what it is: a file, or a tar archive."));
        };
        room.write(handle::give(cfd_tree { catalog, checked: Mutex::default(), reader, _lease: lease }));
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// How many members there are. 0 where `tree` is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_tree_count(tree: *const cfd_tree) -> u64 {
    // SAFETY: the header asks for NULL or a tree.
    value_or(0, || unsafe { handle::borrow(tree) }.map(|tree| tree.catalog.entries()))
}

/// Tells `on_entry` of `path` and of all that is below it, in the order of their paths, where '/' comes before every other byte; of the whole tree
/// where `path` is NULL. Nothing is told where nothing is there. It is called on this thread. Errors: CFD_USAGE where `path` can be none; CFD_IO
/// with what `on_entry` returned; those of cfd_reader_read_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_tree_list(
    tree: *const cfd_tree,
    path: *const c_char,
    on_entry: cfd_on_entry,
    context: *mut c_void,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a tree.
        let tree = unsafe { handle::borrow(tree)? };
        let on_entry = on_entry.ok_or_else(|| usage("`on_entry` is NULL"))?;
        let path = match path.is_null() {
            true => TreePath::root(),
            // SAFETY: it is not NULL, so it is a string.
            false => unsafe { tree_path(path)? },
        };
        let first = tree.catalog.place_of(&path).map_err(tree_error)?;
        for located in tree.catalog.in_order(first..u64::MAX) {
            let located = located.map_err(tree_error)?;
            let entry = &located.entry;
            if !(path.is_root() || entry.path == path || entry.path.is_below(&path)) {
                break;
            }
            // Neither has a NUL in it (TREE T2.1, T1.9).
            let name = CString::new(entry.path.as_bytes()).unwrap_or_default();
            let link = CString::new(&*entry.link).unwrap_or_default();
            let link = if entry.link.is_empty() { std::ptr::null() } else { link.as_ptr() };
            let told = tree.entry_of(&located)?;
            // SAFETY: the header asks for such a function, and what it is given lives until it returns.
            let returned = unsafe { on_entry(context, name.as_ptr(), link, &raw const told) };
            outcome_of(returned).map_err(|source| Error::io("the list was ended by its callback", source))?;
        }
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// Looks for the member at `path`. `*found` says whether there is one, and `*entry` then what it is. Errors: CFD_USAGE where `path` can be none;
/// those of cfd_reader_read_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_tree_find(
    tree: *const cfd_tree,
    path: *const c_char,
    entry: *mut cfd_entry,
    found: *mut bool,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a tree.
        let tree = unsafe { handle::borrow(tree)? };
        // SAFETY: the header asks for room for both.
        let rooms = unsafe { (Out::new(entry, "the place for the entry")?, Out::new(found, "`found`")?) };
        // SAFETY: the header asks for a string.
        let path = unsafe { tree_path(path)? };
        let located = tree.catalog.find(&path).map_err(tree_error)?;
        if let Some(located) = &located {
            rooms.0.write(tree.entry_of(located)?);
        }
        rooms.1.write(located.is_some());
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// Fills `buffer` with the `len` bytes from `offset` on of the file that is the entry `number`, or that it is a hard link to. `*count` says how many
/// it is: fewer only at the file's end, 0 behind it. After an error the buffer holds nothing of use. Errors: CFD_USAGE where it is no
/// file; CFD_DAMAGED where the file's own header says something else than the catalog; those of cfd_reader_read_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_tree_read_at(
    tree: *const cfd_tree,
    number: u64,
    offset: u64,
    buffer: *mut c_void,
    len: usize,
    count: *mut usize,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a tree.
        let tree = unsafe { handle::borrow(tree)? };
        // SAFETY: the header asks for room for a number.
        let room = unsafe { Out::new(count, "the place for the count")? };
        // SAFETY: the header asks for this buffer, which is the call's alone.
        let buffer = unsafe { bytes_mut(buffer, len, "the buffer")? };
        let located = tree.catalog.entry(number).map_err(tree_error)?;
        let located = located.ok_or_else(|| usage(format!("the tree has no entry {number}")))?;
        let file = tree.resolved(&located)?;
        let file = file.as_ref().unwrap_or(&located);
        if file.entry.kind != EntryKind::File {
            return Err(usage(format!("{} is no file", located.entry.path)));
        }
        tree.check_header(file)?;
        let left = file.entry.size.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(len, |left| left.min(len));
        // What lies within the file lies within the plaintext, and is there or an error.
        let read = match wanted {
            0 => 0,
            _ => tree.reader.read_at(file.data_at() + offset, &mut buffer[..wanted])?,
        };
        room.write(read);
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// Frees a tree that no call uses, and waits until nobody reads its source. NULL is no error. CFD_USAGE: it has been freed (found in builds for
/// debugging).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_tree_free(tree: *mut cfd_tree) -> cfd_status {
    // SAFETY: the header asks for NULL or a tree that nobody uses.
    unsafe { handle::free(tree) }
}

impl cfd_tree {
    fn entry_of(&self, located: &LocatedEntry) -> Result<cfd_entry, Error> {
        let Entry { mode, uid, gid, modified, changed, gone, .. } = located.entry;
        let file = self.resolved(located)?;
        Ok(cfd_entry {
            number: located.number,
            size: file.as_ref().unwrap_or(located).entry.size,
            modified_seconds: modified.seconds,
            modified_nanos: modified.nanos,
            mode,
            uid,
            gid,
            kind: located.entry.kind.typeflag(),
            changed,
            gone,
            reserved: [0; 29],
        })
    }

    /// Headers decide (TREE T6.3): nothing is given out of a file whose own header says something else than the catalog.
    fn check_header(&self, file: &LocatedEntry) -> Result<(), Error> {
        let checked = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked().contains(&file.number) {
            return Ok(());
        }
        file.read_member(&*self.reader).map_err(tree_error)?;
        let mut checked = checked();
        if checked.len() >= CHECKED_MAX {
            checked.clear();
        }
        checked.insert(file.number);
        Ok(())
    }

    /// What a hard link is a name of; none where it is no hard link.
    fn resolved(&self, located: &LocatedEntry) -> Result<Option<LocatedEntry>, Error> {
        if located.entry.kind != EntryKind::HardLink {
            return Ok(None);
        }
        let target = TreePath::parse(&located.entry.link).ok();
        let found =
            target.map(|target| self.catalog.find(&target)).transpose().map_err(tree_error)?.flatten();
        let has_bytes = |found: &LocatedEntry| {
            found.number < located.number
                && !matches!(found.entry.kind, EntryKind::Directory | EntryKind::HardLink)
        };
        let wrong = || {
            let what = format!("{} is a hard link to what none can lead to", located.entry.path);
            Error::new(cofferdam::ErrorKind::Damaged, what)
        };
        found.filter(has_bytes).ok_or_else(wrong).map(Some)
    }
}

/// # Safety
/// As of [`arguments::path`].
unsafe fn tree_path(path: *const c_char) -> Result<TreePath, Error> {
    // SAFETY: the same is asked for here.
    let path = unsafe { arguments::path(path, "the path")? };
    TreePath::parse(path.as_os_str().as_encoded_bytes())
        .map_err(|fault| usage(format!("no tree has a path {}: {fault}", path.display())))
}

/// Numbers that are kept of files whose headers have been looked at.
const CHECKED_MAX: usize = 1 << 16;
