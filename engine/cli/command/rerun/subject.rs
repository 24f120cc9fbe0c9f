//! What a trial runs: the recorded node, or one with other values or as the file has it now.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::definition::Definition;
use flow_core::diagnostic::nearest;
use flow_core::graph::{Graph, Node, check};
use flow_core::id::{RunId, TaskId};
use flow_core::run::RunState;
use flow_core::run::manifest::Manifest;
use flow_core::store::Store;
use flow_runtime::{Case, TrialPlan};
use serde_json::{Map, Value};

use crate::args::RerunArgs;
use crate::failure::{Failure, Faults};
use crate::history::History;
use crate::prepare::{self, ParamFault, Update, output_value};
use crate::session::Session;
use crate::target;

/// One task, with all that it goes by.
pub(in crate::command) struct Subject {
    pub(in crate::command) run: RunId,
    pub(super) manifest: Manifest,
    pub(in crate::command) state: RunState,
    pub(in crate::command) task: TaskId,
    pub(in crate::command) plan: TrialPlan,
}

/// What `--set` says, by what it is about.
#[derive(Default)]
struct Settings<'a> {
    inputs: Vec<(&'a str, &'a str)>,
    with: Vec<(&'a str, &'a str)>,
}

impl Subject {
    /// A task as it is recorded.
    pub(in crate::command) fn recorded(history: &History, task: TaskId) -> Self {
        Self {
            run: history.run().clone(),
            manifest: history.manifest.clone(),
            state: history.state.clone(),
            task,
            plan: TrialPlan::default(),
        }
    }

    /// The task as it is tried.
    pub(in crate::command) fn case<'a>(&'a self, store: &'a Arc<dyn Store>) -> Case<'a> {
        let Self { run, manifest, state, task, plan } = self;
        Case { store, run, manifest, state, task: *task, plan }
    }

    /// Puts together what `args` ask for. Nothing has run yet: every fault is told before.
    ///
    /// # Errors
    /// A file or a value with faults, or a node that is not there.
    pub(super) fn of(
        args: &RerunArgs,
        env: &Session,
        store: &dyn Store,
        history: &History,
        task: TaskId,
    ) -> Result<Self, Failure> {
        let settings = Settings::read(&args.set)?;
        let run = history.run().clone();
        let (mut manifest, mut state) = (history.manifest.clone(), history.state.clone());
        let updates = args.update || args.file.is_some();
        if updates || !settings.with.is_empty() {
            let catalog = env.catalog();
            let records = store.read_run(&run)?;
            let mut definition;
            if updates {
                let recorded = (&history.manifest, state.graph().as_ref());
                let update = Update::read(store, recorded, args.file.as_deref(), &[], &catalog)?;
                (manifest, definition) = (update.manifest, update.workflow.definition);
            } else {
                let (_, text) = flow_runtime::recorded_generation(store, &run, &records)?;
                definition = prepare::recorded_definition(&manifest, &text)?;
            }
            let name = Arc::clone(&state.graph().node(task.node).name);
            let graph = settings.configure(&mut definition, &name, &catalog)?;
            prepare::add_env(&mut manifest, &graph);
            state = flow_runtime::replay(&graph, &manifest, &records);
        }
        let task = match updates {
            true => target::task(&state, target::node(&state, &args.node)?)?,
            false => task,
        };
        if args.adopt {
            refuse_other_ports(env, history, state.graph().node(task.node))?;
        }
        let inputs = settings.inputs(store, state.graph().node(task.node))?;
        let plan = TrialPlan { inputs, keep: args.keep, ..TrialPlan::default() };
        Ok(Self { run, manifest, state, task, plan })
    }
}

impl<'a> Settings<'a> {
    fn read(set: &'a [(String, String)]) -> Result<Self, Failure> {
        let mut settings = Self::default();
        for (what, value) in set {
            match what.split_once('.') {
                Some(("inputs", port)) => settings.inputs.push((port, value)),
                Some(("with", key)) => settings.with.push((key, value)),
                _ => {
                    return Err(Failure::usage(
                        format!("--set does not know `{what}`"),
                        "write --set inputs.PORT=VALUE or --set with.KEY=VALUE",
                    ));
                }
            }
        }
        Ok(settings)
    }

    /// The values for input ports, each of its type.
    fn inputs(&self, store: &dyn Store, node: &Node) -> Result<BTreeMap<String, Value>, Failure> {
        let mut values = BTreeMap::new();
        let mut faults = Vec::new();
        let mut fault = |name: &str, reason: String| {
            faults.push(ParamFault { name: format!("inputs.{name}"), reason });
        };
        for (name, word) in &self.inputs {
            let Some(port) = node.inputs.iter().find(|port| port.name == *name) else {
                let near = nearest(name, node.inputs.iter().map(|port| port.name.as_str()));
                let near = near.map(|near| format!("; did you mean `{near}`?"));
                fault(name, format!("the node has no such input{}", near.unwrap_or_default()));
                continue;
            };
            match output_value(store, &port.ty, word) {
                Ok(value) => {
                    values.insert(port.name.clone(), value);
                }
                Err(reasons) => reasons.into_iter().for_each(|reason| fault(name, reason)),
            }
        }
        if !faults.is_empty() {
            return Err(Failure::Settings(faults));
        }
        // The attempt reads them from there.
        store.settle()?;
        Ok(values)
    }

    /// The graph with other settings of a node. A word is JSON if it can be, and text where text
    /// stood before or where only text will do.
    fn configure(
        &self,
        definition: &mut Definition,
        node: &str,
        catalog: &flow_core::catalog::Catalog,
    ) -> Result<Arc<Graph>, Failure> {
        let original = definition.nodes.get(node).map(|def| def.with.value.clone());
        let mut first = None;
        for as_text in [false, true] {
            if let (Some(def), Some(original)) = (definition.nodes.get_mut(node), &original) {
                def.with.value = original.clone();
                for (key, word) in &self.with {
                    place(&mut def.with.value, key, word, as_text).map_err(|reason| {
                        let name = format!("with.{key}");
                        Failure::Settings(vec![ParamFault { name, reason }])
                    })?;
                }
            }
            match check(definition, catalog) {
                Ok(graph) => return Ok(Arc::new(graph)),
                Err(faults) => first = first.or(Some(faults)),
            }
        }
        let diagnostics = first.unwrap_or_default();
        let source = definition.source.clone();
        Err(Failure::Workflow(Box::new(Faults { diagnostics, source })))
    }
}

/// Puts a value at a path of keys and places, making tables on the way.
fn place(config: &mut Value, path: &str, word: &str, as_text: bool) -> Result<(), String> {
    let mut at = config;
    for key in path.split('.') {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        at = match at {
            Value::Object(map) => map.entry(key).or_insert(Value::Null),
            Value::Array(list) => {
                let count = list.len();
                let place = key.parse::<usize>().ok().and_then(|place| list.get_mut(place));
                place.ok_or_else(|| format!("it has {count} elements, and `{key}` is none"))?
            }
            _ => return Err(format!("there is no `{key}` in it: what holds it is a single value")),
        };
    }
    let is_text = at.as_str().is_some_and(|text| !is_one_expression(text));
    let json = flow_core::json::parse(word.as_bytes()).ok().filter(|_| !is_text && !as_text);
    *at = json.unwrap_or_else(|| Value::String(word.to_owned()));
    Ok(())
}

/// Whether a text is one template alone, and so may have had a value of any type.
fn is_one_expression(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1
}

/// Refuses to adopt outputs that the run's own definition does not know.
fn refuse_other_ports(env: &Session, history: &History, node: &Node) -> Result<(), Failure> {
    let graph = history.state.graph();
    let ports = |node: &Node| -> BTreeMap<String, String> {
        node.outputs.iter().map(|port| (port.name.clone(), port.ty.to_string())).collect()
    };
    let recorded = graph.find(&node.name).map(|id| ports(graph.node(id)));
    if recorded.as_ref() == Some(&ports(node)) {
        return Ok(());
    }
    let command = env.command(&["resume", history.run().as_str(), "--update"]);
    Err(Failure::state(
        format!(
            "the outputs of `{}` are declared otherwise in the run, so it cannot adopt these",
            node.name
        ),
        format!("adopt the whole file: {command}"),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_is_json_unless_text_stood_there() {
        let table = [
            (
                "shell",
                "5",
                json!({ "shell": "5", "n": 1, "argv": ["a", "b"], "x": "{{ inputs.x }}" }),
            ),
            ("n", "5", json!({ "shell": "s", "n": 5, "argv": ["a", "b"], "x": "{{ inputs.x }}" })),
            ("x", "[1]", json!({ "shell": "s", "n": 1, "argv": ["a", "b"], "x": [1] })),
            (
                "argv.1",
                "c",
                json!({ "shell": "s", "n": 1, "argv": ["a", "c"], "x": "{{ inputs.x }}" }),
            ),
            (
                "env.A",
                "yes",
                json!({ "shell": "s", "n": 1, "argv": ["a", "b"], "x": "{{ inputs.x }}", "env": { "A": "yes" } }),
            ),
        ];
        for (path, word, expected) in table {
            let mut config =
                json!({ "shell": "s", "n": 1, "argv": ["a", "b"], "x": "{{ inputs.x }}" });
            place(&mut config, path, word, false).expect("it fits");
            assert_eq!(config, expected, "{path}={word}");
        }
        let mut config = json!({ "argv": ["a"], "n": 1 });
        assert!(place(&mut config, "argv.1", "b", false).is_err());
        assert!(place(&mut config, "n.deep", "b", false).is_err());
    }
}
