//! Owns `cargo xtask compare-trees`: directories sealed and restored by whole processes, beside `tar`, in turn.
//! Knows nothing of what the programs do inside. All of them are on the disk when their time is taken, by `sync -f`.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Effort, Summary, WarmUp, ratio};

use super::contestant::{Contestant, Direction};
use super::input::Input;
use super::place::Place;
use super::timed::Usage;
use super::volume::{Fixture, Volume, in_turn, walls};
use crate::results::Machine;

/// Measures and gives the tables, as `arguments` say.
///
/// # Errors
/// Arguments that are not understood; too little room; a program that fails, or restores another tree than it sealed.
pub(crate) fn run(root: &Path, machine: &Machine, arguments: &[&str]) -> Result<String, String> {
    let mut options = Options {
        directory: "/dev/shm".into(),
        trees: Vec::new(),
        rounds: 3,
        only: Vec::new(),
        program: None,
    };
    for pair in arguments.chunks(2) {
        match pair {
            ["--directory", directory] => options.directory = directory.into(),
            ["--tree", tree] => options.trees.push(Tree::parse(tree)?),
            ["--rounds", rounds] => options.rounds = rounds.parse().map_err(|_| USAGE)?,
            ["--only", names] => options.only = names.split(',').map(str::to_owned).collect(),
            ["--program", program] => options.program = Some(super::program(Path::new(program))?),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if options.trees.is_empty() {
        options.trees = vec![Tree::Toolchain, Tree::Files(100_000)];
    }
    let program = options.program.clone().map_or_else(|| super::build(root), Ok)?;
    let mut text = machine.stamp();
    for tree in &options.trees {
        text.push_str(&format!("\n\n{}", compare(&options, *tree, &program)?));
    }
    Ok(text)
}

struct Options {
    directory: PathBuf,
    trees: Vec<Tree>,
    rounds: usize,
    /// Names of contestants beside `tar`; empty for all.
    only: Vec<String>,
    program: Option<PathBuf>,
}

/// What is sealed.
#[derive(Clone, Copy)]
enum Tree {
    /// The directory of the Rust toolchain.
    Toolchain,
    /// So many files of 1 KiB of real bytes, in directories of 1,000.
    Files(u64),
}

impl Tree {
    fn parse(text: &str) -> Result<Tree, String> {
        match text {
            "toolchain" => Ok(Tree::Toolchain),
            count => count.parse().map(Tree::Files).map_err(|_| USAGE.to_owned()),
        }
    }

    fn name(self) -> String {
        match self {
            Tree::Toolchain => "the Rust toolchain".to_owned(),
            Tree::Files(count) => format!("{count} files of 1 KiB"),
        }
    }

    /// Bytes that it takes, about.
    fn size(self) -> u64 {
        match self {
            Tree::Toolchain => 2 << 30,
            Tree::Files(count) => count * DISK_BLOCK,
        }
    }

    fn make(self, plain: &Path) -> Result<(), String> {
        let failed = |error| format!("cannot make {}: {error}", plain.display());
        match self {
            Tree::Toolchain => {
                let copied = Command::new("cp").arg("-a").arg(super::input::sysroot()?).arg(plain).status();
                match copied.map_err(failed)?.success() {
                    true => Ok(()),
                    false => Err(format!("cp -a cannot make {}", plain.display())),
                }
            }
            Tree::Files(count) => {
                let input = Input::new(count * FILE_LEN as u64)?;
                let mut bytes = input.reader();
                let mut write = |number: u64| {
                    let directory = plain.join(format!("{:05}", number / 1_000));
                    let mut contents = [0; FILE_LEN];
                    bytes.read_exact(&mut contents)?;
                    fs::create_dir_all(&directory)?;
                    fs::write(directory.join(format!("{number:08}")), contents)
                };
                (0..count).try_for_each(&mut write).map_err(failed)
            }
        }
    }
}

/// Each contestant beside `tar`.
fn compare(options: &Options, tree: Tree, program: &Path) -> Result<String, String> {
    let place = Place::new(&options.directory)?;
    let of = format!("{}, {}", tree.name(), place.name());
    let volume = Volume::of_tree(&place, program, tree.size(), &|plain| tree.make(plain))?;
    let wanted = |one: &&Contestant| {
        one.name == TAR.name || options.only.is_empty() || options.only.iter().any(|name| name == one.name)
    };
    let contestants: Vec<&'static Contestant> =
        CONTESTANTS.iter().filter(wanted).filter(|one| one.is_installed()).collect();
    let made: Result<Vec<Fixture<'_>>, String> =
        contestants.iter().map(|one| volume.fixture(one.name, one, program)).collect();
    let fixtures = made?;
    let all: Vec<&Fixture<'_>> = fixtures.iter().collect();
    let mut text = String::new();
    for direction in Direction::BOTH {
        eprintln!("{of}: {}", direction.name());
        let samples = in_turn(&all, direction, Effort::of(options.rounds, WarmUp::None), 1)?;
        text.push_str(&format!("\n| {}, {of} | rounds | median s | beside tar | quartiles | CPU s | peak MiB | sealed MiB |\n|---|---|---|---|---|---|---|---|\n", direction.name()));
        for (fixture, usage) in fixtures.iter().zip(&samples) {
            text.push_str(&line(fixture, direction, usage, &samples[0])?);
        }
    }
    for fixture in &fixtures {
        fixture.run(Direction::Restore)?;
        volume.check(fixture)?;
    }
    Ok(text)
}

fn line(
    fixture: &Fixture<'_>,
    direction: Direction,
    usage: &[Usage],
    tar: &[Usage],
) -> Result<String, String> {
    let beside = ratio(&walls(usage), &walls(tar));
    let processors = Summary::of(usage.iter().map(|sample| sample.processors.as_secs_f64())).median;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(format!(
        "| {} | {} | {:.3} | {:.2} | {:.0} % | {processors:.2} | {:.0} | {:.0} |\n",
        fixture.contestant.title(direction),
        usage.len(),
        Summary::of_times(&walls(usage)).median,
        beside.median,
        beside.spread() * 100.0,
        mib(usage.iter().map(|sample| sample.peak).max().unwrap_or_default()),
        mib(fixture.sealed_len()?),
    ))
}

/// What all others stand beside: the first of them.
const TAR: Contestant = Contestant {
    name: "tar",
    version: "tar --version",
    install: "apt-get install tar",
    environment: &[],
    prepare: "",
    titles: ["tar, nothing compressed", "tar x, then sync -f"],
    commands: ["tar -cf sealed plain ; sync -f sealed", "tar -xf ../sealed ; sync -f ."],
    synced: [true, true],
};

#[rustfmt::skip] // One command on one line.
static CONTESTANTS: [Contestant; 9] = [
    TAR,
    Contestant {
        name: "cofferdam",
        version: "",
        titles: ["cofferdam seal, zstd", "cofferdam restore"],
        commands: [
            "{cofferdam} seal --quiet -r {recipient} -o sealed plain",
            "{cofferdam} restore --quiet -i ../key.txt ../sealed plain",
        ],
        ..TAR
    },
    Contestant {
        name: "cofferdam-plain",
        version: "",
        titles: ["cofferdam seal --no-zstd", "cofferdam restore, not compressed"],
        commands: [
            "{cofferdam} seal --quiet --no-zstd -r {recipient} -o sealed plain",
            "{cofferdam} restore --quiet -i ../key.txt ../sealed plain",
        ],
        ..TAR
    },
    Contestant {
        name: "tar-zstd",
        titles: ["tar, zstd -T0 -3", "tar x, zstd, then sync -f"],
        commands: [
            "sh -c 'tar -cf - plain | zstd -q -T0 -3 >sealed' ; sync -f sealed",
            "sh -c 'zstd -q -d <../sealed | tar -xf -' ; sync -f .",
        ],
        ..TAR
    },
    Contestant {
        name: "tar-zstd-age",
        titles: ["tar, zstd -T0 -3, age -r", "tar x, zstd, age -d, then sync -f"],
        commands: [
            "sh -c 'tar -cf - plain | zstd -q -T0 -3 | age -r {recipient} >sealed' ; sync -f sealed",
            "sh -c 'age -d -i ../key.txt <../sealed | zstd -q -d | tar -xf -' ; sync -f .",
        ],
        ..TAR
    },
    Contestant {
        name: "cp",
        titles: ["cp -a, then sync -f", "cp -a, then sync -f"],
        commands: ["cp -a plain sealed ; sync -f sealed", "cp -a ../sealed plain ; sync -f ."],
        ..TAR
    },
    Contestant {
        name: "rsync",
        version: "rsync --version",
        install: "apt-get install rsync",
        titles: ["rsync -a, then sync -f", "rsync -a, then sync -f"],
        commands: ["rsync -a plain/ sealed ; sync -f sealed", "rsync -a ../sealed/ plain ; sync -f ."],
        ..TAR
    },
    Contestant {
        name: "restic",
        version: "restic version",
        install: "apt-get install restic",
        environment: &[("RESTIC_PASSWORD", "password")],
        prepare: "restic --no-cache --quiet --repo sealed init",
        titles: ["restic backup", "restic restore, then sync -f"],
        commands: [
            "restic --no-cache --quiet --repo sealed backup plain",
            "restic --no-cache --quiet --repo ../sealed restore latest --target . ; sync -f .",
        ],
        ..TAR
    },
    Contestant {
        name: "borg",
        version: "borg --version",
        install: "apt-get install borgbackup",
        environment: &[("BORG_PASSPHRASE", "password"), ("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes")],
        prepare: "borg init --encryption repokey-blake2 sealed",
        titles: ["borg create, repokey-blake2, zstd,3", "borg extract, then sync -f"],
        commands: [
            "borg create --compression zstd,3 sealed::archive plain",
            "borg extract ../sealed::archive ; sync -f .",
        ],
        ..TAR
    },
];

const USAGE: &str = "use: cargo xtask compare-trees [--directory DIR] [--tree toolchain|FILES]… [--rounds N] [--only NAME,…] [--program PATH]";
const FILE_LEN: usize = 1_024;
/// What a small file takes on most file systems.
const DISK_BLOCK: u64 = 4_096;
