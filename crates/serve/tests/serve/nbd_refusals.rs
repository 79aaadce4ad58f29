//! NBD as broken media and broken clients use it: an error of the device, or the connection's end.

use std::sync::atomic::Ordering;

use crate::nbd::{ACK, CACHE, GO, NbdFixture, READ};
use crate::source::{one_that_is_left_soon, patient, wait_until};

const UNSUPPORTED: u32 = 0x8000_0001;
const INVALID: u32 = 0x8000_0003;
const UNKNOWN: u32 = 0x8000_0006;
const EPERM: u32 = 1;
const EIO: u32 = 5;
const EINVAL: u32 = 22;

#[test]
fn options_that_are_not_there_or_make_no_sense_are_refused_and_the_next_is_heard() {
    let served = NbdFixture::new(1000);
    let mut client = served.greeted(3);
    // STARTTLS, STRUCTURED_REPLY, LIST_META_CONTEXT, SET_META_CONTEXT, EXTENDED_HEADERS, one that nobody knows.
    for option in [5, 8, 9, 10, 11, 0, 4, 12345, u32::MAX] {
        client.option(option, b"whatever");
        assert_eq!(client.reply().1, UNSUPPORTED, "{option}");
    }
    for (option, data, error) in [
        (3, &b"x"[..], INVALID),
        (6, b"", INVALID),
        (GO, b"\0\0\0\x05disk\0\0", INVALID),
        (GO, b"\xff\xff\xff\xff\0\0", INVALID),
        (GO, b"\0\0\0\x04disk\0\0", UNKNOWN),
        (6, b"\0\0\0\x09disk.img \0\0", UNKNOWN),
    ] {
        client.option(option, data);
        let (replied, kind, _) = client.reply();
        assert_eq!((replied, kind), (option, error), "{data:?}");
    }
    client.option(2, b"");
    assert_eq!(client.reply(), (2, ACK, vec![]));
    assert!(client.is_left());
}

#[test]
fn what_is_no_handshake_ends_the_connection() {
    let served = NbdFixture::new(1000);
    let impatient = NbdFixture::with_limits(1000, one_that_is_left_soon());
    for flags in [0, 2, 4, 5, 1 << 16 | 1, u32::MAX] {
        assert!(served.greeted(flags).is_left(), "{flags}");
    }
    let with = |say: &dyn Fn(&mut crate::nbd::Client)| {
        let mut client = served.greeted(3);
        say(&mut client);
        client.is_left()
    };
    assert!(with(&|client| client.say(b"IHAVEOPS\0\0\0\x03\0\0\0\0")));
    assert!(with(&|client| client.say(b"IHAVEOPT\0\0\0\x03\xff\xff\xff\xff")));
    assert!(with(&|client| client.option(1, b"another")));
    // One that says nothing more, or asks for ever.
    let mut client = impatient.greeted(3);
    client.say(b"IHAVEOPT\0\0");
    assert!(client.is_left());
    let mut client = served.greeted(3);
    for _ in 0..64 {
        client.option(0, b"");
        assert_eq!(client.reply().1, UNSUPPORTED);
    }
    assert!(client.is_left());
}

#[test]
fn nothing_is_written_and_no_more_is_read_than_there_is() {
    let served = NbdFixture::new(40 << 20);
    let mut client = served.client();
    client.request(0, 1, 1, 0, 100_000);
    client.say(&vec![7; 100_000]);
    assert_eq!(client.answer(), (EPERM, 1));
    for (command, error) in [(4, EPERM), (6, EPERM), (3, EINVAL), (7, EINVAL), (8, EINVAL), (999, EINVAL)] {
        client.request(0, command, 2, 0, 512);
        assert_eq!(client.answer(), (error, 2), "{command}");
    }
    let end = 40 << 20;
    for (offset, len) in [(end, 1), (end - 1, 2), (u64::MAX, 1), (u64::MAX, u32::MAX), (0, (32 << 20) + 1)] {
        client.request(0, READ, 3, offset, len);
        assert_eq!(client.answer(), (EINVAL, 3), "{offset} {len}");
    }
    for flags in [1, 2, 4, 8, 1 << 15] {
        client.request(flags, READ, 4, 0, 1);
        assert_eq!(client.answer(), (EINVAL, 4), "{flags}");
    }
    let most = client.read(end - (32 << 20), 32 << 20).unwrap();
    assert!(most == served.source.bytes[8 << 20..]);
}

#[test]
fn what_cannot_be_read_is_an_error_of_the_device_and_the_rest_is_read() {
    let served = NbdFixture::new(1 << 20);
    served.source.break_range(5000..5001);
    let mut client = served.client();
    assert_eq!(client.read(4096, 4096), Err(EIO));
    client.request(0, CACHE, 9, 0, 1 << 20);
    assert_eq!(client.answer(), (EIO, 9));
    assert_eq!(client.read(0, 5000).unwrap(), served.source.bytes[..5000]);
}

#[test]
fn what_is_no_request_ends_the_connection_and_no_other() {
    let served = NbdFixture::new(1000);
    let mut other = served.client();
    for request in [&[0; 28][..], b"\x25\x60\x95\x14", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut client = served.client();
        client.say(request);
        client.0.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(client.is_left());
    }
    // More than can be written is not read over.
    let mut client = served.client();
    client.request(0, 1, 1, 0, u32::MAX);
    assert!(client.is_left());
    assert_eq!(other.read(0, 1000).unwrap(), served.source.bytes);
}

#[test]
fn a_client_that_leaves_or_takes_nothing_is_left_and_others_are_served() {
    let served = NbdFixture::new(40 << 20);
    let mut silent = served.client();
    (0..4).for_each(|number| silent.request(0, READ, number, 0, 32 << 20));
    for _ in 0..4 {
        served.client().request(0, READ, 0, 0, 32 << 20);
    }
    let mut other = served.client();
    assert_eq!(other.read(0, 4096).unwrap(), served.source.bytes[..4096]);
    wait_until("an end of all reads", || served.source.running().0 == 0);
    drop(silent);
}

#[test]
fn however_many_take_nothing_others_read_what_they_like() {
    let served = NbdFixture::with_limits(40 << 20, patient());
    // Each may keep 32 MiB; 128 MiB are there to share.
    let silent: Vec<_> = (0..5)
        .map(|_| {
            let mut client = served.client();
            (0..4).for_each(|number| client.request(0, READ, number, 0, 32 << 20));
            client
        })
        .collect();
    wait_until("the first reads", || served.source.reads.load(Ordering::Relaxed) > 4);
    wait_until("an end of all reads", || served.source.running().0 == 0);
    let mut other = served.client();
    for offset in 0..100 {
        assert_eq!(other.read(offset, 4096).unwrap(), served.source.bytes[offset as usize..][..4096]);
    }
    // Longer than the memory that is left for it, and several at once.
    let len = 32 << 20;
    (0..3_u64).for_each(|number| other.request(0, READ, number, number, len));
    let mut cookies = Vec::new();
    for _ in 0..3 {
        let (error, cookie) = other.answer();
        assert!(
            error == 0 && other.take(len as usize) == served.source.bytes[cookie as usize..][..len as usize]
        );
        cookies.push(cookie);
    }
    cookies.sort_unstable();
    assert_eq!(cookies, [0, 1, 2]);
    other.request(0, CACHE, 1, 0, 40 << 20);
    assert_eq!(other.answer(), (0, 1));
    // All is read before a reply says that it could be.
    served.source.break_range((32 << 20) - 1..32 << 20);
    assert_eq!(other.read(0, len), Err(EIO));
    assert_eq!(other.read(0, len - 1).unwrap().len(), len as usize - 1);
    drop(silent);
}
