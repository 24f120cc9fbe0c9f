//! Upkeep: finding damage, setting right what can be, removing what nobody needs, and taking a run
//! from one store to another.

mod database;
mod export;
mod finding;
mod gc;
mod health;
mod import;
mod kinds;
mod marks;
mod objects;
mod package;
mod repair;
mod runs;
mod verify;
mod words;

#[cfg(test)]
mod export_tests;
#[cfg(test)]
mod gc_tests;
#[cfg(test)]
mod remembered_tests;
#[cfg(test)]
mod repair_tests;
#[cfg(test)]
mod verify_tests;
#[cfg(test)]
mod words_tests;

pub use finding::{Finding, FindingKind, Progress};
pub use gc::{Collected, Retention};
pub use health::DatabaseState;
pub use repair::Repairs;
