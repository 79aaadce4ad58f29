//! Commits whose answer is lost, before and after they have happened, and sessions that end anywhere.
//! Knows no server: a session with a file, and a wire that breaks.

use std::path::PathBuf;

use super::{
    super::connection::{Dialect, Row, Value},
    sqlite::File,
    *,
};

/// What breaks, at the commit of this number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Loss {
    Request,
    Answer,
    /// The answer, and the way back to the server.
    AnswerAndServer,
    /// The answer; and before this session is back, another restore has come.
    AnswerAndHold,
}

/// A session that loses one commit.
struct Lossy {
    wire: Box<dyn Connection>,
    loss: Loss,
    commits_before: u32,
    path: PathBuf,
}

impl Connection for Lossy {
    fn dialect(&self) -> &'static Dialect {
        self.wire.dialect()
    }
    fn begin(&mut self) -> io::Result<()> {
        self.wire.begin()
    }
    fn commit(&mut self) -> Result<(), CommitError> {
        if self.commits_before > 0 {
            self.commits_before -= 1;
            return self.wire.commit();
        }
        self.commits_before = u32::MAX;
        match self.loss {
            Loss::Request => self.wire.roll_back()?,
            Loss::Answer | Loss::AnswerAndServer | Loss::AnswerAndHold => self.wire.commit()?,
        }
        Err(CommitError::Unknown(io::ErrorKind::ConnectionReset.into()))
    }
    fn roll_back(&mut self) -> io::Result<()> {
        self.wire.roll_back()
    }
    fn connect_again(&mut self) -> io::Result<()> {
        match self.loss {
            Loss::Request | Loss::Answer => Ok(()),
            Loss::AnswerAndServer => Err(io::ErrorKind::ConnectionRefused.into()),
            Loss::AnswerAndHold => DatabaseSink::sqlite(&self.path, &options("db1")).map(|_| ()),
        }
    }
    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> io::Result<u64> {
        self.wire.execute(sql, values)
    }
    fn first_row(&mut self, sql: &str, values: &[Value<'_>]) -> io::Result<Option<Row>> {
        self.wire.first_row(sql, values)
    }
}

/// A sink whose `nth` commit after the claim is lost.
fn lossy(file: &File, loss: Loss, nth: u32) -> DatabaseSink {
    drop(file.sink(&options("tables, so that the claim is the first commit")).unwrap());
    let lossy = Lossy { wire: file.session(), loss, commits_before: nth + 1, path: file.path.clone() };
    DatabaseSink::over(Box::new(lossy), &options("db1")).unwrap()
}

#[test]
fn a_commit_that_happened_is_found_out_and_the_stream_goes_on() {
    let file = File::new();
    let mut sink = lossy(&file, Loss::Answer, 1);
    write(&mut sink, 0, 0, b"first, ").unwrap();
    write(&mut sink, 1, 7, b"second, ").unwrap(); // its answer is lost
    write(&mut sink, 2, 15, b"third").unwrap();
    sink.publish(20).unwrap();
    assert_eq!(Database(Rc::new(file)).read("db1").unwrap(), b"first, second, third");
}

#[test]
fn a_commit_that_did_not_happen_is_found_out_and_done_again_by_the_next_sink() {
    let file = File::new();
    let mut sink = lossy(&file, Loss::Request, 1);
    write(&mut sink, 0, 0, b"first, ").unwrap();
    assert_eq!(not_committed(write(&mut sink, 1, 7, b"second")), io::ErrorKind::ConnectionReset);
    assert_eq!(not_committed(sink.publish(7)), io::ErrorKind::NotConnected);
    drop(sink);
    let mut next = file.sink(&options("db1")).unwrap();
    assert_eq!(next.last_commit().unwrap(), Some(checkpoint(1)));
    next.resume_at(1, 7).unwrap();
    write(&mut next, 1, 7, b"second").unwrap();
    next.publish(13).unwrap();
    assert_eq!(Database(Rc::new(file)).read("db1").unwrap(), b"first, second");
}

#[test]
fn a_checkpoint_that_stood_there_before_is_not_taken_for_the_commit_that_was_lost() {
    let file = File::new();
    let mut sink = lossy(&file, Loss::Request, 1);
    write(&mut sink, 0, 0, b"first").unwrap();
    sink.begin_segment(1, 5).unwrap();
    sink.write_tentative(5, b", second").unwrap();
    assert_eq!(not_committed(sink.commit_segment(&checkpoint(1))), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_commit_that_cannot_be_looked_up_is_unknown() {
    let file = File::new();
    let mut sink = lossy(&file, Loss::AnswerAndServer, 0);
    assert!(matches!(write(&mut sink, 0, 0, b"first"), Err(CommitError::Unknown(_))));
}

#[test]
fn a_publish_whose_answer_is_lost_is_found_out_both_ways() {
    for (loss, published) in
        [(Loss::Answer, Some(true)), (Loss::Request, Some(false)), (Loss::AnswerAndServer, None)]
    {
        let file = File::new();
        let mut sink = lossy(&file, loss, 1);
        write(&mut sink, 0, 0, b"whole").unwrap();
        let said = match sink.publish(5) {
            Ok(()) => Some(true),
            Err(CommitError::NotCommitted(_)) => Some(false),
            Err(CommitError::Unknown(_)) => None,
        };
        assert_eq!(said, published, "{loss:?}");
        drop(sink);
        let stands = Database(Rc::new(file)).read("db1").is_some();
        assert_eq!(stands, loss != Loss::Request, "{loss:?}");
    }
}

#[test]
fn a_commit_that_someone_else_may_have_built_upon_is_unknown() {
    let file = File::new();
    let mut sink = lossy(&file, Loss::AnswerAndHold, 0);
    assert!(matches!(write(&mut sink, 0, 0, b"first"), Err(CommitError::Unknown(_))));
}
