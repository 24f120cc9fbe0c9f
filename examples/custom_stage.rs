//! A stage of one's own in Rust: typed by serde structs, named in a workflow beside the built-in
//! stages, run by the engine on a store, and tested without either.
//!
//! Write one when a step needs more than a program with files in and out: a client library, shared
//! state, or types that the compiler checks.
//!
//!     cargo run --example custom_stage
//!     cargo test --example custom_stage

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;

use flow_core::catalog::Catalog;
use flow_core::error::{ErrorClass, StageError};
use flow_core::graph::{Graph, check};
use flow_core::id::RunId;
use flow_core::run::Ending;
use flow_core::run::event::RunEnd;
use flow_core::run::manifest::Manifest;
use flow_core::schema::{JsonSchema, Type};
use flow_core::stage::{
    BoxFuture, Context, Draft, Drafts, FieldKind, FieldSpec, Job, PortSpec, Ports, Progress, Stage,
    StageSpec,
};
use flow_core::store::Store;
use flow_runtime::{Runner, SystemClock};
use flow_stages::process::Spawner;
use flow_store::MemoryStore;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What comes in.
#[derive(Debug, Deserialize, Serialize, schemars::JsonSchema)]
struct Game {
    home: String,
    away: String,
    /// Points of the home team and of the guests.
    score: (u32, u32),
}

/// What goes out.
#[derive(Debug, Deserialize, Serialize, schemars::JsonSchema, PartialEq)]
struct Headline {
    #[schemars(length(min = 1, max = 80))]
    text: String,
    winner: Option<String>,
}

/// What `with` may say.
#[derive(Debug, Deserialize)]
struct Settings {
    verb: String,
}

/// The type of a port, from the struct that the stage reads: whatever crosses an edge is held to
/// it by the engine, so that the stage need not check its input again.
fn ty<T: schemars::JsonSchema>(name: &str) -> Type {
    let schema = schemars::schema_for!(T).to_value().to_string();
    Type::Schema(Arc::new(JsonSchema::compile(name, &schema).expect("schemars writes schemas")))
}

/// Writes the headline of a game, and a page with it.
struct HeadlineStage(StageSpec);

impl HeadlineStage {
    fn new() -> Self {
        let port = |name: &str, ty, doc| PortSpec {
            name: name.into(),
            ty,
            optional: false,
            retypable: false,
            doc,
        };
        Self(StageSpec {
            name: "sports.headline",
            // Raised when the same game gives another headline: results are then made anew.
            version: 1,
            summary: "Writes the headline of a game.",
            inputs: Ports::Fixed(vec![port("game", ty::<Game>("Game"), "The game.")]),
            outputs: Ports::Fixed(vec![
                port("headline", ty::<Headline>("Headline"), "Its headline."),
                port("page", Type::File(None), "The headline as a page of text."),
            ]),
            config: vec![FieldSpec {
                name: "verb",
                kind: FieldKind::Text,
                optional: false,
                doc: "What the winner does to the loser, such as `beat`.",
            }],
            // The page is written into a folder of the attempt.
            needs_scratch: true,
            example: "[nodes.headline]\nstage  = \"sports.headline\"\ninputs = { game = \"fetch.game\" }\nwith   = { verb = \"beat\" }\n",
        })
    }
}

impl Stage for HeadlineStage {
    fn spec(&self) -> &StageSpec {
        &self.0
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let game: Game = read("game", job.inputs.get("game"))?;
            let settings: Settings = read("with", Some(&job.config))?;
            context.progress(Progress {
                done: 1.0,
                total: Some(2.0),
                unit: "texts",
                message: "writing the headline".into(),
            });
            let headline = headline(&game, &settings);
            let page = context.scratch().join("page.txt");
            std::fs::write(&page, format!("{}\n", headline.text))
                .map_err(|error| StageError::from_io("write the page", &error))?;
            let headline = serde_json::to_value(headline).map_err(|error| {
                StageError::new(ErrorClass::Validation, "write the headline", error.to_string())
            })?;
            // Drafts: the gate holds them to the types of the ports, and stores them.
            Ok(Drafts::from([
                ("headline".to_owned(), Draft::Value(headline)),
                ("page".to_owned(), Draft::Path(page)),
            ]))
        })
    }
}

/// Reads what the engine hands over. It was held to its type, so a failure here is a bug.
fn read<T: DeserializeOwned>(what: &str, value: Option<&Value>) -> Result<T, StageError> {
    serde_json::from_value(value.cloned().unwrap_or_default()).map_err(|error| {
        StageError::new(ErrorClass::Validation, format!("read {what}"), error.to_string())
    })
}

fn headline(game: &Game, settings: &Settings) -> Headline {
    let Game { home, away, score: (own, other) } = game;
    let verb = &settings.verb;
    if own == other {
        return Headline { text: format!("{home} and {away} share the points"), winner: None };
    }
    let (winner, loser) = if own > other { (home, away) } else { (away, home) };
    let (most, least) = (own.max(other), own.min(other));
    let text = format!("{winner} {verb} {loser} {most}:{least}");
    Headline { text, winner: Some(winner.clone()) }
}

/// A workflow that uses it beside the built-in stages.
const WORKFLOW: &str = r#"
[workflow]
name = "headlines"

[nodes.games]
stage   = "value"
with    = { value = [
    { home = "Bills", away = "Dolphins", score = [31, 10] },
    { home = "Jets", away = "Giants", score = [7, 7] },
] }
outputs = { games = "list<Game>" }

[nodes.headline]
stage    = "sports.headline"
for_each = "games.games"
inputs   = { game = "item" }
with     = { verb = "beat" }

[outputs]
texts = "headline.headline.text"
pages = "headline.page"
"#;

/// All stages that workflows of this program may name.
fn catalog() -> Catalog {
    flow_stages::catalog(Spawner::new())
        .with(HeadlineStage::new())
        .with_type("Game", ty::<Game>("Game"))
        .with_type("Headline", ty::<Headline>("Headline"))
}

/// The checked graph, or all faults as text.
fn graph() -> Result<Arc<Graph>, Box<dyn Error>> {
    let loaded = flow_workflows::parse("headlines.toml", WORKFLOW, std::env::current_dir()?);
    let definition = loaded.definition.as_ref().filter(|_| loaded.diagnostics.is_empty());
    let definition = definition.ok_or_else(|| format!("{:?}", loaded.diagnostics))?;
    Ok(Arc::new(check(definition, &catalog()).map_err(|faults| format!("{faults:?}"))?))
}

/// Runs the workflow, and gives what `[outputs]` names.
fn run(store: Arc<dyn Store>) -> Result<BTreeMap<String, Value>, Box<dyn Error>> {
    let graph = graph()?;
    let path = std::env::current_dir()?.join("headlines.toml");
    let manifest = Manifest { max_parallel: 2, ..Manifest::new(path, WORKFLOW, Timestamp::now()) };
    let id = RunId::new("example")?;
    let opened =
        flow_runtime::start(&store, id.clone(), Arc::clone(&graph), manifest.clone(), WORKFLOW)?;
    let clock = Arc::new(SystemClock::start());
    let runner = Runner { store: Arc::clone(&store), clock };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The sending side is how a program would interrupt the run.
    let (_keep, control) = tokio::sync::mpsc::unbounded_channel();
    let ending = runtime.block_on(runner.drive(opened, Vec::new(), control))?;
    if !matches!(ending, Ending::Finished(RunEnd::Succeeded)) {
        return Err(format!("the run ended with {ending:?}").into());
    }
    let state = flow_runtime::replay(&graph, &manifest, &store.read_run(&id)?);
    let value = |source| {
        let wire = flow_runtime::wiring::wire(&state, &manifest.params, source, None);
        flow_runtime::value_at(store.as_ref(), &id, &wire).map_err(|fault| format!("{fault:?}"))
    };
    let outputs = graph.outputs().iter();
    Ok(outputs
        .map(|(name, output)| Ok((name.clone(), value(&output.source)?)))
        .collect::<Result<_, String>>()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    // Programs are started by a helper process, which is this program once more.
    flow_stages::process::serve_if_spawner();
    // A store in memory is enough here; `flow_store::DiskStore` is what `flow` itself uses.
    for (name, value) in run(Arc::new(MemoryStore::new()?))? {
        writeln!(std::io::stdout(), "{name}: {value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use flow_core::stage::CancelReason;
    use flow_runtime::testing::{StageTest, Tested};
    use serde_json::json;

    use super::*;

    fn tested(game: Value) -> Result<Tested, Box<StageError>> {
        let store = Arc::new(MemoryStore::new().expect("a store"));
        StageTest::new(HeadlineStage::new())
            .with(json!({ "verb": "{{ 'beat' }}" }))
            .input("game", game)
            .run(store)
    }

    #[test]
    fn a_headline_names_the_winner_and_is_written_to_a_page() {
        let game = json!({ "home": "Bills", "away": "Dolphins", "score": [10, 31] });
        let done = tested(game).expect("a headline");
        let headline = json!({ "text": "Dolphins beat Bills 31:10", "winner": "Dolphins" });
        assert_eq!(done.outputs["headline"], headline);
        assert_eq!(done.outputs["page"]["media_type"], "text/plain");
        assert_eq!(done.bytes("page").expect("a page"), b"Dolphins beat Bills 31:10\n");
        assert_eq!(done.progress.len(), 1);
    }

    #[test]
    fn an_input_that_is_no_game_never_reaches_the_stage() {
        let error =
            tested(json!({ "home": "Bills", "away": 7, "score": [1, 2] })).expect_err("a fault");
        assert_eq!(error.class, ErrorClass::Validation);
        assert_eq!(
            (error.port.as_deref(), error.pointer.as_deref()),
            (Some("game"), Some("/away"))
        );
        assert_eq!(error.expected.as_deref(), Some("a string"));
    }

    #[test]
    fn an_output_that_breaks_its_type_fails_the_stage() {
        let game = json!({ "home": "B".repeat(90), "away": "Dolphins", "score": [1, 2] });
        let error = tested(game).expect_err("a fault");
        assert_eq!(error.pointer.as_deref(), Some("/text"));
        assert_eq!(error.expected.as_deref(), Some("a length of at most 80"));
    }

    #[test]
    fn settings_that_are_missing_are_refused_before_the_stage_runs() {
        let store = Arc::new(MemoryStore::new().expect("a store"));
        let test = StageTest::new(HeadlineStage::new())
            .input("game", json!({ "home": "A", "away": "B", "score": [1, 1] }));
        let error = test.run(store).expect_err("a fault");
        assert!(error.message.contains("with.verb"), "{error:?}");
    }

    #[test]
    fn a_stage_that_is_told_to_stop_is_cancelled() {
        let store = Arc::new(MemoryStore::new().expect("a store"));
        let test = StageTest::new(Waiting::new()).attempt(2);
        let error =
            test.cancelled_on_progress(CancelReason::Interrupted).run(store).expect_err("a stop");
        assert_eq!((error.class, error.attempt), (ErrorClass::Cancelled, 2));
    }

    #[test]
    fn the_workflow_runs_with_the_stage_in_it() {
        let outputs = run(Arc::new(MemoryStore::new().expect("a store"))).expect("a run");
        let texts = json!(["Bills beat Dolphins 31:10", "Jets and Giants share the points"]);
        assert_eq!(outputs["texts"], texts);
        assert_eq!(outputs["pages"][1]["name"], "page.txt");
    }

    /// Works until it is told to stop.
    struct Waiting(StageSpec);

    impl Waiting {
        fn new() -> Self {
            let spec = HeadlineStage::new().0;
            let (inputs, outputs) = (Ports::Declared, Ports::Fixed(Vec::new()));
            Self(StageSpec { name: "waiting", inputs, outputs, config: Vec::new(), ..spec })
        }
    }

    impl Stage for Waiting {
        fn spec(&self) -> &StageSpec {
            &self.0
        }

        fn run<'a>(
            &'a self,
            context: &'a dyn Context,
            _job: Job,
        ) -> BoxFuture<'a, Result<Drafts, StageError>> {
            Box::pin(async move {
                let message = format!("attempt {}", context.attempt());
                context.progress(Progress { done: 0.0, total: None, unit: "", message });
                context.cancelled().await;
                Err(StageError::new(ErrorClass::Cancelled, "wait", "told to stop"))
            })
        }
    }
}
