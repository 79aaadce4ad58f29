//! Owns one comparison: all contestants on one input of one size in one place, in turn or in blocks.
//! Knows no program, and prints no table.

use std::path::{Path, PathBuf};

use super::contestant::{Contestant, Direction};
use super::fixture::{Fixture, Keys, remove};
use super::input::{Input, Kind};
use super::place::{Place, room_of};
use super::rounds::{Limits, Rounds};
use super::scratch::Scratch;
use super::size::size_text;

/// How the runs of the contestants follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each contestant does all its runs before the next: A A B B.
    Blocks,
    /// Every round runs every contestant once: A B A B.
    Turns,
}

impl Order {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Order::Blocks => "blocks",
            Order::Turns => "turns",
        }
    }
}

/// What is compared, and how.
pub(crate) struct Plan {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    /// Bytes of plaintext.
    pub(crate) size: u64,
    pub(crate) order: Order,
    pub(crate) limits: Limits,
}

/// What came of it, one row a contestant; the first is what the others stand beside.
pub(crate) struct Group {
    pub(crate) plan: Plan,
    pub(crate) rows: Vec<Row>,
}

/// The figures of one contestant.
pub(crate) struct Row {
    pub(crate) contestant: &'static Contestant,
    seal: Rounds,
    restore: Rounds,
    /// Bytes of the sealed form.
    pub(crate) sealed_len: u64,
}

impl Row {
    fn new(contestant: &'static Contestant, limits: Limits) -> Row {
        let [seal, restore] = [Rounds::new(limits), Rounds::new(limits)];
        Row { contestant, seal, restore, sealed_len: 0 }
    }

    pub(crate) fn rounds(&self, direction: Direction) -> &Rounds {
        match direction {
            Direction::Seal => &self.seal,
            Direction::Restore => &self.restore,
        }
    }

    fn rounds_mut(&mut self, direction: Direction) -> &mut Rounds {
        match direction {
            Direction::Seal => &mut self.seal,
            Direction::Restore => &mut self.restore,
        }
    }

    /// One run more.
    fn run(&mut self, fixture: &Fixture<'_>, direction: Direction) -> Result<(), String> {
        let usage = fixture.run(direction)?;
        self.rounds_mut(direction).add(usage);
        Ok(())
    }
}

impl Group {
    /// Compares `contestants` with the program at `cofferdam`.
    ///
    /// # Errors
    /// Too little room; a contestant that fails, or that restores other bytes than it was given.
    pub(crate) fn measure(
        plan: Plan,
        contestants: &[&'static Contestant],
        cofferdam: &Path,
    ) -> Result<Group, String> {
        plan.place.check_room(plan.room_needed(contestants.len()))?;
        let scratch = Scratch::new(&plan.place.directory)?;
        let keys = Keys::new(cofferdam, scratch.path())?;
        let volume = Volume { plan: &plan, input: Input::new(plan.kind, plan.size)?, keys, scratch };
        let rows = match plan.order {
            Order::Blocks => volume.in_blocks(contestants)?,
            Order::Turns => volume.in_turns(contestants)?,
        };
        drop(volume);
        Ok(Group { plan, rows })
    }

    /// The row that the others stand beside.
    pub(crate) fn base(&self) -> &Row {
        &self.rows[0]
    }
}

impl Plan {
    /// Bytes that lie in the place at once, at most: in blocks an input and an output, in turns everything sealed.
    fn room_needed(&self, contestants: usize) -> u64 {
        let files = match self.order {
            Order::Blocks => 2,
            Order::Turns => contestants as u64 + 2,
        };
        files * room_of(self.size) + ROOM_BASE
    }

    /// Where memory cannot hold the plaintext beside the other two files, it is made again when it is needed.
    fn plain_stays(&self) -> bool {
        self.order == Order::Turns || 3 * room_of(self.size) + ROOM_BASE <= self.place.room_in_memory
    }
}

/// Where a group is measured.
struct Volume<'a> {
    plan: &'a Plan,
    input: Input,
    keys: Keys,
    scratch: Scratch,
}

impl Volume<'_> {
    fn in_blocks(&self, contestants: &[&'static Contestant]) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        for contestant in contestants {
            self.say(contestant);
            let mut row = Row::new(contestant, self.plan.limits);
            let fixture = self.fixture(contestant)?;
            while row.seal.want_more() {
                row.run(&fixture, Direction::Seal)?;
            }
            row.sealed_len = fixture.sealed_len()?;
            fixture.give_back()?;
            if !self.plan.plain_stays() {
                remove(&self.plain())?;
            }
            while row.restore.want_more() {
                row.run(&fixture, Direction::Restore)?;
            }
            self.check(&fixture)?;
            fixture.clear()?;
            rows.push(row);
        }
        Ok(rows)
    }

    fn in_turns(&self, contestants: &[&'static Contestant]) -> Result<Vec<Row>, String> {
        let scenes = contestants.iter().map(|one| self.fixture(one)).collect::<Result<Vec<_>, _>>()?;
        let mut rows: Vec<Row> = contestants.iter().map(|one| Row::new(one, self.plan.limits)).collect();
        for direction in Direction::BOTH {
            while rows.iter().any(|row| row.rounds(direction).want_more()) {
                eprintln!("{}: a round of {}", size_text(self.plan.size), direction.name());
                let wanting =
                    rows.iter_mut().zip(&scenes).filter(|(row, _)| row.rounds(direction).want_more());
                for (row, fixture) in wanting {
                    row.run(fixture, direction)?;
                    if direction == Direction::Restore && !row.restore.want_more() {
                        self.check(fixture)?;
                    }
                    fixture.forget_restored()?;
                }
            }
        }
        for (row, fixture) in rows.iter_mut().zip(&scenes) {
            row.sealed_len = fixture.sealed_len()?;
        }
        Ok(rows)
    }

    /// A contestant's folder, with the plaintext in it.
    fn fixture(&self, contestant: &'static Contestant) -> Result<Fixture<'_>, String> {
        if !self.plain().exists() {
            self.input.write(&self.plain())?;
        }
        let fixture = Fixture::new(contestant, &self.keys, self.scratch.path())?;
        fixture.take(&self.plain())?;
        Ok(fixture)
    }

    fn plain(&self) -> PathBuf {
        self.scratch.path().join("plain")
    }

    fn check(&self, fixture: &Fixture<'_>) -> Result<(), String> {
        let wrong = |what| format!("{} does not restore what it sealed: {what}", fixture.contestant.name);
        self.input.check(&fixture.restored()).map_err(wrong)
    }

    fn say(&self, contestant: &Contestant) {
        let Plan { place, kind, size, .. } = self.plan;
        eprintln!("{}, {} of {}: {}", place.name(), size_text(*size), kind.text(), contestant.name);
    }
}

/// What the contestants take whatever the size: caches, indexes, temporary files.
const ROOM_BASE: u64 = 128 << 20;

/// A group of made-up wall times in milliseconds, in both directions, on 1000 MiB sealed with 1 MiB more.
#[cfg(test)]
pub(crate) fn made_up(rows: &[(&str, &[u64])]) -> Group {
    use std::time::Duration;

    let size = 1000 << 20;
    let place =
        Place { directory: "/here".into(), file_system: "tmpfs".into(), room: size, room_in_memory: size };
    let limits = Limits { rounds: 5, patience: Duration::from_secs(15) };
    let plan = Plan { place, kind: Kind::Real, size, order: Order::Blocks, limits };
    let row = |(name, times): &(&str, &[u64])| Row {
        contestant: super::contestants::find(name).unwrap(),
        seal: super::rounds::made_up(times),
        restore: super::rounds::made_up(times),
        sealed_len: size + (1 << 20),
    };
    Group { plan, rows: rows.iter().map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn plan(size: u64, room: u64, order: Order) -> Plan {
        let mut plan = made_up(&[("cp", &[1])]).plan;
        (plan.size, plan.order) = (size, order);
        (plan.place.room, plan.place.room_in_memory) = (room, room);
        plan
    }

    #[test]
    fn in_blocks_an_input_and_an_output_have_room_and_in_turns_everything_sealed_as_well() {
        assert_eq!(plan(16 * GIB, 0, Order::Blocks).room_needed(14), 34 * GIB + (128 << 20));
        assert_eq!(plan(16 * GIB, 0, Order::Turns).room_needed(14), 16 * 17 * GIB + (128 << 20));
    }

    #[test]
    fn the_plaintext_stays_where_three_files_have_room_in_memory() {
        assert!(plan(GIB, 4 * GIB, Order::Blocks).plain_stays());
        assert!(!plan(8 * GIB, 22 * GIB, Order::Blocks).plain_stays());
        assert!(plan(8 * GIB, 22 * GIB, Order::Turns).plain_stays());
    }
}
