//! The live view: what goes on, pinned below the lines that scroll.
//!
//! [`model`] folds events into what is to be seen, [`frame`] makes rows of text of it for a size of
//! terminal and a time, and [`screen`] brings them there.

mod frame;
mod model;
mod row;
mod screen;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use flow_core::id::{RunId, TaskId};
use flow_core::run::RunState;
use jiff::Timestamp;

pub(crate) use screen::{Handle, Screen, say};

use self::frame::Look;
use self::model::Model;
use self::screen::View;
use crate::failure::Failure;
use crate::session::{Session, Verbosity};

/// Takes standard error over while a run goes on: with a region where that can be, and lines alone
/// elsewhere. `state` is the run as this invocation begins it; it is asked for only where it is
/// shown.
///
/// # Errors
/// A system that gives no thread.
pub(crate) fn start<'a>(
    env: &Session,
    run: &RunId,
    state: impl FnOnce() -> Cow<'a, RunState>,
) -> Result<Screen, Failure> {
    let view =
        is_wanted(env).then(|| view(env, Model::new(run.as_str(), &state(), Timestamp::now())));
    open(view)
}

/// As [`start`], for one attempt beside a run.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_beside(
    env: &Session,
    run: &RunId,
    state: &RunState,
    task: TaskId,
) -> Result<Screen, Failure> {
    let view = is_wanted(env).then(|| {
        let attempt = state.task(task).map_or(0, |task| task.attempts) + 1;
        view(env, Model::beside(run.as_str(), state, task, attempt, Timestamp::now()))
    });
    open(view)
}

fn is_wanted(env: &Session) -> bool {
    !env.json && env.verbosity > Verbosity::Quiet && screen::can_draw()
}

fn view(env: &Session, model: Model) -> View {
    View { model, look: Look::new(env.stderr, env.prompt()) }
}

fn open(view: Option<View>) -> Result<Screen, Failure> {
    let operation = "start the thread that writes to the terminal";
    Screen::start(view).map_err(|source| Failure::System { operation, source })
}
