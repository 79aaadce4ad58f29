//! A manifest: the shards of one snapshot, each a sealed stream of its own, by name, digest, and where the stream is.
//! It knows no stream and no signature; whoever believes it has checked one.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;

use sha2::{Digest as _, Sha256};

use crate::text::{Hex, Lines, Quoted, Writer};
use crate::{RecordError, SHARDS_MAX};

/// Which streams are one snapshot, and what each becomes in its directory (docs/MANIFEST.md).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    sequence: Option<u64>,
    shards: Vec<Shard>,
}

/// One of the streams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shard {
    /// What it becomes in the directory: a file, or where it is a tree a directory.
    pub name: ShardName,
    /// The stream digest, which fixes every byte of it.
    pub stream_digest: [u8; 32],
    /// Bytes of plaintext.
    pub plaintext_len: u64,
    /// Where the stream is: a path or a URL, or a relative path from where the manifest is.
    pub source: OsString,
}

/// A name in a directory, that leads nowhere else: 1 to 200 bytes, without `/` and NUL, no `.` at its beginning, and
/// `.cofferdam-` nowhere, which names what is kept beside a target.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardName(OsString);

impl ShardName {
    /// Bytes that a name may have. What is staged for it has a longer one.
    pub const LEN_MAX: usize = 200;

    /// `None` if it is no such name.
    pub fn new(name: impl Into<OsString>) -> Option<ShardName> {
        let name = name.into();
        let bytes = name.as_bytes();
        let is_usable = (1..=ShardName::LEN_MAX).contains(&bytes.len())
            && bytes[0] != b'.'
            && !bytes.iter().any(|byte| matches!(byte, b'/' | 0))
            && !bytes.windows(KEPT.len()).any(|window| window == KEPT);
        is_usable.then_some(ShardName(name))
    }

    /// As a path's last part.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(out)
    }
}

/// Why no manifest can be made.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UnusableManifest {
    /// It has none, or more than [`SHARDS_MAX`].
    ShardCount,
    /// Two of them have this name.
    Twice(ShardName),
    /// All that is said of them is longer than [`MANIFEST_LEN_MAX`](crate::MANIFEST_LEN_MAX), or a path is longer than one can be.
    TooLong,
}

impl fmt::Display for UnusableManifest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnusableManifest::ShardCount => write!(out, "a manifest has 1 to {SHARDS_MAX} shards"),
            UnusableManifest::Twice(name) => write!(out, "two shards are called {name}"),
            UnusableManifest::TooLong => out.write_str("the manifest would be too long"),
        }
    }
}

impl Error for UnusableManifest {}

impl Manifest {
    /// Of these shards, in whatever order. `sequence` is the snapshot's number, where it has one: a later one has a higher.
    ///
    /// # Errors
    /// See [`UnusableManifest`].
    pub fn new(sequence: Option<u64>, mut shards: Vec<Shard>) -> Result<Manifest, UnusableManifest> {
        if !(1..=SHARDS_MAX).contains(&shards.len()) {
            return Err(UnusableManifest::ShardCount);
        }
        shards.sort_by(|one, other| one.name.cmp(&other.name));
        if let Some(pair) = shards.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(UnusableManifest::Twice(pair[0].name.clone()));
        }
        let manifest = Manifest { sequence, shards };
        match Manifest::parse(manifest.to_text().as_bytes()) {
            Ok(again) if again == manifest => Ok(manifest),
            _ => Err(UnusableManifest::TooLong),
        }
    }

    /// The snapshot's number.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// The shards, by their names in order of bytes.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Bytes of plaintext of all of them. What they say may be more than any number holds; then it is the highest.
    pub fn plaintext_len(&self) -> u64 {
        self.shards.iter().fold(0, |len, shard| len.saturating_add(shard.plaintext_len))
    }

    /// Its text, which is what is signed.
    pub fn to_text(&self) -> String {
        let mut text = Writer::new(MANIFEST);
        if let Some(sequence) = self.sequence {
            text.line("sequence", &[&sequence]);
        }
        text.line("shards", &[&self.shards.len()]);
        for shard in &self.shards {
            let digest = Hex(&shard.stream_digest);
            text.line(
                "shard",
                &[&Quoted(&shard.name.0), &digest, &shard.plaintext_len, &Quoted(&shard.source)],
            );
        }
        text.finish_unauthenticated()
    }

    /// The SHA-256 of its text, which names it.
    pub fn id(&self) -> [u8; 32] {
        Sha256::digest(self.to_text()).into()
    }

    /// Reads one. It says nothing of who made it.
    ///
    /// # Errors
    /// See [`RecordError`]; [`RecordError::Contradictory`] of names that do not ascend, so that one comes twice or the text has another spelling.
    pub fn parse(text: &[u8]) -> Result<Manifest, RecordError> {
        let mut lines = Lines::unauthenticated(text, MANIFEST, crate::MANIFEST_LEN_MAX)?;
        let sequence = lines.line_if_there::<1>("sequence")?.map(|line| line.number(0)).transpose()?;
        let line = lines.line::<1>("shards")?;
        let count = line.number(0)?;
        if !(1..=SHARDS_MAX as u64).contains(&count) {
            return Err(line.malformed());
        }
        let mut shards: Vec<Shard> = Vec::new();
        for _ in 0..count {
            let line = lines.line::<4>("shard")?;
            let name = ShardName::new(line.path(0)?).ok_or(line.malformed())?;
            if shards.last().is_some_and(|last| last.name >= name) {
                return Err(RecordError::Contradictory);
            }
            shards.push(Shard {
                name,
                stream_digest: line.bytes(1)?,
                plaintext_len: line.number(2)?,
                source: line.path(3)?,
            });
        }
        lines.end()?;
        Ok(Manifest { sequence, shards })
    }
}

const MANIFEST: &str = "cofferdam-manifest";
/// What a restore keeps beside a target has this in its name.
const KEPT: &[u8] = b".cofferdam-";
