//! Drills of streams that somebody has to have signed, and evidence that is signed itself.

use std::fs;
use std::process::{Command, Stdio};

use crate::drilling::{evidence, place, stream, write};
use crate::place::Ran;
use crate::programs::has;
use crate::signing::write_keys;

#[test]
fn a_stream_is_drilled_only_if_it_is_signed_and_the_evidence_says_by_whom() {
    let place = place(3);
    write_keys(&place);
    for mode in ["restore", "verify", "sample"] {
        let demanding = format!("mode = \"{mode}\"\nsigned_by = \"sealer.pub\"");
        write(&place, &[stream("db", "sealed.cfd", &demanding)]);
        let _ = fs::remove_file(place.path("sealed.cfd.sig"));
        place.run(["drill", "drill.toml"]).assert_failed(17, "there is no signature");
        let said = evidence(&place)["streams"][0].take();
        assert_eq!((&said["result"], &said["error"]["kind"]), (&"failed".into(), &"not-signed".into()));
        assert!(said["signed_by"].is_null(), "{said}");
        place.run(["sign", "--ssh-key", "sealer", "sealed.cfd"]).assert_done();
        place.run(["drill", "drill.toml"]).assert_done();
        let said = evidence(&place)["streams"][0].take();
        assert_eq!((&said["result"], &said["signed_by"]["comment"]), (&"passed".into(), &"sealer".into()));

        fs::rename(place.path("sealed.cfd.sig"), place.path("elsewhere")).unwrap();
        let named = format!("{demanding}\nsignature = \"elsewhere\"");
        write(&place, &[stream("db", "sealed.cfd", &named)]);
        place.run(["drill", "drill.toml"]).assert_done();
    }
    // Without a key: digests alone, and a signature over them.
    let keyless = "\n[[stream]]\nname = \"db\"\nsealed = \"sealed.cfd\"\nmode = \"verify\"\nsigned_by = \"sealer.pub\"\nsignature = \"elsewhere\"\n";
    write(&place, &[keyless.to_owned()]);
    place.run(["drill", "drill.toml"]).assert_done();
    assert_eq!(evidence(&place)["streams"][0]["authenticity"], "signed");
    for (rest, words) in [
        ("signature = \"elsewhere\"", "with `signed_by` alone"),
        ("signed_by = \"-\"", "nothing from standard input"),
        ("signed_by = \"sealer.pub\"\nsignature = \"-\"", "`signature` is a file or a URL"),
    ] {
        write(&place, &[stream("db", "sealed.cfd", &format!("mode = \"verify\"\n{rest}"))]);
        place.run(["drill", "drill.toml"]).assert_failed(2, words);
    }
}

#[test]
fn evidence_is_signed_as_openssh_verifies_it() {
    if !has("ssh-keygen") {
        return;
    }
    let place = place(2);
    write_keys(&place);
    write(&place, &[stream("db", "sealed.cfd", "mode = \"verify\"")]);
    let verify = || {
        let key = fs::read_to_string(place.path("sealer.pub")).unwrap();
        fs::write(place.path("allowed"), format!("drill {key}")).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-f", "allowed", "-I", "drill", "-n", "evidence@cofferdam"]);
        command.args(["-s", "evidence.json.sig"]).current_dir(place.directory.path());
        command.stdin(fs::File::open(place.path("evidence.json")).unwrap()).stdout(Stdio::piped());
        Ran::of(command.stderr(Stdio::piped()).output().unwrap()).code
    };
    for _ in 0..2 {
        let ran = place.run(["drill", "--ssh-key", "sealer", "drill.toml"]);
        ran.assert_done();
        let said = ran.text();
        assert!(said.contains(", signed in ") && said.contains("evidence.json.sig"), "{said}");
        assert_eq!(verify(), 0);
    }
    // One that has failed is signed as well.
    place.damage_segment(1);
    place.run(["drill", "--ssh-key", "sealer", "drill.toml"]).assert_failed(3, "");
    assert_eq!(verify(), 0);
    // Evidence that is not signed, and an older signature beside it.
    place.run(["drill", "drill.toml"]).assert_failed(3, "");
    assert_ne!(verify(), 0);
    // It is no signature of the stream, whatever is in the file.
    let own = fs::read(place.path("evidence.json.sig")).unwrap();
    fs::write(place.path("sealed.cfd.sig"), own).unwrap();
    place.run(["verify", "--signed-by", "sealer.pub", "sealed.cfd"]).assert_failed(17, "evidence@cofferdam");
    // Another file in its place is seen before the work.
    fs::write(place.path("evidence.json.sig"), "somebody's own").unwrap();
    place.run(["drill", "--ssh-key", "sealer", "drill.toml"]).assert_failed(6, "is no signature");
    assert_eq!(place.read("evidence.json.sig"), b"somebody's own");
    fs::remove_file(place.path("evidence.json.sig")).unwrap();
    place.run(["drill", "--ssh-key", "absent", "drill.toml"]).assert_failed(1, "absent could not be read");
}
