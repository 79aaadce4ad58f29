//! `--metrics-file`: what the library counts, in a file for Prometheus that is replaced now and then, and at the end.
//! It knows no figure by name; who counts says what it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{
    Counter, Gauge, GaugeFn as _, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};

use crate::failure::Failure;
use crate::prometheus::{self, Family, FamilyKind, Value};
use crate::report::Report;

/// From now on the library's figures are kept, and written to `path` each quarter of a minute, and by [`finish`].
///
/// # Errors
/// The file cannot be written: better known before the work than after.
pub(crate) fn begin(path: &Path, report: Report) -> Result<(), Failure> {
    let kept = KEPT.get_or_init(|| Kept { path: path.to_owned(), figures: Figures::default() });
    // A command begins once.
    if metrics::set_global_recorder(&kept.figures).is_ok() {
        cofferdam::describe_metrics();
        metrics::describe_gauge!(START, Unit::Seconds, "When the program began, in seconds since 1970.");
        metrics::gauge!(START).set(now());
        metrics::describe_gauge!(BUILD, "Which program it is: always 1.");
        metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    }
    kept.write()?;
    let repeat = move || {
        let mut is_written = true;
        loop {
            thread::sleep(INTERVAL);
            let written = kept.write();
            // Said once, until it goes again.
            if let (Err(failure), true) = (&written, is_written) {
                report.warning(&failure.message);
            }
            is_written = written.is_ok();
        }
    };
    // It ends with the program.
    let thread = thread::Builder::new().name("metrics-file".to_owned()).spawn(repeat);
    thread.map(drop).map_err(|error| Failure::io("no thread for the metrics file", error))
}

/// The command has ended with `exit_code`: the file says so, and has the last of all figures. That it cannot be written is a warning:
/// what the command was asked for has been done, or has failed, by now.
pub(crate) fn finish(exit_code: u8, report: Report) {
    let Some(kept) = KEPT.get() else { return };
    metrics::describe_gauge!(EXIT, "What the program exited with; 0 is success.");
    metrics::gauge!(EXIT).set(f64::from(exit_code));
    metrics::describe_gauge!(END, Unit::Seconds, "When the program ended, in seconds since 1970.");
    metrics::gauge!(END).set(now());
    if let Err(failure) = kept.write() {
        report.warning(&failure.message);
    }
}

static KEPT: OnceLock<Kept> = OnceLock::new();

struct Kept {
    path: PathBuf,
    figures: Figures,
}

impl Kept {
    fn write(&self) -> Result<(), Failure> {
        prometheus::write(&self.path, "written by cofferdam --metrics-file", &self.figures.families())
    }
}

/// All figures, by name.
#[derive(Default)]
struct Figures(Mutex<BTreeMap<String, Figure>>);

/// What one name has been told of.
#[derive(Default)]
struct Figure {
    help: String,
    series: BTreeMap<Labels, Cell>,
}

type Labels = Vec<(String, String)>;

/// Where a number is kept.
#[derive(Clone)]
enum Cell {
    Counter(Arc<AtomicU64>),
    /// The bits of a float.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

impl Figures {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Figure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, name: &KeyName, help: &str) {
        self.lock().entry(name.as_str().to_owned()).or_default().help = help.to_owned();
    }

    /// The number of `key`, made by `new` where it is told of for the first time.
    fn cell(&self, key: &Key, new: impl FnOnce() -> Cell) -> Cell {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
        let mut figures = self.lock();
        let figure = figures.entry(key.name().to_owned()).or_default();
        figure.series.entry(labels.collect()).or_insert_with(new).clone()
    }

    fn families(&self) -> Vec<Family> {
        self.lock().iter().filter_map(|(name, figure)| figure.family(name)).collect()
    }
}

impl Figure {
    /// Nothing where nobody has counted yet.
    fn family(&self, name: &str) -> Option<Family> {
        let kind = match self.series.values().next()? {
            Cell::Counter(_) => FamilyKind::Counter,
            // Seconds that only grow: the facade's counters are whole numbers.
            Cell::Gauge(_) if name.ends_with("_total") => FamilyKind::Counter,
            Cell::Gauge(_) => FamilyKind::Gauge,
            Cell::Histogram(_) => FamilyKind::Histogram,
        };
        let mut family = Family::new(kind, name, &self.help);
        for (labels, cell) in &self.series {
            let labels: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            match cell {
                Cell::Counter(count) => family.sample(&labels, count.load(Ordering::Relaxed) as f64),
                Cell::Gauge(bits) => family.sample(&labels, f64::from_bits(bits.load(Ordering::Relaxed))),
                Cell::Histogram(buckets) => buckets.samples(&mut family, &labels),
            }
        }
        Some(family)
    }
}

impl Recorder for &'static Figures {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.cell(key, || Cell::Counter(Arc::default())) {
            Cell::Counter(count) => Counter::from_arc(count),
            Cell::Gauge(_) | Cell::Histogram(_) => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.cell(key, || Cell::Gauge(Arc::default())) {
            Cell::Gauge(bits) => Gauge::from_arc(bits),
            Cell::Counter(_) | Cell::Histogram(_) => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.cell(key, || Cell::Histogram(Arc::default())) {
            Cell::Histogram(buckets) => Histogram::from_arc(buckets),
            Cell::Counter(_) | Cell::Gauge(_) => Histogram::noop(),
        }
    }
}

/// How many values were at most so much, and their sum.
#[derive(Default)]
struct Buckets {
    /// Of each bound those above the one before it; the last are above all.
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// The bits of a float.
    sum: AtomicU64,
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let bucket = BOUNDS.iter().position(|bound| value <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.increment(value);
    }
}

impl Buckets {
    fn samples(&self, family: &mut Family, labels: &[(&str, &str)]) {
        let mut count = 0;
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        for (bound, of_bucket) in bounds.zip(&self.counts) {
            count += of_bucket.load(Ordering::Relaxed);
            let bound = Value(bound).to_string();
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            family.sample_of("_bucket", &labels, count as f64);
        }
        family.sample_of("_sum", labels, f64::from_bits(self.sum.load(Ordering::Relaxed)));
        family.sample_of("_count", labels, count as f64);
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// How often the file is written: as often as Prometheus usually asks.
const INTERVAL: Duration = Duration::from_secs(15);
/// Seconds: a segment takes from a millisecond to minutes.
const BOUNDS: [f64; 11] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];
const START: &str = "cofferdam_start_time_seconds";
const END: &str = "cofferdam_end_time_seconds";
const EXIT: &str = "cofferdam_exit_code";
const BUILD: &str = "cofferdam_build_info";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(figures: &Figures) -> String {
        figures.families().iter().map(Family::to_string).collect()
    }

    /// The expected text follows https://prometheus.io/docs/instrumenting/exposition_formats/.
    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let figures: &'static Figures = Box::leak(Box::default());
        metrics::with_local_recorder(&figures, || {
            metrics::describe_counter!("a_bytes_total", Unit::Bytes, "Bytes.");
            metrics::counter!("a_bytes_total", "operation" => "open").increment(7);
            metrics::counter!("a_bytes_total", "operation" => "open").increment(1 << 40);
            metrics::counter!("a_bytes_total", "operation" => "seal").increment(1);
            metrics::gauge!("b_seconds_total").increment(0.25);
            metrics::gauge!("c_bytes").set(5.0);
            metrics::gauge!("c_bytes").set(3.0);
            for value in [0.002, 0.003, 5.0, 1e9] {
                metrics::histogram!("d_seconds").record(value);
            }
            metrics::describe_gauge!("e", "Never set.");
        });
        assert_eq!(text(figures), EXPECTED);
    }

    const EXPECTED: &str = "\
# HELP a_bytes_total Bytes.
# TYPE a_bytes_total counter
a_bytes_total{operation=\"open\"} 1099511627783
a_bytes_total{operation=\"seal\"} 1
# HELP b_seconds_total 
# TYPE b_seconds_total counter
b_seconds_total 0.25
# HELP c_bytes 
# TYPE c_bytes gauge
c_bytes 3
# HELP d_seconds 
# TYPE d_seconds histogram
d_seconds_bucket{le=\"0.001\"} 0
d_seconds_bucket{le=\"0.003\"} 2
d_seconds_bucket{le=\"0.01\"} 2
d_seconds_bucket{le=\"0.03\"} 2
d_seconds_bucket{le=\"0.1\"} 2
d_seconds_bucket{le=\"0.3\"} 2
d_seconds_bucket{le=\"1\"} 2
d_seconds_bucket{le=\"3\"} 2
d_seconds_bucket{le=\"10\"} 3
d_seconds_bucket{le=\"30\"} 3
d_seconds_bucket{le=\"100\"} 3
d_seconds_bucket{le=\"+Inf\"} 4
d_seconds_sum 1000000005.005
d_seconds_count 4
";

    /// A name that somebody else uses in another way spoils nothing.
    #[test]
    fn a_name_stays_what_it_was_first() {
        let figures: &'static Figures = Box::leak(Box::default());
        metrics::with_local_recorder(&figures, || {
            metrics::counter!("a").increment(2);
            metrics::gauge!("a").set(9.0);
            metrics::histogram!("a").record(9.0);
        });
        assert!(text(figures).ends_with("a 2\n"), "{}", text(figures));
    }
}
