//! An archive that another program writes, as a source: its bytes as they come, then the catalog of what was in them.
//! Knows nothing of who writes it, and makes no file but those without a name that the catalog is kept in.

use std::{
    fmt, io, mem,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use cofferdam_io::ReadAt;
use sources::{Arrival, Source};

use crate::{
    ArchiveScanner, Catalog, CatalogWriter, Content, EntryCounts, TreeError, WrittenCatalog,
    header::FirstBlock,
    limits::{ARCHIVE_END_LEN, BLOCK_LEN},
};

/// An archive that comes in order, as the plaintext of a tree: every byte of it as it is, then its catalog (TREE §3 to §5).
///
/// An archive that leaves the strict profile has no catalog: it ends with a tail that says so (T5.4), and [`CatalogOutcome`] says why. What is
/// no archive at all, or is cut off, is an error before the end, so that nothing is published of it.
///
/// ```
/// use std::time::Duration;
/// use sources::{Arrival, BytesSource, Source};
/// use tree::{EntryKind, Member, TarSource, TreePath};
///
/// let member = Member::new(TreePath::parse(b"empty")?, EntryKind::File, 0o644);
/// let archive = [member.to_header()?, vec![0; 1024]].concat();
/// let mut source = TarSource::new(BytesSource::new(archive.clone()), &std::env::temp_dir())?;
/// let outcome = source.outcome();
///
/// let (mut plaintext, mut buffer) = (Vec::new(), [0; 4096]);
/// while let Arrival::Bytes(count) = source.read_within(&mut buffer, Duration::MAX)? {
///     plaintext.extend_from_slice(&buffer[..count]);
/// }
/// assert!(plaintext.starts_with(&archive) && plaintext.len() > archive.len());
/// assert_eq!(outcome.get().and_then(|counts| counts.as_ref().ok()).map(|counts| counts.files), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TarSource<S> {
    inner: S,
    /// Where the catalog is spilled.
    directory: PathBuf,
    stage: Stage,
    /// Bytes of the archive so far.
    tar_len: u64,
    /// The first block of the archive, as far as it has come.
    first: Vec<u8>,
    /// How many zeros the archive ends with so far; more than its end has are not counted.
    zeros: usize,
    outcome: CatalogOutcome,
}

/// What has become of the catalog of an archive: known once its source has ended.
#[derive(Clone, Debug, Default)]
pub struct CatalogOutcome(Arc<OnceLock<Result<EntryCounts, TreeError>>>);

impl CatalogOutcome {
    /// What the tree is made of, or why it has no catalog; where the source failed, why it did, unless that was the medium. None before the end.
    pub fn get(&self) -> Option<&Result<EntryCounts, TreeError>> {
        self.0.get()
    }

    fn set(&self, outcome: Result<EntryCounts, TreeError>) {
        // It ends once.
        let _ = self.0.set(outcome);
    }
}

impl<S: Source> TarSource<S> {
    /// The archive that `inner` gives. Its catalog is spilled into `directory`, which should be this user's alone: paths are in it in
    /// clear, in files without a name. They take about as many bytes as the paths have, and 30 for each member.
    ///
    /// # Errors
    /// No file can be made there.
    pub fn new(inner: S, directory: &Path) -> Result<TarSource<S>, TreeError> {
        let catalog = CatalogWriter::new(directory)?;
        Ok(TarSource {
            inner,
            directory: directory.to_owned(),
            stage: Stage::Indexed(Box::new((ArchiveScanner::default(), catalog))),
            tar_len: 0,
            first: Vec::with_capacity(BLOCK_LEN),
            zeros: 0,
            outcome: CatalogOutcome::default(),
        })
    }

    /// What will have become of the catalog.
    pub fn outcome(&self) -> CatalogOutcome {
        self.outcome.clone()
    }

    /// The error of a read; why there is nothing is known by the outcome as well.
    fn fail(&mut self, error: TreeError) -> io::Error {
        if let TreeError::Io { .. } = error {
            let refusal: io::Error = error.into();
            self.stage = Stage::Failed(refusal.kind(), refusal.to_string());
            return refusal;
        }
        self.stage = Stage::Failed(io::ErrorKind::InvalidData, error.to_string());
        self.outcome.set(Err(error));
        self.failure()
    }

    /// What has ended it.
    fn failure(&self) -> io::Error {
        match &self.stage {
            Stage::Failed(kind, what) => io::Error::new(*kind, what.clone()),
            _ => io::Error::other("the archive has ended"),
        }
    }

    /// Looks at the next bytes of the archive.
    fn look_at(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.tar_len += bytes.len() as u64;
        self.count_zeros(bytes);
        self.check_first_block(bytes)?;
        let Stage::Indexed(parts) = &mut self.stage else {
            return Ok(());
        };
        let (scanner, catalog) = &mut **parts;
        match scanner.push(bytes, &mut |found| catalog.push(found.member.to_entry(found.header_len))) {
            Err(error) => self.leave_profile(error),
            Ok(()) => Ok(()),
        }
    }

    /// Whether it is an archive at all: said as soon as that can be seen.
    fn check_first_block(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        let missing = BLOCK_LEN - self.first.len();
        if missing == 0 {
            return Ok(());
        }
        self.first.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        match self.first.first_chunk() {
            Some(block) if !is_zeros(block) && !FirstBlock::is_of_any_program(block) => {
                Err(TreeError::NotAnArchive { what: NO_HEADER.into() })
            }
            _ => Ok(()),
        }
    }

    fn count_zeros(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(ARCHIVE_END_LEN)..];
        self.zeros = match last.iter().rposition(|byte| *byte != 0) {
            Some(at) => last.len() - 1 - at,
            None => (self.zeros + last.len()).min(ARCHIVE_END_LEN),
        };
    }

    /// There will be no catalog because of `error`, unless that is about something else.
    fn leave_profile(&mut self, error: TreeError) -> Result<(), TreeError> {
        match error {
            TreeError::Io { .. } | TreeError::CutOff { .. } | TreeError::NotAnArchive { .. } => Err(error),
            // Zeros are the end of an archive; one without members in which other bytes follow is a disk image, or whatever.
            _ if is_zeros(&self.first) => Err(TreeError::NotAnArchive { what: NO_HEADER.into() }),
            error => {
                self.stage = Stage::Plain(error);
                Ok(())
            }
        }
    }

    /// Makes what follows the archive.
    fn end(&mut self) -> Result<(), TreeError> {
        if self.first.len() < BLOCK_LEN {
            let what = match self.tar_len {
                0 => "nothing came".into(),
                len => format!("it has {len} bytes, where one block has {BLOCK_LEN}").into(),
            };
            return Err(TreeError::NotAnArchive { what });
        }
        match mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Indexed(parts) => match end_catalog(*parts) {
                Ok((catalog, counts)) => {
                    self.outcome.set(Ok(counts));
                    self.stage = Stage::Catalog { catalog, next: 0 };
                    return Ok(());
                }
                Err(error) => self.leave_profile(error)?,
            },
            other => self.stage = other,
        }
        // Every tar program ends an archive so, in whatever format.
        if self.zeros < ARCHIVE_END_LEN || !self.tar_len.is_multiple_of(BLOCK_LEN as u64) {
            return Err(TreeError::CutOff { at: self.tar_len });
        }
        let catalog = CatalogWriter::new(&self.directory)?.finish_without_catalog(self.tar_len)?;
        if let Stage::Plain(because) = mem::replace(&mut self.stage, Stage::Ended) {
            self.outcome.set(Err(because));
        }
        self.stage = Stage::Catalog { catalog: Arc::new(catalog), next: 0 };
        Ok(())
    }
}

impl<S: Source> Source for TarSource<S> {
    fn len(&self) -> Option<u64> {
        // How long the catalog becomes is known at its end.
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        if let Stage::Catalog { catalog, next } = &mut self.stage {
            return read_behind(catalog, next, buffer);
        }
        if let Stage::Failed(..) = self.stage {
            return Err(self.failure());
        }
        let arrival = self.inner.read_within(buffer, patience)?;
        match arrival {
            Arrival::Bytes(count) => self.look_at(&buffer[..count]).map_err(|error| self.fail(error))?,
            Arrival::NothingYet => {}
            Arrival::End => {
                self.end().map_err(|error| self.fail(error))?;
                return self.read_within(buffer, patience);
            }
        }
        Ok(arrival)
    }
}

impl<S> fmt::Debug for TarSource<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TarSource").field("tar_len", &self.tar_len).finish_non_exhaustive()
    }
}

/// What is being read.
enum Stage {
    /// The archive, within the profile so far.
    Indexed(Box<(ArchiveScanner, CatalogWriter)>),
    /// The archive, which has left the profile because of this.
    Plain(TreeError),
    /// An error has ended it, of this kind and in these words.
    Failed(io::ErrorKind, String),
    /// It has ended, and what follows it is being made.
    Ended,
    /// What follows it, from `next` on.
    Catalog { catalog: Arc<WrittenCatalog>, next: u64 },
}

/// Ends the catalog. What its writer has not looked at is where hard links lead.
fn end_catalog(
    (scanner, catalog): (ArchiveScanner, CatalogWriter),
) -> Result<(Arc<WrittenCatalog>, EntryCounts), TreeError> {
    let counts = catalog.counts();
    let catalog = Arc::new(catalog.finish(scanner.finish()?)?);
    if counts.hard_links > 0
        && let Content::Tree(written) = Catalog::open(catalog.clone().into_plaintext())?
    {
        written.check_hard_links()?;
    }
    Ok((catalog, counts))
}

fn read_behind(catalog: &WrittenCatalog, next: &mut u64, buffer: &mut [u8]) -> io::Result<Arrival> {
    let left = ReadAt::len(catalog) - *next;
    let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
    if left == 0 {
        return Ok(Arrival::End);
    }
    catalog.read_exact_at(*next, &mut buffer[..count])?;
    *next += count as u64;
    Ok(Arrival::Bytes(count))
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

const NO_HEADER: &str = "it does not begin with a header (a compressed archive has to be decompressed first)";
