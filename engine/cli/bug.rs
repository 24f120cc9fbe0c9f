//! Bugs of ours: whatever panics ends in one short message, never in a raw trace.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::failure::Exit;
use crate::report::tell;
use crate::report::text::clean;

/// What is told of a panic. A panic hook has no other way to reach who handles the panic.
static NOTED: Mutex<Noted> = Mutex::new(Noted { run: None, panic: None });

struct Noted {
    /// The run in progress.
    run: Option<String>,
    /// Message, place and trace of the latest panic.
    panic: Option<String>,
}

/// The code of every bug.
pub(crate) const CODE: &str = "E0901";

/// Runs `work`; a panic in it becomes a message and [`Exit::BUG`].
pub(crate) fn guard(work: impl FnOnce() -> Exit) -> Exit {
    std::panic::set_hook(Box::new(note));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        tell(&message());
        Exit::BUG
    })
}

/// Names the run in progress, for the message.
pub(crate) fn during(run: &str) {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).run = Some(run.to_owned());
}

/// Keeps what is known of a panic. A panic of a stage is caught where stages run and becomes an
/// ordinary failure there; its place and trace go to the log alone.
fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let what = info.payload_as_str().unwrap_or("no message");
    let trace = Backtrace::force_capture();
    tracing::error!(panic = what, at = place, %trace, "panic");
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    noted.panic = Some(format!("{} at {place}", clean(what)));
}

fn message() -> String {
    let noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut text = format!(
        "error[{CODE}]: this is a bug of flow, not of your workflow\n  panic: {}\n  version: {}\n",
        noted.panic.as_deref().unwrap_or("unknown"),
        env!("CARGO_PKG_VERSION"),
    );
    if let Some(run) = &noted.run {
        text.push_str(&format!(
            "  run: {run} (everything that was shown as done is recorded; `flow resume {run}` goes on)\n"
        ));
    }
    text.push_str(
        "help: please report it to the maintainers with this text and the file logs/errors.log of the store\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn a_bug_names_its_code_the_run_and_how_to_report_it() {
        during("one");
        NOTED.lock().unwrap_or_else(PoisonError::into_inner).panic =
            Some("index out of bounds at engine/x.rs:1:2".to_owned());
        assert_snapshot!(message().replace(env!("CARGO_PKG_VERSION"), "[version]"), @r"
        error[E0901]: this is a bug of flow, not of your workflow
          panic: index out of bounds at engine/x.rs:1:2
          version: [version]
          run: one (everything that was shown as done is recorded; `flow resume one` goes on)
        help: please report it to the maintainers with this text and the file logs/errors.log of the store
        ");
    }
}
