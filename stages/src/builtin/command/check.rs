//! What can be known of a `command` before it runs.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use flow_core::schema::Type;
use flow_core::stage::{ConfigFault, Missing, NodeView, OutputFrom, OutputSlot};
use serde_json::Value;

use super::collect::{is_glob, matcher};
use crate::process::{install_hint, is_executable, resolve};

/// Programs whose first argument is a script, with the usual extensions of such scripts.
const INTERPRETERS: [(&str, &[&str]); 9] = [
    ("python", &["py"]),
    ("python3", &["py"]),
    ("bash", &["sh", "bash"]),
    ("sh", &["sh"]),
    ("node", &["js", "mjs", "cjs"]),
    ("Rscript", &["R", "r"]),
    ("perl", &["pl"]),
    ("ruby", &["rb"]),
    ("deno", &["ts", "js"]),
];

/// Faults of the configuration and the declared outputs.
pub(super) fn faults(node: &NodeView<'_>) -> Vec<ConfigFault> {
    let mut faults = program_faults(node);
    faults.extend(node.outputs.iter().filter_map(output_fault));
    faults
}

pub(super) fn fault(
    pointer: &str,
    message: impl Into<String>,
    help: impl Into<String>,
) -> ConfigFault {
    ConfigFault { pointer: pointer.into(), message: message.into(), help: Some(help.into()) }
}

fn program_faults(node: &NodeView<'_>) -> Vec<ConfigFault> {
    let (argv, shell) = (node.config.get("argv"), node.config.get("shell"));
    match (argv, shell) {
        (None, None) => vec![fault(
            "",
            "a `command` needs `argv` or `shell`",
            r#"say what to run: with = { argv = ["program", "argument"] }"#,
        )],
        (Some(_), Some(_)) => {
            vec![fault("/shell", "`argv` and `shell` exclude each other", "leave one of them out")]
        }
        (None, Some(shell)) if shell.as_str().is_some_and(|s| s.trim().is_empty()) => {
            vec![fault("/shell", "`shell` is empty", "write the command to run")]
        }
        (None, Some(_)) => Vec::new(),
        (Some(argv), None) => argv_faults(node, argv),
    }
}

fn argv_faults(node: &NodeView<'_>, argv: &Value) -> Vec<ConfigFault> {
    let Some(argv) = argv.as_array() else { return Vec::new() };
    let empty = argv.first().is_none_or(|first| first.as_str().is_some_and(str::is_empty));
    if empty {
        let help = r#"name a program first: argv = ["program", "argument"]"#;
        return vec![fault("/argv", "`argv` names no program", help)];
    }
    script_fault(node, argv).into_iter().collect()
}

/// A script beside the workflow file that the scratch folder will not have.
fn script_fault(node: &NodeView<'_>, argv: &[Value]) -> Option<ConfigFault> {
    let program = Path::new(argv.first()?.as_str()?).file_name()?.to_str()?;
    let script = argv.get(1)?.as_str()?;
    let (_, extensions) = INTERPRETERS.iter().find(|(name, _)| *name == program)?;
    let path = Path::new(script);
    let extension = path.extension().and_then(OsStr::to_str)?;
    let plain = path.is_relative() && !is_template(script) && !script.starts_with('-');
    if !plain || !extensions.contains(&extension) || is_brought(node, path) {
        return None;
    }
    let name = script.trim_start_matches("./");
    Some(fault(
        "/argv/1",
        format!("`{script}` will not be in the scratch folder that `{program}` starts in"),
        format!("bring it there: uses = [\"{name}\"]"),
    ))
}

/// Whether a path of the scratch folder comes from `uses` or an input.
pub(super) fn is_brought(node: &NodeView<'_>, path: &Path) -> bool {
    let plain: PathBuf = path.components().filter(|c| *c != Component::CurDir).collect();
    let used = |used: &String| {
        let used: PathBuf =
            Path::new(used).components().filter(|c| *c != Component::CurDir).collect();
        plain.starts_with(used)
    };
    plain.starts_with("inputs") || node.uses.iter().any(used)
}

pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{")
}

fn output_fault(slot: &OutputSlot) -> Option<ConfigFault> {
    let name = &slot.name;
    if slot.json_lines && !matches!(slot.ty.inner(), Type::List(_) | Type::Json) {
        return Some(fault(
            "",
            format!(
                "output `{name}` is read as JSON Lines, which are a list, but it is a {}",
                slot.ty
            ),
            format!("declare `list<{}>`", slot.ty),
        ));
    }
    let OutputFrom::Path(path) = &slot.from else { return None };
    let inside = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if path.is_empty() || !inside {
        return Some(fault(
            "",
            format!("the path `{path}` of output `{name}` is not inside the scratch folder"),
            "a program writes below its working folder: give a relative path without `..`",
        ));
    }
    if is_glob(path) && matcher(path).is_none() {
        return Some(fault(
            "",
            format!("the path `{path}` of output `{name}` is no pattern that can be read"),
            "use `*` and `?` within a folder, `**` for any folders, `[a-z]` for a set",
        ));
    }
    None
}

/// Programs that the machine lacks.
pub(super) fn missing(node: &NodeView<'_>) -> Vec<Missing> {
    let program = match (node.config.get("argv"), node.config.get("shell")) {
        (Some(argv), _) => argv.get(0).and_then(Value::as_str),
        (None, Some(_)) => Some("/bin/sh"),
        (None, None) => None,
    };
    program
        .filter(|program| !is_template(program))
        .and_then(|p| missing_program(node, p))
        .into_iter()
        .collect()
}

fn missing_program(node: &NodeView<'_>, program: &str) -> Option<Missing> {
    let named = node.tools.get(program).map_or(program, String::as_str);
    if named.contains('/') {
        let path = node.workflow_dir.join(named.trim_start_matches("./"));
        return missing_file(&path).map(|fix| Missing { what: path.display().to_string(), fix });
    }
    let path = node.config.pointer("/env/PATH").and_then(Value::as_str);
    if path.is_some_and(is_template) || resolve(Path::new(named), path.map(OsStr::new)).is_some() {
        return None;
    }
    Some(Missing { what: named.to_owned(), fix: install_hint(named) })
}

fn missing_file(path: &Path) -> Option<String> {
    if is_executable(path) {
        None
    } else if path.is_file() {
        Some(format!("chmod +x {}", path.display()))
    } else {
        Some("put the program there, or correct `argv` or `[tools]`".to_owned())
    }
}
