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
use crate::timeout::{Timeout, parse_duration};
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

    /// Give up the uploads that were begun longer ago than this, by the store's clock and by the one here: 36h, 7d, … Ask for more than the
    /// longest upload takes
    ///
    /// One of which the store does not say when it was begun, or does not say what time it is, stays.
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    abort_older: Option<Duration>,

    #[command(flatten)]
    timeout: Timeout,
}

impl Uploads {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        let cancel = interrupt::install(report)?;
        let mut options = UploadOptions::default();
        options.retry = self.timeout.policy();
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

fn parse_age(text: &str) -> Result<Duration, String> {
    parse_duration("an age", text)
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam uploads s3://backups/db/                       list them
  cofferdam uploads --abort-older 7d s3://backups/db/      and give up those of last week

Exit codes: 0 done, also where there are none, 1 the store refused, or could not be reached, 2 usage, 15 the store did not answer \
for too long, 130 interrupted.";
