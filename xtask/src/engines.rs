//! Owns `cargo xtask engines`: the programs of `examples/` and a PostgreSQL server that archives through one of them.
//! Knows nothing of what must hold: the tests that it runs do.

use std::path::Path;

use crate::steps;

/// How much of it: what the test is told by.
#[derive(Debug, PartialEq, Eq)]
struct Extent {
    /// Commits of a megabyte each, each of which fills more than a segment.
    chunks: u64,
    /// How often the server is killed meanwhile.
    kills: u64,
    /// Bytes of the database of RocksDB.
    rocksdb_bytes: u64,
}

impl Extent {
    fn parse(arguments: &[&str]) -> Result<Extent, String> {
        match arguments {
            [] => Ok(SHORT),
            ["--full"] => Ok(FULL),
            [argument, ..] => Err(format!("{argument} is not understood")),
        }
    }
}

/// Runs them.
///
/// # Errors
/// Arguments that are not understood; a test that fails.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut cargo = steps::cargo(root);
    cargo.args(["test", "--quiet", "--workspace", "--exclude", "cofferdam-loom-tests", "--all-features"]);
    if arguments == ["--costs"] {
        cargo
            .args(["--release", "--test", "engines", "--", "--nocapture", "costs::"])
            .env("COFFERDAM_ENGINES_COSTS", "1");
    } else {
        let extent = Extent::parse(arguments)?;
        println!("engines: {} segments at least, the server is killed {} times", extent.chunks, extent.kills);
        // The same build as that of all tests.
        cargo.args(["--test", "engines"]);
        cargo.env("COFFERDAM_ENGINES_CHUNKS", extent.chunks.to_string());
        cargo.env("COFFERDAM_ENGINES_KILLS", extent.kills.to_string());
        cargo.env("COFFERDAM_ENGINES_ROCKSDB_BYTES", extent.rocksdb_bytes.to_string());
    }
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the tests ended with {status}")),
        Err(error) => Err(format!("cannot start cargo: {error}")),
    }
}

/// What `cargo test` does, too.
const SHORT: Extent = Extent { chunks: 30, kills: 2, rocksdb_bytes: 8 << 20 };

const FULL: Extent = Extent { chunks: 1000, kills: 20, rocksdb_bytes: 2 << 30 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extent_can_be_chosen() {
        assert_eq!(Extent::parse(&[]), Ok(SHORT));
        assert_eq!(Extent::parse(&["--full"]), Ok(FULL));
        assert!(Extent::parse(&["everything"]).is_err());
    }
}
