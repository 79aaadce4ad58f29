//! Owns plain HTTP requests, one a connection: what prepares the servers and asks them in tests.
//! Knows nothing of signatures.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::http::{Head, incoming};

/// How long nothing may come.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// Bytes of an answer's body.
const BODY_LEN_MAX: usize = 1 << 30;

/// What a server said.
#[derive(Clone, Debug)]
pub struct Answer {
    head: Head,
    /// The body, without the lines around its pieces.
    pub body: Vec<u8>,
}

impl Answer {
    /// Such as 206.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The value of a field of its head, whose name is of any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// An error unless it is one of success.
    pub(crate) fn accepted(self) -> io::Result<Answer> {
        match self.status() {
            200..=299 => Ok(self),
            status => Err(io::Error::other(format!("the server answered {status}: {}", self.text()))),
        }
    }
}

/// Asks `server` for `target`, the path with what follows it, and waits for the whole answer.
///
/// # Errors
/// No connection, one that ends or stands still before the answer has come, or an answer that is none.
pub fn request(
    server: SocketAddr,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut head = Head::new(format!("{method} {target} HTTP/1.1"))
        .with("Host", server)
        .with("Content-Length", body.len())
        .with("Connection", "close");
    head.fields.extend(fields.iter().map(|(name, value)| (String::from(*name), String::from(*value))));
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.write_all(&[&head.bytes(), body].concat())?;
    let mut answers = incoming(stream);
    let head = Head::read(&mut answers)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let body = head.answer_body(method)?.read(&mut answers, BODY_LEN_MAX)?;
    Ok(Answer { head, body })
}
