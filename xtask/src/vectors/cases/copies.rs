//! Owns the key areas whose two copies say different things: which is judged, which serves, and what is said of the other.
//! Refuses to know slots that both copies have.

use super::super::case::{Case, Expect};
use super::super::plan::{
    CALLER_KEY, KeyCopy, OTHER_CALLER_KEY, OTHER_STREAM_KEY, Plan, Record, Slot, Stage,
};

const MAC: usize = 4096 - 64;
const SLOTS_LEN: usize = 16;
const SLOT_COUNT: usize = 20;

pub(super) fn cases() -> Vec<Case> {
    [of_the_other(), of_the_one_taken(), after_a_wrong_mac(), sizes()].into_iter().flatten().collect()
}

fn good_slots() -> Vec<Slot> {
    vec![Slot::KeyFile(CALLER_KEY)]
}

fn seventeen() -> Vec<Slot> {
    vec![Slot::Opaque { kind: 900, body: Vec::new() }; 17]
}

/// A slot that breaks F5.2.
fn short() -> Vec<Slot> {
    vec![Slot::Opaque { kind: 2, body: vec![7; 79] }]
}

fn plan(copies: [(u64, Vec<Slot>); 2]) -> Plan {
    Plan::small().with(|plan| {
        plan.key_copies = copies.map(|(generation, slots)| KeyCopy { generation, slots });
    })
}

/// The copy that does not serve: a restore warns, a complete verification refuses (F5.16, F5.17 K6).
fn of_the_other() -> Vec<Case> {
    let external_without_name = [good_slots(), vec![Slot::Opaque { kind: 3, body: vec![0] }]].concat();
    let case = |name: &str, comment: &str, plan: Plan| {
        Case::good(&format!("success-{name}"), comment, plan.seal()).verifies_as_damaged().clause("F5.16")
    };
    vec![
        case(
            "second-key-copy-counts-17-slots",
            "the second copy counts 17 slots and has one, under a right MAC",
            plan([(1, good_slots()), (1, good_slots())]).edit(Record::KeyCopy(1), SLOT_COUNT, &[17]),
        ),
        case(
            "second-key-copy-seventeen-slots",
            "the second copy has 17 slots, under a right MAC",
            plan([(1, good_slots()), (1, seventeen())]),
        ),
        case(
            "older-key-copy-slot-malformed",
            "the copy of the lower generation has a kind-3 slot without a name, under a right MAC",
            plan([(2, good_slots()), (1, external_without_name)]),
        ),
        case(
            "older-key-copy-mac-bad",
            "the MAC of the copy of the lower generation is wrong",
            plan([(2, good_slots()), (1, good_slots())]).edit_at(
                Stage::BeforeChecksum,
                Record::KeyCopy(1),
                MAC,
                &[0; 32],
            ),
        )
        .keyless(Expect::Success),
        case(
            "newest-key-copy-first",
            "the first copy has the higher generation and the second is not usable",
            plan([(2, good_slots()), (1, good_slots())]).edit(Record::KeyCopy(1), SLOTS_LEN, &[0xFF; 4]),
        ),
        Case::good(
            "success-rewrap-unfinished",
            "both copies are good and of different generations: an unfinished re-wrap, which is no damage",
            plan([(2, good_slots()), (1, vec![Slot::KeyFile(OTHER_CALLER_KEY)])]).seal(),
        )
        .clause("F5.16"),
    ]
}

/// A fault of F5.2 in the copy taken is final (F5.17 K2).
fn of_the_one_taken() -> Vec<Case> {
    let case = |name: &str, expect, comment: &str, copies| {
        Case::bad(&format!("key-area-{name}"), expect, comment, plan(copies).seal()).clause("F5.2")
    };
    vec![
        case(
            "newest-seventeen-slots-older-short",
            Expect::Limit,
            "two faults: the newest copy, which is second, has 17 slots, the other a kind-2 slot of 79 bytes",
            [(1, short()), (2, seventeen())],
        ),
        case(
            "newest-short-older-seventeen-slots",
            Expect::Damaged,
            "two faults: the newest copy, which is second, has a kind-2 slot of 79 bytes, the other 17 slots",
            [(1, seventeen()), (2, short())],
        ),
        case(
            "first-seventeen-slots-second-short",
            Expect::Limit,
            "two faults in copies of one generation: the first is judged, and has 17 slots",
            [(1, seventeen()), (1, short())],
        ),
        case(
            "newest-short-older-good",
            Expect::Damaged,
            "the newest copy has a kind-2 slot of 79 bytes; the other is good and is not asked",
            [(1, good_slots()), (2, short())],
        ),
    ]
}

/// The copy taken yields the key under a wrong MAC: what the other gives is the answer (F5.14, F5.17 K3 to K5).
fn after_a_wrong_mac() -> Vec<Case> {
    let mismatch = Slot::KeyFileTo { caller_key: CALLER_KEY, stream_key: OTHER_STREAM_KEY };
    let case = |name: &str, expect, comment: &str, slots: Vec<Slot>| {
        let plan = plan([(2, good_slots()), (1, slots)]).edit_at(
            Stage::BeforeChecksum,
            Record::KeyCopy(0),
            MAC,
            &[0; 32],
        );
        Case::bad(&format!("key-area-mac-bad-{name}"), expect, comment, plan.seal()).clause("F5.14")
    };
    let both_bad = plan([(2, good_slots()), (1, good_slots())])
        .edit_at(Stage::BeforeChecksum, Record::KeyCopy(0), MAC, &[0; 32])
        .edit_at(Stage::BeforeChecksum, Record::KeyCopy(1), MAC, &[0; 32]);
    let not_usable = plan([(2, good_slots()), (1, good_slots())])
        .edit_at(Stage::BeforeChecksum, Record::KeyCopy(0), MAC, &[0; 32])
        .edit(Record::KeyCopy(1), SLOTS_LEN, &[0xFF; 4]);
    vec![
        // Without a key the MAC counts as right, and the other copy is not good.
        case("other-seventeen-slots", Expect::Limit, "the other copy has 17 slots", seventeen())
            .keyless(Expect::Damaged),
        case("other-short", Expect::Damaged, "the other copy has a kind-2 slot of 79 bytes", short()),
        case("other-mismatch", Expect::Damaged, "the other copy opens to another key", vec![mismatch])
            .keyless(Expect::Success),
        Case::damaged("key-area-mac-bad-both", "the MACs of two different copies are wrong", both_bad.seal())
            .clause("F5.14")
            .keyless(Expect::Success),
        Case::damaged("key-area-mac-bad-other-not-usable", "the other copy is not usable", not_usable.seal())
            .clause("F5.14"),
    ]
}

fn sizes() -> Vec<Case> {
    let with_len = |len| Plan::small().with(|plan| plan.key_copy_len = len).seal();
    let largest = u64::MAX;
    vec![
        Case::good("success-key-copies-of-12288", "an L that is no power of two", with_len(12_288))
            .clause("F4.3"),
        Case::good("success-largest-key-copies", "L is 256 KiB, the limit itself", with_len(256 << 10))
            .clause("F4.3"),
        Case::good(
            "success-largest-generation",
            "generation 2^64 - 1 in both copies",
            plan([(largest, good_slots()), (largest, good_slots())]).seal(),
        )
        .clause("F5.12"),
        Case::good(
            "success-generation-2-to-the-63",
            "generations 2^63 and 1: they are unsigned, and the first copy is the newest",
            plan([(1 << 63, good_slots()), (1, vec![Slot::KeyFile(OTHER_CALLER_KEY)])]).seal(),
        )
        .clause("F5.12"),
        Case::damaged(
            "key-area-slots-len-one-too-many",
            "slots_len is L - 95 in both copies, so that a slot would reach into the MAC",
            Plan::small().edit_key_copies(Stage::Fields, SLOTS_LEN, &4001_u32.to_le_bytes()).seal(),
        )
        .clause("F5.1"),
    ]
}
