//! Some of a tree's members as a tree of their own: which are chosen, and its plaintext, read out of the whole one's.
//! Knows no sink. Of the whole plaintext only what it needs is read.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use cofferdam_io::ReadAt;

use crate::{
    Catalog, CatalogWriter, Content, Entry, EntryKind, Globs, Layout, LocatedEntry, Member, Place, TreeError,
    TreePath, WrittenCatalog,
    limits::{ARCHIVE_END_LEN, BLOCK_LEN},
};

/// The plaintext of a tree that has the chosen members of another one, and the directories that they are in.
///
/// A hard link whose target is not chosen becomes the file itself. It can be read at any place; its files' data is read from
/// the whole plaintext when it is.
pub struct Subtree {
    whole: Arc<dyn ReadAt>,
    layout: Layout,
    skeleton: Arc<Skeleton>,
    /// Of each member, where in the whole plaintext its data begins.
    data_at: Vec<u64>,
    len: u64,
}

#[derive(Debug)]
struct Skeleton {
    file: File,
    catalog: WrittenCatalog,
    /// Bytes before the catalog.
    headers_len: u64,
}

impl Subtree {
    /// Chooses the members that `selection` covers of the tree with this catalog, whose plaintext is `whole`. Their headers are kept in a file without a name in `directory`, which should
    /// be this user's alone. None: there are none.
    ///
    /// # Errors
    /// As of a catalog and of headers that are read; the medium's own.
    pub fn new(
        whole: Arc<dyn ReadAt>,
        catalog: &Catalog,
        selection: &Globs,
        directory: &Path,
    ) -> Result<Option<Subtree>, TreeError> {
        let needed = needed_directories(catalog, selection)?;
        let file = tempfile::tempfile_in(directory)
            .map_err(|error| TreeError::io(format!("make a file in {}", directory.display()), error))?;
        let mut chooser = Chooser {
            whole: &*whole,
            catalog,
            selection,
            out: BufWriter::new(file),
            writer: CatalogWriter::new(directory)?,
            data_at: Vec::new(),
            headers_len: 0,
            stand_ins: HashMap::new(),
        };
        let mut chosen = 0_u64;
        for index in 0..catalog.pages() {
            for located in catalog.page(index)?.located_entries() {
                let (path, kind) = (&located.entry.path, located.entry.kind);
                let is_chosen = selection.cover(path, kind);
                if is_chosen || kind == EntryKind::Directory && needed.contains(path) {
                    chosen += u64::from(is_chosen);
                    chooser.take(&located)?;
                }
            }
        }
        match chosen {
            0 => Ok(None),
            _ => chooser.finish(whole.clone()).map(Some),
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        self.layout.for_each_piece(offset..end, &mut |piece| {
            let start = (piece.at - offset) as usize;
            let part = &mut buffer[start..start + piece.len as usize];
            match piece.place {
                Place::Skeleton(at) => self.skeleton.read(at, part),
                Place::File { number, offset, .. } => {
                    self.whole.read_exact_at(self.data_at[number as usize] + offset, part)
                }
            }
        })
    }
}

impl fmt::Debug for Subtree {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Subtree").field("len", &self.len).finish_non_exhaustive()
    }
}

impl ReadAt for Subtree {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match offset.checked_add(buffer.len() as u64).is_some_and(|end| end <= self.len) {
            true => self.read(offset, buffer),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn len(&self) -> u64 {
        self.len
    }
}

impl Skeleton {
    /// Headers and padding, and the catalog behind them.
    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let before = usize::try_from(self.headers_len.saturating_sub(at)).unwrap_or(usize::MAX);
        let (headers, catalog) = buffer.split_at_mut(before.min(buffer.len()));
        self.file.read_exact_at(headers, at)?;
        match catalog {
            [] => Ok(()),
            catalog => self.catalog.read_exact_at(at + headers.len() as u64 - self.headers_len, catalog),
        }
    }
}

/// The catalog at the offsets of the plaintext that it is of.
#[derive(Debug)]
struct CatalogAt {
    skeleton: Arc<Skeleton>,
    tar_len: u64,
    len: u64,
}

impl ReadAt for CatalogAt {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = offset.checked_sub(self.tar_len).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.skeleton.catalog.read_exact_at(at, buffer)
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// The directories that chosen members are in.
fn needed_directories(catalog: &Catalog, selection: &Globs) -> Result<HashSet<TreePath>, TreeError> {
    let mut needed = HashSet::new();
    for index in 0..catalog.pages() {
        for entry in catalog.page(index)?.entries() {
            if selection.cover(&entry.path, entry.kind) {
                let above = std::iter::successors(entry.path.parent(), TreePath::parent);
                for directory in above {
                    if !needed.insert(directory) {
                        break;
                    }
                }
            }
        }
    }
    Ok(needed)
}

struct Chooser<'a> {
    whole: &'a dyn ReadAt,
    catalog: &'a Catalog,
    selection: &'a Globs,
    out: BufWriter<File>,
    writer: CatalogWriter,
    data_at: Vec<u64>,
    headers_len: u64,
    /// Of files that are not chosen, and that chosen hard links lead to: the first of those.
    stand_ins: HashMap<TreePath, TreePath>,
}

impl Chooser<'_> {
    fn take(&mut self, located: &LocatedEntry) -> Result<(), TreeError> {
        let member = located.read_member(self.whole)?;
        if member.kind != EntryKind::HardLink {
            return self.push(&member, located.data_at(), &located.entry);
        }
        let wrong = || TreeError::catalog(located.header_at, "a hard link that leads nowhere");
        let target = TreePath::parse(&member.link).map_err(|_| wrong())?;
        let found = self.catalog.find(&target)?.ok_or_else(wrong)?;
        if self.selection.cover(&target, found.entry.kind) {
            return self.push(&member, 0, &located.entry);
        }
        if let Some(stand_in) = self.stand_ins.get(&target) {
            let member = Member { link: stand_in.as_bytes().to_vec(), ..member };
            return self.push(&member, 0, &located.entry);
        }
        self.stand_ins.insert(target, member.path.clone());
        let file = Member { path: member.path, ..found.read_member(self.whole)? };
        self.push(&file, found.data_at(), &found.entry)
    }

    /// Takes a member, of which the whole tree's catalog says what `known` does.
    fn push(&mut self, member: &Member, data_at: u64, known: &Entry) -> Result<(), TreeError> {
        let header = member.to_header();
        let header = header
            .map_err(|fault| TreeError::io(format!("choose {}", member.path), io::Error::other(fault)))?;
        let padding = member.size.next_multiple_of(BLOCK_LEN as u64) - member.size;
        self.write(&header)?;
        self.write(&[0; BLOCK_LEN][..padding as usize])?;
        self.data_at.push(data_at);
        let (changed, gone) = (known.changed, known.gone);
        self.writer.push(Entry { changed, gone, ..member.to_entry(header.len() as u64) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.headers_len += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| TreeError::io("write the headers of what is chosen", error))
    }

    fn finish(mut self, whole: Arc<dyn ReadAt>) -> Result<Subtree, TreeError> {
        self.write(&[0; ARCHIVE_END_LEN])?;
        let tar_len = self.writer.next_header_at() + ARCHIVE_END_LEN as u64;
        let catalog = self.writer.finish(tar_len)?;
        let file = self.out.into_inner();
        let file =
            file.map_err(|error| TreeError::io("write the headers of what is chosen", error.into_error()))?;
        let len = tar_len + catalog.len();
        let skeleton = Arc::new(Skeleton { file, catalog, headers_len: self.headers_len });
        let at = CatalogAt { skeleton: skeleton.clone(), tar_len, len };
        match Catalog::open(Arc::new(at))? {
            Content::Tree(catalog) => {
                let layout = Layout::new(Arc::new(catalog.check()?));
                Ok(Subtree { whole, layout, skeleton, data_at: self.data_at, len })
            }
            Content::PlainFile { .. } => Err(TreeError::catalog(tar_len, "what is chosen has no catalog")),
        }
    }
}
