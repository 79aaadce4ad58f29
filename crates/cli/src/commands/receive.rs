//! `cofferdam receive`: takes the plaintext of a restore elsewhere and makes a file of it.
//! It turns options into a receiver; the library receives.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::peer::{Address, Event, Received, receive_file};
use cofferdam::{ErrorKind, OnPartial, StageOptions};
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt;
use crate::io_arg::{End, NextRun, how_to_go_on, if_exists};
use crate::metrics_args::MetricsArgs;
use crate::metrics_file::RunInfo;
use crate::named_files::NamedFiles;
use crate::peer::{Protection, address_name, parse_here, parse_listen, protection_advice};
use crate::printable::Name;
use crate::report::{Channel, Report};
use crate::service::{self, Waiting};
use crate::size::Size;

/// Receive a restore that runs elsewhere, all or nothing
///
/// The sender is `cofferdam restore SEALED tcp://HOST:PORT`. It opens and verifies the stream; this end needs no key of it.
/// The target changes once, after the sender has verified every byte. The command ends when the target is in place.
///
/// A connection may break, and either end may be killed: what has been made durable is kept beside the target, and the same
/// command, at both ends, goes on from there. The sender that came last is the one that is listened to.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Receive {
    /// Where to listen: HOST:PORT, or unix:PATH; port 0 takes a free one. The address is printed
    #[arg(long, value_name = "ADDRESS", value_parser = parse_listen)]
    listen: Address,

    /// The file that the plaintext becomes
    #[arg(value_name = "TARGET", value_parser = OsStringValueParser::new().try_map(parse_here::<PathBuf>))]
    target: PathBuf,

    /// Replace a target that exists, atomically
    #[arg(long)]
    force: bool,

    /// Discard what an interrupted receiver of this target left, and begin anew
    #[arg(long)]
    restart: bool,

    #[command(flatten)]
    protection: Protection,

    #[command(flatten)]
    metrics: MetricsArgs,
}

impl Receive {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        if self.target.as_os_str() == "-" {
            return Err(Failure::usage("a receiver makes a file, and writes nothing to standard output")
                .advise("Give the file's name; `restore SEALED -` is for a pipe."));
        }
        self.metrics.begin(RunInfo::of("receive"), &self.files()?, report)?;
        let cancel = interrupt::install(report)?;
        let security = self.protection.security()?;
        interrupt::roll_back_from_now_on();
        let on_partial = if self.restart { OnPartial::Discard } else { OnPartial::Resume };
        let options = StageOptions::default().if_exists(if_exists(self.force)).on_partial(on_partial);
        let begun = Instant::now();
        let has_sender = Arc::new(AtomicBool::new(false));
        let observe = |event: Event| {
            match event {
                Event::Joined(_) => has_sender.store(true, Ordering::Relaxed),
                Event::Left(_) => has_sender.store(false, Ordering::Relaxed),
                _ => {}
            }
            tell(report, event);
        };
        let waiting = self.waiting(has_sender.clone());
        let received = receive_file(&self.listen, security, &self.target, &options, &cancel, &observe);
        drop(waiting);
        let received = received.map_err(explain)?;
        let output = Name::from(self.target.as_path());
        let done = format!("{output} is in place");
        let record = Record::new(output, &received, begun);
        report.done(Channel::Stdout, &record, record.sentence(), done)
    }

    /// Tells a service manager what it does, until it is done.
    fn waiting(&self, has_sender: Arc<AtomicBool>) -> Waiting {
        let (address, output) = (address_name(&self.listen), Name::from(self.target.as_path()));
        Waiting::begin(move || match has_sender.load(Ordering::Relaxed) {
            true => format!("receiving {output}"),
            false => format!("listening at {address}"),
        })
    }

    fn files(&self) -> Result<NamedFiles, Failure> {
        let mut files = NamedFiles::default();
        self.protection.name_files(&mut files)?;
        if let Address::Unix(path) = &self.listen {
            files.writes("the socket", &End::Path(path.clone()))?;
        }
        files.stages("the output", &End::Path(self.target.clone()))?;
        self.metrics.name_files(&mut files)?;
        Ok(files)
    }
}

/// Nothing hangs on whether anybody reads this.
fn tell(report: Report, event: Event) {
    let _ = match event {
        Event::Listening(address) => {
            service::is_ready();
            let record = Listening { event: "listening", address: address_name(&address) };
            report.answer(Channel::Stdout, &record, format!("listening at {address}"))
        }
        Event::TurnedAway(why) => {
            report.warning(format!("a connection was refused: {why}"));
            Ok(())
        }
        Event::Joined(epoch) => {
            let record = Sender { event: "sender", state: "joined", epoch: Some(epoch), message: None };
            report.summary(Channel::Stderr, &record, format!("a sender has joined, epoch {epoch}"))
        }
        Event::Left(why) => {
            let message = why.map(|why| why.to_string());
            let sentence = match &message {
                Some(why) => format!("the sender is gone: {why}"),
                None => "the sender is gone".to_owned(),
            };
            let record = Sender { event: "sender", state: "left", epoch: None, message };
            report.summary(Channel::Stderr, &record, sentence)
        }
        // A publish is the command's result.
        _ => Ok(()),
    };
}

fn explain(error: cofferdam::Error) -> Failure {
    let is_cut_off = matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Io);
    let kept = error.resumable_bytes();
    let system = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let peer = system.and_then(|error| error.get_ref()).and_then(|inner| inner.downcast_ref());
    let advice = peer.and_then(protection_advice);
    let failure = advice.into_iter().fold(Failure::from(error), Failure::advise);
    match kept {
        Some(kept) => failure.advise_also(&how_to_go_on(kept, NextRun::GoesOn)),
        None if is_cut_off => failure.advise_also("The target is as it was."),
        None => failure,
    }
}

#[derive(Serialize)]
struct Listening {
    event: &'static str,
    address: Name,
}

#[derive(Serialize)]
struct Sender {
    event: &'static str,
    state: &'static str,
    epoch: Option<u64>,
    message: Option<String>,
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    output: Name,
    plaintext_len: Option<u64>,
    stream_digest: Option<String>,
    seconds: f64,
}

impl Record {
    fn new(output: Name, received: &Received, begun: Instant) -> Record {
        Record {
            event: "received",
            output,
            plaintext_len: received.plaintext_len,
            stream_digest: received.stream_digest.map(|digest| digest.to_string()),
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    fn sentence(&self) -> String {
        let mut text = format!("received {}", self.output);
        if let Some(len) = self.plaintext_len {
            text.push_str(&format!(": {}", Size(len)));
        }
        if let Some(digest) = &self.stream_digest {
            text.push_str(&format!("\nstream digest {digest}, as the sender says"));
        }
        text
    }
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam keygen --key-file -o psk.txt                     a key for both ends
  cofferdam receive --listen 0.0.0.0:7000 --peer-key psk.txt db.img
  cofferdam restore -i key.txt --peer-key psk.txt db.cfd tcp://host:7000
  cofferdam receive --listen unix:/run/restore.sock db.img   without a key, on one machine

Exit codes: 0 the target is in place, 1 the target or the address cannot be used, 2 usage, 6 the target exists, \
8 what is kept beside the target is not a receiver's, 9 another process writes the target, 10 in place but its \
durability is unknown, 130 interrupted: the target is as it was.";
