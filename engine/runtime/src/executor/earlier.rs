//! What a run made before its definition changed: taken again where the key is the same.

use std::collections::HashMap;

use flow_core::digest::Digest;
use flow_core::error::StageError;
use flow_core::graph::{Graph, Node};
use flow_core::run::decide::Origin;
use flow_core::run::event::{Event, TaskRef};
use flow_core::run::{Outcome, Recorded};

use super::cache::outputs_are_there;
use super::scope::Scopes;
use super::{Assignment, Surroundings, Taken, key_parts, store_error};

/// The tasks of a run that had a result, by its key. Names are not in keys, so a result is found
/// whatever its node or its place in a list was called.
#[derive(Debug, Default)]
pub(crate) struct Earlier(HashMap<Digest, Vec<TaskRef>>);

impl Earlier {
    /// Goes through the records of a run.
    pub(crate) fn of(records: &[Recorded]) -> Self {
        let mut by_key: HashMap<Digest, Vec<TaskRef>> = HashMap::new();
        for recorded in records {
            if let Event::Succeeded { task, key, .. } | Event::Reused { task, key, .. } =
                &recorded.event
            {
                let tasks = by_key.entry(*key).or_default();
                tasks.retain(|known| known != task);
                tasks.push(task.clone());
            }
        }
        Self(by_key)
    }

    /// Tasks whose result with this key may be taken for `task`: first itself, then other items of
    /// its node (an item without a key of its own is known by its place, which an inserted element
    /// changes), then nodes that are gone from the file (one of them was perhaps renamed).
    fn candidates<'a>(
        &'a self,
        graph: &'a Graph,
        task: &'a TaskRef,
        key: &Digest,
    ) -> impl Iterator<Item = &'a TaskRef> {
        let known = self.0.get(key).map_or(&[][..], Vec::as_slice);
        let siblings =
            known.iter().rev().filter(move |other| other.node == task.node && *other != task);
        let gone = known.iter().rev().filter(move |other| graph.find(&other.node).is_none());
        std::iter::once(task).chain(siblings).chain(gone)
    }
}

/// What an assignment's task comes to without any work, if its node was opened again and nothing
/// that it depends on has changed.
pub(super) fn outcome(
    around: &Surroundings,
    node: &Node,
    assignment: &Assignment,
    taken: &Taken<'_>,
    key: &Digest,
) -> Result<Option<Outcome>, Box<StageError>> {
    if !assignment.reuse || assignment.beside || node.always {
        return Ok(None);
    }
    let before = assignment.before.as_deref();
    let failed_before = |key: &Digest| before.is_some_and(|before| before.tried.contains(key));
    let (mut key, mut variant) = (*key, assignment.variant);
    loop {
        if let Some(found) = result(around, assignment, &key)? {
            return Ok(Some(found));
        }
        if variant as usize >= node.fallbacks.len() || !failed_before(&key) {
            break;
        }
        // A fallback that was taken stays taken, as long as what failed before it is the same.
        variant += 1;
        let work = node.variant(variant);
        let symbolic = Scopes::symbolic(around, node, work, assignment, taken);
        key = key_parts(around, node, work, &symbolic, &taken.inputs)?.digest();
    }
    let let_go = before.and_then(|before| before.let_go.as_ref());
    let still = let_go.filter(|(failed, _)| *failed == key);
    Ok(still.map(|(_, error)| Outcome::LetGo { error: Box::new(error.as_ref().clone()) }))
}

/// A result that this run made, with all its bytes.
fn result(
    around: &Surroundings,
    assignment: &Assignment,
    key: &Digest,
) -> Result<Option<Outcome>, Box<StageError>> {
    let store = around.store.as_ref();
    let failed = |e| store_error("look for an earlier result", &e);
    for task in around.earlier.candidates(&around.graph, &assignment.task, key) {
        let found = store.checkpoint(&around.run, task, key).map_err(failed)?;
        let Some(found) = found else { continue };
        if outputs_are_there(store, &found).map_err(failed)? {
            let (outputs, payloads) = (found.outputs, Vec::new());
            return Ok(Some(Outcome::Reused {
                key: *key,
                outputs,
                payloads,
                from: Origin::ThisRun,
            }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use flow_core::run::event::{ItemRef, Outputs};

    use super::*;

    fn item(node: &str, key: &str) -> TaskRef {
        TaskRef { node: node.into(), item: Some(ItemRef { key: key.into(), index: 0 }) }
    }

    fn reused(task: TaskRef, key: Digest) -> Recorded {
        let (outputs, from) = (Outputs::new(), "this run".to_owned());
        let event = Event::Reused { task, key, outputs, from };
        Recorded { seq: None, ts: jiff::Timestamp::UNIX_EPOCH, event }
    }

    #[test]
    fn a_result_is_looked_for_under_its_own_name_first_and_never_under_that_of_another_node() {
        let graph = two_nodes();
        let key = Digest::of(b"key");
        let records: Vec<Recorded> =
            [item("a", "0"), item("a", "1"), item("b", "0"), TaskRef::node("gone")]
                .into_iter()
                .map(|task| reused(task, key))
                .collect();
        let earlier = Earlier::of(&records);
        let own = item("a", "1");
        let asked: Vec<String> =
            earlier.candidates(&graph, &own, &key).map(ToString::to_string).collect();
        assert_eq!(asked, ["a[1]", "a[0]", "gone"]);
        assert_eq!(earlier.candidates(&graph, &own, &Digest::of(b"other")).count(), 1);
    }

    /// A graph with the nodes `a` and `b`.
    fn two_nodes() -> Graph {
        let text = "[workflow]\nname = \"t\"\n[nodes.a]\nstage = \"nothing\"\n[nodes.b]\nstage = \"nothing\"\n";
        let loaded = flow_workflows::parse("t.toml", text, "/".into());
        let catalog = flow_core::catalog::Catalog::new().with(Nothing::new());
        let definition = loaded.definition.expect("a definition");
        flow_core::graph::check(&definition, &catalog).unwrap_or_else(|f| panic!("{f:?}"))
    }

    struct Nothing(flow_core::stage::StageSpec);

    impl Nothing {
        fn new() -> Self {
            use flow_core::stage::{Ports, StageSpec};
            Self(StageSpec {
                name: "nothing",
                version: 1,
                summary: "Does nothing.",
                inputs: Ports::Declared,
                outputs: Ports::Declared,
                config: Vec::new(),
                needs_scratch: false,
                example: "",
            })
        }
    }

    impl flow_core::stage::Stage for Nothing {
        fn spec(&self) -> &flow_core::stage::StageSpec {
            &self.0
        }

        fn run<'a>(
            &'a self,
            _: &'a dyn flow_core::stage::Context,
            _: flow_core::stage::Job,
        ) -> flow_core::stage::BoxFuture<'a, Result<flow_core::stage::Drafts, StageError>> {
            Box::pin(async { Ok(flow_core::stage::Drafts::default()) })
        }
    }
}
