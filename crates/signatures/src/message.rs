//! What is signed: bytes, and the namespace that they are signed in.
//! It knows no key.

use std::fmt::Write as _;

/// What a signature is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    namespace: &'static str,
    bytes: Vec<u8>,
}

/// What a stream is digested with; *tags* fix nothing (FORMAT F11.4), and are not signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StreamHash {
    /// Digest 1.
    Blake3,
    /// Digest 2.
    Sha256,
}

impl Message {
    /// The namespace of sealed streams.
    pub const STREAM: &'static str = "stream@cofferdam";
    /// The namespace of what a drill has found out.
    pub const EVIDENCE: &'static str = "evidence@cofferdam";
    /// The namespace of manifests: which streams are one snapshot.
    pub const MANIFEST: &'static str = "manifest@cofferdam";

    /// The line of a sealed stream (FORMAT F11.3): its format's version, what it is digested with, and its digest. It ends with a line feed,
    /// which is signed.
    pub fn stream(format_version: u16, hash: StreamHash, stream_digest: &[u8; 32]) -> Message {
        let name = match hash {
            StreamHash::Blake3 => "blake3",
            StreamHash::Sha256 => "sha256",
        };
        let mut line = format!("cofferdam stream {format_version} {name} ");
        for byte in stream_digest {
            // A string takes whatever is written.
            let _ = write!(line, "{byte:02x}");
        }
        line.push('\n');
        Message { namespace: Message::STREAM, bytes: line.into_bytes() }
    }

    /// What a drill has found out: all bytes of its file.
    pub fn evidence(bytes: Vec<u8>) -> Message {
        Message { namespace: Message::EVIDENCE, bytes }
    }

    /// A manifest: all bytes of its file.
    pub fn manifest(bytes: Vec<u8>) -> Message {
        Message { namespace: Message::MANIFEST, bytes }
    }

    /// What it is signed as: a signature in another namespace is none of it.
    pub fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// What is signed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As FORMAT F11.3 has it: whoever changes it makes all signatures worthless.
    #[test]
    fn the_line_of_a_stream_is_printable_and_ends_with_a_line_feed() {
        let mut digest = [0; 32];
        (digest[0], digest[31]) = (0xab, 1);
        let zeros = "0".repeat(60);
        for (hash, name) in [(StreamHash::Blake3, "blake3"), (StreamHash::Sha256, "sha256")] {
            let message = Message::stream(1, hash, &digest);
            let line = format!("cofferdam stream 1 {name} ab{zeros}01\n");
            assert_eq!((message.namespace(), message.bytes()), ("stream@cofferdam", line.as_bytes()));
        }
    }
}
