//! Upkeep: finding damage, setting right what can be, removing what nobody needs, and taking a run
//! from one store to another.

mod database;
mod finding;
mod objects;
mod runs;
mod verify;

#[cfg(test)]
mod verify_tests;

pub use finding::{Finding, FindingKind, Progress};
