//! What the benches measure: the pipeline in memory, and the bare loops that bound its speed.
//! It knows no sink and no disk; `benches/` says what is timed, `cargo xtask compare` runs whole processes.

mod bare;
mod bare_stream;
mod child;
mod generated;
mod pairs;
mod parts;
mod rows;
mod scale;
mod turns;

pub use bare::{BareLoop, Reading};
pub use bare_stream::{BareStream, CipherCalls};
pub use child::Measured;
pub use generated::Generated;
pub use pairs::{Pairs, Ratio};
pub use parts::Parts;
pub use rows::{Row, Setting, Work, bare_rows, bytes, pipeline_row, rows};
pub use scale::Scale;
pub use turns::{Warm, columns, in_turn, speeds, timed};
