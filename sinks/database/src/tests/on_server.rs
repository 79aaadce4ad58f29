//! The checks on PostgreSQL, and what holds there alone: lost answers, sessions, a server that crashes.
//! Knows the server from a second session.

use postgres::{Config, NoTls};

use super::{
    super::on_postgres::PostgresSession,
    proxy::{Break, Proxy},
    server::{self, Server},
    *,
};

struct OnServer {
    server: Arc<Server>,
    name: String,
}

impl OnServer {
    /// A database of this name that is there and empty.
    fn new(server: &Arc<Server>, name: &str) -> Self {
        server.client("postgres").batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        Self { server: server.clone(), name: name.into() }
    }

    fn config(&self) -> Config {
        self.server.config(&self.name)
    }

    /// A sink whose wire breaks at the COMMIT after `commits_before` others.
    fn sink_through(
        &self,
        breaks: Break,
        commits_before: u32,
        meanwhile: impl FnMut() + Send + 'static,
    ) -> DatabaseSink {
        let proxy = Proxy::start(self.server.socket_directory(), breaks, commits_before, meanwhile);
        let mut config = Config::new();
        config.host_path(proxy.socket_directory()).user(server::USER).dbname(&self.name);
        // The wire is there as long as the sink is.
        let connect = move || {
            let _ = &proxy;
            config.connect(NoTls)
        };
        DatabaseSink::postgres(connect, &options("db1")).unwrap()
    }
}

impl Ways for OnServer {
    fn sink(&self, options: &DatabaseOptions) -> io::Result<DatabaseSink> {
        sink_on(self.config(), options)
    }

    fn published(&self, target: &DatabaseTarget) -> io::Result<Option<Published>> {
        let config = self.config();
        Published::postgres(move || config.connect(NoTls), target)
    }

    fn session(&self) -> Box<dyn Connection> {
        let config = self.config();
        Box::new(PostgresSession::to_read(Box::new(move || config.connect(NoTls))).unwrap())
    }
}

fn sink_on(config: Config, options: &DatabaseOptions) -> io::Result<DatabaseSink> {
    DatabaseSink::postgres(move || config.connect(NoTls), options)
}

#[test]
fn every_check_holds_on_postgres() {
    let server = Server::shared();
    for (index, check) in CHECKS.iter().enumerate() {
        check(&Database(Rc::new(OnServer::new(&server, &format!("check_{index}")))));
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_out() {
    let server = Server::shared();
    for (breaks, happened) in
        [(Break::BeforeRequest, false), (Break::BeforeAnswer, true), (Break::Late, true)]
    {
        let on_server = OnServer::new(&server, &format!("commit_{breaks:?}").to_lowercase());
        let mut sink = on_server.sink_through(breaks, ANSWERED + 1, until_one_waits(&on_server, breaks));
        let database = Database(Rc::new(on_server));
        write(&mut sink, 0, 0, b"first, ").unwrap();
        let second = write(&mut sink, 1, 7, b"second");
        if happened {
            second.unwrap();
        } else {
            assert_eq!(not_committed(second), io::ErrorKind::ConnectionReset);
            drop(sink);
            sink = database.sink("db1");
            assert_eq!(sink.last_commit().unwrap(), Some(checkpoint(1)));
            sink.resume_at(1, 7).unwrap();
            write(&mut sink, 1, 7, b"second").unwrap();
        }
        sink.publish(13).unwrap();
        assert_eq!(database.read("db1").unwrap(), b"first, second", "{breaks:?}");
    }
}

#[test]
fn a_publish_whose_answer_is_lost_is_found_out() {
    let server = Server::shared();
    for (breaks, happened) in
        [(Break::BeforeRequest, false), (Break::BeforeAnswer, true), (Break::Late, true)]
    {
        let on_server = OnServer::new(&server, &format!("publish_{breaks:?}").to_lowercase());
        let mut sink = on_server.sink_through(breaks, ANSWERED + 1, until_one_waits(&on_server, breaks));
        let database = Database(Rc::new(on_server));
        write(&mut sink, 0, 0, b"whole").unwrap();
        let published = sink.publish(5);
        drop(sink);
        if happened {
            published.unwrap();
            assert_eq!(database.read("db1").unwrap(), b"whole");
        } else {
            not_committed(published);
            assert_eq!(database.read("db1"), None);
            assert_eq!(database.sink("db1").last_commit().unwrap(), Some(checkpoint(1)));
        }
    }
}

#[test]
fn a_commit_is_unknown_when_the_server_crashes_around_it_and_known_when_it_is_back() {
    for (breaks, expected) in [(Break::BeforeRequest, checkpoint(1)), (Break::BeforeAnswer, checkpoint(2))] {
        let server = Arc::new(Server::start());
        let on_server = OnServer::new(&server, "crash");
        // The proxy's threads outlive the sink; the server is the test's.
        let crashing = Arc::downgrade(&server);
        let crash = move || crashing.upgrade().unwrap().crash();
        let mut sink = on_server.sink_through(breaks, ANSWERED + 1, crash);
        write(&mut sink, 0, 0, b"first, ").unwrap();
        let second = write(&mut sink, 1, 7, b"second");
        assert!(matches!(second, Err(CommitError::Unknown(_))), "{second:?}");
        drop(sink);
        server.start_again();
        assert_eq!(on_server.sink(&options("db1")).unwrap().last_commit().unwrap(), Some(expected));
    }
}

#[test]
fn a_server_that_crashes_at_any_step_keeps_what_was_committed_and_nothing_else() {
    let server = Arc::new(Server::start());
    let database = Database(Rc::new(OnServer::new(&server, "crash")));
    for step in 0..STEPS {
        let mut sink = database.replacing("db1");
        let done = restore_until(&mut sink, &server, step);
        drop(sink);
        server.start_again();
        if !done.published {
            let old = step.checked_sub(1).map(|before| vec![before; 6]);
            assert!(database.read("db1") == old, "step {step}");
            go_on(database.replacing("db1"), done.committed, step);
        }
        assert!(database.read("db1").unwrap() == [step; 6], "step {step}");
    }
}

#[test]
fn no_transaction_is_open_while_no_bytes_come() {
    let server = Server::shared();
    let on_server = OnServer::new(&server, "idle");
    let mut config = on_server.config();
    config.application_name("the sink");
    let mut sink = sink_on(config, &options("db1")).unwrap();
    let mut watcher = server.client("idle");
    let mut state = || -> String {
        let sql = "SELECT state FROM pg_stat_activity WHERE application_name = 'the sink'";
        watcher.query_one(sql, &[]).unwrap().get(0)
    };
    for index in 0..3 {
        sink.begin_segment(index, index).unwrap();
        assert_eq!(state(), "idle");
        sink.write_tentative(index, b"x").unwrap();
        assert_eq!(state(), "idle in transaction");
        sink.commit_segment(&checkpoint(index + 1)).unwrap();
        assert_eq!(state(), "idle");
    }
    sink.begin_segment(3, 3).unwrap();
    sink.write_tentative(3, b"x").unwrap();
    sink.rollback_segment().unwrap();
    assert_eq!(state(), "idle");
}

#[test]
fn of_two_sinks_the_later_one_is_refused_until_the_first_one_is_gone() {
    let server = Server::shared();
    let on_server = OnServer::new(&server, "busy");
    let mut early = on_server.sink(&options("db1")).unwrap();
    write(&mut early, 0, 0, b"early").unwrap();
    assert_eq!(on_server.sink(&options("db1")).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    drop(on_server.sink(&options("db2")).unwrap());
    write(&mut early, 1, 5, b" bird").unwrap();
    drop(early);
    let mut late = on_server.sink(&options("db1")).unwrap();
    late.resume_at(2, 10).unwrap();
    // A session that the server has ended holds nothing any more, and commits nothing.
    late.begin_segment(2, 10).unwrap();
    late.write_tentative(10, b"lost").unwrap();
    let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
         WHERE datname = 'busy' AND pid <> pg_backend_pid()";
    server.client("busy").batch_execute(end).unwrap();
    let mut last = on_server.sink(&options("db1")).unwrap();
    assert!(late.commit_segment(&checkpoint(3)).is_err());
    last.resume_at(2, 10).unwrap();
    last.publish(10).unwrap();
    assert_eq!(Database(Rc::new(on_server)).read("db1").unwrap(), b"early bird");
}

#[test]
fn a_role_that_may_make_no_tables_uses_those_that_are_there() {
    let server = Server::shared();
    let on_server = OnServer::new(&server, "roles");
    let mut config = on_server.config();
    config.user("app");
    let mut owner = server.client("roles");
    owner.batch_execute("CREATE ROLE app LOGIN").unwrap();
    let refused = sink_on(config.clone(), &options("db1")).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    drop(on_server.sink(&options("db0")).unwrap());
    owner
        .batch_execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app")
        .unwrap();
    publish_whole(sink_on(config, &options("db1")).unwrap(), b"as app");
    assert_eq!(Database(Rc::new(on_server)).read("db1").unwrap(), b"as app");
}

#[test]
fn commits_wait_for_the_disk_whatever_the_default_is_and_a_server_without_fsync_is_refused() {
    let server = Arc::new(Server::start());
    let on_server = OnServer::new(&server, "settings");
    let mut client = server.client("settings");
    client.batch_execute("ALTER DATABASE settings SET synchronous_commit = off").unwrap();
    let config = on_server.config();
    let connect = Box::new(move || config.connect(NoTls));
    let mut session = PostgresSession::to_write(connect, "settings".into()).unwrap();
    let sql = "SELECT current_setting('synchronous_commit')";
    assert_eq!(session.first_row(sql, &[]).unwrap().unwrap().text().unwrap(), "on");
    client.batch_execute("ALTER SYSTEM SET fsync = off").unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    while client.query_one("SHOW fsync", &[]).unwrap().get::<_, String>(0) == "on" {}
    // A new session may still have been given the old settings.
    let kind = loop {
        match on_server.sink(&options("db1")) {
            Ok(sink) => drop(sink),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(kind, io::ErrorKind::Unsupported);
}

/// Until a session waits for the lock of one that was lost, where the lost one is still there.
fn until_one_waits(on_server: &OnServer, breaks: Break) -> impl FnMut() + Send + use<> {
    let mut watcher = on_server.server.client(&on_server.name);
    let waiting = "SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database \
         WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
    move || while breaks == Break::Late && watcher.query_opt(waiting, &[]).unwrap().is_none() {}
}

fn go_on(mut sink: DatabaseSink, committed: u64, step: u8) {
    let expected = (committed > 0).then(|| checkpoint(committed));
    assert_eq!(sink.last_commit().unwrap(), expected, "step {step}");
    if committed > 0 {
        sink.resume_at(committed, 3 * committed).unwrap();
    }
    for index in committed..2 {
        write(&mut sink, index, 3 * index, &[step; 3]).unwrap();
    }
    sink.publish(6).unwrap();
}

struct Done {
    committed: u64,
    published: bool,
}

/// Two segments and a publish, with the server crashed before the step of this number.
fn restore_until(sink: &mut DatabaseSink, server: &Server, step: u8) -> Done {
    let mut done = Done { committed: 0, published: false };
    let mut steps = 0;
    let mut crash_if_due = || {
        if steps == step {
            server.crash();
        }
        steps += 1;
    };
    for index in 0..2 {
        sink.begin_segment(index, 3 * index).unwrap();
        crash_if_due();
        if sink.write_tentative(3 * index, &[step; 3]).is_err() {
            return done;
        }
        crash_if_due();
        match sink.commit_segment(&checkpoint(index + 1)) {
            Ok(()) => done.committed += 1,
            Err(_) => return done,
        }
    }
    crash_if_due();
    match sink.publish(6) {
        Ok(()) => done.published = true,
        Err(_) => return done,
    }
    crash_if_due();
    done
}

/// COMMITs of a sink that finds no tables, before its first segment: the tables', and the claim's.
const ANSWERED: u32 = 2;
/// Before each write, commit and publish, and after the last.
const STEPS: u8 = 6;
