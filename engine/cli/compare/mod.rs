//! What `why`, `diff`, `plan` and `rerun` tell of two things that are not the same.

mod cause;
mod contrast;
mod costs;
mod files;
mod past;
mod words;

pub(crate) use cause::{Told, told, unchanged};
pub(crate) use contrast::{Contrast, Desk, places};
pub(crate) use costs::{Cost, Costs};
pub(crate) use past::{Past, earlier_runs, is_same_task, records_of_workflow, result_before};
