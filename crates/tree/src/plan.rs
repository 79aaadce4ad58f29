//! What a sealing is going to read: the skeleton of the whole tree, made by one walk and kept in a file.
//! Reads no file's data.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    mem,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use cofferdam_io::ReadAt;
use rustix::fs::{OFlags, Stat};

use crate::{
    Catalog, CatalogWriter, Content, Layout, LeftOut, Member, TreeError, TreeRoot, WalkOptions,
    limits::{ARCHIVE_END_LEN, BLOCK_LEN},
    stamps::{Stamp, StampWriter, Stamps},
    walk::{FoundMember, walk_bare},
    xattrs::XattrReader,
};

/// The plan of a sealing: every header, all padding and the catalog, as they will be sealed, in a file. A sealing that goes on after a crash
/// finds the same plaintext by it, whatever has become of the tree meanwhile.
///
/// It names all files of the tree in clear, so it belongs into a directory of this user's alone.
#[derive(Debug)]
pub struct Plan {
    layout: Layout,
    skeleton: Arc<Skeleton>,
    plain_len: u64,
    /// None where the walk was not asked to note them.
    stamps: Option<Stamps>,
    /// None of one that has no name.
    path: Option<PathBuf>,
}

impl Plan {
    /// Walks the tree, and writes its plan to `path`, where nothing of that name counts before it is whole and durable.
    ///
    /// # Errors
    /// What the walk cannot read, what a tree cannot have; the medium's own.
    pub fn create(root: &TreeRoot, path: &Path, options: &WalkOptions) -> Result<(Plan, LeftOut), TreeError> {
        let fault = |error| TreeError::io(format!("write the plan {}", path.display()), error);
        let [unfinished, unfinished_stamps] =
            [".unfinished", ".unfinished-stamps"].map(|it| beside(path, it));
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let make = |path: &Path| {
            remove(path)?;
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
        };
        let stamps = options.is_stamped().then(|| make(&unfinished_stamps)).transpose().map_err(fault)?;
        let written = write(root, options, make(&unfinished).map_err(fault)?, stamps, directory)?;
        written.file.sync_all().map_err(fault)?;
        written.stamps.iter().try_for_each(Stamps::sync).map_err(fault)?;
        // What was noted for an earlier plan of this name is none of this one's: it is gone, durably, before this one has the name.
        let sync = || File::open(directory).and_then(|directory| directory.sync_all()).map_err(fault);
        all_paths(path).iter().try_for_each(|path| remove(path)).map_err(fault)?;
        sync()?;
        if written.stamps.is_some() {
            std::fs::rename(&unfinished_stamps, stamps_path(path)).map_err(fault)?;
        }
        std::fs::rename(&unfinished, path).map_err(fault)?;
        sync()?;
        Ok((Plan::of_file(written.file, written.stamps, Some(path))?, written.left_out))
    }

    /// Walks the tree, and writes its plan into a file without a name in `directory`: nothing goes on by it, and nothing of it is left,
    /// whatever happens. So it need not be durable.
    ///
    /// # Errors
    /// As of [`create`](Self::create).
    pub fn create_unnamed(
        root: &TreeRoot,
        directory: &Path,
        options: &WalkOptions,
    ) -> Result<(Plan, LeftOut), TreeError> {
        let make = || {
            let file = tempfile::tempfile_in(directory);
            file.map_err(|error| TreeError::io(format!("make a file in {}", directory.display()), error))
        };
        let stamps = options.is_stamped().then(make).transpose()?;
        let written = write(root, options, make()?, stamps, directory)?;
        Ok((Plan::of_file(written.file, written.stamps, None)?, written.left_out))
    }

    /// Opens the plan that an earlier sealing has written to `path`.
    ///
    /// # Errors
    /// It is none, or not whole; the medium's own.
    pub fn open(path: &Path) -> Result<Plan, TreeError> {
        let file = open_regular(path, OpenOptions::new().read(true));
        let fault = |error| TreeError::io(format!("open the plan {}", path.display()), error);
        let stamps = match open_regular(&stamps_path(path), OpenOptions::new().read(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            stamps => Some(Stamps::of(stamps.map_err(fault)?)),
        };
        Plan::of_file(file.map_err(fault)?, stamps, Some(path))
    }

    /// Bytes of the plaintext.
    pub fn plain_len(&self) -> u64 {
        self.plain_len
    }

    /// What lies where in the plaintext.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The skeleton, to be read.
    pub fn skeleton(&self) -> &dyn ReadAt {
        &*self.skeleton
    }

    /// Removes the plan, and what was noted beside it: the sealing has ended.
    ///
    /// # Errors
    /// The medium's own.
    pub fn remove(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        all_paths(path).iter().try_for_each(|path| remove(path))
    }

    /// Whether `stat` is of the very file that was walked as the entry `number`, with nothing of it changed since; true where that was not noted.
    pub(crate) fn is_as_walked(&self, number: u64, stat: &Stat) -> io::Result<bool> {
        match &self.stamps {
            Some(stamps) => stamps.has(number, Stamp::of(stat)),
            None => Ok(true),
        }
    }

    /// Where the numbers of entries are noted that changed while they were read; nowhere, if nothing goes on by this plan.
    pub(crate) fn changes_path(&self) -> Option<PathBuf> {
        self.path.as_deref().map(changes_path)
    }

    fn of_file(file: File, stamps: Option<Stamps>, path: Option<&Path>) -> Result<Plan, TreeError> {
        let fault = |error| match path {
            Some(path) => TreeError::io(format!("read the plan {}", path.display()), error),
            None => TreeError::io("read the plan", error),
        };
        let len = file.metadata().map_err(fault)?.len();
        let mut plain_len = [0; 8];
        // The tail has the plaintext's length; the file is that less the data.
        let at =
            len.checked_sub(PLAIN_LEN_FROM_END).ok_or_else(|| TreeError::catalog(0, "a plan too short"))?;
        file.read_exact_at(&mut plain_len, at).map_err(fault)?;
        let plain_len = u64::from_le_bytes(plain_len);
        let data_len = plain_len.checked_sub(len);
        let data_len = data_len.ok_or_else(|| TreeError::catalog(at, "a plan longer than its tree"))?;
        let skeleton = Arc::new(Skeleton { file, len });
        let source = CatalogOfPlan { skeleton: skeleton.clone(), data_len, plain_len };
        match Catalog::open(Arc::new(source))? {
            Content::PlainFile { .. } => Err(TreeError::catalog(at, "a plan without a catalog")),
            Content::Tree(catalog) => {
                let layout = Layout::new(Arc::new(catalog.check()?));
                if layout.checked().counts().data_len != data_len {
                    return Err(TreeError::catalog(at, "a plan of another length than its tree's"));
                }
                Ok(Plan { layout, skeleton, plain_len, stamps, path: path.map(Path::to_owned) })
            }
        }
    }
}

/// The file of a plan, and what the walk has noted and left out.
struct WrittenPlan {
    file: File,
    stamps: Option<Stamps>,
    left_out: LeftOut,
}

/// Walks the tree, and writes its plan into `file`, and stamps, if they are to be noted; what is spilled meanwhile goes to `directory`.
fn write(
    root: &TreeRoot,
    options: &WalkOptions,
    file: File,
    stamps: Option<File>,
    directory: &Path,
) -> Result<WrittenPlan, TreeError> {
    let fault = |error| TreeError::io(format!("write the plan in {}", directory.display()), error);
    let mut out = BufWriter::with_capacity(WRITE_LEN, file);
    let mut catalog = CatalogWriter::new(directory)?;
    let mut stamps = stamps.map(StampWriter::new);
    let left_out = walk_ahead(root, options, &mut |member, stamp| {
        stamps.iter_mut().try_for_each(|stamps| stamps.push(stamp)).map_err(fault)?;
        push(member, &mut out, &mut catalog, &fault)
    })?;
    out.write_all(&[0; ARCHIVE_END_LEN]).map_err(fault)?;
    let tar_len = catalog.next_header_at() + ARCHIVE_END_LEN as u64;
    copy(&catalog.finish(tar_len)?, &mut out).map_err(fault)?;
    let file = out.into_inner().map_err(|error| fault(error.into_error()))?;
    let stamps = stamps.map(StampWriter::finish).transpose().map_err(fault)?;
    Ok(WrittenPlan { file, stamps, left_out })
}

/// As [`walk`](crate::walk), with stamps; what it finds is taken meanwhile on another thread, which reads the extended attributes as well. Where the system gives none, on
/// this one.
fn walk_ahead(
    root: &TreeRoot,
    options: &WalkOptions,
    take: &mut (dyn FnMut(Member, Stamp) -> Result<(), TreeError> + Send),
) -> Result<LeftOut, TreeError> {
    let stopped = |what: &'static str| TreeError::io("walk the tree", io::Error::other(what));
    let walked = thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel::<Vec<FoundMember>>(BATCHES_AHEAD);
        let take = &mut *take;
        let taker = thread::Builder::new().spawn_scoped(scope, move || {
            let mut xattrs = XattrReader::of_own_thread();
            receiver.into_iter().flatten().try_for_each(|found| {
                let stamp = found.stamp;
                take(found.into_member(&mut xattrs)?, stamp)
            })
        });
        let taker = taker.ok()?;
        // After an error nobody takes anything any more, and the walk ends as well.
        let send = |batch| sender.send(batch).map_err(|_| stopped("nobody takes what it finds"));
        let (mut batch, mut last_listing, mut listings) = (Vec::with_capacity(BATCH_LEN), None, 0);
        let walked = walk_bare(root, options, &mut |found| {
            listings += usize::from(last_listing != Some(found.listing));
            last_listing = Some(found.listing);
            batch.push(found);
            if batch.len() < BATCH_LEN && listings < BATCH_LISTINGS_MAX {
                return Ok(());
            }
            (last_listing, listings) = (None, 0);
            send(mem::replace(&mut batch, Vec::with_capacity(BATCH_LEN)))
        });
        let walked = walked.and_then(|left_out| send(batch).map(|()| left_out));
        drop(sender);
        let taken =
            taker.join().unwrap_or_else(|_| Err(stopped("the thread that takes what it finds has panicked")));
        Some(taken.and(walked))
    });
    walked.unwrap_or_else(|| {
        let mut xattrs = XattrReader::new();
        walk_bare(root, options, &mut |found| {
            let stamp = found.stamp;
            take(found.into_member(&mut xattrs)?, stamp)
        })
    })
}

fn push(
    member: Member,
    out: &mut BufWriter<File>,
    catalog: &mut CatalogWriter,
    fault: &(dyn Fn(io::Error) -> TreeError + Sync),
) -> Result<(), TreeError> {
    let header = member.to_header();
    let header =
        header.map_err(|what| TreeError::io(format!("seal {}", member.path), io::Error::other(what)))?;
    let padding = member.size.next_multiple_of(BLOCK_LEN as u64) - member.size;
    let written = out.write_all(&header).and_then(|()| out.write_all(&[0; BLOCK_LEN][..padding as usize]));
    written.map_err(fault)?;
    catalog.push(member.to_entry(header.len() as u64))
}

/// Opens a regular file: nobody waits for a FIFO that has its name, and no symbolic link is followed.
pub(crate) fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = options.custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy(from: &dyn ReadAt, out: &mut BufWriter<File>) -> io::Result<()> {
    let mut buffer = vec![0; WRITE_LEN];
    let mut at = 0;
    while at < from.len() {
        let len = usize::try_from(from.len() - at).map_or(WRITE_LEN, |left| left.min(WRITE_LEN));
        from.read_exact_at(at, &mut buffer[..len])?;
        out.write_all(&buffer[..len])?;
        at += len as u64;
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn changes_path(plan: &Path) -> PathBuf {
    beside(plan, ".changed")
}

fn stamps_path(plan: &Path) -> PathBuf {
    beside(plan, ".stamps")
}

/// The plan first: without it the others are nothing's.
fn all_paths(plan: &Path) -> [PathBuf; 3] {
    [plan.to_owned(), changes_path(plan), stamps_path(plan)]
}

/// The file of a plan.
#[derive(Debug)]
struct Skeleton {
    file: File,
    len: u64,
}

impl ReadAt for Skeleton {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// The catalog of a plan, at the offsets of the plaintext: all data is before it.
struct CatalogOfPlan {
    skeleton: Arc<Skeleton>,
    data_len: u64,
    plain_len: u64,
}

impl ReadAt for CatalogOfPlan {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let offset = offset.checked_sub(self.data_len).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.skeleton.read_exact_at(offset, buffer)
    }

    fn len(&self) -> u64 {
        self.plain_len
    }
}

/// How far from its end the tail has the length of the plaintext.
const PLAIN_LEN_FROM_END: u64 = 16;
/// Members that a walk hands on together.
const BATCH_LEN: usize = 256;
/// Directories at most that they are in: each is kept open.
const BATCH_LISTINGS_MAX: usize = 16;
/// How many times that a walk is ahead.
const BATCHES_AHEAD: usize = 4;
/// What is written at a time.
const WRITE_LEN: usize = 256 << 10;
