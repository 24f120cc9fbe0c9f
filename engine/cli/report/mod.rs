//! How things are told: lines for people, JSON for programs, log files for later.

pub(crate) mod diagnostics;
pub(crate) mod failure_block;
pub(crate) mod human;
pub(crate) mod jsonl;
pub(crate) mod live;
pub(crate) mod logfile;
pub(crate) mod nodes;
pub(crate) mod passed_over;
pub(crate) mod recap;
pub(crate) mod splitter;
mod streams;
pub(crate) mod style;
pub(crate) mod summary;
pub(crate) mod table;
pub(crate) mod teller;
pub(crate) mod text;
pub(crate) mod traces;
pub(crate) mod tracing_lines;
pub(crate) mod view;

pub(crate) use streams::{Results, tell};
