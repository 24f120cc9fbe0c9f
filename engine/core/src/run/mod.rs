//! A run: its events, the state they fold into, and the function that decides what happens next.
//!
//! Events are facts and are durable before they are applied. Marks are what the driver has done in
//! this process (a task was handed out, a slot came back); they are never recorded, because after a
//! crash nothing of them is left.

pub mod decide;
pub mod event;
mod fold;
pub mod line;
pub mod manifest;
mod marks;
pub mod memory;
mod nested;
pub mod state;
mod take_up;

pub use decide::{Action, Decision, Ending, Mark, Now, Outcome, Signal, decide};
pub use event::{Event, Recorded};
pub use state::RunState;
