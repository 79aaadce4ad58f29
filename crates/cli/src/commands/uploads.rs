//! `cofferdam uploads`: what nobody has completed or given up at a store, of a machine that died for instance.
//! It says what the store lists, and gives up only what it is told to.

use std::time::{Duration, SystemTime};

use cofferdam::remote::upload::{UnfinishedUpload, UnfinishedUploads, UploadOptions};
use cofferdam::{ErrorKind, upload_error};
use serde::Serialize;

use crate::clock;
use crate::failure::Failure;
use crate::interrupt;
use crate::printable;
use crate::report::{Channel, Report};
use crate::text::count;
use crate::url::variables;

/// List uploads to a store that were neither completed nor given up
///
/// A seal or restore to a store gives up what it has sent when it fails. A machine that loses its power, or the store, cannot: then the
/// parts stay there, unseen, and are paid for. This lists all unfinished uploads of keys that begin with PREFIX, whoever began them;
/// THE ONES OF A PROGRAM THAT IS STILL AT WORK ARE AMONG THEM. With --abort-older those are given up that were begun longer ago.
///
/// For S3 and Google Cloud Storage. On Azure there is nothing to give up: blocks that nobody made a blob of expire within a week.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Uploads {
    /// The keys: s3://BUCKET, s3://BUCKET/PREFIX, or the same of gs:. It is compared letter by letter
    #[arg(value_name = "URL-PREFIX")]
    prefix: String,

    /// Give up the uploads that were begun longer ago than this, by the store's clock: 36h, 7d, … Ask for more than the longest upload
    /// takes
    ///
    /// One of which the store does not say when it was begun, or does not say what time it is, stays.
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    abort_older: Option<Duration>,
}

impl Uploads {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        let cancel = interrupt::install(report)?;
        let mut options = UploadOptions::default();
        options.is_cancelled = std::sync::Arc::new(move || cancel.is_cancelled());
        options.on_retry = std::sync::Arc::new(move |retry| {
            report.retrying(&retry.what, &retry.cause, retry.attempt, retry.wait);
        });
        let store = UnfinishedUploads::open(&self.prefix, variables(), &options).map_err(upload_error)?;
        let (mut listed, mut aborted, mut failed) = (0, 0, 0);
        for upload in store.uploads().map_err(upload_error)? {
            // One without a time is of no known age.
            let is_old = self.abort_older.is_some_and(|limit| upload.age.is_some_and(|age| age > limit));
            let is_gone = is_old && give_up(&store, &upload, report)?;
            aborted += u64::from(is_gone);
            failed += u64::from(is_old && !is_gone);
            let record = Record::new(&upload, is_gone);
            report.answer(Channel::Stdout, &record, record.line())?;
            listed += 1;
        }
        let sentence = format!("{}, {aborted} given up", count(listed, "unfinished upload"));
        report.summary(Channel::Stderr, &Summary { event: "uploads", listed, aborted }, sentence)?;
        match failed {
            0 => Ok(()),
            failed => {
                let what = format!("{} could not be given up", count(failed, "unfinished upload"));
                Err(Failure::new(ErrorKind::Io, what)
                    .advise("Each is named above, with the reason. Run this again."))
            }
        }
    }
}

/// Whether `upload` was given up. One that cannot be keeps none of the others, unless nobody wants them any more.
fn give_up(store: &UnfinishedUploads, upload: &UnfinishedUpload, report: Report) -> Result<bool, Failure> {
    match store.abort(upload).map_err(upload_error) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Cancelled => Err(error.into()),
        Err(error) => {
            report.warning(error);
            Ok(false)
        }
    }
}

#[derive(Serialize)]
struct Record<'a> {
    event: &'static str,
    key: &'a str,
    id: &'a str,
    begun: Option<String>,
    age_seconds: Option<u64>,
    aborted: bool,
}

#[derive(Serialize)]
struct Summary {
    event: &'static str,
    listed: u64,
    aborted: u64,
}

impl Record<'_> {
    fn new(upload: &UnfinishedUpload, aborted: bool) -> Record<'_> {
        let since = |begun: SystemTime| begun.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Record {
            event: "upload",
            key: &upload.key,
            id: &upload.id,
            begun: upload.begun.map(|begun| clock::rfc3339(since(begun).as_secs())),
            age_seconds: upload.age.map(|age| age.as_secs()),
            aborted,
        }
    }

    fn line(&self) -> String {
        let begun = self.begun.as_deref().unwrap_or("at an unknown time");
        let [key, id] = [self.key, self.id].map(printable::line);
        let end = if self.aborted { ", given up" } else { "" };
        format!("{key}: begun {begun}, id {id}{end}")
    }
}

/// A number and a unit.
fn parse_age(text: &str) -> Result<Duration, String> {
    let what = || "an age is a whole number and s, m, h or d, as in 36h".to_owned();
    let digits_len = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(what)?;
    let (digits, unit) = text.split_at(digits_len);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(what()),
    };
    let count: u64 = digits.parse().map_err(|_| what())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "the age is too large".to_owned())
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam uploads s3://backups/db/                       list them
  cofferdam uploads --abort-older 7d s3://backups/db/      and give up those of last week

Exit codes: 0 done, also where there are none, 1 the store refused, or could not be reached, 2 usage, 15 the store did not answer \
for too long, 130 interrupted.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_unit() {
        for (text, seconds) in [("0s", 0), ("90m", 5400), ("36h", 129_600), ("7d", 604_800)] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "7", "d", "-1d", "1.5h", "1w", "1 d", "99999999999999999999d", "18446744073709551615d"]
        {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }
}
