//! Signals: the first one asks the engine to stop and roll back, a second one ends the process.
//! It knows no command, only whether there is anything to roll back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use std::{fs, process, thread};

use cofferdam::CancelToken;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::report::Report;
use crate::terminal;

/// What a first signal finds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stake {
    /// A staging file, or a scratch directory: the command rolls back, however long the running system calls take.
    Rollback,
    /// Nothing: what has been written is out, or is safe to leave as it is. A blocked call is not waited for.
    Nothing,
}

/// Takes over SIGINT, SIGTERM and SIGHUP for the rest of the process. A write beyond `ulimit -f`, a signal as well,
/// becomes an error like any other.
pub(crate) fn install(stake: Stake, report: Report) -> Result<CancelToken, Failure> {
    signal_hook::flag::register(SIGXFSZ, Arc::default())
        .map_err(|error| Failure::io("signals could not be set up", error))?;
    let mut wanted = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals =
        Signals::new(wanted).map_err(|error| Failure::io("signals could not be set up", error))?;
    let token = CancelToken::new();
    let cancel = token.clone();
    let watch = move || {
        for signal in signals.forever() {
            stop(signal, &cancel, stake, report);
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map_err(|error| Failure::io("no thread for signals", error))?;
    Ok(token)
}

/// The exit code of the signal that came: 128 and its number.
pub(crate) fn exit_code() -> u8 {
    // Partner: the store in `stop`. The token's own ordering carries it to whoever saw the cancellation.
    CODE.load(Ordering::Relaxed)
}

fn stop(signal: i32, cancel: &CancelToken, stake: Stake, report: Report) {
    // Partner: the load in `exit_code`.
    CODE.store(u8::try_from(128 + signal).unwrap_or(EXIT_INTERRUPTED), Ordering::Relaxed);
    // Prompts come before anything is written, and nothing else would end them.
    if terminal::leave_prompt() {
        report.failure(&Failure::interrupted());
        process::exit(i32::from(exit_code()));
    }
    if cancel.is_cancelled() {
        process::exit(i32::from(exit_code()));
    }
    cancel.cancel();
    if stake == Stake::Nothing {
        thread::sleep(GRACE);
        report.failure(&Failure::interrupted());
        process::exit(i32::from(exit_code()));
    }
}

/// Whether the process was started with `signal` ignored, as `nohup` does with SIGHUP: then it stays so.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Exit code of SIGINT.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;
/// How long a command with nothing at stake has to end by itself.
const GRACE: Duration = Duration::from_millis(500);

static CODE: AtomicU8 = AtomicU8::new(EXIT_INTERRUPTED);
