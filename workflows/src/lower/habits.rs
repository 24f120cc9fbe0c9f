//! Words that people bring from other tools, and the way each thing is said here.

use flow_core::definition::Span;
use flow_core::diagnostic::Diagnostic;
use flow_core::schema::{CONDITION_KEYS, Severity};
use toml::de::DeValue;

use super::vocabulary::Scope;
use super::{Lower, Value};
use crate::codes;

/// What to write instead of a key of another tool.
pub(super) fn key_help(scope: Scope, key: &str, value: &Value<'_>) -> Option<String> {
    let plain: String =
        key.chars().filter(|c| !matches!(c, '_' | '-')).collect::<String>().to_lowercase();
    let fixed = match scope {
        Scope::File => return file_help(key, &plain),
        Scope::Node => return node_help(&plain, value),
        Scope::Param | Scope::Field | Scope::Type => type_key_help(&plain)?,
        Scope::Retry => match plain.as_str() {
            "count" | "limit" | "retries" | "maxattempts" | "maxretries" | "times" => {
                "write attempts = …; the first try counts"
            }
            "delay" | "interval" | "wait" | "backoff" | "initialdelay" => {
                "write base = \"1s\" for the first wait and factor = 2.0 for its growth"
            }
            "maxdelay" | "maxinterval" | "cap" => "write max = \"60s\"",
            "multiplier" | "exponent" => "write factor = 2.0",
            _ => return None,
        },
        Scope::Binding => match plain.as_str() {
            "type" => {
                "an input has the type of what it is bound to; conditions belong to the output that makes it"
            }
            _ if CONDITION_KEYS.contains(&key) => {
                "conditions belong to a type: declare one, such as [types.Count] type = \"integer\", min = 1, and give it to the output that makes the value"
            }
            "from" | "ref" | "node" | "value" | "default" => {
                "write the reference as text, such as \"NODE.PORT\"; { first = [a, b] } takes the first that is present"
            }
            _ => return None,
        },
        Scope::Output => match plain.as_str() {
            _ if CONDITION_KEYS.contains(&key) => {
                "conditions belong to a type: declare one, such as [types.Count] type = \"integer\", min = 1, and write type = \"Count\" here"
            }
            "stdout" | "stderr" | "stream" => "write from = \"stdout\" or from = \"stderr\"",
            "file" | "glob" | "filename" => "write path = \"…\", relative to the scratch folder",
            "optional" | "required" => {
                "an output that may be absent has a type with `?`, such as \"json?\""
            }
            _ => return None,
        },
        Scope::Secret => match plain.as_str() {
            "value" | "default" => {
                "a value never stands in the file: write env = \"VARIABLE\" or file = \"PATH\""
            }
            "variable" | "envvar" | "fromenv" | "name" => "write env = \"VARIABLE\"",
            "path" | "fromfile" => "write file = \"PATH\"",
            "required" => "a secret is required unless it says optional = true",
            _ => return None,
        },
        Scope::Effect => match plain.as_str() {
            "idempotencykey" | "key" => {
                "the key is made for you: {{ attempt.idempotency_key }}, $FLOW_IDEMPOTENCY_KEY"
            }
            "check" | "verify" | "reconcile" => {
                "write probe = { stage = \"command\", with = { argv = [ … ] } }"
            }
            _ => return None,
        },
        Scope::Work => match plain.as_str() {
            "inputs" | "outputs" | "uses" | "retry" | "after" | "when" => {
                "it has those of its node; only `stage`, `with` and `timeout` are its own"
            }
            _ => return None,
        },
        Scope::Workflow | Scope::Defaults => match plain.as_str() {
            "parallelism" | "concurrency" | "maxworkers" | "workers" => {
                "write max_parallel = … below [workflow]"
            }
            "timeout" => {
                "write deadline = \"2h\" below [workflow] for the whole run, timeout = \"60s\" below [defaults] for each attempt"
            }
            "retries" => "write retry = { attempts = 3 } below [defaults]",
            "title" => "write name = \"…\"",
            _ => return None,
        },
    };
    Some(fixed.to_owned())
}

fn file_help(key: &str, plain: &str) -> Option<String> {
    if Scope::Workflow.keys().contains(&key) {
        return Some(format!("write `{key}` below [workflow]"));
    }
    let fixed = match plain {
        "steps" | "tasks" | "jobs" | "stages" | "dag" | "pipeline" | "node" | "step" | "task"
        | "job" => "write [nodes.NAME] for each step",
        "parameters" | "vars" | "variables" | "inputs" | "args" | "arguments" => "write [params]",
        "schemas" | "models" | "records" | "definitions" => "write [types.NAME.fields]",
        "env" | "environment" => "write `env` in `with` of each node that needs it",
        "on" | "trigger" | "triggers" | "cron" => {
            "this version has no schedule; start `flow run` from cron or a timer"
        }
        "timeout" | "retry" | "retries" => "write it below [defaults]",
        "results" | "returns" => "write [outputs]",
        "version" | "apiversion" | "kind" | "metadata" | "spec" => {
            "leave it out: a file begins with [workflow] and its name"
        }
        _ if Scope::Node.keys().contains(&key) => {
            return Some(format!("`{key}` belongs to a node: write it below [nodes.NAME]"));
        }
        _ => return None,
    };
    Some(fixed.to_owned())
}

fn node_help(plain: &str, value: &Value<'_>) -> Option<String> {
    let fixed = match plain {
        "depends" | "needs" | "dependencies" | "dependson" | "requires" | "upstream" | "deps"
        | "runafter" | "prerequisites" | "trigger" => {
            return Some(format!(
                "write after = [{}] for order alone, or bind the other node's output under `inputs`",
                names(value)
            ));
        }
        "withitems" | "foreach" | "matrix" | "withparam" | "loop" | "each" | "map" | "items"
        | "scatter" | "expand" => {
            "write for_each = \"NODE.PORT\": one item for each element of that list"
        }
        "run" | "cmd" | "command" | "script" | "args" | "argv" | "shell" | "exec"
        | "entrypoint" | "bash" | "bashcommand" | "steps" | "recipe" | "commands" => {
            "write stage = \"command\" and with = { argv = [\"program\", \"argument\"] } or with = { shell = \"…\" }"
        }
        "image" | "container" | "docker" => {
            "there are no containers here; call one yourself: with = { argv = [\"docker\", \"run\", …] }"
        }
        "retries" | "maxretries" | "retrycount" | "retrylimit" | "retrystrategy"
        | "retrypolicy" | "attempts" => {
            return Some(match value.get_ref() {
                DeValue::Integer(n) => {
                    let attempts = n.as_str().parse::<i64>().unwrap_or(2).saturating_add(1);
                    format!("write retry = {{ attempts = {attempts} }}; the first try counts")
                }
                _ => "write retry = { attempts = 3 }; the first try counts".into(),
            });
        }
        "env" | "environment" => {
            "write it in `with`: with = { argv = [ … ], env = { NAME = \"value\" } }"
        }
        "input" => {
            "write inputs = { PORT = \"NODE.PORT\" }; files beside this one come by uses = [ … ]"
        }
        "threads" | "cores" | "resources" | "cpus" => {
            "a pool limits how many run at once: [pools] big = 1, and pool = \"big\" here"
        }
        "stdin" | "idletimeout" | "url" | "method" | "headers" | "body" | "filter" | "value"
        | "file" | "message" | "params" | "config" | "options" | "arguments" | "parameters"
        | "settings" => "settings of a stage stand in `with`: with = { … }",
        "if" | "condition" | "cond" | "onlyif" | "precondition" | "preconditions" => {
            "write when = \"…\": an expression, the node is skipped if it is false"
        }
        "unless" => "write when = \"not (…)\"",
        "continueonerror" | "continueon" | "allowfailure" | "ignoreerrors" | "softfail" => {
            "branches that do not depend on a failure go on by themselves; for items write on_item_failure = \"drop\""
        }
        "type" | "kind" | "operator" | "plugin" | "action" | "executor" => {
            "write stage = \"…\"; `flow stages` lists them"
        }
        "parallelism" | "concurrency" | "maxconcurrency" | "parallel" => "write max_parallel = …",
        "returns" | "produces" | "output" | "artifacts" => "write outputs = { PORT = \"type\" }",
        "timeoutseconds" | "timelimit" | "timeoutsec" | "timeoutminutes" | "executiontimeout" => {
            "write timeout = \"60s\""
        }
        "workingdir" | "cwd" | "workdir" | "dir" => {
            "a command works in a scratch folder of its own; files come by `uses` and `inputs`, and {{ workflow.dir }} is the folder of this file"
        }
        "name" | "id" => "the name stands in the header: [nodes.NAME]",
        "description" | "doc" | "comment" => "write a comment: # …",
        _ => return None,
    };
    Some(fixed.to_owned())
}

/// The names in a value, as they would stand in a list.
fn names(value: &Value<'_>) -> String {
    let texts: Vec<String> = match value.get_ref() {
        DeValue::String(text) => vec![format!("{text:?}")],
        DeValue::Array(list) => {
            list.iter().filter_map(|v| v.get_ref().as_str()).map(|t| format!("{t:?}")).collect()
        }
        _ => Vec::new(),
    };
    if texts.is_empty() { "\"NODE\"".into() } else { texts.join(", ") }
}

fn type_key_help(plain: &str) -> Option<&'static str> {
    Some(match plain {
        "optional" | "required" | "nullable" => {
            "a value that may be absent has a type with `?`, such as \"integer?\""
        }
        "minimum" | "ge" | "gte" => "write min = …",
        "maximum" | "le" | "lte" => "write max = …",
        "exclusiveminimum" | "gt" => "write greater_than = …",
        "exclusivemaximum" | "lt" => "write less_than = …",
        "values" | "choices" | "oneof" | "options" | "const" => "write enum = [ … ]",
        "items" | "element" => "write the type as \"list<T>\"",
        "properties" => "write the fields below [types.NAME.fields]",
        "minlen" | "minitems" => "write min_length = …",
        "maxlen" | "maxitems" => "write max_length = …",
        "regex" | "matches" => "write pattern = '…'",
        "uniqueitems" => "write unique = true",
        "description" | "doc" | "comment" => "write a comment: # …",
        _ => return None,
    })
}

/// What to write instead of a type of another language.
pub(super) fn type_help(text: &str) -> Option<String> {
    // Longer texts are no types of any language, and each level of one is a level of recursion.
    const LONGEST: usize = 100;
    if text.len() > LONGEST {
        return None;
    }
    translated(text.trim()).map(|ours| format!("write \"{ours}\""))
}

fn translated(word: &str) -> Option<String> {
    let or_same = |inner: &str| translated(inner).unwrap_or_else(|| inner.to_owned());
    if let Some(inner) = word.strip_suffix("[]") {
        return Some(format!("list<{}>", or_same(inner)));
    }
    if let Some((outer, inner)) = word.strip_suffix('>').and_then(|open| open.split_once('<')) {
        return match outer {
            "optional" | "Optional" | "Option" => Some(format!("{}?", or_same(inner))),
            "array" | "Array" | "List" | "Vec" | "vec" | "set" => {
                Some(format!("list<{}>", or_same(inner)))
            }
            _ => None,
        };
    }
    if let Some((outer, inner)) = word.strip_suffix(']').and_then(|open| open.split_once('[')) {
        let last = inner.rsplit(',').next().unwrap_or(inner).trim();
        return match outer {
            "list" | "List" | "array" | "Array" | "Sequence" => {
                Some(format!("list<{}>", or_same(inner)))
            }
            "Optional" => Some(format!("{}?", or_same(inner))),
            "dict" | "Dict" | "map" | "Map" => Some(format!("map<{}>", or_same(last))),
            _ => None,
        };
    }
    let ours = match word {
        "str" | "text" | "String" => "string",
        "int" | "int64" | "i64" | "long" | "uint" | "u64" => "integer",
        "float" | "double" | "f64" | "decimal" => "number",
        "bool" | "Boolean" => "boolean",
        "object" | "any" | "dict" | "struct" => "json",
        "path" | "artifact" | "blob" | "bytes" => "file",
        "directory" | "folder" => "dir",
        "date" | "time" | "timestamp" => "datetime",
        "array" | "list" | "vec" => "list<T>",
        "map" => "map<T>",
        _ => return None,
    };
    Some(ours.to_owned())
}

/// What is wrong with a name that is no name, character by character where it is not ASCII.
pub(super) fn name_help(name: &str) -> String {
    let foreign: Vec<String> = name
        .chars()
        .filter(|c| !c.is_ascii())
        .take(3)
        .map(|c| {
            let shown = if c.is_alphanumeric() { format!("`{c}` ") } else { String::new() };
            format!("{shown}(U+{:04X})", u32::from(c))
        })
        .collect();
    if foreign.is_empty() {
        return "choose another name".into();
    }
    format!(
        "{} is not ASCII: two names can look alike and differ; put text for people into descriptions and messages",
        foreign.join(", ")
    )
}

/// The expression inside a text that is one `{{ … }}`, or the text without braces if it has any.
pub(super) fn braced(text: &str) -> Option<String> {
    text.contains("{{").then(|| text.replace("{{", "").replace("}}", "").trim().to_owned())
}

const BLOCK_WORDS: [&str; 14] = [
    "for", "endfor", "if", "elif", "else", "endif", "set", "endset", "macro", "endmacro",
    "include", "raw", "endraw", "block",
];

/// Warns of a template block, which is plain text here.
pub(super) fn block_syntax(cx: &mut Lower, text: &str, span: &Span) {
    let Some(word) = text.split("{%").skip(1).find_map(block_word) else { return };
    let help = match word {
        "for" | "endfor" => {
            "for one task per element use `for_each`; to build text or a list use a node of stage `jq`"
        }
        "if" | "elif" | "else" | "endif" => "use `when` on a node, or {{ a if condition else b }}",
        _ => "only {{ }} is special; build longer values in a node of stage `jq`",
    };
    let fault = Diagnostic::error(
        codes::BLOCK_SYNTAX,
        span.clone(),
        format!("`{{% {word} %}}` is plain text here"),
    )
    .help(help);
    cx.fault(Diagnostic { severity: Severity::Warning, ..fault });
}

fn block_word(after: &str) -> Option<&'static str> {
    let rest = after.trim_start_matches(['-', '+']).trim_start();
    let word = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    BLOCK_WORDS.into_iter().find(|known| *known == word)
}
