//! A pinned stream from a server that gives no ranges: what shows bytes at once gets none of them.
//! How such a server is read is tested beside the source.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use crate::place::{Place, json_lines};

/// Answers every request with all of `body`, until the tests end.
fn serve_whole(body: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let (body, mut connection) = (body.clone(), connection.unwrap());
            thread::spawn(move || {
                let request = BufReader::new(connection.try_clone().unwrap()).lines();
                if !request.map_while(Result::ok).any(|line| line.is_empty()) {
                    return;
                }
                let head = format!(
                    "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                // Who asks may have enough before the end.
                let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&body));
            });
        }
    });
    address
}

fn digest_of(place: &Place, sealed: &str) -> String {
    let verified = place.run(["verify", "--json", sealed]);
    json_lines(&verified.stdout)[0]["stream_digest"].as_str().unwrap().to_owned()
}

#[test]
fn nothing_goes_out_of_what_a_server_gives_only_in_order_before_the_pin_is_compared() {
    let place = Place::with_sealed(40);
    place.seal("plain", "other.cfd").assert_done();
    let url = format!("http://{}/sealed.cfd", serve_whole(place.read("sealed.cfd")));
    let [own, others] = ["sealed.cfd", "other.cfd"].map(|sealed| digest_of(&place, sealed));
    rustix::fs::mkfifoat(rustix::fs::CWD, place.path("fifo"), rustix::fs::Mode::RWXU).unwrap();
    for digest in [&own, &others] {
        let pinned = ["-i", "key.txt", "--expect-digest", digest, &url];
        for target in ["-", "/dev/stdout", "fifo", "tcp://127.0.0.1:1"] {
            let refused = place.run([&["restore"], &pinned[..], &[target]].concat());
            refused.assert_failed(2, "can only be read in order");
            assert_eq!(refused.stdout, b"", "{target}");
        }
        let refused = place.run([&["cat"], &pinned[..]].concat());
        refused.assert_failed(2, "can only be read in order");
        assert_eq!(refused.stdout, b"");
    }

    // A file appears when all is compared; and what is not pinned goes out.
    let restore =
        |digest| place.run(["restore", "-i", "key.txt", "--expect-digest", digest, &url, "restored"]);
    restore(&others).assert_failed(3, "digest");
    assert!(!place.path("restored").exists());
    restore(&own).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    let printed = place.run(["cat", "-i", "key.txt", &url]);
    printed.assert_done();
    assert!(printed.stdout == place.read("plain"));
}

/// A file and what gives ranges have an index, and another stream's that is broken shows nothing of it.
#[test]
fn nothing_goes_out_of_a_file_that_has_lost_its_index_before_the_pin_is_compared() {
    let place = Place::with_sealed(40);
    place.seal("plain", "other.cfd").assert_done();
    let pin = digest_of(&place, "sealed.cfd");
    let other = place.read("other.cfd");
    let mut changed = other.clone();
    let at = changed.len() - 96;
    changed[at] ^= 1;
    fs::write(place.path("changed.cfd"), changed).unwrap();
    fs::write(place.path("cut.cfd"), &other[..other.len() - 200]).unwrap();
    for (sealed, codes) in [("changed.cfd", [3, 17]), ("cut.cfd", [5, 5])] {
        let pinned = ["-i", "key.txt", "--expect-digest", &pin, sealed];
        for arguments in [&["cat"][..], &["restore"]] {
            let target: &[&str] = if arguments == ["cat"] { &[] } else { &["-"] };
            let refused = place.run([arguments, &pinned, target].concat());
            assert!(codes.contains(&refused.code), "{}", refused.stderr);
            assert!(refused.stdout.is_empty(), "{arguments:?} of {sealed}");
        }
        let refused = place.run([&["restore"], &pinned[..], &["restored"]].concat());
        assert!(codes.contains(&refused.code), "{}", refused.stderr);
    }
    // Nothing of it is kept that would stand in the way.
    let own = ["restore", "-i", "key.txt", "--expect-digest", &pin, "sealed.cfd", "restored"];
    place.run(own).assert_done();
    assert!(place.read("restored") == place.read("plain"));
}

#[test]
fn an_empty_object_is_no_stream_with_a_pin_too() {
    let place = Place::new();
    let url = format!("http://{}/empty.cfd", serve_whole(Vec::new()));
    let digest = "0".repeat(64);
    let refused = place.run(["restore", "-i", "key.txt", "--expect-digest", &digest, &url, "-"]);
    assert!([5, 11].contains(&refused.code), "{}", refused.stderr);
}
