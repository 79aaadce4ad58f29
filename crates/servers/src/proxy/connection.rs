//! Owns one client's connection through a proxy: request after request, each with what is to go wrong with it.
//! Decides nothing, and changes heads by `edit` alone.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;

use super::fault::{Fault, FaultKind};
use super::link::{End, Gate, Pace};
use super::{Seen, Shared, edit};
use crate::http::{Framing, Head, Incoming, incoming};
use crate::listener::Streams;

/// Both ends of a connection.
pub(super) struct Connection<'a> {
    shared: &'a Shared,
    streams: &'a Streams,
    number: u64,
    client: Incoming,
    server: Option<Incoming>,
    up: Pace,
    down: Pace,
    is_first: bool,
}

/// What becomes of a connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Keep,
    Close,
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        streams: &'a Streams,
        number: u64,
        client: TcpStream,
    ) -> io::Result<Connection<'a>> {
        client.set_nodelay(true)?;
        Ok(Connection {
            shared,
            streams,
            number,
            client: incoming(client),
            server: None,
            up: Pace::new(),
            down: Pace::new(),
            is_first: true,
        })
    }

    /// Answers requests until one end has had enough.
    pub(super) fn serve(mut self) -> io::Result<()> {
        while let Some(asked) = Head::read(&mut self.client)? {
            let (request, fault) = self.shared.decide(&asked);
            let index = request.index();
            let kind = fault.as_ref().map(Fault::kind);
            self.shared.note_seen(Seen { request, fault: kind, status: 0 });
            if self.answer(&asked, fault.as_ref(), index)? == Next::Close {
                break;
            }
        }
        Ok(())
    }

    /// Answers the request `index`. What the client is told is noted before it is.
    fn answer(&mut self, asked: &Head, fault: Option<&Fault>, index: u64) -> io::Result<Next> {
        if let Some(&Fault::Status { code, retry_after }) = fault {
            self.shared.note_fault(FaultKind::Status);
            asked.request_body()?.relay(&mut self.client, &mut |_| Ok(()))?;
            self.delay();
            self.shared.note_status(index, code);
            return self.tell(asked, code, retry_after);
        }
        if asked.field("expect").is_some() {
            self.client.get_ref().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut forwarded = asked.clone();
        edit::request(&mut forwarded, fault);
        self.forward(&forwarded, fault)?;
        let mut answer = self.read_answer()?;
        if let Some(Fault::LoseAnswer) = fault {
            self.shared.note_fault(FaultKind::LoseAnswer);
            // Some servers send the head before the work is done.
            answer.answer_body(asked.method())?.relay(self.server()?, &mut |_| Ok(()))?;
            return Ok(Next::Close);
        }
        let body = answer.answer_body(asked.method())?;
        if fault.is_some_and(|fault| edit::answer(&mut answer, asked, fault)) {
            fault.iter().for_each(|fault| self.shared.note_fault(fault.kind()));
        }
        self.delay();
        self.shared.note_status(index, answer.status());
        self.relay_answer(&answer, body, fault)?;
        let is_over = asked.closes() || answer.closes() || body == Framing::UntilClose;
        let is_wrong = matches!(fault, Some(Fault::WrongLength { .. }));
        Ok(if is_over || is_wrong { Next::Close } else { Next::Keep })
    }

    /// Waits as long as the way is.
    fn delay(&mut self) {
        let times = if std::mem::take(&mut self.is_first) { 2 } else { 1 };
        thread::sleep(self.shared.link.latency() * times);
    }

    /// Answers in the server's place.
    fn tell(&mut self, asked: &Head, code: u16, retry_after: Option<u32>) -> io::Result<Next> {
        let body =
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>planned</Message></Error>");
        let mut answer = Head::new(format!("HTTP/1.1 {code} Planned"))
            .with("Content-Type", "application/xml")
            .with("Content-Length", body.len());
        if let Some(seconds) = retry_after {
            answer = answer.with("Retry-After", seconds);
        }
        let body = if asked.method() == "HEAD" { "" } else { &body };
        self.client.get_ref().write_all(&[&answer.bytes(), body.as_bytes()].concat())?;
        Ok(if asked.closes() { Next::Close } else { Next::Keep })
    }

    /// Sends the server a request, the body as it comes. A server that has answered before all was sent is heard all the same.
    fn forward(&mut self, head: &Head, fault: Option<&Fault>) -> io::Result<()> {
        self.connect()?;
        let body = head.request_body()?;
        let Connection { shared, client, server, up, .. } = self;
        let server = server.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let mut gate = gate(shared, server.get_ref(), up);
        gate.sent = &shared.bytes_up;
        if let Some(&Fault::CutRequest { after }) = fault {
            shared.note_fault(FaultKind::CutRequest);
            gate.end = Some(End::Cut { after });
        }
        let is_cut = gate.end.is_some();
        gate.pass(&head.bytes())?;
        let mut refused = None;
        let sent = body.relay(client, &mut |bytes| {
            if refused.is_none() {
                refused = gate.pass(bytes).err();
            }
            if is_cut && refused.is_some() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
        });
        sent.and_then(|()| gate.finish())
    }

    /// A connection to the server: that of the last request, where it is still good.
    fn connect(&mut self) -> io::Result<()> {
        if self.server.as_ref().is_some_and(|server| is_good(server.get_ref())) {
            return Ok(());
        }
        let server = TcpStream::connect(self.shared.upstream)?;
        server.set_nodelay(true)?;
        self.streams.keep(self.number, &server)?;
        self.server = Some(incoming(server));
        Ok(())
    }

    fn server(&mut self) -> io::Result<&mut Incoming> {
        self.server.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The head of the final answer (RFC 9110, 15.2).
    fn read_answer(&mut self) -> io::Result<Head> {
        loop {
            let head = Head::read(self.server()?)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if !(100..200).contains(&head.status()) {
                return Ok(head);
            }
        }
    }

    fn relay_answer(&mut self, head: &Head, body: Framing, fault: Option<&Fault>) -> io::Result<()> {
        let Connection { shared, client, server, down, .. } = self;
        let mut gate = gate(shared, client.get_ref(), down);
        let mut damaged = None;
        let mut is_of_bodies = true;
        match fault {
            Some(&Fault::CutAnswer { after }) => gate.end = Some(End::Cut { after }),
            Some(&Fault::Stall { after, at_most }) => gate.end = Some(End::Stall { after, at_most }),
            Some(&Fault::Trickle { bytes_per_second }) => gate.bytes_per_second_max = Some(bytes_per_second),
            Some(&Fault::Delay(delay)) => thread::sleep(delay),
            Some(&Fault::Damage { at }) => damaged = Some(at),
            _ => is_of_bodies = false,
        }
        if let Some(fault) = fault.filter(|_| is_of_bodies) {
            shared.note_fault(fault.kind());
        }
        gate.pass(&head.bytes())?;
        let server = server.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut at = 0;
        let relayed = body.relay(server, &mut |bytes| {
            let range = at..at + bytes.len() as u64;
            at = range.end;
            match damaged.filter(|byte| range.contains(byte)) {
                Some(byte) => gate.pass(&with_a_bit_flipped(bytes, (byte - range.start) as usize)),
                None => gate.pass(bytes),
            }
        });
        relayed.and_then(|()| gate.finish())
    }
}

fn gate<'a>(shared: &'a Shared, to: &'a TcpStream, pace: &'a mut Pace) -> Gate<'a> {
    Gate {
        to,
        link: &shared.link,
        pace,
        sent: &shared.bytes_down,
        bytes_per_second_max: None,
        end: None,
        passed: 0,
    }
}

fn with_a_bit_flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// Whether a connection that nothing is expected from is open and silent.
fn is_good(stream: &TcpStream) -> bool {
    let is_silent = || {
        stream.set_nonblocking(true)?;
        let silent = stream.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        stream.set_nonblocking(false)?;
        io::Result::Ok(silent)
    };
    is_silent().unwrap_or(false)
}
