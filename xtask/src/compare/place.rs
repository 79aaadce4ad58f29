//! Owns what is to be known of a directory before files go there: its file system, and the room that there is.
//! Knows nothing of what the files are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::size::size_text;

/// A directory that measurements work in.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) file_system: String,
    /// Bytes that can be written.
    pub(crate) room: u64,
}

impl Place {
    /// # Errors
    /// There is no such directory, or the machine does not say what it has.
    pub(crate) fn new(directory: &Path) -> Result<Place, String> {
        let unknown = |why: &str| format!("cannot tell the room in {}: {why}", directory.display());
        let output =
            Command::new("df").args(["--output=fstype,avail", "--block-size=1"]).arg(directory).output();
        let output = output.map_err(|error| unknown(&error.to_string()))?;
        if !output.status.success() {
            return Err(unknown(String::from_utf8_lossy(&output.stderr).trim_end()));
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        let (file_system, free) = file_system_and_free(&printed).ok_or_else(|| unknown(&printed))?;
        let mut room = free;
        if file_system == TMPFS {
            let memory = fs::read_to_string("/proc/meminfo").map_err(|error| unknown(&error.to_string()))?;
            room = free.min(available_memory(&memory).ok_or_else(|| unknown("the kernel does not say"))?);
        }
        Ok(Place { directory: directory.to_owned(), file_system: file_system.to_owned(), room })
    }

    pub(crate) fn is_tmpfs(&self) -> bool {
        self.file_system == TMPFS
    }

    /// # Errors
    /// There is less room than `needed` bytes.
    pub(crate) fn check_room(&self, needed: u64) -> Result<(), String> {
        if needed <= self.room {
            return Ok(());
        }
        let why = if self.is_tmpfs() { ", of which memory has to hold every byte" } else { "" };
        Err(format!(
            "{} ({}{why}) has room for {}, and {} are needed: a smaller --size, or another --directory",
            self.directory.display(),
            self.file_system,
            size_text(self.room >> 20 << 20),
            size_text(needed >> 20 << 20),
        ))
    }

    /// As the tables call it.
    pub(crate) fn name(&self) -> String {
        format!("{} ({})", self.directory.display(), self.file_system)
    }
}

/// Bytes to have room for where something of `size` bytes lies in whatever form: plain, sealed, a repository.
pub(crate) fn room_of(size: u64) -> u64 {
    size + size / ROOM_PART
}

/// From what `df` prints: a line of headings, and one with a type and a number of bytes.
fn file_system_and_free(printed: &str) -> Option<(&str, u64)> {
    let mut words = printed.lines().nth(1)?.split_whitespace();
    Some((words.next()?, words.next()?.parse().ok()?))
}

/// The bytes that programs can have without swapping.
fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

const TMPFS: &str = "tmpfs";
/// Of a size: what a form of it may take beyond it.
const ROOM_PART: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn place(file_system: &str) -> Place {
        let file_system = file_system.to_owned();
        Place { directory: "/here".into(), file_system, room: 2 * GIB }
    }

    #[test]
    fn the_room_of_a_directory_is_what_df_says() {
        assert_eq!(
            file_system_and_free("Type      Avail\next4 62747070464\n"),
            Some(("ext4", 62_747_070_464))
        );
        assert_eq!(file_system_and_free("Type Avail\n"), None);
        assert_eq!(file_system_and_free("Type Avail\next4 -\n"), None);
    }

    #[test]
    fn memory_is_what_the_kernel_calls_available() {
        let text = "MemTotal:       24552496 kB\nMemFree:         9000000 kB\nMemAvailable:       2048 kB\n";
        assert_eq!(available_memory(text), Some(2 << 20));
        assert_eq!(available_memory("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn too_little_room_is_said_before_anything_is_written() {
        place("ext4").check_room(2 * GIB).unwrap();
        let message = place("tmpfs").check_room(2 * GIB + (1 << 20)).unwrap_err();
        assert!(
            message.starts_with(
                "/here (tmpfs, of which memory has to hold every byte) has room for 2 GiB, and 2049 MiB"
            ),
            "{message}"
        );
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_room() {
        assert!(Place::new(Path::new("/no-such-folder")).is_err());
        assert!(Place::new(Path::new("/proc")).is_ok_and(|place| place.file_system == "proc"));
    }
}
