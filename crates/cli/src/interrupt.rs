//! Signals: the first one ends the process, or asks the engine to stop and roll back; a second one ends it in any case.
//! It knows no command, only whether there is anything to roll back.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use cofferdam::{CancelToken, ErrorKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::failure::Failure;
use crate::report::{self, Report};
use crate::terminal;
use crate::url::Url;

/// What a first signal does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnSignal {
    /// Nothing is at stake: what has been written is out, or is safe to leave as it is. A blocked call is not waited for.
    Exit,
    /// There is a staging file, or a scratch directory: the command rolls back, however long the running system calls take.
    RollBack,
}

/// Takes over SIGINT, SIGTERM, SIGHUP and SIGQUIT for the rest of the process, except those that it was started to ignore. A
/// write beyond `ulimit -f`, a signal as well, becomes an error like any other.
///
/// A first signal ends the process, until [`roll_back_from_now_on`].
pub(crate) fn install(report: Report) -> Result<CancelToken, Failure> {
    signal_hook::flag::register(SIGXFSZ, Arc::default())
        .map_err(|error| Failure::io("signals could not be set up", error))?;
    let ignored = ignored_signals();
    let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT].into_iter().filter(|signal| !is_in(ignored, *signal));
    let mut signals =
        Signals::new(wanted).map_err(|error| Failure::io("signals could not be set up", error))?;
    let token = CancelToken::new();
    let cancel = token.clone();
    let watch = move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            if signal != SIGQUIT && first.is_some_and(|first| first.elapsed() < ECHO) {
                continue;
            }
            stop(signal, &cancel, report);
            first.get_or_insert_with(Instant::now);
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map_err(|error| Failure::io("no thread for signals", error))?;
    Ok(token)
}

/// Called before the first file is made that a signal must not leave behind. Keys, recipients and passphrases are read
/// before: whatever they come from may never answer, and nothing is lost with them.
pub(crate) fn roll_back_from_now_on() {
    *on_signal() = OnSignal::RollBack;
}

/// Called where the target is not replaced as a whole, before it is begun.
pub(crate) fn writes_in_place() {
    // Partner: the load in `tell_half_published`.
    IN_PLACE.store(true, Ordering::Relaxed);
}

/// Called where the target is an object in a store, before it is looked at.
#[cfg(feature = "remote")]
pub(crate) fn writes_object(url: &Url) {
    // A process writes one.
    let _ = OBJECT.set(url.clone());
}

/// Called where what is published is nobody's target: a scratch directory is what there is to lose.
pub(crate) fn writes_scratch_alone() {
    roll_back_from_now_on();
    // Partner: the load in `stop`.
    SCRATCH_ALONE.store(true, Ordering::Relaxed);
}

/// The exit code of the signal that came: 128 and its number.
pub(crate) fn exit_code() -> u8 {
    // Partner: the store in `stop`. The token's own ordering carries it to whoever saw the cancellation.
    CODE.load(Ordering::Relaxed)
}

fn stop(signal: i32, cancel: &CancelToken, report: Report) {
    // Partner: the load in `exit_code`.
    CODE.store(u8::try_from(128 + signal).unwrap_or(EXIT_INTERRUPTED), Ordering::Relaxed);
    // Prompts come before anything is written, and nothing else would end them.
    let was_asking = terminal::leave_prompt();
    if signal == SIGQUIT {
        // It asks for an end on the spot, with a core file; all that it must not take along is the terminal's echo.
        let _ = emulate_default_handler(signal);
    }
    if was_asking {
        end(report);
    }
    if cancel.is_cancelled() {
        // Partner: the store in `writes_scratch_alone`.
        let has_target = !SCRATCH_ALONE.load(Ordering::Relaxed);
        exit(match (has_target && cancel.is_publishing(), OBJECT.get()) {
            (true, Some(object)) => tell_half_uploaded(object, report),
            (true, None) => tell_half_published(report),
            (false, _) => exit_code(),
        });
    }
    cancel.cancel();
    if *on_signal() == OnSignal::RollBack {
        return;
    }
    thread::sleep(GRACE);
    // Held until the process is gone: no staging file is begun in between.
    let on_signal = on_signal();
    if *on_signal == OnSignal::Exit {
        end(report);
    }
}

/// The signals' own codes say that the target is as it was. Here nobody can: it is being renamed, or synced.
fn tell_half_published(report: Report) -> u8 {
    // Partner: the store in `writes_in_place`, on the thread that began to publish after it.
    let (what, advice) = match IN_PLACE.load(Ordering::Relaxed) {
        true => (
            "interrupted while the device was being written: it is a mixture of old and new, and all of the stream is in the log",
            "Run the same command again: it finishes. Keep the log and the sealed stream until then.",
        ),
        false => (
            "interrupted while the target was being put in place: it is the old one or the new one, whole",
            "Run the same command again: it finds out which, and finishes.",
        ),
    };
    let failure = Failure::new(ErrorKind::DurabilityUnknown, what).advise(advice);
    report.failure(&failure);
    failure.exit_code()
}

/// The same of an object: a store may do in a minute what it was asked for.
fn tell_half_uploaded(object: &Url, report: Report) -> u8 {
    let what = format!(
        "interrupted while {object} was being put in place: there is what was there before, if anything, or all of the new object, or \
         the store still puts that there"
    );
    let failure = Failure::new(ErrorKind::DurabilityUnknown, what);
    let failure = failure.advise("Look at the object before you run this again: an upload does not resume.");
    let failure = object.uploads_prefix().into_iter().fold(failure, |failure, prefix| {
        failure.advise_also(&format!("`cofferdam uploads {prefix}` lists what may be left of it."))
    });
    report.failure(&failure);
    failure.exit_code()
}

fn end(report: Report) -> ! {
    report.failure(&Failure::interrupted());
    exit(exit_code())
}

/// From the thread of signals: what the others hold is left as a crash would leave it, and the next run finds it.
#[expect(
    clippy::disallowed_methods,
    reason = "a second signal, or one while nothing is held, ends all threads"
)]
fn exit(code: u8) -> ! {
    report::flush();
    process::exit(i32::from(code))
}

fn on_signal() -> MutexGuard<'static, OnSignal> {
    ON_SIGNAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Signals that the process was started to ignore, as a bit mask: what `nohup` does with SIGHUP, and a shell with SIGINT and
/// SIGQUIT of what it runs in the background. They stay so.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

fn is_in(mask: u64, signal: i32) -> bool {
    mask >> (signal - 1) & 1 == 1
}

/// Exit code of SIGINT.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;
/// How long a command with nothing at stake has to end by itself.
const GRACE: Duration = Duration::from_millis(500);

/// What comes so soon after the first signal is that one again. `timeout` sends its own to the program and to the whole group,
/// and a wrapper may pass on what the terminal has sent to all; nobody has changed his mind.
const ECHO: Duration = Duration::from_millis(200);

static CODE: AtomicU8 = AtomicU8::new(EXIT_INTERRUPTED);
static IN_PLACE: AtomicBool = AtomicBool::new(false);
static OBJECT: OnceLock<Url> = OnceLock::new();
static SCRATCH_ALONE: AtomicBool = AtomicBool::new(false);
static ON_SIGNAL: Mutex<OnSignal> = Mutex::new(OnSignal::Exit);
