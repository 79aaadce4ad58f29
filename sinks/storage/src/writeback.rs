//! How far writeback of a file has been started before anyone waits for it.
//! Knows no sink, and promises nothing: what is durable, a sync says.

use super::StorageFile;

/// Tracks a file that is written from its start. What it starts to write back, no later sync has to write while
/// somebody waits.
#[derive(Clone, Copy, Default, Debug)]
pub struct Writeback {
    /// The bytes before this one are on their way, or there.
    sent: u64,
}

impl Writeback {
    /// Follows a file of which the bytes before `at` were there already.
    pub fn behind(at: u64) -> Self {
        Self { sent: at }
    }

    /// A sync covered the bytes before `synced_to`. They are passed over, for [`StorageFile::begin_writeback`] would take from
    /// memory what it finds clean.
    pub fn pass(&mut self, synced_to: u64) {
        self.sent = self.sent.max(synced_to);
    }

    /// All bytes before `whole_to` were written. It stays one piece behind, where writes have ceased.
    pub fn follow(&mut self, file: &dyn StorageFile, whole_to: u64) {
        let end = whole_to.saturating_sub(Self::PIECE_LEN);
        if end >= self.sent.saturating_add(Self::PIECE_LEN) {
            file.begin_writeback(self.sent, end - self.sent);
            self.sent = end;
        }
    }

    /// Bytes that are put on their way at once: a segment by default, and enough for a disk to work on.
    pub const PIECE_LEN: u64 = 8 << 20;
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::{Disk, Storage};

    #[test]
    fn it_stays_a_piece_behind_and_sends_nothing_twice() {
        let piece = Writeback::PIECE_LEN;
        let directory = tempfile::tempdir().unwrap();
        let file = Disk::open(directory.path()).unwrap().create("file".as_ref()).unwrap();
        file.write_all_at(b"kept", 4 * piece).unwrap();
        let mut writeback = Writeback::behind(3);
        for (whole_to, sent) in [(0, 3), (2 * piece + 2, 3), (2 * piece + 3, piece + 3), (piece, piece + 3)] {
            writeback.follow(&*file, whole_to);
            assert_eq!(writeback.sent, sent, "whole up to {whole_to}");
        }
        writeback.follow(&*file, 9 * piece);
        assert_eq!(writeback.sent, 8 * piece);
        writeback.pass(7 * piece);
        assert_eq!(writeback.sent, 8 * piece, "synced less than was sent");
        writeback.pass(9 * piece);
        writeback.follow(&*file, 11 * piece - 1);
        assert_eq!(writeback.sent, 9 * piece);
        let mut found = [0; 4];
        let path = directory.path().join("file");
        std::fs::File::open(path).unwrap().read_exact_at(&mut found, 4 * piece).unwrap();
        assert_eq!(&found, b"kept");
    }
}
