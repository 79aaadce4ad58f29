//! Opening: restore and verify, with every choice a caller may make.
//! It joins the parts and does none of their work.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::{Durability, IfExists, StreamingSink};
use frame_worker::Backend;
use keys::Identities;
use local::MemorySink;
use segment_worker::{Budget, CancelToken, ReleasePolicy};
use sources::Source;
use storage::{OnPartial, Room, Seed, Sparse, StageOptions, TargetError};
use stream::{
    Foreign, OfSource, OpenOptions, Opening, Reader, Resources, open_seed, restore_into, tell_kept,
};

#[cfg(feature = "wal")]
use crate::device::{self, DeviceRestore};
use crate::files::{Target, open_source, refuse_same_file, stage};
#[cfg(feature = "tree")]
use crate::tree_restore::{TreeInto, still_to_tidy};
use crate::{
    Attributes, Error, ErrorKind, LostRange, Metadata, Observer, PinCheck, Remedy, Restored, StreamDigest,
    Surveyed,
};

/// Opens sealed streams.
///
/// ```
/// use cofferdam::{BytesSource, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey};
///
/// let key = [7; 32]; // in earnest: WrappingKey::generate()
/// let (sink, sealed) = MemorySink::new();
/// let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(key));
/// Sealer::new(recipients).metadata("host", "db1").seal(BytesSource::new(*b"a snapshot"), sink)?;
///
/// let opener = Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(key)));
/// let (sink, plaintext) = MemorySink::new();
/// let restored = opener.open(BytesSource::new(sealed.take().unwrap()), sink)?;
/// assert_eq!(plaintext.take().as_deref(), Some(&b"a snapshot"[..]));
/// assert_eq!(restored.metadata, [(b"host".to_vec(), b"db1".to_vec())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Opener {
    pub(crate) identities: Option<Identities>,
    release: ReleasePolicy,
    durability: Durability,
    pub(crate) if_exists: IfExists,
    pub(crate) on_partial: OnPartial,
    pub(crate) attributes: Attributes,
    pub(crate) sparse: Sparse,
    pub(crate) expected: Option<StreamDigest>,
    pin_checks: Vec<Arc<dyn PinCheck>>,
    min_sequence: Option<u64>,
    #[cfg(feature = "wal")]
    log: Option<PathBuf>,
    seed: Option<PathBuf>,
    #[cfg(feature = "tree")]
    pub(crate) trees: Option<crate::tree_restore::Trees>,
    pub(crate) foreign: Foreign,
    pub(crate) resources: Resources,
}

impl Opener {
    /// Opens with any of `identities`.
    pub fn new(identities: Identities) -> Opener {
        Opener::with(Some(identities))
    }

    /// Holds no key: for [`Opener::verify`], which then finds a stream *consistent* and says nothing about who made
    /// it.
    pub fn keyless() -> Opener {
        Opener::with(None)
    }

    fn with(identities: Option<Identities>) -> Opener {
        Opener {
            identities,
            release: ReleasePolicy::AtOnce,
            durability: Durability::default(),
            if_exists: IfExists::Refuse,
            on_partial: OnPartial::Resume,
            attributes: Attributes::default(),
            sparse: Sparse::default(),
            expected: None,
            pin_checks: Vec::new(),
            min_sequence: None,
            #[cfg(feature = "wal")]
            log: None,
            seed: None,
            #[cfg(feature = "tree")]
            trees: None,
            foreign: Foreign::Refuse,
            resources: Resources::default(),
        }
    }

    /// When plaintext goes to the sink. Default: immediately for sinks whose tentative bytes nobody else can see.
    /// Other sinks always get a segment only after its digest was verified.
    #[must_use]
    pub fn release(mut self, release: ReleasePolicy) -> Opener {
        self.release = release;
        self
    }

    /// When committed segments are made durable, where the sink offers that. Default: in groups of 256 MiB or 5 seconds.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Opener {
        self.durability = durability;
        self
    }

    /// What [`Opener::restore_file`] does with a target that exists. Default: refuse.
    #[must_use]
    pub fn if_exists(mut self, if_exists: IfExists) -> Opener {
        self.if_exists = if_exists;
        self
    }

    /// What [`Opener::restore_file`] does with what an interrupted call left beside the target. Default: resume from
    /// it.
    #[must_use]
    pub fn on_partial(mut self, on_partial: OnPartial) -> Opener {
        self.on_partial = on_partial;
        self
    }

    /// Whether a target of [`Opener::restore_file`] that is new gets the mode and time of the file that was sealed, where
    /// the stream keeps them. Default: it does.
    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Opener {
        self.attributes = attributes;
        self
    }

    /// What [`Opener::restore_file`] makes of runs of zeros. Default: holes, so that the target takes no more room than what is
    /// not zero, and a length that does not fit is a warning ([`Warning::MayNotFit`](crate::Warning::MayNotFit)) and not an
    /// error.
    #[must_use]
    pub fn sparse(mut self, sparse: Sparse) -> Opener {
        self.sparse = sparse;
        self
    }

    /// Refuses a stream with another digest. With a pin from a trusted place this also detects an older stream, and
    /// one made by somebody else who has the key.
    ///
    /// With a key and a source that can be read at offsets, the check comes before a sink is created or written. From
    /// a pipe it comes at the end; what a sink has shown by then (a pipe, a database's rows) stays shown. A server may give an object only in
    /// order when it likes: for such a sink, look at `RemoteSource::in_order_since` first.
    ///
    /// A stream with [`DigestKind::Tags`](crate::DigestKind::Tags) is refused as [`ErrorKind::Unsupported`]: its digest fixes nothing for those
    /// who have the key (FORMAT F11.4).
    #[must_use]
    pub fn expect_digest(mut self, digest: StreamDigest) -> Opener {
        self.expected = Some(digest);
        self
    }

    /// Refuses a stream whose pin `check` does not accept: one that nobody has signed, for instance (`SignedBy`, with the feature
    /// `signatures`). Of several checks each has to accept it.
    ///
    /// It is asked when [`Opener::expect_digest`] would compare, with the digest that was computed from what was read, and never with one that
    /// the stream merely states.
    #[must_use]
    pub fn check_pin(mut self, check: impl PinCheck + 'static) -> Opener {
        self.pin_checks.push(Arc::new(check));
        self
    }

    /// Refuses, as [`ErrorKind::Stale`], a stream whose sequence number ([`Sealer::sequence`](crate::Sealer::sequence)) is lower, or that has
    /// none, before a sink is written, from a pipe too. The number is authentic as far as its sealer is: **anyone who knows a
    /// recipient can seal a stream with any number**, so by itself it tells an older stream of an honest sealer from a newer one, and
    /// no more. Needs a key: the metadata is encrypted.
    #[must_use]
    pub fn min_sequence(mut self, sequence: u64) -> Opener {
        self.min_sequence = Some(sequence);
        self
    }

    /// Lets [`Opener::restore_file`] and [`Opener::restore_to`] write to a block device: the stream goes into a log, the file at
    /// `log`, first. Once all of it is there, verified and durable, the log is replayed into the device, in place, and removed when the
    /// device is synced. [`IfExists::Replace`] is needed as well. What is on the device behind the stream's end stays.
    ///
    /// A crash before the log is complete leaves the device as it was. One after that leaves a mixture of old and new on it, **and the
    /// same call brings it to its end**: it proves the log against the stream, then replays it from the start. So keep the sealed stream
    /// and the log until the call returns `Ok`. The log is made for its owner alone (mode 0600): it holds plaintext. It names stream and
    /// device under a MAC; another device, or one whose length has changed, is refused.
    #[cfg(feature = "wal")]
    #[must_use]
    pub fn log(mut self, log: impl Into<PathBuf>) -> Opener {
        self.log = Some(log.into());
        self
    }

    /// Has [`Opener::restore_file`] take over from the file at `path` what it has of the plaintext at the same places, and read only
    /// the rest of the stream: yesterday's copy, or the target itself. Symbolic links are followed.
    ///
    /// Nothing is believed of it. Its bytes are copied beside the target (sharing the room where the file system can:
    /// XFS, btrfs), and what is there is proved, segment by segment, as what an interrupted call left is. It is opened once, never
    /// written, and may change meanwhile: what is not right comes from the stream. Where it cannot be read, too, with a
    /// [`Warning::SeedUnreadable`](crate::Warning::SeedUnreadable).
    ///
    /// It needs a source that can be read at offsets and a target that is staged; [`ErrorKind::Usage`] where either is a pipe,
    /// and where `path` is no regular file.
    #[must_use]
    pub fn seed(mut self, path: impl Into<PathBuf>) -> Opener {
        self.seed = Some(path.into());
        self
    }

    /// Opens all of `source` into `sink` and publishes it. A sink that kept progress of this stream resumes from it.
    ///
    /// # Errors
    /// The sink has been dropped unpublished, unless the kind is [`crate::ErrorKind::DurabilityUnknown`].
    pub fn open(&self, source: impl Source, sink: impl StreamingSink) -> Result<Restored, Error> {
        self.require_identities()?;
        self.refuse_seed("the target is a sink of the caller's")?;
        self.stream().open_with(source, |envelope, _| Ok(Opening::plain(sink, envelope).into()))
    }

    /// As [`Opener::open`], into a sink that is made once the envelope is open: `make_sink` gets the plaintext's length in
    /// bytes, or `None` where the source does not tell it (a pipe). A `MappedFile` needs it, a staged file uses it.
    ///
    /// # Errors
    /// As [`Opener::open`]; what `make_sink` refuses.
    pub fn open_sized<S: StreamingSink>(
        &self,
        source: impl Source,
        make_sink: impl FnOnce(Option<u64>) -> Result<S, TargetError>,
    ) -> Result<Restored, Error> {
        self.require_identities()?;
        self.refuse_seed("the target is a sink of the caller's")?;
        self.stream().open_with(source, |envelope, len| {
            Ok(Opening::plain(make_sink(len).map_err(Error::target)?, envelope).into())
        })
    }

    /// Opens all of `source` into the memory of a vector, in place: as much of its capacity as the stream needs. The vector then holds
    /// the plaintext, at the address where it was. What it held before is gone, whatever comes of it.
    ///
    /// Memory that the caller has written before is filled as fast as the frames are opened; of memory that is new the system provides
    /// each page first. Capacity beyond the vector's length is filled with zeros before it is used.
    ///
    /// ```
    /// use cofferdam::{BytesSource, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey};
    ///
    /// let (sink, sealed) = MemorySink::new();
    /// let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
    /// Sealer::new(recipients).seal(BytesSource::new(*b"a snapshot"), sink)?;
    ///
    /// let opener = Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32])));
    /// let mut memory = vec![0; 1 << 20];
    /// opener.open_into(BytesSource::new(sealed.take().unwrap()), &mut memory)?;
    /// assert_eq!(memory, b"a snapshot");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Opener::open`]. [`ErrorKind::Limit`] before the first byte if the stream is known to be longer than the vector's capacity;
    /// a stream of unknown length, from a pipe, fails where it no longer fits. The vector is then empty, and keeps its memory, in
    /// which bytes of the stream may be left that nobody has verified.
    pub fn open_into(&self, source: impl Source, memory: &mut Vec<u8>) -> Result<Restored, Error> {
        self.require_identities()?;
        let capacity = memory.capacity() as u64;
        let (sink, contents) = MemorySink::over(std::mem::take(memory));
        let opened = self.stream().open_with(source, |envelope, len| match len {
            Some(len) if len > capacity => Err(too_long(len, capacity)),
            _ => Ok(Opening::plain(sink, envelope).into()),
        });
        *memory = contents.take().or_else(|| contents.take_unused()).unwrap_or_default();
        opened
    }

    /// Opens the sealed file at `sealed` (a FIFO or a device too) into a file at `target`, all or nothing. A target that
    /// is a FIFO gets each segment as it is verified.
    ///
    /// What an interrupted call wrote is kept beside the target. The same call resumes from there after proving it:
    /// what is kept is sealed again in memory and compared with the stream's index, and the index with the stream
    /// digest.
    ///
    /// # Errors
    /// As [`Opener::open`]. A target that cannot be written is refused before the first byte. [`Error::resumable_bytes`] says
    /// what is kept for the next call.
    pub fn restore_file(
        &self,
        sealed: impl AsRef<Path>,
        target: impl AsRef<Path>,
    ) -> Result<Restored, Error> {
        let (sealed, target) = (sealed.as_ref(), target.as_ref());
        refuse_same_file(sealed, target)?;
        #[cfg(feature = "tree")]
        self.refuse_sealed_within(sealed, target)?;
        #[cfg(feature = "wal")]
        if let Some(device) = self.device(target)? {
            device.refuse_source(sealed)?;
            return self.open_onto(|| open_source(sealed), device);
        }
        let target = self.resolve(target)?;
        self.open_to(|| open_source(sealed), target)
    }

    /// As [`Opener::restore_file`], from any source: an object in a store, for instance, with the feature `remote`.
    ///
    #[cfg_attr(feature = "remote", doc = "```no_run")]
    #[cfg_attr(not(feature = "remote"), doc = "```text")]
    /// use std::sync::Arc;
    ///
    /// use cofferdam::remote::{Place, RemoteOptions, RemoteSource};
    /// use cofferdam::{CancelToken, Identities, Opener, WrappingKey};
    ///
    /// let cancel = CancelToken::new();
    /// let token = cancel.clone();
    /// let options = RemoteOptions::new()
    ///     .cancel_when(Arc::new(move || token.is_cancelled()))
    ///     .on_retry(Arc::new(|retry| eprintln!("{retry}")));
    /// // Credentials as the store's own tools name them.
    /// let place = Place::parse("s3://backups/db.cfd", std::env::vars())?;
    /// let source = RemoteSource::open(place, options)?;
    ///
    /// let opener = Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32])));
    /// opener.cancel(cancel).memory(256 << 20).restore_to(source, "db")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Opener::restore_file`].
    pub fn restore_to(&self, source: impl Source, target: impl AsRef<Path>) -> Result<Restored, Error> {
        #[cfg(feature = "wal")]
        if let Some(device) = self.device(target.as_ref())? {
            return self.open_onto(|| Ok(source), device);
        }
        let target = self.resolve(target.as_ref())?;
        self.open_to(|| Ok(source), target)
    }

    fn resolve<'a>(&self, target: &'a Path) -> Result<Target<'a>, Error> {
        #[cfg(feature = "parts")]
        crate::tree_leftovers::refuse_restart_over_plan(target, self.on_partial)?;
        // A link to it is as good; a file is not put in the place of either.
        #[cfg(feature = "tree")]
        if self.moves_into() && target.is_dir() {
            return Ok(Target::Staged { path: target, if_exists: self.if_exists });
        }
        Target::resolve(target, self.if_exists, &self.resources.cancel)
    }

    #[cfg(feature = "wal")]
    fn device(&self, target: &Path) -> Result<Option<DeviceRestore<'_>>, Error> {
        self.require_identities()?;
        let device = DeviceRestore::resolve(target, self.log.as_deref(), self.if_exists, self.on_partial)?;
        if device.is_some() {
            self.refuse_seed("the target is a block device")?;
        }
        Ok(device)
    }

    #[cfg(feature = "wal")]
    fn open_onto<S: Source>(
        &self,
        source: impl FnOnce() -> Result<S, Error>,
        device: DeviceRestore<'_>,
    ) -> Result<Restored, Error> {
        let opened = self.stream().open_with(source()?, |envelope, len| {
            self.resources.tell_staging();
            device.sink(envelope, len, self.resources.observer.clone())
        });
        opened.map_err(device::explain)
    }

    fn open_to<S: Source>(
        &self,
        source: impl FnOnce() -> Result<S, Error>,
        target: Target<'_>,
    ) -> Result<Restored, Error> {
        self.require_identities()?;
        match target {
            Target::Fifo(sink) => {
                self.refuse_seed("the target is written to in order")?;
                // Into a pipe a tree ends with its archive.
                #[cfg(feature = "tree")]
                return self.open_archive(source()?, sink, crate::IfNoTree::OpenAll);
                #[cfg(not(feature = "tree"))]
                self.open(source()?, sink)
            }
            Target::Staged { path, if_exists } => {
                let seed = self.seed.as_deref().map(open_seed).transpose()?;
                let restored = source().and_then(|source| {
                    check_offsets(&source, seed.as_ref())?;
                    self.stream().open_read(source, |envelope, len, _read| {
                        #[cfg(feature = "tree")]
                        let cut = match self.tree_into(path, if_exists, envelope, _read)? {
                            TreeInto::Sink(tree) => {
                                self.resources.tell_staging();
                                return Ok(tree);
                            }
                            TreeInto::CutFile(cut) => Some(cut),
                            TreeInto::File => None,
                        };
                        #[cfg(not(feature = "tree"))]
                        let cut: Option<u64> = None;
                        let options = StageOptions::default()
                            .if_exists(if_exists)
                            .on_partial(self.on_partial)
                            .room(if seed.is_some() { Room::Shared } else { Room::Whole })
                            .expected_len(cut.or(len))
                            .sparse(self.sparse);
                        self.resources.tell_staging();
                        let observer = self.resources.observer.clone();
                        let of_source = OfSource { attributes: self.attributes, observer };
                        let staged = restore_into(path, &options, of_source, seed, envelope)?;
                        Ok(match cut {
                            Some(len) => staged.cut(len),
                            None => staged,
                        })
                    })
                });
                #[cfg(feature = "tree")]
                let restored =
                    restored.map_err(|error| still_to_tidy(self.of_tree(error), path.components().as_path()));
                restored.map_err(|error| tell_kept(error, path.components().as_path(), if_exists))
            }
        }
    }

    /// Checks all of `source`, and writes nothing. With a key every tag, MAC and digest is checked; without, every
    /// digest and the structure.
    ///
    /// # Errors
    /// A key copy that would only be a warning to a restore is an error here. It is reported at the end, when
    /// everything else has been checked, and takes precedence over any fault after it on the wire.
    pub fn verify(&self, source: impl Source) -> Result<Restored, Error> {
        self.stream().verify(source)
    }

    /// Looks at every segment of `source`, which has to have offsets, and tells `lost` each range of plaintext that no whole
    /// segment holds: of a damaged stream all of them, where [`Opener::verify`] names the first fault. Nothing is written. Where the
    /// index is not whole, segments are found by their headers.
    ///
    /// With a key a segment is whole if it is authentic, and at its place in this stream. Without one it is consistent.
    ///
    /// # Errors
    /// Nothing can be told: the beginning of the stream is unusable, no key opens it, or it changes meanwhile.
    pub fn survey(&self, source: impl Source, mut lost: impl FnMut(&LostRange)) -> Result<Surveyed, Error> {
        self.stream().survey(source, &mut lost)
    }

    /// Salvages a damaged stream: its whole segments at their places in a new file at `path`, zeros for what is lost, each range
    /// of which is told to `lost`. The file is published as a whole. **It is not what was sealed**: give it a name that
    /// says so. A new one is readable by its owner alone. Neither resume nor a pin of what is lost applies to it.
    ///
    /// The memory budget has to hold a segment; it is written when all of it has proved whole.
    ///
    /// # Errors
    /// As [`Opener::survey`]; [`ErrorKind::TargetExists`]. No segment is whole: then it is the first fault, and no file is made.
    pub fn salvage(
        &self,
        source: impl Source,
        path: impl AsRef<Path>,
        mut lost: impl FnMut(&LostRange),
    ) -> Result<Surveyed, Error> {
        self.require_identities()?;
        self.refuse_seed("what is salvaged is what the stream has")?;
        let path = path.as_ref();
        let make_sink = |len| {
            self.resources.tell_staging();
            let options = StageOptions::default().if_exists(self.if_exists).expected_len(len);
            let mut sink = stage(path, &options.sparse(self.sparse), self.resources.observer.clone())?;
            // Who could read the file that was sealed may not be known any more.
            sink.set_mode(OWNER_ALONE);
            Ok(sink)
        };
        self.stream().salvage(source, make_sink, &mut lost)
    }

    /// The caller's pairs of the stream in `source`. Preamble, key area and metadata are read, and no segment.
    ///
    /// **Proved by this:** whoever sealed the stream had its key, and the pairs are as that one wrote them, under this preamble.
    /// **Not proved:** that a segment follows, that the stream is whole or intact, or which stream it is. There is no digest
    /// of these records alone, so a pin cannot be compared with them.
    ///
    /// ```
    /// use cofferdam::{BytesSource, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey};
    ///
    /// let (sink, sealed) = MemorySink::new();
    /// let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
    /// Sealer::new(recipients).metadata("host", "db1").seal(BytesSource::new(*b"a snapshot"), sink)?;
    ///
    /// let opener = Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32])));
    /// let metadata = opener.metadata(BytesSource::new(sealed.take().unwrap()))?;
    /// assert_eq!(metadata, [(b"host".to_vec(), b"db1".to_vec())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Opener::verify`], for the records before the first segment. [`ErrorKind::Usage`] with
    /// [`Opener::expect_digest`], and without a key.
    pub fn metadata(&self, source: impl Source) -> Result<Metadata, Error> {
        self.require_identities()?;
        if self.expected.is_some() || !self.pin_checks.is_empty() {
            let what = "metadata alone cannot be compared with a stream's digest";
            return Err(Error::new(ErrorKind::Usage, what)
                .advise("Verify or restore the stream with its digest, or read the metadata without."));
        }
        self.stream().metadata(source)
    }

    /// Opens `source` to read its plaintext at any place: see [`Reader`]. Index and directory are read, and no segment.
    ///
    /// **Proved by a read:** these bytes were sealed under the stream's key, for this stream and this place. **Not proved:**
    /// that the rest of the stream is there and unchanged; [`Opener::verify`] and [`Opener::open`] say that. With
    /// [`Opener::expect_digest`], the index is compared with it before anything of it is used.
    ///
    /// ```
    /// use std::io::{Read, Seek, SeekFrom};
    /// use cofferdam::{BytesSource, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey};
    ///
    /// let (sink, sealed) = MemorySink::new();
    /// let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
    /// Sealer::new(recipients).seal(BytesSource::new(*b"a snapshot"), sink)?;
    ///
    /// let opener = Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32])));
    /// let mut reader = opener.reader(BytesSource::new(sealed.take().unwrap()))?;
    /// assert_eq!(reader.len(), 10);
    /// let mut four = [0; 4];
    /// assert_eq!(reader.read_at(2, &mut four)?, 4);
    /// assert_eq!(&four, b"snap");
    /// let mut rest = String::new();
    /// reader.seek(SeekFrom::End(-4))?;
    /// reader.read_to_string(&mut rest)?;
    /// assert_eq!(rest, "shot");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Opener::open`], for what stands before and after the segments. [`ErrorKind::Usage`] if the source cannot be read
    /// at offsets (a pipe), and without a key. [`ErrorKind::Limit`] if a frame does not fit into the memory that there is.
    pub fn reader(&self, source: impl Source) -> Result<Reader, Error> {
        self.require_identities()?;
        self.stream().reader(source)
    }

    pub(crate) fn stream(&self) -> OpenOptions<'_> {
        OpenOptions {
            identities: self.identities.as_ref(),
            release: self.release,
            durability: self.durability,
            expected: self.expected,
            pin_checks: &self.pin_checks,
            min_sequence: self.min_sequence,
            foreign: self.foreign,
            resources: &self.resources,
        }
    }

    pub(crate) fn refuse_seed(&self, why: &str) -> Result<(), Error> {
        match self.seed {
            Some(_) => Err(no_use_of_a_seed(why).advise("Restore to a file, or without a seed.")),
            None => Ok(()),
        }
    }

    /// Without a key there is no plaintext: what would be published is an empty target.
    pub(crate) fn require_identities(&self) -> Result<(), Error> {
        match self.identities {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorKind::Usage, "a stream can be verified without a key, not opened")
                .remedied(Remedy::GiveKey)),
        }
    }
}

fn too_long(len: u64, capacity: u64) -> Error {
    let what = format!("the stream has {len} bytes of plaintext, and the vector has room for {capacity}");
    Error::new(ErrorKind::Limit, what).advise("Give it a vector with that capacity.")
}

/// Mode of a salvaged file that is new.
const OWNER_ALONE: u32 = 0o600;

/// What is proved of a seed need not be read, which only spares something where it can be left out.
fn check_offsets(source: &impl Source, seed: Option<&Seed>) -> Result<(), Error> {
    match seed {
        Some(_) if source.positioned().is_none() => {
            Err(no_use_of_a_seed("the sealed stream is read in order")
                .advise("Give the sealed stream as a file, or restore without a seed."))
        }
        _ => Ok(()),
    }
}

fn no_use_of_a_seed(why: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("a seed is of no use: {why}"))
}

crate::resource_setters::resource_setters!(Opener);
