//! The answer: what became of a task, and the first thing that differed from the time before.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use flow_core::call::Usage;
use flow_core::catalog::Catalog;
use flow_core::digest::Digest;
use flow_core::error::StageError;
use flow_core::id::{RunId, TaskId};
use flow_core::policy::CachePolicy;
use flow_core::run::event::{Event, TaskRef};
use flow_core::run::state::{Phase, Task};
use flow_core::store::Store;
use jiff::Timestamp;

use super::story::{Story, Turn, blockers};
use crate::args::RunStatus;
use crate::compare::{Cost, Desk, Past, Told, earlier_runs, result_before, told, unchanged};
use crate::failure::Failure;
use crate::report::human::in_short;
use crate::report::text::{ago, clean};
use crate::report::view::task_status;
use crate::session::Session;

/// So many earlier runs of the workflow are looked at.
const RUNS_MAX: usize = 50;

/// So many places of one payload are told.
const PLACES_MAX: usize = 5;

/// What a task did that took a result.
pub(super) const REUSED: &str = "was reused";

/// Why a task came to what it came to.
pub(super) struct Answer {
    pub(super) task: TaskRef,
    /// How it stands, as `flow show` says.
    pub(super) status: &'static str,
    /// What it did: `ran`, `was reused`, and so on.
    pub(super) verdict: &'static str,
    /// The reason, as a word for programs.
    pub(super) code: &'static str,
    /// The reason, as a sentence.
    pub(super) reason: String,
    /// What it was compared with: the run, and when that began.
    pub(super) compared: Option<(RunId, Timestamp)>,
    /// What differs, the first cause first.
    pub(super) changes: Vec<Told>,
    /// What does not.
    pub(super) unchanged: Vec<String>,
    /// What else is to be said.
    pub(super) notes: Vec<String>,
    /// Attempts that were begun.
    pub(super) attempts: u32,
    /// Those that failed, in its latest turn.
    pub(super) failures: Vec<(u32, StageError)>,
    /// How long it took, in milliseconds.
    pub(super) took_ms: Option<u64>,
    /// What the calls of its latest turn used, in attempts that failed as well.
    pub(super) usage: Usage,
    /// What it took the time before, or when the result was made that it took.
    pub(super) cost_before: Option<Cost>,
    /// Nodes that hold it back.
    pub(super) blocked_by: Vec<String>,
}

/// What is asked about a run.
pub(super) struct Inquiry<'a> {
    store: &'a Arc<dyn Store>,
    catalog: &'a Catalog,
    past: &'a Past,
    status: RunStatus,
    desk: Desk<'a>,
    earlier: Earlier<'a>,
}

/// A result that a task had before.
struct Before {
    past: Rc<Past>,
    key: Digest,
    at: Timestamp,
    cost: Option<Cost>,
}

impl<'a> Inquiry<'a> {
    pub(super) fn new(
        env: &'a Session,
        store: &'a Arc<dyn Store>,
        catalog: &'a Catalog,
        (past, previous): (&'a Past, Option<Past>),
        status: RunStatus,
    ) -> Self {
        let desk = Desk::new(env, store.as_ref(), PLACES_MAX);
        let earlier = Earlier::of(store.as_ref(), catalog, past, previous);
        Self { store, catalog, past, status, desk, earlier }
    }

    /// Why a task came to what it came to.
    ///
    /// # Errors
    /// A record that cannot be read.
    pub(super) fn answer(&self, id: TaskId) -> Result<Answer, Failure> {
        let state = &self.past.state;
        let name = state.task_ref(id);
        let story = Story::of(&self.past.records, &name);
        let Some(task) = state.task(id) else { return Ok(self.blank(id, name, &story)) };
        let mut answer = self.blank(id, name, &story);
        answer.status = task_status(task, self.status);
        answer.attempts = task.attempts;
        let node = state.graph().node(id.node);
        let begun = story.begun_at.is_some() || story.result.is_some();
        match &task.phase {
            Phase::Skipped(reason) => {
                let code = if node.when.is_some() && reason.starts_with("`when`") {
                    "condition"
                } else {
                    "absent"
                };
                answer.say("was skipped", code, reason.to_string());
            }
            Phase::Succeeded(_) if story.reused.is_some() => {
                self.reused(&mut answer, id, &story)?
            }
            _ if node.always && begun => {
                let reason = "it runs at the end of each invocation, whatever happened";
                answer.say("ran", "always", reason.into());
            }
            Phase::Pending | Phase::Ready if !begun => self.waits(&mut answer, id),
            Phase::Cancelled if !begun => {
                answer.say(
                    "did not run",
                    "cancelled",
                    "the run ended before it had its turn".into(),
                );
            }
            _ => self.ran(&mut answer, id, task, &story)?,
        }
        Ok(answer)
    }

    fn blank(&self, id: TaskId, task: TaskRef, story: &Story) -> Answer {
        Answer {
            task,
            status: "pending",
            verdict: "did not run",
            code: "pending",
            reason: blockers(self.past, id.node),
            compared: None,
            changes: Vec::new(),
            unchanged: Vec::new(),
            notes: Vec::new(),
            attempts: 0,
            failures: story.failures.clone(),
            took_ms: story.took_ms,
            usage: story.usage,
            cost_before: None,
            blocked_by: Vec::new(),
        }
    }

    fn waits(&self, answer: &mut Answer, id: TaskId) {
        let state = &self.past.state;
        let failed = state.blocked_by(id.node);
        answer.blocked_by =
            failed.iter().map(|id| state.graph().node(*id).name.to_string()).collect();
        if !state.is_wanted(id.node) {
            let only = self.past.manifest.only.as_deref().unwrap_or_default();
            let reason = format!("the run is for `{}` and what that depends on alone", clean(only));
            answer.say("did not run", "not_wanted", reason);
        } else if !failed.is_empty() {
            answer.code = "blocked";
        }
    }

    /// A result was taken: where it comes from, and that nothing differs.
    fn reused(&self, answer: &mut Answer, id: TaskId, story: &Story) -> Result<(), Failure> {
        let from = story.reused.as_deref().unwrap_or_default();
        let key = story.result.map(|result| result.key);
        let (code, whose) = match story.made_at {
            Some(at) => {
                let made = format!("{} made it {}", clean(from), ago(at, Timestamp::now()));
                ("cache", format!("{made}, and `cache` allows it"))
            }
            None => ("this_run", "this run had made it before".to_owned()),
        };
        let reason = format!("all that its result depends on is what it was: {whose}");
        answer.say(REUSED, code, reason);
        answer.cost_before = key.and_then(|key| self.cost_of_result(from, key));
        if let Ok(made) = self.past.recipes(self.store).of(id, key) {
            answer.unchanged = unchanged(&made, &made);
        }
        Ok(())
    }

    /// What a result took that came from `this run` or another one, if that is still there.
    fn cost_of_result(&self, from: &str, key: Digest) -> Option<Cost> {
        Cost::of_result(&self.past.records, key).or_else(|| {
            let records = self.store.read_run(&RunId::new(from).ok()?).ok()?;
            Cost::of_result(&records, key)
        })
    }

    fn ran(
        &self,
        answer: &mut Answer,
        id: TaskId,
        task: &Task,
        story: &Story,
    ) -> Result<(), Failure> {
        let key = story.result.map(|result| result.key).or(task.key);
        let before = match story.before {
            Some(result) => Some(self.before_in_run(&answer.task, result.record, result.key)?),
            None => self.earlier.result(&answer.task)?,
        };
        answer.verdict = match answer.status {
            "running" => "is running",
            "failed" => "ran and failed",
            _ => "ran",
        };
        if let Some(before) = &before {
            answer.compared = Some((before.past.run.clone(), before.at));
            answer.cost_before = before.cost;
            self.compare(answer, id, key, before);
        }
        let (code, reason) = self.cause(answer, id, key, story, before.as_ref());
        (answer.code, answer.reason) = (code, reason);
        Ok(())
    }

    /// The result that a task had in this run before its latest turn.
    fn before_in_run(&self, task: &TaskRef, record: usize, key: Digest) -> Result<Before, Failure> {
        let records = &self.past.records;
        let opened =
            |event: &Event| matches!(event, Event::RunResumed { .. } | Event::Invalidated { .. });
        let later = records[record..].iter().position(|recorded| opened(&recorded.event));
        let end = later.map_or(records.len(), |later| record + later);
        let past = Rc::new(self.past.before(self.store.as_ref(), end, self.catalog)?);
        let cost = Cost::of_task(&past.records, task);
        Ok(Before { at: records[record].ts, past, key, cost })
    }

    fn compare(&self, answer: &mut Answer, id: TaskId, key: Option<Digest>, before: &Before) {
        let Some(old) = before.past.find(&answer.task) else { return };
        let was = before.past.recipes(self.store).of(old, Some(before.key));
        let is = self.past.recipes(self.store).of(id, key);
        match (was, is) {
            (Ok(was), Ok(is)) => {
                answer.changes = told(&was, &is, &self.desk);
                answer.unchanged = unchanged(&was, &is);
                if !was.exact || (key.is_some() && !is.exact) {
                    answer.notes.push(
                        "its key cannot be retraced from the record, so this may not be all".into(),
                    );
                }
            }
            (Err(error), _) | (_, Err(error)) => {
                answer
                    .notes
                    .push(format!("what it was made of cannot be read: {}", in_short(&error)));
            }
        }
        let (was, is) = (&before.past.manifest.env, &self.past.manifest.env);
        for name in &self.past.state.graph().node(id.node).env {
            if was.get(name) != is.get(name) {
                // A value may be anything, so only the name is told.
                answer
                    .notes
                    .push(format!("the environment variable {} has another value", clean(name)));
            }
        }
    }

    /// Why it had its turn, as a word and a sentence.
    fn cause(
        &self,
        answer: &Answer,
        id: TaskId,
        key: Option<Digest>,
        story: &Story,
        before: Option<&Before>,
    ) -> (&'static str, String) {
        match &story.turn {
            Turn::FailedBefore(error) => {
                return ("failed_before", format!("it had failed before: {}", in_short(error)));
            }
            Turn::CutShort => {
                return ("cut_short", "an attempt of it had been cut short before it ended".into());
            }
            Turn::Lost(reason) => {
                return ("lost", format!("its earlier result is lost: {}", clean(reason)));
            }
            Turn::Adopted => {
                return (
                    "adopted",
                    "the result of a trial was adopted (flow rerun --adopt)".into(),
                );
            }
            Turn::ByKey => {}
        }
        let Some(before) = before else {
            let workflow = clean(self.past.state.graph().name());
            return ("first", format!("no earlier run of workflow {workflow} has a result of it"));
        };
        match answer.changes.first() {
            Some(change) => (change.code, format!("{} is not what it was", change.what)),
            None if Some(before.key) == key => self.not_taken(id, story, before),
            None => ("unknown", "its key is another one, and the record does not tell why".into()),
        }
    }

    /// Why a result with the same key was not taken.
    fn not_taken(&self, id: TaskId, story: &Story, before: &Before) -> (&'static str, String) {
        let policy = self.past.state.graph().node(id.node).policy.cache;
        let same = "all that it depends on is what it was";
        let age = || {
            let begun = story.begun_at.unwrap_or(before.at);
            std::time::Duration::try_from(begun.duration_since(before.at)).unwrap_or_default()
        };
        match policy {
            CachePolicy::Off => {
                ("cache_off", format!("{same}, and `cache` is off: each run makes its own result"))
            }
            _ if self.past.manifest.fresh => {
                ("fresh", format!("{same}, and the run was started with --fresh"))
            }
            CachePolicy::For(span) if age() > span => {
                let span = flow_core::policy::format_duration(span);
                ("cache_expired", format!("{same}, and the result was older than `cache` = {span}"))
            }
            _ => (
                "not_in_cache",
                format!(
                    "{same}, and no result could be taken: its bytes were lost, it was removed from the cache, or it was not there yet"
                ),
            ),
        }
    }
}

impl Answer {
    fn say(&mut self, verdict: &'static str, code: &'static str, reason: String) {
        (self.verdict, self.code, self.reason) = (verdict, code, clean(&reason));
    }
}

/// The earlier runs of a workflow, read as far as they are asked for.
struct Earlier<'a> {
    store: &'a dyn Store,
    catalog: &'a Catalog,
    past: &'a Past,
    /// One of them that was read already.
    previous: RefCell<Option<Past>>,
    ids: OnceCell<Vec<RunId>>,
    /// How many ids were looked at, and the runs of the workflow among them, newest first.
    read: RefCell<(usize, Vec<Rc<Past>>)>,
}

impl<'a> Earlier<'a> {
    fn of(
        store: &'a dyn Store,
        catalog: &'a Catalog,
        past: &'a Past,
        previous: Option<Past>,
    ) -> Self {
        let previous = RefCell::new(previous);
        Self { store, catalog, past, previous, ids: OnceCell::new(), read: RefCell::default() }
    }

    /// The newest result that a task has in them.
    fn result(&self, task: &TaskRef) -> Result<Option<Before>, Failure> {
        for number in 0..RUNS_MAX {
            let Some(past) = self.run(number)? else { return Ok(None) };
            let found = result_before(&past.records, task, past.records.len());
            if let Some((record, key)) = found.filter(|_| past.find(task).is_some()) {
                let (at, cost) = (past.records[record].ts, Cost::of_task(&past.records, task));
                return Ok(Some(Before { past, key, at, cost }));
            }
        }
        Ok(None)
    }

    /// The nth of them.
    fn run(&self, number: usize) -> Result<Option<Rc<Past>>, Failure> {
        if self.ids.get().is_none() {
            let ids = earlier_runs(self.store, Some(&self.past.run))?;
            self.ids.get_or_init(|| ids);
        }
        let ids = self.ids.get().map_or(&[][..], Vec::as_slice);
        let (looked, found) = &mut *self.read.borrow_mut();
        let workflow = (self.past.manifest.workflow_path.as_path(), self.past.state.graph().name());
        while found.len() <= number {
            let Some(id) = ids.get(*looked) else { return Ok(None) };
            *looked += 1;
            let ahead = self.previous.borrow_mut().take_if(|previous| previous.run == *id);
            let read = || Past::of_workflow(self.store, id, workflow, self.catalog, self.past);
            found.extend(ahead.or_else(read).map(Rc::new));
        }
        Ok(Some(Rc::clone(&found[number])))
    }
}
