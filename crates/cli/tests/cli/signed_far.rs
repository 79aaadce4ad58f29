//! Signatures of streams on a server: looked for beside the stream, with what its URL has, and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::place::Place;
use crate::signing::write_keys;

/// A server of some files, by their paths; it notes what it is asked for.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(files: BTreeMap<&'static str, Vec<u8>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (files, noted, mut connection) = (files.clone(), noted.clone(), connection.unwrap());
                thread::spawn(move || {
                    let lines = BufReader::new(connection.try_clone().unwrap()).lines();
                    let head: Vec<String> =
                        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                    let Some(first) = head.first() else { return };
                    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                    let authorized =
                        head.iter().any(|line| line.to_ascii_lowercase().starts_with("authorization: "));
                    noted
                        .lock()
                        .unwrap()
                        .push(format!("{path}{}", if authorized { " as a user" } else { "" }));
                    let (status, body) = match files.get(path.split('?').next().unwrap()) {
                        Some(body) => ("200 OK", body.clone()),
                        None => ("404 Not Found", Vec::new()),
                    };
                    let head = format!(
                        "HTTP/1.1 {status}\r\nETag: \"a\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    // Who asks may have enough before the end.
                    let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&body));
                });
            }
        });
        Server { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked.dedup();
        asked
    }
}

#[test]
fn a_signature_is_looked_for_beside_the_url_with_its_query_and_user() {
    let place = Place::with_sealed(2);
    write_keys(&place);
    place.run(["sign", "--ssh-key", "sealer", "sealed.cfd"]).assert_done();
    let files = BTreeMap::from([
        ("/dir/db.cfd", place.read("sealed.cfd")),
        ("/dir/db.cfd.sig", place.read("sealed.cfd.sig")),
        ("/unsigned.cfd", place.read("sealed.cfd")),
        ("/long.cfd", place.read("sealed.cfd")),
        ("/long.cfd.sig", vec![b'x'; 70_000]),
    ]);
    let server = Server::start(files);
    let url = format!("http://u:p@{}/dir/db.cfd?token=5ecret", server.address);
    let restore = |options: &[&str], url: &str| {
        place.run(
            [&["restore", "-i", "key.txt", "--signed-by", "sealer.pub"], options, &[url, "restored"]]
                .concat(),
        )
    };
    restore(&[], &url).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    assert_eq!(
        server.asked(),
        ["/dir/db.cfd.sig?token=5ecret as a user", "/dir/db.cfd?token=5ecret as a user"]
    );
    fs::remove_file(place.path("restored")).unwrap();

    let unsigned = format!("http://{}/unsigned.cfd?token=5ecret", server.address);
    let refused = restore(&[], &unsigned);
    refused.assert_failed(17, "there is no signature");
    assert!(!refused.stderr.contains("5ecret"), "{}", refused.stderr);
    restore(&[], &format!("http://{}/long.cfd", server.address)).assert_failed(17, "longer than 65536 bytes");
    assert!(!place.path("restored").exists());
    // A signature may be elsewhere: here, or on the server.
    restore(&["--signature", "sealed.cfd.sig"], &unsigned).assert_done();
    fs::remove_file(place.path("restored")).unwrap();
    let elsewhere = format!("http://{}/dir/db.cfd.sig", server.address);
    restore(&["--signature", &elsewhere], &unsigned).assert_done();
    // What shows bytes at once gets none of what comes only in order.
    let refused = place.run(["cat", "-i", "key.txt", "--signed-by", "sealer.pub", &url]);
    refused.assert_failed(2, "compared with --signed-by after segments have gone out");
    assert_eq!(refused.stdout, b"");
}
