//! What the error says, of which causes.
//! It knows no stream.

use super::*;

#[test]
fn two_lengths_that_differ_do_not_read_the_same() {
    assert_eq!(
        budget_too_small(13_631_999, 13_631_488),
        "a memory budget of 13631488 bytes is too small: this stream needs 13631999"
    );
    assert_eq!(
        budget_too_small(2 << 20, 1 << 20),
        "a memory budget of 1.00 MiB is too small: this stream needs 2.00 MiB"
    );
}

/// A disk that fails is no stream that changed, and neither is one that is full.
#[test]
fn of_a_changed_stream_an_early_end_is_its_change_and_a_failing_disk_is_not() {
    let of = |kind: io::ErrorKind| Error::io("the stream could not be read", kind.into()).of_changed_stream();
    assert_eq!(of(io::ErrorKind::UnexpectedEof).kind(), ErrorKind::SourceChanged);
    assert_eq!(of(io::ErrorKind::StorageFull).kind(), ErrorKind::Io);
    assert_eq!(
        Error::io("it failed", io::Error::other("a bad sector")).of_changed_stream().kind(),
        ErrorKind::Io
    );
}

#[test]
fn what_main_shows_names_the_error_its_cause_and_what_to_do() {
    let error = Error::io("the output could not be written", io::Error::other("the disk is full"));
    let shown = format!("{:?}", error.in_segment(2).advise("Make room."));
    assert_eq!(shown, "the output could not be written (segment 2): the disk is full\nMake room.");
}
