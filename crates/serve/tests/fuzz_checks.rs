//! The fuzzer's checks, on what clients send.
//! `cargo xtask fuzz serve` runs them on what nobody sends.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../../fuzz/src/serve.rs"]
mod serve;

/// Each as it is, cut anywhere, and with any byte changed.
#[test]
fn what_is_cut_or_changed_is_refused_or_read_as_it_is() {
    for text in [
        &b"cofferdam working set 1\ntag ab\nlength 1000\n0 10\n990 10\nend 2\n"[..],
        b"\x25\x60\x95\x13\0\0\0\0cookies!\0\0\0\0\0\0\x10\0\0\0\x10\0",
        b"\0\0\0\x08disk.img\0\x01\0\x03",
    ] {
        (0..=text.len()).for_each(|len| serve::check(&text[..len]));
        for at in 0..text.len() {
            for byte in 0..=u8::MAX {
                let mut changed = text.to_vec();
                changed[at] = byte;
                serve::check(&changed);
            }
        }
    }
}
