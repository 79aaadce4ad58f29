//! Owns the measuring of one command: a process of its own starts it, waits for it, and says what it took.
//! Knows no program that is measured, and compares nothing.
//!
//! The process between exists for the kernel's account of a process's children: it has no other children than the
//! command's. Its own memory is a floor of what it reports, since a command begins as a copy of it: 2 to 3 MiB.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// Ends one command of several.
pub(crate) const THEN: &str = ";";

/// What one run took, its children and theirs included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    /// User and system time of all threads together.
    pub(crate) processors: Duration,
    /// The largest resident set of any one process, in bytes.
    pub(crate) peak: u64,
}

impl Usage {
    /// Runs `command` in `folder` with no environment but `environment`, and measures it.
    ///
    /// The command is words, not a shell's text; [`THEN`] alone means something.
    ///
    /// # Errors
    /// The command cannot be started or ends with another status than 0: with what it wrote to standard error.
    pub(crate) fn of(
        command: &[String],
        folder: &Path,
        environment: &[(String, String)],
    ) -> Result<Usage, String> {
        let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let output = Command::new(own)
            .arg(TASK)
            .args(command)
            .current_dir(folder)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot start {}: {error}", command.join(" ")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("failed: {}\n{}", command.join(" "), said.trim_end()));
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        Usage::parse(printed.trim_end()).ok_or_else(|| format!("no measurement, but this: {printed}"))
    }

    /// What [`Usage::line`] made.
    fn parse(line: &str) -> Option<Usage> {
        let numbers = line.split('\t').map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let [wall, processors, peak] = numbers[..] else { return None };
        let processors = Duration::from_micros(processors);
        Some(Usage { wall: Duration::from_nanos(wall), processors, peak })
    }

    fn line(&self) -> String {
        format!("{}\t{}\t{}", self.wall.as_nanos(), self.processors.as_micros(), self.peak)
    }
}

/// `cargo xtask timed COMMAND…`: runs the commands, one behind the other, and prints what they took.
///
/// # Errors
/// No command; one that cannot be started or fails.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let mut commands = words.split(|word| *word == THEN).map(prepare).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    for command in &mut commands {
        let status = command.status().map_err(|error| format!("{command:?} cannot be started: {error}"))?;
        if !status.success() {
            return Err(format!("{command:?} ended with {status}"));
        }
    }
    let wall = start.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| format!("no account of it: {error}"))?;
    let processors = duration(usage.user_time()) + duration(usage.system_time());
    let peak = u64::try_from(usage.max_rss()).unwrap_or_default() * RSS_UNIT;
    println!("{}", Usage { wall, processors, peak }.line());
    Ok(())
}

/// A command whose standard output goes nowhere: this process's own is for the measurement.
fn prepare(words: &[&str]) -> Result<Command, String> {
    let [program, arguments @ ..] = words else { return Err("there is no command to measure".to_owned()) };
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null());
    Ok(command)
}

fn duration(time: TimeVal) -> Duration {
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec())) + Duration::from_micros(part(time.tv_usec()))
}

/// How the process between is called.
const TASK: &str = "timed";

/// Linux counts resident memory in KiB.
const RSS_UNIT: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_read_as_it_was_printed() {
        let usage = Usage {
            wall: Duration::from_nanos(1_500_000_007),
            processors: Duration::from_micros(2_000_030),
            peak: 8 << 20,
        };
        assert_eq!(usage.line(), "1500000007\t2000030\t8388608");
        assert_eq!(Usage::parse(&usage.line()), Some(usage));
    }

    #[test]
    fn what_is_no_measurement_is_not_taken_for_one() {
        for line in ["", "1\t2", "1\t2\t3\t4", "1\t2\tthree", "-1\t2\t3"] {
            assert_eq!(Usage::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_command_is_words() {
        let command = prepare(&["cp", "a b", "c"]).unwrap();
        assert_eq!(command.get_program(), "cp");
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["a b", "c"]);
        prepare(&[]).unwrap_err();
    }

    #[test]
    fn several_commands_run_up_to_the_first_that_fails() {
        run(&["true", ";", "true"]).unwrap();
        let message = run(&["false", ";", "no-such-program"]).unwrap_err();
        assert!(message.contains("\"false\" ended with"), "{message}");
        run(&["true", ";", "no-such-program"]).unwrap_err();
        run(&["true", ";"]).unwrap_err();
    }
}
