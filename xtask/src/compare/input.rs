//! Owns the plaintext that is sealed: real bytes, which can be had again at any time.
//! Knows no program that seals them.
//!
//! No plaintext has to be kept to compare with: what was restored is compared with the bytes made again.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// This many bytes of the toolchain's own largest files, again from the first where they do not suffice.
pub(crate) struct Input {
    files: Vec<PathBuf>,
    len: u64,
}

impl Input {
    /// # Errors
    /// The toolchain's files cannot be listed.
    pub(crate) fn new(len: u64) -> Result<Input, String> {
        Ok(Input { files: largest_files(&sysroot()?)?, len })
    }

    /// The bytes, from the first.
    pub(super) fn reader(&self) -> impl Read + '_ {
        Repeated { files: &self.files, next: 0, open: None }.take(self.len)
    }

    /// Writes the bytes to a new file.
    ///
    /// # Errors
    /// What cannot be read or written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let copied = File::create(path).and_then(|mut file| io::copy(&mut self.reader(), &mut file));
        copied.map(drop).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Whether the file at `path` has these bytes and no others.
    ///
    /// # Errors
    /// It has not, and where it begins to differ; it cannot be read.
    pub(crate) fn check(&self, path: &Path) -> Result<(), String> {
        let mut cmp = Command::new("cmp");
        cmp.arg("-")
            .arg(path)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let failed = |error| format!("cannot compare {}: {error}", path.display());
        let mut cmp = cmp.spawn().map_err(failed)?;
        if let Some(mut stdin) = cmp.stdin.take() {
            match io::copy(&mut self.reader(), &mut stdin) {
                // It has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                copied => drop(copied.map_err(failed)?),
            }
        }
        let output = cmp.wait_with_output().map_err(failed)?;
        let said = [output.stdout, output.stderr].concat();
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("not what was sealed: {}", String::from_utf8_lossy(&said).trim_end())),
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

pub(super) fn sysroot() -> Result<PathBuf, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::scratch::Scratch;

    #[test]
    fn files_are_read_the_largest_first_and_then_again() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        for (name, text) in [("small", "ab"), ("large", "12345"), ("empty", "")] {
            fs::write(scratch.path().join(name), text).unwrap();
        }
        let files = largest_files(scratch.path()).unwrap();
        let mut bytes = Vec::new();
        Input { files, len: 17 }.reader().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"12345ab12345ab123");
    }

    #[test]
    fn what_was_restored_is_compared_byte_for_byte_and_to_its_end() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        let path = scratch.path().join("restored");
        let input = Input::new((1 << 20) + 24).unwrap();
        input.write(&path).unwrap();
        input.check(&path).unwrap();
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[(1 << 20) + 3] ^= 1;
        let longer = [&good[..], b"x"].concat();
        for (bad, said) in [
            (&flipped[..], " 1048580,"),
            (&good[..good.len() - 1], "after byte 1048599"),
            (&longer, "after byte 1048600"),
        ] {
            fs::write(&path, bad).unwrap();
            let message = input.check(&path).unwrap_err();
            assert!(message.contains(said), "{message}");
        }
    }
}
