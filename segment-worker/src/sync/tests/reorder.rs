//! Tests of the reordering buffer: what it takes, and in which order it gives it out.
//! They see it from outside alone.

use crate::sync::reorder::Reorder;

fn drain(reorder: &mut Reorder<&'static str>) -> Vec<&'static str> {
    std::iter::from_fn(|| reorder.pop()).collect()
}

#[test]
fn values_leave_in_the_order_of_their_positions() {
    let mut reorder = Reorder::new();
    assert!(reorder.insert(3, 1, "c"));
    assert!(reorder.insert(1, 2, "b"));
    assert_eq!(reorder.pop(), None);
    assert!(reorder.has_gap());
    assert!(reorder.insert(0, 1, "a"));
    assert_eq!(drain(&mut reorder), ["a", "b", "c"]);
    assert_eq!((reorder.next(), reorder.has_gap()), (4, false));
}

#[test]
fn a_position_is_taken_once() {
    // (first, count, whether it is taken), beside one that has left over 0..2 and one that waits over 4..6.
    let table = [
        (0, 1, false),
        (1, 1, false),
        (1, 2, false),
        (2, 2, true),
        (2, 3, false),
        (3, 1, true),
        (3, 9, false),
        (4, 1, false),
        (4, 2, false),
        (5, 1, false),
        (5, 2, false),
        (6, 1, true),
        (2, 0, false),
        (9, 0, false),
        (u32::MAX, 1, false),
        (u32::MAX - 1, 1, true),
        (9, u32::MAX, false),
    ];
    for (first, count, taken) in table {
        let mut reorder = Reorder::new();
        assert!(reorder.insert(0, 2, "left"));
        assert_eq!(reorder.pop(), Some("left"));
        assert!(reorder.insert(4, 2, "waits"));
        assert_eq!(reorder.insert(first, count, "new"), taken, "{count} from {first}");
    }
}
