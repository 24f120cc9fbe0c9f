//! The driver of a run: it receives signals, asks the core what follows, makes that durable, tells
//! the observers, and acts. Which stages there are, how the store keeps its promises and who
//! watches is none of its business.

pub mod bus;
pub mod clock;
mod dispatcher;
mod executor;
mod leftovers;
mod losses;
pub mod runner;
pub mod testing;
pub mod wiring;

pub use bus::{Observer, Passing};
pub use clock::{Clock, SystemClock};
pub use executor::{LoadFault, Trial, TrialResult, capture_path, input_values, try_once, value_at};
pub use runner::{Control, Opened, RunError, Runner, file_artifact, open, replay, start};
