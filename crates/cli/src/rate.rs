//! `--limit-rate` and `--limit-rate-file`: how fast a command reads or writes the sealed stream, also while it runs.
//! It counts no byte; the library keeps to the rate.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{Opener, RateLimit, Sealer};
use rustix::fs::OFlags;

use crate::failure::Failure;
use crate::io_arg::{End, a_file};
use crate::named_files::NamedFiles;
use crate::printable::Name;
use crate::report::Report;
use crate::size::Size;

/// What the commands share that go through all of a stream.
#[derive(clap::Args, Default)]
#[command(next_help_heading = "Resources")]
pub(crate) struct RateArgs {
    /// Bytes per second of the sealed stream that are read, or written by seal, at most: 10MiB, 500KB, …; 0 is no limit
    ///
    /// What is kept from before, a seed and the target are not counted.
    #[arg(long, value_name = "RATE")]
    limit_rate: Option<Rate>,

    /// A file with the rate, as --limit-rate has it, that is read again each second: to change it while the command runs
    ///
    /// While the file is missing or has no rate in it, the last one holds: at first that of --limit-rate. A warning says so.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(a_file))]
    limit_rate_file: Option<PathBuf>,
}

/// Bytes per second; none is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rate(Option<NonZeroU64>);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let size: Size = text.strip_suffix("/s").unwrap_or(text).trim_end().parse()?;
        Ok(Rate(NonZeroU64::new(size.0)))
    }
}

impl RateArgs {
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        let file = self.limit_rate_file.iter().cloned();
        file.into_iter().try_for_each(|file| files.reads("the rate file", &End::Path(file)))
    }

    /// One of the options, if any is given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let file = self.limit_rate_file.as_ref().map(|_| "--limit-rate-file");
        self.limit_rate.map(|_| "--limit-rate").or(file)
    }

    pub(crate) fn sealer(&self, sealer: Sealer, report: Report) -> Result<Sealer, Failure> {
        Ok(self.limit(report)?.into_iter().fold(sealer, Sealer::rate_limit))
    }

    pub(crate) fn opener(&self, opener: Opener, report: Report) -> Result<Opener, Failure> {
        Ok(self.limit(report)?.into_iter().fold(opener, Opener::rate_limit))
    }

    /// The limit, if there is one. From now on it follows the file.
    pub(crate) fn limit(&self, report: Report) -> Result<Option<RateLimit>, Failure> {
        if self.limit_rate.is_none() && self.limit_rate_file.is_none() {
            return Ok(None);
        }
        let limit = RateLimit::new(self.limit_rate.and_then(|rate| rate.0));
        if let Some(path) = self.limit_rate_file.clone() {
            let mut file = RateFile { path, limit: limit.clone(), is_usable: true };
            // Before the first byte.
            file.look(report);
            let thread = thread::Builder::new().name("rate-file".to_owned());
            let follow = move || {
                loop {
                    thread::sleep(LOOK_INTERVAL);
                    file.look(report);
                }
            };
            // It ends with the program.
            thread.spawn(follow).map_err(|error| Failure::io("no thread for the rate file", error))?;
        }
        Ok(Some(limit))
    }
}

/// A file that says how fast it may go.
struct RateFile {
    path: PathBuf,
    limit: RateLimit,
    /// Whether it was when it was looked at last.
    is_usable: bool,
}

impl RateFile {
    /// Takes the rate that the file has now. Where it has none, the last one holds, and that is said once.
    fn look(&mut self, report: Report) {
        match read(&self.path) {
            Ok(Rate(rate)) => {
                self.limit.set(rate);
                self.is_usable = true;
            }
            Err(why) => {
                if self.is_usable {
                    let rate = self
                        .limit
                        .get()
                        .map_or("no limit".to_owned(), |rate| format!("{}/s", Size(rate.get())));
                    let file = Name::from(self.path.as_path());
                    report.warning(format!(
                        "{file} has no rate to limit to ({why}); the last one holds: {rate}"
                    ));
                }
                self.is_usable = false;
            }
        }
    }
}

fn read(path: &Path) -> Result<Rate, String> {
    let mut text = String::new();
    // A pipe that nobody writes to must not stop the command.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path);
    let read = file.and_then(|file| file.take(FILE_LEN_MAX).read_to_string(&mut text));
    read.map_err(|error| error.to_string())?;
    text.trim().parse()
}

/// How often the file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A rate is no longer.
const FILE_LEN_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn rate(bytes: u64) -> Rate {
        Rate(NonZeroU64::new(bytes))
    }

    #[test]
    fn rates_are_sizes_each_second_and_zero_is_none() {
        for (text, bytes) in [
            ("10MiB", 10 << 20),
            ("500KB", 500_000),
            ("500KB/s", 500_000),
            ("1 MiB /s", 1 << 20),
            ("7", 7),
            ("0", 0),
            ("0/s", 0),
        ] {
            assert_eq!(text.parse(), Ok(rate(bytes)), "{text}");
        }
        for text in ["", "/s", "fast", "-1", "1.5MiB", "10MiB/min", "10Mbit"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_file_says_the_rate_and_what_is_none_keeps_the_last() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("rate");
        let limit = RateLimit::new(NonZeroU64::new(5));
        let mut file = RateFile { path: path.clone(), limit: limit.clone(), is_usable: true };
        let mut look = |text: Option<&[u8]>| {
            match text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => drop(fs::remove_file(&path)),
            }
            file.look(Report::new(false, true));
            (limit.get().map(NonZeroU64::get), file.is_usable)
        };
        assert_eq!(look(None), (Some(5), false));
        assert_eq!(look(Some(b"10KiB\n")), (Some(10_240), true));
        assert_eq!(look(Some(b"  3 MB/s \n\n")), (Some(3_000_000), true));
        for malformed in [&b""[..], b"10KiB 5KiB", b"fast", b"\xff\xfe", &[b' '; 5000]] {
            assert_eq!(look(Some(malformed)), (Some(3_000_000), false), "{malformed:?}");
        }
        assert_eq!(look(Some(b"0")), (None, true));
        assert_eq!(look(None), (None, false));
        assert_eq!(look(Some(b"1")), (Some(1), true));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let fifo = place.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(read(&fifo).is_err());
        assert!(read(place.path()).is_err());
    }
}
