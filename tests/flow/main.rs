//! The built binary, driven as a user drives it. One file per theme.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends where it stands")]

mod authors;
mod bad_day;
mod book;
mod change;
mod codes;
mod compose;
mod damage;
mod diff;
mod doctor;
mod examples;
mod explain;
mod failures;
mod graph;
mod harness;
mod house;
mod http;
mod limits;
mod listing;
mod live;
mod logfiles;
mod logs;
mod media;
mod mistakes;
mod plan;
mod ports;
mod rerun;
mod resume;
mod run;
mod secrets;
#[path = "../services/mod.rs"]
mod services;
mod services_bad_input;
mod services_calls;
mod services_comfyui;
mod services_data;
mod services_pictures;
mod services_publish;
mod services_words;
mod shell;
mod show;
mod signals;
mod streams;
mod sweep;
mod terminal;
#[cfg(feature = "otel")]
mod traces;
mod types;
mod upkeep;
mod validate;
mod verify;
mod why;
