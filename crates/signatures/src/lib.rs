//! Signatures of SSH keys over one line that names a stream: what is signed, who may have signed it, and who signs.
//! It computes no digest, reads no file and no environment, and asks nobody: its callers do.
//!
//! A signature is what `ssh-keygen -Y sign` makes (SSHSIG), detached, in a file of its own. What it signs is a [`Message`]: of a
//! sealed stream one printable line (FORMAT F11.3), of other things their bytes; each in a namespace of its own, so that a signature
//! of one is never taken for one of another. All cryptography is the `ssh-key` crate's, or an SSH agent's.
//!
//! ```
//! use signatures::{Message, SecretKey, Signature, StreamHash, TrustedKeys};
//!
//! # const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
//! # b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
//! # QyNTUxOQAAACCzPq7zfqLffKoBDe/eo04kH2XxtSmk9D7RQyf1xUqrYgAAAJgAIAxdACAM\n\
//! # XQAAAAtzc2gtZWQyNTUxOQAAACCzPq7zfqLffKoBDe/eo04kH2XxtSmk9D7RQyf1xUqrYg\n\
//! # AAAEC2BsIi0QwW2uFscKTUUXNHLsYX4FxlaSDSblbAj7WR7bM+rvN+ot98qgEN796jTiQf\n\
//! # ZfG1KaT0PtFDJ/XFSqtiAAAAEHVzZXJAZXhhbXBsZS5jb20BAgMEBQ==\n\
//! # -----END OPENSSH PRIVATE KEY-----\n";
//! let key = SecretKey::parse(KEY.as_bytes(), || None)?;
//! let message = Message::stream(1, StreamHash::Blake3, &[0x3f; 32]);
//! let signature = key.sign(&message)?;
//!
//! let trusted = TrustedKeys::parse(
//!     "# who seals our backups\n\
//!      ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti backup@db1\n",
//! )?;
//! let read = Signature::parse(signature.as_text().as_bytes())?;
//! assert_eq!(trusted.verify(&message, &read)?.comment(), "backup@db1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod agent;
mod armor;
mod error;
mod message;
mod public_key;
mod secret_key;
mod signature;

pub use agent::{Agent, AgentOptions};
pub use error::{PublicKeyError, SignatureError, SigningError};
pub use message::{Message, StreamHash};
pub use public_key::{PublicKey, TrustedKeys};
pub use secret_key::SecretKey;
pub use signature::Signature;
/// Text that is zeroed when it is dropped.
pub use zeroize::Zeroizing;
