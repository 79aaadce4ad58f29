//! docs/RUNBOOKS.md on a bad day: its commands are typed where something is missing, stopped, old, or left from before.
//! What they show on a good day is judged elsewhere.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::drilling::NOBODY;
use crate::runbooks::{Root, page, section};

/// Where the page's database is there, and its first backup.
fn backed_up() -> Option<Root> {
    let root = Root::new()?;
    let database = page().split("```sh\n").nth(1).unwrap().split("```").next().unwrap().to_owned();
    assert_eq!(root.run(&database).code, 0, "{database}");
    section("1. ").iter().for_each(|block| root.type_block(block));
    Some(root)
}

/// The backups that there are, and which of them is the newest.
fn backups(root: &Root) -> (Vec<String>, String) {
    let names = fs::read_dir(root.path("srv/backups")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("app-"));
    names.sort();
    (names, fs::read_link(root.path("srv/backups/app.cfd")).unwrap().display().to_string())
}

fn make_old(path: &Path) {
    let then = SystemTime::now() - Duration::from_secs(40 * 24 * 60 * 60);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn a_database_that_is_missing_or_empty_is_neither_backed_up_nor_made() {
    let Some(root) = backed_up() else { return };
    let before = backups(&root);
    for (way, is_there) in [("mv /srv/app/app.db /tmp/app.db", false), (": > /srv/app/app.db", true)] {
        let ran = root.run(&format!("{way}; /etc/cofferdam/backup.sh || echo \"exit code $?\""));
        assert_eq!(ran.text(), "/srv/app/app.db is missing or empty\nexit code 1\n");
        assert_eq!(backups(&root), before, "{way}");
        assert_eq!(root.path("srv/app/app.db").exists(), is_there, "{way}");
        assert!(!root.path("var/lib/cofferdam/app.snapshot").exists());
    }
    root.run("mv /tmp/app.db /srv/app/app.db; /etc/cofferdam/backup.sh").assert_done();
    assert_ne!(backups(&root), before);
}

#[test]
fn a_backup_that_is_stopped_leaves_no_snapshot_and_the_last_backup_is_still_the_newest() {
    let Some(root) = backed_up() else { return };
    let before = backups(&root);
    for signal in ["TERM", "HUP", "INT"] {
        // In the place of the program, once the snapshot is there.
        let ran = root.run(&format!(
            "mkdir -p /tmp/stop
            echo '#!/bin/sh' > /tmp/stop/cofferdam
            echo 'test -s /var/lib/cofferdam/app.snapshot && kill -{signal} $PPID' >> /tmp/stop/cofferdam
            chmod 755 /tmp/stop/cofferdam
            PATH=/tmp/stop:$PATH /etc/cofferdam/backup.sh || echo \"exit code $?\""
        ));
        assert_eq!(ran.text(), "exit code 143\n", "{signal}");
        assert!(!root.path("var/lib/cofferdam/app.snapshot").exists(), "{signal}");
        assert_eq!(backups(&root), before, "{signal}");
    }
}

#[test]
fn old_backups_are_removed_but_for_the_newest_and_none_where_there_is_no_newest() {
    let Some(root) = backed_up() else { return };
    let prune = section("2. ").into_iter().find(|block| block.commands.contains("prune.sh")).unwrap();
    root.type_block(&prune);
    for _ in 0..2 {
        root.run("/etc/cofferdam/backup.sh").assert_done();
    }
    let (names, newest) = backups(&root);
    assert_eq!(names.len(), 3, "{names:?}");
    // The newest has become old: nothing was backed up for forty days. One of the others is of today.
    let recent = names.iter().find(|name| **name != newest).unwrap();
    names
        .iter()
        .filter(|name| *name != recent)
        .for_each(|name| make_old(&root.path("srv/backups").join(name)));
    root.run("/etc/cofferdam/prune.sh").assert_done();
    let mut left = vec![recent.clone(), newest.clone()];
    left.sort();
    assert_eq!(backups(&root), (left.clone(), newest.clone()));
    make_old(&root.path("srv/backups").join(recent));
    let lost = format!("mv /srv/backups/{newest} /tmp/; /etc/cofferdam/prune.sh || echo \"exit code $?\"");
    assert_eq!(root.run(&lost).text(), "exit code 1\n");
    assert_eq!(backups(&root).0, std::slice::from_ref(recent));
}

#[test]
fn a_rotation_keeps_every_other_recipient() {
    let Some(root) = backed_up() else { return };
    root.run("cofferdam keygen -o /tmp/third >> /etc/cofferdam/recipients").assert_done();
    let recipients = |name: &str| {
        let text = fs::read_to_string(root.path("etc/cofferdam").join(name)).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let before = recipients("recipients");
    root.type_block(&section("3. ").into_iter().next().unwrap());
    let after = recipients("recipients.new");
    assert_eq!((before.len(), &after[1..]), (3, &before[1..]));
    assert_ne!(after[0], before[0]);
    root.run("cofferdam verify --quiet -i /tmp/third /srv/backups/app.cfd").assert_done();
}

#[test]
fn a_restored_database_takes_nothing_from_the_log_of_the_one_before_it_and_is_its_users() {
    let Some(root) = backed_up() else { return };
    let crash = "sqlite3 /srv/app/app.db 'pragma journal_mode = wal'
        sqlite3 /srv/app/app.db '.dbconfig no_ckpt_on_close on' 'delete from t where n > 5'";
    root.run(crash).assert_done();
    assert!(fs::metadata(root.path("srv/app/app.db-wal")).unwrap().len() > 0, "nothing was left");
    let owner = match chown(root.path("srv/app"), Some(NOBODY), Some(NOBODY)) {
        Ok(()) => NOBODY,
        Err(_) => fs::metadata(root.path("srv/app")).unwrap().uid(),
    };
    let blocks = section("6. ");
    let (put, before) = blocks.split_last().unwrap();
    before.iter().for_each(|block| root.type_block(block));
    // What the log would do.
    let count = |database: &str| root.run(&format!("sqlite3 {database} 'select count(*) from t'"));
    let beside = "cp /srv/restored/app.db /tmp/app.db; cp /srv/app/app.db-wal /tmp/app.db-wal";
    root.run(beside).assert_done();
    assert_ne!(count("/tmp/app.db").text(), "200000\n");

    root.type_block(put);
    assert_eq!(count("/srv/app/app.db").text(), "200000\n");
    let metadata = fs::metadata(root.path("srv/app/app.db")).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (owner, 0o600));
}
