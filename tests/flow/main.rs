//! The built binary, driven as a user drives it. One file per theme.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends where it stands")]

mod failures;
mod harness;
mod house;
mod media;
mod ports;
mod resume;
mod run;
mod show;
mod signals;
mod streams;
mod validate;
