//! References as they are written: `NODE.PORT.FIELD?`, `NODE[item].PORT`, `item.FIELD`, `params.X`.

use indexmap::IndexMap;

use crate::definition::NodeDef;

/// A reference with its node resolved and its fields not yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reference<'a> {
    pub(super) head: Head<'a>,
    /// What follows the head: a port and fields, or fields.
    pub(super) rest: Vec<&'a str>,
    pub(super) optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Head<'a> {
    Node {
        index: usize,
        same_item: bool,
    },
    Item,
    Param(&'a str),
    /// No declared node has this name.
    Unknown(&'a str),
}

/// Reads a reference; the longest declared node name wins.
pub(super) fn parse<'a>(
    text: &'a str,
    nodes: &IndexMap<String, NodeDef>,
) -> Result<Reference<'a>, String> {
    let (body, optional) = match text.strip_suffix('?') {
        Some(body) => (body, true),
        None => (text, false),
    };
    if body.is_empty() {
        return Err("the reference is empty".into());
    }
    if body.ends_with('.') {
        return Err(format!("the reference `{text}` ends with a dot"));
    }
    if body.contains(char::is_whitespace) {
        return Err(format!("the reference `{text}` has white space in it"));
    }
    if let Some((node, rest)) = body.split_once("[item]") {
        let head = nodes
            .get_index_of(node)
            .map_or(Head::Unknown(node), |index| Head::Node { index, same_item: true });
        return Ok(Reference {
            head,
            rest: segments(rest.strip_prefix('.').unwrap_or(rest))?,
            optional,
        });
    }
    if body.contains('[') {
        return Err(format!("`{text}`: only `[item]` may stand in brackets"));
    }
    if body == "item" || body.starts_with("item.") {
        return Ok(Reference {
            head: Head::Item,
            rest: segments(body[4..].strip_prefix('.').unwrap_or_default())?,
            optional,
        });
    }
    if let Some(rest) = body.strip_prefix("params.") {
        let parts = segments(rest)?;
        let (name, fields) = parts.split_first().ok_or("a parameter's name is missing")?;
        return Ok(Reference { head: Head::Param(name), rest: fields.to_vec(), optional });
    }
    let longest = body
        .match_indices('.')
        .map(|(i, _)| i)
        .chain([body.len()])
        .rev()
        .find_map(|end| nodes.get_index_of(&body[..end]).map(|index| (index, end)));
    match longest {
        Some((index, end)) => Ok(Reference {
            head: Head::Node { index, same_item: false },
            rest: segments(body[end..].strip_prefix('.').unwrap_or_default())?,
            optional,
        }),
        None => Ok(Reference {
            head: Head::Unknown(body.split('.').next().unwrap_or(body)),
            rest: Vec::new(),
            optional,
        }),
    }
}

fn segments(text: &str) -> Result<Vec<&str>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = text.split('.').collect();
    match parts.iter().find(|p| p.is_empty()) {
        Some(_) => Err(format!("`{text}` has an empty part between dots")),
        None => Ok(parts),
    }
}
