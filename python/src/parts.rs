//! One stream restored by many processes, for `cofferdam.parts`: planning, one part, the commit, how far it is, giving it up.
//! It decides nothing: the library has the steps, and what is between the processes is in files.

use std::ffi::OsString;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use cofferdam::parts::{GivenUp, Outcome, PartRun, PlanKeyFile, Planned, PlannedRestore, open_key};
use cofferdam::{StreamDigest, TreeOutcome, tree_sink};
use pyo3::prelude::*;

use crate::call::{self, Control, Failed};
use crate::number::{Number, count, seconds};
use crate::open::{Asked, opener};
use crate::report::RestoredTree;
use crate::seal::if_exists;
use crate::signed::signed_by;
use crate::source::{self, Given, Opened};
use crate::target::{Target, object};
use crate::{error, keys, tree_options};

/// What is planned: a stream, its parts, and the file, directory or object that it becomes.
#[pyclass(frozen, get_all, module = "cofferdam.parts")]
pub(crate) struct Plan {
    /// The plan's own id, in hexadecimal digits.
    id: String,
    /// Where workers find the stream: a path or a URL, without what is secret in it.
    sealed: OsString,
    /// The absolute path of what it becomes, or its URL.
    target: OsString,
    /// The stream's digest, in hexadecimal digits.
    stream_digest: String,
    /// Length of the plaintext in bytes: of a file, that of the target.
    plaintext_len: u64,
    /// Of each part, its bytes of plaintext.
    part_lens: Vec<u64>,
    /// Whether :func:`plan` has found it made before.
    was_there: bool,
}

#[pymethods]
impl Plan {
    /// The number of parts: they count from 0.
    fn __len__(&self) -> usize {
        self.part_lens.len()
    }

    fn __repr__(&self) -> String {
        format!("<cofferdam.parts.Plan {} of {} parts>", self.id, self.part_lens.len())
    }
}

impl Plan {
    fn new(planned: &PlannedRestore, was_there: bool) -> Plan {
        let plan = planned.plan();
        Plan {
            id: plan.id().to_string(),
            sealed: plan.content().source.clone(),
            target: plan.target().name().to_owned(),
            stream_digest: StreamDigest(plan.content().stream_digest).to_string(),
            plaintext_len: plan.plaintext_len(),
            part_lens: plan.parts().iter().map(|extent| extent.len()).collect(),
            was_there,
        }
    }
}

/// How far a plan is.
#[pyclass(frozen, get_all, module = "cofferdam.parts")]
pub(crate) struct State {
    /// Whether it has been committed: the target is in place, and no part is missing.
    committed: bool,
    /// Whether the target, a file or directory, is in place: also where a commit was interrupted before that was noted. To commit again notes it.
    published: bool,
    /// Parts without a receipt.
    missing: Vec<u64>,
    /// Files that have the name of a receipt, and are none of this plan.
    strange: u64,
}

#[pymethods]
impl State {
    fn __repr__(&self) -> String {
        match (self.committed, self.published) {
            (true, _) => "<cofferdam.parts.State committed>".to_owned(),
            (_, true) => "<cofferdam.parts.State published>".to_owned(),
            _ => format!("<cofferdam.parts.State {} missing>", self.missing.len()),
        }
    }
}

/// What a commit has found or done: the target is in place.
#[pyclass(frozen, get_all, module = "cofferdam.parts")]
pub(crate) struct Committed {
    /// Whether a commit before this one had put the target in place: whatever has become of it since, nothing was done to it.
    was_there: bool,
    /// Of a directory what it is made of, what it lacks, and where the old one is; ``None`` of a file or an object, and where that was noted before.
    tree: Option<Py<RestoredTree>>,
}

#[pymethods]
impl Committed {
    fn __repr__(&self) -> &'static str {
        match self.was_there {
            true => "<cofferdam.parts.Committed before>",
            false => "<cofferdam.parts.Committed now>",
        }
    }
}

impl Committed {
    fn new(py: Python<'_>, was_there: bool, tree: Option<tree_sink::Restored>) -> PyResult<Committed> {
        let tree = tree.map(RestoredTree::from).map(|tree| Py::new(py, tree)).transpose()?;
        Ok(Committed { was_there, tree })
    }
}

/// Plans the restore of ``sealed`` to ``target``, a file, of a tree a directory, or the URL of an object in a store, in so many ``parts``, whole segments each, and writes that to a file at ``plan``.
///
/// ``sealed`` is a path, or a URL without a secret in it, by which workers find the stream. The plan's key is in the file ``plan_key``, which is made if it is
/// not there: by default the plan's name with ``.key`` behind it. If a plan is at ``plan`` already that says the same, that is the plan.
///
/// An object has one upload, which is begun now; parts shorter than 5 MiB are joined with the next one, so there may be fewer.
///
/// With ``force`` the commit replaces a target that exists. The other keywords are those of :func:`cofferdam.restore`; the plan keeps what they say of a
/// tree, for whoever commits.
///
/// Raises :exc:`JournalMismatchError` where ``plan`` is something else already, :exc:`UsageError` where the stream has fewer segments than ``parts``,
/// and other kinds of :exc:`Error`. Nothing is restored.
#[pyfunction]
#[pyo3(signature = (
    plan, sealed, target, parts, identities = None, *, plan_key = None, passphrase = None, force = false, keep_old = false, numeric_owner = false,
    no_owner = false, set_id = false, devices = false, expect_digest = None, min_sequence = None, signed_by = None, signature = None,
    threads = None, memory = None, timeout = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn plan_restore(
    py: Python<'_>,
    plan: PathBuf,
    sealed: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
    parts: Number<u64>,
    identities: Option<&Bound<'_, PyAny>>,
    plan_key: Option<PathBuf>,
    passphrase: Option<String>,
    force: bool,
    keep_old: bool,
    numeric_owner: bool,
    no_owner: bool,
    set_id: bool,
    devices: bool,
    expect_digest: Option<&str>,
    min_sequence: Option<Number<u64>>,
    signed_by: Option<&Bound<'_, PyAny>>,
    signature: Option<&Bound<'_, PyAny>>,
    threads: Option<Number<usize>>,
    memory: Option<Number<usize>>,
    timeout: Option<f64>,
) -> PyResult<Plan> {
    let parts = NonZeroU64::new(parts.0).ok_or_else(|| error::usage(py, "`parts` is at least 1"))?;
    let signed = self::signed_by(sealed, signed_by, signature)?;
    let asked = Asked { expect_digest, min_sequence, signed, threads, memory };
    let opener =
        opener(py, keys::identities(py, identities, passphrase)?, asked)?.if_exists(if_exists(force));
    let timeout = seconds(py, timeout)?;
    let source = Given::new(sealed, timeout)?;
    let target = match Target::new(target)? {
        Target::File(_) => {
            return Err(error::usage(py, "a plan is for a file, a directory or an object: a path or a URL"));
        }
        target => target,
    };
    let tree = tree_options::Asked { force, keep_old, into: false, numeric_owner, no_owner, set_id, devices };
    let mut files = tree_options::files(identities, [signed_by, signature])?;
    // Where it is, or is going to be.
    files.extend(key_path(&plan, plan_key.clone()).parent().map(Path::to_owned));
    tree.check(py, (&source, &target), files)?;
    let outcome = TreeOutcome::default();
    let opener = tree.opener(opener, &outcome);
    let described = described(py, &source)?;
    call::run(py, None, move |Control { cancel, observer }| {
        let opener = opener.cancel(cancel.clone()).observer(observer);
        let Opened { source, lease: _lease } = source.open(&cancel)?;
        let key = PlanKeyFile::open_or_draw(key_path(&plan, plan_key))?;
        let (planned, made) = match target {
            Target::Place(place) => {
                let target = object(place, timeout);
                PlannedRestore::create_for_object(&plan, key, &opener, source, &described, &target, parts)?
            }
            Target::Path(target) => {
                PlannedRestore::create(&plan, key, &opener, source, &described, &target, parts)?
            }
            Target::File(_) => unreachable!("it has been refused"),
        };
        Ok::<_, Failed>(Plan::new(&planned, made == Planned::Before))
    })
}

/// Reads the plan at ``plan``, with its key.
///
/// Raises :exc:`NotFoundError` where there is none, :exc:`JournalMismatchError` where it is no plan, has been changed, or is another key's.
#[pyfunction]
#[pyo3(signature = (plan, *, plan_key = None))]
pub(crate) fn read_plan(py: Python<'_>, plan: PathBuf, plan_key: Option<PathBuf>) -> PyResult<Plan> {
    call::run(py, None, move |_| Ok(Plan::new(&open(&plan, plan_key)?, true)))
}

/// Runs ``part`` of the plan, from 0 on, as often as one likes, on any machine: opens its segments into a file of this call's own beside the
/// target, or sends them to the upload of an object, and leaves a receipt. Returns ``"written"``; ``"written before"`` where it has a receipt already, or ``"committed"`` where the plan has been
/// committed: then nothing was done.
///
/// ``identities`` are what opens the stream. ``sealed`` is where this machine finds it, if that is elsewhere than the plan says: that it is the planned
/// stream is proved. The other keywords are those of :func:`cofferdam.restore`.
///
/// Raises a kind of :exc:`Error`; the target is never touched, and the call can be made again.
#[pyfunction]
#[pyo3(signature = (
    plan, part, identities = None, *, sealed = None, plan_key = None, passphrase = None, threads = None, memory = None, timeout = None,
    progress = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn run_part(
    py: Python<'_>,
    plan: PathBuf,
    part: Number<u64>,
    identities: Option<&Bound<'_, PyAny>>,
    sealed: Option<&Bound<'_, PyAny>>,
    plan_key: Option<PathBuf>,
    passphrase: Option<String>,
    threads: Option<Number<usize>>,
    memory: Option<Number<usize>>,
    timeout: Option<f64>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<&'static str> {
    let asked = Asked { threads, memory, ..Asked::default() };
    let opener = opener(py, keys::identities(py, identities, passphrase)?, asked)?;
    let timeout = seconds(py, timeout)?;
    let planned = reached(py, call::run(py, None, move |_| open(&plan, plan_key))?, timeout)?;
    let source = match sealed {
        Some(sealed) => Given::new(sealed, timeout)?,
        None => Given::new(planned.plan().content().source.as_os_str().into_pyobject(py)?.as_any(), timeout)?,
    };
    let run = call::run(py, progress, move |Control { cancel, observer }| {
        let opener = opener.cancel(cancel.clone()).observer(observer);
        let Opened { source, lease: _lease } = source.open(&cancel)?;
        Ok::<_, Failed>(planned.run_part(&opener, part.0, source)?)
    })?;
    Ok(match run {
        PartRun::Written => "written",
        PartRun::AlreadyWritten => "written before",
        PartRun::AlreadyCommitted => "committed",
    })
}

/// Puts the target in place, once each part has been run: it needs the plan's key, and nothing that opens the stream. Returns a
/// :class:`Committed`, which says whether that had been done before, and of a directory what it lacks and where the old one is.
///
/// What the parts have written is put together on as many ``threads`` (all by default), and compared with the receipts, but for what the file system shares and vouches for; then the target
/// changes once. With ``compare`` all of a file is read back. Of an object, the store is asked what it has, and puts that together. It may be killed, and called again.
///
/// Raises :exc:`PartsMissingError`, whose ``parts`` are to be run again, :exc:`TargetLockedError` where somebody else is committing, and other kinds of
/// :exc:`Error`; then the target is as it was, unless it is a :exc:`DurabilityUnknownError`.
#[pyfunction]
#[pyo3(signature = (plan, *, plan_key = None, threads = None, compare = false))]
pub(crate) fn commit_plan(
    py: Python<'_>,
    plan: PathBuf,
    plan_key: Option<PathBuf>,
    threads: Option<Number<usize>>,
    compare: bool,
) -> PyResult<Committed> {
    let threads = count(py, threads, "threads")?;
    let threads = threads.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let planned = reached(py, call::run(py, None, move |_| open(&plan, plan_key))?, None)?;
    let outcome = call::run(py, None, move |Control { cancel, .. }| {
        let committed = match compare {
            true => planned.commit_compared(threads, &cancel),
            false => planned.commit(threads, &cancel),
        };
        Ok::<_, Failed>(committed?)
    })?;
    match outcome {
        Outcome::Published => Committed::new(py, false, None),
        Outcome::TreePublished(tree) => Committed::new(py, false, Some(tree)),
        Outcome::TreeFinished(tree) => Committed::new(py, true, tree),
        Outcome::AlreadyCommitted => Committed::new(py, true, None),
        Outcome::Missing(parts) | Outcome::Wrong(parts) => Err(error::parts_missing(py, parts)),
    }
}

/// Says how far the plan is, as its files say now.
///
/// Raises :exc:`JournalMismatchError` where it was given up, and other kinds of :exc:`Error`.
#[pyfunction]
#[pyo3(signature = (plan, *, plan_key = None))]
pub(crate) fn state_of_plan(py: Python<'_>, plan: PathBuf, plan_key: Option<PathBuf>) -> PyResult<State> {
    let state = call::run(py, None, move |_| Ok::<_, Failed>(open(&plan, plan_key)?.state()?))?;
    let missing = (0..).zip(&state.has_receipt).filter(|(_, there)| !**there).map(|(part, _)| part);
    let (committed, published) = (state.is_committed, state.is_published);
    Ok(State { committed, published, missing: missing.collect(), strange: state.strange })
}

/// Gives the plan up: what its parts have written is removed, and none can be run any more. The target stays what it is. Returns
/// ``"removed"``; ``"in place"`` where a commit had put the target in place before: what was left beside it is then removed; ``"may have been in place"`` where one that was interrupted may have,
/// and something else stands there since, or nothing; ``"nothing found"`` where nothing is kept for it: it was given up before, or its file system is
/// not mounted here.
///
/// Raises :exc:`TargetLockedError` where somebody is committing, and other kinds of :exc:`Error`.
#[pyfunction]
#[pyo3(signature = (plan, *, plan_key = None))]
pub(crate) fn give_up_plan(
    py: Python<'_>,
    plan: PathBuf,
    plan_key: Option<PathBuf>,
) -> PyResult<&'static str> {
    let planned = reached(py, call::run(py, None, move |_| open(&plan, plan_key))?, None)?;
    let given_up = call::run(py, None, move |_| Ok::<_, Failed>(planned.give_up()?))?;
    Ok(match given_up {
        GivenUp::WasInPlace => "in place",
        GivenUp::MayHaveBeenInPlace => "may have been in place",
        GivenUp::NothingFound => "nothing found",
        _ => "removed",
    })
}

fn open(plan: &Path, key: Option<PathBuf>) -> Result<PlannedRestore, Failed> {
    Ok(PlannedRestore::open(plan, open_key(key_path(plan, key))?)?)
}

/// The plan with how its object is reached, if it is for one: as this process's environment says.
fn reached(py: Python<'_>, planned: PlannedRestore, timeout: Option<Duration>) -> PyResult<PlannedRestore> {
    let Some(url) = planned.object_url().map(str::to_owned) else { return Ok(planned) };
    match source::place(url.into_pyobject(py)?.as_any())? {
        Some(place) => call::run(py, None, move |_| Ok(planned.with_object(object(place, timeout))?)),
        None => Err(error::usage(py, "the plan's target is no URL of a store")),
    }
}

/// Where the plan's key is, as the command has it: named, or by the environment, or beside the plan.
fn key_path(plan: &Path, named: Option<PathBuf>) -> PathBuf {
    let of_environment = || std::env::var_os(PLAN_KEY).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(of_environment).unwrap_or_else(|| {
        let mut name = plan.as_os_str().to_owned();
        name.push(".key");
        name.into()
    })
}

const PLAN_KEY: &str = "COFFERDAM_PLAN_KEY";

/// Where workers find the stream, from whatever directory.
fn described(py: Python<'_>, source: &Given) -> PyResult<OsString> {
    match source {
        Given::Path(path) => std::path::absolute(path)
            .map(Into::into)
            .map_err(|why| error::io(py, "this process's directory could not be found", why)),
        Given::Place { place, .. } => Ok(place.to_string().into()),
        _ => Err(error::usage(py, "a plan is for a stream that each worker can read: a path or a URL")),
    }
}
