//! The model: what is on the medium for sure, what is on the way there, and what is left when the power goes.
//! Knows no calls, no locks and no open files.

use std::{collections::BTreeMap, ffi::OsString, sync::Arc};

use storage::SECTOR_LEN;

/// Names and the files they lead to.
pub(super) type Names = BTreeMap<OsString, u64>;

/// One directory and its files: as every reader sees them, and as they are for sure.
#[derive(Clone, Debug, Default)]
pub(super) struct Medium {
    files: BTreeMap<u64, File>,
    names: Names,
    names_synced: Names,
    names_pending: Vec<Pending<NameChange>>,
    /// Items made so far: each gets its place in time.
    clock: u64,
    inode_last: u64,
}

#[derive(Clone, Debug, Default)]
struct File {
    current: Image,
    synced: Image,
    pending: Vec<Pending<Change>>,
}

/// What a file is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// May go beyond `len`, where a write is kept whose length is lost, and may end before it.
    bytes: Arc<Vec<u8>>,
    pub(super) len: u64,
    pub(super) copy_metadata: CopiedMetadata,
}

/// Whose mode, owner and attributes a file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CopiedMetadata {
    /// Those it was made with.
    #[default]
    Made,
    /// Those of a target.
    Target,
}

/// Something that was done and not settled by a sync, or settled behind something that is not.
#[derive(Clone, Debug)]
struct Pending<C> {
    time: u64,
    state: State,
    change: C,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next sync settles it.
    Unsynced,
    /// A sync of it failed: no later one settles it.
    Doubtful,
    /// Kept, whatever comes.
    Settled,
}

#[derive(Clone, Debug)]
enum Change {
    /// Within one sector.
    Write {
        at: u64,
        data: Vec<u8>,
    },
    Grow {
        len: u64,
    },
    Cut {
        len: u64,
    },
    CopiedMetadata,
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Make { name: OsString, inode: u64 },
    Rename { from: OsString, to: OsString, inode: u64 },
    Remove { name: OsString, inode: u64 },
}

/// What a sync is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Bytes and length.
    Data,
    /// Mode, owner and attributes as well.
    All,
}

impl Medium {
    /// The file that stands at `name`.
    pub(super) fn at(&self, name: &std::ffi::OsStr) -> Option<u64> {
        self.names.get(name).copied()
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// A file as readers see it.
    pub(super) fn image(&self, inode: u64) -> Option<&Image> {
        Some(&self.files.get(&inode)?.current)
    }

    /// Makes an empty file that no name leads to.
    pub(super) fn make_file(&mut self) -> u64 {
        self.inode_last += 1;
        self.files.insert(self.inode_last, File::default());
        self.inode_last
    }

    /// Puts a file there that has been there for long.
    pub(super) fn put(&mut self, name: OsString, bytes: &[u8]) {
        let inode = self.make_file();
        let image = Image {
            bytes: Arc::new(bytes.into()),
            len: bytes.len() as u64,
            copy_metadata: CopiedMetadata::Target,
        };
        self.files.insert(inode, File { current: image.clone(), synced: image, pending: Vec::new() });
        self.names.insert(name.clone(), inode);
        self.names_synced.insert(name, inode);
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        let time = self.tick();
        self.names_pending.push(Pending { time, state: State::Unsynced, change });
    }

    /// Takes `data` at `at`. A length that grows is an item before the bytes that need it, and each sector is one.
    pub(super) fn write(&mut self, inode: u64, data: &[u8], at: u64) {
        let end = at + data.len() as u64;
        // A write of nothing changes no length: pwrite(2).
        if !data.is_empty() && self.image(inode).is_some_and(|image| image.len < end) {
            self.change(inode, Change::Grow { len: end });
        }
        let (mut rest, mut at) = (data, at);
        while !rest.is_empty() {
            let room = SECTOR_LEN - (at % SECTOR_LEN as u64) as usize;
            let (sector, behind) = rest.split_at(room.min(rest.len()));
            self.change(inode, Change::Write { at, data: sector.into() });
            at += sector.len() as u64;
            rest = behind;
        }
    }

    pub(super) fn set_len(&mut self, inode: u64, len: u64) {
        match self.image(inode).map(|image| image.len) {
            Some(current) if current < len => self.change(inode, Change::Grow { len }),
            Some(current) if current > len => self.change(inode, Change::Cut { len }),
            _ => {}
        }
    }

    pub(super) fn copy_metadata_from(&mut self, inode: u64) {
        self.change(inode, Change::CopiedMetadata);
    }

    /// A sync of a file that succeeds.
    pub(super) fn sync_file(&mut self, inode: u64, extent: Extent) {
        if let Some(file) = self.files.get_mut(&inode) {
            settle(&mut file.pending, |change| {
                extent == Extent::All || !matches!(change, Change::CopiedMetadata)
            });
            fold(&mut file.pending, &mut file.synced, |image, change| image.apply(change));
        }
    }

    /// A sync of the names that succeeds.
    pub(super) fn sync_names(&mut self) {
        settle(&mut self.names_pending, |_| true);
        fold(&mut self.names_pending, &mut self.names_synced, |names, change| change.apply(names));
    }

    /// A sync of a file that fails: its bytes are in doubt from now on.
    pub(super) fn doubt(&mut self, inode: u64) {
        let pending = self.files.get_mut(&inode).into_iter().flat_map(|file| &mut file.pending);
        for item in pending.filter(|item| item.state == State::Unsynced) {
            if let Change::Write { .. } = item.change {
                item.state = State::Doubtful;
            }
        }
    }

    /// What memory holds and no sync will bring to the medium is given up: bytes in doubt are lost from now on.
    pub(super) fn drop_page_cache(&mut self, inode: u64) {
        if let Some(file) = self.files.get_mut(&inode) {
            file.pending.retain(|item| item.state != State::Doubtful);
            file.current = file.synced.clone();
            for item in &file.pending {
                file.current.apply(&item.change);
            }
        }
    }

    /// The place in time of each item that may be lost, in the order in which [`Self::after_power_cut`] asks for them.
    pub(super) fn item_times(&self) -> Vec<u64> {
        fn open<C>(pending: &[Pending<C>]) -> impl Iterator<Item = u64> + '_ {
            pending.iter().filter(|item| item.state != State::Settled).map(|item| item.time)
        }
        open(&self.names_pending).chain(self.files.values().flat_map(|file| open(&file.pending))).collect()
    }

    /// What is left of it. `is_kept` is asked once for each item that may be lost.
    pub(super) fn after_power_cut(&self, mut is_kept: impl FnMut() -> bool) -> Medium {
        let mut names = self.names_synced.clone();
        for item in &self.names_pending {
            if item.state == State::Settled || is_kept() {
                item.change.apply(&mut names);
            }
        }
        let mut left = Medium { clock: self.clock, inode_last: self.inode_last, ..Medium::default() };
        for (inode, file) in &self.files {
            let mut image = file.synced.clone();
            for item in &file.pending {
                if item.state == State::Settled || is_kept() {
                    image.apply(&item.change);
                }
            }
            if names.values().any(|named| named == inode) {
                image.forget_beyond_len();
                left.files
                    .insert(*inode, File { current: image.clone(), synced: image, pending: Vec::new() });
            }
        }
        left.names_synced = names.clone();
        left.names = names;
        left
    }

    fn change(&mut self, inode: u64, change: Change) {
        let time = self.tick();
        if let Some(file) = self.files.get_mut(&inode) {
            file.current.apply(&change);
            file.pending.push(Pending { time, state: State::Unsynced, change });
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

impl Image {
    /// Copies what is there at `at`; gives how much.
    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> usize {
        let count = self.len.saturating_sub(at).min(buffer.len() as u64) as usize;
        let from = (at as usize).min(self.bytes.len());
        let stored = (self.bytes.len() - from).min(count);
        buffer[..stored].copy_from_slice(&self.bytes[from..from + stored]);
        buffer[stored..count].fill(0);
        count
    }

    /// Bytes of the medium that it takes.
    pub(super) fn allocated(&self) -> u64 {
        self.bytes.len().next_multiple_of(SECTOR_LEN) as u64
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { at, data } => {
                let bytes = Arc::make_mut(&mut self.bytes);
                let at = *at as usize;
                if bytes.len() < at + data.len() {
                    bytes.resize(at + data.len(), 0);
                }
                bytes[at..at + data.len()].copy_from_slice(data);
            }
            Change::Grow { len } => self.len = *len,
            Change::Cut { len } => {
                self.len = *len;
                self.forget_beyond_len();
            }
            Change::CopiedMetadata => self.copy_metadata = CopiedMetadata::Target,
        }
    }

    fn forget_beyond_len(&mut self) {
        if self.bytes.len() as u64 > self.len {
            Arc::make_mut(&mut self.bytes).truncate(self.len as usize);
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Make { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            NameChange::Rename { from, to, inode } => {
                remove(names, from, *inode);
                names.insert(to.clone(), *inode);
            }
            NameChange::Remove { name, inode } => remove(names, name, *inode),
        }
    }
}

/// Takes a name away, if it leads to that file: another may stand there where an item between was lost.
fn remove(names: &mut Names, name: &OsString, inode: u64) {
    if names.get(name) == Some(&inode) {
        names.remove(name);
    }
}

fn settle<C>(pending: &mut [Pending<C>], is_covered: impl Fn(&C) -> bool) {
    for item in pending.iter_mut().filter(|item| item.state == State::Unsynced) {
        if is_covered(&item.change) {
            item.state = State::Settled;
        }
    }
}

/// Moves what is settled, up to the first item that is not, into what is there for sure.
fn fold<C, T>(pending: &mut Vec<Pending<C>>, into: &mut T, apply: impl Fn(&mut T, &C)) {
    let settled = pending.iter().take_while(|item| item.state == State::Settled).count();
    for item in pending.drain(..settled) {
        apply(into, &item.change);
    }
}
