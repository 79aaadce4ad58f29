//! What is served: bytes, and what they are called.
//! Knows no protocol.

use std::fmt;
use std::sync::Arc;

use cofferdam_io::ReadAt;

/// Bytes under a name.
#[derive(Clone)]
pub struct Export {
    pub(crate) source: Arc<dyn ReadAt>,
    pub(crate) name: String,
    pub(crate) tag: String,
    pub(crate) preferred_len: u32,
}

impl Export {
    /// `tag` stands for these bytes and for no others: it becomes a strong entity tag (RFC 9110 §8.8.3). Of `name`, letters, digits and
    /// `.`, `-`, `_` stay, the rest becomes `_`: it stands in URLs as it is.
    pub fn new(source: Arc<dyn ReadAt>, name: &str, tag: &str) -> Export {
        let plain = |letter: char| {
            if letter.is_ascii_alphanumeric() || ".-_".contains(letter) { letter } else { '_' }
        };
        let mut name: String = name.chars().map(plain).take(NAME_LEN_MAX).collect();
        // Of nothing but dots, a URL would lead elsewhere.
        if name.bytes().all(|byte| byte == b'.') {
            name = "plaintext".to_owned();
        }
        let tag = tag.chars().filter(char::is_ascii_alphanumeric).take(TAG_LEN_MAX).collect();
        Export { source, name, tag, preferred_len: PREFERRED_LEN }
    }

    /// Says how long and how aligned reads cost least, in bytes: NBD tells clients, as the power of two within 512 and 1 MiB that is
    /// nearest below.
    #[must_use]
    pub fn preferred_len(mut self, bytes: u32) -> Export {
        let bytes = bytes.clamp(512, 1 << 20);
        self.preferred_len = 1 << bytes.ilog2();
        self
    }

    /// As it stands in URLs.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn len(&self) -> u64 {
        self.source.len()
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("name", &self.name).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A page: what clients ask for when they are told nothing.
const PREFERRED_LEN: u32 = 4096;
/// Names of files are no longer.
const NAME_LEN_MAX: usize = 255;
/// Two digests in hexadecimal.
const TAG_LEN_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl ReadAt for Nothing {
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
            Ok(())
        }

        fn len(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_name_stands_in_urls_as_it_is() {
        let name = |name: &str| Export::new(Arc::new(Nothing), name, "").name;
        for (given, taken) in
            [("db.img", "db.img"), ("a b/ü?", "a_b___"), ("", "plaintext"), ("..", "plaintext")]
        {
            assert_eq!(name(given), taken);
        }
        assert_eq!(name(&"a".repeat(300)).len(), 255);
    }

    #[test]
    fn the_preferred_length_is_a_power_of_two_that_clients_accept() {
        let preferred = |bytes| Export::new(Arc::new(Nothing), "", "").preferred_len(bytes).preferred_len;
        let given = [0, 1, 512, 513, 65_535, 65_536, u32::MAX];
        assert_eq!(given.map(preferred), [512, 512, 512, 512, 32_768, 65_536, 1 << 20]);
    }
}
