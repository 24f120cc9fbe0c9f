//! What the result of a task is made of, found again from the record of its run. Only the digest of
//! it was recorded; that digest tells whether what is found is all of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::digest::Digest;
use flow_core::error::StageError;
use flow_core::explain::Recipe;
use flow_core::graph::InputPort;
use flow_core::id::{RunId, TaskId};
use flow_core::key::KeyParts;
use flow_core::run::RunState;
use flow_core::run::manifest::Manifest;
use flow_core::store::Store;
use serde_json::Value;

use super::scope::Scopes;
use super::{Assignment, Surroundings, Taken, assignment, key_parts};
use crate::secrets::Secrets;
use crate::wiring::{Wire, wire};

/// What the results of one run are made of, as its record says.
pub struct Recipes<'a> {
    state: &'a RunState,
    /// With all secrets there, and without the optional ones: nobody recorded which it was.
    arounds: Vec<Surroundings>,
}

/// What one result is made of.
#[derive(Debug)]
pub struct Made {
    /// What its key is made of.
    pub parts: KeyParts<'static>,
    /// `with` as it stands in the file.
    pub written: Value,
    /// Input payloads by port, as they are stored; null where absent.
    pub inputs: BTreeMap<String, Value>,
    /// Whether its key is the one that was asked for, so that nothing is missing.
    pub exact: bool,
}

impl Made {
    /// What it is made of, to be compared.
    #[must_use]
    pub fn recipe(&self) -> Recipe<'_> {
        Recipe { parts: &self.parts, written: &self.written }
    }
}

impl<'a> Recipes<'a> {
    /// The recipes of a run in the state that its record has led to.
    #[must_use]
    pub fn new(
        store: &Arc<dyn Store>,
        run: &RunId,
        manifest: &Arc<Manifest>,
        state: &'a RunState,
    ) -> Self {
        let graph = state.graph();
        let optional = graph.secrets().values().any(|secret| secret.optional);
        let around = |with_optional: bool| {
            let there = |optional: bool| with_optional || !optional;
            let names =
                graph.secrets().iter().map(|(name, def)| (name.clone(), there(def.optional)));
            let secrets = Arc::new(Secrets::by_name(names));
            let (graph, manifest) = (Arc::clone(graph), Arc::clone(manifest));
            Surroundings::beside(Arc::clone(store), run, graph, manifest, secrets)
        };
        let ways = if optional { &[true, false][..] } else { &[true][..] };
        Self { state, arounds: ways.iter().map(|way| around(*way)).collect() }
    }

    /// What a task's result with the key `wanted` is made of: tried for its own work and for each of
    /// its fallbacks. Without a key, or where none fits, it is what its latest work would be made of.
    ///
    /// # Errors
    /// An input that cannot be read, or an expression that fails.
    pub fn of(&self, task: TaskId, wanted: Option<Digest>) -> Result<Made, Box<StageError>> {
        let around = &self.arounds[0];
        let base = assignment(self.state, &around.manifest, task, 1);
        let node = around.graph.node(task.node);
        let taken = Taken::load(around, node, &base)?;
        let parts = |around: &Surroundings, variant: u32| {
            let assignment = Assignment { variant, ..base.clone() };
            let work = node.variant(variant);
            let symbolic = Scopes::symbolic(around, node, work, &assignment, &taken);
            let parts = key_parts(around, node, work, &symbolic, &taken.inputs)?;
            Ok::<_, Box<StageError>>((parts.into_owned(), work.raw_config.clone()))
        };
        let latest = parts(around, base.variant);
        let others = (0..=node.fallbacks.len() as u32).flat_map(|variant| {
            self.arounds.iter().filter_map(move |around| parts(around, variant).ok())
        });
        let is_wanted = |parts: &KeyParts<'_>| Some(parts.digest()) == wanted;
        let exact = match &latest {
            Ok((parts, _)) if wanted.is_none() || is_wanted(parts) => None,
            _ => others.into_iter().find(|(parts, _)| is_wanted(parts)),
        };
        let (parts, written) = match exact {
            Some(found) => found,
            None => latest?,
        };
        let exact = is_wanted(&parts);
        let inputs = taken.inputs.into_iter().map(|input| (input.name, input.value)).collect();
        Ok(Made { parts, written, inputs, exact })
    }

    /// The sources of a task's inputs and of the parameters that it reads.
    fn sources(&self, task: TaskId) -> BTreeMap<&str, Wire> {
        let node = self.state.graph().node(task.node);
        let params = &self.arounds[0].manifest.params;
        let wired = |port: &'a InputPort| {
            (port.name.as_str(), wire(self.state, params, &port.source, Some(task)))
        };
        node.inputs.iter().chain(node.params.iter().flatten()).map(wired).collect()
    }

    /// Whether a task has the same inputs as one of another run. Payloads are read only where a part
    /// of one is taken.
    #[must_use]
    pub fn same_inputs(&self, task: TaskId, other: &Recipes<'_>, of_other: TaskId) -> bool {
        let (mine, theirs) = (self.sources(task), other.sources(of_other));
        mine.len() == theirs.len()
            && mine.iter().zip(&theirs).all(|((port, wire), (name, of_other))| {
                port == name && (is_same(wire, of_other) || self.same_values(wire, other, of_other))
            })
    }

    fn same_values(&self, wire: &Wire, other: &Recipes<'_>, of_other: &Wire) -> bool {
        if !takes_part(wire) && !takes_part(of_other) {
            return false;
        }
        let read = |recipes: &Recipes<'_>, wire: &Wire| recipes.arounds[0].values().read(wire).ok();
        let (mine, theirs) = (read(self, wire), read(other, of_other));
        mine.is_some() && mine == theirs
    }
}

/// Whether two wires bring the same, as far as that can be told without reading.
fn is_same(wire: &Wire, other: &Wire) -> bool {
    match (wire, other) {
        (Wire::Absent, Wire::Absent) => true,
        (Wire::Value { value: a, path: x, .. }, Wire::Value { value: b, path: y, .. }) => {
            a == b && x == y
        }
        (Wire::Payload { payload: a, path: x, .. }, Wire::Payload { payload: b, path: y, .. }) => {
            a.digest == b.digest && x == y
        }
        (Wire::List(a), Wire::List(b)) | (Wire::First(a), Wire::First(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        _ => false,
    }
}

/// Whether a wire may bring the same as another one whose digests differ: it takes a part of a
/// payload, or one of several, or a value that stands elsewhere now.
fn takes_part(wire: &Wire) -> bool {
    match wire {
        Wire::Absent => false,
        Wire::Value { .. } | Wire::First(_) => true,
        Wire::Payload { path, .. } => !path.is_empty(),
        Wire::List(all) => all.iter().any(takes_part),
    }
}
