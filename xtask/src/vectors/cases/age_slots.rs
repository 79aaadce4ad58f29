//! Owns the age slots that a reader gets past or trips over: passphrases, work factors, files that nobody can open.
//! Refuses to know key copies, of which both say the same here.

use super::super::case::{Case, CaseKey, Expect, IDENTITY, PASSPHRASE, SECOND_IDENTITY};
use super::super::plan::{CALLER_KEY, OTHER_CALLER_KEY, OTHER_STREAM_KEY, Plan, Slot, Stage};
use super::key_area::{PAYLOAD_31_AGE, STREAM_KEY_AGE};

/// `STREAM_KEY` under `PASSPHRASE`, with these work factors.
const PASSPHRASE_10_AGE: &[u8] = include_bytes!("../age-files/passphrase-10.age");
const PASSPHRASE_20_AGE: &[u8] = include_bytes!("../age-files/passphrase-20.age");
const PASSPHRASE_21_AGE: &[u8] = include_bytes!("../age-files/passphrase-21.age");

/// Written by hand: age makes no such stanza. The other one is for `IDENTITY`.
const BAD_SHARE_FIRST_AGE: &[u8] = include_bytes!("../age-files/x25519-share-31-bytes-first.age");
const BAD_SHARE_SECOND_AGE: &[u8] = include_bytes!("../age-files/x25519-share-31-bytes-second.age");

const KEY_FILE: CaseKey = CaseKey::KeyFile(CALLER_KEY);
const PERSON: CaseKey = CaseKey::Identity(IDENTITY);
const PHRASE: CaseKey = CaseKey::Passphrase(PASSPHRASE);

pub(super) fn cases() -> Vec<Case> {
    let all = [passphrases(), work(), uncounted_work(), nobodys(), stanzas(), several_faults(), shapes()];
    all.into_iter().flatten().map(|case| case.keyless(Expect::Success)).chain(final_shapes()).collect()
}

fn age(file: &[u8]) -> Slot {
    Slot::Age(file.to_vec())
}

fn good(name: &str, comment: &str, slots: &[Slot], keys: &[CaseKey]) -> Case {
    Case::good(&format!("success-{name}"), comment, Plan::small().slots(slots).with(roomy).seal()).keys(keys)
}

fn bad(name: &str, expect: Expect, comment: &str, slots: &[Slot], keys: &[CaseKey]) -> Case {
    Case::bad(name, expect, comment, Plan::small().slots(slots).with(roomy).seal()).keys(keys)
}

/// Most of these slots fit into the smallest key copy.
fn roomy(plan: &mut Plan) {
    let len: usize = plan.key_copies[0].slots.iter().map(Slot::body_len).sum();
    plan.key_copy_len = if len < 3800 { 4096 } else { 8192 };
}

fn passphrases() -> Vec<Case> {
    vec![
        good("passphrase", "a passphrase slot of work factor 10", &[age(PASSPHRASE_10_AGE)], &[PHRASE])
            .clause("F5.8"),
        bad(
            "no-key-passphrase-wrong",
            Expect::NoKey,
            "another passphrase than the one given",
            &[age(PASSPHRASE_10_AGE)],
            &[CaseKey::Passphrase("incorrect horse")],
        )
        .clause("F14.3"),
        bad(
            "no-key-passphrase-not-given",
            Expect::NoKey,
            "a passphrase slot is not tried with an identity",
            &[age(PASSPHRASE_10_AGE)],
            &[PERSON],
        )
        .clause("F5.13"),
        good(
            "passphrase-beside-identity",
            "a passphrase slot behind the slot of the identities, of which none was given",
            &[age(STREAM_KEY_AGE), age(PASSPHRASE_10_AGE)],
            &[PHRASE],
        )
        .clause("F5.8"),
        good(
            "passphrase-20",
            "a passphrase slot of work factor 20, the limit itself",
            &[age(PASSPHRASE_20_AGE)],
            &[PHRASE],
        )
        .clause("F5.8")
        .slow(),
        good(
            "passphrase-20-beside-key-file",
            "a passphrase slot of work factor 20 before the slot that opens: without a passphrase it is not computed",
            &[age(PASSPHRASE_20_AGE), Slot::KeyFile(CALLER_KEY)],
            &[KEY_FILE],
        )
        .clause("F5.13"),
    ]
}

fn work() -> Vec<Case> {
    let limit = |name: &str, comment: &str, slots: &[Slot]| {
        bad(&format!("key-area-{name}"), Expect::Limit, comment, slots, &[PHRASE]).clause("F14.3")
    };
    let twenties = vec![age(PASSPHRASE_20_AGE); 4];
    let too_many = [twenties, vec![age(PASSPHRASE_10_AGE)]].concat();
    let with_key_file = [too_many.clone(), vec![Slot::KeyFile(CALLER_KEY)]].concat();
    vec![
        limit("passphrase-21", "a work factor of 21", &[age(PASSPHRASE_21_AGE)]),
        limit("passphrase-256", "a work factor of 256, which 8 bits do not hold", &[factor("256")]),
        limit(
            "passphrase-2-to-the-64",
            "a work factor of 2^64, which 64 bits do not hold",
            &[factor("18446744073709551616")],
        ),
        good(
            "passphrase-21-beside-key-file",
            "a work factor of 21 before the slot that opens",
            &[age(PASSPHRASE_21_AGE), Slot::KeyFile(CALLER_KEY)],
            &[PHRASE, KEY_FILE],
        )
        .clause("F5.13"),
        bad(
            "no-key-passphrase-21",
            Expect::NoKey,
            "a work factor of 21 is no fault to whom has no passphrase",
            &[age(PASSPHRASE_21_AGE)],
            &[PERSON],
        )
        .clause("F5.13"),
        limit(
            "passphrases-too-much-work",
            "work factors 20, 20, 20, 20 and 10: together 2^10 above 2^22",
            &too_many,
        )
        .clause("F5.18"),
        good(
            "passphrases-too-much-work-beside-key-file",
            "passphrase slots of too much work before the slot that opens",
            &with_key_file,
            &[PHRASE, KEY_FILE],
        )
        .clause("F5.18"),
        bad(
            "key-area-passphrase-factor-01",
            Expect::Damaged,
            "a work factor that begins with a zero",
            &[factor("01")],
            &[PHRASE],
        )
        .clause("F14.3"),
    ]
}

/// A passphrase slot counts by its work factor, whatever else is wrong with it (F5.18).
fn uncounted_work() -> Vec<Case> {
    let limit = |name: &str, comment: &str, slots: &[Slot]| {
        bad(&format!("key-area-{name}"), Expect::Limit, comment, slots, &[PHRASE]).clause("F5.18")
    };
    let salt = "A".repeat(21);
    let behind = |slot: Slot| [vec![slot; 4], vec![age(PASSPHRASE_10_AGE)]].concat();
    vec![
        limit(
            "passphrase-21-salt-15",
            "a work factor of 21 beside a salt that age does not take: the factor is judged first",
            &[scrypt(&salt, "21", "")],
        ),
        limit(
            "passphrases-too-much-work-salt-15",
            "work factors 20, 20, 20, 20, with salts that age does not take, and 10",
            &behind(scrypt(&salt, "20", "")),
        ),
        bad(
            "key-area-passphrase-factor-01-before-too-much-work",
            Expect::Damaged,
            "a work factor that begins with a zero is none, so its slot is no limit, and the first fault",
            &[vec![factor("01")], behind(factor("20"))].concat(),
            &[PHRASE],
        )
        .clause("F5.18"),
        good(
            "passphrases-beside-others-are-no-work",
            "four work factors of 20 in files that have another stanza, which nobody computes, before the slot that opens",
            &behind(scrypt(&"A".repeat(22), "20", "-> someone\n\n")),
            &[PHRASE],
        )
        .clause("F5.18"),
    ]
}

/// An identity tries the stanzas of a file in their order, up to the first that it opens or that is no stanza of its kind
/// (F5.20).
fn stanzas() -> Vec<Case> {
    let (first, second) = (age(BAD_SHARE_FIRST_AGE), age(BAD_SHARE_SECOND_AGE));
    vec![
        bad(
            "key-area-age-share-31-first",
            Expect::Damaged,
            "an X25519 stanza with a share of 31 bytes before the one that opens",
            std::slice::from_ref(&first),
            &[PERSON],
        )
        .clause("F5.20"),
        good(
            "age-share-31-second",
            "an X25519 stanza with a share of 31 bytes behind the one that opens",
            std::slice::from_ref(&second),
            &[PERSON],
        )
        .clause("F5.20"),
        bad(
            "key-area-age-share-31-to-a-stranger",
            Expect::Damaged,
            "an X25519 stanza with a share of 31 bytes behind one for somebody else",
            std::slice::from_ref(&second),
            &[CaseKey::Identity(SECOND_IDENTITY)],
        )
        .clause("F5.20"),
        good(
            "age-share-31-before-key-file",
            "an X25519 stanza with a share of 31 bytes, before a slot that opens",
            &[first, Slot::KeyFile(CALLER_KEY)],
            &[PERSON, KEY_FILE],
        )
        .clause("F5.13"),
    ]
}

/// Files with a header that parses, which age opens for nobody.
fn nobodys() -> Vec<Case> {
    let header_len = STREAM_KEY_AGE.len() - (16 + 32 + 16);
    let cut = age(&STREAM_KEY_AGE[..header_len + 15]);
    let no_nonce = age(&STREAM_KEY_AGE[..header_len]);
    let mixed = age(&[
        b"age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10\n",
        "A".repeat(43).as_bytes(),
        b"\n-> someone\n\n--- ",
        "A".repeat(43).as_bytes(),
        b"\n",
        &[7; 64],
    ]
    .concat());
    let key_file = Slot::KeyFile(CALLER_KEY);
    let mut cases = Vec::new();
    for (name, comment, slot, keys) in [
        ("age-nonce-cut", "an age file that is cut in its nonce", cut, PERSON),
        ("age-nonce-missing", "an age file that ends with its header", no_nonce, PERSON),
        ("age-scrypt-beside-another", "an age file with a scrypt stanza beside another", mixed, PHRASE),
    ] {
        let both = [slot.clone(), key_file.clone()];
        cases.push(
            good(
                &format!("{name}-before-key-file"),
                &format!("{comment}, before a slot that opens"),
                &both,
                &[keys, KEY_FILE],
            )
            .clause("F5.13"),
        );
        let alone = std::slice::from_ref(&slot);
        let tried = format!("key-area-{name}");
        cases.push(bad(&tried, Expect::Damaged, comment, alone, &[keys]).clause("F14.3"));
        let untried = format!("no-key-{name}");
        let comment = format!("{comment}, which is not tried with a key file");
        cases.push(bad(&untried, Expect::NoKey, &comment, alone, &[KEY_FILE]).clause("F5.13"));
    }
    cases
}

/// What decides where no slot yields the committed key (F5.13).
fn several_faults() -> Vec<Case> {
    let (limit, damaged) = (age(PASSPHRASE_21_AGE), age(PAYLOAD_31_AGE));
    let mismatch = Slot::KeyFileTo { caller_key: CALLER_KEY, stream_key: OTHER_STREAM_KEY };
    let all = [PHRASE, PERSON, KEY_FILE];
    let case = |name: &str, expect, comment: &str, slots: &[Slot]| {
        bad(&format!("key-area-{name}"), expect, comment, slots, &all).clause("F5.13")
    };
    let wrong = Slot::KeyFile(OTHER_CALLER_KEY);
    vec![
        case(
            "limit-then-damaged",
            Expect::Limit,
            "two faults while slots are tried: the first is a work factor of 21, the second a payload of 31 bytes",
            &[limit.clone(), damaged.clone()],
        ),
        case(
            "damaged-then-limit",
            Expect::Damaged,
            "two faults while slots are tried: the first is a payload of 31 bytes, the second a work factor of 21",
            &[damaged.clone(), limit.clone()],
        ),
        case(
            "limit-then-mismatch",
            Expect::Damaged,
            "a slot that opens to another key counts before a work factor of 21, wherever it stands",
            &[limit.clone(), mismatch.clone()],
        ),
        case(
            "no-key-then-limit",
            Expect::Limit,
            "a slot that does not open, and one with a work factor of 21",
            &[wrong, limit.clone()],
        ),
        good(
            "after-three-faults",
            "a work factor of 21, a payload of 31 bytes, a key that is not committed to, and a slot that opens",
            &[limit, damaged, mismatch, Slot::KeyFile(CALLER_KEY)],
            &all,
        )
        .clause("F5.13"),
    ]
}

fn shapes() -> Vec<Case> {
    let name = [&255_u16.to_le_bytes()[..], &[b'n'; 255]].concat();
    let key_file = Slot::KeyFile(CALLER_KEY);
    vec![
        good(
            "slot-kind-0",
            "a slot of kind 0 is skipped, as any kind that is not known",
            &[Slot::Opaque { kind: 0, body: b"of no kind".to_vec() }, key_file.clone()],
            &[KEY_FILE],
        )
        .clause("F5.4"),
        good(
            "slot-kind-65535",
            "the largest kind, which is not known",
            &[Slot::Opaque { kind: u16::MAX, body: Vec::new() }, key_file.clone()],
            &[KEY_FILE],
        )
        .clause("F5.4"),
        good(
            "external-name-255",
            "an external name of 255 bytes, the limit itself, and no ciphertext",
            &[Slot::Opaque { kind: 3, body: name }, key_file.clone()],
            &[KEY_FILE],
        )
        .clause("F5.11"),
        good(
            "slots-fill-the-copy",
            "slots of L - 96 bytes: no byte is left for zeros",
            &[key_file, Slot::Opaque { kind: 900, body: vec![7; 4096 - 96 - 88 - 8] }],
            &[KEY_FILE],
        )
        .clause("F5.1"),
    ]
}

/// Faults of F5.2: final, whoever reads.
fn final_shapes() -> Vec<Case> {
    let key_file = || Slot::KeyFile(CALLER_KEY);
    let case = |name: &str, expect, comment: &str, slot: Slot| {
        bad(&format!("key-area-{name}"), expect, comment, &[key_file(), slot], &[KEY_FILE]).clause("F5.2")
    };
    let external = |body: &[u8]| Slot::Opaque { kind: 3, body: body.to_vec() };
    let no_header = [&b"x\n"[..], &b"-> a\n\n".repeat(257)].concat();
    vec![
        case(
            "external-name-overruns",
            Expect::Damaged,
            "a name of 65535 bytes in a body of 5: that contradicts the body, and no limit is asked",
            external(b"\xff\xffabc"),
        ),
        case("external-name-not-utf-8", Expect::Damaged, "a name that is not UTF-8", external(b"\x01\0\xff")),
        case("external-short", Expect::Damaged, "a kind-3 body of one byte", external(b"\x01")),
        case(
            "no-age-header-257-stanzas",
            Expect::Limit,
            "no age header, with 257 lines of stanzas: they are counted before anything is parsed",
            age(&no_header),
        ),
        case(
            "age-257-stanzas-last-line-open",
            Expect::Limit,
            "the 257th line of a stanza is the end of the body, without a line feed",
            age(&[&b"age-encryption.org/v1\n"[..], &b"-> a\n\n".repeat(256), b"-> "].concat()),
        ),
        reserved_behind_257_stanzas(),
        case(
            "age-stanza-without-end",
            Expect::Damaged,
            "a stanza whose body has no short line at its end",
            age(&[b"age-encryption.org/v1\n-> a\n--- ", "A".repeat(43).as_bytes(), b"\n", &[7; 64]].concat()),
        ),
        case(
            "key-file-slot-long",
            Expect::Damaged,
            "a kind-2 slot of 81 bytes",
            Slot::Opaque { kind: 2, body: vec![7; 81] },
        ),
    ]
}

/// All slots are walked before the body of any is looked at.
fn reserved_behind_257_stanzas() -> Case {
    let first = age(&b"-> a\n\n".repeat(257));
    let at = 32 + 8 + first.body_len() + 2;
    let plan = Plan::small().slots(&[first, Slot::KeyFile(CALLER_KEY)]).with(roomy);
    let plan = plan.edit_key_copies(Stage::Fields, at, &[1]);
    let comment = "two faults: the first slot has 257 stanzas, the second a reserved byte that is 1";
    Case::bad("key-area-257-stanzas-then-reserved", Expect::Damaged, comment, plan.seal())
        .keys(&[KEY_FILE])
        .clause("F5.2")
}

/// A passphrase slot that nobody has computed.
fn factor(digits: &str) -> Slot {
    scrypt(&"A".repeat(22), digits, "")
}

fn scrypt(salt: &str, digits: &str, more: &str) -> Slot {
    let stanza = format!("-> scrypt {salt} {digits}\n{}\n{more}", "A".repeat(43));
    age(&[format!("age-encryption.org/v1\n{stanza}--- {}\n", "A".repeat(43)).as_bytes(), &[7; 64]].concat())
}
