//! What the benches measure: the pipeline in memory, and the bare loops that bound its speed.
//! It knows no clock and no file; `benches/` takes the time, the scripts beside it run whole processes.

mod bare;
mod rows;
mod scale;

pub use bare::{BareLoop, Reading};
pub use rows::{Row, Work, bytes, rows};
pub use scale::Scale;
