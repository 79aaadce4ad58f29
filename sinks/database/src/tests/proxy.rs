//! A wire to a PostgreSQL server that breaks at a COMMIT of the test's choice.
//! Knows of the protocol where a message ends and what a COMMIT looks like.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use parking_lot::Mutex;

/// What breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Break {
    /// The server never sees the COMMIT. Then comes `meanwhile`, and then the client is cut off.
    BeforeRequest,
    /// The server has answered. Then comes `meanwhile`, and then the client is cut off, without the answer.
    BeforeAnswer,
    /// The client is cut off at once. Then comes `meanwhile`, and then the server sees the COMMIT.
    Late,
}

/// Listens in a directory of its own as the server does in its.
pub(super) struct Proxy {
    directory: tempfile::TempDir,
}

struct Plan {
    breaks: Break,
    /// COMMITs that pass before.
    commits_before: AtomicU32,
    server: PathBuf,
    meanwhile: Mutex<Box<dyn FnMut() + Send>>,
}

impl Proxy {
    /// Lets `commits_before` COMMITs pass and breaks at the next.
    pub(super) fn start(
        server: &Path,
        breaks: Break,
        commits_before: u32,
        meanwhile: impl FnMut() + Send + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        let plan = Arc::new(Plan {
            breaks,
            commits_before: AtomicU32::new(commits_before),
            server: server.join(SOCKET),
            meanwhile: Mutex::new(Box::new(meanwhile)),
        });
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, plan) = (client.unwrap(), plan.clone());
                thread::spawn(move || plan.carry(client));
            }
        });
        Self { directory }
    }

    pub(super) fn socket_directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Plan {
    /// Errors end the connection, as they would on any wire.
    fn carry(&self, mut client: UnixStream) -> io::Result<()> {
        let mut server = UnixStream::connect(&self.server)?;
        let cut = Arc::new(AtomicBool::new(false));
        let back = {
            let (answers, to_client, cut) = (server.try_clone()?, client.try_clone()?, cut.clone());
            thread::spawn(move || carry_back(answers, to_client, &cut))
        };
        server.write_all(&message(&mut client, 0)?)?;
        loop {
            let message = message(&mut client, 1)?;
            if message[5..] == *b"COMMIT\0" && self.is_next() {
                cut.store(true, Ordering::Release);
                return self.break_at(&message, &client, server, back);
            }
            server.write_all(&message)?;
        }
    }

    /// From here on, nothing goes back: what the server says is lost on the way.
    fn break_at(
        &self,
        commit: &[u8],
        client: &UnixStream,
        mut server: UnixStream,
        back: thread::JoinHandle<()>,
    ) -> io::Result<()> {
        if self.breaks == Break::Late {
            client.shutdown(Shutdown::Both)?;
            (self.meanwhile.lock())();
        }
        if self.breaks != Break::BeforeRequest {
            server.write_all(commit)?;
        }
        server.shutdown(Shutdown::Write)?;
        back.join().unwrap();
        if self.breaks != Break::Late {
            (self.meanwhile.lock())();
            client.shutdown(Shutdown::Both)?;
        }
        Ok(())
    }

    /// One connection at a time counts, and a later one begins when the one before has broken: any order
    /// would do.
    fn is_next(&self) -> bool {
        self.commits_before.fetch_sub(1, Ordering::Relaxed) == 0
    }
}

/// Up to the server's end. `cut` is set, with Release, before the request whose answer is to be lost.
fn carry_back(mut answers: UnixStream, mut to_client: UnixStream, cut: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while let Ok(len @ 1..) = answers.read(&mut buffer) {
        if !cut.load(Ordering::Acquire) && to_client.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
    if !cut.load(Ordering::Acquire) {
        let _ = to_client.shutdown(Shutdown::Both);
    }
}

/// One whole message: `tag_len` bytes of kind, a length that counts itself, and so many bytes.
fn message(client: &mut UnixStream, tag_len: usize) -> io::Result<Vec<u8>> {
    let mut message = vec![0; tag_len + 4];
    client.read_exact(&mut message)?;
    let len = u32::from_be_bytes(message[tag_len..].try_into().unwrap()) as usize;
    message.resize(tag_len + len, 0);
    client.read_exact(&mut message[tag_len + 4..])?;
    Ok(message)
}

/// The socket's name for the default port.
const SOCKET: &str = ".s.PGSQL.5432";
