//! `flow why`: why a node ran, was reused, or did not run.

mod answer;
mod report;
mod story;

use std::mem::ManuallyDrop;
use std::sync::Arc;

use flow_core::id::TaskId;
use flow_core::run::state::{Tasks, Whole};
use flow_core::store::Store;
use serde_json::{Value, json};

use crate::args::WhyArgs;
use crate::compare::{Cost, Costs, Past};
use crate::failure::{Exit, Failure};
use crate::history::Outline;
use crate::session::{Session, find_run};
use crate::target;
use answer::{Answer, Inquiry};

/// So many items of a node are explained one by one.
const ITEMS_MAX: usize = 100;

pub(crate) fn run(args: &WhyArgs, env: &Session) -> Result<Exit, Failure> {
    let store: Arc<dyn Store> = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let holder = store.holder(&run)?;
    let catalog = env.catalog();
    // The process ends with this: to give back piece by piece what a large run takes costs time only.
    let (past, previous) = Past::with_previous(store.as_ref(), &run, &catalog)?;
    let past = ManuallyDrop::new(past);
    let outline = Outline::of(&run, &past.records, holder.as_deref());
    let at = target::node(&past.state, &args.node)?;
    let inquiry = Inquiry::new(env, &store, &catalog, (&past, previous), outline.status);
    let inquiry = ManuallyDrop::new(inquiry);
    let tasks = tasks(&past, at);
    let told = match (tasks.as_slice(), at.item) {
        ([task], _) if task.item == at.item => {
            let answer = inquiry.answer(*task)?;
            if env.json {
                format!("{}\n", report::object(&run, &answer))
            } else {
                report::one(env, &run, &answer)
            }
        }
        _ => {
            let shown = tasks.iter().take(ITEMS_MAX);
            let answers: Vec<Answer> =
                shown.map(|task| inquiry.answer(*task)).collect::<Result<_, _>>()?;
            let more = tasks.len() - answers.len();
            let whole = whole(&past, at.node);
            let node = &past.state.graph().node(at.node).name;
            let cost = Costs::of([past.records.as_slice()]).node(node);
            if env.json {
                let items: Vec<Value> =
                    answers.iter().map(|answer| report::object(&run, answer)).collect();
                let object = json!({
                    "run": run, "node": node, "reason": whole, "items": items, "more": more,
                    "cost_ms": cost.map(|cost| cost.ms), "cost_usd": cost.as_ref().and_then(Cost::usd),
                });
                format!("{object}\n")
            } else {
                report::items(env, &run, node, whole.as_deref(), &answers, (more, cost))
            }
        }
    };
    env.out.write(told.as_bytes());
    Ok(Exit::SUCCEEDED)
}

/// The tasks that are asked about.
fn tasks(past: &Past, at: target::Target) -> Vec<TaskId> {
    match (&past.state.node(at.node).tasks, at.item) {
        (Tasks::Items(items), None) => {
            (0..items.len() as u32).map(|index| TaskId::item(at.node, index)).collect()
        }
        (Tasks::Unresolved, _) => Vec::new(),
        (_, item) => vec![TaskId { node: at.node, item }],
    }
}

/// What there is to say of a fanned-out node as a whole.
fn whole(past: &Past, node: flow_core::id::NodeId) -> Option<String> {
    let state = &past.state;
    match &state.node(node).whole {
        Whole::Skipped(reason) => Some(format!("it was skipped: {reason}")),
        Whole::Failed(error) => Some(format!("it failed: {error}")),
        Whole::Open if matches!(state.node(node).tasks, Tasks::Unresolved) => {
            let blockers = story::blockers(past, node);
            Some(format!("its items are not known yet: {blockers}"))
        }
        Whole::Open | Whole::Succeeded => None,
    }
}
