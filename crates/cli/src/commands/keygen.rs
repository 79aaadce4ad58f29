//! `cofferdam keygen`: makes an age identity, or a key file.
//! It writes a file that only its owner can read, and replaces none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use cofferdam::{ErrorKind, Identity, WrappingKey, Zeroizing};
use serde::Serialize;

use crate::failure::Failure;
use crate::report::{Channel, Form, Report, print};

/// Make an age identity and print its recipient, or make a key file
///
/// The identity file is one that the `age` program takes too. It is made readable by its owner alone, and never replaces a
/// file. Without -o it goes to standard output, and the recipient to standard error.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Keygen {
    /// Where the identity goes [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Make a key file instead: 32 random bytes as hexadecimal digits, for seal --key-file
    #[arg(long)]
    key_file: bool,
}

impl Keygen {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        let (secret, recipient) = if self.key_file { key_file()? } else { identity()? };
        let record = Record {
            event: "keygen",
            kind: if self.key_file { "key-file" } else { "age" },
            recipient: recipient.clone(),
            file: self.output.as_ref().map(|path| path.display().to_string()),
        };
        let Some(path) = &self.output else {
            print(secret.as_bytes())?;
            // On a terminal the recipient has just been seen, in the identity's own text.
            let is_told = report.form == Form::Human && (recipient.is_none() || io::stdout().is_terminal());
            return match (is_told, recipient) {
                (true, _) => Ok(()),
                (false, recipient) => report.answer(Channel::Stderr, &record, recipient.unwrap_or_default()),
            };
        };
        write_new(path, secret.as_bytes())?;
        match (report.form, recipient) {
            (Form::Human, None) => Ok(()),
            (_, recipient) => report.answer(Channel::Stdout, &record, recipient.unwrap_or_default()),
        }
    }
}

fn identity() -> Result<(Zeroizing<String>, Option<String>), Failure> {
    let identity = Identity::generate();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((identity.file_text(&rfc3339(since.as_secs()))?, Some(identity.recipient())))
}

fn key_file() -> Result<(Zeroizing<String>, Option<String>), Failure> {
    let digits = WrappingKey::generate()?.to_hex();
    let mut line = Zeroizing::new(String::with_capacity(digits.len() + 1));
    line.push_str(&digits);
    line.push('\n');
    Ok((line, None))
}

/// Makes the file and syncs it and its directory: a stream sealed for a key that a power cut takes is lost.
fn write_new(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(ErrorKind::TargetExists, format!("{} exists", path.display()))
                .advise("A key is never replaced. Give another name, or remove the file yourself.")
        }
        _ => Failure::io(format!("{} could not be made", path.display()), error),
    })?;
    let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| sync_directory(path));
    written.map_err(|error| {
        let _ = fs::remove_file(path);
        Failure::io(format!("{} could not be written", path.display()), error)
    })
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// The time in UTC, from seconds since 1970, as `2026-01-31T12:00:00Z`.
fn rfc3339(seconds: u64) -> String {
    let (mut days, of_day) = (seconds / DAY, seconds % DAY);
    let mut year = 1970;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 0;
    let february = days_of_year(year) - 337;
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", month + 1, days + 1)
}

fn days_of_year(year: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if is_leap { 366 } else { 365 }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    kind: &'static str,
    recipient: Option<String>,
    file: Option<String>,
}

const DAY: u64 = 24 * 60 * 60;

const AFTER_HELP: &str = "\
Examples:
  cofferdam keygen -o key.txt                          prints the recipient, age1…
  cofferdam keygen --key-file -o backup.key            a key for seal --key-file
  cofferdam keygen | age -p > key.age                  an identity under a passphrase

Exit codes: 0 done, 1 writing failed, 2 usage, 6 the file exists.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        // From `date --utc --date=@SECONDS +%FT%TZ`.
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
