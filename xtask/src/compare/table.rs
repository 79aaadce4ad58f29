//! Owns the Markdown tables of a comparison.
//! Measures nothing.

use super::contestant::Direction;
use super::group::{Group, Row};
use super::size::size_text;

/// The preface and the tables of a group: one a direction.
pub(crate) fn markdown(group: &Group) -> String {
    let plan = &group.plan;
    let versions: Vec<String> = group.rows.iter().filter_map(|row| row.contestant.version()).collect();
    let mut text = format!(
        "{} of {} in {}, in {}, up to {} rounds and {} seconds a row: {}.\n",
        size_text(plan.size),
        plan.kind.text(),
        plan.place.name(),
        plan.order.name(),
        plan.limits.rounds,
        plan.limits.patience.as_secs(),
        versions.join(", "),
    );
    for direction in Direction::BOTH {
        text.push('\n');
        text.push_str(&table(group, direction));
    }
    text
}

fn table(group: &Group, direction: Direction) -> String {
    let plan = &group.plan;
    let title = format!(
        "{}, {} of {}, {}",
        direction.name(),
        size_text(plan.size),
        plan.kind.text(),
        plan.place.name()
    );
    let mut text = format!(
        "| {title} | rounds | median s | fastest to slowest s | beside cp | CPU s | peak MiB | synced |"
    );
    text.push_str(match direction {
        Direction::Seal => " sealed beside plain |\n|---|---|---|---|---|---|---|---|---|\n",
        Direction::Restore => "\n|---|---|---|---|---|---|---|---|\n",
    });
    for row in &group.rows {
        text.push_str(&line(group, row, direction));
    }
    text
}

fn line(group: &Group, row: &Row, direction: Direction) -> String {
    let (rounds, way) = (row.rounds(direction), row.contestant.way(direction));
    let (fastest, slowest) = rounds.fastest_and_slowest();
    let mut line = format!(
        "| {} | {} | {:.3} | {:.3} to {:.3} | {:.2} | {:.2} | {:.0} | {} |",
        way.name,
        rounds.count(),
        rounds.wall().as_secs_f64(),
        fastest.as_secs_f64(),
        slowest.as_secs_f64(),
        rounds.paired(group.base().rounds(direction)),
        rounds.processors().as_secs_f64(),
        rounds.peak() as f64 / MIB,
        way.synced.name(),
    );
    if direction == Direction::Seal {
        let more = row.sealed_len as f64 / group.plan.size as f64 - 1.0;
        line.push_str(&format!(" {:+.3} % |", more * 100.0));
    }
    line.push('\n');
    line
}

const MIB: f64 = (1 << 20) as f64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::group::made_up;

    #[test]
    fn a_line_has_the_medians_and_their_ratio_to_the_first_row() {
        let group = made_up(&[("cp", &[400, 500, 450]), ("cofferdam", &[300, 360, 400])]);
        assert_eq!(
            line(&group, &group.rows[1], Direction::Restore),
            "| cofferdam restore | 3 | 0.360 | 0.300 to 0.400 | 0.80 | 0.72 | 4 | yes |\n"
        );
        assert_eq!(
            line(&group, &group.rows[0], Direction::Seal),
            "| cp | 3 | 0.450 | 0.400 to 0.500 | 1.00 | 0.90 | 5 | no | +0.100 % |\n"
        );
    }

    #[test]
    fn a_table_says_what_was_measured_where_and_has_a_line_a_row() {
        let group = made_up(&[("cp", &[400]), ("age", &[900])]);
        let seal = table(&group, Direction::Seal);
        let lines: Vec<&str> = seal.lines().collect();
        assert!(
            lines[0].starts_with("| seal, 1000 MiB of real bytes, /here (tmpfs) | rounds |"),
            "{}",
            lines[0]
        );
        assert_eq!(lines.len(), 4);
        let columns = lines.iter().map(|line| line.matches('|').count());
        assert_eq!(columns.collect::<Vec<_>>(), [10; 4]);
        assert!(table(&group, Direction::Restore).lines().all(|line| line.matches('|').count() == 9));
    }
}
