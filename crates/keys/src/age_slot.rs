//! Owns the body of a slot of kind 1: an age v1 file around the stream key, sealed and opened.
//! Refuses to know whose recipients and identities those are.
//!
//! The age library zeroes what it decrypts, but not the buffer in which it collects a payload to encrypt: when
//! a key has been wrapped, one copy of it may stay in freed memory.

use std::io::{self, BufRead, Read, Write};

use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use zeroize::Zeroizing;

use crate::age_header::{self, STANZA_COUNT_MAX, WORK_FACTOR_MAX, stanza_count};
use crate::error::{KeyError, said};
use crate::slot::{Refusal, SlotFault};
use crate::stream_key::{STREAM_KEY_LEN, StreamKey, drawing};

/// Encrypts `stream_key` to all of `recipients` in one age file.
pub(crate) fn seal<'a>(
    recipients: impl Iterator<Item = &'a dyn age::Recipient>,
    stream_key: &StreamKey,
) -> Result<Vec<u8>, KeyError> {
    let body = drawing(|| encrypt(recipients, stream_key))??;
    match stanza_count(&body) {
        count if count > STANZA_COUNT_MAX => {
            Err(KeyError::TooMany { what: "age stanzas", count, max: STANZA_COUNT_MAX })
        }
        _ => Ok(body),
    }
}

fn encrypt<'a>(
    recipients: impl Iterator<Item = &'a dyn age::Recipient>,
    stream_key: &StreamKey,
) -> Result<Vec<u8>, KeyError> {
    let refused = |problem: String| KeyError::Recipient { problem };
    let encryptor = Encryptor::with_recipients(recipients).map_err(not_together)?;
    let mut body = Vec::new();
    let mut payload = encryptor.wrap_output(&mut body).map_err(|error| refused(said(error)))?;
    payload.write_all(stream_key.expose()).map_err(|error| refused(said(error)))?;
    payload.finish().map_err(|error| refused(said(error)))?;
    Ok(body)
}

/// Why there is no header for all of the recipients.
pub(crate) fn not_together(error: EncryptError) -> KeyError {
    match error {
        EncryptError::IncompatibleRecipients { .. } => KeyError::Unsuitable {
            problem: "the recipients do not go together: age takes post-quantum ones, and those that a plugin sets apart, \
                      only without others",
        },
        error => KeyError::Recipient { problem: said(error) },
    }
}

/// Opens the age file in `body` with `identity`. [`age_header::parse`] has passed it.
pub(crate) fn open(body: &[u8], identity: &dyn age::Identity) -> Result<StreamKey, Refusal> {
    let mut payload =
        parse(body).map_err(Refusal::Fault)?.decrypt(std::iter::once(identity)).map_err(refusal)?;
    // One byte more than a key: a longer payload shows as such, and what follows is never read.
    let mut buffer = Zeroizing::new([0; STREAM_KEY_LEN + 1]);
    let mut filled = 0;
    while filled < buffer.len() {
        match payload.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(_) => return Err(malformed("the payload of its age file does not decrypt")),
        }
    }
    StreamKey::copy_from(&buffer[..filled])
        .ok_or_else(|| malformed("the payload of its age file is not 32 bytes long"))
}

pub(crate) fn parse(body: &[u8]) -> Result<Decryptor<HeaderFirst<'_>>, SlotFault> {
    // The header is well formed: what is left to be wrong is a passphrase beside other stanzas, and the nonce behind it.
    Decryptor::new_buffered(HeaderFirst { rest: body, header_len: age_header::parse(body)?.len }).map_err(
        |_| SlotFault::Malformed("its age file is cut short, or mixes a passphrase with other stanzas"),
    )
}

/// A body that hands its whole header over as if it were one line.
///
/// Age reads a header line by line and parses it anew from its start after each. For a slot full of short
/// lines that is quadratic, 25 seconds instead of a millisecond; what age accepts is the same.
pub(crate) struct HeaderFirst<'a> {
    rest: &'a [u8],
    header_len: usize,
}

impl Read for HeaderFirst<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.rest.read(buffer)
    }
}

impl BufRead for HeaderFirst<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.rest)
    }

    fn consume(&mut self, count: usize) {
        self.rest.consume(count);
    }

    fn read_until(&mut self, delimiter: u8, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let header_len = std::mem::take(&mut self.header_len);
        if header_len == 0 {
            return self.rest.read_until(delimiter, buffer);
        }
        let (header, rest) = self.rest.split_at(header_len);
        buffer.extend_from_slice(header);
        self.rest = rest;
        Ok(header_len)
    }
}

pub(crate) fn refusal(error: DecryptError) -> Refusal {
    match error {
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            Refusal::Closed
        }
        DecryptError::InvalidHeader => malformed("the header of its age file is invalid"),
        DecryptError::InvalidMac => malformed("the header of its age file was altered"),
        DecryptError::UnknownFormat => malformed("it is not an age v1 file"),
        DecryptError::ExcessiveWork { required, .. } => Refusal::Fault(SlotFault::Limit {
            what: "as scrypt work factor",
            found: required.into(),
            max: WORK_FACTOR_MAX.into(),
        }),
        other => Refusal::Noted(format!("an identity failed: {}", said(other))),
    }
}

fn malformed(problem: &'static str) -> Refusal {
    Refusal::Fault(SlotFault::Malformed(problem))
}
