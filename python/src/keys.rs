//! Recipients and identities as Python has them: text, files, bytes, and identities of this module.
//! It parses no key; the library does.

use std::fs;
use std::path::PathBuf;

use cofferdam::{Identities, KeyError, Recipients, SecretString, WrappingKey, Zeroizing};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::error;

/// An age identity (X25519): whoever has it opens what was sealed for its recipient.
#[pyclass(frozen, module = "cofferdam")]
pub(crate) struct Identity(cofferdam::Identity);

#[pymethods]
impl Identity {
    /// Makes a new one; with `post_quantum` one of ML-KEM-768 with X25519.
    #[staticmethod]
    #[pyo3(signature = (*, post_quantum = false))]
    fn generate(py: Python<'_>, post_quantum: bool) -> PyResult<Identity> {
        let made = match post_quantum {
            true => cofferdam::Identity::try_generate_post_quantum(),
            false => cofferdam::Identity::try_generate(),
        };
        made.map(Identity).map_err(|why| refused(py, &why))
    }

    /// The public half, `age1…`: what to seal for.
    #[getter]
    fn recipient(&self) -> String {
        self.0.recipient()
    }

    /// The identity as the text of a file, **secret**, in age's format.
    fn file_text(&self, py: Python<'_>) -> PyResult<String> {
        let today = py.import("datetime")?.getattr("date")?.call_method0("today")?;
        let today: String = today.call_method0("isoformat")?.extract()?;
        self.0.file_text(&today).map(|text| text.to_string()).map_err(|why| refused(py, &why))
    }

    fn __repr__(&self) -> String {
        format!("<cofferdam.Identity of {}>", self.0.recipient())
    }
}

/// For whom to seal: each of `given`, which is one or a list, and whoever has the passphrase.
pub(crate) fn recipients(
    py: Python<'_>,
    given: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
) -> PyResult<Recipients> {
    let mut recipients = Recipients::new();
    for one in each(given)? {
        recipients = if let Ok(identity) = one.cast::<Identity>() {
            recipients.parse(&identity.get().recipient())
        } else if let Ok(text) = one.cast::<PyString>() {
            recipients.parse(text.to_str()?)
        } else if let Some(key) = wrapping_key(py, &one)? {
            Ok(recipients.wrapping_key(key))
        } else {
            let path: PathBuf = one.extract().map_err(|_| error::usage(py, NO_RECIPIENT))?;
            recipients.recipients_file(&String::from_utf8_lossy(&read(py, &path)?))
        }
        .map_err(|why| refused(py, &why))?;
    }
    if let Some(passphrase) = passphrase {
        recipients =
            recipients.passphrase(SecretString::from(passphrase)).map_err(|why| refused(py, &why))?;
    }
    match recipients.is_empty() {
        true => {
            Err(error::usage(py, "nobody to seal for was given: give a recipient, a key or a passphrase"))
        }
        false => Ok(recipients),
    }
}

/// What opens a stream: each of `given`, which is one or a list, and the passphrase. `None` where nothing is given.
pub(crate) fn identities(
    py: Python<'_>,
    given: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
) -> PyResult<Option<Identities>> {
    let mut identities = Identities::new();
    for one in each(given)? {
        let file = |identities: Identities, content: &[u8]| {
            identities.identity_file(content).map_err(|why| refused(py, &why))
        };
        identities = if let Ok(identity) = one.cast::<Identity>() {
            let text = identity.get().0.file_text("").map_err(|why| refused(py, &why))?;
            file(identities, text.as_bytes())?
        } else if let Some(key) = wrapping_key(py, &one)? {
            identities.wrapping_key(key)
        } else if let Some(text) = identity_text(&one)? {
            file(identities, text.as_bytes())?
        } else {
            let path: PathBuf = one.extract().map_err(|_| error::usage(py, NO_IDENTITY))?;
            file(identities, &read(py, &path)?)?
        };
    }
    if let Some(passphrase) = passphrase {
        identities = identities.passphrase(SecretString::from(passphrase));
    }
    Ok((!identities.is_empty()).then_some(identities))
}

/// The files among what `identities` takes.
pub(crate) fn files(given: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<PathBuf>> {
    let mut files = Vec::new();
    for one in each(given)? {
        let is_key = one.is_instance_of::<Identity>()
            || one.is_instance_of::<PyBytes>()
            || identity_text(&one)?.is_some();
        if !is_key {
            files.push(one.extract().map_err(|_| error::usage(one.py(), NO_IDENTITY))?);
        }
    }
    Ok(files)
}

/// A string that is a key itself, and not the name of a file that has it.
fn identity_text(one: &Bound<'_, PyAny>) -> PyResult<Option<Zeroizing<String>>> {
    let Ok(text) = one.cast::<PyString>() else { return Ok(None) };
    let text = text.to_str()?.trim_start_matches('\u{feff}').trim();
    let holds_key = {
        let upper = Zeroizing::new(text.to_ascii_uppercase());
        ["AGE-SECRET-KEY-", "AGE-PLUGIN-", "PRIVATE KEY"].iter().any(|mark| upper.contains(mark))
    };
    let is_key =
        ["AGE-SECRET-KEY-", "AGE-PLUGIN-", "-----BEGIN ", "#"].iter().any(|begin| text.starts_with(begin));
    match holds_key && !is_key {
        // Taken for the name of a file, it would be repeated in an error.
        true => Err(error::usage(
            one.py(),
            "what was given has a key in it, and is not written as one: age keys are in capitals, a line each",
        )),
        false => Ok(is_key.then(|| Zeroizing::new(text.to_owned()))),
    }
}

fn wrapping_key(py: Python<'_>, one: &Bound<'_, PyAny>) -> PyResult<Option<WrappingKey>> {
    let Ok(bytes) = one.cast::<PyBytes>() else { return Ok(None) };
    let key = <[u8; 32]>::try_from(bytes.as_bytes());
    key.map(|key| Some(WrappingKey::from_bytes(key)))
        .map_err(|_| error::usage(py, "a key in bytes has 32 of them; the name of a file is a str or a Path"))
}

fn each<'py>(given: Option<&Bound<'py, PyAny>>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    match given {
        None => Ok(Vec::new()),
        Some(given) if given.is_none() => Ok(Vec::new()),
        Some(given) if given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>() => {
            given.try_iter()?.collect()
        }
        Some(one) => Ok(vec![one.clone()]),
    }
}

fn read(py: Python<'_>, path: &PathBuf) -> PyResult<Zeroizing<Vec<u8>>> {
    let read = fs::read(path).map(Zeroizing::new);
    read.map_err(|why| error::io(py, &format!("{} could not be read", path.display()), why))
}

fn refused(py: Python<'_>, why: &KeyError) -> PyErr {
    error::usage(py, &why.to_string())
}

const NO_RECIPIENT: &str =
    "a recipient is a str such as age1…, an Identity, 32 bytes of a key, or a Path of a file of recipients";
const NO_IDENTITY: &str = "an identity is an Identity, a str such as AGE-SECRET-KEY-1…, the name of a file with identities, or 32 bytes of a key";
