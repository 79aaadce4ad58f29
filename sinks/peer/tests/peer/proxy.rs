//! A proxy on loopback that may lose, repeat, replace, cut or hold back any record.
//! Knows where a record ends, and the first byte of a message in plaintext.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use peer::Address;

/// One record on its way.
pub(crate) struct Record {
    /// Counts the connections from 0.
    pub(crate) connection: usize,
    pub(crate) from: From,
    /// Counts the records of this direction from 0; the ten bytes of the opening are none.
    pub(crate) number: usize,
    pub(crate) payload: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum From {
    Sender,
    Receiver,
}

/// What becomes of a record.
pub(crate) enum Act {
    Pass,
    Lose,
    /// These go instead.
    Instead(Vec<Vec<u8>>),
    /// So many of its bytes go, the two of its length included, and the connection is closed on both sides.
    CutAfter(usize),
    /// It stays, and nothing goes this way any more; no side is closed.
    Hold,
}

type Script = Arc<Mutex<dyn FnMut(&Record) -> Act + Send>>;

/// A proxy before the receiver at an address that may change.
pub(crate) struct Proxy {
    pub(crate) address: Address,
    pub(crate) upstream: Arc<Mutex<Address>>,
    /// Every byte that went through.
    pub(crate) seen: Arc<Mutex<Vec<u8>>>,
    /// Both sides of every connection, so that one that is held back stays open.
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub(crate) fn before(upstream: &Address, script: impl FnMut(&Record) -> Act + Send + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap().to_string());
        let proxy = Proxy {
            address,
            upstream: Arc::new(Mutex::new(upstream.clone())),
            seen: Arc::default(),
            sockets: Arc::default(),
        };
        let (upstream, seen, sockets) = (proxy.upstream.clone(), proxy.seen.clone(), proxy.sockets.clone());
        let script: Script = Arc::new(Mutex::new(script));
        thread::spawn(move || {
            for (connection, sender) in listener.incoming().enumerate() {
                let Ok(sender) = sender else { return };
                let Address::Tcp(target) = upstream.lock().clone() else { panic!("only TCP") };
                let Ok(receiver) = TcpStream::connect(target) else { continue };
                sockets.lock().extend([sender.try_clone().unwrap(), receiver.try_clone().unwrap()]);
                for from in [From::Sender, From::Receiver] {
                    let (source, sink) = match from {
                        From::Sender => (&sender, &receiver),
                        From::Receiver => (&receiver, &sender),
                    };
                    let direction = Direction {
                        source: source.try_clone().unwrap(),
                        sink: sink.try_clone().unwrap(),
                        script: script.clone(),
                        seen: seen.clone(),
                    };
                    thread::spawn(move || direction.carry(connection, from));
                }
            }
        });
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for socket in self.sockets.lock().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// One direction of a connection.
struct Direction {
    source: TcpStream,
    sink: TcpStream,
    script: Script,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Direction {
    /// Ends when either side does. What it has carried by then has gone, and then the end goes on, too.
    fn carry(mut self, connection: usize, from: From) {
        let end = self.carry_records(connection, from);
        if end != Some(Held) {
            let _ = self.sink.shutdown(Shutdown::Write);
        }
    }

    fn carry_records(&mut self, connection: usize, from: From) -> Option<Held> {
        let mut opening = [0; 10];
        self.source.read_exact(&mut opening).ok()?;
        self.forward(&opening)?;
        for number in 0.. {
            let mut head = [0; 2];
            self.source.read_exact(&mut head).ok()?;
            let mut payload = vec![0; usize::from(u16::from_le_bytes(head))];
            self.source.read_exact(&mut payload).ok()?;
            let record = Record { connection, from, number, payload };
            let act = (self.script.lock())(&record);
            match act {
                Act::Pass => self.forward(&framed(&record.payload))?,
                Act::Lose => {}
                Act::Instead(others) => {
                    for other in others {
                        self.forward(&framed(&other))?;
                    }
                }
                Act::CutAfter(len) => {
                    self.forward(&framed(&record.payload)[..len])?;
                    let _ = self.source.shutdown(Shutdown::Both);
                    let _ = self.sink.shutdown(Shutdown::Both);
                    return None;
                }
                Act::Hold => return Some(Held),
            }
        }
        None
    }

    fn forward(&mut self, bytes: &[u8]) -> Option<()> {
        self.seen.lock().extend_from_slice(bytes);
        self.sink.write_all(bytes).ok()
    }
}

#[derive(PartialEq, Eq)]
struct Held;

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// First bytes of messages in plaintext.
pub(crate) const WELCOME: u8 = 2;
pub(crate) const DATA: u8 = 6;
pub(crate) const COMMIT: u8 = 7;
pub(crate) const COMMITTED: u8 = 8;
pub(crate) const DURABLE_ACK: u8 = 12;
pub(crate) const FINISHED: u8 = 14;
