//! Owns one comparison as a Markdown table a direction: each contestant beside `cp`, in turn.
//! Knows no program.

use std::path::Path;

use harness::{Effort, Summary, ratio};

use super::contestant::{CP, Contestant, Direction};
use super::place::Place;
use super::size::size_text;
use super::timed::Usage;
use super::volume::{Volume, in_turn, walls};

/// Compares `contestants` on `size` bytes in `place`. `program` is ours.
///
/// # Errors
/// Too little room; a contestant that fails, or that restores other bytes than it was given.
pub(crate) fn compare(
    place: &Place,
    size: u64,
    contestants: &[&'static Contestant],
    program: &Path,
    effort: Effort,
) -> Result<String, String> {
    let volume = Volume::new(place, program, size, FILES)?;
    let cp = volume.fixture("cp", &CP, program)?;
    let mut rows: [Vec<Row>; 2] = Default::default();
    for contestant in contestants {
        eprintln!("{}, {}: {}", place.name(), size_text(size), contestant.name);
        let fixture = volume.fixture(contestant.name, contestant, program)?;
        for direction in Direction::BOTH {
            let [other, ours] =
                in_turn(&[&cp, &fixture], direction, effort, 1)?.try_into().expect("two lists");
            let sealed = fixture.sealed_len()? as f64 / size as f64 - 1.0;
            rows[direction as usize].push(Row { contestant, ours, other, sealed });
        }
        fixture.run(Direction::Restore)?;
        volume.check(&fixture)?;
        fixture.clear()?;
    }
    let versions = contestants.iter().filter_map(|one| one.version()).collect::<Vec<_>>().join(", ");
    let seconds = effort.patience.as_secs();
    let (of, rounds) = (format!("{} of real bytes, {}", size_text(size), place.name()), effort.rounds);
    let mut text = format!("{of}, up to {rounds} rounds and {seconds} seconds a row: {versions}.\n");
    for direction in Direction::BOTH {
        text.push_str(&table(&of, direction, &rows[direction as usize]));
    }
    Ok(text)
}

/// A contestant's samples and those of `cp` beside it.
struct Row {
    contestant: &'static Contestant,
    ours: Vec<Usage>,
    other: Vec<Usage>,
    /// What the sealed form has beyond its plaintext, beside that.
    sealed: f64,
}

fn table(of: &str, direction: Direction, rows: &[Row]) -> String {
    let mut text = format!(
        "\n| {}, {of} | rounds | median s | fastest to slowest s | beside cp | quartiles | CPU s | peak MiB | synced | sealed \
         beside plain |\n|---|---|---|---|---|---|---|---|---|---|\n",
        direction.name()
    );
    let all_of_cp: Vec<Usage> = rows.iter().flat_map(|row| row.other.iter().copied()).collect();
    if !all_of_cp.is_empty() {
        text.push_str(&line(&CP, direction, &all_of_cp, &all_of_cp, 0.0));
    }
    for row in rows {
        text.push_str(&line(row.contestant, direction, &row.ours, &row.other, row.sealed));
    }
    text
}

fn line(one: &Contestant, direction: Direction, ours: &[Usage], cp: &[Usage], sealed: f64) -> String {
    let Summary { median, range: [fastest, slowest], .. } = Summary::of_times(&walls(ours));
    let beside = ratio(&walls(ours), &walls(cp));
    let processors = Summary::of(ours.iter().map(|sample| sample.processors.as_secs_f64())).median;
    let peak = ours.iter().map(|sample| sample.peak).max().unwrap_or_default() as f64 / f64::from(1 << 20);
    format!(
        "| {} | {} | {median:.3} | {fastest:.3} to {slowest:.3} | {:.2} | {:.0} % | {processors:.2} | {peak:.0} | {} | {:+.3} % |\n",
        one.title(direction),
        ours.len(),
        beside.median,
        beside.spread() * 100.0,
        if one.is_synced(direction) { "yes" } else { "no" },
        sealed * 100.0,
    )
}

/// A plaintext, two sealed forms, one of them restored.
const FILES: u64 = 4;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compare::contestant::find;

    fn samples(milliseconds: &[u64]) -> Vec<Usage> {
        let usage = |wall| Usage { wall, processors: 2 * wall, peak: 4 << 20 };
        milliseconds.iter().copied().map(Duration::from_millis).map(usage).collect()
    }

    #[test]
    fn a_line_has_the_medians_and_the_ratio_to_cp_round_by_round() {
        let ours = find("cofferdam").unwrap();
        assert_eq!(
            line(ours, Direction::Restore, &samples(&[300, 360, 400]), &samples(&[400, 450, 500]), 0.001),
            "| cofferdam restore | 3 | 0.360 | 0.300 to 0.400 | 0.80 | 6 % | 0.72 | 4 | yes | +0.100 % |\n"
        );
    }

    #[test]
    fn a_table_begins_with_all_rounds_of_cp_and_has_a_line_a_row() {
        let [age, sync] = ["age", "cp-sync"].map(|name| find(name).unwrap());
        let row =
            |contestant, other| Row { contestant, ours: samples(&[900]), other: samples(other), sealed: 0.0 };
        let table = table("1 GiB", Direction::Seal, &[row(age, &[400]), row(sync, &[420])]);
        let lines: Vec<&str> = table.trim_start().lines().collect();
        assert!(lines[0].starts_with("| seal, 1 GiB | rounds |"), "{}", lines[0]);
        assert!(lines[2].starts_with("| cp | 2 | 0.400 | 0.400 to 0.420 | 1.00 |"), "{}", lines[2]);
        assert_eq!(lines.iter().map(|line| line.matches('|').count()).collect::<Vec<_>>(), [11; 5]);
    }
}
