//! What streams and requests tell the `metrics` facade.
//! The crates that have the figures say them; this says what they mean.

/// Tells the recorder that the program has installed what each figure means, and its unit. To be called once, after that.
///
/// Every stream that the process seals, opens or proves is counted, and each figure says by its label `operation` (`open`, `seal`, `prove`)
/// what was done. Of what a [`Reader`](crate::Reader) or a segment reader reads (`read`), and a survey or salvage (`survey`), bytes and seconds are counted, no streams. What a receiver takes (`receive`) has no
/// seconds of reading: it waits for its sender. Names follow Prometheus' conventions, and no label has a name, an address or anything
/// else from outside in it. The table of them is in `docs/OPERATIONS.md`. Without a recorder they cost next to nothing: a few calls
/// for each segment, or frame of a reader.
///
/// The facade's counters are whole numbers, so `cofferdam_stage_seconds` is a gauge to it, which only grows.
pub fn describe_metrics() {
    stream::describe_metrics();
    #[cfg(feature = "remote")]
    remote::describe_metrics();
}
