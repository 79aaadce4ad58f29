//! Owns the test vectors of docs/vectors: which streams there are, what a reader says of each, and how they are written.
//! Refuses to know Cofferdam's crates: the sealer here is a second implementation, made from the format alone.

mod case;
mod cases;
mod crypto;
mod plan;
mod sealed;
mod sealer;
mod zstd_frame;

use std::path::Path;

/// Writes every vector into `folder`, which must be there. The same bytes come out each time.
///
/// # Errors
/// A file that could not be written.
pub(crate) fn generate(folder: &Path) -> Result<(), String> {
    for case in cases::all() {
        let path = folder.join(case.file_name());
        std::fs::write(&path, case.file())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "../../../crates/cofferdam/tests/reference/mod.rs"]
mod reference;

#[cfg(test)]
mod tests;
