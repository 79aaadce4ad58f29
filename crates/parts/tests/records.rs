//! Owns the texts of records: what another program has made by docs/PARTS.md is read, made again to the byte, and nothing like it.
//! Refuses to know files of attempts.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use parts::{
    AttemptName, Committed, Completing, FileIdentity, FileState, FileStates, MemberRange, Modified, NewPlan,
    PartCut, PartExtent, PartReceipt, Piece, PieceHasher, Plan, PlanId, PlanKey, PlanTarget, PlannedUpload,
    Publishing, RECEIPT_PIECES_MAX, RecordError, TreeOwners, TreeTarget, UnusablePlan,
};

/// `records.py` made them.
const PLAN: &str = include_str!("plan.txt");
const RECEIPT: &str = include_str!("receipt.txt");
const RECEIPT_OF_FILE: &str = include_str!("receipt-file.txt");
const RECEIPT_OF_MEMBERS: &str = include_str!("receipt-members.txt");
const PUBLISHING: &str = include_str!("publishing.txt");
const COMMITTED: &str = include_str!("committed.txt");
const PLAN_OF_OBJECT: &str = include_str!("plan-object.txt");
const RECEIPT_OF_OBJECT: &str = include_str!("receipt-object.txt");
const COMPLETING: &str = include_str!("completing.txt");

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
        target: PlanTarget::Path("/srv/db%".into()),
        replaces: false,
        mode: Some(0o640),
        modified: Some(Modified { seconds: -2, nanos: 500_000_000 }),
        tree: None,
        len: None,
        parts: extents(),
    }
}

fn plan_of_object() -> Plan {
    Plan::parse(PLAN_OF_OBJECT.as_bytes(), &key()).unwrap()
}

fn upload() -> PlannedUpload {
    PlannedUpload {
        id: "VXBsb2FkIElE %".into(),
        attempt: [0x44; 16],
        replaces: Some("\"9b2cf535f27731c974343645a3985328\"".into()),
        cuts: vec![
            PartCut { numbers: 1..3, piece_len: 6 << 20 },
            PartCut { numbers: 3..4, piece_len: 16 << 20 },
        ],
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

#[test]
fn a_receipt_says_what_the_file_system_has_said_of_its_file_or_nothing() {
    let state = FileState { inode: 4711, len: 2 << 20, changed: 1_764_529_200_123_456_789 };
    let of = |own| FileStates { own, members: Vec::new() };
    let receipt = PartReceipt::parse(RECEIPT_OF_FILE.as_bytes(), &key(), &plan()).unwrap();
    assert_eq!(receipt.files(), Some(&of(state)));
    assert_eq!(receipt.to_text(&key()), RECEIPT_OF_FILE);
    let without = PartReceipt::parse(RECEIPT.as_bytes(), &key(), &plan()).unwrap();
    assert_eq!(without.files(), None);
    assert_eq!(without.clone().of_files(of(state)), Ok(receipt));
    let longer = FileState { len: state.len + 1, ..state };
    assert_eq!(without.of_files(of(longer)), Err(RecordError::Contradictory));
    let of_object = PartReceipt::parse(RECEIPT_OF_OBJECT.as_bytes(), &key(), &plan_of_object()).unwrap();
    let as_long = FileState { len: 11 << 20, ..state };
    assert_eq!(of_object.of_files(of(as_long)), Err(RecordError::Contradictory));
    let line = "file 4711 2097152 1764529200123456789\n";
    for (to, error) in [
        ("file 4711 2097151 1764529200123456789\n", RecordError::Contradictory),
        ("file 4711 2097152\n", RecordError::Malformed { line: 8 }),
        ("file 4711 2097152 -1\n", RecordError::Malformed { line: 8 }),
        ("file 4711 2097152 18446744073709551616\n", RecordError::Malformed { line: 8 }),
        (&line.repeat(2), RecordError::Malformed { line: 9 }),
    ] {
        let text = sealed_again(RECEIPT_OF_FILE, line, to);
        assert_eq!(PartReceipt::parse(text.as_bytes(), &key(), &plan()), Err(error), "{to}");
    }
    let to = format!("file 4711 {} 1764529200123456789\npieces", 11 << 20);
    let text = sealed_again(RECEIPT_OF_OBJECT, "pieces", &to);
    let refused = PartReceipt::parse(text.as_bytes(), &key(), &plan_of_object());
    assert_eq!(refused, Err(RecordError::Malformed { line: 8 }));
}

/// The plan of the same stream as a tree.
fn plan_of_tree() -> Plan {
    let text = sealed_again(
        PLAN,
        "mode 0640\nmodified -2.500000000\n",
        "tree ours no-set-id no-devices remove-old\n",
    );
    Plan::parse(text.as_bytes(), &key()).unwrap()
}

#[test]
fn a_receipt_says_which_files_of_a_tree_its_attempt_has_in_files_of_their_own() {
    let plan_of_tree = plan_of_tree();
    let parse = |text: &str| PartReceipt::parse(text.as_bytes(), &key(), &plan_of_tree);
    let receipt = parse(RECEIPT_OF_MEMBERS).unwrap();
    let members =
        [MemberRange { range: 4096..1_052_672, pad: 0 }, MemberRange { range: 2_031_616..2 << 20, pad: 512 }];
    assert_eq!(receipt.layout().members(), members);
    let of_member =
        |inode, len, changed: u64| FileState { inode, len, changed: 1_764_529_200_123_456_700 + changed };
    let files = FileStates {
        own: of_member(4711, 983_040, 89),
        members: vec![of_member(4712, 1 << 20, 80), of_member(4713, 65_536 + 512, 90)],
    };
    assert_eq!(receipt.files(), Some(&files));
    assert_eq!(receipt.to_text(&key()), RECEIPT_OF_MEMBERS);
    // Made by the crate alone, the same; and without what the file system has said.
    let made = PartReceipt::new(&plan_of_tree, 0, AttemptName([0xAB; 16]), receipt.pieces().to_vec());
    let made = made.and_then(|made| made.of_members(&plan_of_tree, members.to_vec())).unwrap();
    let untold =
        RECEIPT_OF_MEMBERS.replace(" 4712 1764529200123456780", "").replace(" 4713 1764529200123456790", "");
    let untold = sealed_again(&untold, "file 4711 983040 1764529200123456789\n", "");
    assert_eq!((made.to_text(&key()), parse(&untold)), (untold, Ok(made.clone())));
    assert_eq!(made.of_files(files), Ok(receipt));
    // Where the target is a file there are none.
    let refused = PartReceipt::parse(RECEIPT_OF_MEMBERS.as_bytes(), &key(), &plan());
    assert_eq!(refused, Err(RecordError::Malformed { line: 9 }));
    let (first, second) = (
        "member 4096 1052672 0 4712 1764529200123456780\n",
        "member 2031616 2097152 512 4713 1764529200123456790\n",
    );
    for (from, to, error) in [
        ("members 2\n", "members 3\n", RecordError::Malformed { line: 12 }),
        ("members 2\n", "members 1\n", RecordError::Malformed { line: 11 }),
        (&format!("members 2\n{first}{second}"), "members 0\n", RecordError::Contradictory),
        ("file 4711 983040 1764529200123456789\n", "", RecordError::Malformed { line: 9 }),
        ("file 4711 983040", "file 4711 2097152", RecordError::Contradictory),
        (first, "member 4096 1052672 0 4712\n", RecordError::Malformed { line: 10 }),
        // In two pieces; before the one before it; beyond the part; with too much before it.
        ("member 4096 1052672 0", "member 4096 1052673 0", RecordError::Contradictory),
        ("member 2031616 2097152 512", "member 1052671 2097152 512", RecordError::Contradictory),
        ("member 2031616 2097152 512", "member 2031616 2097153 512", RecordError::Contradictory),
        ("member 2031616 2097152 512", "member 2097152 2031616 512", RecordError::Contradictory),
        ("member 2031616 2097152 512", "member 2031616 2097152 65536", RecordError::Contradictory),
        (
            "member 2031616 2097152 512",
            "member 2031616 2097152 18446744073709551615",
            RecordError::Contradictory,
        ),
    ] {
        assert_eq!(parse(&sealed_again(RECEIPT_OF_MEMBERS, from, to)), Err(error), "{to}");
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
    for (name, text) in [
        ("plan", PLAN),
        ("plan", PLAN_OF_OBJECT),
        ("receipt", RECEIPT),
        ("receipt", RECEIPT_OF_FILE),
        ("receipt-object", RECEIPT_OF_OBJECT),
        ("publishing", PUBLISHING),
        ("completing", COMPLETING),
        ("committed", COMMITTED),
    ] {
        let refused = |text: &[u8]| match name {
            "plan" => Plan::parse(text, &key()).is_err(),
            "receipt" => PartReceipt::parse(text, &key(), &plan()).is_err(),
            "receipt-object" => PartReceipt::parse(text, &key(), &plan_of_object()).is_err(),
            "completing" => Completing::parse(text, &key(), plan().id()).is_err(),
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
    for (other, error) in [
        ("cofferdam-plan 2\n", RecordError::OtherVersion),
        ("cofferdam-plan 10\nmore\n", RecordError::OtherVersion),
        ("cofferdam-plan x\n", RecordError::OtherKind),
        ("cofferdam-plans 2\n", RecordError::OtherKind),
        ("cofferdam-plan ", RecordError::OtherKind),
    ] {
        assert_eq!(Plan::parse(other.as_bytes(), &key()), Err(error), "{other}");
    }
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
    assert!(matches!(with(|plan| plan.target = PlanTarget::Path("db".into())), Err(UnusablePlan::Path)));
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
    (content.source, content.target) = (name.clone().into(), PlanTarget::Path(format!("/{name}").into()));
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
fn records_of_an_object_that_another_program_has_made_are_read_and_made_again_to_the_byte() {
    let plan = plan_of_object();
    let expected = PlanTarget::Object { url: "s3://restored/db%20of%20may".into(), upload: upload() };
    assert_eq!(plan.target(), &expected);
    assert_eq!((plan.content().mode, plan.content().modified, plan.content().replaces), (None, None, true));
    assert_eq!(plan.to_text(&key()), PLAN_OF_OBJECT);
    let receipt = PartReceipt::parse(RECEIPT_OF_OBJECT.as_bytes(), &key(), &plan).unwrap();
    assert_eq!(
        receipt.tags(),
        ["\"a54357aff0632cce46d942af68356b38\"", "\"0c78aef83f66abc1fa1e8477f296d394\""]
    );
    assert_eq!(receipt.to_text(&key()), RECEIPT_OF_OBJECT);
    let part: Vec<u8> = (0..11_usize << 20).map(|at| (at / 7 % 256) as u8).collect();
    let hasher = PieceHasher::new(&key(), plan.id());
    for (piece, data) in receipt.pieces().iter().zip(part.chunks(6 << 20)) {
        let mut digester = hasher.begin();
        data.chunks(100_000).for_each(|bytes| digester.update(bytes));
        assert_eq!((piece.len, piece.digest), (data.len() as u64, digester.digest()));
    }
    assert_eq!(Completing::parse(COMPLETING.as_bytes(), &key(), plan.id()), Ok(Completing));
    assert_eq!(Completing.to_text(&key(), plan.id()), COMPLETING);
    let other = Plan::new(content()).unwrap();
    assert_eq!(Completing::parse(COMPLETING.as_bytes(), &key(), other.id()), Err(RecordError::OtherPlan));
    // A note of one kind is none of another.
    assert_eq!(Publishing::parse(COMPLETING.as_bytes(), &key(), plan.id()), Err(RecordError::OtherKind));
    assert_eq!(Completing::parse(PUBLISHING.as_bytes(), &key(), plan.id()), Err(RecordError::OtherKind));
}

/// Amazon S3 User Guide, "Amazon S3 multipart upload limits"; and what cannot be of these parts.
#[test]
fn an_upload_that_is_not_of_its_parts_or_beyond_what_stores_take_is_refused_under_a_right_mac_too() {
    for (from, to) in [
        ("numbers 0 1 3 6291456", "numbers 0 2 4 6291456"),
        ("numbers 0 1 3 6291456", "numbers 0 1 2 6291456"),
        ("numbers 0 1 3 6291456", "numbers 0 1 4 6291456"),
        ("numbers 0 1 3 6291456", "numbers 0 3 1 6291456"),
        ("numbers 0 1 3 6291456", "numbers 0 1 3 6291457"),
        ("numbers 0 1 3 6291456", "numbers 0 1 4 5242879"),
        ("numbers 0 1 3 6291456", "numbers 0 1 3 0"),
        ("numbers 1 3 4", "numbers 1 4 5"),
        ("numbers 1 3 4 16777216", "numbers 1 3 5 1"),
        ("exists replace", "exists refuse"),
        ("parts 2", "mode 0640\nparts 2"),
    ] {
        let text = sealed_again(PLAN_OF_OBJECT, from, to);
        assert!(Plan::parse(text.as_bytes(), &key()).is_err(), "{from} → {to}");
    }
    for (from, to, line) in [
        ("target s3://restored", "target /restored", 6),
        ("target s3://restored", "target s3:/restored", 6),
        ("numbers 0 1", "numbers 1 1", 14),
        ("upload VX", "uploads VX", 8),
        ("attempt 44", "attempt 4", 9),
    ] {
        let text = sealed_again(PLAN_OF_OBJECT, from, to);
        let refused = Plan::parse(text.as_bytes(), &key());
        assert_eq!(refused, Err(RecordError::Malformed { line }), "{from} → {to}");
    }
    // The shortest and the longest piece, by hand: 5 MiB, and 5 GiB.
    let of = |lens: [u64; 2], cuts: [(u64, u64, u64); 2]| {
        let [first, second] = lens;
        let mut content = NewPlan { mode: None, modified: None, ..content() };
        (content.parts[0].plaintext, content.parts[1].plaintext) = (0..first, first..first + second);
        let cuts = cuts.map(|(start, end, piece_len)| PartCut { numbers: start..end, piece_len }).to_vec();
        let upload = PlannedUpload { cuts, replaces: None, ..upload() };
        content.target = PlanTarget::Object { url: "s3://b/k".into(), upload };
        Plan::new(content).is_ok()
    };
    const GIB: u64 = 1 << 30;
    assert!(of([5 << 20, 1], [(1, 2, 5 << 20), (2, 3, 5 << 20)]));
    assert!(!of([(5 << 20) - 1, 1], [(1, 2, 5 << 20), (2, 3, 5 << 20)]));
    assert!(
        !of([(5 << 20) + 1, 1], [(1, 3, 5 << 20), (3, 4, 5 << 20)]),
        "the last piece of a part is too short"
    );
    assert!(
        of([10 << 20, (5 << 20) + 1], [(1, 3, 5 << 20), (3, 5, 5 << 20)]),
        "the object's last may be short"
    );
    assert!(!of([10 << 20, 8 << 20], [(1, 3, 5 << 20), (3, 5, 4 << 20)]));
    assert!(of([5 * GIB, 5 * GIB], [(1, 2, 5 * GIB), (2, 3, 6 * GIB)]));
    assert!(!of([5 * GIB + 1, 1], [(1, 2, 5 * GIB + 1), (2, 3, 1)]));
    assert!(of([9_999 * (5 << 20), 1], [(1, 10_000, 5 << 20), (10_000, 10_001, 1)]), "10,000 of them");
    assert!(!of([10_000 * (5 << 20), 1], [(1, 10_001, 5 << 20), (10_001, 10_002, 1)]));
}

#[test]
fn a_receipt_that_is_not_of_the_pieces_of_its_upload_is_refused_under_a_right_mac_too() {
    let tag = "tag \"0c78aef83f66abc1fa1e8477f296d394\"\n";
    for (from, to) in [
        (tag, ""),
        (tag, "tag\n"),
        (tag, "tag 1\ntag 2\n"),
        ("piece 6291456", "piece 6291455"),
        ("part 0", "part 1"),
    ] {
        let text = sealed_again(RECEIPT_OF_OBJECT, from, to);
        let refused = PartReceipt::parse(text.as_bytes(), &key(), &plan_of_object());
        assert!(refused.is_err(), "{from:?} → {to:?}");
    }
    // A receipt of a file is none of an object, and the other way round, also under one plan's id.
    assert!(PartReceipt::parse(RECEIPT.as_bytes(), &key(), &plan_of_object()).is_err());
    assert!(PartReceipt::parse(RECEIPT_OF_OBJECT.as_bytes(), &key(), &plan()).is_err());
}

#[test]
fn two_plans_for_one_object_are_the_same_however_the_store_calls_their_uploads() {
    let content = plan_of_object().content().clone();
    let mut other = content.clone();
    let PlanTarget::Object { upload, .. } = &mut other.target else { panic!("it is an object's") };
    (upload.id, upload.attempt, upload.replaces) = ("another".into(), [9; 16], None);
    assert!(content.plans_as(&other) && other != content);
    let PlanTarget::Object { url, .. } = &mut other.target else { panic!("it is an object's") };
    url.push('x');
    assert!(!content.plans_as(&other));
    assert!(!content.plans_as(&NewPlan { replaces: false, ..content.clone() }));
    assert!(!content.plans_as(&NewPlan { target: PlanTarget::Path("/srv/db".into()), ..content.clone() }));
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
