//! Reads here and there of a stream in a store: by a reader, and by HTTP and NBD of a server over one; and a start that was fetched first.
//! It knows one store, on this machine, behind a proxy that counts, and adds latency.

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::remote::{Place, RemoteOptions, RemoteSource};
use cofferdam::{FRAME_LEN_DEFAULT, ReadAt as _, Reader, ReaderSource, SEGMENT_LEN_DEFAULT};
use cofferdam_bench::{KEY, Scale, bytes, directory, is_wanted, opener, sealer};
use rustix::process::{Pid, Signal, kill_process};
use serve::{Export, GRACE, HttpUrl, Server};
use servers::installed::is_skipped;
use servers::{FaultProxy, Identity, Plan, SeaweedFs};

fn main() {
    let scale = Scale::from_arguments();
    if is_skipped() {
        return;
    }
    let len = scale.choose(512 << 20, 16 << 20);
    let store = Store::new(len);
    let about = format!(
        "{} MiB in SeaweedFS on this machine, of frames of 64 KiB and segments of 8 MiB; a budget of 256 MiB.",
        len >> 20
    );
    println!("{}\n", scale.preface(about));
    if is_wanted("random") {
        println!("{RANDOM}");
        for latency in [0, 20] {
            store.proxy.link().set_latency(Duration::from_millis(latency));
            for by in [By::Reader, By::Http, By::Nbd] {
                store.random(by, latency, scale.choose(500, 10));
            }
        }
    }
    if is_wanted("start") {
        println!("{START}");
        store.proxy.link().set_latency(Duration::from_millis(20));
        let trace = trace(len, scale.choose(60, 3));
        let without = store.start(&trace, &[]);
        let with = store.start(&trace, &trace);
        let touched = trace.iter().map(|(_, len)| len).sum::<u64>();
        let what = format!("{} reads of {} MiB in all, 20 ms", trace.len(), touched >> 20);
        let row = |what: &str, without: Duration, with: Duration| {
            let [without, with] = [without, with].map(|time| time.as_secs_f64());
            println!("| {what} | {without:.2} | {with:.2} | {:.2} |", with / without);
        };
        row(&what, without, with);
        match program() {
            Some(program) => {
                let [without, with] = store.starts_of(&program, &trace);
                row(&format!("{what}; `cofferdam serve`, from its own start on"), without, with);
            }
            None => {
                eprintln!("served: `cofferdam serve` is not timed: cargo build --release -p cofferdam-cli")
            }
        }
    }
}

const RANDOM: &str = "| reads of 4096 bytes at random, 1 at once | added latency ms | p50 ms | p99 ms | requests per frame and segment \
                      touched | bytes of those needed |\n|---|---|---|---|---|---|";
const START: &str = "\n| a start, one read after the other by NBD | s | fetched first, from the same moment on: s | of the former |\n\
                     |---|---|---|---|";

/// A stream in a store, behind a proxy.
struct Store {
    proxy: FaultProxy,
    url: String,
    len: u64,
}

/// By whom a read is done.
#[derive(Clone, Copy, Debug)]
enum By {
    Reader,
    Http,
    Nbd,
}

impl Store {
    fn new(len: u64) -> Store {
        let scratch = tempfile::tempdir_in(directory()).expect("the directory can be written");
        let sealed = scratch.path().join("sealed");
        let plaintext = bytes(usize::try_from(len).expect(WORKS));
        sealer().seal_to(ReaderSource::new(std::io::Cursor::new(plaintext)), &sealed).expect(WORKS);
        let seaweed = SeaweedFs::shared();
        let bucket = seaweed.new_bucket().expect(WORKS);
        seaweed.put(&bucket, "sealed", &std::fs::read(&sealed).expect(WORKS)).expect(WORKS);
        let proxy = FaultProxy::start(seaweed.address(), Plan::none()).expect(WORKS);
        Store { proxy, url: format!("s3://{bucket}/sealed"), len }
    }

    fn reader(&self) -> Reader {
        let variables = SeaweedFs::shared().environment(self.proxy.address(), Identity::Reader);
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        let place = Place::parse(&self.url, variables).expect(WORKS);
        let source = RemoteSource::open(place, RemoteOptions::new()).expect(WORKS);
        opener().memory(256 << 20).reader(source).expect(WORKS)
    }

    /// Each read is of a frame that none before it has touched.
    fn random(&self, by: By, latency: u64, count: usize) {
        let reader = self.reader();
        let served = ServedReader::new(&reader);
        let mut client = served.client(by, &reader);
        let frame_len = u64::from(FRAME_LEN_DEFAULT);
        let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
        let mut frames = BTreeSet::new();
        while frames.len() < count.min((self.len / frame_len) as usize / 2) {
            frames.insert(rng.next(self.len / frame_len));
        }
        let mut offsets: Vec<u64> =
            frames.iter().map(|frame| frame * frame_len + rng.next(frame_len - 4096)).collect();
        (1..offsets.len()).for_each(|at| offsets.swap(at, rng.next(at as u64 + 1) as usize));
        let segments: BTreeSet<u64> = offsets.iter().map(|at| at / SEGMENT_LEN_DEFAULT).collect();
        let before = self.proxy.counts();
        let mut times: Vec<Duration> = offsets
            .iter()
            .map(|offset| {
                let begun = Instant::now();
                client.read(*offset, 4096);
                begun.elapsed()
            })
            .collect();
        let after = self.proxy.counts();
        times.sort();
        let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
        let needed = frames.len() as u64 * (frame_len + 32) + segments.len() as u64 * 48;
        println!(
            "| {by:?} | {latency} | {:.2} | {:.2} | {:.2} | {:.3} |",
            at(50),
            at(99),
            (after.requests - before.requests) as f64 / (frames.len() + segments.len()) as f64,
            (after.bytes_down - before.bytes_down) as f64 / needed as f64
        );
        drop(client);
        served.server.finish(GRACE);
    }

    /// How long `trace` takes through the command, from its start on: first while it records, then with what was recorded fetched first.
    fn starts_of(&self, program: &Path, trace: &[(u64, u64)]) -> [Duration; 2] {
        let folder = tempfile::tempdir().expect(WORKS);
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("key"), KEY).expect(WORKS);
        ["--record", "--warm"].map(|option| {
            let mut serve = Command::new(program);
            serve.args(["serve", "--quiet", "--memory", "256MiB", "--key-file"]).arg(path("key"));
            serve.arg("--nbd").arg(path("socket")).arg(option).arg(path("set")).arg(&self.url);
            serve.envs(SeaweedFs::shared().environment(self.proxy.address(), Identity::Reader));
            let begun = Instant::now();
            let mut serving = serve.stdout(Stdio::piped()).spawn().expect(WORKS);
            let mut said = BufReader::new(serving.stdout.take().expect("it is a pipe"));
            said.read_line(&mut String::new()).expect(WORKS);
            let mut client = Client::Nbd(connect(&path("socket")));
            trace.iter().for_each(|(offset, len)| client.read(*offset, *len));
            let took = begun.elapsed();
            drop(client);
            kill_process(Pid::from_child(&serving), Signal::TERM).expect(WORKS);
            assert!(serving.wait().expect(WORKS).success(), "it ends in an orderly way");
            took
        })
    }

    /// How long `trace` takes, while `warm` is fetched.
    fn start(&self, trace: &[(u64, u64)], warm: &[(u64, u64)]) -> Duration {
        let reader = self.reader();
        let served = ServedReader::new(&reader);
        let ranges: Vec<_> = warm.iter().map(|(offset, len)| *offset..offset + len).collect();
        let begun = Instant::now();
        let warming = thread::spawn(move || reader.prefetch(&ranges).expect(WORKS));
        let mut client = Client::Nbd(served.connect());
        trace.iter().for_each(|(offset, len)| client.read(*offset, *len));
        let took = begun.elapsed();
        warming.join().expect(WORKS);
        drop(client);
        served.server.finish(GRACE);
        took
    }
}

/// The command, where this program was built, if it was built too.
fn program() -> Option<PathBuf> {
    let own = env::current_exe().ok()?;
    let program = own.parent()?.parent()?.join("cofferdam");
    program.is_file().then_some(program)
}

/// What a machine reads that starts, as far as such things are alike: some places all over the disk, at each a few reads in a row.
fn trace(len: u64, places: usize) -> Vec<(u64, u64)> {
    let mut rng = Rng(0x2545_f491_4f6c_dd1d);
    let mut reads = Vec::new();
    for _ in 0..places {
        let mut offset = rng.next(len - (1 << 20)) / 4096 * 4096;
        for _ in 0..1 + rng.next(12) {
            let len = 4096 << rng.next(4);
            reads.push((offset, len));
            offset += len;
        }
    }
    reads
}

/// A server over a reader.
struct ServedReader {
    server: Server,
    url: HttpUrl,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl ServedReader {
    fn new(reader: &Reader) -> ServedReader {
        let folder = tempfile::tempdir().expect(WORKS);
        let socket = folder.path().join("socket");
        let export = Export::new(Arc::new(reader.clone()), "bench", "bench");
        let mut server = Server::new(export, Arc::new(|_| ())).expect(WORKS);
        let url = server.listen_http(0).expect(WORKS);
        server.listen_nbd(&socket).expect(WORKS);
        ServedReader { server, url, socket, _folder: folder }
    }

    fn client(&self, by: By, reader: &Reader) -> Client {
        match by {
            By::Reader => Client::Reader(reader.clone()),
            By::Http => {
                let stream = TcpStream::connect(self.url.address()).expect(WORKS);
                stream.set_nodelay(true).expect(WORKS);
                Client::Http(stream, self.url.address(), self.url.path().to_owned())
            }
            By::Nbd => Client::Nbd(self.connect()),
        }
    }

    fn connect(&self) -> UnixStream {
        connect(&self.socket)
    }
}

/// A client that has asked for the export.
fn connect(socket: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).expect(WORKS);
    // NBD_OPT_EXPORT_NAME of the default export, without zeroes.
    stream.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\0").expect(WORKS);
    stream.read_exact(&mut [0; 18 + 10]).expect(WORKS);
    stream
}

enum Client {
    Reader(Reader),
    Http(TcpStream, SocketAddr, String),
    Nbd(UnixStream),
}

impl Client {
    fn read(&mut self, offset: u64, len: u64) {
        let mut bytes = vec![0; len as usize];
        match self {
            Client::Reader(reader) => reader.read_exact_at(offset, &mut bytes).expect(WORKS),
            Client::Http(stream, host, path) => {
                let last = offset + len - 1;
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={offset}-{last}\r\n\r\n");
                stream.write_all(request.as_bytes()).expect(WORKS);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).expect(WORKS);
                    head.extend(byte);
                }
                assert!(head.starts_with(b"HTTP/1.1 206"), "a part is served");
                stream.read_exact(&mut bytes).expect(WORKS);
            }
            Client::Nbd(stream) => {
                let len = u32::try_from(len).expect(WORKS).to_be_bytes();
                let head = &b"\x25\x60\x95\x13\0\0\0\0\0\0\0\0\0\0\0\0"[..];
                stream.write_all(&[head, &offset.to_be_bytes(), &len].concat()).expect(WORKS);
                let mut reply = [0; 16];
                stream.read_exact(&mut reply).expect(WORKS);
                assert_eq!(reply[4..8], [0; 4], "a read succeeds");
                stream.read_exact(&mut bytes).expect(WORKS);
            }
        }
    }
}

/// Numbers that only look random: each run reads the same.
struct Rng(u64);

impl Rng {
    fn next(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

const WORKS: &str = "what is measured works";
