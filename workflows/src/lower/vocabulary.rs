//! Every key of the language, by the place where it may stand: the one table of what is known and
//! of what a later version will know.

use flow_core::schema::CONDITION_KEYS;

/// A kind of table in a workflow file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    File,
    Workflow,
    Param,
    Type,
    Field,
    Defaults,
    Retry,
    Node,
    Output,
    Binding,
    Secret,
    Effect,
    Work,
}

impl Scope {
    /// Every kind of table.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 10] = [
        Self::File,
        Self::Workflow,
        Self::Param,
        Self::Type,
        Self::Field,
        Self::Defaults,
        Self::Retry,
        Self::Node,
        Self::Output,
        Self::Binding,
    ];

    /// The place in a message: "`x` is not a key of …".
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::File => "a workflow file",
            Self::Workflow => "[workflow]",
            Self::Param => "a parameter",
            Self::Type => "a type",
            Self::Field => "a field",
            Self::Defaults => "[defaults]",
            Self::Retry => "`retry`",
            Self::Node => "a node",
            Self::Output => "an output",
            Self::Binding => "a binding",
            Self::Secret => "a secret",
            Self::Effect => "`effect`",
            Self::Work => "a stage in the place of a node's own",
        }
    }

    /// The keys that may stand here.
    pub(crate) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::File => &[
                "workflow", "params", "types", "pools", "rates", "secrets", "tools", "defaults",
                "nodes", "outputs",
            ],
            Self::Workflow => {
                &["name", "description", "max_parallel", "fail_fast", "deadline", "timezone"]
            }
            Self::Param => &PARAM_KEYS,
            Self::Type => &TYPE_KEYS,
            Self::Field => &FIELD_KEYS,
            Self::Defaults => &["timeout", "retry", "cache"],
            Self::Retry => &["attempts", "base", "factor", "max", "jitter", "on"],
            Self::Node => &[
                "stage",
                "with",
                "inputs",
                "outputs",
                "uses",
                "after",
                "when",
                "for_each",
                "key",
                "max_parallel",
                "on_item_failure",
                "min_success",
                "priority",
                "timeout",
                "deadline",
                "retry",
                "pool",
                "rate",
                "cache",
                "effect",
                "optional",
                "fallback",
                "always",
            ],
            Self::Secret => &["env", "file", "optional"],
            Self::Effect => &["idempotent", "probe"],
            Self::Work => &["stage", "with", "timeout"],
            Self::Output => &["type", "path", "from", "format"],
            Self::Binding => &["first"],
        }
    }

    /// The keys of the language that this version does not have yet.
    pub(crate) fn later_keys(self) -> &'static [&'static str] {
        match self {
            Self::File => &["schedule"],
            _ => &[],
        }
    }
}

const CONDITIONS: usize = CONDITION_KEYS.len();
const PARAM_KEYS: [&str; 2 + CONDITIONS] = with_conditions(&["type", "default"]);
const TYPE_KEYS: [&str; 3 + CONDITIONS] = with_conditions(&["fields", "type", "schema"]);
const FIELD_KEYS: [&str; 1 + CONDITIONS] = with_conditions(&["type"]);

/// A table's own keys, and those of all conditions after them.
const fn with_conditions<const N: usize>(own: &[&'static str]) -> [&'static str; N] {
    let mut keys = [""; N];
    let mut at = 0;
    while at < N {
        keys[at] = if at < own.len() { own[at] } else { CONDITION_KEYS[at - own.len()] };
        at += 1;
    }
    keys
}
