//! The two tables of recovery over all of their inputs, against sentences that must hold of every row.
//! Knows no row.

use super::{
    super::{
        layout::{Epoch, Header, Lsn, Slot},
        recovery::{Age, Extent, Fit, Found, NewestSlot, Opening, Refusal, Side, Verdict, decide, judge},
    },
    stream::attempt_id,
};

#[test]
fn a_log_is_made_anew_only_where_nothing_can_be_lost_and_read_only_where_header_and_slot_are_whole() {
    let attempt_id = attempt_id(b"label");
    let headers = [
        Header::Absent,
        Header::Whole { attempt_id: attempt_id.clone() },
        Header::Damaged,
        Header::OtherVersion(9),
    ];
    let slot = |durable| NewestSlot { slot: Slot { generation: 4, epoch: Epoch(2), durable }, place: 1 };
    let slots = [None, Some(slot(Lsn::FIRST)), Some(slot(Lsn::FIRST.plus(40)))];
    let mut rows = 0;
    for header in headers {
        for newest in slots {
            for extent in [Extent::Bare, Extent::Records] {
                rows += 1;
                let opening = decide(header.clone(), newest, extent);
                let what = format!("{header:?}, {newest:?}, {extent:?} gave {opening:?}");
                let nothing_was_in_it =
                    header == Header::Absent && extent == Extent::Bare && newest != slots[2];
                assert_eq!(opening == Opening::MakeAnew, nothing_was_in_it, "{what}");
                let scanned = matches!(&opening, Opening::Scan { attempt_id: found, newest: with }
                    if *found == attempt_id && Some(*with) == newest);
                let readable = matches!(header, Header::Whole { .. }) && newest.is_some();
                assert_eq!(scanned, readable, "{what}");
                let refused = matches!(opening, Opening::Refuse(_));
                assert_eq!(refused, !nothing_was_in_it && !readable, "{what}");
                if let Header::OtherVersion(version) = header {
                    assert_eq!(opening, Opening::Refuse(Refusal::OtherVersion(version)));
                }
            }
        }
    }
    assert_eq!(rows, 24);
}

#[test]
fn nothing_durable_is_cut_and_nothing_stale_is_taken() {
    let ages = [Age::Current, Age::OnPartial, Age::Backwards, Age::Later];
    let records =
        ages.into_iter().flat_map(|age| [Fit::Fits, Fit::Strange].map(|fit| Found::Whole(age, fit)));
    let everything: Vec<Found> = records.chain([Found::End, Found::Broken]).collect();
    assert_eq!(everything.len(), 10);
    for found in everything {
        let (durable, open) = (judge(found, Side::Durable), judge(found, Side::Open));
        assert_ne!(durable, Verdict::Cut, "{found:?}");
        let follows = matches!(found, Found::Whole(Age::Current, Fit::Fits));
        let followed_once = follows || found == Found::Whole(Age::OnPartial, Fit::Fits);
        assert_eq!(durable == Verdict::Take, followed_once, "{found:?}");
        assert_eq!(open == Verdict::Take, follows, "{found:?}");
        // What a crash or an earlier epoch can leave is cut, what they cannot is damage.
        let left =
            matches!(found, Found::End | Found::Broken | Found::Whole(Age::OnPartial | Age::Backwards, _));
        assert_eq!(open == Verdict::Cut, left, "{found:?}");
    }
}
