//! The parts of an object until the store has them: in memory, or in a file that has no name.
//! Knows bytes and room, and no store.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use remote::upload::Body;

use crate::parts::{HoldsIn, PartPlan};

/// Room for as many parts as the plan holds.
#[derive(Debug)]
pub(crate) struct Held {
    part_len: usize,
    /// Parts that there may be besides those that are there.
    unmade: usize,
    room: Room,
}

#[derive(Debug)]
enum Room {
    /// Buffers that nothing uses.
    Memory(Vec<BytesMut>),
    /// Places in the file that nothing uses, by their number.
    Spool { spool: Arc<Spool>, free: Vec<usize>, next: usize },
}

/// The file, and the directory that it was made in.
#[derive(Debug)]
pub(crate) struct Spool {
    file: Arc<File>,
    directory: PathBuf,
}

/// A part that is being filled.
#[derive(Debug)]
pub(crate) enum Filling {
    Memory(BytesMut),
    Spool { spool: Arc<Spool>, offset: u64, len: usize },
}

impl Held {
    /// # Errors
    /// The spool file cannot be made.
    pub(crate) fn new(plan: &PartPlan, spool: Option<&Path>) -> io::Result<Held> {
        let room = match (plan.holds_in, spool) {
            (HoldsIn::Memory, _) => Room::Memory(Vec::new()),
            (HoldsIn::Spool, Some(directory)) => {
                // Without a name, and of mode 0600 where it has one for a moment.
                let file = tempfile::tempfile_in(directory).map_err(|error| {
                    let message = format!("no spool file can be made in {}: {error}", directory.display());
                    io::Error::new(error.kind(), message)
                })?;
                let spool = Arc::new(Spool { file: Arc::new(file), directory: directory.to_owned() });
                Room::Spool { spool, free: Vec::new(), next: 0 }
            }
            (HoldsIn::Spool, None) => unreachable!("a plan spools only where there is a directory"),
        };
        Ok(Held { part_len: plan.part_len, unmade: plan.held, room })
    }

    /// Room for another part, unless all of it is in use.
    ///
    /// # Errors
    /// [`io::ErrorKind::OutOfMemory`].
    pub(crate) fn take(&mut self) -> io::Result<Option<Filling>> {
        let unmade = &mut self.unmade;
        Ok(match &mut self.room {
            Room::Memory(free) => match free.pop() {
                Some(buffer) => Some(Filling::Memory(buffer)),
                None if *unmade > 0 => {
                    *unmade -= 1;
                    Some(Filling::Memory(BytesMut::new()))
                }
                None => None,
            },
            Room::Spool { spool, free, next } => {
                let place = match free.pop() {
                    Some(place) => place,
                    None if *unmade > 0 => {
                        *unmade -= 1;
                        *next += 1;
                        *next - 1
                    }
                    None => return Ok(None),
                };
                let offset = place as u64 * self.part_len as u64;
                Some(Filling::Spool { spool: spool.clone(), offset, len: 0 })
            }
        })
    }

    /// A part that the store has: its room is free.
    pub(crate) fn give_back(&mut self, body: Body) {
        match (&mut self.room, body) {
            (Room::Memory(free), Body::Memory(bytes)) => match bytes.try_into_mut() {
                Ok(mut buffer) => {
                    buffer.clear();
                    free.push(buffer);
                }
                // A connection that is being closed has a piece of it for a moment.
                Err(_) => self.unmade += 1,
            },
            (Room::Spool { free, .. }, Body::File { offset, .. }) => {
                free.push((offset / self.part_len as u64) as usize);
            }
            (Room::Memory(_), Body::File { .. }) | (Room::Spool { .. }, Body::Memory(_)) => {
                unreachable!("what comes back is what was sent")
            }
        }
    }
}

impl Spool {
    /// # Errors
    /// The file's, with the directory: on a full disk that is what somebody has to look at.
    fn write(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(data, at).map_err(|error| {
            let message =
                format!("the spool file in {} cannot be written: {error}", self.directory.display());
            io::Error::new(error.kind(), message)
        })
    }
}

impl Filling {
    pub(crate) fn len(&self) -> usize {
        match self {
            Filling::Memory(buffer) => buffer.len(),
            Filling::Spool { len, .. } => *len,
        }
    }

    /// Takes `data`, which fits.
    ///
    /// # Errors
    /// [`io::ErrorKind::OutOfMemory`]; the spool file's, a full disk for instance.
    pub(crate) fn append(&mut self, data: &[u8], part_len: usize) -> io::Result<()> {
        assert!(self.len() + data.len() <= part_len, "a part is not filled beyond its end");
        match self {
            Filling::Memory(buffer) => {
                reserve(buffer, data.len(), part_len)?;
                buffer.extend_from_slice(data);
            }
            Filling::Spool { spool, offset, len } => {
                spool.write(data, *offset + *len as u64)?;
                *len += data.len();
            }
        }
        Ok(())
    }

    pub(crate) fn truncate(&mut self, to: usize) {
        match self {
            Filling::Memory(buffer) => buffer.truncate(to),
            Filling::Spool { len, .. } => *len = (*len).min(to),
        }
    }

    pub(crate) fn into_body(self) -> Body {
        match self {
            Filling::Memory(buffer) => Body::Memory(buffer.freeze()),
            Filling::Spool { spool, offset, len } => Body::File { file: spool.file.clone(), offset, len },
        }
    }
}

/// Room for `more` bytes: doubled, so that a short object takes little, and never more than a part.
fn reserve(buffer: &mut BytesMut, more: usize, part_len: usize) -> io::Result<()> {
    if buffer.capacity() - buffer.len() >= more {
        return Ok(());
    }
    let wanted = (buffer.len() + more).max(2 * buffer.capacity()).max(FIRST_LEN).min(part_len);
    let mut grown = Vec::new();
    grown.try_reserve_exact(wanted).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    grown.extend_from_slice(buffer);
    *buffer = BytesMut::from(bytes::Bytes::from(grown));
    Ok(())
}

/// Bytes that a part begins with.
const FIRST_LEN: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::ExpectedLen;

    /// Where the store takes nothing, no more room is made than was planned; and what comes back is used again.
    #[test]
    fn there_is_as_much_room_as_was_planned_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        for (memory, spool, held) in [(23 << 20, None, 4), (2 << 20, Some(directory.path()), 4)] {
            let plan = PartPlan::new(ExpectedLen::Exactly(1 << 30), memory, spool.is_some()).unwrap();
            let mut room = Held::new(&plan, spool).unwrap();
            let mut bodies = Vec::new();
            while let Some(mut filling) = room.take().unwrap() {
                filling.append(&[bodies.len() as u8; 3], plan.part_len).unwrap();
                filling.truncate(2);
                bodies.push(filling.into_body());
            }
            assert_eq!(bodies.len(), held);
            for round in 0..3 {
                room.give_back(bodies.remove(round));
                let filling = room.take().unwrap().unwrap();
                assert_eq!(filling.len(), 0);
                assert!(room.take().unwrap().is_none());
                bodies.insert(round, filling.into_body());
            }
        }
    }

    /// `/dev/full` takes nothing, as full(4) has it.
    #[test]
    fn a_full_disk_is_said_with_the_directory() {
        let file = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let spool = Arc::new(Spool { file, directory: "/var/spool/parts".into() });
        let error = Filling::Spool { spool, offset: 0, len: 0 }.append(b"part", 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("/var/spool/parts"), "{error}");
    }

    /// No two parts lie in one place of the file, and each is there as it was written.
    #[test]
    fn parts_in_a_file_do_not_touch() {
        let directory = tempfile::tempdir().unwrap();
        let plan = PartPlan::new(ExpectedLen::Exactly(1 << 30), 2 << 20, true).unwrap();
        let mut room = Held::new(&plan, Some(directory.path())).unwrap();
        let mut parts = Vec::new();
        while let Some(mut filling) = room.take().unwrap() {
            let bytes = vec![parts.len() as u8 + 1; plan.part_len];
            filling.append(&bytes[..7], plan.part_len).unwrap();
            filling.append(&bytes[7..], plan.part_len).unwrap();
            parts.push((filling.into_body(), bytes));
        }
        for (body, bytes) in parts {
            let Body::File { file, offset, len } = body else { panic!("it is in the file") };
            let mut there = vec![0; len];
            file.read_exact_at(&mut there, offset).unwrap();
            assert!(there == bytes);
        }
    }
}
