//! What stands before the segments: preamble, key area, metadata; opened, or made for a new stream.
//! It knows no segment, but hands out what their workers need.

use std::sync::Arc;

use frame_worker::{
    Backend, ChainValue, Cipher, Codec, CodecError, CompressionLevel, DigestKind, FrameWorker, SegmentDigest,
    Suite,
};
#[cfg(feature = "foreign")]
use framing::limits::KEY_COPY_UNIT;
use framing::limits::{METADATA_HEAD_LEN, PREAMBLE_BLOCK_LEN, TAG_LEN};
use framing::{
    FramingError, KeyCopy, MetadataHead, Preamble, SegmentHeader, Shape, StreamId, decode_entries,
    encode_entries,
};
use keys::{Identities, KeySchedule, Recipients, StreamKey};

use crate::key_area::{KeyArea, encode_copy, framing_slots};
use crate::not_a_stream::parse_preamble;
use crate::resources::Resources;
use crate::{Error, ErrorKind, Metadata, Remedy, Warning};

/// A stream's beginning, read or made. Without a key it has no schedule and no metadata.
pub struct Envelope {
    pub(crate) preamble: Preamble,
    pub(crate) schedule: Option<KeySchedule>,
    pub(crate) metadata: Metadata,
    pub(crate) warnings: Vec<Warning>,
    /// Bytes of the metadata record.
    pub(crate) metadata_len: u64,
    /// The chain before the first segment.
    pub(crate) chain: ChainValue,
    /// Compresses frames, in a compressed stream whose key is there.
    pub(crate) codec: Option<Arc<Codec>>,
    backend: Backend,
}

impl Envelope {
    /// The pairs, this library's own too. Empty without a key, and of a stream of another format.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What a reader holds, and so how far it can judge a stream.
#[derive(Clone, Copy)]
pub(crate) enum Access<'a> {
    /// Keys to try.
    Keys(&'a Identities),
    /// Nothing, and it verifies what shows without a key.
    Keyless,
    /// Nothing, and it only looks at what the stream says of itself.
    Inspecting,
}

impl<'a> From<Option<&'a Identities>> for Access<'a> {
    fn from(identities: Option<&'a Identities>) -> Access<'a> {
        identities.map_or(Access::Keyless, Access::Keys)
    }
}

/// Parses the preamble, and refuses here and now what this reader could not judge: *tags* without a key (FORMAT F13.12).
pub(crate) fn read_preamble(block: &[u8], access: Access<'_>) -> Result<Preamble, Error> {
    let preamble = parse_preamble(block)?;
    match access {
        Access::Keyless if preamble.digest == DigestKind::Tags => Err(keyless_tags()),
        _ => Ok(preamble),
    }
}

impl Envelope {
    /// Opens the three records; with keys all of them are authenticated, without only their structure counts.
    pub(crate) fn open(
        block: &[u8],
        area: &[u8],
        metadata: &[u8],
        access: Access<'_>,
        resources: &Resources,
    ) -> Result<Envelope, Error> {
        let backend = resources.backend;
        let (preamble, schedule, warnings) = Envelope::judge(block, area, access, resources)?;
        let origin = preamble.origin();
        let head = MetadataHead::parse(metadata).map_err(|error| Error::framing(error, origin));
        let entries = head.and_then(|head| match &schedule {
            Some(schedule) => open_metadata(&head, metadata, schedule, preamble.suite, backend, origin),
            None => Ok(Vec::new()),
        });
        let entries = entries.map_err(|error| error.behind(&warnings))?;
        Ok(Envelope {
            metadata_len: metadata.len() as u64,
            chain: ChainValue::start(preamble.digest, &bound(&preamble), metadata),
            metadata: entries,
            codec: codec(preamble.shape, CompressionLevel::default())?.filter(|_| schedule.is_some()),
            schedule,
            warnings,
            preamble,
            backend,
        })
    }

    /// Without the metadata, which is damaged, for segments that are looked at each by itself: where the chain begins is then
    /// not known.
    pub(crate) fn without_metadata(
        block: &[u8],
        area: &[u8],
        access: Access<'_>,
        resources: &Resources,
    ) -> Result<Envelope, Error> {
        let (preamble, schedule, warnings) = Envelope::judge(block, area, access, resources)?;
        Ok(Envelope {
            metadata: Metadata::new(),
            metadata_len: 0,
            chain: ChainValue([0; 32]),
            codec: codec(preamble.shape, CompressionLevel::default())?.filter(|_| schedule.is_some()),
            schedule,
            warnings,
            preamble,
            backend: resources.backend,
        })
    }

    /// Opens the first two records: what the wire has whole before the metadata.
    pub(crate) fn judge(
        block: &[u8],
        area: &[u8],
        access: Access<'_>,
        resources: &Resources,
    ) -> Result<(Preamble, Option<KeySchedule>, Vec<Warning>), Error> {
        let preamble = read_preamble(block, access)?;
        let bytes = preamble.to_bytes();
        let area = KeyArea::parse(&bytes, area);
        let Access::Keys(identities) = access else {
            let warnings = area.check_shape()?;
            return Ok((preamble, None, warnings));
        };
        let unlocked = area.unlock(identities, &resources.cancel)?;
        Ok((preamble, Some(unlocked.schedule), unlocked.warnings))
    }

    /// The beginning of a stream whose key is at hand. Its records have been compared with what was written; `preamble` is
    /// the first of them, `metadata` the last.
    pub(crate) fn under_key(
        preamble: Preamble,
        metadata: &[u8],
        stream_key: &StreamKey,
        backend: Backend,
    ) -> Result<Envelope, Error> {
        let origin = preamble.origin();
        let schedule = KeySchedule::new(stream_key, &preamble.to_bytes());
        let head = MetadataHead::parse(metadata).map_err(|error| Error::framing(error, origin))?;
        let entries = open_metadata(&head, metadata, &schedule, preamble.suite, backend, origin)?;
        Ok(Envelope {
            metadata_len: metadata.len() as u64,
            chain: ChainValue::start(preamble.digest, &bound(&preamble), metadata),
            metadata: entries,
            schedule: Some(schedule),
            warnings: Vec::new(),
            codec: codec(preamble.shape, CompressionLevel::default())?,
            preamble,
            backend,
        })
    }

    /// A new stream's beginning under a key of its own, with the bytes to write.
    pub(crate) fn new(
        stream_key: &StreamKey,
        suite: Suite,
        digest: DigestKind,
        shape: Shape,
        recipients: &Recipients,
        metadata: &Metadata,
        backend: Backend,
    ) -> Result<(Envelope, Vec<u8>), Error> {
        let mut preamble = Preamble {
            suite,
            digest,
            shape,
            stream_id: StreamId(keys::random().map_err(Error::key)?),
            salt: keys::random().map_err(Error::key)?,
            commitment: [0; 32],
            key_copy_len: 0,
        };
        let schedule = KeySchedule::new(stream_key, &preamble.to_bytes());
        preamble.commitment = schedule.commitment();
        let mut head = [0; 80];
        head.copy_from_slice(&preamble.to_bytes()[..80]);
        let slots = recipients.wrap(stream_key, &head).map_err(Error::key)?;
        preamble.key_copy_len = KeyCopy::len_for(&framing_slots(&slots), ROOM_FOR_SLOTS)
            .map_err(|error| Error::framing(error, PREAMBLE_BLOCK_LEN as u64))?;
        let mut bytes = preamble.to_bytes().to_vec();
        bytes.resize(PREAMBLE_BLOCK_LEN, 0);
        let copy = encode_copy(&preamble, &schedule, &slots, 1)?;
        bytes.extend(&copy);
        bytes.extend(&copy);
        let record = seal_metadata(metadata, &schedule, suite, backend)?;
        bytes.extend(&record);
        let envelope = Envelope {
            metadata_len: record.len() as u64,
            chain: ChainValue::start(digest, &bound(&preamble), &record),
            metadata: metadata.clone(),
            schedule: Some(schedule),
            warnings: Vec::new(),
            codec: codec(shape, CompressionLevel::default())?,
            preamble,
            backend,
        };
        Ok((envelope, bytes))
    }

    /// What stands for the beginning of a stream of another format, so that the same sinks keep what there is of it: named by
    /// `identity`, under keys that follow from `secret`. Nobody reads or writes it.
    #[cfg(feature = "foreign")]
    pub(crate) fn of_foreign(identity: &[u8; 32], secret: &[u8; 32], backend: Backend) -> Envelope {
        let mut stream_id = [0; 16];
        stream_id.copy_from_slice(&identity[..16]);
        let preamble = Preamble {
            suite: Suite::ChaCha20Poly1305,
            digest: DigestKind::Blake3,
            shape: FrameWorker::chunks_shape(),
            stream_id: StreamId(stream_id),
            salt: [0; 32],
            commitment: *identity,
            key_copy_len: KEY_COPY_UNIT as u32,
        };
        let schedule = KeySchedule::new(&StreamKey::from_bytes(*secret), &preamble.to_bytes());
        Envelope {
            preamble,
            schedule: Some(schedule),
            metadata: Metadata::new(),
            warnings: Vec::new(),
            metadata_len: 0,
            chain: ChainValue([0; 32]),
            codec: None,
            backend,
        }
    }

    /// The same, with frames compressed at `level`. Nothing of the format depends on it.
    pub(crate) fn sealing_at(self, level: Option<CompressionLevel>) -> Result<Envelope, Error> {
        let codec = codec(self.shape(), level.unwrap_or_default())?;
        Ok(Envelope { codec, ..self })
    }

    /// Whether a stream that begins with this preamble block and has this metadata record is the same one, whoever can open it:
    /// the chain's first value is over both records, all but the key copies' length.
    pub(crate) fn begins_with(&self, block: &[u8], metadata: &[u8]) -> bool {
        let chain = ChainValue::start(self.preamble.digest, &bound(&self.preamble), metadata);
        block.starts_with(&self.preamble.to_bytes()) && chain == self.chain
    }

    /// The worker for the frames of a segment, and its digest with nothing absorbed.
    pub(crate) fn segment(&self, header: &SegmentHeader) -> Result<(Arc<FrameWorker>, SegmentDigest), Error> {
        let Preamble { suite, digest, shape, .. } = self.preamble;
        let bytes = header.to_bytes();
        let worker = match &self.schedule {
            Some(schedule) => {
                let secret = schedule.segment(&bytes);
                let worker =
                    FrameWorker::new(self.backend, suite, digest, shape, secret.key(), secret.nonce());
                match &self.codec {
                    Some(codec) => worker.with_codec(codec.clone(), schedule.plaintext_digest_key()),
                    None => worker,
                }
            }
            None => FrameWorker::keyless(digest, shape).ok_or_else(keyless_tags)?,
        };
        let mut digest = SegmentDigest::new(digest, &bound(&self.preamble), &bytes);
        if shape.is_compressed() {
            let key = self.schedule.as_ref().map(KeySchedule::plaintext_digest_key);
            digest = digest.with_table(key, &bytes);
        }
        Ok((Arc::new(worker), digest))
    }

    /// Where the metadata begins, in bytes from the beginning of the stream; offsets in the index count from there.
    pub(crate) fn origin(&self) -> u64 {
        self.preamble.origin()
    }

    /// How the stream is cut.
    pub(crate) fn shape(&self) -> Shape {
        self.preamble.shape
    }
}

/// What compresses the frames of a stream of `shape`, if they are.
fn codec(shape: Shape, level: CompressionLevel) -> Result<Option<Arc<Codec>>, Error> {
    if !shape.is_compressed() {
        return Ok(None);
    }
    Codec::new(level, shape).map(|codec| Some(Arc::new(codec))).map_err(|error| match error {
        CodecError::NotBuiltIn => Error::new(
            ErrorKind::Unsupported,
            "the stream is compressed, and this program was built without zstd",
        )
        .advise("Build it with its feature `zstd`."),
        CodecError::NoMemory => Error::no_memory("a zstd context", 0),
    })
}

/// The digest of *tags* is over AEAD tags, which say nothing to whoever cannot check them.
pub(crate) fn keyless_tags() -> Error {
    Error::new(ErrorKind::Unsupported, "a stream with the digest `tags` cannot be verified without its key")
        .remedied(Remedy::GiveKey)
}

/// Two streams with one digest of *tags* are made as easily as one, by whoever has the key: such a digest pins nothing.
pub(crate) fn pinned_tags() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "a stream with the digest `tags` cannot be pinned or signed: its digest fixes no bytes",
    )
    .advise("Open it without an expected digest or signature, or seal with another digest.")
}

/// The bytes of the preamble that digests bind (FORMAT §11): all but the key copies' length.
fn bound(preamble: &Preamble) -> [u8; 112] {
    let mut bytes = [0; 112];
    bytes.copy_from_slice(&preamble.to_bytes()[..112]);
    bytes
}

fn seal_metadata(
    metadata: &Metadata,
    schedule: &KeySchedule,
    suite: Suite,
    backend: Backend,
) -> Result<Vec<u8>, Error> {
    let refused =
        |error: FramingError| Error::new(ErrorKind::Usage, format!("the {} {}", error.record, error.problem));
    let text = encode_entries(metadata).map_err(refused)?;
    let salt = keys::random().map_err(Error::key)?;
    let head = MetadataHead { salt, body_len: (text.len() + TAG_LEN) as u32 }.to_bytes();
    let secret = schedule.metadata(&head);
    let mut ciphertext = vec![0; text.len()];
    let cipher = Cipher::new(backend, suite, secret.key());
    let tag = cipher.seal(*secret.nonce(), &[], &text, &mut ciphertext);
    Ok([&head[..], &ciphertext, &tag].concat())
}

fn open_metadata(
    head: &MetadataHead,
    record: &[u8],
    schedule: &KeySchedule,
    suite: Suite,
    backend: Backend,
    origin: u64,
) -> Result<Metadata, Error> {
    let refused = || Error::damaged("the metadata fails authentication").at(origin);
    let secret = schedule.metadata(&head.to_bytes());
    let body = record.get(METADATA_HEAD_LEN..).ok_or_else(refused)?;
    let (text, tag) = body.split_last_chunk::<TAG_LEN>().ok_or_else(refused)?;
    let mut plaintext = vec![0; text.len()];
    let cipher = Cipher::new(backend, suite, secret.key());
    cipher.open(*secret.nonce(), &[], text, tag, &mut plaintext).map_err(|_| refused())?;
    decode_entries(&plaintext).map_err(|error| Error::framing(error, origin))
}

/// Bytes left free in a key copy at least, for recipients to come: one post-quantum stanza of age, about 1.7 KB, and its age
/// file. Where more is needed later, a re-wrap makes a new file.
pub(crate) const ROOM_FOR_SLOTS: usize = 2048;
