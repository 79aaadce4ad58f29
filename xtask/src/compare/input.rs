//! Owns the plaintexts that are sealed: their kinds, and their bytes, which can be made again at any time.
//! Knows no program that seals them.
//!
//! No plaintext has to be kept to compare with: what was restored is compared with the bytes made again.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The toolchain's own largest files, again from the first where they do not suffice.
    Real,
    /// Bytes of a generator, the same in each run.
    Random,
    Zeros,
}

impl Kind {
    pub(crate) const ALL: [Kind; 3] = [Kind::Real, Kind::Random, Kind::Zeros];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Real => "real",
            Kind::Random => "random",
            Kind::Zeros => "zeros",
        }
    }

    /// So many of them, in a sentence.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Kind::Real => "real bytes",
            Kind::Random => "random bytes",
            Kind::Zeros => "zeros",
        }
    }
}

/// So many bytes of a kind.
pub(crate) struct Input {
    source: Source,
    len: u64,
}

enum Source {
    Files(Vec<PathBuf>),
    Random,
    Zeros,
}

impl Input {
    /// `len` is a multiple of 8.
    ///
    /// # Errors
    /// The toolchain's files cannot be listed.
    pub(crate) fn new(kind: Kind, len: u64) -> Result<Input, String> {
        assert_eq!(len % 8, 0, "random bytes are made in words");
        let source = match kind {
            Kind::Real => Source::Files(largest_files(&sysroot()?)?),
            Kind::Random => Source::Random,
            Kind::Zeros => Source::Zeros,
        };
        Ok(Input { source, len })
    }

    /// The bytes, from the first.
    fn reader(&self) -> Box<dyn Read + '_> {
        let endless: Box<dyn Read> = match &self.source {
            Source::Files(files) => Box::new(Repeated { files, next: 0, open: None }),
            Source::Random => Box::new(Generator(SEED)),
            Source::Zeros => Box::new(io::repeat(0)),
        };
        Box::new(endless.take(self.len))
    }

    /// Writes the bytes to a new file.
    ///
    /// # Errors
    /// What cannot be read or written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        self.copy(path).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    fn copy(&self, path: &Path) -> io::Result<()> {
        let (mut reader, mut file) = (self.reader(), File::create(path)?);
        let mut block = vec![0; BLOCK_LEN];
        loop {
            match fill(&mut *reader, &mut block)? {
                0 => return Ok(()),
                len => file.write_all(&block[..len])?,
            }
        }
    }

    /// Whether the file at `path` has these bytes and no others.
    ///
    /// # Errors
    /// It has not, and where it begins to differ; it cannot be read.
    pub(crate) fn check(&self, path: &Path) -> Result<(), String> {
        let differs = self.first_difference(path);
        match differs.map_err(|error| format!("cannot read {}: {error}", path.display()))? {
            None => Ok(()),
            Some(at) => Err(format!("{} differs from what was sealed from byte {at} on", path.display())),
        }
    }

    fn first_difference(&self, path: &Path) -> io::Result<Option<u64>> {
        let (mut reader, mut file) = (self.reader(), File::open(path)?);
        let (mut expected, mut found) = (vec![0; BLOCK_LEN], vec![0; BLOCK_LEN]);
        let mut position = 0;
        loop {
            let (expected_len, found_len) =
                (fill(&mut *reader, &mut expected)?, fill(&mut file, &mut found)?);
            let (expected, found) = (&expected[..expected_len], &found[..found_len]);
            if expected != found {
                let same = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
                return Ok(Some(position + same as u64));
            }
            if expected.is_empty() {
                return Ok(None);
            }
            position += expected_len as u64;
        }
    }
}

/// Files one behind the other, without an end.
struct Repeated<'a> {
    files: &'a [PathBuf],
    next: usize,
    open: Option<File>,
}

impl Read for Repeated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // None of the files is empty, so that a pass over all of them gives bytes.
        for _ in 0..=self.files.len() {
            if let Some(file) = &mut self.open {
                match file.read(buffer)? {
                    0 => self.open = None,
                    len => return Ok(len),
                }
            }
            self.open = Some(File::open(&self.files[self.next])?);
            self.next = (self.next + 1) % self.files.len();
        }
        Err(io::Error::other("the toolchain's files have become empty"))
    }
}

/// Marsaglia's xorshift: no pattern that a program could find, and it needs no room.
struct Generator(u64);

impl Read for Generator {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Whole words alone, or the bytes would depend on the sizes of the reads.
        let len = buffer.len() & !7;
        for word in buffer[..len].chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
        Ok(len)
    }
}

/// Reads until `buffer` is full or the reader has ended.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            len => filled += len,
        }
    }
    Ok(filled)
}

fn sysroot() -> Result<PathBuf, String> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output();
    let output = output.map_err(|error| format!("cannot start rustc: {error}"))?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}

/// The largest files under `folder`, the largest first, those of one size by name.
fn largest_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    gather(folder, &mut files).map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    files.sort_unstable_by(|(a_len, a), (b_len, b)| b_len.cmp(a_len).then_with(|| a.cmp(b)));
    let files: Vec<_> = files.into_iter().take(FILES_MAX).map(|(_, path)| path).collect();
    if files.is_empty() { Err(format!("{} has no files", folder.display())) } else { Ok(files) }
}

fn gather(folder: &Path, files: &mut Vec<(u64, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            gather(&path, files)?;
        } else if kind.is_file() {
            let len = entry.metadata()?.len();
            files.extend((len > 0).then_some((len, path)));
        }
    }
    Ok(())
}

/// Of the toolchain's files: those below are small.
const FILES_MAX: usize = 32;
/// A multiple of a word, see [`Generator`].
const BLOCK_LEN: usize = 1 << 20;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::scratch::Scratch;

    fn bytes(input: &Input) -> Vec<u8> {
        let mut bytes = vec![1; input.len as usize + 8];
        let len = fill(&mut *input.reader(), &mut bytes).unwrap();
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn every_kind_gives_as_many_bytes_as_asked_for_and_the_same_again() {
        for kind in Kind::ALL {
            for len in [0, 8, 4096, 3 << 20] {
                let input = Input::new(kind, len).unwrap();
                assert_eq!(bytes(&input).len() as u64, len, "{kind:?}");
                assert!(bytes(&input) == bytes(&input), "{kind:?}");
            }
        }
    }

    #[test]
    fn zeros_are_zeros_and_random_bytes_have_all_values() {
        assert!(bytes(&Input::new(Kind::Zeros, 16).unwrap()).iter().all(|byte| *byte == 0));
        let mut values = bytes(&Input::new(Kind::Random, 1 << 16).unwrap());
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 256);
    }

    #[test]
    fn files_are_read_the_largest_first_and_then_again() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        for (name, text) in [("small", "ab"), ("large", "12345"), ("empty", "")] {
            fs::write(scratch.path().join(name), text).unwrap();
        }
        let files = largest_files(scratch.path()).unwrap();
        assert_eq!(bytes(&Input { source: Source::Files(files), len: 17 }), b"12345ab12345ab123");
    }

    #[test]
    fn what_was_restored_is_compared_byte_for_byte_and_to_its_end() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        let path = scratch.path().join("restored");
        let input = Input::new(Kind::Random, (1 << 20) + 24).unwrap();
        input.write(&path).unwrap();
        input.check(&path).unwrap();
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[(1 << 20) + 3] ^= 1;
        let longer = [&good[..], b"x"].concat();
        for (bad, at) in [
            (&flipped[..], (1 << 20) + 3),
            (&good[..good.len() - 1], (1 << 20) + 23),
            (&longer, (1 << 20) + 24),
        ] {
            fs::write(&path, bad).unwrap();
            let message = input.check(&path).unwrap_err();
            assert!(message.ends_with(&format!("from byte {at} on")), "{message}");
        }
    }
}
