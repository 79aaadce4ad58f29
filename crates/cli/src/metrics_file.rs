//! `--metrics-file`: what the library counts, in a file for Prometheus that is replaced now and then, and at the end.
//! It knows no metric by name; whoever counts describes it.

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
use crate::prometheus::{self, Family, FamilyKind, StagedMetrics, Value};
use crate::report::Report;

/// What a run is, as its metrics say.
#[derive(Clone, Copy)]
pub(crate) struct RunInfo {
    command: &'static str,
    authenticity: Option<Authenticity>,
}

/// Whether what a run counts as processed or committed was authentic.
#[derive(Clone, Copy)]
enum Authenticity {
    /// It is to be opened with keys, which have not been read yet: nothing has been opened.
    Unknown,
    Checked,
    /// Digests alone are compared.
    None,
}

impl RunInfo {
    /// A command that opens nothing.
    pub(crate) fn of(command: &'static str) -> RunInfo {
        RunInfo { command, authenticity: None }
    }

    /// With keys. Once they have been read, [`has_keys`] is to be called.
    pub(crate) fn opening(command: &'static str) -> RunInfo {
        RunInfo { command, authenticity: Some(Authenticity::Unknown) }
    }

    /// Without any key.
    pub(crate) fn without_key(command: &'static str) -> RunInfo {
        RunInfo { command, authenticity: Some(Authenticity::None) }
    }

    fn family(self, run: &str) -> Family {
        let help = "Which command it was, and whether a key proved what it opened: always 1.";
        let mut family = Family::new(FamilyKind::Gauge, RUN, help);
        let authenticity = self.authenticity.map(|authenticity| match authenticity {
            Authenticity::Unknown => "unknown",
            Authenticity::Checked => "checked",
            Authenticity::None => "none",
        });
        let authenticity = authenticity.map(|authenticity| ("authenticity", authenticity));
        let labels: Vec<_> =
            [("run", run), ("command", self.command)].into_iter().chain(authenticity).collect();
        family.sample(&labels, 1.0);
        family
    }
}

/// From now on the library's metrics are kept, and written to `path` each quarter of a minute, and by [`finish`]. No other run writes
/// them there meanwhile.
///
/// # Errors
/// The file cannot be written, or another run writes it: better known before the work than after.
pub(crate) fn begin(path: &Path, run: RunInfo, report: Report) -> Result<(), Failure> {
    let state = Mutex::new(State::Running(None));
    let registry =
        Registry { run: name_of_run(path), info: Mutex::new(Some(run)), metrics: Mutex::default() };
    let file = FILE.get_or_init(|| MetricsFile { path: path.to_owned(), registry, state });
    // A command begins once.
    if metrics::set_global_recorder(&file.registry).is_ok() {
        cofferdam::describe_metrics();
        metrics::describe_gauge!(START, Unit::Seconds, "When the program began, in seconds since 1970.");
        metrics::gauge!(START).set(now());
        metrics::describe_gauge!(BUILD, "Which program it is: always 1.");
        metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    }
    if let Err(failure) = file.write() {
        *file.lock() = State::Finished;
        return Err(failure);
    }
    // It ends with the program.
    let thread =
        thread::Builder::new().name("metrics-file".to_owned()).spawn(move || file.write_repeatedly(report));
    thread.map(drop).map_err(|error| Failure::io("no thread for the metrics file", error))
}

/// The command has ended with `exit_code`: the file says so, and has the last of all metrics. That it cannot be written is a warning:
/// the command has done, by now, what it was asked for, or has failed.
pub(crate) fn finish(exit_code: u8, report: Report) {
    let Some(file) = FILE.get() else { return };
    metrics::describe_gauge!(EXIT, "What the program exited with; 0 is success.");
    metrics::gauge!(EXIT).set(f64::from(exit_code));
    metrics::describe_gauge!(END, Unit::Seconds, "When the program ended, in seconds since 1970.");
    metrics::gauge!(END).set(now());
    if let Err(failure) = file.write_last() {
        report.warning(&failure.message);
    }
}

/// The keys have been read: without one of them nothing is opened from now on.
pub(crate) fn has_keys() {
    let Some(file) = FILE.get() else { return };
    // What it guards is whole at every step.
    let mut info = file.registry.info.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(RunInfo { authenticity: Some(authenticity @ Authenticity::Unknown), .. }) = &mut *info {
        *authenticity = Authenticity::Checked;
    }
}

static FILE: OnceLock<MetricsFile> = OnceLock::new();

struct MetricsFile {
    path: PathBuf,
    registry: Registry,
    /// Held while the file is written, so that one writes at a time, and nobody after the last.
    state: Mutex<State>,
}

enum State {
    /// With the next file staged, which keeps other runs from writing theirs.
    Running(Option<Box<StagedMetrics>>),
    Finished,
}

impl MetricsFile {
    fn write_repeatedly(&self, report: Report) {
        let mut was_written = true;
        loop {
            thread::sleep(INTERVAL);
            let written = self.write();
            // Said once, until it works again.
            if let (Err(failure), true) = (&written, was_written) {
                report.warning(&failure.message);
            }
            was_written = written.is_ok();
        }
    }

    fn write(&self) -> Result<(), Failure> {
        let mut state = self.lock();
        let State::Running(staged) = &mut *state else { return Ok(()) };
        self.write_now(staged.take())?;
        // What keeps it from being staged now is told when it is written next.
        *staged = prometheus::stage(&self.path, HEAD).ok().map(Box::new);
        Ok(())
    }

    fn write_last(&self) -> Result<(), Failure> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Finished) {
            State::Running(staged) => self.write_now(staged),
            // It could not even be begun, which has been said.
            State::Finished => Ok(()),
        }
    }

    fn write_now(&self, staged: Option<Box<StagedMetrics>>) -> Result<(), Failure> {
        let families = self.registry.families();
        // Somebody may have tidied away what was staged.
        match staged.map(|staged| staged.write(&self.path, HEAD, &families)) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => prometheus::write(&self.path, HEAD, &families),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All metrics, by name.
struct Registry {
    /// In a label of each series: a collector reads the files of many runs as one.
    run: String,
    /// Its labels change, which those of a metric of the facade cannot.
    info: Mutex<Option<RunInfo>>,
    metrics: Mutex<BTreeMap<String, Metric>>,
}

/// What one name has been told of.
#[derive(Default)]
struct Metric {
    help: String,
    series: BTreeMap<Labels, Number>,
}

type Labels = Vec<(String, String)>;

/// Where a number is kept.
#[derive(Clone)]
enum Number {
    Counter(Arc<AtomicU64>),
    /// The bits of a float.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Metric>> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, name: &KeyName, help: &str) {
        self.lock().entry(name.as_str().to_owned()).or_default().help = help.to_owned();
    }

    /// The number of `key`, made by `new` where it is told of for the first time.
    fn number(&self, key: &Key, new: impl FnOnce() -> Number) -> Number {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
        let mut registry = self.lock();
        let metric = registry.entry(key.name().to_owned()).or_default();
        metric.series.entry(labels.collect()).or_insert_with(new).clone()
    }

    fn families(&self) -> Vec<Family> {
        let info = *self.info.lock().unwrap_or_else(PoisonError::into_inner);
        let info = info.map(|info| info.family(&self.run));
        let metrics = self.lock();
        let families = metrics.iter().filter_map(|(name, metric)| metric.family(name, &self.run));
        families.chain(info).collect()
    }
}

impl Metric {
    /// Nothing where nobody has counted yet.
    fn family(&self, name: &str, run: &str) -> Option<Family> {
        let (kind, name) = match self.series.values().next()? {
            Number::Counter(_) => (FamilyKind::Counter, name.to_owned()),
            Number::Gauge(_) if name == STAGE_SECONDS => (FamilyKind::Counter, format!("{name}_total")),
            Number::Gauge(_) => (FamilyKind::Gauge, name.to_owned()),
            Number::Histogram(_) => (FamilyKind::Histogram, name.to_owned()),
        };
        let mut family = Family::new(kind, &name, &self.help);
        for (labels, number) in &self.series {
            let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let labels: Vec<_> = [("run", run)].into_iter().chain(labels).collect();
            match number {
                Number::Counter(count) => family.sample(&labels, count.load(Ordering::Relaxed) as f64),
                Number::Gauge(bits) => family.sample(&labels, f64::from_bits(bits.load(Ordering::Relaxed))),
                Number::Histogram(buckets) => buckets.samples(&mut family, &labels),
            }
        }
        Some(family)
    }
}

impl Recorder for &'static Registry {
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
        match self.number(key, || Number::Counter(Arc::default())) {
            Number::Counter(count) => Counter::from_arc(count),
            Number::Gauge(_) | Number::Histogram(_) => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.number(key, || Number::Gauge(Arc::default())) {
            Number::Gauge(bits) => Gauge::from_arc(bits),
            Number::Counter(_) | Number::Histogram(_) => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.number(key, || Number::Histogram(Arc::default())) {
            Number::Histogram(buckets) => Histogram::from_arc(buckets),
            Number::Counter(_) | Number::Gauge(_) => Histogram::noop(),
        }
    }
}

/// How many values were at most so much, and their sum.
#[derive(Default)]
struct Buckets {
    /// For each bound, the values up to it and above the bound before it; last, those above every bound.
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

/// The file's name without its ending: the operator has given each job its own.
fn name_of_run(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
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
const RUN: &str = "cofferdam_run_info";
/// A gauge to the facade, whose counters are whole numbers, that only grows: a counter to Prometheus.
const STAGE_SECONDS: &str = "cofferdam_stage_seconds";
/// The first line, by which a file is known to be ours.
const HEAD: &str = "written by cofferdam --metrics-file";

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> &'static Registry {
        let registry = Registry {
            run: name_of_run(Path::new("/run/a \"job\".prom")),
            info: Mutex::default(),
            metrics: Mutex::default(),
        };
        Box::leak(Box::new(registry))
    }

    fn text(registry: &Registry) -> String {
        registry.families().iter().map(Family::to_string).collect()
    }

    /// The expected text follows https://prometheus.io/docs/instrumenting/exposition_formats/.
    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let registry = registry();
        metrics::with_local_recorder(&registry, || {
            metrics::describe_counter!("a_bytes_total", Unit::Bytes, "Bytes.");
            metrics::counter!("a_bytes_total", "operation" => "open").increment(7);
            metrics::counter!("a_bytes_total", "operation" => "open").increment(1 << 40);
            metrics::counter!("a_bytes_total", "operation" => "seal").increment(1);
            metrics::gauge!("cofferdam_stage_seconds", "stage" => "read").increment(0.25);
            metrics::gauge!("c_bytes").set(5.0);
            metrics::gauge!("c_bytes").set(3.0);
            for value in [0.002, 0.003, 5.0, 1e9] {
                metrics::histogram!("d_seconds").record(value);
            }
            metrics::describe_gauge!("e", "Never set.");
        });
        assert_eq!(text(registry), EXPECTED);
    }

    const EXPECTED: &str = "\
# HELP a_bytes_total Bytes.
# TYPE a_bytes_total counter
a_bytes_total{run=\"a \\\"job\\\"\",operation=\"open\"} 1099511627783
a_bytes_total{run=\"a \\\"job\\\"\",operation=\"seal\"} 1
# HELP c_bytes 
# TYPE c_bytes gauge
c_bytes{run=\"a \\\"job\\\"\"} 3
# HELP cofferdam_stage_seconds_total 
# TYPE cofferdam_stage_seconds_total counter
cofferdam_stage_seconds_total{run=\"a \\\"job\\\"\",stage=\"read\"} 0.25
# HELP d_seconds 
# TYPE d_seconds histogram
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"0.001\"} 0
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"0.003\"} 2
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"0.01\"} 2
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"0.03\"} 2
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"0.1\"} 2
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"0.3\"} 2
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"1\"} 2
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"3\"} 2
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"10\"} 3
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"30\"} 3
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"100\"} 3
d_seconds_bucket{run=\"a \\\"job\\\"\",le=\"+Inf\"} 4
d_seconds_sum{run=\"a \\\"job\\\"\"} 1000000005.005
d_seconds_count{run=\"a \\\"job\\\"\"} 4
";

    /// A name that somebody else uses in another way spoils nothing.
    #[test]
    fn a_name_stays_what_it_was_first() {
        let registry = registry();
        metrics::with_local_recorder(&registry, || {
            metrics::counter!("a").increment(2);
            metrics::gauge!("a").set(9.0);
            metrics::histogram!("a").record(9.0);
        });
        assert!(text(registry).ends_with("a{run=\"a \\\"job\\\"\"} 2\n"), "{}", text(registry));
    }
}
