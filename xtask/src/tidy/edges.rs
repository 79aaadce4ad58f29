//! The table of edges: which crate may use which. docs/ARCHITECTURE.md has the same.

/// A crate; which of ours it may use; which of others it must not. Of normal and build dependencies: those of tests are
/// free.
pub(super) type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

pub(super) const EDGES: &[Row] = &[
    ("io", &[], &[CIPHERS, "rayon", "tempfile", "age", "clap"]),
    ("framing", &[], ANY),
    ("frame-worker", &["framing"], &["rustix", "tempfile", "age", "clap"]),
    (
        "segment-worker",
        &["io", "frame-worker", "contract"],
        &[CIPHERS, "rayon", "rustix", "tempfile", "age", "clap"],
    ),
    ("contract", &["io"], ANY),
    ("storage", &["io", "contract"], &[CIPHERS, "rayon", "age", "clap"]),
    ("local", &["io", "contract", "storage"], &[CIPHERS, "rayon", "age", "clap"]),
    ("mmap", &["io", "contract", "storage"], &[CIPHERS, "rayon", "age", "clap"]),
    ("wal", &["io", "contract", "storage"], &[CIPHERS, "rayon", "age", "clap"]),
    ("database", &["contract"], &[CIPHERS, "rayon", "age", "clap"]),
    ("peer", &["contract", "storage"], &[CIPHERS, "rayon", "age", "clap"]),
    ("testing", &["contract", "storage"], &[CIPHERS, "rayon", "tempfile", "age", "clap"]),
    ("keys", &[], &["rayon", "clap"]),
    ("sources", &["io"], &[CIPHERS, "rayon", "age", "clap"]),
    ("stream", PARTS, &[CIPHERS, "rayon", "age", "clap"]),
    ("cofferdam", ENGINE, &["clap"]),
    ("harness", &[], ANY),
    ("measure", &["cofferdam", "frame-worker", "framing", "harness"], &[CIPHERS, "rayon", "age", "clap"]),
    ("cli", &["cofferdam", "measure"], &[CIPHERS, "rayon", "age"]),
    ("bench", ANY, &[]),
    ("loom-tests", ANY, &[]),
    ("xtask", ANY, &[]),
];

const PARTS: &[&str] = &[
    "io",
    "framing",
    "frame-worker",
    "segment-worker",
    "contract",
    "storage",
    "local",
    "peer",
    "keys",
    "sources",
];
const ENGINE: &[&str] = &[
    "io",
    "framing",
    "frame-worker",
    "segment-worker",
    "contract",
    "storage",
    "local",
    "mmap",
    "wal",
    "database",
    "peer",
    "keys",
    "sources",
    "stream",
];

/// Each crate there is.
pub(super) const ANY: &[&str] = &["*"];

/// Stands for each of [`CIPHER_CRATES`].
pub(super) const CIPHERS: &str = "ciphers";
pub(super) const CIPHER_CRATES: [&str; 6] =
    ["aws-lc-rs", "aws-lc-sys", "aes-gcm", "chacha20poly1305", "aes", "ring"];

/// The crate with the one module that may hold `unsafe`: a level that forbids it could not be lifted there.
pub(super) const UNSAFE_CRATE: &str = "cofferdam-mmap";
pub(super) const UNSAFE_MODULE: &str = "sinks/mmap/src/region.rs";
