//! What archiving takes of a machine, by the module and by commands, in turns over the same segments. It asserts no time.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use crate::server::Server;

#[test]
fn what_archiving_costs() {
    // Minutes, and nothing but figures: for whoever asks for them.
    if std::env::var_os("COFFERDAM_ENGINES_COSTS").is_none() {
        return;
    }
    let Some(server) = Server::new() else { return };
    // On a disk, where a sync is one.
    let archive = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::set_permissions(archive.path(), fs::Permissions::from_mode(0o777)).unwrap();
    server.append("data/postgresql.conf", "archive_library = ''\n");
    server.start("data");
    let ways = ways(&server, archive.path());
    let mut rows = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, settings), row) in ways.iter().zip(&mut rows) {
            row.push(archive_all(&server, settings));
        }
    }
    println!("way | milliseconds a segment of 1 MiB | of processor time");
    for ((name, _), mut row) in ways.iter().zip(rows) {
        row.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wall = row[ROUNDS / 2].0;
        row.sort_by(|a, b| a.1.total_cmp(&b.1));
        println!("{name} | {wall:.2} | {:.2}", row[ROUNDS / 2].1);
    }
}

/// Each way's name, and its settings.
fn ways(server: &Server, archive: &Path) -> Vec<(&'static str, String)> {
    let to = archive.display();
    let command = |line: String| format!("archive_library = ''\narchive_command = '{line}'\n");
    let module = format!("archive_library = '{}'\n", server.path("cofferdam_archive.so").display());
    let module = format!("{module}cofferdam.directory = '{to}'\n");
    vec![
        ("`cp`, which syncs nothing", command(format!("cp %p {to}/%f"))),
        (
            "`cp`, `sync`, `mv`, `sync`",
            command(format!("cp %p {to}/%f.new && sync {to}/%f.new && mv {to}/%f.new {to}/%f && sync {to}")),
        ),
        ("the module", module.clone()),
        ("the module, `zstd`", format!("{module}cofferdam.compression = 'zstd'\n")),
        (
            "`cofferdam seal`",
            command(format!("cofferdam seal -q -r {} -o {to}/%f.cfd %p", server.recipient())),
        ),
    ]
}

/// Fills segments while nobody archives, then has them archived so. Milliseconds a segment, of the clock and of processors.
fn archive_all(server: &Server, settings: &str) -> (f64, f64) {
    server.set("archive_library = ''\narchive_command = ''\ncofferdam.compression = 'none'\n");
    let segments: Vec<String> = (0..SEGMENTS).map(|_| server.fill_whole_segment()).collect();
    server.set(settings);
    server.wait_for_archived(&segments[0]);
    let archiver = server.archiver("data");
    let (begun, before) = (Instant::now(), server.processor_time(archiver));
    server.wait_for_archived(segments.last().unwrap());
    let (wall, processors) = (begun.elapsed(), server.processor_time(archiver) - before);
    let counted = (SEGMENTS - 1) as f64;
    (wall.as_secs_f64() * 1e3 / counted, processors * 1e3 / counted)
}

const ROUNDS: usize = 3;
const SEGMENTS: usize = 100;
