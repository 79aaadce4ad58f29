//! A stream that somebody has to have signed: the check of its pin, and the line that a signature of it is over.
//! It makes no signature and reads none; `signatures` does.

use signatures::{Message, PublicKey, Signature, SignatureError, StreamHash, TrustedKeys};

use crate::{
    DigestKind, Error, ErrorKind, FORMAT_VERSION, GivenInstead, Pin, PinCheck, Remedy, StreamDigest,
};

/// Accepts the one stream that `signature` is of, if one of the trusted keys has made it: for [`Opener::check_pin`](crate::Opener::check_pin).
///
/// A stream says nothing about who sealed it: whoever knows a recipient can seal for it. A signature does. It is over the stream's
/// digest, so it vouches for every byte of preamble, metadata and segments, the sequence number included; not for the list of those
/// who can open it, which may change (FORMAT F5.6).
#[derive(Clone, Debug)]
pub struct SignedBy {
    signer: PublicKey,
    signature: Signature,
}

impl SignedBy {
    /// By one of `keys`, as `signature` shows.
    ///
    /// # Errors
    /// [`ErrorKind::NotSigned`]: the signature is none of these keys', or is not of a stream at all. Whether it is of *this* stream is
    /// found out when that is opened.
    pub fn new(keys: &TrustedKeys, signature: Signature) -> Result<SignedBy, Error> {
        let signer = keys.signer(&signature, Message::STREAM).map_err(refused_of_stream)?.clone();
        Ok(SignedBy { signer, signature })
    }

    /// The key that has to have signed.
    pub fn signer(&self) -> &PublicKey {
        &self.signer
    }
}

impl PinCheck for SignedBy {
    fn check(&self, pin: &Pin) -> Result<(), Error> {
        let message = stream_message(pin.digest, pin.stream_digest)?;
        self.signature.verify(&self.signer, &message).map_err(|error| match error {
            SignatureError::Mismatch => Error::new(
                ErrorKind::NotSigned,
                format!(
                    "{} has not signed this stream: the signature is of another, or damaged",
                    self.signer
                ),
            )
            .advise("Look whether signature and stream belong together, and where both come from."),
            error => refused_of_stream(error),
        })
    }
}

/// What a signature of the stream with this digest is over (FORMAT F11.3).
///
/// # Errors
/// [`ErrorKind::Unsupported`] of *tags*, which fix no bytes (FORMAT F11.4).
pub fn stream_message(digest: DigestKind, stream_digest: StreamDigest) -> Result<Message, Error> {
    let hash = match digest {
        DigestKind::Blake3 => StreamHash::Blake3,
        DigestKind::Sha256 => StreamHash::Sha256,
        DigestKind::Tags => {
            let what = "a stream with the digest `tags` cannot be signed: its digest fixes no bytes";
            return Err(Error::new(ErrorKind::Unsupported, what).advise("Seal it with another digest."));
        }
    };
    Ok(Message::stream(FORMAT_VERSION, hash, &stream_digest.0))
}

fn refused_of_stream(error: SignatureError) -> Error {
    let is_of_manifest =
        matches!(&error, SignatureError::Namespace { found, .. } if found == Message::MANIFEST);
    let refused = refused("the signature does not show who has sealed the stream", error);
    if is_of_manifest { refused.remedied(Remedy::GiveStream(GivenInstead::Manifest)) } else { refused }
}

/// `what` is what the signature does not show.
pub(crate) fn refused(what: &'static str, error: SignatureError) -> Error {
    let advice = match error {
        SignatureError::NotTrusted { .. } => {
            "If that is the signer's new key, trust it: after you have asked the signer."
        }
        SignatureError::Malformed { .. } | SignatureError::TooLong { .. } => {
            "Fetch the signature again, or have it made again."
        }
        SignatureError::NotTouched => "Have it signed with a key that wants to be touched.",
        _ => "Look whether it is the right file.",
    };
    Error::new(ErrorKind::NotSigned, what).advise(advice).because(error)
}
