//! Where two JSON values differ, by JSON pointer.

use serde_json::Value;

/// A place where one value is not the other; a side without it is `None`.
#[derive(Debug, PartialEq)]
pub(super) struct Difference<'a> {
    /// JSON pointer; empty for the whole.
    pub(super) pointer: String,
    pub(super) before: Option<&'a Value>,
    pub(super) after: Option<&'a Value>,
}

/// The first places at which two values differ, at most `limit`.
pub(super) fn differences<'a>(
    before: &'a Value,
    after: &'a Value,
    limit: usize,
) -> Vec<Difference<'a>> {
    let mut found = Vec::new();
    collect(String::new(), Some(before), Some(after), limit, &mut found);
    found
}

fn collect<'a>(
    pointer: String,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
    limit: usize,
    found: &mut Vec<Difference<'a>>,
) {
    if before == after || found.len() >= limit {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let name = key.replace('~', "~0").replace('/', "~1");
                let place = format!("{pointer}/{name}");
                collect(place, old.get(key), new.get(key), limit, found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                let place = format!("{pointer}/{index}");
                collect(place, old.get(index), new.get(index), limit, found);
            }
        }
        _ => found.push(Difference { pointer, before, after }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_told_by_pointer_and_bounded() {
        let before = json!({ "a": [1, 2, { "x/y": "old" }], "b": 1, "c": null });
        let after = json!({ "a": [1, 3, { "x/y": "new" }], "c": null, "d": true });
        let told = |limit| -> Vec<String> {
            let all = differences(&before, &after, limit);
            all.into_iter()
                .map(|d| {
                    format!(
                        "{} {:?} {:?}",
                        d.pointer,
                        d.before.map(Value::to_string),
                        d.after.map(Value::to_string)
                    )
                })
                .collect()
        };
        assert_eq!(
            told(9),
            [
                r#"/a/1 Some("2") Some("3")"#,
                r#"/a/2/x~1y Some("\"old\"") Some("\"new\"")"#,
                r#"/b Some("1") None"#,
                r#"/d None Some("true")"#,
            ]
        );
        assert_eq!(told(2).len(), 2);
        assert!(differences(&before, &before, 9).is_empty());
    }
}
