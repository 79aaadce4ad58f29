//! `cofferdam sign` where something is in the place of the signature already, and where putting it there fails.
//! Whose signatures are believed is tested beside it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::geteuid;

use crate::injected::injected;
use crate::place::{Place, Ran, json_lines};
use crate::programs::has;
use crate::signing::write_keys;

const SIGNATURE: &str = "sealed.cfd.sig";

/// With `sealed.cfd`, which `sealer` has signed.
fn place() -> Place {
    let place = Place::with_sealed(3);
    write_keys(&place);
    sign(&place, &[]).assert_done();
    place
}

fn sign(place: &Place, options: &[&str]) -> Ran {
    place.run([&["sign", "--ssh-key", "sealer"], options, &["sealed.cfd"]].concat())
}

fn verify(place: &Place) -> Ran {
    place.run(["verify", "--signed-by", "sealer.pub", "sealed.cfd"])
}

/// Whoever reads all of a stream first finds out that it is damaged: exit code 3.
#[test]
fn a_signature_that_cannot_be_replaced_is_said_before_the_stream_is_read() {
    let place = place();
    let of_first = place.read(SIGNATURE);
    let recipient = place.recipient.clone();
    let anew = ["seal", "-r", &recipient, "--force", "--frame-size", "4KiB", "--segment-size", "16KiB"];
    place.run([&anew[..], &["-o", "sealed.cfd", "plain"]].concat()).assert_done();
    place.damage_segment(1);
    for options in [&[][..], &["-i", "key.txt"]] {
        sign(&place, options).assert_failed(6, "sealed.cfd.sig exists");
        sign(&place, &[options, &["--force"]].concat()).assert_failed(3, "");
    }
    // Where it is staged there is something else.
    fs::create_dir(place.path(".sealed.cfd.sig.cofferdam-staging")).unwrap();
    for options in [&["--force"][..], &["--force", "-i", "key.txt"]] {
        let refused = sign(&place, options);
        assert!(refused.code == 6 || refused.code == 1, "{}", refused.stderr);
        assert!(refused.stderr.contains("sealed.cfd.sig could not be made"), "{}", refused.stderr);
    }
    assert!(place.read(SIGNATURE) == of_first);
    // From a pipe it shows at the end.
    fs::remove_dir(place.path(".sealed.cfd.sig.cofferdam-staging")).unwrap();
    place.seal("plain", "piped.cfd").assert_done();
    let piped = ["sign", "--ssh-key", "sealer", "--signature", SIGNATURE, "-"];
    place.run_fed(piped, place.read("piped.cfd")).assert_failed(6, "sealed.cfd.sig exists");
    assert!(place.read(SIGNATURE) == of_first);
}

/// What is right already needs no place.
#[test]
fn a_second_run_is_done_where_nothing_can_be_written() {
    let place = place();
    let signature = place.read(SIGNATURE);
    fs::create_dir(place.path(".sealed.cfd.sig.cofferdam-staging")).unwrap();
    let again = sign(&place, &[]);
    again.assert_done();
    assert!(again.text().contains("had been signed already"), "{}", again.text());
    assert!(place.read(SIGNATURE) == signature);
}

/// Somebody else can write beside a stream: what is put there is neither written through nor taken for a signature of the signer's.
#[test]
fn what_others_have_put_in_the_place_of_a_signature_is_refused_with_and_without_force() {
    let place = place();
    let genuine = place.read(SIGNATURE);
    let put: [(&str, &dyn Fn()); 7] = [
        ("is a symbolic link", &|| symlink("plain", place.path(SIGNATURE)).unwrap()),
        ("is a symbolic link", &|| symlink("genuine.sig", place.path(SIGNATURE)).unwrap()),
        ("is a symbolic link", &|| symlink("nowhere", place.path(SIGNATURE)).unwrap()),
        ("is no file", &|| mknodat(CWD, place.path(SIGNATURE), FileType::Fifo, Mode::RUSR, 0).unwrap()),
        ("is no file", &|| fs::create_dir(place.path(SIGNATURE)).unwrap()),
        ("is no signature", &|| fs::write(place.path(SIGNATURE), "").unwrap()),
        ("others can write to it", &|| {
            fs::write(place.path(SIGNATURE), &genuine).unwrap();
            fs::set_permissions(place.path(SIGNATURE), fs::Permissions::from_mode(0o666)).unwrap();
        }),
    ];
    fs::write(place.path("genuine.sig"), &genuine).unwrap();
    let plain = place.read("plain");
    for (words, put) in put {
        let there = place.path(SIGNATURE);
        let removed = if there.is_dir() && !there.is_symlink() {
            fs::remove_dir(&there)
        } else {
            fs::remove_file(&there)
        };
        removed.unwrap();
        put();
        let (names, before) = (place.names(), fs::symlink_metadata(&there).unwrap().file_type());
        for force in [&[][..], &["--force"]] {
            sign(&place, force).assert_failed(6, words);
        }
        assert_eq!((place.names(), fs::symlink_metadata(&there).unwrap().file_type()), (names, before));
        assert!(
            place.read("plain") == plain
                && place.read("genuine.sig") == genuine
                && !place.path("nowhere").exists()
        );
    }
    // For whoever verifies a signature says itself whose it is, wherever it lies.
    verify(&place).assert_done();
    fs::remove_file(place.path(SIGNATURE)).unwrap();
    symlink("genuine.sig", place.path(SIGNATURE)).unwrap();
    verify(&place).assert_done();
    fs::remove_file(place.path("genuine.sig")).unwrap();
    verify(&place).assert_failed(17, "there is no signature");
    fs::remove_file(place.path(SIGNATURE)).unwrap();
    fs::write(place.path(SIGNATURE), &genuine).unwrap();
    if geteuid().is_root() {
        chown(place.path(SIGNATURE), Some(65_534), None).unwrap();
        sign(&place, &["--force"]).assert_failed(6, "is another user's");
        verify(&place).assert_done();
        assert!(place.read(SIGNATURE) == genuine);
    }
}

/// A signature whose sync has failed is there: whoever says that it is not has it made a second time, or sent without.
#[test]
fn a_signature_that_may_be_lost_is_in_place_and_not_called_missing() {
    if !has("strace") {
        return;
    }
    let place = Place::with_sealed(1);
    write_keys(&place);
    let recipient = place.recipient.clone();
    let seal = ["seal", "--json", "-r", &recipient, "--ssh-key", "sealer", "-o", "new.cfd", "plain"];
    for (signature, arguments) in
        [(SIGNATURE, &["sign", "--json", "--ssh-key", "sealer", "sealed.cfd"][..]), ("new.cfd.sig", &seal)]
    {
        let mut lost = 0;
        for count in 1..10 {
            let fault = format!("fsync:error=EIO:when={count}");
            let ran = Ran::of(injected(&place, &[&fault], arguments).output().unwrap());
            let is_there = place.path(signature).exists();
            if ran.code == 10 && is_there {
                lost += 1;
                let said = format!("{signature} is in place, and may not survive a power cut");
                assert!(ran.stderr.contains(&said), "{count}: {}", ran.stderr);
                assert!(!ran.stderr.contains("not signed"), "{count}: {}", ran.stderr);
                if arguments[0] == "seal" {
                    assert_eq!(json_lines(&ran.stdout)[0]["signature"], signature);
                }
                let sealed = signature.strip_suffix(".sig").unwrap();
                place.run(["verify", "--signed-by", "sealer.pub", sealed]).assert_done();
            }
            for name in ["new.cfd", signature] {
                // What was not made is not there.
                let _ = fs::remove_file(place.path(name));
            }
        }
        assert!(lost > 0, "{arguments:?}");
    }
}

/// The run before may have been stopped before it had made the signature durable: one that says 0 has.
#[test]
fn what_had_been_signed_already_is_made_durable_again() {
    if !has("strace") {
        return;
    }
    let place = place();
    for count in [1, 2] {
        let fault = format!("fsync:error=EIO:when={count}");
        let arguments = ["sign", "--ssh-key", "sealer", "sealed.cfd"];
        let ran = Ran::of(injected(&place, &[&fault], &arguments).output().unwrap());
        ran.assert_failed(10, "may not survive a power cut");
    }
    sign(&place, &[]).assert_done();
}

#[cfg(feature = "foreign")]
#[test]
fn an_age_file_is_not_signed_and_what_signs_it_is_said() {
    let place = Place::with_sealed(1);
    write_keys(&place);
    place.run(["seal", "--format", "age", "-r", &place.recipient, "-o", "sealed.age", "plain"]).assert_done();
    for options in [&[][..], &["-i", "key.txt"]] {
        let refused = place.run([&["sign", "--ssh-key", "sealer"], options, &["sealed.age"]].concat());
        refused.assert_failed(11, "sealed.age: ");
        assert!(refused.stderr.contains("ssh-keygen -Y sign -n file"), "{}", refused.stderr);
    }
    place.run(["sign", "--print", "sealed.age"]).assert_failed(11, "ssh-keygen -Y sign");
    assert!(!place.path("sealed.age.sig").exists());
}
