//! What a stream's plaintext is, where that is more than bytes: the pair `cofferdam.content` (FORMAT F6.7).
//! It knows no plaintext.

use crate::{Error, ErrorKind, Metadata};

/// What a plaintext is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ContentKind {
    /// A tree: an archive with a catalog behind it (TREE).
    Tree,
}

/// The key under which it is kept.
pub(crate) const KEY: &[u8] = b"cofferdam.content";

impl ContentKind {
    /// The pair to keep for a stream of it.
    pub(crate) fn pair(self) -> (Vec<u8>, Vec<u8>) {
        let value: &[u8] = match self {
            ContentKind::Tree => TREE,
        };
        (KEY.to_vec(), value.to_vec())
    }

    /// What the stream with these pairs says that its plaintext is; none where it says nothing: bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`]: it is something that is not known here.
    pub fn of_metadata(metadata: &Metadata) -> Result<Option<ContentKind>, Error> {
        match metadata.iter().find(|(key, _)| key == KEY) {
            None => Ok(None),
            Some((_, value)) if value == TREE => Ok(Some(ContentKind::Tree)),
            Some((_, value)) => {
                let what = format!(
                    "the stream's plaintext is `{}`, which is not known here",
                    value[..value.len().min(SHOWN_LEN)].escape_ascii()
                );
                Err(Error::new(ErrorKind::Unsupported, what)
                    .advise("A later release may know it; its bytes can be restored as they are."))
            }
        }
    }
}

const TREE: &[u8] = b"tar+catalog/1";
/// Bytes of an unknown value that a message repeats.
const SHOWN_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_told_from_bytes_and_from_what_is_not_known() {
        let with = |value: &[u8]| vec![(b"a".to_vec(), b"b".to_vec()), (KEY.to_vec(), value.to_vec())];
        let of = |metadata| ContentKind::of_metadata(&metadata).map_err(|error| error.kind());
        assert_eq!(of(with(b"tar+catalog/1")), Ok(Some(ContentKind::Tree)));
        assert_eq!(of(Metadata::new()), Ok(None));
        for value in ["tar+catalog/2", "tar+catalog/1 ", "", "TAR+CATALOG/1"] {
            assert_eq!(of(with(value.as_bytes())), Err(ErrorKind::Unsupported), "{value}");
        }
        assert_eq!(ContentKind::Tree.pair(), (b"cofferdam.content".to_vec(), b"tar+catalog/1".to_vec()));
    }
}
