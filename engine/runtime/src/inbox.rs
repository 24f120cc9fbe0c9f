//! Words of people to a run, left by other processes in its inbox.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::error::{ErrorClass, StageError};
use flow_core::id::TaskId;
use flow_core::run::state::Phase;
use flow_core::run::{RunState, Signal};
use flow_core::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::executor::{Answer, admit_outputs, answer_outputs};

/// What a person wants of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum Word {
    /// End it.
    Cancel,
    /// Answer what a node asks.
    Approve {
        /// The node.
        node: String,
        /// The item, in a fanned-out node.
        item: Option<String>,
        /// The answer.
        answer: Answer,
    },
    /// Say whether an unknown effect happened.
    Resolve {
        /// The node.
        node: String,
        /// The item, in a fanned-out node.
        item: Option<String>,
        /// The outputs by port, if it happened.
        happened: Option<BTreeMap<String, Value>>,
    },
}

impl Word {
    /// The message that says it.
    #[must_use]
    pub fn to_message(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

pub(crate) fn read(bytes: &[u8]) -> Option<Word> {
    serde_json::from_slice(bytes).ok()
}

/// The task with this name.
#[must_use]
pub fn find(state: &RunState, node: &str, item: Option<&str>) -> Option<TaskId> {
    let id = state.graph().find(node)?;
    let index = match item {
        None => None,
        Some(key) => Some(state.items(id)?.iter().find(|item| &*item.key == key)?.index),
    };
    let task = TaskId { node: id, item: index };
    state.task(task).map(|_| task)
}

/// The signal that a word is to a run; `None` if nothing there waits for it.
pub(crate) fn signal(store: &Arc<dyn Store>, state: &RunState, word: Word) -> Option<Signal> {
    match word {
        Word::Cancel => Some(Signal::Cancel),
        Word::Approve { node, item, answer } => {
            let task = find(state, &node, item.as_deref())?;
            state.awaited(task)?.question.as_ref()?;
            Some(Signal::Answered { task, answer: judged(store, state, task, &answer) })
        }
        Word::Resolve { node, item, happened } => {
            let task = find(state, &node, item.as_deref())?;
            if !matches!(state.task(task)?.phase, Phase::Unknown(_)) {
                return None;
            }
            let outputs = match happened {
                None => None,
                Some(values) => match admit_outputs(store, state.graph().node(task.node), values) {
                    Ok(admitted) => Some(admitted),
                    Err(error) => {
                        tracing::warn!(%error, "the outputs of a resolved effect do not fit");
                        return None;
                    }
                },
            };
            Some(Signal::Settled { task, happened: outputs })
        }
    }
}

type Judged =
    Result<(flow_core::run::event::Outputs, Vec<flow_core::store::InlinePayload>), Box<StageError>>;

/// A refusal fails the node where nobody reads the decision: what only waits for the node must not
/// go on. Where it is read, it is for the reader to decide.
fn judged(store: &Arc<dyn Store>, state: &RunState, task: TaskId, answer: &Answer) -> Judged {
    let node = state.graph().node(task.node);
    if !answer.approved && !state.graph().is_read(task.node) {
        let said =
            answer.comment.as_deref().map_or_else(String::new, |comment| format!(": {comment}"));
        let message = format!("{} said no{said}", answer.by);
        let error = StageError::new(ErrorClass::Rejected, "wait for an answer", message);
        return Err(Box::new(error.hint(
            "to go on after a no, read the decision: inputs = { decision = \"NODE.decision\" } and `when`",
        )));
    }
    answer_outputs(store, node, answer)
}
