//! What runs on a mount: a database that nobody writes, and a file system above it that takes what is written.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use servers::installed::is_skipped_without;

use crate::place::{Place, is_root, skipped};

const ROWS: &str = "create table rows (i integer primary key, t);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
    insert into rows select i, hex(randomblob(50)) from n; create index by_t on rows (t);";
/// Of everything that is in it.
const DIGEST: &str =
    "select count(*), sum(i), sum(length(t)), min(t), max(t) from rows; pragma integrity_check";

fn make_database(tree: &Path) {
    let made = std::process::Command::new("sqlite3").arg(tree.join("app.db")).arg(ROWS).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn sqlite_reads_a_database_in_it() {
    if is_skipped_without(&["sqlite3"]) {
        return;
    }
    let Some(place) = Place::with_tree(make_database) else { return };
    let expected = place.run("sqlite3", &["tree/app.db", DIGEST]);
    assert!(expected.starts_with("20000|200010000|") && expected.ends_with("\nok\n"), "{expected}");
    let mounted = place.mount("tree.cfd");
    assert_eq!(place.run("sqlite3", &["file:mnt/app.db?immutable=1", DIGEST]), expected);
    let query = "select i from rows order by t limit 3 offset 9000";
    assert_eq!(
        place.run("sqlite3", &["file:mnt/app.db?immutable=1", query]),
        place.run("sqlite3", &["tree/app.db", query])
    );
    let written = place.try_run("sqlite3", &["mnt/app.db", "delete from rows"]);
    assert!(!written.status.success());
    mounted.end(Signal::TERM).assert_done("clean");
}

#[test]
fn what_is_written_above_it_is_kept_there_and_the_mount_stays_what_it_was() {
    if !is_root() {
        return skipped("only root mounts an overlay");
    }
    if is_skipped_without(&["sqlite3"]) {
        return;
    }
    let Some(place) = Place::with_tree(make_database) else { return };
    let has_overlay = fs::read_to_string("/proc/filesystems").unwrap().contains("\toverlay\n");
    if !has_overlay {
        return skipped("no overlay file system in this kernel");
    }
    let before = place.run("sqlite3", &["tree/app.db", DIGEST]);
    let mounted = place.mount("tree.cfd");
    // Itself in memory: the directory of the test may be on an overlay, above which there can be none.
    for directory in ["rw", "over"] {
        fs::create_dir(place.path(directory)).unwrap();
    }
    place.run("mount", &["-t", "tmpfs", "upper", "rw"]);
    for directory in ["rw/up", "rw/work"] {
        fs::create_dir(place.path(directory)).unwrap();
    }
    let layers = "nosuid,nodev,lowerdir=mnt,upperdir=rw/up,workdir=rw/work";
    place.run("mount", &["-t", "overlay", "-o", layers, "none", "over"]);
    place.run(
        "sqlite3",
        &["over/app.db", "delete from rows where i > 5; insert into rows values (-1, 'new')"],
    );
    let after =
        place.run("sqlite3", &["over/app.db", "select count(*), min(i) from rows; pragma integrity_check"]);
    assert_eq!(after, "6|-1\nok\n");
    assert_eq!(place.run("sqlite3", &["file:mnt/app.db?immutable=1", DIGEST]), before);
    for directory in ["over", "rw"] {
        place.run("umount", &[directory]);
    }
    mounted.end(Signal::TERM).assert_done("clean");
}
