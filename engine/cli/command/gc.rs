//! `flow gc`: removes old runs, and what no run needs any more.

use std::io;

use flow_core::store::StoreError;
use flow_store::{Collected, Retention};
use jiff::Timestamp;
use serde_json::json;

use crate::args::GcArgs;
use crate::failure::{Exit, Failure};
use crate::report::tell;
use crate::report::text::{bytes, count};
use crate::session::{Session, Verbosity};

pub(crate) fn run(args: &GcArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let retention = Retention { keep_last: args.keep_last, older_than: older_than(args) };
    let collected = store.gc(&retention, args.dry_run).map_err(refused)?;
    if env.json {
        env.out.line(&object(&collected, args.dry_run).to_string());
        return Ok(Exit::SUCCEEDED);
    }
    let verb = if args.dry_run { "would remove" } else { "removed" };
    for run in &collected.runs {
        env.out.line(&format!("{verb} run {run}"));
    }
    env.out.line(&format!("{verb} {}", total(&collected)));
    if env.verbosity > Verbosity::Quiet {
        tell(&notes(args, env, &collected));
    }
    Ok(Exit::SUCCEEDED)
}

/// The instant whose older runs go.
fn older_than(args: &GcArgs) -> Option<Timestamp> {
    args.older_than.map(|span| Timestamp::now().checked_sub(span).unwrap_or(Timestamp::MIN))
}

/// One collection at a time.
fn refused(error: StoreError) -> Failure {
    match error {
        StoreError::Io { source, .. } if source.kind() == io::ErrorKind::WouldBlock => {
            Failure::state(
                "another process collects what this store does not need",
                "try again when it has ended",
            )
        }
        other => other.into(),
    }
}

fn total(collected: &Collected) -> String {
    if collected.runs.is_empty() && collected.objects + collected.leftovers == 0 {
        return "nothing".to_owned();
    }
    format!(
        "{}, {} with {}, {}",
        count(collected.runs.len(), "run"),
        number(collected.objects, "object"),
        bytes(collected.bytes),
        number(collected.leftovers, "leftover"),
    )
}

fn number(of: u64, noun: &str) -> String {
    count(usize::try_from(of).unwrap_or(usize::MAX), noun)
}

/// What there is to know beside the result.
fn notes(args: &GcArgs, env: &Session, collected: &Collected) -> String {
    let mut notes = String::new();
    if args.keep_last.is_none() && args.older_than.is_none() {
        let example = env.command(&["gc", "--keep-last", "20", "--dry-run"]);
        notes.push_str(&format!(
            "all runs are kept; --keep-last or --older-than removes some, as in: {example}\n"
        ));
    }
    if collected.spared > 0 {
        notes.push_str(&format!(
            "{} left for the next time: a process at work may be about to use them\n",
            number(collected.spared, "object")
        ));
    }
    notes
}

fn object(collected: &Collected, dry_run: bool) -> serde_json::Value {
    json!({
        "dry_run": dry_run,
        "runs": collected.runs,
        "objects": collected.objects,
        "bytes": collected.bytes,
        "leftovers": collected.leftovers,
        "spared": collected.spared,
    })
}
