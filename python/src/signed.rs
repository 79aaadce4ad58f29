//! Who has to have signed a stream: public keys and a signature, as Python names them.
//! It checks nothing; the library does, when it has computed the stream's digest.

use std::fs;
use std::path::PathBuf;

use cofferdam::SignedBy;
use cofferdam::signatures::{Signature, TrustedKeys};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::error;

/// The check that `signed_by` and `signature` ask for. The keys are the text of a `.pub` file, or the name of one; the signature is bytes, or the
/// name of a file. Where only the keys are given and the stream is a file, its signature is beside it, with `.sig` at the end of the name.
pub(crate) fn signed_by(
    source: &Bound<'_, PyAny>,
    keys: Option<&Bound<'_, PyAny>>,
    signature: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<SignedBy>> {
    let py = source.py();
    let keys = match (keys, signature) {
        (Some(keys), _) => keys,
        (None, None) => return Ok(None),
        (None, Some(_)) => {
            return Err(error::usage(py, "a signature is of no use without `signed_by`: whose it has to be"));
        }
    };
    let keys = match keys.cast::<PyString>().ok().map(|text| text.to_str()).transpose()? {
        Some(text) if KEY_BEGINNINGS.iter().any(|begin| text.trim_start().starts_with(begin)) => {
            text.to_owned()
        }
        _ => {
            let path = keys.extract().map_err(|_| error::usage(py, NO_KEYS))?;
            String::from_utf8_lossy(&read(py, &path)?).into_owned()
        }
    };
    let keys = TrustedKeys::parse(&keys).map_err(|why| error::usage(py, &format!("`signed_by`: {why}")))?;
    let text = match signature {
        Some(given) if given.is_instance_of::<PyBytes>() => given.extract()?,
        Some(given) => read(py, &given.extract().map_err(|_| error::usage(py, NO_SIGNATURE))?)?,
        None => read(py, &beside(source)?)?,
    };
    let signed = Signature::parse(&text).map_err(|why| {
        let refused = cofferdam::Error::new(cofferdam::ErrorKind::NotSigned, "the signature cannot be read");
        error::raise(py, &refused.because(why))
    })?;
    SignedBy::new(&keys, signed).map(Some).map_err(|why| error::raise(py, &why))
}

/// The name of the signature of the stream at `source`.
fn beside(source: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    let py = source.py();
    let is_url = crate::source::place(source)?.is_some();
    let path: Option<PathBuf> = if is_url { None } else { source.extract().ok() };
    let mut name = path.ok_or_else(|| error::usage(py, NO_PLACE))?.into_os_string();
    name.push(".sig");
    Ok(name.into())
}

/// No more of it than a signature, or a list of keys, may have.
fn read(py: Python<'_>, path: &PathBuf) -> PyResult<Vec<u8>> {
    use std::io::Read as _;
    let mut content = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LEN_MAX).read_to_end(&mut content));
    read.map_err(|why| error::io(py, &format!("{} could not be read", path.display()), why))?;
    match (content.len() as u64) < LEN_MAX {
        true => Ok(content),
        false => Err(error::usage(py, &format!("{} is too long", path.display()))),
    }
}

const LEN_MAX: u64 = 1 << 20;
const KEY_BEGINNINGS: [&str; 4] = ["ssh-", "ecdsa-", "sk-", "#"];
const NO_KEYS: &str = "`signed_by` is a str such as ssh-ed25519 AAAA…, or the name of a file of public keys";
const NO_SIGNATURE: &str = "a signature is bytes, or the name of a file";
const NO_PLACE: &str = "of this source the signature has to be given: `signature`";
