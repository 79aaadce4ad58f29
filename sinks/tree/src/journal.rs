//! The journal beside a target: whose attempt it is, which directory it fills, and what it was about to replace. Behind that the tree's skeleton.
//! Knows nothing of what follows from it.
//!
//! All numbers are little-endian. The header is that of every journal of that name, so that the writers of files know a tree's
//! attempt when they meet it. Each record lies within one sector; its last four bytes are the CRC-32 (IEEE) of all before them.
//!
//! ```text
//!     0  header, 512 bytes: see `local::journal_header`
//! 12288  place, 128 bytes: magic 8, directory 24, zeros, CRC-32
//! 16384  intent, 128 bytes: magic 8, directory 24, replaces u32, keeps u32, options u32, zeros, CRC-32
//! 24576  root, 128 bytes: magic 8, where in the skeleton its header is u64, its length u64, zeros, CRC-32
//! 28672  made, 256 bytes: magic 8, what the tree is made of and what was left out, each a u64, zeros, CRC-32
//! 65536  the skeleton (TREE T4.5), of which the end may be missing
//!
//! directory := inode u64, seconds i64, nanoseconds u32, zeros 4    when it was made; nanoseconds 0xFFFFFFFF where nobody knows
//! ```
//!
//! The intent's directory is the tree that the target was before, zeros where `replaces` is 0. Options are 0 where
//! nobody has noted them, else 1, and 2 for owners by number or 4 for nobody's but ours, 8 with set-id bits, 16 with device files.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
    sync::Arc,
};

use cofferdam_io::retried;
use contract::AttemptId;
use local::journal_header::{Header, JOURNAL_LEN_MAX, header};
use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fsync, openat, unlinkat},
    io::Errno,
    process::geteuid,
};
use storage::{
    OnPartial, SECTOR_LEN, TargetError,
    sector::{self, is_whole, u32_at, u64_at},
};

use tree::{
    ArchiveScanner, Member,
    limits::{BLOCK_LEN, HEADER_LEN_MAX},
};

use crate::{
    directory_id::{DirectoryId, Found},
    made::{MADE_LEN, Made},
    options::{AttributeOptions, DeviceFiles, OldTree, Owners, SetIdBits},
};

/// A journal that is locked as long as it is open.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Arc<File>,
    name: OsString,
}

/// What a journal says.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) header: Header,
    /// The directory that the attempt fills.
    pub(crate) place: Option<DirectoryId>,
    pub(crate) intent: Option<Intent>,
}

/// The directory was whole and durable, and about to become the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Intent {
    /// The tree that the target was until then.
    pub(crate) replaced: Option<DirectoryId>,
    /// What becomes of that.
    pub(crate) old_tree: OldTree,
    /// By which its members were given what they have. None: nobody has noted that.
    pub(crate) options: Option<AttributeOptions>,
}

/// A tree is moved into a directory, and replaces none.
pub(crate) const MOVING: Intent = Intent { replaced: None, old_tree: OldTree::Remove, options: None };

/// Where in the skeleton a header is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HeaderPlace {
    pub(crate) at: u64,
    pub(crate) len: u64,
}

/// What a journal says of the tree's root.
#[derive(Debug)]
pub(crate) enum RootNote {
    /// Nothing.
    Unknown,
    /// It is no member.
    Implicit,
    Member(Box<Member>),
}

/// Whose journal is at the name.
pub(crate) enum Locked {
    /// Nobody's was: a new one is.
    New(Journal),
    Found(Journal),
}

impl Journal {
    /// Takes the journal at `name`, or makes one. What is not this user's alone is refused: who could write it could have it name any directory.
    /// Where an earlier attempt is discarded anyway, it is removed instead, unread.
    pub(crate) fn lock(
        directory: &OwnedFd,
        name: &OsStr,
        path: &Path,
        on_partial: OnPartial,
    ) -> Result<Locked, TargetError> {
        for _ in 0..ATTEMPTS_MAX {
            let made = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match retried(|| openat(directory, name, made, Mode::RUSR | Mode::WUSR)) {
                Ok(file) => {
                    if let Some(journal) = Journal::lock_file(directory, name, path, file)? {
                        return Ok(Locked::New(journal));
                    }
                    continue;
                }
                Err(Errno::EXIST) => {}
                Err(error) => {
                    let parent = path.parent().unwrap_or(Path::new(".")).to_owned();
                    return Err(TargetError::NotWritable { directory: parent, source: error.into() });
                }
            }
            match Journal::find(directory, name, path) {
                Ok(Some(journal)) => return Ok(Locked::Found(journal)),
                Ok(None) => {}
                Err(TargetError::NotOurs { .. } | TargetError::OpenToOthers { .. })
                    if on_partial == OnPartial::Discard =>
                {
                    let removed = unlinkat(directory, name, AtFlags::empty());
                    removed.map_err(|error| TargetError::io(path, "remove", error))?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(held(path))
    }

    /// What the journal at `name` says, if there is one. It may be at work.
    pub(crate) fn look(
        directory: &OwnedFd,
        name: &OsStr,
        path: &Path,
    ) -> Result<Option<Records>, TargetError> {
        let Some(file) = Journal::open(directory, name, path)? else { return Ok(None) };
        let journal = Journal { file: Arc::new(file.into()), name: name.to_owned() };
        journal.read().map(Some).map_err(|error| TargetError::io(path, "read", error))
    }

    /// Takes the journal at `name`, if there is one.
    pub(crate) fn find(
        directory: &OwnedFd,
        name: &OsStr,
        path: &Path,
    ) -> Result<Option<Journal>, TargetError> {
        match Journal::open(directory, name, path)? {
            Some(file) => Journal::lock_file(directory, name, path, file),
            None => Ok(None),
        }
    }

    /// Opens what is this user's alone.
    fn open(directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<Option<OwnedFd>, TargetError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match retried(|| openat(directory, name, flags, Mode::empty())) {
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => {
                return Err(TargetError::InTheWay { staging: path.to_owned() });
            }
            file => file.map_err(|error| TargetError::io(path, "open", error))?,
        };
        check_ours(&file, path)?;
        Ok(Some(file))
    }

    /// None: another file has the name by now.
    fn lock_file(
        directory: &OwnedFd,
        name: &OsStr,
        path: &Path,
        file: OwnedFd,
    ) -> Result<Option<Journal>, TargetError> {
        let fault = |error: io::Error| TargetError::io(path, "lock", error);
        match retried(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Err(Errno::WOULDBLOCK) => return Err(held(path)),
            locked => locked.map_err(|error| fault(error.into()))?,
        }
        let there = Found::at(directory, name).map_err(|error| fault(error.into()))?;
        let ours = Found::of(&file).map_err(fault)?;
        let stands = there.is_some_and(|there| (there.id, there.device) == (ours.id, ours.device));
        Ok(stands.then(|| Journal { file: Arc::new(file.into()), name: name.to_owned() }))
    }

    pub(crate) fn read(&self) -> io::Result<Records> {
        let mut bytes = vec![0; SKELETON_AT as usize];
        let mut len = 0;
        while len < bytes.len() {
            match self.file.read_at(&mut bytes[len..], len as u64) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Records::parse(&bytes, len))
    }

    /// Begins anew: nothing of what it has said counts any more.
    pub(crate) fn begin(&self, attempt_id: &AttemptId) -> io::Result<()> {
        self.erase()?;
        self.file.write_all_at(&header(attempt_id), 0)
    }

    /// Forgets everything, durably where it said anything.
    fn erase(&self) -> io::Result<()> {
        if self.file.metadata()?.len() > 0 {
            self.file.set_len(0)?;
            self.file.sync_all()?;
        }
        Ok(())
    }

    /// Notes which directory is filled, durably, before anything is in it: without that a power cut leaves what nobody knows.
    pub(crate) fn fill(&self, place: DirectoryId, directory: &OwnedFd) -> io::Result<()> {
        self.file.write_all_at(&place_record(place), PLACE_AT)?;
        self.file.sync_all()?;
        Ok(fsync(directory)?)
    }

    /// Has nobody go on with the attempt, durably. What is left is which directory it filled, so that whoever comes next knows what may be removed.
    pub(crate) fn give_up(&self) -> io::Result<()> {
        self.file.write_all_at(&header(&nameless()), 0)?;
        self.file.sync_all()
    }

    /// Notes, durably, that the directory is about to become the target.
    pub(crate) fn intend(&self, intent: &Intent, directory: &OwnedFd) -> io::Result<()> {
        self.file.write_all_at(&intent_record(intent), INTENT_AT)?;
        self.file.sync_all()?;
        Ok(fsync(directory)?)
    }

    /// Notes where in the skeleton the root's header is; none: it has none. It is durable with the intent.
    pub(crate) fn note_root(&self, header: Option<HeaderPlace>) -> io::Result<()> {
        self.file.write_all_at(&root_record(header), ROOT_AT)
    }

    /// Notes what is about to become the target, for whoever finds it there. It is durable with the intent.
    pub(crate) fn note_made(&self, made: &Made) -> io::Result<()> {
        self.file.write_all_at(&made.to_record(), MADE_AT)
    }

    /// What an attempt had made, if it has noted that.
    pub(crate) fn made(&self) -> io::Result<Option<Made>> {
        let mut record = [0; MADE_LEN];
        read_or_zeros(&self.file, &mut record, MADE_AT)?;
        Ok(Made::parse(&record))
    }

    /// What the root of the tree is to have, as far as that is known without a look at the tree.
    pub(crate) fn root(&self) -> io::Result<RootNote> {
        let mut record = [0; RECORD_LEN];
        read_or_zeros(&self.file, &mut record, ROOT_AT)?;
        let at = match is_whole(&record) && record.starts_with(ROOT_MAGIC) {
            true if u64_at(&record, 16) == 0 => return Ok(RootNote::Implicit),
            true => u64_at(&record, 8),
            // Of an attempt that died before it noted that, the first member may be the root.
            false => 0,
        };
        let root = self.skeleton().member_at(at)?.filter(|member| member.path.is_root());
        Ok(root.map_or(RootNote::Unknown, |member| RootNote::Member(Box::new(member))))
    }

    /// Syncs it for what that says of the medium.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.write_all_at(&[0], UNUSED_AT)?;
        self.file.sync_all()
    }

    /// The skeleton, kept in it.
    pub(crate) fn skeleton(&self) -> Skeleton {
        Skeleton { file: self.file.clone() }
    }

    /// Removes it, if it is what is at its name.
    pub(crate) fn remove(&self, directory: &OwnedFd) -> io::Result<()> {
        match Found::at(directory, &self.name)? {
            Some(there) if there.id == DirectoryId::of(&*self.file)? => {
                Ok(unlinkat(directory, &*self.name, AtFlags::empty())?)
            }
            _ => Ok(()),
        }
    }
}

/// Headers, padding and catalog, one behind the other, in a file of this user's alone.
#[derive(Debug)]
pub(crate) struct Skeleton {
    file: Arc<File>,
}

impl Skeleton {
    pub(crate) fn write_all_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(data, SKELETON_AT + at)
    }

    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, SKELETON_AT + at)
    }

    /// Fills `buffer` with what is there; zeros stand for what is not.
    pub(crate) fn read_claim(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        read_or_zeros(&self.file, buffer, SKELETON_AT + at)
    }

    /// The member whose header is at `at`, if one is: what there is of the skeleton need not be whole.
    fn member_at(&self, at: u64) -> io::Result<Option<Member>> {
        let (mut scanner, mut first) = (ArchiveScanner::default(), None);
        let mut block = [0; BLOCK_LEN];
        for offset in (0..HEADER_LEN_MAX as u64).step_by(BLOCK_LEN) {
            self.read_claim(&mut block, at + offset)?;
            let pushed = scanner.push(&block, &mut |found| {
                first = Some(found.member);
                Ok(())
            });
            if pushed.is_err() || first.is_some() {
                break;
            }
        }
        Ok(first)
    }

    /// Gives up what of it is behind `len`.
    pub(crate) fn cut(&self, len: u64) -> io::Result<()> {
        match self.file.metadata()?.len() > SKELETON_AT + len {
            true => self.file.set_len(SKELETON_AT + len),
            false => Ok(()),
        }
    }
}

/// Fills `buffer` from `at` on; zeros stand for what is behind the end.
pub(crate) fn read_or_zeros(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer[done..].fill(0);
    Ok(())
}

impl Records {
    /// Of a journal whose first `len` bytes are in `bytes`, and zeros behind them.
    fn parse(bytes: &[u8], len: usize) -> Records {
        let record = |at: u64, magic: &[u8; 8]| {
            let record = &bytes[at as usize..][..RECORD_LEN];
            (is_whole(record) && record.starts_with(magic)).then_some(record)
        };
        Records {
            header: Header::of_journal(&bytes[..len.min(JOURNAL_LEN_MAX)]),
            place: record(PLACE_AT, PLACE_MAGIC).map(|record| parse_directory(&record[8..32])),
            intent: record(INTENT_AT, INTENT_MAGIC).map(|record| Intent {
                replaced: (u32_at(record, 32) != 0).then(|| parse_directory(&record[8..32])),
                old_tree: if u32_at(record, 36) == 0 { OldTree::Remove } else { OldTree::Keep },
                options: parse_options(u32_at(record, 40)),
            }),
        }
    }
}

/// The id of an attempt that nobody goes on with.
pub(crate) fn nameless() -> AttemptId {
    AttemptId::new(NAMELESS).expect("it is short")
}

fn place_record(place: DirectoryId) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[..8].copy_from_slice(PLACE_MAGIC);
    bytes[8..32].copy_from_slice(&directory(place));
    sector::close(&mut bytes);
    bytes
}

fn intent_record(intent: &Intent) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[..8].copy_from_slice(INTENT_MAGIC);
    if let Some(replaced) = intent.replaced {
        bytes[8..32].copy_from_slice(&directory(replaced));
        bytes[32] = 1;
    }
    bytes[36] = u8::from(intent.old_tree == OldTree::Keep);
    bytes[40..44].copy_from_slice(&intent.options.map_or(0, options_number).to_le_bytes());
    sector::close(&mut bytes);
    bytes
}

fn options_number(options: AttributeOptions) -> u32 {
    let owners = match options.owners {
        Owners::ByName => 0,
        Owners::ByNumber => BY_NUMBER,
        Owners::Ours => OURS,
    };
    let set_id = if options.set_id_bits == SetIdBits::Restore { WITH_SET_ID } else { 0 };
    let devices = if options.device_files == DeviceFiles::Restore { WITH_DEVICES } else { 0 };
    NOTED | owners | set_id | devices
}

fn parse_options(number: u32) -> Option<AttributeOptions> {
    let has = |bit| number & bit != 0;
    has(NOTED).then(|| AttributeOptions {
        owners: match (has(BY_NUMBER), has(OURS)) {
            (true, _) => Owners::ByNumber,
            (false, true) => Owners::Ours,
            (false, false) => Owners::ByName,
        },
        set_id_bits: if has(WITH_SET_ID) { SetIdBits::Restore } else { SetIdBits::LeaveOut },
        device_files: if has(WITH_DEVICES) { DeviceFiles::Restore } else { DeviceFiles::LeaveOut },
    })
}

fn root_record(header: Option<HeaderPlace>) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[..8].copy_from_slice(ROOT_MAGIC);
    if let Some(HeaderPlace { at, len }) = header {
        bytes[8..16].copy_from_slice(&at.to_le_bytes());
        bytes[16..24].copy_from_slice(&len.to_le_bytes());
    }
    sector::close(&mut bytes);
    bytes
}

fn directory(id: DirectoryId) -> [u8; 24] {
    let (seconds, nanos) = id.created.unwrap_or((0, UNKNOWN));
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&id.inode.to_le_bytes());
    bytes[8..16].copy_from_slice(&seconds.to_le_bytes());
    bytes[16..20].copy_from_slice(&nanos.to_le_bytes());
    bytes
}

fn parse_directory(bytes: &[u8]) -> DirectoryId {
    let created = (u64_at(bytes, 8).cast_signed(), u32_at(bytes, 16));
    DirectoryId { inode: u64_at(bytes, 0), created: (created.1 != UNKNOWN).then_some(created) }
}

fn check_ours(file: &impl AsFd, path: &Path) -> Result<(), TargetError> {
    let found = Found::of(file).map_err(|error| TargetError::io(path, "examine", error))?;
    let path = path.to_owned();
    if found.kind != FileType::RegularFile {
        return Err(TargetError::InTheWay { staging: path });
    }
    if found.owner.0 != geteuid().as_raw() {
        return Err(TargetError::NotOurs { path, owner: found.owner.0 });
    }
    if found.links > 1 {
        return Err(TargetError::Shared { path });
    }
    match found.mode & 0o077 {
        0 => Ok(()),
        _ => Err(TargetError::OpenToOthers { path }),
    }
}

fn held(path: &Path) -> TargetError {
    TargetError::Held { path: path.to_owned(), staging: path.to_owned() }
}

/// The attempt that nobody goes on with.
pub(crate) const NAMELESS: &[u8] = b"cofferdam/v1/tree";
const PLACE_AT: u64 = 12_288;
const INTENT_AT: u64 = 16_384;
/// A byte that says nothing, to be written where a sync has to have something to do.
const UNUSED_AT: u64 = 20_480;
const ROOT_AT: u64 = 24_576;
const MADE_AT: u64 = 28_672;
const SKELETON_AT: u64 = 65_536;
/// Of place, intent and root.
const RECORD_LEN: usize = 128;
const PLACE_MAGIC: &[u8; 8] = b"CFDTPLC\x01";
const INTENT_MAGIC: &[u8; 8] = b"CFDTINT\x01";
const ROOT_MAGIC: &[u8; 8] = b"CFDTROT\x01";
const UNKNOWN: u32 = u32::MAX;
/// Bits of an intent's options.
const NOTED: u32 = 1;
const BY_NUMBER: u32 = 2;
const OURS: u32 = 4;
const WITH_SET_ID: u32 = 8;
const WITH_DEVICES: u32 = 16;
/// Attempts at making or finding a journal while others make and remove theirs.
const ATTEMPTS_MAX: usize = 16;
const _: () = assert!(RECORD_LEN <= SECTOR_LEN && JOURNAL_LEN_MAX as u64 <= PLACE_AT);
const _: () =
    assert!(PLACE_AT.is_multiple_of(SECTOR_LEN as u64) && INTENT_AT.is_multiple_of(SECTOR_LEN as u64));
const _: () = assert!(ROOT_AT.is_multiple_of(SECTOR_LEN as u64) && ROOT_AT > UNUSED_AT && ROOT_AT < MADE_AT);
const _: () =
    assert!(MADE_AT.is_multiple_of(SECTOR_LEN as u64) && MADE_LEN <= SECTOR_LEN && MADE_AT < SKELETON_AT);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::TreeOptions;

    /// Each by itself, and all at once, as far as they go together.
    #[test]
    fn options_come_back_as_they_were_noted() {
        assert_eq!(parse_options(0), None);
        for owners in [Owners::ByName, Owners::ByNumber, Owners::Ours] {
            for set_id_bits in [SetIdBits::LeaveOut, SetIdBits::Restore] {
                for device_files in [DeviceFiles::LeaveOut, DeviceFiles::Restore] {
                    let options = AttributeOptions { owners, set_id_bits, device_files };
                    assert_eq!(parse_options(options_number(options)), Some(options));
                }
            }
        }
    }

    #[test]
    fn records_come_back_and_none_with_a_bit_changed_counts() {
        let id = DirectoryId { inode: 7, created: Some((-3, 999)) };
        let intent = Intent {
            replaced: Some(DirectoryId { inode: 8, created: None }),
            old_tree: OldTree::Keep,
            options: TreeOptions::default().set_id_bits(SetIdBits::Restore).attribute_options().into(),
        };
        let mut bytes = vec![0; SKELETON_AT as usize];
        let attempt = AttemptId::new(b"an attempt").unwrap();
        bytes[..512].copy_from_slice(&header(&attempt));
        bytes[PLACE_AT as usize..][..RECORD_LEN].copy_from_slice(&place_record(id));
        bytes[INTENT_AT as usize..][..RECORD_LEN].copy_from_slice(&intent_record(&intent));
        let Records { header, place, intent: found, .. } = Records::parse(&bytes, bytes.len());
        assert_eq!((header, place, found), (Header::Valid(attempt), Some(id), Some(intent)));
        for bit in 0..RECORD_LEN * 8 {
            for at in [PLACE_AT, INTENT_AT] {
                let mut damaged = bytes.clone();
                damaged[at as usize + bit / 8] ^= 1 << (bit % 8);
                let found = Records::parse(&damaged, damaged.len());
                assert_eq!(found.place.is_none(), at == PLACE_AT, "bit {bit} from {at} on");
                assert_eq!(found.intent.is_none(), at == INTENT_AT, "bit {bit} from {at} on");
            }
        }
    }
}
