//! The sealed stream that a command reads: a path, `-`, or a URL of a store or server.
//! It knows no command and no key.

use std::ffi::{OsStr, OsString};
use std::fmt;
#[cfg(any(feature = "mount", feature = "serve", feature = "signatures"))]
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use cofferdam::{CancelToken, Source};

use crate::failure::Failure;
use crate::io_arg::End;
use crate::named_files::NamedFiles;
use crate::printable::Name;
use crate::report::Report;
use crate::secrets;
use crate::timeout::Timeout;
use crate::url::Url;

/// Where a sealed stream is.
#[derive(Clone, Debug)]
pub(crate) enum Sealed {
    /// On this machine.
    Here(End),
    /// In a store, or on a server.
    There(Url),
}

impl Sealed {
    /// An argument that begins like a URL is one, or is refused. A file of such a name is `./s3:…`.
    pub(crate) fn parse(argument: OsString) -> Result<Sealed, String> {
        match looks_like_a_url(&argument) {
            true => Url::parse(&argument).map(Sealed::There),
            false => End::parse(argument).map(Sealed::Here),
        }
    }

    /// A store or server is waited for so long.
    pub(crate) fn set_timeout(&mut self, timeout: Timeout) {
        if let Sealed::There(url) = self {
            url.set_timeout(timeout);
        }
    }

    /// Opens it to read from. Whoever waits for a store waits no more once `cancel` is cancelled.
    pub(crate) fn source(&self, cancel: &CancelToken, report: Report) -> Result<Box<dyn Source>, Failure> {
        match self {
            Sealed::Here(end) => end.source(),
            Sealed::There(url) => url.source(cancel, report),
        }
    }

    /// Notes the file that is read.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        match self {
            Sealed::Here(end) => files.reads("the input", end),
            Sealed::There(_) => Ok(()),
        }
    }

    /// Whether it comes once, in order.
    pub(crate) fn is_in_order(&self) -> bool {
        match self {
            Sealed::Here(end) => *end == End::Standard || end.is_pipe(),
            Sealed::There(_) => false,
        }
    }

    /// Whether it comes from another program, which may have failed.
    pub(crate) fn is_pipe(&self) -> bool {
        matches!(self, Sealed::Here(end) if end.is_pipe())
    }

    /// What its plaintext is called as a file: its own name, without the ending; `plaintext` where that is no name of a file. Of a URL
    /// what is secret is left out, and no directory of either.
    #[cfg(any(feature = "mount", feature = "serve", feature = "signatures"))]
    pub(crate) fn plaintext_name(&self) -> OsString {
        let name = match self {
            Sealed::Here(End::Standard) => Vec::new(),
            Sealed::Here(End::Path(path)) => path.file_name().unwrap_or_default().as_bytes().to_vec(),
            Sealed::There(url) => {
                let url = url.to_string();
                let path = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
                path.rsplit('/').next().unwrap_or_default().as_bytes().to_vec()
            }
        };
        let name = name.strip_suffix(b".cfd").unwrap_or(&name);
        match name {
            b"" | b"." | b".." => "plaintext".into(),
            _ => OsString::from_vec(name.to_vec()),
        }
    }

    /// As records name it: without what is secret in a URL.
    pub(crate) fn name(&self) -> Name {
        match self {
            Sealed::Here(end) => end.name(),
            Sealed::There(url) => Name::from(OsStr::new(&url.to_string())),
        }
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

/// The path of a sealed stream that is worked on where it is, and so not in a store.
pub(crate) fn parse_path(argument: OsString) -> Result<PathBuf, String> {
    match looks_like_a_url(&argument) {
        true => Err("a stream in a store is not changed there: fetch it first (a file of that name is ./…)"
            .to_owned()),
        false => Ok(argument.into()),
    }
}

/// Whether an argument begins with a scheme and `://`, or with a store's or server's and one slash too few.
pub(crate) fn looks_like_a_url(argument: &OsStr) -> bool {
    let text = argument.to_string_lossy();
    secrets::split_scheme(&text).is_some_and(|(scheme, slashes, _)| match slashes {
        "://" => !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        _ => secrets::is_of_a_place(scheme),
    })
}

#[cfg(all(test, any(feature = "mount", feature = "serve")))]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    #[test]
    fn a_plaintext_is_called_what_its_stream_is_called_if_a_file_can_be() {
        let name = |argument: &[u8]| {
            let sealed = Sealed::parse(OsString::from_vec(argument.to_vec())).unwrap();
            sealed.plaintext_name().into_vec()
        };
        assert_eq!(name(b"backups/db.cfd"), b"db");
        assert_eq!(name(b"db#1?.cfd"), b"db#1?");
        assert_eq!(name(b"x\ny\xff.cfd"), b"x\ny\xff");
        for odd in [&b"..cfd"[..], b"a/...cfd", b".cfd", b"-"] {
            assert_eq!(name(odd), b"plaintext");
        }
    }
}
