//! `cofferdam serve`: the plaintext of a sealed stream, for programs of this machine, for as long as it runs.
//! It turns options into a reader and a server; the libraries read and serve.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ::serve::{Export, GRACE, Notice, Server, WorkingSet};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{CancelToken, Reader};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::Serialize;

use crate::complaints::Complaints;
use crate::expected::Expected;
use crate::failure::{Failure, with_causes};
use crate::interrupt;
use crate::io_arg::{End, a_file, if_exists};
use crate::metrics_file::{self, RunInfo};
use crate::named_files::NamedFiles;
use crate::opening_args::OpeningArgs;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::recording::{RecordFile, Recording};
use crate::report::{Printing, Report};
use crate::sealed::Sealed;
use crate::service::{self, Status};
use crate::signatures::SignedByArgs;
use crate::size::Size;
use crate::standard::Standard;
use crate::text::count;
use crate::warming::{ranges_within, read_working_set, warm_up};

/// Serve the plaintext of a sealed stream to programs on this machine, without restoring it
///
/// Frames are opened as they are asked for, and kept within --memory. Programs read by HTTP, on 127.0.0.1 and with a secret in the URL, or by NBD, as a
/// disk that cannot be written. The URL is printed: whoever has it can read all of the stream until this command ends, which
/// Ctrl-C or SIGTERM does, with exit code 0.
///
/// Each byte that is served is authentic and at its place. That the rest of the stream is there and unchanged is not looked
/// at: `verify` says that. What cannot be read, or is not authentic, is an error at the client, never other bytes.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP, mut_arg("expect_digest", |arg| arg.long_help(EXPECT_DIGEST)))]
pub(crate) struct Serve {
    /// The sealed stream: a file, or a URL (s3:, gs:, az:, http:, https:); not a pipe
    #[arg(value_name = "SEALED", value_parser = OsStringValueParser::new().try_map(Sealed::parse))]
    sealed: Sealed,

    /// Serve HTTP/1.1 on 127.0.0.1, with ranges [default, if --nbd is not given]
    ///
    /// Without a port, or with 0, the system chooses one.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    http: Option<u16>,

    /// Serve NBD, read-only, on a Unix socket that is made here, for this user and root alone
    ///
    /// A socket that a killed server has left there is replaced, nothing else.
    #[arg(long, value_name = "SOCKET", value_parser = OsStringValueParser::new().try_map(a_file))]
    nbd: Option<PathBuf>,

    /// Write to this file which parts are read, in the order in which they are read first
    ///
    /// Now and then, and at the end. It says where the working set is, and holds nothing of it.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(a_file))]
    record: Option<PathBuf>,

    /// Fetch first, in the background, what such a file names
    ///
    /// As much of it as is kept in memory: see --memory. The file of an earlier stream is used, too, with a warning.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(a_file))]
    warm: Option<PathBuf>,

    /// Replace the file of --record
    #[arg(long, requires = "record")]
    force: bool,

    #[command(flatten)]
    expected: Expected,

    #[command(flatten)]
    signed_by: SignedByArgs,

    #[command(flatten)]
    opening: OpeningArgs,
}

impl Serve {
    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        self.sealed.set_timeout(self.opening.timeout);
        self.signed_by.set_timeout(self.opening.timeout);
        self.opening.resources.begin(RunInfo::opening("serve"), &self.files()?, report)?;
        let signals = interrupt::install(report)?;
        let record = self.record.as_deref().map(|path| RecordFile::new(path, if_exists(self.force)));
        let record = record.transpose()?;
        let warm = self.warm.as_deref().filter(|warm| !self.is_to_be_recorded(warm));
        let warm = warm.map(read_working_set).transpose()?;
        // The signals end the server; reads that it has begun may end by themselves first.
        let reading = CancelToken::new();
        let reader = self
            .reader(&signals, &reading, report)
            .map_err(|failure| failure.unless_interrupted(&signals))?;
        let warm = warm.map(|warm| ranges_within(&warm, &reader, report));
        let begun = Instant::now();
        let mut recording = record.map(|file| Recording::new(file, &reader));
        interrupt::roll_back_from_now_on();
        let complaints = Arc::new(Complaints::new(report, reading.clone()));
        let (server, printing) = self.listen(&reader, recording.as_ref(), complaints, report)?;
        // Whoever is told that it is ready may look for the URL at once. But a client of a socket needs none.
        printing.ended(UNREAD_PATIENCE).transpose()?;
        let warming = warm.map(|warm| warm_up(&reader, warm, &reading, report));
        let printed = self.wait(&signals, &printing, recording.as_mut(), report);
        server.finish(GRACE);
        reading.cancel();
        let _ = warming.map(thread::JoinHandle::join);
        let recorded = recording.map(|recording| recording.finish(report)).transpose()?.flatten();
        let served = Served::new(&self.sealed, &reader, recorded.as_ref(), begun);
        printed?;
        let sentence = served.sentence();
        report.say_last(served, sentence, GRACE);
        Ok(())
    }

    /// Until the end is asked for, or it turns out that nobody can be told where it serves.
    fn wait(
        &self,
        signals: &CancelToken,
        printing: &Printing,
        mut recording: Option<&mut Recording>,
        report: Report,
    ) -> Result<(), Failure> {
        let status = Status::new();
        service::is_ready();
        while !signals.is_cancelled() {
            thread::sleep(POLL);
            printing.ended(Duration::ZERO).transpose()?;
            status.progressed(|| format!("serving {}", self.sealed));
            if let Some(recording) = &mut recording {
                recording.write_now_and_then(report);
            }
        }
        Ok(())
    }

    /// Whether the file of --warm is the one of --record, and there is nothing in it yet: that is for the next start.
    fn is_to_be_recorded(&self, warm: &Path) -> bool {
        let is_empty = || match fs::metadata(warm) {
            Ok(found) => found.is_file() && found.len() == 0,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        self.record.as_deref() == Some(warm) && is_empty()
    }

    fn files(&self) -> Result<NamedFiles, Failure> {
        Standard::Output.refuse_unusable()?;
        let mut files = NamedFiles::default();
        self.opening.name_files(&self.sealed, &mut files)?;
        self.signed_by.name_files(&self.sealed, &mut files)?;
        if let Some(path) = &self.nbd {
            files.writes("the socket", &End::Path(path.clone()))?;
        }
        if let Some(path) = &self.warm {
            files.seeds("the file of --warm", path);
        }
        if let Some(path) = &self.record {
            files.stages("the file of --record", &End::Path(path.clone()))?;
        }
        Ok(files)
    }

    fn reader(
        &self,
        signals: &CancelToken,
        reading: &CancelToken,
        report: Report,
    ) -> Result<Reader, Failure> {
        let watch = Watch::new(report, "reading", Warnings::AtOnce);
        let identities = self.opening.keys.some_identities(signals, report)?;
        metrics_file::has_keys();
        let opener = self.opening.opener(Some(identities), &self.expected, reading, watch, report)?;
        let opener = self.expected.pinned(opener);
        let (opener, _) = self.signed_by.demand(opener, &self.sealed, reading, report)?;
        let of_input = |error| Failure::from(error).of_input(&self.sealed);
        opener.reader(self.sealed.source(reading, report)?).map_err(of_input)
    }

    /// Starts the server, and says where.
    fn listen(
        &self,
        reader: &Reader,
        recording: Option<&Recording>,
        complaints: Arc<Complaints>,
        report: Report,
    ) -> Result<(Server, Printing), Failure> {
        let tag = reader.stream_id().to_string();
        let name = self.sealed.plaintext_name();
        let name = name.to_string_lossy();
        let export = match recording {
            Some(recording) => Export::new(recording.recorder.clone(), &name, &tag),
            None => Export::new(Arc::new(reader.clone()), &name, &tag),
        };
        let notify = move |notice: Notice<'_>| complaints.tell(|| sentence(&notice));
        let mut server = Server::new(export.preferred_len(reader.frame_len()), Arc::new(notify))
            .map_err(|error| Failure::io("the server could not be started", error))?;
        let port = self.http.or(self.nbd.is_none().then_some(0));
        let url = port.map(|port| {
            let listened = server.listen_http(port);
            listened.map_err(|error| {
                Failure::io(format!("127.0.0.1:{port} could not be listened at"), error)
                    .advise("Leave the port out: a free one is taken then, and the URL says which.")
            })
        });
        let url = url.transpose()?.map(|url| url.to_string());
        let socket = self.nbd.as_deref().map(|path| listen_nbd(&mut server, path)).transpose()?;
        let record = Serving {
            event: "serving",
            input: self.sealed.name(),
            stream_id: tag,
            plaintext_len: reader.len(),
            url,
            socket: socket.as_deref().map(Name::from),
        };
        let printing = report.begin_answer(&record, record.lines(socket.as_deref()));
        Ok((server, printing))
    }
}

/// What a notice says, in a clause.
fn sentence(notice: &Notice<'_>) -> Option<String> {
    Some(match notice {
        Notice::ReadFailed { offset, len, error } => {
            format!("{} at byte {offset} could not be read: {}", Size(*len as u64), with_causes(*error))
        }
        Notice::StrangerRefused { user } => {
            format!("a process of user {user} came to the socket, and was sent away")
        }
        _ => return None,
    })
}

/// The socket's path, from the root on: clients may run elsewhere.
fn listen_nbd(server: &mut Server, path: &Path) -> Result<PathBuf, Failure> {
    let refused = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "Make its directory first, best one that only you can write to.",
            io::ErrorKind::InvalidInput => "Give a shorter one: a relative path counts as it is given.",
            _ => {
                "Give another name, in a directory that you can write to. A socket that a server listens at is not replaced, nor \
                 is anything that is no socket."
            }
        };
        Failure::io(format!("{} could not be listened at", Name::from(path)), error).advise(advice)
    };
    server.listen_nbd(path).map_err(refused)?;
    absolute(path).map_err(refused)
}

#[derive(Serialize)]
struct Serving {
    event: &'static str,
    input: Name,
    stream_id: String,
    plaintext_len: u64,
    url: Option<String>,
    socket: Option<Name>,
}

impl Serving {
    /// What clients are told, one a line, and nothing else: scripts read it.
    fn lines(&self, socket: Option<&Path>) -> String {
        let encoded = |path: &Path| percent_encode(path.as_os_str().as_bytes(), ENCODED).to_string();
        let socket = socket.map(|path| format!("nbd+unix:///?socket={}", encoded(path)));
        self.url.iter().cloned().chain(socket).collect::<Vec<_>>().join("\n")
    }
}

#[derive(Serialize)]
struct Served {
    event: &'static str,
    input: Name,
    stream_id: String,
    recorded_ranges: Option<u64>,
    recorded_len: Option<u64>,
    seconds: f64,
}

impl Served {
    fn new(sealed: &Sealed, reader: &Reader, recorded: Option<&WorkingSet>, begun: Instant) -> Served {
        Served {
            event: "served",
            input: sealed.name(),
            stream_id: reader.stream_id().to_string(),
            recorded_ranges: recorded.map(|set| set.ranges().len() as u64),
            recorded_len: recorded.map(WorkingSet::touched_len),
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    fn sentence(&self) -> String {
        let mut text = format!("served {} for {:.1} s", self.input, self.seconds);
        if let (Some(ranges), Some(len)) = (self.recorded_ranges, self.recorded_len) {
            text.push_str(&format!(
                "; {} in {} were read, and are recorded",
                Size(len),
                count(ranges, "range")
            ));
        }
        text
    }
}

/// What cannot stand for itself in the query of a URI.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How long its first line is waited for before it says that it is ready.
const UNREAD_PATIENCE: Duration = Duration::from_secs(1);
/// How soon a signal is seen.
const POLL: Duration = Duration::from_millis(50);

const EXPECT_DIGEST: &str = "\
The stream digest that it must have: 64 hexadecimal digits, as `seal` prints it

The index is compared with it before anything is served: see `cofferdam cat --help`.";

const AFTER_HELP: &str = "\
Examples:
  cofferdam serve -i key.txt db.img.cfd
      prints http://127.0.0.1:PORT/SECRET/db.img; then, with that as $URL:
  curl -r 0-511 -o sector \"$URL\"                        the first 512 bytes
  duckdb -c \"SELECT count(*) FROM read_parquet('$URL')\"  of a sealed Parquet file
  cofferdam serve -i key.txt --nbd /run/user/1000/db.sock s3://b/db.img.cfd
      prints nbd+unix:///?socket=/run/user/1000/db.sock; then, with that as $URI:
  nbdcopy \"$URI\" - | head -c 1M                         its first MiB
  qemu-img convert -O qcow2 \"$URI\" db.qcow2             a copy of it
  qemu-system-x86_64 -snapshot -drive \"file=$URI,format=raw\"
                                                        a virtual machine that starts from it
  cofferdam serve --record boot.set --nbd …             a first start: what it reads is recorded
  cofferdam serve --warm boot.set --nbd …               the next one finds that in memory

A command line can be seen by all users of the machine: where there are others, hand the URL to clients in another way \
(curl -K, an environment variable), or use --nbd. Clients at once: 256 by HTTP and 256 by NBD; more of them wait.

Exit codes: 0 stopped by a signal, 1 reading failed before anything was served, an address could not be had, or the record could not be \
written, 2 usage, or a file of --warm that is none, 3 damaged, tampered with, or of another digest, 4 no key opens it, 5 truncated, 6 the file of --record exists, 7 a limit is exceeded or a feature is not \
supported, 9 another process writes the file of --record, 11 the input is no Cofferdam stream, 12 the sealed stream changed while it was opened, 14 older than asked for, 15 nothing has come from the store for \
too long, 17 not signed by anybody of --signed-by, 130, 129 or 143 interrupted before anything was served. What goes wrong while it serves is told to the client, and to standard error; the server goes on.";
