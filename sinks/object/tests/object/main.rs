//! The object sink against real servers, and a proxy before them that fails as networks do.

mod contract_kept;
mod faults;
mod parts;
mod races;
mod stores;
mod unfinished;
