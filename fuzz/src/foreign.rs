//! Checks for the fuzzer: what is read of files that other programs have sealed: armor, head, and how the payload is cut and opened.
//! It knows one identity, that of age's test vectors, and the keys of those of other tools.

use foreign::{ArmorDecoder, Cut, Detected, Format, HeadStep, Keys, Opened, inspect_head, open_head};
use frame_worker::Backend;
use keys::{ForeignKey, Identities};

/// Everything below, for one input. Panics on a fault.
pub(crate) fn check(data: &[u8]) {
    match Format::detect(data) {
        Some(Detected::Binary(format)) => stream(format, data),
        Some(Detected::Armored) => {
            if let Some(bytes) = armored(data) {
                stream(Format::Age, &bytes);
            }
        }
        None => {
            armored(data);
            // As a payload, behind a head that is known.
            let head = &VECTOR[..VECTOR_HEAD_LEN];
            stream(Format::Age, &[head, data].concat());
        }
    }
}

/// In whatever pieces an armored file comes, the same is in it, or nothing.
fn armored(data: &[u8]) -> Option<Vec<u8>> {
    let decode = |piece_len: usize| {
        let (mut decoder, mut out) = (ArmorDecoder::default(), Vec::new());
        data.chunks(piece_len).try_for_each(|piece| decoder.push(piece, &mut out)).ok()?;
        decoder.finish(&mut out).ok()?;
        Some(out)
    };
    let [whole, pieces] = [data.len().max(1), 7].map(decode);
    assert_eq!(whole, pieces);
    whole
}

/// A head says the same with all of the stream at hand as with as much as it asks for; and so is the payload cut.
fn stream(format: Format, data: &[u8]) {
    let Some(opened) = opened(format, data) else { return };
    let Ok(Ok(inspected)) = inspect_head(format, data, true) else {
        panic!("what opens can be inspected");
    };
    assert_eq!(inspected.head_len, opened.head_len);
    let payload = &data[opened.head_len..];
    let layout = opened.chunks.layout(payload.len() as u64).map(Result::ok);
    let cut = cut(opened, payload);
    if let Some(layout) = layout {
        assert_eq!(layout.map(|layout| (layout.chunks, layout.plaintext_len())), cut);
    }
}

fn opened(format: Format, data: &[u8]) -> Option<Opened> {
    let identities = Identities::new().identity_file(IDENTITY).expect("it is an identity");
    let key = ForeignKey::parse(key_of(format).as_bytes()).expect("it is a key");
    let identities = identities.foreign_key(key);
    let keys = Keys { identities: &identities, backend: Backend::default(), cancelled: &|| false };
    let mut len = data.len().min(1);
    loop {
        let is_all = len == data.len();
        match open_head(format, &data[..len], is_all, &keys) {
            Ok(HeadStep::Opened(opened)) => {
                assert!(opened.head_len <= len);
                return Some(*opened);
            }
            Ok(HeadStep::More(more)) => {
                assert!(more > len && !is_all, "it asks for what there may be");
                len = more.min(data.len());
            }
            Err(_) => return None,
        }
    }
}

/// How many chunks there are, and bytes in them; `None` where that is no payload. Each is opened, whatever comes of it.
fn cut(mut opened: Opened, payload: &[u8]) -> Option<(u64, u64)> {
    let (mut at, mut window, mut chunks, mut plaintext_len) = (0, 0, 0, 0);
    loop {
        let ahead = &payload[at..(at + window).min(payload.len())];
        let is_all = at + ahead.len() == payload.len();
        match opened.cutter.cut(ahead, is_all).ok()? {
            Cut::More(more) => {
                assert!(more > ahead.len() && !is_all);
                window = more;
            }
            Cut::Chunk(chunk) => {
                assert_eq!(chunk.index, chunks);
                let longest = opened.chunks.longest();
                assert!(chunk.lens.wire <= longest.wire && chunk.lens.plaintext <= longest.plaintext);
                let mut plaintext = vec![0; chunk.lens.plaintext];
                let _ = opened.chunks.open(&chunk, &ahead[..chunk.lens.wire], &mut plaintext);
                (at, chunks) = (at + chunk.lens.wire, chunks + 1);
                plaintext_len += plaintext.len() as u64;
            }
            Cut::Pass(len) => {
                assert!(len > 0 && len <= ahead.len(), "it goes on");
                at += len;
            }
            Cut::End => return (at == payload.len()).then_some((chunks, plaintext_len)),
        }
    }
}

/// The key of the vectors in `crates/foreign/tests/vectors/other-tools`.
fn key_of(format: Format) -> &'static str {
    match format {
        Format::Agcm => "312c477f23a73bfdf230ee148ed5b87bc976c3ff3d0c182e705293552448f280",
        Format::Rse1 => "1111111111111111111111111111111111111111111111111111111111111111",
        _ => "1ab42cc412b618bdea3a599e3c9bae199ebf030895b039e9db1e30dafb12b727",
    }
}

/// The vector `x25519` of age's, and who opens it.
const IDENTITY: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
const VECTOR: &[u8] = include_bytes!("foreign/x25519.age");
/// Its header and nonce.
const VECTOR_HEAD_LEN: usize = 168 + 16;
