//! What it costs to open through the C ABI: the processor time of a C program beside that of the same loop in Rust, in turns.
//! It knows no bound; RESULTS has what came of it.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use cofferdam::{Identities, IfExists, Opener, Recipients, Sealer, WrappingKey, open_path};
use harness::{Effort, Summary, Variant, WarmUp, bytes, interleaved};
use nix::sys::resource::{UsageWho, getrusage};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "rust", sealed, len, calls] => open_many(sealed, len.parse()?, calls.parse()?),
        [_, "rust-reads", sealed, count] => read_many(sealed, count.parse()?),
        _ => compare(),
    }
}

/// As the C program.
fn open_many(sealed: &str, len: usize, calls: u32) -> Outcome<()> {
    let opener = Opener::new(Identities::new().wrapping_key(key()));
    let mut memory = vec![1; len];
    opener.open_into(open_path(sealed)?, &mut memory)?;
    let before = processor_seconds()?;
    for _ in 0..calls {
        opener.open_into(open_path(sealed)?, &mut memory)?;
    }
    println!("{:.9}", (processor_seconds()? - before) / f64::from(calls));
    Ok(())
}

/// Bytes per second of reads at places that are drawn, as `python/bench.py` draws them.
fn read_many(sealed: &str, count: u32) -> Outcome<()> {
    let reader = Opener::new(Identities::new().wrapping_key(key())).reader(open_path(sealed)?)?;
    let mut buffer = vec![0; 64 << 10];
    let (places, mut drawn, mut begun) = (reader.len() - buffer.len() as u64, 1_u64, Instant::now());
    for read in 0..count + WARM_UP_READS {
        if read == WARM_UP_READS {
            begun = Instant::now();
        }
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        reader.read_at((drawn >> 33) % places, &mut buffer)?;
    }
    println!("{:.0}", f64::from(count) * buffer.len() as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

fn processor_seconds() -> Outcome<f64> {
    let used = getrusage(UsageWho::RUSAGE_SELF)?;
    let times = [used.user_time(), used.system_time()];
    Ok(times.iter().map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6).sum())
}

fn compare() -> Outcome<()> {
    let parent = env::var_os("COFFERDAM_BENCH_DIRECTORY").map_or_else(env::temp_dir, PathBuf::from);
    let scratch = tempfile::tempdir_in(&parent)?;
    let program = build(scratch.path())?;
    let place = parent.display();
    println!(
        "Files in {place}, {ROUNDS} rounds in turn after one to warm up; the ratio is the median of those of the rounds.\n"
    );
    println!(
        "| plaintext | calls per sample | Rust, CPU ms per call | C, CPU ms per call | C to Rust | quartiles |"
    );
    println!("|---|---|---|---|---|---|");
    for (mib, calls) in [(1, 200), (16, 30), (64, 10), (256, 3)] {
        let (plain, sealed) = (scratch.path().join("plain"), scratch.path().join("sealed"));
        fs::write(&plain, bytes(mib << 20))?;
        let sealer = Sealer::new(Recipients::new().wrapping_key(key())).if_exists(IfExists::Replace);
        sealer.seal_file(&plain, &sealed)?;
        let arguments = [sealed.display().to_string(), (mib << 20).to_string(), calls.to_string()];
        row(&format!("{mib} MiB | {calls}"), scratch.path(), &program, &arguments)?;
    }
    Ok(())
}

fn row(name: &str, prefix: &Path, program: &Path, arguments: &[String; 3]) -> Outcome<()> {
    let rust = || figure(Command::new(env::current_exe()?).arg("rust").args(arguments));
    let c = || figure(Command::new(program).args(arguments).env("LD_LIBRARY_PATH", prefix.join("lib")));
    let mut variants: [Variant<'_, f64, Box<dyn Error>>; 2] = [Box::new(rust), Box::new(c)];
    let samples = interleaved(&mut variants, Effort::of(ROUNDS, WarmUp::FirstRound))?;
    let (rust, c) = (&samples[0], &samples[1]);
    let [rust_ms, c_ms] = [rust, c].map(|seconds| Summary::of(seconds.iter().map(|it| it * 1e3)).median);
    let Summary { median, quartiles: [low, high], .. } =
        Summary::of(c.iter().zip(rust).map(|(c, rust)| c / rust));
    println!("| {name} | {rust_ms:.3} | {c_ms:.3} | {median:.3} | {low:.2} to {high:.2} |");
    Ok(())
}

/// Installs the library that cargo has built beside this bench, and builds the C program with it.
fn build(prefix: &Path) -> Outcome<PathBuf> {
    let library = env::current_exe()?.with_file_name("libcofferdam_capi.so");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = prefix.join("open_many");
    printed(Command::new(folder.join("install.sh")).arg(library).arg(prefix))?;
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-D_DEFAULT_SOURCE", "-O2", "-o"])
        .arg(&program)
        .arg(folder.join("benches/open_many.c"));
    cc.arg("-I").arg(prefix.join("include")).arg("-L").arg(prefix.join("lib")).arg("-lcofferdam");
    printed(&mut cc)?;
    Ok(program)
}

fn figure(command: &mut Command) -> Outcome<f64> {
    Ok(printed(command)?.trim().parse()?)
}

fn printed(command: &mut Command) -> Outcome<String> {
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("{command:?}: {}: {errors}", output.status).into()),
    }
}

fn key() -> WrappingKey {
    let mut key = [0; 32];
    key[0] = 7;
    WrappingKey::from_bytes(key)
}

const ROUNDS: usize = 31;
const WARM_UP_READS: u32 = 200;
