//! Fuzzing: whatever stands in a file or comes from a program, it is read or refused, and nothing
//! panics or is taken for what it is not.
//!
//! What is tried are changes of things that are in order: bits, pieces, and pieces of others in
//! between. `cargo test --test fuzz` tries a few hundred of each; `PROPTEST_CASES=1000000` as many
//! as that. A failure is kept in `proptest-regressions/` and tried first from then on. The parser of
//! `Retry-After` is tried beside its code, in `stages/src/transport/retry_after.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends where it stands")]

use std::path::Path;
use std::sync::LazyLock;

use flow_core::digest::Digest;
use flow_core::graph::check;
use flow_core::id::RunId;
use flow_core::run::event::{Event, Recorded, TaskRef};
use flow_core::schema::{Type, validate};
use flow_core::store::Store;
use flow_stages::process::Spawner;
use flow_store::DiskStore;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change of a text.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index, usize),
    /// A piece from somewhere else, of itself or of another one.
    Splice(Index, Index, Index, usize),
    Insert(Index, &'static str),
}

/// What readers trip over.
const SPICE: [&str; 16] = [
    "\0",
    "\u{feff}",
    "\r",
    "\"\"\"",
    "'''",
    "[[[[[[[[",
    "{{{{",
    "1e999",
    "-0.0",
    "nan",
    "\\ud800",
    "18446744073709551616",
    "{{ a }}",
    "\"$file\"",
    "2025-02-30",
    "é",
];

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), 0_usize..200).prop_map(|(at, size)| Change::Cut(at, size)),
        (at(), at(), at(), 1_usize..300)
            .prop_map(|(to, of, from, size)| Change::Splice(to, of, from, size)),
        (at(), select(&SPICE[..])).prop_map(|(at, text)| Change::Insert(at, text)),
    ]
}

/// One of a corpus with some changes.
fn changed(corpus: &'static [Vec<u8>]) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), vec(change(), 1..6)).prop_map(|(which, changes)| {
        let mut bytes = corpus[which.index(corpus.len())].clone();
        changes.iter().for_each(|change| apply(&mut bytes, change, corpus));
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, change: &Change, corpus: &[Vec<u8>]) {
    let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
    match change {
        Change::Flip(..) | Change::Set(..) if bytes.is_empty() => {}
        Change::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
        Change::Set(at, byte) => *at.get_mut(bytes) = *byte,
        Change::Cut(at, size) => {
            let from = place(at, bytes);
            let to = bytes.len().min(from + size);
            bytes.drain(from..to);
        }
        Change::Splice(to, of, from, size) => {
            let other = &corpus[of.index(corpus.len())];
            let from = place(from, other);
            let piece = other[from..other.len().min(from + size)].to_vec();
            let to = place(to, bytes);
            bytes.splice(to..to, piece);
        }
        Change::Insert(at, text) => {
            let at = place(at, bytes);
            bytes.splice(at..at, text.bytes());
        }
    }
}

/// All workflow files of the project.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["examples", "workflows"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "toml") && !path.ends_with("Cargo.toml") {
                files.push(std::fs::read(path).unwrap());
            }
        }
    }
    files
});

/// JSON that is in order.
static JSON: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let texts = [
        r#"{"player":"Josh Allen","line":275.5,"over_odds":-110,"tags":["a","b"],"n":null}"#,
        r#"[{"id":"a","at":"2025-01-05T13:00:00Z","for":"1h 30m"},{"id":"b","x":-9223372036854775808}]"#,
        r#"{"$file":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","name":"f","size":0,"media_type":"text/plain"}"#,
        r#"[[1,2.5,1e300],[],{},"\u00e9\ud83d\ude00\n",true,false]"#,
        "18446744073709551615",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
});

/// A type of each kind.
static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| {
    let text = r#"
[types.Prop.fields]
player = { type = "string", min_length = 1, pattern = "^[A-Z]" }
line = { type = "number", greater_than = 0 }
over_odds = "integer?"
tags = { type = "list<string>", unique = true }
[types.Each.fields]
id = "string"
at = "datetime?"
for = "duration?"
[nodes.a]
stage = "command"
with = { argv = ["true"] }
outputs = { a = "Prop", b = "list<Each>", c = "file", d = "json", e = "integer", f = "map<number>", g = "list<list<number>>", h = "dir" }
"#;
    let loaded = flow_workflows::parse("types.toml", text, "/".into());
    let graph = check(&loaded.definition.unwrap(), &flow_stages::catalog(Spawner::new())).unwrap();
    graph.nodes()[0].outputs.iter().map(|port| port.ty.clone()).collect()
});

/// A journal of some records, with what is in it.
static JOURNAL: LazyLock<(Vec<Vec<u8>>, Vec<Recorded>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::create(&folder.path().join("store")).unwrap();
    let run = RunId::new("r").unwrap();
    let records: Vec<Recorded> = (0..40).map(record).collect();
    let mut journal = store.create_run(&run, &[]).unwrap();
    for pair in records.chunks(3) {
        let payload = format!("{{\"n\":{:?}}}", pair[0].seq).into_bytes();
        journal.append(pair, &[(Digest::of(&payload), payload.into())]).unwrap();
        journal.syncer().sync().unwrap();
    }
    drop(journal);
    let bytes = std::fs::read(store.run_dir(&run).join("journal")).unwrap();
    (vec![bytes], records)
});

fn record(n: u64) -> Recorded {
    let task = TaskRef::node(&format!("node-{n}"));
    let key = Digest::of(&n.to_le_bytes());
    let event = Event::AttemptStarted { task, attempt: 1, key, intent: None };
    Recorded { seq: Some(n), ts: jiff::Timestamp::from_second(1_700_000_000).unwrap(), event }
}

proptest! {
    #[test]
    fn a_changed_workflow_file_is_read_or_refused_with_places_in_it(bytes in changed(&FILES)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let loaded = flow_workflows::parse("fuzz.toml", &text, "/".into());
        prop_assert!(loaded.definition.is_some() || !loaded.diagnostics.is_empty());
        if let (Some(definition), true) = (&loaded.definition, loaded.is_valid()) {
            // Faults or a graph: nothing else is asked of it.
            drop(check(definition, &flow_stages::catalog(Spawner::new())));
        }
    }

    #[test]
    fn changed_json_is_refused_or_means_the_same_when_it_is_written_again(bytes in changed(&JSON)) {
        let Ok(value) = flow_core::json::parse(&bytes) else { return Ok(()) };
        let again = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(flow_core::json::parse(&again).unwrap(), value.clone());
        for ty in TYPES.iter() {
            for fault in validate(ty, &value) {
                prop_assert!(fault.pointer.is_empty() || fault.pointer.starts_with('/'));
            }
        }
    }

    #[test]
    fn a_changed_journal_never_gives_a_record_that_was_not_written(bytes in changed(&JOURNAL.0)) {
        let folder = tempfile::tempdir().unwrap();
        let store = DiskStore::create(&folder.path().join("store")).unwrap();
        let run = RunId::new("r").unwrap();
        drop(store.create_run(&run, &[]).unwrap());
        std::fs::write(store.run_dir(&run).join("journal"), &bytes).unwrap();
        if let Ok(records) = store.read_run(&run) {
            prop_assert!(JOURNAL.1.starts_with(&records), "{} records", records.len());
        }
        if let Ok(journal) = store.open_run(&run) {
            prop_assert!(JOURNAL.1.starts_with(&journal.replay().unwrap()));
        }
        store.verify(&mut |_| {}, &mut |_| {}).unwrap();
    }
}
