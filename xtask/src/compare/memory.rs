//! Owns the peak memory of sealing, verifying and restoring files of two sizes, beside its bars.
//! Knows no speed.

use std::path::{Path, PathBuf};

use super::input::Input;
use super::place::{Place, room_of};
use super::scratch::Scratch;
use super::size::{parse_size, size_text};
use super::timed::Usage;
use super::volume::{Keys, environment, remove};

/// Measures with files in the directory that `arguments` name, and gives the table as Markdown:
/// `[DIRECTORY [SIZE SIZE]]`. A bar that is missed stands in the table and is no error.
///
/// # Errors
/// Arguments that are not understood, too little room, a command that fails.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let (directory, sizes) = match arguments {
        [] => (std::env::temp_dir(), SIZES),
        [directory] => (PathBuf::from(directory), SIZES),
        [directory, small, large] => (PathBuf::from(directory), [parse_size(small)?, parse_size(large)?]),
        _ => return Err("use: cargo xtask memory [DIRECTORY [SIZE SIZE]]".to_owned()),
    };
    let cofferdam = super::build(root)?;
    Place::new(&directory)?.check_room(sizes[1] + room_of(sizes[1]))?;
    let scratch = Scratch::new(&directory)?;
    let keys = Keys::new(&cofferdam, scratch.path())?;
    let mut peaks = Vec::new();
    for size in sizes {
        peaks.push(peaks_of(&Input::new(size)?, &keys, &cofferdam, scratch.path())?);
    }
    Ok(table(sizes, [&peaks[0], &peaks[1]]))
}

/// A command that is measured, and how the table calls it.
struct Work {
    name: &'static str,
    command: &'static str,
}

const SEAL: Work = Work { name: "seal", command: "{cofferdam} seal --force -r {recipient} -o sealed plain" };

/// What is measured of a sealed file.
const OPENING: [Work; 3] = [
    Work { name: "restore", command: "{cofferdam} restore --force -i key.txt sealed restored" },
    Work { name: "verify -i", command: "{cofferdam} verify -i key.txt sealed" },
    Work { name: "verify, no key", command: "{cofferdam} verify sealed" },
];

/// A budget for memory, and what the whole process must stay under then.
struct Setting {
    options: &'static str,
    bar: u64,
}

const SETTINGS: [Setting; 2] =
    [Setting { options: " --memory 4MiB", bar: 12 << 20 }, Setting { options: "", bar: 48 << 20 }];

/// The peaks of all rows, in the order of [`rows`]. Two of the three files lie in `folder` at once, no more.
fn peaks_of(input: &Input, keys: &Keys, program: &Path, folder: &Path) -> Result<Vec<u64>, String> {
    let [plain, sealed, restored] = ["plain", "sealed", "restored"].map(|name| folder.join(name));
    input.write(&plain)?;
    let mut peaks = Vec::new();
    for setting in &SETTINGS {
        peaks.push(peak(&SEAL, setting, keys, program, folder)?);
    }
    remove(&plain)?;
    for work in &OPENING {
        for setting in &SETTINGS {
            peaks.push(peak(work, setting, keys, program, folder)?);
        }
    }
    input.check(&restored)?;
    remove(&restored)?;
    remove(&sealed)?;
    Ok(peaks)
}

/// The largest peak of some runs.
fn peak(work: &Work, setting: &Setting, keys: &Keys, program: &Path, folder: &Path) -> Result<u64, String> {
    eprintln!("memory: {}{}", work.name, setting.options);
    let command = keys.fill(&format!("{}{} --quiet", work.command, setting.options), program);
    let environment = environment(folder, &[]);
    let peaks = (0..ROUNDS).map(|_| Ok(Usage::of(&command, folder, &environment)?.peak));
    peaks.collect::<Result<Vec<_>, String>>().map(|peaks| peaks.into_iter().max().unwrap_or_default())
}

fn rows() -> impl Iterator<Item = (&'static Work, &'static Setting)> {
    [&SEAL].into_iter().chain(&OPENING).flat_map(|work| SETTINGS.iter().map(move |setting| (work, setting)))
}

fn table(sizes: [u64; 2], peaks: [&[u64]; 2]) -> String {
    let [small, large] = sizes.map(size_text);
    let mut text = format!(
        "Largest of {ROUNDS} runs, X25519 identity.\n\n\
         | peak resident memory, MiB | at {small} | at {large} | must stay under | does |\n|---|---|---|---|---|\n"
    );
    for ((work, setting), (&a, &b)) in rows().zip(peaks[0].iter().zip(peaks[1])) {
        let options = setting.options;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let does = verdict(a, b, setting.bar);
        let bar = setting.bar >> 20;
        text.push_str(&format!(
            "| `{}{options}` | {:.1} | {:.1} | {bar} | {does} |\n",
            work.name,
            mib(a),
            mib(b)
        ));
    }
    text
}

fn verdict(small: u64, large: u64, bar: u64) -> &'static str {
    if small >= bar || large >= bar {
        "no"
    } else if large * 100 > small * (100 + GROWTH_PERCENT_MAX) {
        "no: it grows"
    } else {
        "yes"
    }
}

const SIZES: [u64; 2] = [1 << 30, 4 << 30];
const ROUNDS: usize = 3;
/// The allocator's noise, not a growth.
const GROWTH_PERCENT_MAX: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_bar_is_missed_by_reaching_it_and_by_growing() {
        assert_eq!(verdict(8 * MIB, 8 * MIB, 12 * MIB), "yes");
        assert_eq!(verdict(8 * MIB, 12 * MIB, 12 * MIB), "no");
        assert_eq!(verdict(12 * MIB, 8 * MIB, 12 * MIB), "no");
        assert_eq!(verdict(10 * MIB, 11 * MIB, 12 * MIB), "yes");
        assert_eq!(verdict(10 * MIB, 11 * MIB + 1, 12 * MIB), "no: it grows");
    }

    #[test]
    fn the_table_has_a_line_a_command_and_a_budget() {
        let small: Vec<u64> = (0..8).map(|row| row * MIB).collect();
        let large = [2 * MIB; 8];
        let table = table([64 * MIB, 256 * MIB], [&small, &large]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[2],
            "| peak resident memory, MiB | at 64 MiB | at 256 MiB | must stay under | does |"
        );
        assert_eq!(lines[5], "| `seal` | 1.0 | 2.0 | 48 | no: it grows |");
        assert_eq!(lines[6], "| `restore --memory 4MiB` | 2.0 | 2.0 | 12 | yes |");
        assert_eq!(lines.len(), 12);
    }
}
