//! Events go in, a terminal shows what comes out.

use std::sync::Arc;

use flow_core::digest::Digest;
use flow_core::error::{ErrorClass, StageError};
use flow_core::run::event::{Awaited, Event, ItemRef, Question, TaskRef};
use flow_core::run::{Recorded, RunState};
use flow_core::stage::Progress;
use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};

use super::frame::{Look, Size};
use super::model::Model;
use crate::args::Color;
use crate::report::style::Paint;
use crate::session::Prompt;

/// A run that is watched, with a clock of its own.
struct Watched {
    model: Model,
    look: Look,
    now: Timestamp,
}

const NODES: &str = r#"
[workflow]
name = "daily"
[nodes.slate]
stage = "value"
with = { value = ["a", "b", "c"] }
outputs = { items = "list<string>" }
[nodes.narrate]
stage = "command"
for_each = "slate.items"
with = { argv = ["true"] }
[nodes.fetch]
stage = "noop"
[nodes.nap]
stage = "noop"
[nodes.post]
stage = "noop"
"#;

impl Watched {
    fn new(toml: &str) -> Self {
        let loaded = flow_workflows::parse("flow.toml", toml, "/".into());
        let definition = loaded.definition.expect("it can be read");
        let catalog = flow_stages::catalog(flow_stages::process::Spawner::new());
        let graph = flow_core::graph::check(&definition, &catalog).expect("it is valid");
        let state = RunState::new(Arc::new(graph), None, 4);
        let paint = Paint::of(Color::Never, &std::io::stdout());
        let now = Timestamp::UNIX_EPOCH;
        let look = Look::new(paint, Prompt::default());
        Self { model: Model::new("run-1", &state, now), look, now }
    }

    fn event(&mut self, event: Event) {
        self.model.event(&Recorded { seq: None, ts: self.now, event });
    }

    fn after(&mut self, ms: i64) {
        self.now += SignedDuration::from_millis(ms);
    }

    fn starts(&mut self, task: &TaskRef, attempt: u32) {
        let (task, key) = (task.clone(), Digest::of(b""));
        self.event(Event::AttemptStarted { task, attempt, key, intent: None });
    }

    fn succeeds(&mut self, task: &TaskRef) {
        let (task, key) = (task.clone(), Digest::of(b""));
        let (outputs, warnings, usage) = Default::default();
        let (attempt, duration_ms, provisional) = (1, 1, false);
        self.event(Event::Succeeded {
            task,
            attempt,
            key,
            outputs,
            duration_ms,
            warnings,
            usage,
            provisional,
        });
    }

    fn waits(&mut self, task: &TaskRef, until: Option<i64>, question: Option<&str>) {
        let until = until.map(|s| self.now + SignedDuration::from_secs(s));
        let ask = |message: &str| Question { message: message.to_owned(), choices: Vec::new() };
        let (attempt, key) = (1, Digest::of(b""));
        let wait = Awaited { attempt, key, until, delay_ms: 0, question: question.map(ask) };
        self.event(Event::Waiting { task: task.clone(), wait: Box::new(wait) });
    }

    fn fails(&mut self, task: &TaskRef, message: &str, again_in: i64) {
        let error = Box::new(StageError::new(ErrorClass::RateLimited, "fetch", message));
        let usage = Default::default();
        self.event(Event::AttemptFailed { task: task.clone(), attempt: 1, error, usage });
        let at = self.now + SignedDuration::from_secs(again_in);
        let (task, delay_ms) = (task.clone(), 0);
        self.event(Event::RetryScheduled { task, attempt: 2, delay_ms, at });
    }

    fn resolves(&mut self, items: u32) {
        let keys = (0..items).map(|index| index.to_string().into()).collect();
        self.event(Event::ItemsResolved { nodes: vec!["narrate".into()], keys });
    }

    /// What a terminal of this size shows.
    fn shown(&mut self, columns: usize, rows: usize) -> String {
        let frame = self.look.frame(&self.model, self.now, Size { columns, rows });
        assert!(frame.len() < rows, "{} rows on a terminal of {rows}", frame.len());
        for row in &frame {
            assert!(crate::report::text::width(row) < columns, "{row:?} in {columns}");
            assert!(!row.chars().any(char::is_control), "{row:?}");
        }
        frame.join("\n")
    }
}

fn node(name: &str) -> TaskRef {
    TaskRef::node(name)
}

fn item(index: u32) -> TaskRef {
    let key = format!("k{index}").into();
    TaskRef { node: "narrate".into(), item: Some(ItemRef { key, index }) }
}

/// Something of everything.
fn busy_day() -> Watched {
    let mut run = Watched::new(NODES);
    run.starts(&node("slate"), 1);
    run.succeeds(&node("slate"));
    run.resolves(3);
    run.starts(&item(0), 1);
    run.succeeds(&item(0));
    run.starts(&item(1), 2);
    run.starts(&node("fetch"), 1);
    run.waits(&node("nap"), Some(125), None);
    run.waits(&node("post"), None, Some("Publish \u{1b}[31m3 reels?"));
    run.after(2_000);
    run.starts(&item(2), 1);
    run.fails(&node("fetch"), "429 Too Many\nRequests", 4);
    run.model.queue("pool encode", 3);
    let message = "encoding".to_owned();
    let progress = Progress { done: 3.0, total: Some(12.0), unit: "seconds", message };
    run.model.progress(&item(1), &progress);
    run.after(1_000);
    run
}

#[test]
fn everything_that_goes_on_has_its_row() {
    assert_snapshot!(busy_day().shown(80, 24), @r"
    ▸ 1/5 nodes · 2 running · 2 waiting · 1 asking · 3 s · daily
    ? post asks: Publish \x1b[31m3 reels?
      flow approve run-1 post
    ▦ narrate     1/3 items
    ● narrate[k1] 3 s · attempt 2 · encoding 25 % of 12.0 s
    ● narrate[k2] 1 s
    ↻ fetch       attempt 2 in 3 s · rate_limited: 429 Too Many\nRequests
    ◷ nap         2 min 2 s left
    ⧗ 3 queue for pool encode
    ");
}

#[test]
fn a_narrow_and_a_low_terminal_show_what_fits() {
    assert_snapshot!(busy_day().shown(20, 24), @r"
    ▸ 1/5 nodes · 2 r…
    ? post asks: Publ…
      flow approve ru…
    ▦ narra… 1/3 items
    ● narra… 3 s · at…
    ● narra… 1 s
    ↻ fetch  attempt …
    ◷ nap    2 min 2 …
    ⧗ 3 queue for poo…
    ");
    assert_snapshot!(busy_day().shown(60, 10), @r"
    ▸ 1/5 nodes · 2 running · 2 waiting · 1 asking · 3 s · da…
    ? post asks: Publish \x1b[31m3 reels?
      flow approve run-1 post
    ● narrate[k1] 3 s · attempt 2 · encoding 25 % of 12.0 s
      … 1 more running, 2 more waiting, 1 more with items
    ");
    assert_snapshot!(busy_day().shown(60, 4), @r"
    ▸ 1/5 nodes · 2 running · 2 waiting · 1 asking · 3 s · da…
    ● narrate[k1] 3 s · attempt 2 · encoding 25 % of 12.0 s
      … 1 more running, 2 more waiting, 1 more asking, 1 more…
    ");
    assert_eq!(busy_day().shown(5, 24), "");
}

#[test]
fn no_size_of_terminal_is_too_small() {
    let mut run = busy_day();
    for columns in 1..40 {
        for rows in 1..30 {
            run.shown(columns, rows);
        }
    }
}

#[test]
fn of_thousands_of_attempts_the_longest_are_shown_and_the_others_counted() {
    let mut run = Watched::new(NODES);
    run.resolves(5_000);
    for index in 0..4_000 {
        run.starts(&item(index), 1);
        run.after(1);
    }
    for index in 0..1_000 {
        run.succeeds(&item(index));
    }
    assert_snapshot!(run.shown(60, 14), @r"
    ▸ 0/5 nodes · 3000 running · 4 s · daily
    ▦ narrate        1000/5000 items
    ● narrate[k1000] 3 s
    ● narrate[k1001] 2 s
    ● narrate[k1002] 2 s
    ● narrate[k1003] 2 s
      … 2996 more running
    ");
}

#[test]
fn what_has_just_begun_is_counted_and_not_shown() {
    let mut run = Watched::new(NODES);
    run.starts(&node("fetch"), 1);
    run.after(499);
    assert_snapshot!(run.shown(60, 14), @" ▸ 0/5 nodes · 1 running · 0 s · daily");
    run.after(2);
    assert_snapshot!(run.shown(60, 14), @r"
    ▸ 0/5 nodes · 1 running · 0 s · daily
    ● fetch    0 s
    ");
}

#[test]
fn nothing_is_left_of_tasks_that_have_ended() {
    let mut run = busy_day();
    for task in [item(1), item(2), node("fetch"), node("nap"), node("post")] {
        run.succeeds(&task);
    }
    run.event(Event::NodeGathered { node: "narrate".into(), succeeded: 3, left_out: 0 });
    run.model.queue("pool encode", 0);
    assert_snapshot!(run.shown(80, 24), @" ▸ 5/5 nodes · 3 s · daily");
}

#[test]
fn names_and_messages_of_others_cannot_steer_the_terminal_or_break_the_columns() {
    let mut run = Watched::new(NODES);
    run.resolves(1);
    let key = "日本語\u{202e}\u{1b}[2J\tx".into();
    let hostile = TaskRef { node: "narrate".into(), item: Some(ItemRef { key, index: 0 }) };
    run.fails(&hostile, "no \u{7}bell\r\nand a very long story that goes on and on", 9);
    assert_snapshot!(run.shown(60, 14), @r"
    ▸ 0/5 nodes · 1 waiting · 0 s · daily
    ▦ narrate              0/1 item
    ↻ narrate[日本語\u{20… attempt 2 in 9 s · rate_limited: n…
    ");
}
