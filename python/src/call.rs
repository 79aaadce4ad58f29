//! One call of the library on a thread of its own, while the caller's thread answers signals and tells of progress.
//! It knows not what is called.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::{CancelToken, Error, Observer};
use parking_lot::{Condvar, Mutex};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::report::Progress;
use crate::{error, interpreter};

/// What the called thread is told and tells.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) cancel: CancelToken,
    pub(crate) observer: Arc<dyn Observer>,
}

/// What both threads see.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    latest: Option<cofferdam::Progress>,
    has_ended: bool,
}

impl Observer for Shared {
    fn progress(&self, progress: &cofferdam::Progress) {
        // Whoever waits looks by itself every now and then: a segment is no reason to wake Python.
        self.state.lock().latest = Some(*progress);
    }
}

/// Has `work` run to its end, with the interpreter free for others meanwhile. `progress` is called with what has been reached, on the thread that calls, a few
/// times a second, and at the end. If it raises, or a signal's handler does (Ctrl-C), the work is cancelled and that is what is raised: once the work has
/// ended, or after a while where it waits for an object of Python's, which nobody can end. It publishes nothing then, whenever that returns.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(Control) -> Result<T, Failed> + Send + 'static,
) -> PyResult<T> {
    let begun = interpreter::Use::begin();
    let Some(_used) = begun else { return Err(interpreter::ended(py)) };
    let shared = Arc::new(Shared::default());
    let control = Control { cancel: CancelToken::new(), observer: shared.clone() };
    let cancel = control.cancel.clone();
    let ends = Ends(shared.clone());
    let worker = thread::Builder::new().name("cofferdam".to_owned()).spawn(move || {
        let _ends = ends;
        work(control)
    });
    let worker = worker.map_err(|why| error::raise(py, &Error::no_thread(why)))?;
    let mut raised: Option<(PyErr, Instant)> = None;
    let mut told = None;
    let joined = loop {
        let (has_ended, latest) = py.detach(|| shared.wait(PATIENCE));
        if raised.is_none() {
            let tell = match (progress, latest) {
                (Some(progress), Some(latest)) if told != Some(latest.committed) => {
                    told = Some(latest.committed);
                    progress.call1((Progress::from(latest),)).map(drop)
                }
                _ => Ok(()),
            };
            let checked = tell.and_then(|()| match interpreter::is_ending() {
                true => Err(interpreter::ended(py)),
                false => py.check_signals(),
            });
            if let Err(error) = checked {
                cancel.cancel();
                raised = Some((error, Instant::now()));
            }
        }
        if has_ended {
            break py.detach(|| worker.join());
        }
        if let Some((error, _)) = raised.take_if(|(_, since)| since.elapsed() >= grace()) {
            return Err(error);
        }
    };
    let raised = raised.map(|(error, _)| error);
    if let Some(raised) = raised {
        return Err(raised);
    }
    match joined {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Failed::Library(failed))) => Err(error::raise(py, &failed)),
        Ok(Err(Failed::Python(raised))) => Err(raised),
        Err(_) => Err(PyRuntimeError::new_err("cofferdam has failed by a mistake of its own: a panic")),
    }
}

/// Why a call has not done what it was to.
pub(crate) enum Failed {
    Library(Box<Error>),
    /// What a Python object raised that bytes come from or go to.
    Python(PyErr),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Library(Box::new(error))
    }
}

impl From<PyErr> for Failed {
    fn from(error: PyErr) -> Failed {
        Failed::Python(error)
    }
}

/// Says that the work has ended, however it does.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.state.lock().has_ended = true;
        self.0.news.notify_all();
    }
}

impl Shared {
    fn wait(&self, patience: Duration) -> (bool, Option<cofferdam::Progress>) {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        while !state.has_ended && !self.news.wait_until(&mut state, deadline).timed_out() {}
        (state.has_ended, state.latest)
    }
}

/// How long what is cancelled has to end before it is left to itself.
fn grace() -> Duration {
    if interpreter::is_ending() { GRACE_AT_THE_END } else { GRACE }
}

/// A write to a slow disk may take as long.
const GRACE: Duration = Duration::from_secs(5);
/// Below the time that the program's end is held up.
const GRACE_AT_THE_END: Duration = Duration::from_secs(2);
/// How often signals are looked for, and progress is told.
const PATIENCE: Duration = Duration::from_millis(50);
