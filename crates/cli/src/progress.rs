//! Progress: a bar on a terminal, JSON lines where those were asked for, nothing elsewhere.
//! It is told how far a stream is, and counts nothing itself.

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cofferdam::{MemoryPressure, Observer, Progress, Warning};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use rustix::termios::tcgetwinsize;
use serde::Serialize;

use crate::interrupt;
use crate::report::{Form, Report, Volume};
use crate::service::Status;
use crate::size::Size;

/// Watches one stream. The bar leaves the terminal when this is dropped or finished.
pub(crate) struct Watch {
    report: Report,
    verb: &'static str,
    warnings: Warnings,
    /// Those that were said: a stream that is opened several times has the same ones each time.
    said: Mutex<Vec<String>>,
    shown: Shown,
    status: Status,
}

/// Whether warnings are said as they come. A check says them at its end, as its result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warnings {
    AtOnce,
    Kept,
}

enum Shown {
    Bar(Mutex<Option<ProgressBar>>),
    Lines(Mutex<Option<Instant>>),
    Nothing,
}

impl Watch {
    /// `verb` says what goes on: sealing, restoring.
    pub(crate) fn new(report: Report, verb: &'static str, warnings: Warnings) -> Arc<Watch> {
        let shown = match (report.volume, report.form) {
            (Volume::Quiet, _) => Shown::Nothing,
            (Volume::Normal, Form::Json) => Shown::Lines(Mutex::new(None)),
            (Volume::Normal, Form::Human) if io::stderr().is_terminal() => Shown::Bar(Mutex::new(None)),
            (Volume::Normal, Form::Human) => Shown::Nothing,
        };
        Arc::new(Watch { report, verb, warnings, said: Mutex::default(), shown, status: Status::new() })
    }

    /// The warnings that were said, in order.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the bar away, before anything else is said.
    pub(crate) fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown
            && let Some(bar) = bar.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            bar.finish_and_clear();
        }
    }

    /// What comes before the stream is read, or after it: nobody knows how long it takes.
    fn beside_the_stream(&self, show: impl FnOnce(&ProgressBar), line: impl FnOnce(Report)) {
        match &self.shown {
            Shown::Bar(bar) => {
                let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
                show(bar.get_or_insert_with(|| new_bar("proving what is kept", None, columns())));
            }
            Shown::Lines(said) => {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                if is_due(&mut said) {
                    line(self.report);
                }
            }
            Shown::Nothing => {}
        }
    }

    fn line(&self, said: &mut Option<Instant>, progress: &Progress) {
        if !is_due(said) {
            return;
        }
        self.report.progress(&ProgressRecord {
            event: "progress",
            committed: progress.committed,
            durable: progress.durable,
            total: progress.total,
            segments: progress.segments,
            bytes_per_second: progress.throughput.map(f64::round),
            eta_seconds: progress.eta.map(|eta| eta.as_secs_f64()),
        });
    }
}

impl Observer for Watch {
    fn progress(&self, progress: &Progress) {
        self.status.progressed(|| status_line(self.verb, progress));
        match &self.shown {
            Shown::Bar(bar) => {
                let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
                // Made with the first news, so that prompts have the terminal for themselves until then.
                let bar = bar.get_or_insert_with(|| new_bar(self.verb, progress.total, columns()));
                bar.set_message(pace(progress));
                bar.set_position(progress.committed);
            }
            Shown::Lines(said) => {
                self.line(&mut said.lock().unwrap_or_else(PoisonError::into_inner), progress);
            }
            Shown::Nothing => {}
        }
    }

    fn proving(&self, proved: u64) {
        self.status.progressed(|| format!("proving what is kept, {} so far", Size(proved)));
        self.beside_the_stream(
            |bar| bar.set_position(proved),
            |report| {
                report.progress(&ProvingRecord { event: "proving", proved });
            },
        );
    }

    /// What is taken is proved at once: the bar goes by that.
    fn seeding(&self, taken: u64) {
        self.status.progressed(|| format!("taking over the seed, {} so far", Size(taken)));
        self.beside_the_stream(
            |bar| bar.set_prefix("proving the seed"),
            |report| {
                report.progress(&SeedingRecord { event: "seeding", taken });
            },
        );
    }

    fn replaying(&self, written: u64) {
        self.status.progressed(|| format!("writing the device, {} so far", Size(written)));
        if let Shown::Bar(bar) = &self.shown
            && let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner)
            && let Some(before) = bar.take_if(|bar| bar.prefix() != REPLAYING)
        {
            // What went before has come to its end.
            before.finish_and_clear();
        }
        self.beside_the_stream(
            |bar| {
                bar.set_prefix(REPLAYING);
                bar.set_position(written);
            },
            |report| {
                report.progress(&ReplayingRecord { event: "replaying", written });
            },
        );
    }

    fn staging(&self) {
        interrupt::roll_back_from_now_on();
    }

    fn resumed(&self, bytes: u64, segments: u64) {
        // What follows is another bar, with an end.
        self.finish();
        self.report.resumed(bytes, segments);
    }

    fn seeded(&self, bytes: u64, segments: u64) {
        self.finish();
        self.report.seeded(bytes, segments);
    }

    fn memory_pressure(&self, pressure: MemoryPressure) {
        self.report.memory_pressure(pressure);
    }

    fn warning(&self, warning: &Warning) {
        if self.warnings == Warnings::Kept {
            return;
        }
        let warning = warning.to_string();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.contains(&warning) {
            self.report.warning(&warning);
            said.push(warning);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Whether it is time for another line, which this then is.
fn is_due(said: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    if said.is_some_and(|said| now.duration_since(said) < LINE_INTERVAL) {
        return false;
    }
    *said = Some(now);
    true
}

/// One line for who looks at a service: restoring 12 GiB of 40 GiB, 1.1 GiB/s, 26 seconds left.
fn status_line(verb: &str, progress: &Progress) -> String {
    let of_total = progress.total.map(|total| format!(" of {}", Size(total))).unwrap_or_default();
    let pace = pace(progress);
    let comma = if pace.is_empty() { "" } else { ", " };
    format!("{verb} {}{of_total}{comma}{pace}", Size(progress.committed))
}

/// How fast it goes, and for how long still.
fn pace(progress: &Progress) -> String {
    let throughput = progress.throughput.map(|bytes| format!("{}/s", Size(bytes as u64)));
    let eta = progress.eta.map(|eta| format!("{:#} left", HumanDuration(eta)));
    [throughput, eta].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Of the terminal, as it is now.
fn columns() -> u16 {
    tcgetwinsize(io::stderr()).map_or(COLUMNS_DEFAULT, |size| size.ws_col)
}

fn new_bar(verb: &'static str, total: Option<u64>, columns: u16) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let template = match (total, columns) {
        (None, _) => TEMPLATE_OPEN,
        (Some(_), COLUMNS_WIDE..) => TEMPLATE_WIDE,
        (Some(_), COLUMNS_NARROW..) => TEMPLATE_NARROW,
        (Some(_), _) => TEMPLATE_LEAST,
    };
    // The templates are constants: one that does not parse would show on the first run.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(verb);
    bar
}

#[derive(Serialize)]
struct ProgressRecord {
    event: &'static str,
    committed: u64,
    durable: u64,
    total: Option<u64>,
    segments: u64,
    bytes_per_second: Option<f64>,
    eta_seconds: Option<f64>,
}

#[derive(Serialize)]
struct ProvingRecord {
    event: &'static str,
    proved: u64,
}

#[derive(Serialize)]
struct SeedingRecord {
    event: &'static str,
    taken: u64,
}

#[derive(Serialize)]
struct ReplayingRecord {
    event: &'static str,
    written: u64,
}

const REPLAYING: &str = "writing the device";
/// The bar takes what the words leave: about 75 columns are theirs.
const TEMPLATE_WIDE: &str = "{prefix} [{wide_bar}] {percent:>3}% of {binary_total_bytes}  {msg}";
/// The words take what the bar leaves, and are cut.
const TEMPLATE_NARROW: &str = "{prefix} [{bar:10}] {percent:>3}%  {wide_msg}";
const TEMPLATE_LEAST: &str = "[{wide_bar}] {percent:>3}%";
const TEMPLATE_OPEN: &str = "{prefix} {spinner} {binary_bytes} in {elapsed}  {wide_msg}";
const COLUMNS_WIDE: u16 = 90;
const COLUMNS_NARROW: u16 = 36;
/// Where the terminal does not tell.
const COLUMNS_DEFAULT: u16 = 80;
/// JSON lines come no faster.
const LINE_INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal of so many columns that keeps what was written to it.
    #[derive(Clone, Debug)]
    struct Paper {
        columns: u16,
        written: Arc<Mutex<String>>,
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            self.columns
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.written.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            self.written.lock().unwrap().clear();
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a restore of 1 GiB shows at its half.
    fn shown_on(columns: u16) -> String {
        let paper = Paper { columns, written: Arc::default() };
        let bar = new_bar("restoring", Some(1 << 30), columns);
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(paper.clone())));
        bar.set_message("1.23 GiB/s, 12 seconds left");
        bar.set_position(1 << 29);
        bar.force_draw();
        let written = paper.written.lock().unwrap();
        written.clone()
    }

    #[test]
    fn there_is_a_bar_with_its_percentage_on_a_terminal_of_any_width() {
        for columns in [200, 100, 90, 89, 80, 60, 59, 40, 36, 35, 20, 12] {
            let shown = shown_on(columns);
            assert!(shown.contains("=>"), "{columns} columns: {shown:?}");
            assert!(shown.contains(" 50%"), "{columns} columns: {shown:?}");
            assert!(shown.trim_end().chars().count() <= columns.into(), "{columns} columns: {shown:?}");
        }
        assert!(shown_on(90).contains("1.23 GiB/s, 12 seconds left"));
        assert!(shown_on(60).contains("1.23 GiB/s"));
    }
}
