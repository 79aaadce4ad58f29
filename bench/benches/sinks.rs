//! One sealed stream restored into every sink in turn, and into a staged file with each durability, as Markdown tables.
//! It knows of each sink how it is made; what it costs is measured through the facade, with its defaults.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, process, thread};

use cofferdam::{
    BytesSource, Durability, MemorySink, NullSink, Opener, PipeSink, Restored, StageOptions, StagedFile,
    StreamingSink,
};
use cofferdam_bench::{Scale, Timed, bytes, directory, is_wanted, opener, sealer, speeds, times};
use contract::AttemptId;
use database::{DatabaseOptions, DatabaseSink, DatabaseTarget, postgres};
use harness::{Effort, WarmUp, ratio, timed};
use local::{Opened, RingSink};
use mmap::MappedFile;
use peer::{Address, EpochFile, PeerSink, PresharedKey, Receiver, Security};
use wal::{self, AtPublish, FileTarget, WalSink};

fn main() {
    let scale = Scale::from_arguments();
    let parent = directory();
    let scratch = tempfile::tempdir_in(&parent).expect("the directory can be written");
    if is_wanted("sinks") {
        let fixture = Fixture::new(scratch.path(), scale.plaintext_len());
        table("sink", &parent, &fixture, fixture.sinks(), scale.choose(7, 1));
    }
    if is_wanted("durability") {
        let fixture = Fixture::new(scratch.path(), scale.choose(1 << 30, scale.plaintext_len()));
        table("made durable", &parent, &fixture, fixture.durabilities(), scale.choose(9, 1));
    }
}

fn table(title: &str, parent: &Path, fixture: &Fixture<'_>, ways: Vec<Row<'_>>, rounds: usize) {
    println!(
        "{} MiB in segments of 8 MiB, all cores, files in {}, {rounds} rounds in turn, each after one that is not timed.\n",
        fixture.len >> 20,
        parent.display()
    );
    println!("| {title} | median GB/s | slowest to fastest | of the first row |");
    println!("|---|---|---|---|");
    let (names, mut ways): (Vec<_>, Vec<_>) = ways.into_iter().unzip();
    let times = times(&mut ways, Effort::of(rounds, WarmUp::EachSample));
    for (name, row) in names.iter().zip(&times) {
        println!("| {name} | {} | {:.2} |", speeds(fixture.len, row), ratio(&times[0], row).median);
    }
    println!();
}

/// A sealed stream in memory, and a directory that is empty before and after each restore.
struct Fixture<'a> {
    directory: &'a Path,
    sealed: Arc<[u8]>,
    len: usize,
    opener: Opener,
    /// Restores into a database so far: each has a name of its own.
    count: Cell<u32>,
}

type Row<'a> = (&'static str, Timed<'a>);

impl<'a> Fixture<'a> {
    fn new(directory: &'a Path, len: usize) -> Self {
        let (sink, sealed) = MemorySink::new();
        sealer().seal(BytesSource::new(bytes(len)), sink).expect(WORKS);
        let sealed = sealed.take().expect(WORKS).into();
        Self { directory, sealed, len, opener: opener(), count: Cell::new(0) }
    }

    /// Restores into a staged file, which is synced as it says.
    fn durabilities(&'a self) -> Vec<Row<'a>> {
        let group = |mib: u64| Durability::Group { bytes: mib << 20, interval: Duration::from_secs(5) };
        let rows = [
            ("at the end alone", Durability::AtFinish),
            ("groups of 256 MiB or 5 s (default)", group(256)),
            ("groups of 64 MiB", group(64)),
            ("each segment of 8 MiB", Durability::Each),
        ];
        let way = |(name, durability)| {
            let opener = opener().durability(durability);
            self.to_file(name, move |path| opener.restore_to(self.source(), path).expect(WORKS))
        };
        rows.map(way).into()
    }

    /// The first is what the others are compared with.
    fn sinks(&'a self) -> Vec<Row<'a>> {
        let reused = Cell::new(vec![1; self.len]);
        let mut ways: Vec<Row<'a>> = vec![
            self.to_file("staged file, with its journal", |path| {
                self.opener.restore_to(self.source(), path).expect(WORKS)
            }),
            self.to_file("staged file, without", |path| {
                self.sized(|options| StagedFile::create(path, options).expect(WORKS))
            }),
            self.to_file("mapped file", |path| {
                self.sized(|options| MappedFile::create(path, options).expect(WORKS))
            }),
            self.to_file("log, to be replayed by its reader", |path| self.through_log(path, AtPublish::Keep)),
            self.to_file("log, replayed into a file", |path| {
                let target = path.with_extension("target");
                fs::File::create_new(&target).expect(WORKS);
                let target = FileTarget::open_path(&target).expect(WORKS);
                self.through_log(path, AtPublish::Replay(Box::new(target)))
            }),
            self.to_file("SQLite", |path| {
                self.open(DatabaseSink::sqlite(path, &self.database_options()).expect(WORKS))
            }),
            ("peer with a key, over loopback, to a staged file", Box::new(|| Ok(self.to_peer()))),
            self.elsewhere("memory", || self.open(MemorySink::new().0)),
            self.elsewhere("memory, written before", move || {
                let (sink, contents) = MemorySink::over(reused.take());
                let restored = self.open(sink);
                reused.set(contents.take().expect(WORKS));
                restored
            }),
            self.elsewhere("pipe, with a reader", || self.through_pipe()),
            self.elsewhere("ring of two segments, with a reader", || self.through_ring()),
            self.elsewhere("nothing (verify)", || self.open(NullSink::new())),
        ];
        if let Ok(config) = env::var(POSTGRES) {
            ways.push(self.elsewhere("PostgreSQL, over a Unix socket", move || self.to_postgres(&config)));
        }
        ways
    }

    fn to_file(&'a self, name: &'static str, restore: impl Fn(&Path) -> Restored + 'a) -> Row<'a> {
        let way = move || {
            let path = self.directory.join("target");
            let time = timed(|| assert_eq!(restore(&path).plaintext_len, self.len as u64));
            self.clear();
            Ok(time)
        };
        (name, Box::new(way))
    }

    fn clear(&self) {
        for left in fs::read_dir(self.directory).expect(WORKS) {
            fs::remove_file(left.expect(WORKS).path()).expect(WORKS);
        }
    }

    fn elsewhere(&'a self, name: &'static str, restore: impl Fn() -> Restored + 'a) -> Row<'a> {
        (name, Box::new(move || Ok(timed(|| assert_eq!(restore().plaintext_len, self.len as u64)))))
    }

    fn source(&self) -> BytesSource {
        BytesSource::new(self.sealed.clone())
    }

    fn open(&self, sink: impl StreamingSink) -> Restored {
        self.opener.open(self.source(), sink).expect(WORKS)
    }

    fn sized<S: StreamingSink>(&self, make_sink: impl FnOnce(&StageOptions) -> S) -> Restored {
        let made = |expected_len| Ok(make_sink(&StageOptions::default().expected_len(expected_len)));
        self.opener.open_sized(self.source(), made).expect(WORKS)
    }

    fn through_log(&self, path: &Path, at_publish: AtPublish) -> Restored {
        match WalSink::open_path(path, &attempt_id(), at_publish).expect(WORKS) {
            wal::Opened::Ready(sink) => self.open(sink),
            wal::Opened::Finished(_) => panic!("the directory was empty"),
        }
    }

    fn through_pipe(&self) -> Restored {
        let (reader, writer) = io::pipe().expect(WORKS);
        self.beside(reader, || self.open(PipeSink::to_descriptor(writer)))
    }

    fn through_ring(&self) -> Restored {
        let (sink, reader) = RingSink::new(2 * SEGMENT_LEN).expect(WORKS);
        self.beside(reader, || self.open(sink))
    }

    /// Restores while another thread reads and forgets.
    fn beside<T>(&self, mut reader: impl Read + Send, restore: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut buffer = vec![0; READ_LEN];
                while reader.read(&mut buffer).expect(WORKS) > 0 {}
            });
            restore()
        })
    }

    /// The receiver is another thread. It stays on a little for a sender that has lost its answer: off the clock.
    fn to_peer(&self) -> Duration {
        let target = self.directory.join("target");
        let security = || Security::Key(PresharedKey::from_bytes(KEY));
        let any_port = Address::Tcp("127.0.0.1:0".into());
        let epochs = EpochFile::beside(&target).expect(WORKS);
        let receiver = Receiver::bind(&any_port, security(), epochs).expect(WORKS);
        let address = receiver.address().expect(WORKS);
        let open = || match StagedFile::open(&target, &StageOptions::default(), &attempt_id()).expect(WORKS) {
            Opened::Fresh(sink) => Ok(sink),
            left => panic!("the directory was empty: {left:?}"),
        };
        let time = thread::scope(|scope| {
            scope.spawn(|| receiver.run(open, &|| false, &|_| {}).expect(WORKS));
            timed(|| drop(self.open(PeerSink::connect(&address, security()).expect(WORKS))))
        });
        assert_eq!(fs::metadata(&target).expect(WORKS).len(), self.len as u64);
        self.clear();
        time
    }

    fn to_postgres(&self, config: &str) -> Restored {
        let config: postgres::Config = config.parse().expect("a connection string");
        let connect = move || config.connect(postgres::NoTls);
        self.open(DatabaseSink::postgres(connect, &self.database_options()).expect(WORKS))
    }

    fn database_options(&self) -> DatabaseOptions {
        self.count.set(self.count.get() + 1);
        let name = format!("bench {} {}", process::id(), self.count.get());
        DatabaseOptions::new(DatabaseTarget::new(&name).expect(WORKS))
    }
}

fn attempt_id() -> AttemptId {
    AttemptId::new(b"bench").expect("a short label")
}

const KEY: [u8; 32] = [7; 32];
const SEGMENT_LEN: usize = 8 << 20;
const READ_LEN: usize = 256 << 10;
/// How to reach a server of PostgreSQL, as its libraries read it; without it there is no such row.
const POSTGRES: &str = "COFFERDAM_BENCH_POSTGRES";
const WORKS: &str = "nothing fails here that the bench is about";
