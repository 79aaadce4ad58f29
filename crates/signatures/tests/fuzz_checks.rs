//! The fuzz target's checks on signatures, lists and keys, whole, cut and with flipped bits: what a fuzzer begins with.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use base64::prelude::{BASE64_STANDARD, Engine as _};

#[path = "../../../fuzz/src/signature.rs"]
mod signature_checks;

use signature_checks::check;

const SIGNATURE: &str = include_str!("stream.sig");
const RAW: &[u8] = include_bytes!("stream.sshsig");
const KEY: &str = include_str!("id_ed25519");
const PUBLIC: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti user@example.com";

#[test]
fn no_signature_list_or_key_breaks_a_check_whole_cut_or_with_a_flipped_bit() {
    let lines: String = SIGNATURE.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(BASE64_STANDARD.decode(lines).unwrap(), RAW);
    let list = format!("# who seals\n\n{PUBLIC}\n  {PUBLIC}\r\n");
    for whole in [SIGNATURE.as_bytes(), RAW, KEY.as_bytes(), PUBLIC.as_bytes(), list.as_bytes(), &[0x3f; 34]]
    {
        check(whole);
        for at in 0..whole.len() {
            let mut flipped = whole.to_vec();
            flipped[at] ^= 1 << (at % 8);
            check(&flipped);
            check(&whole[..at]);
        }
    }
    check(format!("{PUBLIC}\n").repeat(1000).as_bytes());
    check(format!("{PUBLIC}\n").repeat(1001).as_bytes());
}
