//! A file of recipients or identities: read whole, into memory that is zeroed afterwards.
//! Knows nothing of what is in it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use cofferdam::{Error, Zeroizing};

use crate::call::usage;

/// All of the file at `path`, of which `what` says what it should be.
pub(crate) fn read(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |error| Error::io(format!("{} could not be read", name(path)), error);
    let file = File::open(path).map_err(failed)?;
    // The capacity is never outgrown: a vector that grows leaves copies of its content behind.
    let mut content = Zeroizing::new(Vec::with_capacity(LEN_MAX + 1));
    file.take(LEN_MAX as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    match content.len() > LEN_MAX {
        true => Err(usage(format!("{} is longer than {LEN_MAX} bytes: it is no file of {what}", name(path)))),
        false => Ok(content),
    }
}

/// The path, for an error; not where a secret was given in place of the file that holds it.
fn name(path: &Path) -> String {
    let name = path.display().to_string();
    match name.to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
        true => "a file whose name is itself a secret key (give the name of a file that holds it)".to_owned(),
        false => name,
    }
}

/// The most bytes of a file of keys, as the command has it.
const LEN_MAX: usize = 256 * 1024;
