//! The driver of a run: it receives signals, asks the core what follows, makes that durable, tells
//! the observers, and acts. Which stages there are, how the store keeps its promises and who
//! watches is none of its business.

mod adopt;
pub mod bus;
pub mod clock;
mod dispatcher;
mod executor;
mod forecast;
mod generation;
pub mod inbox;
mod journal_sync;
mod leftovers;
mod losses;
mod patience;
mod queues;
pub mod runner;
pub mod secrets;
pub mod testing;
pub mod wiring;

pub use adopt::record_adopted;
pub use bus::{Observer, Passing};
pub use clock::{Clock, SystemClock};
pub use executor::{
    Answer, Case, LaidOut, LoadFault, Made, Recipes, Trial, TrialPlan, TrialResult, admit_outputs,
    capture_path, input_values, lay_out, try_once, value_at,
};
pub use forecast::{Forecast, Miss, Past, Prospect, Subject, foresee};
pub use generation::{record_generation, recorded_generation};
pub use inbox::Word;
pub use losses::{lost_behind, lost_inputs};
pub use runner::{
    Control, Opened, RunError, Runner, file_artifact, fresh_state, open, record_word, replay, start,
};
pub use secrets::Secrets;
