//! Comparisons hold what they say: a table of cases, and properties over random values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::digest::Digest;
use crate::key::KeyParts;

/// One line for each difference.
fn told(before: &Value, after: &Value, limit: usize) -> Vec<String> {
    let found = differences(before, after, limit);
    let line = |difference: &Difference<'_>| {
        let at = difference.pointer();
        let side = |place: &Option<Place<'_>>| place.as_ref().map(|place| place.value.to_string());
        match (side(&difference.before), side(&difference.after)) {
            _ if difference.moved_from().is_some() => {
                format!("{} moved to {at}", difference.moved_from().unwrap_or_default())
            }
            (Some(before), Some(after)) => format!("{at} {before} -> {after}"),
            (Some(before), None) => format!("{at} removed {before}"),
            (None, after) => format!("{at} added {}", after.unwrap_or_default()),
        }
    };
    let mut lines: Vec<String> = found.first.iter().map(line).collect();
    if found.more() > 0 {
        lines.push(format!("and {} more", found.more()));
    }
    lines
}

#[test]
fn differences_are_named_by_pointer_with_both_values() {
    let cases: Vec<(Value, Value, &[&str])> = vec![
        (json!({ "a": 1 }), json!({ "a": 1 }), &[]),
        (json!(1), json!(2), &[" 1 -> 2"]),
        (json!({ "a": null }), json!({}), &["/a removed null"]),
        (json!({}), json!({ "a": null }), &["/a added null"]),
        (json!({ "a": [1] }), json!({ "a": { "0": 1 } }), &[r#"/a [1] -> {"0":1}"#]),
        (
            json!({ "x/y": { "~": "old" } }),
            json!({ "x/y": { "~": "new" } }),
            &[r#"/x~1y/~0 "old" -> "new""#],
        ),
        (
            json!({ "fixtures": [{ "at": "18:00" }, { "at": "19:00" }] }),
            json!({ "fixtures": [{ "at": "18:00" }, { "at": "19:30" }] }),
            &[r#"/fixtures/1/at "19:00" -> "19:30""#],
        ),
    ];
    for (before, after, lines) in cases {
        assert_eq!(told(&before, &after, 9), lines, "{before} and {after}");
    }
}

#[test]
fn an_inserted_removed_or_moved_element_is_one_difference() {
    let cases: Vec<(Value, Value, &[&str])> = vec![
        (json!([1, 2, 3]), json!([0, 1, 2, 3]), &["/0 added 0"]),
        (json!([1, 2, 3]), json!([1, 3]), &["/1 removed 2"]),
        (json!([1, 2, 3]), json!([3, 1, 2]), &["/2 moved to /0"]),
        (json!([1, 1, 2]), json!([1, 2, 1]), &["/1 moved to /2"]),
        (json!([]), json!([1, 2]), &["/0 added 1", "/1 added 2"]),
        // What stands where it stood has not moved, though it is passed over for another.
        (json!([9, 2, 1]), json!([1, 2]), &["/0 removed 9", "/2 moved to /0"]),
        (json!([1, 2]), json!([3, 4]), &["/0 1 -> 3", "/1 2 -> 4"]),
        (
            json!([{ "id": 1, "v": 1 }, { "id": 2 }]),
            json!([{ "id": 0 }, { "id": 1, "v": 2 }, { "id": 2 }]),
            &["/0/id 1 -> 0", "/0/v removed 1", r#"/1 added {"id":1,"v":2}"#],
        ),
    ];
    for (before, after, lines) in cases {
        assert_eq!(told(&before, &after, 9), lines, "{before} and {after}");
    }
}

#[test]
fn a_file_is_compared_as_a_whole() {
    let file = |digest: &str, size: u64| {
        let digest = crate::digest::Digest::of(digest.as_bytes());
        let artifact = crate::payload::Artifact {
            digest,
            name: "a.png".into(),
            size,
            media_type: "image/png".into(),
        };
        json!({ "picture": artifact.to_json() })
    };
    let (before, after) = (file("a", 1), file("b", 2));
    let found = differences(&before, &after, 9);
    assert_eq!((found.total, found.first[0].pointer()), (1, "/picture"));
}

#[test]
fn a_large_payload_is_counted_whole_and_told_in_part() {
    let list = |step: u64| -> Value { (0..100_000).map(|n| json!(n * step)).collect() };
    let (before, after) = (list(1), list(2));
    let found = differences(&before, &after, 3);
    assert_eq!(found.first.len(), 3);
    assert!(found.more() > 50_000, "{}", found.more());
    let (forth, back): (Value, Value) =
        ((0..50_000).map(Value::from).collect(), (0..50_000).rev().map(Value::from).collect());
    assert!(differences(&forth, &back, 1).total >= 49_999);
}

/// What a key is made of, with one input, one used path and one output.
fn parts(config: Value, input: &str) -> KeyParts<'static> {
    let digest = |text: &str| Digest::of(text.as_bytes());
    KeyParts {
        stage: "command",
        version: 1,
        config: Cow::Owned(config),
        inputs: BTreeMap::from([("slate".to_owned(), Some(digest(input)))]),
        uses: BTreeMap::from([("tool.sh".to_owned(), digest("tool"))]),
        outputs: BTreeMap::from([("text".to_owned(), "string".to_owned())]),
    }
}

/// The kinds of what differs, in order.
fn kinds(before: &KeyParts<'_>, after: &KeyParts<'_>, written: [&Value; 2]) -> Vec<&'static str> {
    let before = Recipe { parts: before, written: written[0] };
    let found = changes(before, Recipe { parts: after, written: written[1] });
    let kind = |change: &Change<'_>| match change {
        Change::Stage { .. } => "stage",
        Change::Version { .. } => "version",
        Change::With { .. } => "with",
        Change::Input { .. } => "input",
        Change::Used { .. } => "uses",
        Change::Output { .. } => "output",
    };
    found.iter().map(kind).collect()
}

#[test]
fn what_is_rendered_from_an_input_stands_behind_it_and_what_was_edited_before_it() {
    let (one, two) = (json!({ "argv": ["a"] }), json!({ "argv": ["b"] }));
    let (before, after) = (parts(one.clone(), "x"), parts(two.clone(), "y"));
    assert_eq!(kinds(&before, &after, [&json!({}), &json!({})]), ["input", "with"]);
    assert_eq!(kinds(&before, &after, [&one, &two]), ["with", "input"]);
    assert_eq!(kinds(&before, &before, [&one, &two]), [""; 0]);
}

#[test]
fn every_part_of_a_key_is_compared() {
    let before = parts(json!({}), "x");
    type Edit = fn(&mut KeyParts<'static>);
    let edits: [(Edit, &str); 7] = [
        (|parts| parts.stage = "jq", "stage"),
        (|parts| parts.version = 2, "version"),
        (|parts| *parts.config.to_mut() = json!({ "argv": [] }), "with"),
        (|parts| _ = parts.inputs.insert("more".into(), None), "input"),
        (|parts| _ = parts.uses.remove("tool.sh"), "uses"),
        (|parts| _ = parts.outputs.insert("text".into(), "json".into()), "output"),
        (|parts| _ = parts.outputs.insert("more".into(), "json".into()), "output"),
    ];
    for (edit, kind) in edits {
        let mut after = before.clone();
        edit(&mut after);
        assert_ne!(before.digest(), after.digest());
        let written = json!({});
        assert_eq!(kinds(&before, &after, [&written, &written]), [kind]);
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_i64..5).prop_map(Value::from),
        "[a-c~/]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c~/]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn equal_values_have_no_difference_and_others_have_one(before in values(), after in values()) {
        prop_assert_eq!(differences(&before, &before.clone(), 5).total, 0);
        prop_assert_eq!(differences(&before, &after, 5).total == 0, before == after);
    }

    #[test]
    fn every_pointer_leads_to_what_is_told_and_really_differs(before in values(), after in values()) {
        let found = differences(&before, &after, usize::MAX);
        prop_assert_eq!(found.first.len(), found.total);
        for difference in &found.first {
            for (place, whole) in [(&difference.before, &before), (&difference.after, &after)] {
                if let Some(place) = place {
                    prop_assert_eq!(whole.pointer(&place.pointer), Some(place.value));
                }
            }
            match (&difference.before, &difference.after) {
                (Some(was), Some(is)) => prop_assert!(was.value != is.value || was.pointer != is.pointer),
                (None, None) => prop_assert!(false, "a difference without a place"),
                _ => {}
            }
        }
    }

    #[test]
    fn elements_of_lists_are_all_accounted_for(old in prop::collection::vec(0_u8..6, 0..12), new in prop::collection::vec(0_u8..6, 0..12)) {
        let (before, after) = (json!(old), json!(new));
        let found = differences(&before, &after, usize::MAX);
        let added = found.first.iter().filter(|d| d.before.is_none()).count();
        let removed = found.first.iter().filter(|d| d.after.is_none()).count();
        prop_assert_eq!(old.len() + added, new.len() + removed);
    }
}
