//! Fan-outs: which nodes run an item for each element of which list.

use std::collections::BTreeMap;

use super::check::{Checker, FanState, node_id};
use super::config::template_fault;
use super::edges::Surroundings;
use super::names::Place;
use super::{Fan, Group, Source, Take, codes};
use crate::definition::{NodeDef, Spanned};
use crate::diagnostic::Diagnostic;
use crate::template::Template;

impl Checker<'_> {
    /// Resolves the fan-out of a node, and first of those that its list comes from.
    pub(super) fn fan(&mut self, index: usize) -> Option<Fan> {
        match &self.fans[index] {
            FanState::Done(fan) => return Some(fan.as_ref().clone()),
            // A node that fans out over itself is told as a cycle.
            FanState::None | FanState::Busy => return None,
            FanState::Open => self.fans[index] = FanState::Busy,
        }
        let node = &self.definition.nodes[index];
        let fan = node.for_each.as_ref().and_then(|list| self.fan_over(index, node, list));
        self.fans[index] = fan.clone().map_or(FanState::None, |f| FanState::Done(Box::new(f)));
        fan
    }

    fn fan_over(&mut self, index: usize, node: &NodeDef, list: &Spanned<String>) -> Option<Fan> {
        use super::reference::{Head, parse};
        if let Ok(parsed) = parse(&list.value, &self.definition.nodes)
            && let Head::Node { index: from, .. } = parsed.head
            && from != index
        {
            self.fan(from);
        }
        let surroundings = Surroundings {
            nodes: &self.definition.nodes,
            ports: &self.ports,
            fans: &self.fans,
            params: &self.params,
            item: None,
        };
        let (source, ty) = surroundings.reference(&list.value, &list.span, self.faults)?;
        let Some(element) = ty.element() else {
            self.faults.push(
                Diagnostic::error(
                    codes::BAD_FAN_OUT,
                    list.span.clone(),
                    format!("`for_each` needs a list, and `{}` is `{ty}`", list.value),
                )
                .help("declare the output as list<…>"),
            );
            return None;
        };
        let id = node_id(index);
        let (group, item) = match source {
            Source::Output { node: from, port, path, optional, take: Take::Gather } => {
                if let Some(key) = &node.key {
                    self.faults.push(
                        Diagnostic::error(
                            codes::BAD_FAN_OUT,
                            key.span.clone(),
                            "items keep the key of the first fan-out",
                        )
                        .help("give `key` at the node that fans out first"),
                    );
                }
                let group = self.fans[from.index()].group()?;
                (group, Source::Output { node: from, port, path, optional, take: Take::SameItem })
            }
            list => (self.group_of(list), Source::Item { path: Vec::new(), optional: false }),
        };
        self.groups[group].members.push(id);
        Some(Fan {
            group,
            item,
            item_ty: element,
            max_parallel: node.max_parallel,
            on_item_failure: node.on_item_failure,
            min_success: node.min_success,
            inherited: false,
        })
    }

    fn group_of(&mut self, list: Source) -> usize {
        if let Some(found) = self.groups.iter().position(|g| g.list == list) {
            return found;
        }
        self.groups.push(Group {
            list,
            members: Vec::new(),
            key: None,
            key_span: None,
            within: None,
            params: None,
        });
        self.groups.len() - 1
    }

    /// Gives each list the key that one of its nodes declares.
    pub(super) fn adopt_keys(&mut self) {
        for (index, node) in self.definition.nodes.values().enumerate() {
            let Some(key) = &node.key else { continue };
            let FanState::Done(fan) = self.fans[index].clone() else {
                if node.for_each.is_none() {
                    self.faults.push(
                        Diagnostic::error(
                            codes::BAD_FAN_OUT,
                            key.span.clone(),
                            "`key` needs `for_each`",
                        )
                        .help("`key` names the items of a fanned-out node"),
                    );
                }
                continue;
            };
            if !matches!(fan.item, Source::Item { .. }) {
                continue;
            }
            let template = match Template::parse(&key.value) {
                Ok(template) => template,
                Err(fault) => {
                    self.faults.push(template_fault(fault, key.span.clone()));
                    continue;
                }
            };
            for (expr, _) in template.expressions() {
                self.check_names(index, expr, &key.span, &BTreeMap::new(), Place::Key);
            }
            let group = &mut self.groups[fan.group];
            match (&group.key, &group.key_span) {
                (Some(known), Some(span)) if *known != template => self.faults.push(
                    Diagnostic::error(
                        codes::AMBIGUOUS,
                        key.span.clone(),
                        "two nodes over one list give its items different keys",
                    )
                    .also(span.clone(), "the other key")
                    .help("items of one list have one key: give it at one node"),
                ),
                _ => {
                    group.key = Some(template);
                    group.key_span = Some(key.span.clone());
                }
            }
        }
    }
}
