//! The table of edges: which crate may use which. docs/ARCHITECTURE.md has the same.

/// A crate a line: what it may use of ours, and what it must not use of others. Of normal and build dependencies: those of
/// tests are free. `*` stands for every crate there is, `ciphers` for each of [`CIPHER_CRATES`].
pub(super) const EDGES: &str = "
    io             |                                    | ciphers rayon tempfile age clap
    framing        |                                    | *
    frame-worker   | framing                            | rustix tempfile age clap
    segment-worker | io frame-worker contract           | ciphers rayon rustix tempfile age clap
    contract       | io                                 | *
    storage        | io contract                        | ciphers rayon age clap
    local          | io contract storage                | ciphers rayon age clap
    mmap           | io contract storage                | ciphers rayon age clap
    lent           | io contract                        | ciphers rayon age clap
    wal            | io contract storage                | ciphers rayon age clap
    database       | contract                           | ciphers rayon age clap
    peer           | contract storage                   | ciphers rayon age clap
    object         | contract remote                    | ciphers rayon age clap
    tree-sink      | io contract storage local tree     | ciphers rayon age clap
    testing        | contract storage                   | ciphers rayon tempfile age clap
    keys           |                                    | rayon clap
    signatures     |                                    | ciphers rayon tempfile age clap
    parts          |                                    | ciphers rayon rustix tempfile age clap
    foreign        | framing frame-worker keys          | rayon rustix tempfile age clap
    sources        | io                                 | ciphers rayon age clap
    remote         | io sources                         | ciphers rayon age clap
    serve          | io                                 | ciphers rayon tempfile age clap
    tree           | io sources                         | ciphers rayon age clap
    mount          | io tree                            | ciphers rayon tempfile age clap
    servers        |                                    | ciphers rayon age clap
    stream         | io framing frame-worker segment-worker contract storage local peer keys foreign sources | ciphers rayon age clap
    cofferdam      | io framing frame-worker segment-worker contract storage local mmap wal database peer object keys foreign parts signatures sources remote stream tree tree-sink | clap
    harness        |                                    | *
    measure        | cofferdam frame-worker framing harness | ciphers rayon age clap
    cli            | cofferdam measure mount serve      | ciphers rayon age
    python         | cofferdam lent                     | ciphers rayon age clap
    capi           | cofferdam lent                     | ciphers rayon rustix age clap
    bench          | *                                  |
    loom-tests     | *                                  |
    xtask          | *                                  |
";

pub(super) const CIPHER_CRATES: [&str; 6] =
    ["aws-lc-rs", "aws-lc-sys", "aes-gcm", "chacha20poly1305", "aes", "ring"];

/// Crates that may hold `unsafe`, and where in them that is: a level that forbids it could not be lifted there.
pub(super) const UNSAFE_HOMES: [(&str, &str); 4] = [
    ("cofferdam-mmap", "sinks/mmap/src/region.rs"),
    ("cofferdam-lent", "sinks/lent/src/"),
    ("cofferdam-capi", "crates/capi/src/"),
    ("cofferdam-python", "python/src/buffer.rs"),
];
