//! The built binary, driven as a user drives it. One file per theme.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends where it stands")]

mod authors;
mod change;
mod compose;
mod damage;
mod doctor;
mod examples;
mod explain;
mod failures;
mod harness;
mod house;
mod http;
mod media;
mod ports;
mod rerun;
mod resume;
mod run;
mod secrets;
#[path = "../services/mod.rs"]
mod services;
mod services_data;
mod show;
mod signals;
mod streams;
mod types;
mod upkeep;
mod validate;
mod verify;
