//! `flow approve`: answers what a node of a run asks.

use flow_core::run::RunState;
use flow_core::run::event::Question;
use flow_runtime::{Answer, Word};
use jiff::Timestamp;

use super::word::{Delivered, deliver, named, person, print_run};
use crate::args::ApproveArgs;
use crate::failure::{Exit, Failure};
use crate::history::History;
use crate::report::tell;
use crate::report::text::clean;
use crate::session::{Session, find_run};
use crate::target;

pub(crate) fn run(args: &ApproveArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    let run = find_run(store.as_ref(), &args.run)?;
    let history = History::read(store.as_ref(), &run, &env.catalog())?;
    let state = &history.state;
    let task = target::task(state, target::node(state, &args.node)?)?;
    let question = state.awaited(task).and_then(|awaited| awaited.question.clone());
    let Some(question) = question else {
        return Err(Failure::state(
            format!("`{}` asks nothing now", args.node),
            asking(state).unwrap_or_else(|| {
                format!("look at the run: {}", env.command(&["show", run.as_str()]))
            }),
        ));
    };
    check_choice(args, &question)?;
    let answer = Answer {
        approved: !args.reject,
        by: person(),
        comment: args.comment.clone(),
        choice: args.choice.clone(),
        at: Timestamp::now(),
    };
    let (node, item) = named(state, task);
    let word = Word::Approve { node, item, answer };
    let answered = |state: &RunState| state.awaited(task).is_none();
    let delivered = deliver(env, &store, &history, &word, answered)?;
    let what = if args.reject { "rejected" } else { "approved" };
    let next = match delivered {
        Delivered::Taken => String::new(),
        Delivered::Left => "; the process that has the run will read it".to_owned(),
        Delivered::Recorded => format!("; go on with: {}", env.command(&["resume", run.as_str()])),
    };
    tell(&format!("{} {what}{next}\n", clean(&args.node)));
    print_run(env, &store, &run)?;
    Ok(Exit::SUCCEEDED)
}

fn check_choice(args: &ApproveArgs, question: &Question) -> Result<(), Failure> {
    let list = question.choices.join(", ");
    match &args.choice {
        Some(choice) if !question.choices.contains(choice) => Err(Failure::usage(
            format!("{choice:?} is not among the answers"),
            if list.is_empty() {
                "leave --choice out".into()
            } else {
                format!("choose one of {list}")
            },
        )),
        None if !question.choices.is_empty() && !args.reject => Err(Failure::usage(
            "an answer must be chosen",
            format!("add --choice with one of {list}"),
        )),
        _ => Ok(()),
    }
}

/// The nodes that ask something, as a help line.
fn asking(state: &RunState) -> Option<String> {
    let asks = |task: &flow_core::id::TaskId| {
        state.awaited(*task).is_some_and(|awaited| awaited.question.is_some())
    };
    let names: Vec<String> = state
        .awaiting()
        .filter(asks)
        .take(5)
        .map(|task| state.task_ref(task).to_string())
        .collect();
    (!names.is_empty()).then(|| format!("these ask something: {}", clean(&names.join(", "))))
}
