//! The pure core of `flow`: what a workflow is, what a run is, and what happens next.
//!
//! Nothing here touches a clock, a disk, a network, an environment variable or a terminal. The
//! types are plain data; [`run::decide()`] is a function of state, signal and time. Everything
//! that acts lives in the sibling crates, which depend on this one and never on each other.

pub mod call;
pub mod catalog;
pub mod definition;
pub mod diagnostic;
pub mod digest;
pub mod error;
pub mod explain;
pub mod graph;
pub mod id;
pub mod json;
pub mod key;
pub mod payload;
pub mod policy;
pub mod render;
pub mod run;
pub mod schema;
pub mod stage;
pub mod store;
pub mod template;
