//! The file that a signature is in: beside what it is of, unless it is named.
//! It judges no signature; it reads few bytes, and replaces nothing but a signature.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cofferdam::signatures::{Signature, SignatureError};
use cofferdam::{CancelToken, ErrorKind, IfExists, TargetError, descriptor_named, open_descriptor};

use crate::failure::Failure;
use crate::io_arg::End;
use crate::printable::Name;
use crate::report::Report;
use crate::sealed::Sealed;
use crate::small_source::read_up_to;
use crate::whole_file::{self, Fault, Kind, Links, ReplacedFile, open_regular};

/// The file of a signature that is made.
#[derive(Clone, Debug)]
pub(crate) struct SignatureFile {
    path: PathBuf,
    if_exists: IfExists,
}

impl SignatureFile {
    /// The file at `path`. One that is there is replaced only if `if_exists` says so, and if it is a signature of this user's.
    pub(crate) fn new(path: PathBuf, if_exists: IfExists) -> SignatureFile {
        SignatureFile { path, if_exists }
    }

    /// As files that are named with a command's options are noted.
    pub(crate) fn end(&self) -> End {
        End::Path(self.path.clone())
    }

    pub(crate) fn name(&self) -> Name {
        Name::from(&*self.path)
    }

    /// Refuses a place where none can be made, before the work: what is there already and is not to be replaced, or is no signature, or
    /// would be lost beside it.
    pub(crate) fn refuse_unwritable(&self) -> Result<(), Failure> {
        match (self.standing()?, self.if_exists) {
            (Some(_), IfExists::Refuse) => Err(self.exists()),
            _ => {
                self.refuse_other_leftovers()?;
                whole_file::refuse_unwritable(&self.path)
            }
        }
    }

    /// What an interrupted restore or sealing keeps there is not thrown away.
    fn refuse_other_leftovers(&self) -> Result<(), Failure> {
        whole_file::refuse_other_leftovers(&self.path, |kept| kept.starts_with(BEGIN))
    }

    /// The signature that is there, if one is. What is no signature is not looked at further.
    pub(crate) fn found(&self) -> Result<Option<Signature>, Failure> {
        Ok(self.standing()?.and_then(|standing| Signature::parse(&standing.content).ok()))
    }

    /// Makes what is there durable: whoever put it there may have been stopped before that.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let synced = open_regular(&self.path, Links::Refused)
            .and_then(|file| file.sync_all())
            .and_then(|()| File::open(directory)?.sync_all());
        synced.map_err(|error| self.may_be_lost(&error))
    }

    fn may_be_lost(&self, error: &io::Error) -> Failure {
        Failure::new(
            ErrorKind::DurabilityUnknown,
            format!("{} is in place, and may not survive a power cut: {error}", self.name()),
        )
        .advise("Look at the disk. Copy the signature to another one, or sign again there.")
    }

    /// Puts `signature` in place, durably.
    pub(crate) fn write(&self, signature: &Signature) -> Result<(), Failure> {
        let standing = match (self.standing()?, self.if_exists) {
            (Some(_), IfExists::Refuse) => return Err(self.exists()),
            (standing, _) => standing,
        };
        self.refuse_other_leftovers()?;
        let text = signature.as_text().as_bytes();
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::new(ErrorKind::Io, format!("{} could not be written: {error}", self.name()))
        };
        whole_file::write(&self.path, standing, text, READABLE).map_err(|fault| match fault {
            Fault::Refused(TargetError::Exists { .. } | TargetError::Symlink { .. }) => self.exists(),
            Fault::Refused(error) => {
                whole_file::refused(&error, format!("{} could not be written", self.name()))
            }
            Fault::NotWritten(error) if error.kind() == io::ErrorKind::AlreadyExists => self.exists(),
            Fault::NotWritten(error) => cannot(&error),
            Fault::Unknown(error) => self.may_be_lost(&error),
        })
    }

    pub(crate) fn exists(&self) -> Failure {
        Failure::new(ErrorKind::TargetExists, format!("{} exists", self.name()))
            .advise("`--force` replaces it, if it is a signature. Or give the new one another name.")
    }

    fn standing(&self) -> Result<Option<ReplacedFile>, Failure> {
        let kind = Kind { name: "signature", len_max: Signature::LEN_MAX as u64, links: Links::Refused };
        whole_file::read_own(&self.path, kind, |content| content.starts_with(BEGIN))
    }
}

/// The path of the signature of what is at `path`.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

/// Where the signature of `sealed` is, if nobody says so. Nothing is beside a pipe.
pub(super) fn place_beside(sealed: &Sealed) -> Result<Sealed, Failure> {
    match sealed {
        Sealed::Here(End::Path(path)) if has_neighbours(sealed, path) => {
            Ok(Sealed::Here(End::Path(beside(path))))
        }
        Sealed::Here(_) => {
            Err(Failure::usage("nothing is beside a pipe: where its signature is has to be said")
                .advise("Name the file of the signature with --signature."))
        }
        Sealed::There(url) => url.beside(SUFFIX).map(Sealed::There),
    }
}

/// Whether what is at `path` has a name that something could be put beside: a descriptor has none, and a pipe's bytes are gone with it.
pub(crate) fn has_neighbours(sealed: &Sealed, path: &Path) -> bool {
    !sealed.is_in_order() && descriptor_named(path).is_none()
}

/// What is signed, and who signs it.
#[derive(Clone, Copy)]
pub(super) enum Signed {
    Stream,
    Manifest,
}

impl Signed {
    /// How it is had signed.
    fn how(self) -> &'static str {
        match self {
            Signed::Stream => "have the stream signed: `cofferdam sign`",
            Signed::Manifest => {
                "have the manifest signed: by `cofferdam manifest`, which makes it, or `ssh-keygen -Y sign -n manifest@cofferdam`"
            }
        }
    }
}

/// Reads the signature at `place`.
pub(super) fn read(
    place: &Sealed,
    signed: Signed,
    cancel: &CancelToken,
    report: Report,
) -> Result<Signature, Failure> {
    let missing = |why: &dyn std::fmt::Display| {
        Failure::new(ErrorKind::NotSigned, format!("there is no signature: {place}{why}"))
            .advise(format!("Name its file with --signature, or {}.", signed.how()))
    };
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidInput => missing(&format_args!(": {error}")),
        _ => Failure::io(format!("the signature {place} could not be read"), error),
    };
    let content = match place {
        Sealed::There(url) => url.read_small(Signature::LEN_MAX, cancel, report)?,
        Sealed::Here(End::Path(path)) if descriptor_named(path).is_none() => {
            read_path(path, cancel).map_err(failed)?
        }
        // Standard input, or a descriptor that a shell has opened: a pipe, most often.
        Sealed::Here(_) => {
            Some(read_up_to(place.source(cancel, report)?, Signature::LEN_MAX, cancel).map_err(failed)?)
        }
    };
    let content = content.ok_or_else(|| missing(&" does not exist"))?;
    Signature::parse(&content).map_err(|error| {
        let advice = match error {
            SignatureError::TooLong { .. } => "Is it the right file?".to_owned(),
            _ => format!("Fetch it again, or {}.", signed.how()),
        };
        Failure::new(ErrorKind::NotSigned, format!("{place}: {error}")).advise(advice)
    })
}

/// What is in the file at `path`; `None` if nothing is there. Nothing else is waited for, such as a pipe that nobody writes to.
fn read_path(path: &Path, cancel: &CancelToken) -> io::Result<Option<Vec<u8>>> {
    let file = match open_regular(path, Links::Followed) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    read_up_to(open_descriptor(file.into())?, Signature::LEN_MAX, cancel).map(Some)
}

/// What a signature's name ends in.
const SUFFIX: &str = ".sig";
const BEGIN: &[u8] = b"-----BEGIN SSH SIGNATURE-----";
/// A signature is no secret.
const READABLE: u32 = 0o644;
