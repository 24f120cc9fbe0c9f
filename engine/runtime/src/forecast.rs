//! What a run would do. It is driven as always, signal by signal through the same `decide`, but no
//! attempt ever ends: a task whose result is there already comes back with it, one that would have
//! to work stays out, and what depends on that stays open.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use flow_core::digest::Digest;
use flow_core::error::StageError;
use flow_core::graph::Graph;
use flow_core::id::{RunId, TaskId};
use flow_core::policy::CachePolicy;
use flow_core::run::decide::{Origin, owed_wakes};
use flow_core::run::manifest::Manifest;
use flow_core::run::{
    Action, Decision, Event, Mark, Now, Outcome, Recorded, RunState, Signal, decide,
};
use flow_core::store::{Store, StoreError};
use jiff::Timestamp;

use crate::executor::{
    Considered, Earlier, Found, Surroundings, assignment, consider, find, read_items,
};
use crate::runner::{TakeUp, replay, resumption};
use crate::secrets::Secrets;

/// What there is before the run goes on.
#[derive(Debug, Clone, Copy)]
pub enum Past<'a> {
    /// Nothing: it would begin.
    None,
    /// These records, and it would go on from its last good stage.
    Resumed(&'a [Recorded]),
    /// These records, and another definition or manifest would be adopted.
    Updated(&'a [Recorded]),
}

/// Why no result could be taken for a task that would run.
#[derive(Debug, Clone, PartialEq)]
pub enum Miss {
    /// Results of other runs are not looked for.
    Off,
    /// They are left alone in this run, whatever the node says.
    Fresh,
    /// No run has a result with this key.
    Nothing,
    /// A result is too old.
    Old {
        /// The run that made it.
        run: RunId,
        /// When.
        at: Timestamp,
    },
    /// The bytes of a result are missing or damaged.
    Lost {
        /// The run that made it.
        run: RunId,
    },
}

/// What would become of a task.
#[derive(Debug)]
pub enum Prospect {
    /// It would run.
    Runs {
        /// Its key.
        key: Digest,
        /// Why no result is taken for it.
        miss: Miss,
    },
    /// A result would be taken for it.
    Reused(Origin),
    /// Its probe would be asked whether its effect happened.
    Probed,
    /// It could not begin.
    Fails(Box<StageError>),
}

/// What a run would come to, as far as that can be known.
pub struct Forecast {
    /// The state in which nothing goes on without work. What would run is out; what depends on it
    /// is pending.
    pub state: RunState,
    /// What would become of the tasks that have their turn.
    pub prospects: BTreeMap<TaskId, Prospect>,
    /// Tasks whose results are lost, with what is wrong with the bytes.
    pub lost: BTreeMap<TaskId, String>,
}

impl Forecast {
    /// Of a run that has nothing left to do.
    #[must_use]
    pub fn done(state: RunState) -> Self {
        Self { state, prospects: BTreeMap::new(), lost: BTreeMap::new() }
    }
}

/// A run that is looked at.
pub struct Subject<'a> {
    /// Where results are looked for. Nothing is written to it.
    pub store: Arc<dyn Store>,
    /// The run.
    pub run: &'a RunId,
    /// What it would execute.
    pub graph: &'a Graph,
    /// All else that it would go by.
    pub manifest: Arc<Manifest>,
    /// The secrets that are there.
    pub secrets: Arc<Secrets>,
}

/// Foresees a run.
///
/// # Errors
/// A store that cannot be read.
pub fn foresee(subject: Subject<'_>, past: Past<'_>, now: Now) -> Result<Forecast, StoreError> {
    let Subject { store, run, graph, manifest, secrets } = subject;
    // Limits would keep out what waits for a place behind what never ends.
    let graph = Arc::new(graph.unlimited());
    let slots = Manifest { max_parallel: u32::MAX, ..manifest.as_ref().clone() };
    let records = match past {
        Past::None => &[],
        Past::Resumed(records) | Past::Updated(records) => records,
    };
    let mut state = replay(&graph, &slots, records);
    let first = first_events(store.as_ref(), run, &state, &slots, past)?;
    let mut around = Surroundings::beside(store, run, graph, manifest, secrets);
    around.earlier = Earlier::of(records);
    let mut lost = BTreeMap::new();
    for event in first {
        if let Event::OutputsLost { task, reason } = &event {
            lost.extend(state.find(task).map(|id| (id, reason.clone())));
        }
        state.apply(&Recorded { seq: None, ts: now.wall, event });
    }
    let mut seer =
        Seer { around, state, now, signals: VecDeque::new(), prospects: BTreeMap::new() };
    seer.look();
    let Seer { state, prospects, .. } = seer;
    Ok(Forecast { state, prospects, lost })
}

/// What would be recorded first.
fn first_events(
    store: &dyn Store,
    run: &RunId,
    state: &RunState,
    manifest: &Manifest,
    past: Past<'_>,
) -> Result<Vec<Event>, StoreError> {
    let digest = Digest::of(b"");
    let updated = matches!(past, Past::Updated(_));
    if matches!(past, Past::None) || state.invocation() == 0 {
        return Ok(vec![Event::RunStarted {
            workflow: state.graph().name().to_owned(),
            params: serde_json::json!(manifest.params),
            manifest: digest,
            max_parallel: manifest.max_parallel,
        }]);
    }
    let all = state.graph().nodes().iter().map(|node| Arc::clone(&node.name));
    let invalidated: Vec<Arc<str>> = if updated { all.collect() } else { Vec::new() };
    let how =
        TakeUp { notes: &[], manifest: digest, updated, first: &[], invalidated: &invalidated };
    resumption(store, run, state, &how)
}

/// What comes of the turn of a task.
enum Turn {
    /// Its outcome, without any work.
    Comes(Box<Outcome>),
    /// It would have to work.
    Works(Prospect),
}

struct Seer {
    around: Surroundings,
    state: RunState,
    now: Now,
    signals: VecDeque<Signal>,
    prospects: BTreeMap<TaskId, Prospect>,
}

impl Seer {
    fn look(&mut self) {
        for wake in owed_wakes(&self.state, self.now) {
            match wake {
                // A retry comes sooner or later; an instant may be far away.
                Action::Wake { task, after }
                    if after.is_zero() || self.state.awaited(task).is_none() =>
                {
                    self.signals.push_back(Signal::Due(task));
                }
                _ => {}
            }
        }
        self.signals.push_back(Signal::Applied);
        while let Some(signal) = self.signals.pop_front() {
            self.step(signal);
        }
    }

    fn step(&mut self, signal: Signal) {
        let Decision { events, marks, actions, then, payloads } =
            decide(&self.state, signal, self.now);
        let mut settled = 0;
        for mark in &marks {
            settled += usize::from(matches!(mark, Mark::CameBack(_) | Mark::Settling(_)));
            self.state.mark(mark);
        }
        let moved = settled > 0 || !events.is_empty();
        for (_, bytes) in payloads {
            // A store that is only looked at keeps them in memory; one that cannot says so when
            // they are read.
            self.around.store.put_bytes(&bytes).ok();
        }
        for event in events {
            self.state.apply(&Recorded { seq: None, ts: self.now.wall, event });
        }
        (0..settled).for_each(|_| self.state.mark(&Mark::Settled));
        for action in actions.into_iter().chain(then) {
            self.act(action);
        }
        if moved {
            self.signals.push_back(Signal::Applied);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start { task, attempt, .. } => self.start(task, attempt),
            Action::Probe { task, .. } => {
                self.prospects.insert(task, Prospect::Probed);
            }
            Action::Resolve(group) => self.resolve(group),
            Action::Again => self.signals.push_back(Signal::Applied),
            Action::Proceed(_) | Action::Wake { .. } | Action::CancelAll(_) | Action::Finish(_) => {
            }
        }
    }

    fn start(&mut self, task: TaskId, attempt: u32) {
        let base = assignment(&self.state, &self.around.manifest, task, attempt);
        let found = consider(&self.around, &base).and_then(|considered| match considered {
            Considered::Settled(outcome) => Ok(Turn::Comes(Box::new(outcome))),
            Considered::Open { key, .. } => self.shared(task, key),
        });
        let prospect = match found {
            Ok(Turn::Works(prospect)) => prospect,
            Err(error) => Prospect::Fails(error),
            Ok(Turn::Comes(outcome)) => {
                if let Outcome::Reused { from, .. } = outcome.as_ref() {
                    self.prospects.insert(task, Prospect::Reused(from.clone()));
                }
                let outcome = *outcome;
                self.signals.push_back(Signal::Ended { task, attempt, outcome });
                return;
            }
        };
        self.prospects.insert(task, prospect);
    }

    /// What the results of all runs have for a task.
    fn shared(&self, task: TaskId, key: Digest) -> Result<Turn, Box<StageError>> {
        let runs = |miss| Ok(Turn::Works(Prospect::Runs { key, miss }));
        let policy = self.around.graph.node(task.node).policy.cache;
        if policy == CachePolicy::Off {
            return runs(Miss::Off);
        }
        if self.around.manifest.fresh {
            return runs(Miss::Fresh);
        }
        match find(&self.around, &key, policy)? {
            Found::Young(outcome) => Ok(Turn::Comes(Box::new(outcome))),
            Found::Nothing => runs(Miss::Nothing),
            Found::Old { run, at } => runs(Miss::Old { run, at }),
            Found::Lost { run } => runs(Miss::Lost { run }),
        }
    }

    fn resolve(&mut self, group: usize) {
        let keys = read_items(&self.around, &self.state, group);
        self.signals.push_back(Signal::Resolved { group, keys: keys.map_err(|e| *e) });
    }
}
