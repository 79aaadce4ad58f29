//! `cofferdam serve` with a file on this machine: real clients read it, strangers do not, and it ends in an orderly way.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::{Signal, getuid};
use servers::installed::is_skipped_without;

use crate::place::{Place, Ran, SEGMENT_LEN, json_lines, wait_until};
use crate::served::{Disk, ServeProcess, full_pipe, get, run};

const EIO: u32 = 5;

#[test]
fn curl_reads_all_of_it_and_parts_and_the_end_is_orderly() {
    if is_skipped_without(&["curl"]) {
        return;
    }
    let place = Place::with_sealed(40);
    let plain = place.read("plain");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let served = ServeProcess::start(&place, &["sealed.cfd"]);
        let url = served.url().to_owned();
        assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/sealed"), "{url}");
        assert_eq!(served.serving["plaintext_len"].as_u64(), Some(plain.len() as u64));
        assert!(run(&place, "curl", &["-sf", &url]).stdout == plain);
        let part = run(&place, "curl", &["-sf", "-r", "20000-499999", &url]);
        assert!(part.stdout == plain[20_000..500_000]);
        // What was cut off is resumed, as the same bytes.
        fs::write(place.path("fetched"), &plain[..100_000]).unwrap();
        let resumed = run(&place, "curl", &["-sf", "-C", "-", "-o", "fetched", &url]);
        resumed.assert_done();
        assert!(place.read("fetched") == plain);
        let ended = served.end(signal);
        ended.assert_done();
        assert_eq!(ended.stderr, "");
        assert_eq!(json_lines(&ended.stdout)[0]["event"], "served");
    }
}

#[test]
fn to_people_it_says_the_url_and_nothing_else_and_it_is_another_each_time() {
    let place = Place::with_sealed(1);
    let url = || {
        let line = "\"$0\" serve -i key.txt --nbd 's 1%' sealed.cfd --http=0 >said 2>errors & pid=$!; \
             until [ \"$(wc -l <said)\" = 2 ] || ! kill -0 $pid; do :; done; kill $pid; wait $pid; echo $?";
        let ran = place.shell(line);
        assert_eq!((ran.text().trim(), place.read("errors")), ("0", vec![]), "{}", ran.stderr);
        let said = String::from_utf8(place.read("said")).unwrap();
        let mut lines = said.lines();
        let url = lines.next().unwrap().to_owned();
        let socket = fs::canonicalize(place.directory.path()).unwrap().join("s 1%");
        assert!(lines.next().unwrap().ends_with("/s%201%25") && !socket.exists());
        assert!(lines.next().unwrap().starts_with("served sealed.cfd for "), "{said}");
        url
    };
    assert_ne!(url(), url());
}

#[test]
fn that_nobody_reads_its_last_words_is_no_failure() {
    let place = Place::with_sealed(1);
    let mut served = ServeProcess::start(&place, &["sealed.cfd"]);
    served.close_output();
    let ended = served.end(Signal::TERM);
    ended.assert_done();
    assert_eq!(json_lines(ended.stderr.as_bytes())[0]["event"], "served");
}

#[test]
fn qemu_and_nbdcopy_find_the_original() {
    if is_skipped_without(&["qemu-img", "nbdcopy", "nbdinfo"]) {
        return;
    }
    let place = Place::with_sealed(300);
    let served = ServeProcess::start(&place, &["--nbd", "socket", "sealed.cfd"]);
    assert!(served.serving["url"].is_null());
    let uri = format!("nbd+unix:///?socket={}", served.serving["socket"].as_str().unwrap());
    run(&place, "nbdcopy", &[&uri, "copy"]).assert_done();
    assert!(place.read("copy") == place.read("plain"));
    let compared = run(&place, "qemu-img", &["compare", "-f", "raw", "-F", "raw", "plain", &uri]);
    compared.assert_done();
    assert!(compared.text().contains("Images are identical."), "{}", compared.text());
    let info = run(&place, "nbdinfo", &["--json", &uri]);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    let export = &info["exports"][0];
    assert_eq!(export["export-size"].as_u64(), Some(place.read("plain").len() as u64));
    assert_eq!((&export["is_read_only"], &export["can_multi_conn"]), (&true.into(), &true.into()));
    assert_eq!(
        (export["block_size_minimum"].as_u64(), export["block_size_preferred"].as_u64()),
        (Some(1), Some(4096))
    );
    // Another image is another one.
    let mut other = place.read("plain");
    *other.last_mut().unwrap() ^= 1;
    fs::write(place.path("other"), other).unwrap();
    run(&place, "qemu-img", &["compare", "-f", "raw", "-F", "raw", "other", &uri]).assert_failed(1, "");
    let written = run(&place, "qemu-io", &["-f", "raw", "-c", "write 0 512", &uri]);
    assert!(written.text().contains("ermission") || written.stderr.contains("ermission"), "{written:?}");
    served.end(Signal::TERM).assert_done();
    assert!(!place.path("socket").exists());
}

#[test]
fn what_is_damaged_is_an_error_at_the_client_and_the_rest_is_served() {
    let place = Place::with_sealed(40);
    let plain = place.read("plain");
    place.damage_segment(20);
    let served = ServeProcess::start(&place, &["--http", "--nbd", "socket", "sealed.cfd"]);
    // Its second or third frame.
    let damaged = (20 * SEGMENT_LEN) as u64;
    let (status, said) = get(served.url(), Some((damaged + 4096, damaged + 16_383)));
    assert_eq!(status, 500, "{}", String::from_utf8_lossy(&said));
    let (status, cut) = get(served.url(), None);
    assert!(status == 200 && cut.len() <= 21 * SEGMENT_LEN && plain.starts_with(&cut), "{}", cut.len());
    let mut disk = Disk::open(&place.path("socket"));
    assert_eq!(disk.read(damaged, SEGMENT_LEN as u32), Err(EIO));
    assert!(disk.read(0, 20 * SEGMENT_LEN as u32).unwrap() == plain[..20 * SEGMENT_LEN]);
    assert!(
        get(served.url(), Some((damaged + 16_384, damaged + 99_999))).1
            == plain[21 * SEGMENT_LEN..][..83_616]
    );
    let said = json_lines(served.end(Signal::TERM).stderr.as_bytes());
    let warning = said[0]["message"].as_str().unwrap();
    assert!(said[0]["event"] == "warning" && warning.contains("could not be read"), "{warning}");
}

#[test]
fn warnings_that_nobody_reads_keep_nobody_from_reading() {
    let place = Place::with_sealed(40);
    place.damage_segment(20);
    let (unread, errors) = full_pipe();
    let served = ServeProcess::start_saying(&place, &["--http", "--nbd", "socket", "sealed.cfd"], errors);
    let mut disk = Disk::open(&place.path("socket"));
    for _ in 0..2 {
        // Its second or third frame.
        let damaged = (20 * SEGMENT_LEN) as u64;
        assert_eq!(get(served.url(), Some((damaged + 4096, damaged + 16_383))).0, 500);
        assert_eq!(disk.read(damaged, SEGMENT_LEN as u32), Err(EIO));
        assert!(disk.read(0, 9).is_ok());
    }
    drop(unread);
}

#[test]
fn a_signal_ends_it_though_nobody_reads_what_it_says() {
    let place = Place::with_sealed(40);
    let len = place.read("plain").len();
    // Of another stream, which is a warning before anything is served.
    fs::write(place.path("set"), format!("cofferdam working set 1\ntag 0\nlength {len}\n0 9\nend 1\n"))
        .unwrap();
    let (unread, errors) = full_pipe();
    let serve = ["--nbd", "socket", "--warm", "set", "sealed.cfd"];
    let served = ServeProcess::start_saying(&place, &serve, errors);
    assert!(Disk::open(&place.path("socket")).read(0, 9).is_ok());
    served.end_silently(Signal::TERM).assert_done();
    assert!(!place.path("socket").exists());
    drop(unread);
}

#[test]
fn a_file_that_is_cut_or_changed_while_it_is_served_is_an_error_and_never_other_bytes() {
    for cut in [true, false] {
        let place = Place::with_sealed(40);
        let plain = place.read("plain");
        let served = ServeProcess::start(&place, &["--http", "--nbd", "socket", "sealed.cfd"]);
        let mut disk = Disk::open(&place.path("socket"));
        assert!(disk.read(0, 5000).unwrap() == plain[..5000]);
        let sealed = fs::OpenOptions::new().write(true).open(place.path("sealed.cfd")).unwrap();
        match cut {
            true => sealed.set_len(200_000).unwrap(),
            false => {
                fs::write(place.path("more"), b"another stream").unwrap();
                place.seal("plain", "again.cfd").assert_done();
                // In place, as no careful program does it.
                let again = place.read("again.cfd");
                std::os::unix::fs::FileExt::write_all_at(&sealed, &again[300_000..], 300_000).unwrap();
            }
        }
        assert_eq!(disk.read(500_000, 5000), Err(EIO));
        let (status, body) = get(served.url(), Some((100, 639_999)));
        assert!(status == 500 || body.len() < 639_900, "{status}");
        assert!(status == 500 || plain[100..].starts_with(&body));
        served.end(Signal::TERM).assert_done();
    }
}

#[test]
fn a_socket_is_its_users_alone() {
    let place = Place::with_sealed(1);
    let served = ServeProcess::start(&place, &["--nbd", "socket", "sealed.cfd"]);
    let socket = place.path("socket");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    if !getuid().is_root() || is_skipped_without(&["setpriv", "nbdinfo"]) {
        return;
    }
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    let as_stranger = || run(&place, "setpriv", &["--reuid=65534", "--clear-groups", "nbdinfo", &uri]);
    fs::set_permissions(place.directory.path(), Permissions::from_mode(0o755)).unwrap();
    as_stranger().assert_failed(1, "Permission denied");
    // Somebody opens it to all: it is still for its user and root.
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(as_stranger().code, 1);
    // The client may have ended before that is written.
    wait_until("a warning", || served.said().contains("a process of user 65534 came to the socket"));
    run(&place, "nbdinfo", &[&uri]).assert_done();
}

#[test]
fn without_the_secret_nothing_is_said_and_it_is_in_no_log() {
    let place = Place::with_sealed(4);
    let served = ServeProcess::start(&place, &["sealed.cfd"]);
    let url = served.url();
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let secret = path.split('/').next().unwrap();
    assert!(secret.len() * 4 >= 128);
    for guess in ["", "sealed", &format!("{}0/sealed", &secret[1..]), &format!("{}/sealed", "0".repeat(48))] {
        assert_eq!(get(&format!("http://{host}/{guess}"), None), (404, b"Not Found\n".to_vec()), "{guess}");
    }
    place.damage_segment(2);
    assert_ne!(get(url, Some((40_000, 49_000))).1.len(), 9001);
    let process = fs::read(format!("/proc/{}/cmdline", served.id())).unwrap();
    let secret = secret.to_owned();
    assert!(!String::from_utf8(process).unwrap().contains(&secret));
    let ended = served.end(Signal::TERM);
    assert!(!ended.stderr.contains(&secret) && !ended.text().contains(&secret));
}

#[test]
fn a_second_server_takes_what_a_killed_one_has_left_and_nothing_else() {
    let place = Place::with_sealed(4);
    let serve = ["--nbd", "socket", "sealed.cfd"];
    let first = ServeProcess::start(&place, &serve);
    let second = place.run(["serve", "-i", "key.txt", "--nbd", "socket", "sealed.cfd"]);
    second.assert_failed(1, "another program listens on the socket of this name");
    drop(first);
    assert!(place.path("socket").exists(), "killed");
    let again = ServeProcess::start(&place, &serve);
    assert!(Disk::open(&place.path("socket")).read(0, 9).unwrap() == place.read("plain")[..9]);
    again.end(Signal::TERM).assert_done();
    place
        .run(["serve", "-i", "key.txt", "--nbd", "plain", "sealed.cfd"])
        .assert_failed(1, "which is no socket");
    place
        .run(["serve", "-i", "key.txt", "--nbd", "sealed.cfd", "sealed.cfd"])
        .assert_failed(2, "are the same file");
    place.run(["serve", "-i", "key.txt", "--nbd", "no/where", "sealed.cfd"]).assert_failed(1, "no/where");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--http={}", taken.local_addr().unwrap().port());
    place.run(["serve", "-i", "key.txt", &port, "sealed.cfd"]).assert_failed(1, "could not be listened at");
    assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd"]);
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_is() {
    let place = Place::with_sealed(4);
    let serve = |arguments: &[&str]| place.run([&["serve"], arguments].concat());
    serve(&["sealed.cfd"]).assert_failed(2, "nothing was given that could open the stream");
    serve(&["-i", "key.txt", "plain"]).assert_failed(11, "plain");
    serve(&["-i", "key.txt", "-"]).assert_failed(2, "");
    serve(&["-i", "key.txt", "--http=99999", "sealed.cfd"]).assert_failed(2, "99999");
    serve(&["-i", "key.txt", "--expect-digest", &"0".repeat(64), "sealed.cfd"]).assert_failed(3, "");
    serve(&["-i", "key.txt", "--min-sequence", "1", "sealed.cfd"]).assert_failed(14, "");
    serve(&["-i", "key.txt", "--force", "sealed.cfd"]).assert_failed(2, "--record");
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    serve(&["-i", "other.txt", "sealed.cfd"]).assert_failed(4, "");
    let closed = place.shell("cofferdam serve -i key.txt sealed.cfd >&-");
    closed.assert_failed(1, "");
    assert_eq!(place.names(), ["key.txt", "other.txt", "plain", "sealed.cfd"]);
}

/// Reads some parts, and returns what was recorded.
fn recorded(place: &Place, arguments: &[&str]) -> (Ran, String) {
    let served =
        ServeProcess::start(place, &[&["--record", "boot.set"], arguments, &["sealed.cfd"]].concat());
    for (first, last) in [(300_000, 300_099), (5000, 13_000), (303_104, 303_104)] {
        assert_eq!(get(served.url(), Some((first, last))).0, 206);
    }
    let ended = served.end(Signal::TERM);
    ended.assert_done();
    (ended, String::from_utf8(place.read("boot.set")).unwrap())
}

#[test]
fn what_is_read_is_recorded_in_order_and_fetched_first_the_next_time() {
    let place = Place::with_sealed(40);
    let (ended, text) = recorded(&place, &[]);
    let id = json_lines(&ended.stdout)[0]["stream_id"].as_str().unwrap().to_owned();
    // In frames of 4 KiB: the 74th to the 75th, and the 2nd to the 4th.
    let due = "299008 4096\n4096 12288\n303104 4096\nend 3\n";
    assert_eq!(text, format!("cofferdam working set 1\ntag {id}\nlength 655355\n{due}"));
    assert_eq!(json_lines(&ended.stdout)[0]["recorded_len"].as_u64(), Some(20_480));
    let record = ["serve", "-i", "key.txt", "--record", "boot.set", "sealed.cfd"];
    place.run(record).assert_failed(6, "boot.set exists");
    assert_eq!(place.read("boot.set"), text.as_bytes());
    let (_, again) = recorded(&place, &["--force", "--warm", "boot.set"]);
    assert_eq!(again, text);
    // Another stream's.
    fs::rename(place.path("sealed.cfd"), place.path("old.cfd")).unwrap();
    place.seal("plain", "sealed.cfd").assert_done();
    let served = ServeProcess::start(&place, &["--warm", "boot.set", "sealed.cfd"]);
    served.wait_for("warmed");
    assert!(served.said().contains("recorded of another stream"), "{}", served.said());
    assert_eq!(place.names(), ["boot.set", "key.txt", "old.cfd", "plain", "sealed.cfd"]);
}

#[test]
fn a_record_is_written_while_it_is_served_and_what_is_no_record_is_refused() {
    let place = Place::with_sealed(4);
    for (text, words) in
        [("", "line 1"), ("cofferdam working set 1\ntag ab\nlength 10\n0 11\nend 1\n", "line 4")]
    {
        fs::write(place.path("warm"), text).unwrap();
        let ran = place.run(["serve", "-i", "key.txt", "--warm", "warm", "sealed.cfd"]);
        ran.assert_failed(2, words);
    }
    fs::File::create(place.path("warm")).unwrap().set_len(1 << 40).unwrap();
    place.run(["serve", "-i", "key.txt", "--warm", "warm", "sealed.cfd"]).assert_failed(2, "too long");
    place.run(["serve", "-i", "key.txt", "--warm", "absent", "sealed.cfd"]).assert_failed(1, "absent");
    fs::remove_file(place.path("warm")).unwrap();
    place.shell("mkfifo warm").assert_done();
    place.run(["serve", "-i", "key.txt", "--warm", "warm", "sealed.cfd"]).assert_failed(1, "no regular file");
    fs::remove_file(place.path("warm")).unwrap();
    let nowhere = place.run(["serve", "-i", "key.txt", "--record", "no/where", "sealed.cfd"]);
    nowhere.assert_failed(1, "no/where");
    let sealed = place.run(["serve", "-i", "key.txt", "--force", "--record", "sealed.cfd", "sealed.cfd"]);
    sealed.assert_failed(2, "are the same file");
    let served = ServeProcess::start(&place, &["--record", "set", "sealed.cfd"]);
    get(served.url(), None);
    wait_until("a record", || place.path("set").exists());
    drop(served);
    assert!(place.read("set").ends_with(b"\n0 65531\nend 1\n"));
}

#[test]
fn what_a_longer_image_has_beyond_the_end_is_left_out_of_what_is_fetched_first() {
    let place = Place::with_sealed(4);
    fs::write(
        place.path("set"),
        "cofferdam working set 1\ntag ab\nlength 99999999\n99999 9\n60000 9995\nend 2\n",
    )
    .unwrap();
    let served = ServeProcess::start(&place, &["--warm", "set", "sealed.cfd"]);
    served.wait_for("warmed");
    let ended = served.end(Signal::TERM);
    ended.assert_done();
    let said = json_lines(ended.stderr.as_bytes());
    let words = |at: usize| said[at]["message"].as_str().unwrap().to_owned();
    assert!(words(0).contains("of another stream"), "{}", ended.stderr);
    assert!(words(1).contains("KiB that the file of --warm names are beyond"), "{}", ended.stderr);
    assert_eq!((&said[2]["event"], said[2]["len"].as_u64()), (&"warmed".into(), Some(65_531 - 60_000)));
}

#[test]
fn a_record_replaces_what_this_run_has_written_and_nothing_else() {
    let place = Place::with_sealed(40);
    for is_link in [true, false] {
        let served = ServeProcess::start(&place, &["--record", "set", "sealed.cfd"]);
        get(served.url(), Some((0, 9)));
        wait_until("a record", || place.path("set").exists());
        fs::rename(place.path("set"), place.path("old")).unwrap();
        fs::write(place.path("other"), "precious").unwrap();
        match is_link {
            true => std::os::unix::fs::symlink("other", place.path("set")).unwrap(),
            false => fs::rename(place.path("other"), place.path("set")).unwrap(),
        }
        get(served.url(), Some((100_000, 100_009)));
        let ended = served.end(Signal::TERM);
        ended.assert_failed(6, "no longer the file that was written here");
        assert_eq!(place.read("set"), b"precious");
        ["set", "old"].iter().for_each(|name| fs::remove_file(place.path(name)).unwrap());
    }
}

/// `--record FILE --warm FILE --force` is given day after day: whatever comes to the name is not what it means.
#[test]
fn force_replaces_a_record_and_nothing_else() {
    let place = Place::with_sealed(4);
    let refused = |words: &str| {
        let ran = place.run(["serve", "-i", "key.txt", "--record", "set", "--force", "sealed.cfd"]);
        ran.assert_failed(6, words);
        fs::remove_file(place.path("set")).unwrap();
    };
    fs::write(place.path("set"), "precious").unwrap();
    refused("set exists, and is no file of `serve --record`");
    fs::write(place.path("old"), "cofferdam working set 1\ntag ab\nlength 9\nend 0\n").unwrap();
    std::os::unix::fs::symlink("old", place.path("set")).unwrap();
    refused("set is a symbolic link");
    place.shell("mkfifo set").assert_done();
    let fifo = place.run(["serve", "-i", "key.txt", "--record", "set", "--force", "sealed.cfd"]);
    fifo.assert_failed(6, "set is no file");
    fs::remove_file(place.path("set")).unwrap();
    fs::copy(place.path("old"), place.path("set")).unwrap();
    place.shell("chmod 666 set").assert_done();
    refused("others can write to it");
    for before in ["", "cofferdam working set 1\nof an earlier version"] {
        fs::write(place.path("set"), before).unwrap();
        let served = ServeProcess::start(&place, &["--record", "set", "--force", "sealed.cfd"]);
        get(served.url(), None);
        served.end(Signal::TERM).assert_done();
        assert!(place.read("set").ends_with(b"\n0 65531\nend 1\n"));
    }
    assert!(place.read("old").ends_with(b"end 0\n"));
}

#[test]
fn a_place_that_cannot_be_listened_at_is_refused_with_what_to_do() {
    let place = Place::with_sealed(1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--http={}", taken.local_addr().unwrap().port());
    let serve = |options: &[&str]| place.run([&["serve", "-i", "key.txt", "sealed.cfd"], options].concat());
    serve(&[&port]).assert_failed(1, "Leave the port out");
    serve(&["--nbd", "no/where"]).assert_failed(1, "Make its directory first");
    fs::write(place.path("file"), "precious").unwrap();
    serve(&["--nbd", "file"]).assert_failed(1, "Give another name");
    assert_eq!(place.read("file"), b"precious");
}

#[test]
fn a_run_in_which_nothing_is_read_leaves_the_record_of_another() {
    let place = Place::with_sealed(40);
    let (_, text) = recorded(&place, &[]);
    let both = ["--record", "boot.set", "--warm", "boot.set", "--force", "sealed.cfd"];
    let ended = ServeProcess::start(&place, &both).end(Signal::TERM);
    ended.assert_done();
    assert!(ended.stderr.contains("nothing was read: boot.set stays as it was"), "{}", ended.stderr);
    assert!(json_lines(&ended.stdout)[0]["recorded_len"].is_null());
    assert_eq!(place.read("boot.set"), text.as_bytes());
}

/// The same command line, day after day: on the first there is no record.
#[test]
fn a_record_that_is_to_be_fetched_first_may_be_this_runs_to_make() {
    let place = Place::with_sealed(40);
    for before in [None, Some("")] {
        let _ = fs::remove_file(place.path("boot.set"));
        before.iter().for_each(|text| fs::write(place.path("boot.set"), text).unwrap());
        let (ended, text) = recorded(&place, &["--warm", "boot.set", "--force"]);
        assert!(text.ends_with("\nend 3\n") && !ended.stderr.contains("warmed"), "{text}");
        let both = ["--record", "boot.set", "--warm", "boot.set", "--force", "sealed.cfd"];
        let served = ServeProcess::start(&place, &both);
        served.wait_for("warmed");
        served.end(Signal::TERM).assert_done();
        assert_eq!(place.read("boot.set"), text.as_bytes());
    }
}

#[test]
fn an_empty_stream_is_an_empty_disk_and_a_compressed_one_is_served_like_any() {
    let place = Place::new();
    fs::write(place.path("empty"), "").unwrap();
    fs::write(place.path("long"), vec![7; 3_000_000]).unwrap();
    let recipient = place.recipient.clone();
    place.run(["seal", "-r", &recipient, "empty"]).assert_done();
    place.run(["seal", "-r", &recipient, "long", "--zstd"]).assert_done();
    let served = ServeProcess::start(&place, &["--http", "--nbd", "socket", "--record", "set", "empty.cfd"]);
    assert_eq!(get(served.url(), None), (200, vec![]));
    assert_eq!(get(served.url(), Some((0, 0))).0, 416);
    let mut disk = Disk::open(&place.path("socket"));
    assert_eq!((disk.read(0, 0), disk.read(0, 1)), (Ok(vec![]), Err(22)));
    served.end(Signal::TERM).assert_done();
    assert!(place.read("set").ends_with(b"\nlength 0\nend 0\n"));
    let served = ServeProcess::start(&place, &["long.cfd"]);
    assert!(get(served.url(), None).1 == vec![7; 3_000_000]);
    assert_eq!(get(served.url(), Some((2_999_990, 2_999_999))), (206, vec![7; 10]));
}
