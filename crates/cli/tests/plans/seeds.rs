//! Runs by seeds: workers are killed, paused and doubled, receipts are lost, doubled and forged, coordinators are killed and come in twos;
//! and paused workers come back once the plan is committed.
//!
//! `cargo xtask parts` runs more of them: `COFFERDAM_PLANS_RUNS` says how many, `COFFERDAM_PLANS_SEED` which is the first.

use std::env;
use std::fs;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{Listing, difference, list, make_tree};
use crate::place::{Place, Ran, end_of, plaintext, started};
use crate::tree_watch::TreeWatch;
use crate::watch::Watch;

/// A run: its place, and the workers that it has started.
struct Stage {
    place: Place,
    plain: Plain,
    rng: Rng,
    parts: u64,
    workers: Vec<Worker>,
}

struct Worker {
    child: Child,
    is_paused: bool,
}

/// What was sealed.
#[derive(Clone)]
enum Plain {
    File(Arc<Vec<u8>>),
    Tree(Arc<Listing>),
}

impl Plain {
    fn is_at(&self, place: &Place, name: &str) -> bool {
        match self {
            Plain::File(plain) => place.read(name) == **plain,
            Plain::Tree(plain) => difference(&list(&place.at(name)), plain).is_none(),
        }
    }
}

/// Whoever looks at the target meanwhile.
enum Watching {
    File(Watch),
    Tree(TreeWatch),
}

impl Watching {
    fn end(self) {
        match self {
            Watching::File(watch) => watch.end(),
            Watching::Tree(watch) => watch.end(),
        }
    }
}

/// One of everything, and 64 MiB of files of all lengths.
fn make_large(root: &std::path::Path) {
    make_tree(root);
    let mut rng = Rng::with_seed(64);
    let mut left = 56 << 20;
    for number in 0.. {
        let bits = rng.u32(1..24);
        let len = rng.usize(0..1 << bits).min(left);
        let directory = root.join(format!("large/{}", number % 9));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{number}")), plaintext(len)).unwrap();
        left -= len;
        if left == 0 {
            break;
        }
    }
}

#[test]
fn whoever_is_killed_or_paused_the_target_is_the_old_one_or_the_new_one() {
    let number = |variable: &str| env::var(variable).ok().map(|value| value.parse::<u64>().unwrap());
    let (first, runs) =
        (number("COFFERDAM_PLANS_SEED").unwrap_or(1), number("COFFERDAM_PLANS_RUNS").unwrap_or(20));
    // Sealed once; each run has a copy, for each is in a directory of its own.
    let bytes = Arc::new(plaintext((64 << 20) - 5));
    let file = (Place::new(&bytes, "2MiB", "256KiB"), Plain::File(bytes));
    let tree = Place::of_tree(make_large, "2MiB", "256KiB");
    let listing = Plain::Tree(Arc::new(list(&tree.at("plain"))));
    let tree = (tree, listing);
    for seed in first..first + runs {
        let (sealed, plain) = if seed % 2 == 0 { &tree } else { &file };
        println!("seed {seed}");
        run(seed, sealed, plain);
    }
}

fn run(seed: u64, sealed: &Place, plain: &Plain) {
    let mut rng = Rng::with_seed(seed);
    let place = Place::small();
    for name in ["sealed.cfd", "stream.key"] {
        fs::copy(sealed.at(name), place.at(name)).unwrap();
    }
    let is_replaced = rng.bool();
    let watch = watched(plain, &place, is_replaced.then(|| rng.usize(0..5_000_000)));
    let parts = rng.u64(2..=8);
    let force: &[&str] = if is_replaced { &["--force"] } else { &[] };
    let set_id: &[&str] = if let Plain::Tree(_) = plain { &["--set-id"] } else { &[] };
    place.plan(parts, &[force, set_id].concat()).assert_done();
    let mut stage = Stage { place, plain: plain.clone(), rng, parts, workers: Vec::new() };
    for _ in 0..stage.rng.usize(10..25) {
        stage.act();
    }
    stage.finish();
    watch.end();
}

/// Puts an old target of about `old` bytes there, if there is to be one, and begins to watch.
fn watched(plain: &Plain, place: &Place, old: Option<usize>) -> Watching {
    let target = place.at("target");
    match plain {
        Plain::File(plain) => {
            let old = old.map(plaintext);
            if let Some(old) = &old {
                fs::write(&target, old).unwrap();
            }
            Watching::File(Watch::begin(target, old, plain.clone()))
        }
        Plain::Tree(plain) => {
            if let Some(len) = old {
                fs::create_dir_all(target.join("of/old")).unwrap();
                fs::write(target.join("of/old/file"), plaintext(len)).unwrap();
            }
            Watching::Tree(TreeWatch::begin(target, old.is_some(), plain.clone()))
        }
    }
}

impl Stage {
    /// One thing that happens.
    fn act(&mut self) {
        match self.rng.u32(0..100) {
            0..45 => self.start_worker(),
            45..55 => self.signal_worker(Signal::KILL),
            55..70 => self.signal_worker(Signal::STOP),
            70..75 => self.signal_worker(Signal::CONT),
            75..80 => self.lose_receipt(),
            80..85 => self.double_receipt(),
            85..88 => self.forge_receipt(),
            88..91 => self.damage_part(),
            91..96 => self.kill_commit(),
            _ => self.commit_twice(),
        }
        std::thread::sleep(Duration::from_millis(self.rng.u64(0..30)));
    }

    fn start_worker(&mut self) {
        let part = self.rng.u64(0..self.parts);
        let child = started(&mut self.place.part_command(part));
        self.workers.push(Worker { child, is_paused: false });
    }

    fn signal_worker(&mut self, signal: Signal) {
        if !self.workers.is_empty() {
            let index = self.rng.usize(0..self.workers.len());
            let worker = &mut self.workers[index];
            send(&worker.child, signal);
            worker.is_paused = signal == Signal::STOP || worker.is_paused && signal != Signal::CONT;
        }
    }

    fn lose_receipt(&mut self) {
        if let Some(receipt) = self.rng.choice(self.place.attempt_files("receipt-")) {
            let _ = fs::remove_file(receipt);
        }
    }

    /// The same receipt under the name of another attempt, and of another part.
    fn double_receipt(&mut self) {
        let Some(receipt) = self.rng.choice(self.place.attempt_files("receipt-")) else { return };
        let name = receipt.file_name().unwrap().to_str().unwrap().to_owned();
        let (_, attempt) = name.rsplit_once('-').unwrap();
        let other = format!("{:032x}", self.rng.u128(..));
        for name in [
            format!("receipt-{}-{other}", self.rng.u64(0..self.parts)),
            format!("receipt-{}-{attempt}", self.rng.u64(0..self.parts)),
        ] {
            let _ = fs::copy(&receipt, receipt.with_file_name(name));
        }
    }

    /// A receipt of another plan of the same stream, under another key.
    fn forge_receipt(&mut self) {
        let Some(attempts) = self.place.attempts() else { return };
        let other = Place::small();
        other.plan(2, &[]).assert_done();
        other.part(0).assert_done();
        for file in ["part-", "receipt-"].into_iter().flat_map(|begins| other.attempt_files(begins)) {
            let _ = fs::copy(&file, attempts.join(file.file_name().unwrap()));
        }
    }

    /// A byte of a file that has a receipt, or will have one, becomes another.
    fn damage_part(&mut self) {
        use std::os::unix::fs::FileExt as _;
        let Some(part) = self.rng.choice(self.place.attempt_files("part-")) else { return };
        let Ok(file) = fs::OpenOptions::new().read(true).write(true).open(part) else { return };
        let len = file.metadata().unwrap().len();
        if len > 0 {
            let (at, mut byte) = (self.rng.u64(0..len), [0]);
            // Its worker may make it shorter meanwhile.
            if file.read_exact_at(&mut byte, at).is_ok() {
                file.write_all_at(&[byte[0] ^ 1], at).unwrap();
            }
        }
    }

    fn kill_commit(&mut self) {
        let commit = started(&mut self.place.commit_command());
        std::thread::sleep(Duration::from_millis(self.rng.u64(0..150)));
        send(&commit, Signal::KILL);
        end_of(commit);
    }

    fn commit_twice(&mut self) {
        let both = [(); 2].map(|()| started(&mut self.place.commit_command()));
        for ran in both.map(end_of) {
            // Done, parts are missing, or the other one is at it.
            assert!(matches!(ran.code, Some(0 | 9 | 19)), "{ran:?}");
        }
    }

    /// The plan comes to its end: missing parts are run, and coordinators are killed now and then. Those who were paused stay so until then.
    fn finish(&mut self) {
        for round in 0.. {
            assert!(round < 50, "it does not come to an end");
            if round < 3 && self.rng.bool() {
                self.kill_commit();
            }
            let ran = self.place.commit();
            match ran.code {
                Some(0) => break,
                Some(19) => self.run_missing(),
                _ => panic!("{ran:?}"),
            }
        }
        let is_new = |place: &Place| self.plain.is_at(place, "target");
        assert!(is_new(&self.place), "what was committed is not what was sealed");
        for worker in std::mem::take(&mut self.workers) {
            if worker.is_paused {
                send(&worker.child, Signal::CONT);
            }
            let ran = end_of(worker.child);
            // Killed, done before, told that it came too late, or that its directory has gone.
            assert!(matches!(ran.code, None | Some(0)), "{ran:?}");
        }
        assert!(is_new(&self.place), "the target was written after the commit");
        let again = self.place.commit();
        again.assert_done();
        assert!(again.stdout.contains("before"), "{again:?}");
        for part in 0..self.parts {
            self.place.part(part).assert_done();
        }
        self.place.assert_tidy();
    }

    fn run_missing(&self) {
        let state = self.place.run(["restore", "--json", "--plan", "plan", "--status"]);
        state.assert_done();
        let state: serde_json::Value = serde_json::from_str(&state.stdout).unwrap();
        for part in state["missing"].as_array().unwrap() {
            let ran: Ran = self.place.part(part.as_u64().unwrap());
            ran.assert_done();
        }
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    // It may have ended by itself; until it is waited for, the number is its.
    let _ = kill_process(pid, signal);
}
