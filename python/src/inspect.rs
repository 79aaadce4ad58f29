//! What a sealed stream says of itself, without a key.
//! The library looks; nothing here does.

use cofferdam::{Compression, DigestKind, SlotSummary, Suite};
use pyo3::prelude::*;

use crate::call::{self, Control, Failed};
use crate::number::seconds;
use crate::source::{Given, Opened};

/// What a sealed stream says of itself. Nothing of it is proved: `verify` does that.
#[pyclass(frozen, get_all, module = "cofferdam")]
pub(crate) struct Inspection {
    /// Names the stream: hexadecimal digits.
    stream_id: String,
    /// The cipher suite: `aes256gcm`, or `chacha20poly1305`.
    suite: String,
    /// What segments are digested with: `blake3`, `sha256` or `tags`.
    digest: String,
    /// Whether frames may be compressed, with zstd.
    is_compressed: bool,
    /// Plaintext bytes of a full frame.
    frame_len: u32,
    /// Plaintext bytes of a full segment.
    segment_len: u64,
    /// Length of the metadata, which are encrypted, in bytes.
    metadata_len: u64,
    /// Length of the sealed stream in bytes.
    sealed_len: u64,
    /// Segments that it has. None, as the two below, of a stream whose end is missing.
    segments: Option<u64>,
    /// Length of the plaintext in bytes.
    plaintext_len: Option<u64>,
    /// The digest that `expect_digest` is compared with: hexadecimal digits.
    stream_digest: Option<String>,
    /// How it can be opened, one word each: the type of an age stanza such as `X25519`, `key` (32 bytes), the name of a service.
    slots: Vec<String>,
    /// What is not as it should be, in words.
    warnings: Vec<String>,
}

#[pymethods]
impl Inspection {
    fn __repr__(&self) -> String {
        format!("<cofferdam.Inspection of stream {}, {} bytes>", self.stream_id, self.sealed_len)
    }
}

/// Says what `source` says of itself, without a key: how it was sealed, how long it is, how it can be opened.
///
/// Nothing of it is proved; ``verify`` does that. The source needs offsets, and is a stream of Cofferdam's.
///
/// Raises ``NotAStreamError``, ``DamagedError`` or ``TruncatedError`` where what stands before the segments is of no use.
#[pyfunction]
#[pyo3(signature = (source, *, timeout = None))]
pub(crate) fn inspect(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    timeout: Option<f64>,
) -> PyResult<Inspection> {
    let source = Given::new(source, seconds(py, timeout)?)?;
    call::run(py, None, move |Control { cancel, .. }| {
        let Opened { source, lease: _lease } = source.open(&cancel)?;
        Ok::<_, Failed>(Inspection::from(&cofferdam::inspect_source(source)?))
    })
}

impl From<&cofferdam::Inspection> for Inspection {
    fn from(inspection: &cofferdam::Inspection) -> Inspection {
        let trailer = inspection.trailer.as_ref();
        let copy = inspection.key_copies.iter().flatten().max_by_key(|copy| copy.generation);
        Inspection {
            stream_id: inspection.stream_id.to_string(),
            suite: suite_name(inspection.suite).to_owned(),
            digest: digest_name(inspection.digest).to_owned(),
            is_compressed: inspection.compression != Compression::None,
            frame_len: inspection.frame_len,
            segment_len: inspection.segment_len,
            metadata_len: inspection.metadata_len,
            sealed_len: inspection.sealed_len,
            segments: trailer.map(|trailer| trailer.segments),
            plaintext_len: trailer.map(|trailer| trailer.plaintext_len),
            stream_digest: trailer.map(|trailer| trailer.stream_digest.to_string()),
            slots: copy.into_iter().flat_map(|copy| copy.slots.iter().flat_map(slot_names)).collect(),
            warnings: inspection.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

fn slot_names(slot: &SlotSummary) -> Vec<String> {
    match slot {
        SlotSummary::Age(stanzas) => stanzas.clone(),
        SlotSummary::KeyFile => vec!["key".to_owned()],
        SlotSummary::External(name) => vec![name.clone()],
        other => vec![format!("kind-{}", other.kind())],
    }
}

fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::Aes256Gcm => "aes256gcm",
        Suite::ChaCha20Poly1305 => "chacha20poly1305",
    }
}

fn digest_name(digest: DigestKind) -> &'static str {
    match digest {
        DigestKind::Blake3 => "blake3",
        DigestKind::Sha256 => "sha256",
        DigestKind::Tags => "tags",
    }
}
