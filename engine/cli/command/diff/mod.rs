//! `flow diff`: where two runs differ, where that began and where it healed.

mod findings;
mod report;

use std::mem::ManuallyDrop;
use std::sync::Arc;

use flow_core::store::Store;

use crate::args::DiffArgs;
use crate::compare::Past;
use crate::failure::{Exit, Failure};
use crate::session::{Session, find_run};
use findings::Findings;

pub(crate) fn run(args: &DiffArgs, env: &Session) -> Result<Exit, Failure> {
    let store: Arc<dyn Store> = env.open_store()?;
    let catalog = env.catalog();
    let before = find_run(store.as_ref(), &args.before)?;
    let after = find_run(store.as_ref(), &args.after)?;
    let (before, after) = Past::both(store.as_ref(), (&before, &after), &catalog)?;
    // The process ends with this: to give back piece by piece what large runs take costs time only.
    let (before, after) = (ManuallyDrop::new(before), ManuallyDrop::new(after));
    let findings = Findings::of(env, &store, &before, &after);
    let text = match env.json {
        true => format!("{}\n", report::object(&before, &after, &findings)),
        false => report::text(&before, &after, &findings, env.stdout),
    };
    env.out.write(text.as_bytes());
    Ok(if findings.is_empty() { Exit::SUCCEEDED } else { Exit::FAILED })
}
