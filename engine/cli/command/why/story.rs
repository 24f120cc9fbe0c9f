//! What the records of a run tell of one task, in their order.

use flow_core::call::Usage;
use flow_core::digest::Digest;
use flow_core::error::StageError;
use flow_core::id::NodeId;
use flow_core::run::Recorded;
use flow_core::run::event::{Event, TaskRef};
use jiff::Timestamp;

use crate::compare::{Past, is_same_task};
use crate::report::text::{clean, count};

/// Why a task had its turn.
#[derive(Debug, Clone)]
pub(super) enum Turn {
    /// It had to be made, by its key.
    ByKey,
    /// It had failed in an earlier invocation.
    FailedBefore(Box<StageError>),
    /// The process that ran it ended before it did.
    CutShort,
    /// The bytes of its result were gone.
    Lost(String),
    /// The result of a trial was taken for its own.
    Adopted,
}

/// A result of a task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Result {
    /// Index of its record.
    pub(super) record: usize,
    pub(super) key: Digest,
}

/// What happened to a task.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) turn: Turn,
    /// The result that it has, if its latest turn gave one.
    pub(super) result: Option<Result>,
    /// The result that it had before its latest turn.
    pub(super) before: Option<Result>,
    /// Where its result was taken from, if it was not made: `this run`, or another one.
    pub(super) reused: Option<String>,
    /// When the result of another run that was taken was made.
    pub(super) made_at: Option<Timestamp>,
    /// Whether results of other runs were looked for, and none could be taken.
    pub(super) missed: bool,
    /// When its latest attempt began.
    pub(super) begun_at: Option<Timestamp>,
    /// Attempts of its latest turn that failed.
    pub(super) failures: Vec<(u32, StageError)>,
    /// How long it took, if it was made in this run.
    pub(super) took_ms: Option<u64>,
    /// What the calls of its latest turn used, in attempts that failed as well.
    pub(super) usage: Usage,
}

impl Story {
    /// Goes through the records of a run.
    pub(super) fn of(records: &[Recorded], task: &TaskRef) -> Self {
        let mut teller = Teller::default();
        for (at, recorded) in records.iter().enumerate() {
            match &recorded.event {
                Event::RunResumed { .. } => teller.resumed(),
                event if event.task().is_some_and(|other| is_same_task(other, task)) => {
                    teller.note(at, recorded);
                }
                _ => {}
            }
        }
        teller.story
    }
}

#[derive(Default)]
struct Teller {
    story: Story,
    /// Whether an attempt has begun in this invocation and not ended.
    open: bool,
    /// How it failed for good, in this invocation.
    failed: Option<Box<StageError>>,
    lost: Option<String>,
    made_at: Option<Timestamp>,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            turn: Turn::ByKey,
            result: None,
            before: None,
            reused: None,
            made_at: None,
            missed: false,
            begun_at: None,
            failures: Vec::new(),
            took_ms: None,
            usage: Usage::default(),
        }
    }
}

impl Teller {
    fn resumed(&mut self) {
        if std::mem::take(&mut self.open) {
            self.story.turn = Turn::CutShort;
        }
        if let Some(error) = self.failed.take() {
            self.story.turn = Turn::FailedBefore(error);
            self.story.failures.clear();
            self.story.usage = Usage::default();
        }
    }

    fn note(&mut self, at: usize, recorded: &Recorded) {
        let story = &mut self.story;
        match &recorded.event {
            Event::AttemptStarted { .. } => {
                if story.result.is_some() {
                    self.again();
                }
                self.open = true;
                self.story.begun_at = Some(recorded.ts);
            }
            Event::AttemptFailed { attempt, error, usage, .. } => {
                story.usage.add(*usage);
                story.failures.push((*attempt, error.as_ref().clone()));
            }
            Event::Failed { attempt, error, .. } | Event::Unknown { attempt, error, .. } => {
                if story.failures.last().is_none_or(|(last, _)| last != attempt) {
                    story.failures.push((*attempt, error.as_ref().clone()));
                }
                self.failed = Some(error.clone());
                self.open = false;
            }
            Event::OutputsLost { reason, .. } => self.lost = Some(reason.clone()),
            Event::CacheMiss { .. } => story.missed = true,
            Event::CacheHit { made_at, .. } => self.made_at = Some(*made_at),
            Event::Succeeded { key, duration_ms, usage, .. } => {
                if !self.open {
                    self.again();
                    self.story.turn = Turn::Adopted;
                }
                self.open = false;
                self.story.result = Some(Result { record: at, key: *key });
                self.story.took_ms = Some(*duration_ms);
                self.story.usage.add(*usage);
            }
            Event::Reused { key, from, .. } => {
                self.again();
                self.story.result = Some(Result { record: at, key: *key });
                self.story.reused = Some(from.clone());
                self.story.made_at = self.made_at.take();
            }
            _ => {}
        }
    }

    /// It has its turn again after it had a result.
    fn again(&mut self) {
        let before = self.story.result.or(self.story.before);
        let turn = self.lost.take().map_or(Turn::ByKey, Turn::Lost);
        let (begun_at, missed) = (self.story.begun_at, self.story.missed);
        let missed = missed && self.story.result.is_none();
        self.story = Story { turn, before, begun_at, missed, ..Story::default() };
    }
}

/// What a node waits for, as a phrase.
pub(super) fn blockers(past: &Past, node: NodeId) -> String {
    let state = &past.state;
    let name = |id: &NodeId| clean(&state.graph().node(*id).name);
    let failed = state.blocked_by(node);
    if !failed.is_empty() {
        let names: Vec<String> = failed.iter().take(5).map(name).collect();
        return format!("{} failed", names.join(", "));
    }
    let open: Vec<NodeId> = state
        .graph()
        .node(node)
        .needs
        .iter()
        .map(|need| need.node)
        .filter(|id| !state.ended_well(*id))
        .collect();
    let names: Vec<String> = open.iter().take(5).map(name).collect();
    match open.len() {
        0 => "it has not had its turn".to_owned(),
        1..=5 => format!("it waits for {}", names.join(", ")),
        more => format!("it waits for {} and {}", names.join(", "), count(more - 5, "more node")),
    }
}
