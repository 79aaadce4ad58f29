//! Owns the texts of records: what another program has made by docs/PARTS.md is read, made again to the byte, and nothing like it.
//! Refuses to know files of attempts.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use parts::{
    AttemptName, Committed, FileIdentity, Modified, NewPlan, PartExtent, PartReceipt, Piece, PieceHasher,
    Plan, PlanId, PlanKey, Publishing, RECEIPT_PIECES_MAX, RecordError, TreeOwners, TreeTarget, UnusablePlan,
};

/// `records.py` made them.
const PLAN: &str = include_str!("plan.txt");
const RECEIPT: &str = include_str!("receipt.txt");
const PUBLISHING: &str = include_str!("publishing.txt");
const COMMITTED: &str = include_str!("committed.txt");

fn key() -> PlanKey {
    PlanKey::parse(b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n").unwrap()
}

fn plan() -> Plan {
    Plan::parse(PLAN.as_bytes(), &key()).unwrap()
}

fn extents() -> Vec<PartExtent> {
    vec![
        PartExtent { segments: 0..2, plaintext: 0..2 << 20, chain_before: [0; 32], chain_after: [0x22; 32] },
        PartExtent {
            segments: 2..3,
            plaintext: 2 << 20..(2 << 20) + 1,
            chain_before: [0x22; 32],
            chain_after: [0x33; 32],
        },
    ]
}

fn content() -> NewPlan {
    NewPlan {
        stream_id: [0x11; 16],
        stream_digest: [0x33; 32],
        source: "s3://backups/db of may.cfd".into(),
        target: "/srv/db%".into(),
        replaces: false,
        mode: Some(0o640),
        modified: Some(Modified { seconds: -2, nanos: 500_000_000 }),
        tree: None,
        len: None,
        parts: extents(),
    }
}

/// The text with other lines and a MAC that is right: what only someone with the key can write.
fn sealed_again(text: &str, from: &str, to: &str) -> String {
    let (clear, _) = text.rsplit_once("mac ").unwrap();
    assert!(clear.contains(from), "{from}");
    // A record of any kind has the same MAC; the crate makes it of a plan's text only through its own types.
    let clear = clear.replacen(from, to, 1);
    let mac = hmac_of(clear.as_bytes());
    format!("{clear}mac {mac}\n")
}

/// HMAC-SHA-256 (RFC 2104) by `openssl`.
fn hmac_of(message: &[u8]) -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let key = "hexkey:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-mac", "HMAC", "-macopt", key, "-r"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(message).unwrap();
    let said = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
    said[..64].to_owned()
}

#[test]
fn a_plan_that_another_program_has_made_is_read_and_made_again_to_the_byte() {
    let plan = plan();
    assert_eq!(plan.content(), &content());
    assert_eq!((plan.plaintext_len(), plan.parts().len()), ((2 << 20) + 1, 2));
    assert_eq!(plan.id().to_string(), "00112233445566778899aabbccddeeff");
    assert_eq!(plan.to_text(&key()), PLAN);
}

/// Each line that may be missing, by the words of docs/PARTS.md: read, and made again to the byte.
#[test]
fn a_plan_of_a_tree_says_how_it_becomes_a_directory() {
    let of_file = "mode 0640\nmodified -2.500000000\n";
    let with = |line: &str| Plan::parse(sealed_again(PLAN, of_file, line).as_bytes(), &key());
    for (owners, word) in
        [(TreeOwners::ByName, "by-name"), (TreeOwners::ByNumber, "by-number"), (TreeOwners::Ours, "ours")]
    {
        for flags in 0..8 {
            let [restores_set_id, makes_devices, keeps_old] = [1, 2, 4].map(|bit| flags & bit != 0);
            let set_id = if restores_set_id { "set-id" } else { "no-set-id" };
            let devices = if makes_devices { "devices" } else { "no-devices" };
            let old = if keeps_old { "keep-old" } else { "remove-old" };
            let line = format!("tree {word} {set_id} {devices} {old}\n");
            let plan = with(&line).unwrap();
            let tree = TreeTarget { owners, restores_set_id, makes_devices, keeps_old };
            assert_eq!((plan.content().tree, plan.target_len()), (Some(tree), (2 << 20) + 1));
            assert_eq!(plan.to_text(&key()), sealed_again(PLAN, of_file, &line));
        }
    }
    let cut = with("length 1024\n").unwrap();
    assert_eq!((cut.content().len, cut.target_len(), cut.plaintext_len()), (Some(1024), 1024, (2 << 20) + 1));
    assert_eq!(Committed::of(&cut).target_len, 1024);
    assert_eq!(cut.to_text(&key()), sealed_again(PLAN, of_file, "length 1024\n"));
    for line in [
        "tree by-name no-set-id no-devices\n",
        "tree by-name no-set-id no-devices remove-old remove-old\n",
        "tree by-hand no-set-id no-devices remove-old\n",
        "tree by-name set_id no-devices remove-old\n",
        "tree by-name no-set-id keep-old remove-old\n",
        "tree by-name no-set-id no-devices devices\n",
    ] {
        assert_eq!(with(line), Err(RecordError::Malformed { line: 8 }), "{line}");
    }
    for line in [
        "tree ours set-id devices keep-old\nlength 1024\n",
        "length 2097153\n",
        "length 18446744073709551615\n",
    ] {
        assert_eq!(with(line), Err(RecordError::Contradictory), "{line}");
    }
    let with_mode = "mode 0640\ntree ours set-id devices keep-old\n";
    assert_eq!(with(with_mode), Err(RecordError::Contradictory));
}

#[test]
fn a_receipt_that_another_program_has_made_is_read_and_made_again_to_the_byte() {
    let receipt = PartReceipt::parse(RECEIPT.as_bytes(), &key(), &plan()).unwrap();
    assert_eq!((receipt.part(), receipt.attempt()), (0, AttemptName([0xAB; 16])));
    assert_eq!(receipt.extent(), &extents()[0]);
    assert_eq!(receipt.to_text(&key()), RECEIPT);
    let part: Vec<u8> = (0..2_usize << 20).map(|at| (at / 7 % 256) as u8).collect();
    let hasher = PieceHasher::new(&key(), plan().id());
    for (piece, data) in receipt.pieces().iter().zip(part.chunks(1 << 20)) {
        assert_eq!((piece.len, piece.digest), (1 << 20, hasher.digest_of(data)));
        let in_steps = hasher.digest(|feed| {
            data.chunks(1000).for_each(feed);
            Ok::<(), ()>(())
        });
        assert_eq!(in_steps, Ok(piece.digest));
    }
}

/// What is written has to be read by whoever commits.
#[test]
fn a_receipt_that_would_be_too_long_is_none() {
    let digest = PieceHasher::new(&key(), plan().id()).digest_of(b"x");
    let receipt = |count: u64| {
        let mut pieces = vec![Piece { len: 1, digest }; count as usize];
        pieces.last_mut().unwrap().len += (2 << 20) - count;
        PartReceipt::new(&plan(), 0, AttemptName([0xAB; 16]), pieces)
    };
    let longest = receipt(RECEIPT_PIECES_MAX as u64).unwrap();
    assert_eq!(PartReceipt::parse(longest.to_text(&key()).as_bytes(), &key(), &plan()), Ok(longest));
    assert_eq!(receipt(RECEIPT_PIECES_MAX as u64 + 1).unwrap_err(), RecordError::TooLong);
}

#[test]
fn notes_that_another_program_has_made_are_read_and_made_again_to_the_byte() {
    let id = plan().id();
    let publishing = Publishing::parse(PUBLISHING.as_bytes(), &key(), id).unwrap();
    let file = FileIdentity { inode: 12_345, created: Some(1_700_000_000_123_456_789) };
    assert_eq!(publishing, Publishing { file });
    assert_eq!(publishing.to_text(&key(), id), PUBLISHING);
    let committed = Committed::parse(COMMITTED.as_bytes(), &key(), id).unwrap();
    assert_eq!(committed, Committed::of(&plan()));
    assert_eq!(committed.to_text(&key(), id), COMMITTED);
    let unknown = Publishing { file: FileIdentity { inode: 1, created: None } };
    let text = unknown.to_text(&key(), id);
    assert_eq!(Publishing::parse(text.as_bytes(), &key(), id), Ok(unknown));
}

#[test]
fn no_byte_of_a_record_can_be_changed_and_none_left_out() {
    for (name, text) in
        [("plan", PLAN), ("receipt", RECEIPT), ("publishing", PUBLISHING), ("committed", COMMITTED)]
    {
        let refused = |text: &[u8]| match name {
            "plan" => Plan::parse(text, &key()).is_err(),
            "receipt" => PartReceipt::parse(text, &key(), &plan()).is_err(),
            "publishing" => Publishing::parse(text, &key(), plan().id()).is_err(),
            _ => Committed::parse(text, &key(), plan().id()).is_err(),
        };
        for at in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] ^= 1;
            assert!(refused(&changed), "{name}: {at}");
            assert!(refused(&text.as_bytes()[..at]), "{name}: {at}");
        }
        assert!(refused(format!("{text}\n").as_bytes()) && refused(format!("\n{text}").as_bytes()), "{name}");
    }
}

#[test]
fn another_key_another_plan_and_another_kind_are_refused() {
    let other = PlanKey::generate().unwrap();
    assert_eq!(Plan::parse(PLAN.as_bytes(), &other), Err(RecordError::Forged));
    assert_eq!(PartReceipt::parse(RECEIPT.as_bytes(), &other, &plan()), Err(RecordError::Forged));
    let second = Plan::new(content()).unwrap();
    assert_ne!(second.id(), Plan::new(content()).unwrap().id());
    assert_eq!(PartReceipt::parse(RECEIPT.as_bytes(), &key(), &second), Err(RecordError::OtherPlan));
    assert_eq!(Publishing::parse(PUBLISHING.as_bytes(), &key(), second.id()), Err(RecordError::OtherPlan));
    assert_eq!(Committed::parse(COMMITTED.as_bytes(), &key(), second.id()), Err(RecordError::OtherPlan));
    assert_eq!(Plan::parse(RECEIPT.as_bytes(), &key()), Err(RecordError::OtherKind));
    assert_eq!(Committed::parse(PUBLISHING.as_bytes(), &key(), plan().id()), Err(RecordError::OtherKind));
}

/// Under a MAC that is right: what whoever has the key might write.
#[test]
fn a_plan_that_does_not_tile_its_stream_is_refused_under_a_right_mac_too() {
    let twos = "22".repeat(32);
    let second = format!("part 1 2 3 2097152 2097153 {twos}");
    for (from, to, error) in [
        ("part 0 0 2", "part 0 0 1", RecordError::Contradictory),
        ("part 0 0 2", "part 0 1 2", RecordError::Contradictory),
        ("part 0 0 2 0 2097152", "part 0 0 2 1 2097152", RecordError::Contradictory),
        ("part 0 0 2 0 2097152", "part 0 0 2 0 2097151", RecordError::Contradictory),
        ("part 1 2 3", "part 1 2 2", RecordError::Contradictory),
        (&second, &format!("part 1 2 3 2097152 2097153 {}", "23".repeat(32)), RecordError::Contradictory),
        ("digest 33", "digest 34", RecordError::Contradictory),
        ("part 1 2", "part 0 2", RecordError::Malformed { line: 12 }),
        ("parts 2", "parts 1", RecordError::Malformed { line: 12 }),
        ("parts 2", "parts 3", RecordError::Malformed { line: 13 }),
        ("parts 2", "parts 10001", RecordError::Malformed { line: 10 }),
        ("parts 2", "parts 02", RecordError::Malformed { line: 10 }),
        ("target /srv", "target srv", RecordError::Malformed { line: 6 }),
        ("db%25", "db%2", RecordError::Malformed { line: 6 }),
        ("db%25", "d%62%25", RecordError::Malformed { line: 6 }),
        ("mode 0640", "mode 640", RecordError::Malformed { line: 8 }),
        ("mode 0640", "mode 4640", RecordError::Malformed { line: 8 }),
        ("modified -2.5", "modified -02.5", RecordError::Malformed { line: 9 }),
        ("exists refuse", "exists maybe", RecordError::Malformed { line: 7 }),
        ("exists refuse", "exists  refuse", RecordError::Malformed { line: 7 }),
        ("plan 00112233445566778899aa", "plan 00112233445566778899AA", RecordError::Malformed { line: 2 }),
    ] {
        let text = sealed_again(PLAN, from, to);
        assert_eq!(Plan::parse(text.as_bytes(), &key()), Err(error), "{from} → {to}");
    }
    // What is changed and changed back is the plan.
    assert_eq!(sealed_again(PLAN, "mode 0640", "mode 0640"), PLAN);
}

#[test]
fn a_receipt_that_is_not_of_its_part_is_refused_under_a_right_mac_too() {
    for (from, to) in [
        ("part 0", "part 1"),
        ("part 0", "part 2"),
        ("segments 0 2", "segments 0 3"),
        ("plaintext 0 2097152", "plaintext 0 2097151"),
        ("chain 00", "chain 01"),
        ("piece 1048576", "piece 1048575"),
        ("piece 1048576", "piece 18446744073709551615"),
        ("piece 1048576", "piece 0"),
    ] {
        let text = sealed_again(RECEIPT, from, to);
        let refused = PartReceipt::parse(text.as_bytes(), &key(), &plan());
        assert_eq!(refused, Err(RecordError::Contradictory), "{from} → {to}");
    }
    for (from, to) in [("pieces 2", "pieces 1"), ("pieces 2", "pieces 18446744073709551615")] {
        let text = sealed_again(RECEIPT, from, to);
        let refused = PartReceipt::parse(text.as_bytes(), &key(), &plan());
        assert!(matches!(refused, Err(RecordError::Malformed { .. })), "{from} → {to}");
    }
}

#[test]
fn a_plan_that_cannot_be_is_not_made() {
    let with = |change: fn(&mut NewPlan)| {
        let mut content = content();
        change(&mut content);
        Plan::new(content)
    };
    assert!(matches!(with(|plan| plan.parts.clear()), Err(UnusablePlan::Contradictory)));
    assert!(matches!(with(|plan| plan.parts.truncate(1)), Err(UnusablePlan::Contradictory)));
    assert!(matches!(with(|plan| plan.parts.swap(0, 1)), Err(UnusablePlan::Contradictory)));
    assert!(matches!(with(|plan| plan.mode = Some(0o1000)), Err(UnusablePlan::Contradictory)));
    assert!(matches!(with(|plan| plan.target = "db".into()), Err(UnusablePlan::Path)));
    assert!(matches!(with(|plan| plan.source = "".into()), Err(UnusablePlan::Path)));
    let many = |plan: &mut NewPlan| plan.parts = vec![plan.parts[0].clone(); parts::PARTS_MAX + 1];
    assert!(matches!(with(many), Err(UnusablePlan::TooManyParts)));
    let receipt = |pieces| PartReceipt::new(&plan(), 0, AttemptName([1; 16]), pieces);
    let piece = |len| Piece { len, digest: PieceHasher::new(&key(), plan().id()).digest_of(b"") };
    assert_eq!(receipt(vec![piece(1)]), Err(RecordError::Contradictory));
    assert!(receipt(vec![piece(2 << 20)]).is_ok());
}

#[test]
fn a_plan_with_the_most_parts_and_the_longest_names_can_be_read_again() {
    let mut content = content();
    let name = "%".repeat(8000);
    (content.source, content.target) = (name.clone().into(), format!("/{name}").into());
    let chain = |number: u64| {
        let mut chain = [0xFF; 32];
        chain[..8].copy_from_slice(&number.to_le_bytes());
        chain
    };
    // Numbers as long as they can be.
    let at = |number: u64| if number == 0 { 0 } else { u64::MAX - parts::PARTS_MAX as u64 + number };
    content.parts = (0..parts::PARTS_MAX as u64)
        .map(|number| PartExtent {
            segments: at(number)..at(number + 1),
            plaintext: at(number)..at(number + 1),
            chain_before: chain(number),
            chain_after: chain(number + 1),
        })
        .collect();
    content.stream_digest = chain(parts::PARTS_MAX as u64);
    let plan = Plan::new(content).unwrap();
    assert_eq!(Plan::parse(plan.to_text(&key()).as_bytes(), &key()).unwrap(), plan);
}

#[test]
fn only_64_digits_are_a_key_and_debug_shows_nothing_of_it() {
    let text = key().to_text();
    assert_eq!(text.as_str(), "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
    let upper = text.to_ascii_uppercase();
    for content in [text.as_str(), text.trim_end(), &upper] {
        assert_eq!(PlanKey::parse(content.as_bytes()).unwrap().to_text(), text);
    }
    for content in [
        "",
        "\n",
        &text[1..],
        &format!("0{}", &*text),
        &format!("{}\r\n", text.trim_end()),
        &text.replace('0', "g"),
    ] {
        assert!(PlanKey::parse(content.as_bytes()).is_none(), "{content:?}");
    }
    assert_eq!(format!("{:?}", key()), "PlanKey");
    // As another program makes it (`records.py` has the call): HMAC-SHA-256 over the label.
    let label = key().target_label(PlanId([0x11; 16]));
    let expected = hmac_of(format!("cofferdam-target 1\nplan {}\n", "11".repeat(16)).as_bytes());
    assert_eq!(label.map(|byte| format!("{byte:02x}")).concat(), expected);
}
