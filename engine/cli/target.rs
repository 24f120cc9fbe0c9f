//! Which node, item or port a word of the command line means.

use flow_core::diagnostic::nearest;
use flow_core::graph::Graph;
use flow_core::id::{NodeId, TaskId};
use flow_core::run::RunState;
use flow_core::run::state::Tasks;

use crate::failure::Failure;

/// A node or one of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) node: NodeId,
    /// The index of the item, if one was named.
    pub(crate) item: Option<u32>,
}

/// The node that `text` means: `NODE` or `NODE[KEY]`.
///
/// # Errors
/// [`Failure::NotFound`] with the nearest names.
pub(crate) fn node(state: &RunState, text: &str) -> Result<Target, Failure> {
    let (name, key, rest) = split(text);
    let whole = match key {
        Some(_) => name,
        None => text,
    };
    let found = state.graph().find(whole).filter(|_| rest.is_empty());
    let node = found.ok_or_else(|| no_node(state.graph(), text))?;
    let item = key.map(|key| item(state, node, key)).transpose()?;
    Ok(Target { node, item })
}

/// The output that `text` means: `NODE`, `NODE.PORT`, `NODE[KEY]` or `NODE[KEY].PORT`. The longest
/// node name wins.
///
/// # Errors
/// [`Failure::NotFound`] with the nearest names.
pub(crate) fn output<'a>(
    state: &RunState,
    text: &'a str,
) -> Result<(Target, Option<&'a str>), Failure> {
    let graph = state.graph();
    let (name, key, rest) = split(text);
    if let Some(key) = key {
        let node = graph.find(name).ok_or_else(|| no_node(graph, name))?;
        let port = match rest.strip_prefix('.') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err(no_node(graph, text)),
        };
        return Ok((Target { node, item: Some(item(state, node, key)?) }, port));
    }
    let ends = text.match_indices('.').map(|(at, _)| at).chain([text.len()]);
    let longest = ends.rev().find_map(|end| {
        let port = text.get(end + 1..).filter(|port| !port.is_empty());
        graph.find(&text[..end]).map(|node| (node, port))
    });
    let (node, port) = longest.ok_or_else(|| no_node(graph, text))?;
    Ok((Target { node, item: None }, port))
}

/// Name, key and what follows: `a[b[c]].d` is `a`, `b[c]` and `.d`, because a node's name has no
/// bracket and the key ends at the last one.
fn split(text: &str) -> (&str, Option<&str>, &str) {
    match (text.find('['), text.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            (&text[..open], Some(&text[open + 1..close]), &text[close + 1..])
        }
        _ => (text, None, ""),
    }
}

fn item(state: &RunState, node: NodeId, key: &str) -> Result<u32, Failure> {
    let name = &state.graph().node(node).name;
    if state.graph().node(node).fan.is_none() {
        return Err(Failure::not_found(
            format!("node `{name}` has no items"),
            Some(format!("name it without a key: {name}")),
        ));
    }
    let items = state.items(node).map_or(&[][..], |items| items.as_slice());
    if let Some(item) = items.iter().find(|item| &*item.key == key) {
        return Ok(item.index);
    }
    let help = match nearest(key, items.iter().map(|item| &*item.key)) {
        Some(near) => format!("did you mean '{name}[{near}]'?"),
        None if items.is_empty() => "its items are not known yet".to_owned(),
        None => {
            let keys: Vec<&str> = items.iter().take(10).map(|item| &*item.key).collect();
            let more = if items.len() > 10 { ", …" } else { "" };
            format!("its items are {}{more}", keys.join(", "))
        }
    };
    Err(Failure::not_found(format!("node `{name}` has no item `{key}`"), Some(help)))
}

/// The failure for a node that does not exist.
pub(crate) fn no_node(graph: &Graph, wanted: &str) -> Failure {
    let names = || graph.nodes().iter().map(|node| &*node.name);
    let help = match nearest(wanted, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if graph.nodes().is_empty() => "the workflow has no nodes".to_owned(),
        None => {
            let some: Vec<&str> = names().take(12).collect();
            let more = if graph.nodes().len() > 12 { ", …" } else { "" };
            format!("the nodes are {}{more}", some.join(", "))
        }
    };
    Failure::not_found(format!("there is no node `{wanted}`"), Some(help))
}

/// The one task that a target means.
///
/// # Errors
/// [`Failure::NotFound`] for a fanned-out node without a key.
pub(crate) fn task(state: &RunState, target: Target) -> Result<TaskId, Failure> {
    let Target { node, item } = target;
    if item.is_none() && !matches!(state.node(node).tasks, Tasks::One(_)) {
        let name = &state.graph().node(node).name;
        let items = state.items(node).map_or(&[][..], |items| items.as_slice());
        let keys: Vec<String> =
            items.iter().take(5).map(|item| format!("'{name}[{}]'", item.key)).collect();
        let help = match keys.len() {
            0 => "its items are not known yet".to_owned(),
            _ => format!("name one of its items, such as {}", keys.join(", ")),
        };
        return Err(Failure::not_found(format!("node `{name}` runs once per item"), Some(help)));
    }
    Ok(TaskId { node, item })
}
