//! What is read at offsets, in order, and with how many requests.

use sources::Source;

use crate::{
    at, open, read, read_in_order,
    server::{Object, Server, bytes},
};

const HEAD: usize = 64 << 10;

#[test]
fn bytes_are_the_objects_own_in_order_and_at_offsets() {
    for len in [1, 2, HEAD - 1, HEAD, HEAD + 1, 2 * HEAD, 2 * HEAD + 1, (3 << 20) + 17] {
        let object = bytes(len as u64, len);
        let server = Server::start(Object::new(object.clone(), "\"a\""));
        let mut source = open(&server.url()).unwrap();
        assert_eq!(Source::len(&source), Some(len as u64));
        assert_eq!(at(&source).len(), len as u64);
        assert!(read_in_order(&mut source).unwrap() == object, "{len} bytes in order");
        let at = at(&source);
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20 {
            let start = rng.usize(..len);
            let count = rng.usize(..=len - start);
            assert!(
                read(&*at, start as u64, count).unwrap() == object[start..start + count],
                "{count} at {start} of {len}"
            );
        }
    }
}

#[test]
fn an_empty_object_is_read_to_its_end() {
    let server = Server::start(Object::new(Vec::new(), "\"a\""));
    let mut source = open(&server.url()).unwrap();
    assert_eq!(Source::len(&source), Some(0));
    assert!(read_in_order(&mut source).unwrap().is_empty());
}

#[test]
fn the_head_comes_with_the_first_request_and_the_tail_with_one_more() {
    let object = bytes(1, 4 << 20);
    let server = Server::start(Object::new(object.clone(), "\"a\""));
    let source = open(&server.url()).unwrap();
    let at = at(&source);
    let len = object.len() as u64;
    for (offset, count) in
        [(0, 64), (64, 4032), (0, HEAD), (len - 40, 40), (len - 4096, 100), (len - HEAD as u64, HEAD)]
    {
        assert!(read(&*at, offset, count).unwrap() == object[offset as usize..][..count]);
    }
    assert_eq!(server.ranges(), [Some((0, HEAD as u64 - 1)), Some((len - HEAD as u64, len - 1))]);
    assert_eq!((source.tally().requests, source.tally().bytes), (2, 2 * HEAD as u64));
}

#[test]
fn another_read_asks_for_exactly_its_range() {
    let object = bytes(2, 4 << 20);
    let server = Server::start(Object::new(object.clone(), "\"a\""));
    let source = open(&server.url()).unwrap();
    assert!(read(&*at(&source), 1_000_000, 5).unwrap() == object[1_000_000..1_000_005]);
    assert!(read(&*at(&source), HEAD as u64 - 1, 2).unwrap() == object[HEAD - 1..=HEAD]);
    assert_eq!(server.ranges()[1..], [Some((1_000_000, 1_000_004)), Some((HEAD as u64 - 1, HEAD as u64))]);
}

#[test]
fn a_read_beyond_the_end_is_an_error_without_a_request() {
    let server = Server::start(Object::new(bytes(3, 100), "\"a\""));
    let source = open(&server.url()).unwrap();
    for (offset, count) in [(98, 3), (101, 0), (u64::MAX, 1)] {
        let error = read(&*at(&source), offset, count).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn many_threads_read_one_object() {
    let object = bytes(4, 4 << 20);
    let server = Server::start(Object::new(object.clone(), "\"a\""));
    let source = open(&server.url()).unwrap();
    std::thread::scope(|scope| {
        for part in 0..8 {
            let (at, object) = (at(&source), &object);
            scope.spawn(move || {
                let start = part * (512 << 10);
                assert!(read(&*at, start as u64, 512 << 10).unwrap() == object[start..start + (512 << 10)]);
            });
        }
    });
}

#[test]
fn it_is_read_from_within_a_runtime_of_somebody_else() {
    let object = bytes(5, 1 << 20);
    let server = Server::start(Object::new(object.clone(), "\"a\""));
    let foreign = tokio::runtime::Builder::new_current_thread().build().unwrap();
    foreign.block_on(async {
        let mut source = open(&server.url()).unwrap();
        assert!(read(&*at(&source), 500_000, 1000).unwrap() == object[500_000..501_000]);
        assert!(read_in_order(&mut source).unwrap() == object);
    });
}
