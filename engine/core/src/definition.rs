//! A workflow as it is declared: named, typed where types are written, with the place of every
//! part in its source. Made from TOML or in Rust; checked by [`graph::check`](crate::graph::check()).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;

use crate::policy::{CachePolicy, Rate, RetryOn};
use crate::schema::{Constraint, TypeExpr};
use crate::stage::Stream;

/// A range of bytes in the source.
pub type Span = std::ops::Range<usize>;

/// A value with its place in the source. In a definition built in Rust the place is `0..0`.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Joins a value and its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// A value without a place.
    pub fn bare(value: T) -> Self {
        Self { value, span: 0..0 }
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The stage whose work is another workflow file.
pub const WORKFLOW_STAGE: &str = "workflow";

/// The text that a definition was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, as the user named it.
    pub name: String,
    /// Its whole text.
    pub text: Arc<str>,
    /// The absolute folder of the file: relative paths in the file start here.
    pub dir: PathBuf,
}

/// A whole workflow.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Where it comes from.
    pub source: Source,
    /// Name.
    pub name: Spanned<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Tasks that hold a slot at once; the number of CPUs if absent.
    pub max_parallel: Option<u32>,
    /// Whether the first failure stops everything.
    pub fail_fast: bool,
    /// Time for one invocation of a run.
    pub deadline: Option<Duration>,
    /// Time zone of `run.date`; UTC if absent.
    pub timezone: Option<Spanned<String>>,
    /// Parameters.
    pub params: IndexMap<String, ParamDef>,
    /// Types.
    pub types: IndexMap<String, TypeDef>,
    /// Where programs are, by name.
    pub tools: IndexMap<String, Spanned<String>>,
    /// How many attempts hold a slot at once, over all runs of a store, by pool.
    pub pools: IndexMap<String, Spanned<u32>>,
    /// How many attempts may start in any span, over all runs of a store, by rate.
    pub rates: IndexMap<String, Spanned<Rate>>,
    /// Where secret values come from, by name.
    pub secrets: IndexMap<String, SecretDef>,
    /// Policies of nodes that say nothing.
    pub defaults: Policies,
    /// Nodes, in declared order.
    pub nodes: IndexMap<String, NodeDef>,
    /// Outputs of the whole.
    pub outputs: IndexMap<String, Spanned<Binding>>,
}

impl Definition {
    /// A workflow without anything in it.
    #[must_use]
    pub fn new(source: Source, name: Spanned<String>) -> Self {
        Self {
            source,
            name,
            description: None,
            max_parallel: None,
            fail_fast: false,
            deadline: None,
            timezone: None,
            params: IndexMap::new(),
            types: IndexMap::new(),
            tools: IndexMap::new(),
            pools: IndexMap::new(),
            rates: IndexMap::new(),
            secrets: IndexMap::new(),
            defaults: Policies::default(),
            nodes: IndexMap::new(),
            outputs: IndexMap::new(),
        }
    }
}

/// A parameter.
#[derive(Debug, Clone)]
pub struct ParamDef {
    /// Place of the name.
    pub span: Span,
    /// Its type with its conditions.
    pub ty: FieldDef,
    /// Value if none is given.
    pub default: Option<Spanned<Value>>,
}

/// A type with conditions, as it is written.
#[derive(Debug, Clone)]
pub struct FieldDef {
    /// The type.
    pub ty: Spanned<TypeExpr>,
    /// The conditions, each with its place.
    pub constraints: Vec<Spanned<Constraint>>,
}

/// An entry of `[types]`.
#[derive(Debug, Clone)]
pub enum TypeDef {
    /// A record with fields.
    Record {
        /// Place of the name.
        span: Span,
        /// Fields in declared order.
        fields: IndexMap<String, FieldDef>,
    },
    /// A type with conditions under a name.
    Alias {
        /// Place of the name.
        span: Span,
        /// The type.
        ty: FieldDef,
    },
    /// A JSON Schema file.
    Schema {
        /// Place of the name.
        span: Span,
        /// The file, relative to the workflow file.
        path: Spanned<String>,
        /// The text of the file.
        text: Arc<str>,
    },
}

impl TypeDef {
    /// Place of the name.
    #[must_use]
    pub fn span(&self) -> &Span {
        match self {
            Self::Record { span, .. } | Self::Alias { span, .. } | Self::Schema { span, .. } => {
                span
            }
        }
    }
}

/// Policies, each absent where the next level decides.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// Time for one attempt.
    pub timeout: Option<Duration>,
    /// Retry, field by field.
    pub retry: RetryDef,
    /// Reuse of results across runs.
    pub cache: Option<Spanned<CachePolicy>>,
}

/// A secret: a value that is never stored, logged or hashed.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretDef {
    /// Place of the name.
    pub span: Span,
    /// Where the value is.
    pub from: SecretSource,
    /// Whether it may be absent.
    pub optional: bool,
}

/// Where the value of a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a variable of the environment.
    Env(String),
    /// In a file, relative to the workflow file; one line end at its end is not part of it.
    File(String),
}

/// `retry`, as far as it is written; a node's fields win over the defaults' ones.
#[derive(Debug, Clone, Default)]
pub struct RetryDef {
    /// Attempts in all.
    pub attempts: Option<u32>,
    /// Wait before the second attempt.
    pub base: Option<Duration>,
    /// Growth.
    pub factor: Option<f64>,
    /// Longest wait.
    pub max: Option<Duration>,
    /// Whether to jitter.
    pub jitter: Option<bool>,
    /// Which failures.
    pub on: Option<Vec<RetryOn>>,
}

/// A node.
#[derive(Debug, Clone)]
pub struct NodeDef {
    /// Place of the name.
    pub span: Span,
    /// The stage it runs.
    pub stage: Spanned<String>,
    /// `with`, as JSON with templates unrendered.
    pub with: Config,
    /// Bindings of input ports.
    pub inputs: IndexMap<String, Spanned<Binding>>,
    /// Declared outputs.
    pub outputs: IndexMap<String, OutputDef>,
    /// Files and folders for the scratch folder, relative to the workflow file.
    pub uses: Vec<Spanned<String>>,
    /// Nodes that must end first.
    pub after: Vec<Spanned<String>>,
    /// Condition.
    pub when: Option<Spanned<String>>,
    /// The list it runs an item for each element of.
    pub for_each: Option<Spanned<String>>,
    /// Template of an item's key.
    pub key: Option<Spanned<String>>,
    /// Items that hold a slot at once.
    pub max_parallel: Option<u32>,
    /// What an item's failure does.
    pub on_item_failure: OnItemFailure,
    /// Least share of items that must succeed, in [0, 1].
    pub min_success: Option<f64>,
    /// Order among ready tasks: higher first.
    pub priority: i64,
    /// Policies of this node.
    pub policies: Policies,
    /// Time for all attempts and waits in one invocation.
    pub deadline: Option<Duration>,
    /// The pool whose slot an attempt holds.
    pub pool: Option<Spanned<String>>,
    /// The rate that its starts count against.
    pub rate: Option<Spanned<String>>,
    /// Whether its failure leaves its outputs absent instead of failing the run.
    pub optional: bool,
    /// Whether it runs at the end of each invocation, whatever happened; place of the key.
    pub always: Option<Span>,
    /// What it does to the outside world, if anything.
    pub effect: Option<EffectDef>,
    /// Other work in turn, when retries are exhausted.
    pub fallback: Vec<WorkDef>,
    /// The workflow that is its work, if its stage is [`WORKFLOW_STAGE`].
    pub child: Option<ChildDef>,
}

/// A workflow file inside another one.
#[derive(Debug, Clone)]
pub struct ChildDef {
    /// What the file says.
    pub definition: Arc<Definition>,
    /// The folder of the file, relative to the folder of the one that names it; empty if they lie
    /// side by side.
    pub folder: String,
}

impl NodeDef {
    /// A node that runs a stage, with nothing bound and no policy of its own.
    #[must_use]
    pub fn new(stage: Spanned<String>) -> Self {
        Self {
            span: 0..0,
            stage,
            with: Config::default(),
            inputs: IndexMap::new(),
            outputs: IndexMap::new(),
            uses: Vec::new(),
            after: Vec::new(),
            when: None,
            for_each: None,
            key: None,
            max_parallel: None,
            on_item_failure: OnItemFailure::default(),
            min_success: None,
            priority: 0,
            policies: Policies::default(),
            deadline: None,
            pool: None,
            rate: None,
            optional: false,
            always: None,
            effect: None,
            fallback: Vec::new(),
            child: None,
        }
    }
}

/// A stage with its settings, in the place of a node's own: a fallback, or the probe of an effect.
#[derive(Debug, Clone)]
pub struct WorkDef {
    /// Its place.
    pub span: Span,
    /// The stage.
    pub stage: Spanned<String>,
    /// Its settings.
    pub with: Config,
    /// Time for one attempt; the node's own if absent.
    pub timeout: Option<Duration>,
}

/// How a node acts on the outside world.
#[derive(Debug, Clone)]
pub struct EffectDef {
    /// Its place.
    pub span: Span,
    /// Whether doing it twice with one idempotency key is doing it once.
    pub idempotent: bool,
    /// What finds out whether it happened.
    pub probe: Option<WorkDef>,
}

/// What a fanned-out node does when an item fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnItemFailure {
    /// The node fails.
    #[default]
    Fail,
    /// The item is left out.
    Drop,
}

/// `with` and where each part of it stands.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The whole table; null if there is none.
    pub value: Value,
    /// Place of the value at each JSON pointer.
    pub spans: BTreeMap<String, Span>,
    /// Place of each key, by the pointer of its value.
    pub key_spans: BTreeMap<String, Span>,
}

/// A declared output.
#[derive(Debug, Clone)]
pub struct OutputDef {
    /// Place of the name.
    pub span: Span,
    /// Its type.
    pub ty: Spanned<TypeExpr>,
    /// Path or glob in the scratch folder.
    pub path: Option<Spanned<String>>,
    /// Captured stream that it is taken from.
    pub from: Option<Spanned<Stream>>,
    /// Whether it is JSON Lines.
    pub json_lines: bool,
}

/// What an input or workflow output is bound to, as it is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Binding {
    /// `NODE.PORT.FIELD?`, `NODE[item].PORT`, `item.FIELD` or `params.X`.
    Ref(String),
    /// The first of these that is present.
    First(Vec<Spanned<String>>),
    /// All of these as a list.
    List(Vec<Spanned<String>>),
}
