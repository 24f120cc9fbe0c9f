//! The bytes by which a checkpoint is found: the task and the key of its result.

use flow_core::digest::Digest;
use flow_core::run::event::{Event, Recorded, TaskRef};

/// Item keys longer than this stand as their digest, so that a lookup stays small.
const ITEM_MAX: usize = 128;

/// Appends the lookup of a task's checkpoint. An item is known by its key alone, since its place
/// in the list may change. Node names have no zero byte and the digest has a fixed length, so two
/// different tasks never have the same bytes.
pub(crate) fn write(task: &TaskRef, key: &Digest, out: &mut Vec<u8>) {
    out.extend_from_slice(task.node.as_bytes());
    out.push(0);
    match &task.item {
        None => out.push(b'n'),
        Some(item) if item.key.len() <= ITEM_MAX => {
            out.push(b'i');
            out.extend_from_slice(item.key.as_bytes());
        }
        Some(item) => {
            out.push(b'd');
            out.extend_from_slice(Digest::of(item.key.as_bytes()).as_bytes());
        }
    }
    out.extend_from_slice(key.as_bytes());
}

/// The lookup of a task's checkpoint.
pub(crate) fn of(task: &TaskRef, key: &Digest) -> Vec<u8> {
    let mut out = Vec::with_capacity(task.node.len() + 2 + ITEM_MAX + 32);
    write(task, key, &mut out);
    out
}

/// The key in a lookup: its end.
pub(crate) fn key(lookup: &[u8]) -> Option<Digest> {
    lookup.last_chunk().map(|bytes| Digest::from_bytes(*bytes))
}

/// The task and key of a record, if it is a checkpoint.
pub(crate) fn parts(recorded: &Recorded) -> Option<(&TaskRef, &Digest)> {
    match &recorded.event {
        Event::Succeeded { task, key, .. } | Event::Reused { task, key, .. } => Some((task, key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use flow_core::run::event::ItemRef;

    use super::*;

    fn item(node: &str, key: &str, index: u32) -> TaskRef {
        TaskRef { node: node.into(), item: Some(ItemRef { key: key.into(), index }) }
    }

    #[test]
    fn different_tasks_have_different_lookups_and_an_items_place_does_not_count() {
        let key = Digest::of(b"key");
        let long = "x".repeat(200);
        let all = [
            of(&TaskRef::node("a"), &key),
            of(&TaskRef::node("an"), &key),
            of(&TaskRef::node("a"), &Digest::of(b"other")),
            of(&item("a", "", 0), &key),
            of(&item("a", "n", 0), &key),
            of(&item("a", &long, 0), &key),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(of(&item("a", "k", 0), &key), of(&item("a", "k", 7), &key));
    }
}
