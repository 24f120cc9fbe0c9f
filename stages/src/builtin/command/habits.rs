//! What people write by the habit of a shell or of another tool, and what does not mean that here:
//! told as warnings, since a program may want exactly these words.

use std::path::Path;

use flow_core::stage::{ConfigFault, NodeView};
use serde_json::Value;

use super::check::{fault, is_brought, is_template};

/// Words that a shell takes for itself.
const OPERATORS: [&str; 14] =
    ["|", "||", "&&", "&", ">", ">>", "<", "<<", "2>", "2>>", "2>&1", "&>", "1>&2", ">&2"];

/// Commands that are no programs.
const BUILT_INS: [&str; 8] = ["cd", "export", "source", "alias", "set", "unset", "ulimit", "eval"];

/// Programs with a language of their own in their arguments, in which these words have a meaning.
const LANGUAGES: [&str; 22] = [
    "sh", "bash", "dash", "zsh", "fish", "awk", "gawk", "mawk", "sed", "jq", "perl", "python",
    "python3", "node", "ruby", "php", "find", "expr", "test", "[", "rg", "grep",
];

/// What is in scope of templates and is often written with one brace.
const SCOPES: [&str; 5] = ["params", "inputs", "item", "outputs", "secrets"];

/// What of a node hardly means what was meant.
pub(super) fn remarks(node: &NodeView<'_>) -> Vec<ConfigFault> {
    let mut remarks = Vec::new();
    if let Some(argv) = node.config.get("argv").and_then(Value::as_array) {
        remarks.extend(program(argv));
        remarks.extend(words(node, argv));
        let texts = argv.iter().enumerate().skip(1);
        remarks.extend(
            texts.filter_map(|(at, word)| beside(node, word.as_str()?, &format!("/argv/{at}"))),
        );
    }
    if let Some(shell) = node.config.get("shell").and_then(Value::as_str) {
        let variable = || own_variable(node, shell, "/shell");
        remarks.extend(braces(shell, "/shell").or_else(variable));
        remarks.extend(read_beside(node, shell));
    }
    let env = node.config.get("env").and_then(Value::as_object);
    for (name, value) in env.into_iter().flatten() {
        let pointer = format!("/env/{name}");
        remarks.extend(value.as_str().and_then(|text| braces(text, &pointer)));
    }
    remarks
}

/// A word that names a file beside the workflow file, which a program in its scratch folder will not
/// find.
fn beside(node: &NodeView<'_>, word: &str, pointer: &str) -> Option<ConfigFault> {
    let path = Path::new(word);
    let is_path = word.contains(['.', '/']) && path.is_relative() && !is_template(word);
    if !is_path || is_brought(node, path) || !node.workflow_dir.join(path).is_file() {
        return None;
    }
    Some(fault(
        pointer,
        format!(
            "`{word}` is beside the workflow file, and not in the scratch folder of the program"
        ),
        format!("bring it there: uses = [\"{}\"]", word.trim_start_matches("./")),
    ))
}

/// The first such word in the text of a shell, unless the shell goes elsewhere or writes it.
fn read_beside(node: &NodeView<'_>, shell: &str) -> Option<ConfigFault> {
    let words: Vec<&str> = shell.split([' ', '\t', '\n', ';', '|', '&', '(', ')']).collect();
    if words.contains(&"cd") {
        return None;
    }
    let pairs = words.iter().zip(std::iter::once(&"").chain(&words));
    let read = pairs.filter(|(_, before)| !before.ends_with('>'));
    read.map(|(word, _)| word.trim_matches(['"', '\'', '<']))
        .find_map(|word| beside(node, word, "/shell"))
}

/// A first element that is no program.
fn program(argv: &[Value]) -> Option<ConfigFault> {
    let first = argv.first()?.as_str()?;
    if BUILT_INS.contains(&first) {
        let message = format!("`{first}` is a word of the shell, and no program");
        return Some(fault("/argv/0", message, "use `shell` in the place of `argv`"));
    }
    let several = first.split_whitespace().count() > 1;
    if !several || is_template(first) || first.contains('/') {
        return None;
    }
    let parts: Vec<String> = first.split_whitespace().map(|word| format!("{word:?}")).collect();
    Some(fault(
        "/argv/0",
        format!("the program is called `{first}` here, spaces and all"),
        format!("give each argument by itself: argv = [{}], or use `shell`", parts.join(", ")),
    ))
}

/// The first argument that only a shell would understand.
fn words(node: &NodeView<'_>, argv: &[Value]) -> Option<ConfigFault> {
    let program = Path::new(argv.first()?.as_str()?).file_name()?.to_str()?;
    let speaks = LANGUAGES.contains(&program);
    let texts = argv.iter().enumerate().skip(1).filter_map(|(at, v)| Some((at, v.as_str()?)));
    let mut before = program;
    for (at, word) in texts {
        let pointer = format!("/argv/{at}");
        let found = braces(word, &pointer).or_else(|| match speaks {
            true => None,
            false => shell_word(node, word, before.starts_with('-'), &pointer),
        });
        if found.is_some() {
            return found;
        }
        before = word;
    }
    None
}

/// An argument as a shell would read it. Behind an option a pattern may be meant for the program.
fn shell_word(
    node: &NodeView<'_>,
    word: &str,
    follows_option: bool,
    pointer: &str,
) -> Option<ConfigFault> {
    let use_shell = "use `shell` in the place of `argv`, or leave it if the program wants it so";
    if OPERATORS.contains(&word) {
        let message = format!("`{word}` goes to the program as it stands: `argv` has no shell");
        return Some(fault(pointer, message, use_shell));
    }
    if word == "~" || word.starts_with("~/") {
        let message = format!("`{word}` stays as it stands: only a shell knows `~`");
        let rest = word.trim_start_matches('~');
        return Some(fault(pointer, message, format!("write \"{{{{ env.HOME }}}}{rest}\"")));
    }
    if let Some(name) = variable(word) {
        return Some(not_replaced(node, &name, word, pointer));
    }
    if word.starts_with("$(") || word.starts_with('`') {
        let message = format!("`{word}` stays as it stands: only a shell runs it");
        return Some(fault(pointer, message, use_shell));
    }
    if is_pattern(word) && !follows_option {
        let message = format!("`{word}` goes to the program as it stands: `argv` has no shell");
        let help = "bind a list as an input and write { each = \"inputs.PORT\" }, or use `shell`";
        return Some(fault(pointer, message, help));
    }
    None
}

/// A path with a `*`, as a shell would replace it.
fn is_pattern(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "./_-*".contains(c);
    word.contains('*') && word.len() > 1 && word.chars().all(plain)
}

/// The name of a variable of a shell at the beginning of a word.
fn variable(word: &str) -> Option<String> {
    let rest = word.strip_prefix('$')?;
    let rest = rest.strip_prefix('{').unwrap_or(rest);
    let name: String =
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_').then_some(name)
}

/// A variable that is an input or parameter and nothing else, in the text of a shell.
fn own_variable(node: &NodeView<'_>, text: &str, pointer: &str) -> Option<ConfigFault> {
    let env = node.config.get("env").and_then(Value::as_object);
    text.match_indices('$').find_map(|(at, _)| {
        let name = variable(&text[at..])?;
        let is_ours = node.inputs.contains_key(&name) || node.params.contains(&name);
        let is_set = env.is_some_and(|env| env.contains_key(&name)) || sets(text, &name);
        (is_ours && !is_set).then(|| not_replaced(node, &name, &format!("${name}"), pointer))
    })
}

/// Whether the text of a shell gives the variable a value.
fn sets(text: &str, name: &str) -> bool {
    let ways = [format!("{name}="), format!("for {name} "), format!("read {name}")];
    text.contains("read -") || ways.iter().any(|way| text.contains(way.as_str()))
}

fn not_replaced(node: &NodeView<'_>, name: &str, word: &str, pointer: &str) -> ConfigFault {
    let place = match () {
        () if node.inputs.contains_key(name) => format!("inputs.{name}"),
        () if node.params.iter().any(|param| param == name) => format!("params.{name}"),
        () => format!("env.{name}"),
    };
    let message = match place.starts_with("env.") {
        true => format!("`{word}` stays as it stands: `argv` has no shell"),
        false => format!("`{word}` is not `{place}`, but a variable of the environment"),
    };
    fault(pointer, message, format!("write {{{{ {place} }}}}"))
}

/// A template with the braces of another tool.
fn braces(text: &str, pointer: &str) -> Option<ConfigFault> {
    if let Some(at) = text.find("${{") {
        let expression = text[at + 1..].split_inclusive("}}").next().unwrap_or_default();
        let message = "the `$` before `{{` stays in the text";
        return Some(fault(pointer, message, format!("write {expression}")));
    }
    let found = SCOPES.into_iter().find_map(|scope| single_brace(text, scope))?;
    let message = format!("`{{{found}}}` stays as it stands: templates have two braces");
    Some(fault(pointer, message, format!("write {{{{ {found} }}}}")))
}

/// What stands in `{scope.name}` with one brace.
fn single_brace<'a>(text: &'a str, scope: &str) -> Option<&'a str> {
    let open = format!("{{{scope}.");
    let at = text.match_indices(&open).map(|(at, _)| at).find(|at| !text[..*at].ends_with('{'))?;
    text[at + 1..].split_once('}').map(|(inside, _)| inside)
}
