//! What an attempt has written, opened to be read: the file of its part, and those of members.
//! It knows what its receipt says of them, and takes none of it for true.

use std::fs::File;
use std::io;
use std::sync::Arc;

use ::parts::{FileState, PartPlace, PartReceipt};
use cofferdam_io::ReadAt;
use storage::Seed;

use super::attempts::AttemptsDir;
use super::comparison::PartBytes;
use crate::Error;

/// The files of members are opened when they are read: there may be more of them than a process may have open.
pub(super) struct PartFiles<'a> {
    attempts: &'a AttemptsDir,
    receipt: PartReceipt,
    own: Seed,
    /// The tree of a commit before this one: it may have the only name that is left of a member.
    kept: Option<Arc<dyn ReadAt>>,
}

impl<'a> PartFiles<'a> {
    /// `None`: the part's own file is not there, or not as long as the receipt says.
    pub(super) fn open(
        attempts: &'a AttemptsDir,
        receipt: PartReceipt,
    ) -> Result<Option<PartFiles<'a>>, Error> {
        let Some(own) = attempts.open_part(receipt.part(), receipt.attempt())? else { return Ok(None) };
        let len = own.metadata().map_err(|error| unreadable(&receipt, error))?.len();
        let is_as_long = len == receipt.layout().own_len();
        Ok(is_as_long.then(|| PartFiles { attempts, receipt, own: Seed::from(own), kept: None }))
    }

    /// The same, with what a commit before this one has left of the tree.
    pub(super) fn beside(self, kept: Option<Arc<dyn ReadAt>>) -> PartFiles<'a> {
        PartFiles { kept, ..self }
    }

    pub(super) fn receipt(&self) -> &PartReceipt {
        &self.receipt
    }

    /// The part's own file.
    pub(super) fn own(&self) -> &Seed {
        &self.own
    }

    /// What the file system has said of it.
    pub(super) fn own_state(&self) -> Option<FileState> {
        self.receipt.files().map(|files| files.own)
    }

    /// The file of a member; `None` where it is not there.
    pub(super) fn member(&self, number: usize) -> Result<Option<File>, Error> {
        self.attempts.open_member(self.receipt.part(), self.receipt.attempt(), number)
    }

    /// What the file system has said of it.
    pub(super) fn member_state(&self, number: usize) -> Option<FileState> {
        self.receipt.files().map(|files| files.members[number])
    }

    pub(super) fn unreadable(&self, error: io::Error) -> Error {
        unreadable(&self.receipt, error)
    }
}

impl PartBytes for PartFiles<'_> {
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where a file is shorter, or not there.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        for (piece, place) in self.receipt.layout().places(offset..offset + buffer.len() as u64) {
            let buffer = &mut buffer[(piece.start - offset) as usize..(piece.end - offset) as usize];
            match place {
                PartPlace::Own { offset } => self.own.read_exact_at(buffer, offset)?,
                PartPlace::Member { number, offset } => {
                    match (self.member(number).map_err(io::Error::other)?, &self.kept) {
                        (Some(file), _) => Seed::from(file).read_exact_at(buffer, offset)?,
                        (None, Some(kept)) => {
                            kept.read_exact_at(self.receipt.extent().plaintext.start + piece.start, buffer)?;
                        }
                        (None, None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    }
                }
            }
        }
        Ok(())
    }
}

fn unreadable(receipt: &PartReceipt, error: io::Error) -> Error {
    Error::io(format!("the file of part {} could not be read", receipt.part()), error)
}
