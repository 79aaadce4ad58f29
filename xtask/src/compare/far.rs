//! Owns `cargo xtask compare-remote`: a restore from a server on this machine beside curl, which fetches the same bytes with as many
//! connections to files, and restores through a proxy that makes the way long, narrow or bad.
//! Knows nothing of what the programs do inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{Effort, Summary, Variant, WarmUp, interleaved, ratio};
use servers::{Fault, FaultProxy, Identity, Nginx, Place as ServerPlace, Plan, SeaweedFs};

use super::input::Input;
use super::place::{Place, room_of};
use super::scratch::Scratch;
use super::size::{parse_size, size_text};
use super::timed::Usage;
use super::volume::{Keys, environment, walls};
use crate::results::Machine;

/// Measures and gives the tables. `arguments` may choose size, rounds and the program.
///
/// # Errors
/// Arguments that are not understood; too little room; servers that are not installed; a program that fails, or restores other bytes.
pub(crate) fn run(root: &Path, machine: &Machine, arguments: &[&str]) -> Result<String, String> {
    let Options { size, rounds, program } = Options::parse(arguments)?;
    let program = program.map_or_else(|| super::build(root), |program| super::program(&program))?;
    let place = Place::new(Path::new("/dev/shm"))?;
    place.check_room(COPIES * room_of(size))?;
    let stream = Stream::new(&place, program, size)?;
    let weed = SeaweedFs::start(ServerPlace::Memory).map_err(text)?;
    let bytes = fs::read(stream.folder().join(SEALED)).map_err(text)?;
    weed.put(SeaweedFs::OPEN_BUCKET, SEALED, &bytes).map_err(text)?;
    let len = bytes.len() as u64;
    drop(bytes);
    let nginx = Nginx::start(stream.folder()).map_err(text)?;
    let effort = Effort::of(rounds, WarmUp::FirstRound);

    let mut table = machine.stamp();
    table.push_str(&format!(
        "\n\n{} of random bytes, sealed, from servers on this machine to {}.\n\n",
        size_text(size),
        place.name()
    ));
    table.push_str(HEAD);
    let s3 = format!("http://{}/{}/{SEALED}", weed.address(), SeaweedFs::OPEN_BUCKET);
    for (name, theirs, ours, own) in [
        ("SeaweedFS", s3, s3_url(), weed.environment(weed.address(), Identity::Owner)),
        ("nginx", nginx.url(SEALED), nginx.url(SEALED), Vec::new()),
    ] {
        table.push_str(&stream.beside_curl(name, &theirs, len, &ours, &own, effort)?);
    }
    table.push_str(&format!("\n{FAR_HEAD}"));
    let proxy = FaultProxy::start(nginx.address(), Plan::none()).map_err(text)?;
    proxy.link().set_latency(LATENCY);
    proxy.link().set_bandwidth(BANDWIDTH);
    for (name, plan) in [("nothing fails", Plan::none()), ("one request in 100 is cut", cuts())] {
        proxy.set_plan(plan);
        table.push_str(&stream.through(name, &proxy, len, effort)?);
    }
    Ok(table)
}

/// What is measured, and by which program.
struct Options {
    size: u64,
    rounds: usize,
    program: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let mut options = Options { size: SIZE, rounds: ROUNDS, program: None };
        for pair in arguments.chunks(2) {
            let &[name, value] = pair else { return Err(format!("{} needs a value\n{USAGE}", pair[0])) };
            match name {
                "--size" => options.size = parse_size(value)?,
                "--rounds" => {
                    options.rounds = value.parse().map_err(|_| format!("no number: {value}\n{USAGE}"))?
                }
                "--program" => options.program = Some(value.into()),
                _ => return Err(format!("{name} is not known\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

/// A sealed stream, its plaintext, and the program that restores it.
struct Stream {
    scratch: Scratch,
    input: Input,
    keys: Keys,
    program: PathBuf,
}

impl Stream {
    fn new(place: &Place, program: PathBuf, size: u64) -> Result<Stream, String> {
        let scratch = Scratch::new(&place.directory)?;
        let (keys, input) = (Keys::new(&program, scratch.path())?, Input::new(size)?);
        input.write(&scratch.path().join(PLAIN))?;
        let stream = Stream { scratch, input, keys, program };
        stream.timed(&format!("{{cofferdam}} seal --quiet -r {{recipient}} -o {SEALED} {PLAIN}"), &[])?;
        fs::remove_file(stream.folder().join(PLAIN)).map_err(text)?;
        Ok(stream)
    }

    fn folder(&self) -> &Path {
        self.scratch.path()
    }

    fn timed(&self, command: &str, own: &[(&str, String)]) -> Result<Usage, String> {
        let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, &**value)).collect();
        Usage::of(&self.keys.fill(command, &self.program), self.folder(), &environment(self.folder(), &own))
    }

    /// Restores from `url`, and removes what it has made. What it took is checked by the program itself.
    fn restore(&self, url: &str, own: &[(&str, String)]) -> Result<Usage, String> {
        let usage = self.timed(&format!("{{cofferdam}} restore --quiet -i key.txt {url} {PLAIN}"), own)?;
        fs::remove_file(self.folder().join(PLAIN)).map_err(text)?;
        Ok(usage)
    }

    /// The same ranges by four connections of curl, each to a file of its own.
    fn fetch(&self, url: &str, len: u64) -> Result<Usage, String> {
        let step = len.div_ceil(STREAMS);
        let part =
            |part: u64| format!("-s -S -f -r {}-{} -o part{part} {url}", part * step, (part + 1) * step - 1);
        let parts: Vec<String> = (0..STREAMS).map(part).collect();
        let usage = self.timed(&format!("curl -Z {}", parts.join(" --next ")), &[])?;
        (0..STREAMS)
            .try_for_each(|part| fs::remove_file(self.folder().join(format!("part{part}"))))
            .map_err(text)?;
        Ok(usage)
    }

    /// A line: the restore beside curl, in turn. The last restore is compared with the plaintext.
    fn beside_curl(
        &self,
        name: &str,
        theirs: &str,
        len: u64,
        url: &str,
        own: &[(&str, String)],
        effort: Effort,
    ) -> Result<String, String> {
        eprintln!("{name}");
        let mut variants: [Variant<'_, Usage, String>; 2] =
            [Box::new(|| self.fetch(theirs, len)), Box::new(|| self.restore(url, own))];
        let [curl, ours] = interleaved(&mut variants, effort)?.try_into().expect("two lists");
        self.timed(&format!("{{cofferdam}} restore --quiet -i key.txt {url} {PLAIN}"), own)?;
        self.input.check(&self.folder().join(PLAIN))?;
        fs::remove_file(self.folder().join(PLAIN)).map_err(text)?;
        let beside = ratio(&walls(&ours), &walls(&curl));
        let [curl_cpu, our_cpu] = [&curl, &ours].map(|samples| processor_seconds_per_gb(samples, len));
        Ok(format!(
            "| {name} | {} | {:.3} | {:.3} | {:.2} | {:.0} % | {curl_cpu:.2} | {our_cpu:.2} | {:.2} |\n",
            ours.len(),
            Summary::of_times(&walls(&curl)).median,
            Summary::of_times(&walls(&ours)).median,
            beside.median,
            beside.spread() * 100.0,
            our_cpu - curl_cpu,
        ))
    }

    /// A line: restores through `proxy`, beside what eight of its connections carry.
    fn through(&self, name: &str, proxy: &FaultProxy, len: u64, effort: Effort) -> Result<String, String> {
        eprintln!("{name}");
        let before = proxy.counts().requests;
        let url = proxy.url(SEALED);
        let mut variants: [Variant<'_, Usage, String>; 1] = [Box::new(|| self.restore(&url, &[]))];
        let samples = interleaved(&mut variants, effort)?.remove(0);
        let seconds = Summary::of_times(&walls(&samples)).median;
        let carried = len as f64 / seconds / (CONNECTIONS * BANDWIDTH as f64);
        let requests = proxy.counts().requests - before;
        Ok(format!("| {name} | {} | {seconds:.2} | {carried:.2} | {requests} |\n", samples.len()))
    }
}

/// About one read in a hundred ends early.
fn cuts() -> Plan {
    let mut numbers = fastrand::Rng::with_seed(1);
    Plan::new(move |request| {
        let cut = request.is_read() && numbers.u32(0..100) == 0;
        cut.then(|| Fault::CutAnswer { after: numbers.u64(0..1 << 20) })
    })
}

fn processor_seconds_per_gb(samples: &[Usage], len: u64) -> f64 {
    Summary::of(samples.iter().map(|sample| sample.processors.as_secs_f64())).median / (len as f64 / 1e9)
}

fn s3_url() -> String {
    format!("s3://{}/{SEALED}", SeaweedFs::OPEN_BUCKET)
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

const USAGE: &str = "use: cargo xtask compare-remote [--size 2GiB] [--rounds N] [--program PATH]";
const HEAD: &str = "| from | rounds | curl, 4 connections to files, s | restore s | beside | quartiles | curl CPU s/GB | restore CPU s/GB | \
                    difference |\n|---|---|---|---|---|---|---|---|---|\n";
const FAR_HEAD: &str = "| 50 ms further, 50 MB/s a connection | rounds | restore s | of eight such connections | requests |\n|---|---|---|---|---|\n";
const SIZE: u64 = 2 << 30;
const ROUNDS: usize = 5;
const STREAMS: u64 = 4;
/// The sealed stream here and at the server, what is fetched, and one to spare.
const COPIES: u64 = 4;
const LATENCY: Duration = Duration::from_millis(50);
const BANDWIDTH: u64 = 50_000_000;
const CONNECTIONS: f64 = 8.0;
const PLAIN: &str = "plain";
const SEALED: &str = "sealed.cfd";
