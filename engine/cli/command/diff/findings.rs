//! What is found: how the runs differ as wholes, and each task that is not the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use flow_core::explain::{Compared, Divergence, Side, compare, differences};
use flow_core::id::{RunId, TaskId};
use flow_core::payload::PayloadRef;
use flow_core::run::event::TaskRef;
use flow_core::run::state::{Done, Phase, RunPhase, Task};
use flow_core::store::Store;
use flow_runtime::Recipes;
use serde_json::{Value, json};

use crate::args::RunStatus;
use crate::compare::{Contrast, Desk, Past, Told, places, told};
use crate::report::human::in_short;
use crate::report::text::clean;
use crate::report::view::task_status;
use crate::session::Session;

/// So many payloads are looked into; of others the digests are told.
const PAYLOADS_MAX: usize = 50;

/// So many pairs of media files are opened.
const MEDIA_MAX: usize = 30;

/// So many places of one payload are told.
const PLACES_MAX: usize = 5;

/// Of so many tasks at which something began it is told what.
const CAUSES_MAX: usize = 20;

/// A time that is longer by this is told, where it is more than double too.
const SLOWER_MS: u64 = 1_000;

/// How two runs differ.
pub(super) struct Findings {
    /// The names of the workflows, if they are not the same.
    pub(super) workflows: Option<[String; 2]>,
    /// Whether the workflow files are the same to the byte.
    pub(super) same_definition: bool,
    /// How the runs ended, if not alike.
    pub(super) ends: Option<[&'static str; 2]>,
    /// Parameters.
    pub(super) params: Option<Contrast>,
    /// Variables of the environment that templates read, with other values.
    pub(super) env: Vec<String>,
    /// Nodes that one of them does not have.
    pub(super) nodes: Vec<(String, Side)>,
    /// Tasks that are not the same, in the order of the graph.
    pub(super) tasks: Vec<Finding>,
    /// How many tasks are the same.
    pub(super) same: usize,
    /// Tasks that took other numbers of attempts, or much longer.
    pub(super) efforts: Vec<Effort>,
}

/// A task that is not the same.
pub(super) struct Finding {
    pub(super) task: TaskRef,
    pub(super) divergence: Divergence,
    /// How both stand, with the failure if they failed.
    pub(super) stands: [Option<Stand>; 2],
    /// What its key is made of that differs, where it began.
    pub(super) causes: Vec<Told>,
    /// Ports whose payloads differ.
    pub(super) ports: Vec<Port>,
}

/// How a task stands.
pub(super) struct Stand {
    pub(super) status: &'static str,
    pub(super) error: Option<String>,
    pub(super) key: Option<flow_core::digest::Digest>,
}

/// A port whose payloads differ.
pub(super) struct Port {
    pub(super) name: String,
    pub(super) payloads: [Option<PayloadRef>; 2],
    /// How; `None` beyond so many payloads.
    pub(super) contrast: Option<Contrast>,
}

/// What a task took.
pub(super) struct Effort {
    pub(super) task: TaskRef,
    pub(super) attempts: [u32; 2],
    pub(super) took_ms: [Option<u64>; 2],
}

impl Findings {
    pub(super) fn of(env: &Session, store: &Arc<dyn Store>, before: &Past, after: &Past) -> Self {
        let (old, new) = (before.recipes(store), after.recipes(store));
        let compared =
            compare(&before.state, &after.state, |was, is| new.same_inputs(is, &old, was));
        let desk = Desk::new(env, store.as_ref(), PLACES_MAX)
            .opening_media(MEDIA_MAX, after.state.graph().tools());
        let mut search = Search {
            desk,
            pasts: [before, after],
            recipes: [old, new],
            payloads: PAYLOADS_MAX,
            causes: CAUSES_MAX,
        };
        let same = compared.iter().filter(|task| task.divergence == Divergence::Same).count();
        let differ = compared.iter().filter(|task| task.divergence != Divergence::Same);
        let tasks = differ.map(|task| search.finding(task)).collect();
        let names = [before, after].map(|past| past.state.graph().name().to_owned());
        let statuses = [before, after].map(|past| run_status(past.state.phase()));
        Self {
            same_definition: before.manifest.definition == after.manifest.definition
                && before.manifest.files == after.manifest.files,
            workflows: (names[0] != names[1]).then_some(names),
            ends: (statuses[0] != statuses[1]).then_some(statuses),
            params: params(before, after),
            env: env_names(before, after),
            nodes: nodes(before, after),
            tasks,
            same,
            efforts: compared.iter().filter_map(|task| effort(before, after, task)).collect(),
        }
    }

    /// Whether the runs are the same in all that is no effort.
    pub(super) fn is_empty(&self) -> bool {
        self.workflows.is_none()
            && self.ends.is_none()
            && self.params.is_none()
            && self.nodes.is_empty()
            && self.tasks.is_empty()
    }

    /// How many tasks stand so to each other.
    pub(super) fn number(&self, wanted: fn(Divergence) -> bool) -> usize {
        self.tasks.iter().filter(|finding| wanted(finding.divergence)).count()
    }
}

fn run_status(phase: RunPhase) -> &'static str {
    use flow_core::run::event::RunEnd;
    match phase {
        RunPhase::Finished(RunEnd::Succeeded) => "succeeded",
        RunPhase::Finished(RunEnd::Failed) => "failed",
        RunPhase::Finished(RunEnd::Cancelled) => "cancelled",
        RunPhase::Open | RunPhase::Interrupted => "unfinished",
    }
}

fn params(before: &Past, after: &Past) -> Option<Contrast> {
    let (old, new) = (json!(before.manifest.params), json!(after.manifest.params));
    let found = differences(&old, &new, 20);
    (found.total > 0).then(|| places(&found))
}

fn env_names(before: &Past, after: &Past) -> Vec<String> {
    let (old, new) = (&before.manifest.env, &after.manifest.env);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
}

/// Nodes that only one of the workflows has.
fn nodes(before: &Past, after: &Past) -> Vec<(String, Side)> {
    let (old, new) = (before.state.graph(), after.state.graph());
    let gone = old.nodes().iter().filter(|node| new.find(&node.name).is_none());
    let come = new.nodes().iter().filter(|node| old.find(&node.name).is_none());
    let gone = gone.map(|node| (node.name.to_string(), Side::Before));
    gone.chain(come.map(|node| (node.name.to_string(), Side::After))).collect()
}

/// What two tasks took, if it differs materially.
fn effort(before: &Past, after: &Past, compared: &Compared) -> Option<Effort> {
    let (was, is) = (before.state.task(compared.before?)?, after.state.task(compared.after?)?);
    let took = |task: &Task| match &task.phase {
        Phase::Succeeded(done) if !task.reused => Some(done.duration_ms),
        _ => None,
    };
    let (attempts, took_ms) = ([was.attempts, is.attempts], [took(was), took(is)]);
    let ran = attempts.iter().all(|attempts| *attempts > 0);
    let slower = match took_ms {
        [Some(a), Some(b)] => a.abs_diff(b) >= SLOWER_MS && a.max(b) > 2 * a.min(b),
        _ => false,
    };
    let retried = ran && attempts[0] != attempts[1];
    (retried || slower).then(|| Effort { task: compared.task.clone(), attempts, took_ms })
}

struct Search<'a> {
    desk: Desk<'a>,
    pasts: [&'a Past; 2],
    recipes: [Recipes<'a>; 2],
    /// How many payloads may still be looked into.
    payloads: usize,
    /// Of how many tasks it may still be told what began.
    causes: usize,
}

impl Search<'_> {
    fn finding(&mut self, compared: &Compared) -> Finding {
        let ids = [compared.before, compared.after];
        let task = |side: usize| ids[side].and_then(|id| self.pasts[side].state.task(id));
        let stands = [task(0).map(stand), task(1).map(stand)];
        let causes = match (compared.divergence, ids) {
            (Divergence::Began, [Some(was), Some(is)]) => self.causes(was, is),
            _ => Vec::new(),
        };
        let ports = match (
            ids[0].and_then(|id| self.done(0, id)),
            ids[1].and_then(|id| self.done(1, id)),
        ) {
            (Some(was), Some(is)) => self.ports(&was, &is),
            _ => Vec::new(),
        };
        let (task, divergence) = (compared.task.clone(), compared.divergence);
        Finding { task, divergence, stands, causes, ports }
    }

    fn done(&self, side: usize, id: TaskId) -> Option<Arc<Done>> {
        self.pasts[side].state.done(id).cloned()
    }

    /// What the keys of two tasks are made of that differs.
    fn causes(&mut self, was: TaskId, is: TaskId) -> Vec<Told> {
        let Some(left) = self.causes.checked_sub(1) else { return Vec::new() };
        self.causes = left;
        let made = |side: usize, id: TaskId| {
            let task = self.pasts[side].state.task(id)?;
            let key = match &task.phase {
                Phase::Succeeded(done) => Some(done.key),
                _ => task.key,
            };
            self.recipes[side].of(id, key).ok()
        };
        match (made(0, was), made(1, is)) {
            (Some(was), Some(is)) => told(&was, &is, &self.desk),
            _ => Vec::new(),
        }
    }

    fn ports(&mut self, was: &Done, is: &Done) -> Vec<Port> {
        let names: BTreeSet<&String> = was.outputs.keys().chain(is.outputs.keys()).collect();
        let mut ports = Vec::new();
        for name in names {
            let (old, new) = (was.outputs.get(name), is.outputs.get(name));
            if old.map(|payload| payload.digest) == new.map(|payload| payload.digest) {
                continue;
            }
            let contrast = match (old, new, self.payloads.checked_sub(1)) {
                (Some(old), Some(new), Some(left)) => {
                    self.payloads = left;
                    Some(self.desk.payloads((self.run(0), old), (self.run(1), new)))
                }
                _ => None,
            };
            ports.push(Port {
                name: name.clone(),
                payloads: [old.cloned(), new.cloned()],
                contrast,
            });
        }
        ports
    }

    fn run(&self, side: usize) -> &RunId {
        &self.pasts[side].run
    }
}

fn stand(task: &Task) -> Stand {
    let (error, key) = match &task.phase {
        Phase::Failed(error) | Phase::Unknown(error) => (Some(in_short(error)), task.key),
        Phase::Skipped(reason) => (Some(clean(reason)), None),
        Phase::Succeeded(done) => (None, Some(done.key)),
        _ => (None, task.key),
    };
    Stand { status: task_status(task, RunStatus::Running), error, key }
}

impl Finding {
    /// As an object.
    pub(super) fn json(&self) -> Value {
        let side = |stand: &Option<Stand>| {
            stand.as_ref().map(
                |stand| json!({ "status": stand.status, "error": stand.error, "key": stand.key }),
            )
        };
        let payload = |payload: &Option<PayloadRef>| {
            payload.as_ref().map(|payload| {
                json!({ "type": payload.ty, "digest": payload.digest, "size": payload.size })
            })
        };
        let port = |port: &Port| {
            json!({
                "port": port.name,
                "before": payload(&port.payloads[0]),
                "after": payload(&port.payloads[1]),
                "how": port.contrast.as_ref().map(|contrast| &contrast.json),
            })
        };
        json!({
            "node": self.task.node,
            "item": self.task.item.as_ref().map(|item| &item.key),
            "divergence": word(self.divergence),
            "before": side(&self.stands[0]),
            "after": side(&self.stands[1]),
            "causes": self.causes.iter().map(Told::json).collect::<Vec<_>>(),
            "ports": self.ports.iter().map(port).collect::<Vec<_>>(),
        })
    }
}

/// The word for it.
pub(super) fn word(divergence: Divergence) -> &'static str {
    match divergence {
        Divergence::Same => "same",
        Divergence::Began => "began",
        Divergence::Followed => "followed",
        Divergence::Healed => "healed",
        Divergence::Only(Side::Before) => "only_before",
        Divergence::Only(Side::After) => "only_after",
    }
}
