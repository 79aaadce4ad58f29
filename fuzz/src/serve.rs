//! Checks for the fuzzer: what a server reads of others: the text of a working set, and the messages of NBD.
//! It knows no connection. The parsers are built into it, without the server around them.

#[path = "../../crates/serve/src/nbd/wire.rs"]
#[allow(dead_code, unreachable_pub)] // What a server says is not parsed here.
mod wire;
#[path = "../../crates/serve/src/working_set.rs"]
#[allow(dead_code, unreachable_pub)] // It is made by the recorder.
mod working_set;

use wire::{REQUEST_LEN_MAX, Request, asked_name, simple_reply};
use working_set::WorkingSet;

/// Everything below, for one input. Panics on a fault.
pub(crate) fn check(data: &[u8]) {
    working_set(data);
    request(data);
    option(data);
}

/// A text that parses is the only one of its ranges, none of which is empty, or goes beyond the length.
fn working_set(data: &[u8]) {
    let Ok(set) = WorkingSet::parse(data) else { return };
    assert_eq!(set.to_string().as_bytes(), data);
    let len = set.ranges().iter().map(|range| range.end.checked_sub(range.start).expect("it has bytes"));
    assert!(len.clone().all(|len| len > 0));
    assert_eq!(len.sum::<u64>(), set.touched_len());
}

/// A request that parses says what its bytes say.
fn request(data: &[u8]) {
    let Some(bytes) = data.first_chunk() else { return };
    let Some(request) = Request::parse(bytes) else { return };
    let Request { flags, command, cookie, offset, len } = request;
    let fields = [&flags.to_be_bytes()[..], &command.to_be_bytes(), &cookie.to_be_bytes()].concat();
    let rest = [&offset.to_be_bytes()[..], &len.to_be_bytes()].concat();
    assert_eq!([&bytes[..4], &fields, &rest].concat(), bytes);
    assert_eq!(simple_reply(0, cookie)[8..], bytes[8..16]);
    if len <= REQUEST_LEN_MAX && offset <= u64::from(u32::MAX) {
        assert_eq!(request.range().end - request.range().start, u64::from(len));
    }
}

/// A question for an export is as long as it says: its name, and questions of two bytes.
fn option(data: &[u8]) {
    let Some(name) = asked_name(data) else { return };
    let count = (data.len() - 6 - name.len()) / 2;
    let count = u16::try_from(count).expect("it is said in two bytes").to_be_bytes();
    let len = u32::try_from(name.len()).expect("it is said in four bytes").to_be_bytes();
    assert!(data.starts_with(&[&len, name, &count[..]].concat()));
}
