//! A member's header: bytes of an archive to a [`Member`] and back, within the strict profile (TREE §1).
//! Knows no file and no catalog.

mod block;
mod pax;
#[cfg(test)]
mod tests;

use self::{
    block::{Block, LINK, NAME, PREFIX, SECONDS, SIZE, UID, USER},
    pax::{Records, RecordsWriter, digits},
};
use crate::{
    EntryKind, Member, NameFault, Timestamp, TreePath,
    entry::padded,
    limits::{
        BLOCK_LEN, DEVICE_MAX, LINK_LEN_MAX, MODE_MAX, OWNER_MAX, OWNER_NAME_LEN_MAX, RECORDS_LEN_MAX,
        SIZE_MAX,
    },
    path::Ending,
};

/// What the first block of a header says of the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FirstBlock {
    /// It is the whole header, or its last block.
    Member,
    /// Records follow, padded to this many bytes, then a block.
    Records {
        /// In bytes, a multiple of a block.
        padded_len: usize,
    },
}

impl FirstBlock {
    /// Reads the first block of a header.
    ///
    /// # Errors
    /// What of it is outside of the strict profile.
    pub(crate) fn parse(bytes: &[u8; BLOCK_LEN]) -> Result<FirstBlock, String> {
        FirstBlock::of(&Block::parse(bytes)?)
    }

    fn of(block: &Block) -> Result<FirstBlock, String> {
        match block.typeflag {
            b'x' => match usize::try_from(block.size) {
                Ok(len) if (1..=RECORDS_LEN_MAX).contains(&len) => {
                    Ok(FirstBlock::Records { padded_len: len.next_multiple_of(BLOCK_LEN) })
                }
                _ => Err(format!("a pax header of {} bytes", block.size)),
            },
            b'g' => Err("a global pax header".into()),
            flag => match EntryKind::of_typeflag(flag) {
                Some(_) => Ok(FirstBlock::Member),
                None => Err(format!("a member of type `{}`", flag.escape_ascii())),
            },
        }
    }

    /// Whether a block is one that some tar program begins a member with, within the profile or not.
    pub(crate) fn is_of_any_program(bytes: &[u8; BLOCK_LEN]) -> bool {
        block::is_header(bytes)
    }

    /// Bytes of the header that it begins.
    pub(crate) fn header_len(self) -> usize {
        match self {
            FirstBlock::Member => BLOCK_LEN,
            FirstBlock::Records { padded_len } => padded_len + 2 * BLOCK_LEN,
        }
    }
}

impl Member {
    /// Reads a header, all of its bytes.
    ///
    /// # Errors
    /// What of it is outside of the strict profile, or is no safe path.
    pub fn parse(header: &[u8]) -> Result<Member, HeaderFault> {
        let (first, rest) = header.split_first_chunk().ok_or("a header that is cut off")?;
        let first = Block::parse(first)?;
        match FirstBlock::of(&first)? {
            FirstBlock::Member if rest.is_empty() => read(first, &Records::default()),
            FirstBlock::Records { padded_len } if rest.len() == padded_len + BLOCK_LEN => {
                let len = usize::try_from(first.size).map_err(|_| "a pax header too long")?;
                let (padded, last) = rest.split_at(padded_len);
                let last = Block::parse(last.first_chunk().ok_or("a header that is cut off")?)?;
                match FirstBlock::of(&last)? {
                    FirstBlock::Member => read(last, &Records::parse(&padded[..len])?),
                    FirstBlock::Records { .. } => Err("a pax header behind another".into()),
                }
            }
            _ => Err("a header of another length".into()),
        }
    }

    /// The header's bytes: a ustar block, and before it a pax header where that cannot say all.
    ///
    /// # Errors
    /// What cannot be said within the strict profile's limits.
    pub fn to_header(&self) -> Result<Vec<u8>, HeaderFault> {
        let mut records = RecordsWriter::default();
        let block = self.to_block(&mut records)?;
        let records = records.finish();
        let mut header = Vec::with_capacity(BLOCK_LEN);
        if !records.is_empty() {
            if records.len() > RECORDS_LEN_MAX {
                let what =
                    format!("extended attributes of {} bytes; at most 1 MiB can be kept", records.len());
                return Err(what.into());
            }
            let name = self.path.name();
            let name = [b"PaxHeaders/", &name[..name.len().min(NAME.len - b"PaxHeaders/".len())]].concat();
            let size = records.len() as u64;
            let seconds = block.seconds;
            Block { name, mode: 0o644, size, seconds, ..Block::new(b'x') }.write(&mut header);
            header.extend_from_slice(&records);
            header.resize(header.len().next_multiple_of(BLOCK_LEN), 0);
        }
        block.write(&mut header);
        Ok(header)
    }

    /// The ustar block; what does not fit becomes a record.
    fn to_block(&self, records: &mut RecordsWriter) -> Result<Block, HeaderFault> {
        self.check_writable()?;
        let mut block = Block::new(self.kind.typeflag());
        let name = member_name(&self.path, self.kind);
        match split_name(&name) {
            Some((prefix, name)) => (block.prefix, block.name) = (prefix.to_vec(), name.to_vec()),
            None => {
                records.push(b"path", &name);
                block.name = name[..NAME.len].to_vec();
            }
        }
        let link = match self.kind {
            EntryKind::HardLink => [b"./", &*self.link].concat(),
            _ => self.link.clone(),
        };
        match link.len() <= LINK.len {
            true => block.link = link,
            false => {
                records.push(b"linkpath", &link);
                block.link = link[..LINK.len].to_vec();
            }
        }
        block.mode = u64::from(self.mode);
        for (key, number, field) in [("uid", self.uid, &mut block.uid), ("gid", self.gid, &mut block.gid)] {
            match u64::from(number) <= UID.number_max() {
                true => *field = Some(u64::from(number)),
                false => records.push(key.as_bytes(), number.to_string().as_bytes()),
            }
        }
        for (key, name, field) in
            [("uname", &self.user, &mut block.user), ("gname", &self.group, &mut block.group)]
        {
            match name.len() < USER.len {
                true => field.clone_from(name),
                false => records.push(key.as_bytes(), name),
            }
        }
        block.size = self.size.min(SIZE.number_max());
        if block.size < self.size {
            records.push(b"size", self.size.to_string().as_bytes());
        }
        let seconds = u64::try_from(self.modified.seconds).unwrap_or(0).min(SECONDS.number_max());
        block.seconds = Some(seconds);
        if i64::try_from(seconds) != Ok(self.modified.seconds) || self.modified.nanos > 0 {
            records.push(b"mtime", self.modified.to_decimal().as_bytes());
        }
        block.device = (u64::from(self.device.0), u64::from(self.device.1));
        self.xattrs.iter().for_each(|xattr| records.push_xattr(xattr));
        Ok(block)
    }

    /// Whether the values are what a header can have; whoever reads it back gets them.
    fn check_writable(&self) -> Result<(), HeaderFault> {
        let has_data = self.kind == EntryKind::File;
        let devices = [self.device.0, self.device.1].map(u64::from);
        if self.size > if has_data { SIZE_MAX } else { 0 } {
            return Err(format!("a size of {} bytes", self.size).into());
        }
        if u64::from(self.mode) > MODE_MAX || self.uid == u32::MAX || self.gid == u32::MAX {
            return Err("a mode or an owner that no file has".into());
        }
        if devices.iter().any(|number| *number > DEVICE_MAX) {
            return Err("a device with a number that tar cannot say".into());
        }
        if self.modified.nanos >= NANOS_PER_SECOND {
            return Err("a time of more than a second's nanoseconds".into());
        }
        let names = [&self.user, &self.group];
        if names.iter().any(|name| name.len() > OWNER_NAME_LEN_MAX || name.contains(&0)) {
            return Err("a name of an owner that is too long, or has a NUL in it".into());
        }
        check_link(self.kind, &self.link)
    }
}

/// Why bytes are no header, or a member has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HeaderFault {
    /// It is outside of the strict profile: what is.
    OutsideProfile(String),
    /// Its path is none that a tree may have.
    Name(Vec<u8>, NameFault),
}

impl std::fmt::Display for HeaderFault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HeaderFault::OutsideProfile(what) => out.write_str(what),
            HeaderFault::Name(path, fault) => write!(out, "the path {} {fault}", crate::path::Escaped(path)),
        }
    }
}

impl std::error::Error for HeaderFault {}

impl From<String> for HeaderFault {
    fn from(what: String) -> HeaderFault {
        HeaderFault::OutsideProfile(what)
    }
}

impl From<&str> for HeaderFault {
    fn from(what: &str) -> HeaderFault {
        HeaderFault::OutsideProfile(what.to_owned())
    }
}

impl Timestamp {
    /// As a decimal number, with a fraction where there is one.
    fn to_decimal(self) -> String {
        let (seconds, nanos) = match (self.seconds, self.nanos) {
            // -1.5 is the second -2 and half of one.
            (seconds @ ..0, nanos @ 1..) => (seconds + 1, NANOS_PER_SECOND - nanos),
            whole => whole,
        };
        let sign = if self.seconds < 0 { "-" } else { "" };
        let whole = seconds.unsigned_abs();
        match nanos {
            0 => format!("{sign}{whole}"),
            nanos => format!("{sign}{whole}.{}", format!("{nanos:09}").trim_end_matches('0')),
        }
    }

    /// Of a decimal number; digits beyond nanoseconds are dropped towards the past.
    fn of_decimal(bytes: &[u8]) -> Option<Timestamp> {
        let (is_negative, bytes) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mut parts = bytes.splitn(2, |byte| *byte == b'.');
        let whole = digits(parts.next()?)?;
        let fraction = parts.next().unwrap_or(b"0");
        if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digit_at = |at: usize| u32::from(fraction.get(at).map_or(0, |digit| digit - b'0'));
        let nanos = (0..9).fold(0, |sum, at| sum * 10 + digit_at(at));
        let is_cut = fraction.iter().skip(9).any(|digit| *digit != b'0');
        if !is_negative {
            return Some(Timestamp { seconds: i64::try_from(whole).ok()?, nanos });
        }
        let seconds = 0_i64.checked_sub_unsigned(whole)?;
        match nanos + u32::from(is_cut) {
            0 => Some(Timestamp { seconds, nanos: 0 }),
            nanos => Some(Timestamp { seconds: seconds.checked_sub(1)?, nanos: NANOS_PER_SECOND - nanos }),
        }
    }
}

/// What block and records say together.
fn read(block: Block, records: &Records<'_>) -> Result<Member, HeaderFault> {
    let kind = EntryKind::of_typeflag(block.typeflag).ok_or("a member of a type outside of the profile")?;
    let own_name = || match block.prefix.is_empty() {
        true => block.name.clone(),
        false => [&*block.prefix, b"/", &*block.name].concat(),
    };
    let name = records.value("path").map_or_else(own_name, <[u8]>::to_vec);
    // PostgreSQL ends the names of its links to directories so.
    let ending = match kind {
        EntryKind::Directory | EntryKind::Symlink => Ending::SlashAllowed,
        _ => Ending::NoSlash,
    };
    let path = TreePath::of_member(&name, ending);
    let path = match path.map_err(|fault| HeaderFault::Name(name.clone(), fault))? {
        root if root.is_root() && kind != EntryKind::Directory => {
            return Err(HeaderFault::Name(name, NameFault::Dots));
        }
        path => path,
    };
    let link = records.value("linkpath").map_or(block.link, <[u8]>::to_vec);
    let link = match kind {
        EntryKind::HardLink => match TreePath::of_member(&link, Ending::NoSlash) {
            Ok(target) => target.as_bytes().to_vec(),
            Err(fault) => return Err(HeaderFault::Name(link, fault)),
        },
        EntryKind::Symlink => link,
        _ => Vec::new(),
    };
    check_link(kind, &link)?;
    let number = |key, own: Option<u64>, max| match records.number(key)?.or(own).ok_or(BASE_256)? {
        number if number <= max => u32::try_from(number).map_err(|_| format!("a {key} of {number}")),
        number => Err(format!("a {key} of {number}")),
    };
    let mtime = match records.value("mtime") {
        Some(value) => Timestamp::of_decimal(value).ok_or("a pax mtime that is no time")?,
        None => Timestamp { seconds: block.seconds.ok_or(BASE_256)?.cast_signed(), nanos: 0 },
    };
    let owner_name = |key, own: &[u8]| match records.value(key).unwrap_or(own) {
        name if name.len() <= OWNER_NAME_LEN_MAX => Ok(name.to_vec()),
        _ => Err(format!("a {key} of more than {OWNER_NAME_LEN_MAX} bytes")),
    };
    let is_device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
    let device = |own: u64| match u32::try_from(own) {
        Ok(number) if own <= DEVICE_MAX => Ok(if is_device { number } else { 0 }),
        _ => Err(format!("a device number of {own}")),
    };
    Ok(Member {
        path,
        kind,
        size: size(kind, block.size, records)?,
        mode: number("mode", Some(block.mode), MODE_MAX)?,
        uid: number("uid", block.uid, OWNER_MAX)?,
        gid: number("gid", block.gid, OWNER_MAX)?,
        user: owner_name("uname", &block.user)?,
        group: owner_name("gname", &block.group)?,
        modified: mtime,
        link,
        device: (device(block.device.0)?, device(block.device.1)?),
        xattrs: records.xattrs()?,
    })
}

/// The size, which block and records say alike (T1.8), so that no reader finds other members than another.
fn size(kind: EntryKind, own: u64, records: &Records<'_>) -> Result<u64, HeaderFault> {
    let size = records.number("size")?.unwrap_or(own);
    let is_beyond = size > SIZE.number_max();
    let agrees = if is_beyond { own == 0 || own == SIZE.number_max() || own == size } else { own == size };
    if !agrees {
        return Err(
            format!("a size of {own} bytes in the ustar header and of {size} in the pax header").into()
        );
    }
    if size > SIZE_MAX || padded(size).is_none() || (kind != EntryKind::File && size > 0) {
        return Err(format!("a size of {size} bytes").into());
    }
    Ok(size)
}

fn check_link(kind: EntryKind, link: &[u8]) -> Result<(), HeaderFault> {
    match kind.is_link() {
        true if link.is_empty() || link.len() > LINK_LEN_MAX || link.contains(&0) => {
            Err("a link to no path that may be".into())
        }
        _ => Ok(()),
    }
}

/// A path as archives have it. GNU tar sets the times of the root last only where all other names begin as its own.
fn member_name(path: &TreePath, kind: EntryKind) -> Vec<u8> {
    match kind {
        _ if path.is_root() => b"./".to_vec(),
        EntryKind::Directory => [b"./", path.as_bytes(), b"/"].concat(),
        _ => [b"./", path.as_bytes()].concat(),
    }
}

/// The name in two parts that fit a block, divided at a `/`; none where there are none.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME.len {
        return Some((b"", name));
    }
    let earliest = name.len() - NAME.len - 1;
    let slashes = name.iter().enumerate().skip(earliest).filter(|(_, byte)| **byte == b'/');
    // The last byte of a directory is no place to divide it.
    let slash = slashes.map(|(at, _)| at).find(|at| (1..name.len() - 1).contains(at))?;
    (slash <= PREFIX.len).then(|| (&name[..slash], &name[slash + 1..]))
}

const BASE_256: &str = "a number in base 256, and no record of it";
const NANOS_PER_SECOND: u32 = 1_000_000_000;
