//! Why one key is not another: the parts that they are made of, compared in the order in which one
//! thing leads to the next.

use serde_json::Value;

use super::json::{Differences, differences};
use crate::digest::Digest;
use crate::key::KeyParts;

/// So many places of `with` are named.
const SETTINGS_MAX: usize = 20;

/// What a result is made of.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    /// What goes into its key.
    pub parts: &'a KeyParts<'a>,
    /// `with` as it stands in the file, before anything is rendered.
    pub written: &'a Value,
}

/// A part of a key that is not what it was; a side without it is `None`.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<'a> {
    /// Another stage.
    Stage {
        /// Its name before.
        before: &'a str,
        /// Its name now.
        after: &'a str,
    },
    /// Another version of the stage.
    Version {
        /// The version before.
        before: u32,
        /// The version now.
        after: u32,
    },
    /// `with`, as keys know it: rendered, with the names of secrets in the place of their values.
    With {
        /// Where it differs.
        differences: Differences<'a>,
        /// Whether the file says something else, and not only what is rendered into it.
        written: bool,
    },
    /// The payload of an input port.
    Input {
        /// The port.
        port: &'a str,
        /// Its digest before.
        before: Option<Digest>,
        /// Its digest now.
        after: Option<Digest>,
    },
    /// The content of a path of `uses`.
    Used {
        /// The path.
        path: &'a str,
        /// Its digest before.
        before: Option<Digest>,
        /// Its digest now.
        after: Option<Digest>,
    },
    /// A declared output: its type, or where it is taken from.
    Output {
        /// The port.
        port: &'a str,
        /// The declaration before.
        before: Option<&'a str>,
        /// The declaration now.
        after: Option<&'a str>,
    },
}

/// All that differs between what two results are made of, the first cause first. A setting that
/// differs only because of what is rendered into it stands behind the inputs.
#[must_use]
pub fn changes<'a>(before: Recipe<'a>, after: Recipe<'a>) -> Vec<Change<'a>> {
    let (old, new) = (before.parts, after.parts);
    let mut found = Vec::new();
    if old.stage != new.stage {
        found.push(Change::Stage { before: old.stage, after: new.stage });
    } else if old.version != new.version {
        found.push(Change::Version { before: old.version, after: new.version });
    }
    let written = before.written != after.written;
    let settings = differences(&old.config, &new.config, SETTINGS_MAX);
    let with = (settings.total > 0).then_some(Change::With { differences: settings, written });
    let (first, later) = if written { (with, None) } else { (None, with) };
    found.extend(first);
    let inputs = unequal(&old.inputs, &new.inputs).map(|(port, before, after)| Change::Input {
        port,
        before: before.copied().flatten(),
        after: after.copied().flatten(),
    });
    found.extend(inputs);
    found.extend(later);
    let uses = unequal(&old.uses, &new.uses).map(|(path, before, after)| Change::Used {
        path,
        before: before.copied(),
        after: after.copied(),
    });
    found.extend(uses);
    let outputs = unequal(&old.outputs, &new.outputs).map(|(port, before, after)| {
        let text = |side: Option<&'a String>| side.map(String::as_str);
        Change::Output { port, before: text(before), after: text(after) }
    });
    found.extend(outputs);
    found
}

type Sides<'a, T> = (&'a str, Option<&'a T>, Option<&'a T>);

/// The entries of two maps that are not the same.
fn unequal<'a, T: PartialEq>(
    before: &'a std::collections::BTreeMap<String, T>,
    after: &'a std::collections::BTreeMap<String, T>,
) -> impl Iterator<Item = Sides<'a, T>> {
    let added = after.keys().filter(|name| !before.contains_key(*name));
    before
        .keys()
        .chain(added)
        .map(|name| (name.as_str(), before.get(name), after.get(name)))
        .filter(|(_, before, after)| before != after)
}
