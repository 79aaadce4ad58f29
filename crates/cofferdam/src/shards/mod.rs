//! Shards: the streams of one snapshot, that a signed manifest names, restored into one directory that appears as a whole or not at all.
//! It opens each by an ordinary opener, and finds none by itself: its caller has the sources.
//!
//! A [`SignedManifest`] is believed for its signature alone. Each shard is restored beside the target, pinned to its digest, into a private
//! directory ([`ShardsTarget`]); once all are there, one rename gives that directory the target's name. What an interrupted run has
//! restored stays, and the next one goes on from there.
//!
//! What a manifest looks like is in docs/MANIFEST.md.
//!
//! ```
//! use cofferdam::shards::{Manifest, Shard, ShardName, ShardsTarget, SignedManifest};
//! use cofferdam::signatures::{Message, SecretKey, TrustedKeys};
//! use cofferdam::{FileSource, Identities, Opener, Recipients, Sealer, WrappingKey};
//!
//! # const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
//! # b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
//! # QyNTUxOQAAACCzPq7zfqLffKoBDe/eo04kH2XxtSmk9D7RQyf1xUqrYgAAAJgAIAxdACAM\n\
//! # XQAAAAtzc2gtZWQyNTUxOQAAACCzPq7zfqLffKoBDe/eo04kH2XxtSmk9D7RQyf1xUqrYg\n\
//! # AAAEC2BsIi0QwW2uFscKTUUXNHLsYX4FxlaSDSblbAj7WR7bM+rvN+ot98qgEN796jTiQf\n\
//! # ZfG1KaT0PtFDJ/XFSqtiAAAAEHVzZXJAZXhhbXBsZS5jb20BAgMEBQ==\n\
//! # -----END OPENSSH PRIVATE KEY-----\n";
//! # let directory = tempfile::tempdir()?;
//! # let at = |name: &str| directory.path().join(name);
//! let key = || WrappingKey::from_bytes([7; 32]);
//! let mut shards = Vec::new();
//! for name in ["orders", "users"] {
//!     std::fs::write(at(name), name)?;
//!     let sealed = Sealer::new(Recipients::new().wrapping_key(key())).seal_file(at(name), at(name).with_extension("cfd"))?;
//!     shards.push(Shard {
//!         name: ShardName::new(name).unwrap(),
//!         stream_digest: sealed.stream_digest.0,
//!         plaintext_len: sealed.plaintext_len,
//!         source: format!("{name}.cfd").into(),
//!     });
//! }
//! let text = Manifest::new(Some(17), shards)?.to_text();
//! let signature = SecretKey::parse(KEY.as_bytes(), || None)?.sign(&Message::manifest(text.clone().into_bytes()))?;
//!
//! let trusted = TrustedKeys::parse(
//!     "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti backup@db1\n",
//! )?;
//! let manifest = SignedManifest::check(text.as_bytes(), &trusted, &signature)?;
//! let opener = Opener::new(Identities::new().wrapping_key(key()));
//! let target = ShardsTarget::open(&manifest, at("restored"))?.expect("no run before this one has put it in place");
//! for shard in manifest.manifest().shards() {
//!     target.restore(&opener, shard, FileSource::open(at("").join(&shard.source))?)?;
//! }
//! assert!(!at("restored").exists());
//! target.publish()?;
//! assert_eq!(std::fs::read(at("restored/users"))?, b"users");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod beside;
mod finished;
mod target;

pub use ::parts::{MANIFEST_LEN_MAX, Manifest, RecordError, SHARDS_MAX, Shard, ShardName, UnusableManifest};
use signatures::{Message, PublicKey, Signature, SignatureError, TrustedKeys};

pub(crate) use self::beside::{beside, discard, refusal};
pub use self::target::{ShardRun, ShardsTarget};
use crate::signed_by::refused;
use crate::{Error, ErrorKind};

/// A manifest that somebody has signed who is trusted to.
#[derive(Clone, Debug)]
pub struct SignedManifest {
    manifest: Manifest,
    signer: PublicKey,
}

impl SignedManifest {
    /// Believes `text` for `signature`, if one of `keys` has made it in the namespace of manifests. Nothing of a text is looked at
    /// before that.
    ///
    /// # Errors
    /// [`ErrorKind::NotSigned`]: none of these keys has signed it, as far as the signature shows. [`ErrorKind::Unsupported`]: it was signed,
    /// and is no manifest that this release knows.
    pub fn check(text: &[u8], keys: &TrustedKeys, signature: &Signature) -> Result<SignedManifest, Error> {
        let signer =
            keys.verify(&Message::manifest(text.to_vec()), signature).map_err(|error| match error {
                SignatureError::Mismatch => Error::new(
                    ErrorKind::NotSigned,
                    "the signature is of another manifest, or one of the two is damaged",
                )
                .advise("Look whether manifest and signature belong together, and where both come from."),
                error => refused("the signature does not show who has made the manifest", error),
            })?;
        let manifest = Manifest::parse(text).map_err(|error| {
            Error::new(ErrorKind::Unsupported, format!("it was signed, and is no manifest: {error}"))
                .advise("Look what was signed; a later release may have made it.")
        })?;
        Ok(SignedManifest { manifest, signer: signer.clone() })
    }

    /// What it says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who has signed it.
    pub fn signer(&self) -> &PublicKey {
        &self.signer
    }

    /// Refuses one whose number is lower than `least`, or that has none.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`].
    pub fn require_sequence(&self, least: u64) -> Result<(), Error> {
        let what = match self.manifest.sequence() {
            Some(sequence) if sequence >= least => return Ok(()),
            Some(sequence) => {
                format!("the manifest has the sequence number {sequence}, and {least} is the least")
            }
            None => format!("the manifest has no sequence number, and {least} is the least"),
        };
        Err(Error::new(ErrorKind::Stale, what)
            .advise("Look whether a later manifest has been kept from you."))
    }
}
