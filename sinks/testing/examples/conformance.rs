//! Holds every sink of this crate against the contract, and prints a Markdown table: what each keeps, rule by rule.
//! It knows of each sink how it is made, and how its target is looked at.
//!
//!     cargo run -p cofferdam-sinks --all-features --example conformance
//!
//! `COFFERDAM_POSTGRES` says how a PostgreSQL server is reached; without it there is no such column. Rows without a mark
//! are promises about what the sink does not offer. The null sink is not here: it keeps nothing that could be looked at.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock},
    thread,
};

use contract::{AttemptId, IfExists};
use database::{DatabaseOptions, DatabaseSink, DatabaseTarget, Published, postgres};
use local::{MemorySink, Opened, PipeSink, RingSink, StagedFile};
use mmap::MappedFile;
use peer::{Address, EpochFile, PeerSink, PresharedKey, Receiver, Security};
use storage::{StageOptions, TargetError};
use testing::conformance::{Outcome, ReportRow, SinkUnderTest, report};
use wal::{self, AtPublish, FileTarget, WalError, WalSink};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let mut names = (0..).map(|number| directory.path().join(format!("target{number}")));
    let mut next = || names.next().expect("the numbers do not end");
    let mut columns = vec![
        ("staged, with journal", report(&mut || journalled(next()))),
        ("staged, without", report(&mut || staged(next()))),
        ("mapped", report(&mut || mapped(next()))),
        ("memory", report(&mut memory)),
        ("log (WAL)", report(&mut || log(next()))),
        ("SQLite", report(&mut || sqlite(next()))),
        ("peer, to a staged file", report(&mut || peer(next()))),
        ("ring", report(&mut ring)),
        ("pipe", report(&mut pipe)),
    ];
    if let Ok(config) = env::var("COFFERDAM_POSTGRES") {
        let config: postgres::Config = config.parse()?;
        columns.push(("PostgreSQL", report(&mut || postgres(&config, &next()))));
    }
    print_table(&columns);
    Ok(print_broken(&columns))
}

fn journalled(path: PathBuf) -> SinkUnderTest {
    let target = path.clone();
    let open = move || match journal(&path)? {
        Opened::Fresh(sink) | Opened::Resumable { sink, .. } => Ok::<_, TargetError>(sink),
        Opened::Published(published) => panic!("a publish left its journal: {published:?}"),
    };
    SinkUnderTest::new(open().expect(FRESH), move || fs::read(&target).ok()).reopening(open)
}

fn journal(path: &Path) -> Result<Opened, TargetError> {
    StagedFile::open(path, &StageOptions::default(), &attempt_id())
}

fn attempt_id() -> AttemptId {
    AttemptId::new(b"conformance").expect("a short label")
}

fn staged(path: PathBuf) -> SinkUnderTest {
    let sink = StagedFile::create(&path, &StageOptions::default()).expect(FRESH);
    SinkUnderTest::new(sink, move || fs::read(&path).ok())
}

fn mapped(path: PathBuf) -> SinkUnderTest {
    let options = StageOptions::default().expected_len(Some(LEN_MAX));
    let sink = MappedFile::create(&path, &options).expect(FRESH);
    SinkUnderTest::new(sink, move || fs::read(&path).ok())
}

fn memory() -> SinkUnderTest {
    let (sink, contents) = MemorySink::new();
    let published = OnceLock::new();
    SinkUnderTest::new(sink, move || {
        if let Some(bytes) = contents.take() {
            let _ = published.set(bytes);
        }
        published.get().cloned()
    })
}

/// Replays into a file that is there before.
fn log(path: PathBuf) -> SinkUnderTest {
    fs::write(&path, b"old").expect(FRESH);
    let (log, target) = (path.with_extension("log"), path.clone());
    let open = move || {
        let replay = AtPublish::Replay(Box::new(FileTarget::open_path(&path).expect(FRESH)));
        match WalSink::open_path(&log, &attempt_id(), replay)? {
            wal::Opened::Ready(sink) => Ok::<_, WalError>(sink),
            wal::Opened::Finished(_) => panic!("a publish left its log"),
        }
    };
    SinkUnderTest::new(open().expect(FRESH), move || fs::read(&target).ok()).reopening(open)
}

fn sqlite(path: PathBuf) -> SinkUnderTest {
    let options = DatabaseOptions::new(DatabaseTarget::new("conformance").expect("a plain name"));
    let (database, target) = (path.clone(), options.target.clone());
    let open = move || DatabaseSink::sqlite(&path, &options);
    SinkUnderTest::new(open().expect(FRESH), move || read(Published::sqlite(&database, &target)))
        .reopening(open)
}

fn postgres(config: &postgres::Config, path: &Path) -> SinkUnderTest {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The server outlives this program: its own name tells its restores from those of another run.
    let name = format!("conformance {} {name}", std::process::id());
    let options =
        DatabaseOptions::new(DatabaseTarget::new(&name).expect("a plain name")).if_exists(IfExists::Replace);
    let (target, writing, reading) = (options.target.clone(), config.clone(), config.clone());
    let open = move || {
        let config = writing.clone();
        DatabaseSink::postgres(move || config.connect(postgres::NoTls), &options)
    };
    let read = move || {
        let config = reading.clone();
        read(Published::postgres(move || config.connect(postgres::NoTls), &target))
    };
    SinkUnderTest::new(open().expect(FRESH), read).reopening(open)
}

/// With a key, over loopback. The receiver listens until it has published, or this program ends.
fn peer(path: PathBuf) -> SinkUnderTest {
    let (target, any_port) = (path.clone(), Address::Tcp("127.0.0.1:0".into()));
    let security = || Security::Key(PresharedKey::from_bytes([7; 32]));
    let receiver =
        Receiver::bind(&any_port, security(), EpochFile::beside(&path).expect(FRESH)).expect(FRESH);
    let address = receiver.address().expect(FRESH);
    let open = move || match journal(&path).map_err(io::Error::other)? {
        Opened::Fresh(sink) | Opened::Resumable { sink, .. } => Ok(sink),
        Opened::Published(_) => Err(io::ErrorKind::AlreadyExists.into()),
    };
    thread::spawn(move || receiver.run(open, &|| false, &|_| {}));
    let connect = move || PeerSink::connect(&address, security());
    SinkUnderTest::new(connect().expect(FRESH), move || fs::read(&target).ok())
        .handing_on()
        .reopening(connect)
}

fn read(published: io::Result<Option<Published>>) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    published.expect(FRESH)?.read_to_end(&mut whole).expect("what was published can be read");
    Some(whole)
}

/// The target is what a reader got that came to the end.
fn ring() -> SinkUnderTest {
    let (sink, reader) = RingSink::new(LEN_MAX as usize).expect(FRESH);
    let reading = Mutex::new((reader, Vec::new(), false));
    SinkUnderTest::new(sink, move || {
        let (reader, bytes, ended) = &mut *reading.lock().expect("nothing panics under it");
        let mut buffer = [0; 65_536];
        while !*ended && reader.is_ready() {
            match reader.read(&mut buffer) {
                Ok(0) => *ended = true,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(_) => break,
            }
        }
        ended.then(|| bytes.clone())
    })
}

fn pipe() -> SinkUnderTest {
    let out = Out::default();
    let seen = out.clone();
    SinkUnderTest::new(PipeSink::new(out), move || {
        Some(seen.0.lock().expect("nothing panics under it").clone())
    })
}

/// The other end of a pipe that somebody reads.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nothing panics under it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Column = (&'static str, Vec<ReportRow>);

fn print_table(columns: &[Column]) {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    println!("| rule | promise | {} |", names.join(" | "));
    println!("|---|---|{}", "---|".repeat(names.len()));
    for (index, row) in columns[0].1.iter().enumerate() {
        let cells: Vec<_> = columns.iter().map(|(_, rows)| cell(&rows[index].outcome)).collect();
        println!("| {} | {} | {} |", row.rule, row.promise, cells.join(" | "));
    }
}

fn cell(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Kept => "kept",
        Outcome::NotOffered => "",
        Outcome::Broken(_) => "**broken**",
    }
}

fn print_broken(columns: &[Column]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for (name, row) in columns.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (name, row))) {
        if let Outcome::Broken(what) = &row.outcome {
            println!("{name}, rule {}: {what}", row.rule);
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// More than any rule writes.
const LEN_MAX: u64 = 4 << 20;
const FRESH: &str = "a fresh target can be written";
