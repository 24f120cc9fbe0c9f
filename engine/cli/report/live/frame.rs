//! The region as rows of text: pure, from what is known, the time, and the size of the terminal.

use std::collections::BTreeMap;

use flow_core::id::{NodeId, TaskId};
use flow_core::run::event::TaskRef;
use jiff::{SignedDuration, Timestamp};

use super::model::{At, Busy, Items, Model, Question, Retry};
use super::row::{Row, Tint, plain};
use crate::report::human::{how_far, name};
use crate::report::style::Paint;
use crate::report::text::{clean, count, millis_between, seconds, width};
use crate::session::Prompt;

/// Attempts younger than this are counted, not shown: names that come and go within a blink help
/// nobody.
const YOUNG: SignedDuration = SignedDuration::from_millis(500);

/// The region never has more rows than this.
const ROWS_MAX: usize = 20;

/// Columns of a name, at most.
const NAME_MAX: usize = 32;

/// A terminal with fewer columns has no region.
const COLUMNS_MIN: usize = 8;

/// The size of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// How a region is drawn.
pub(super) struct Look {
    paint: Paint,
    prompt: Prompt,
    /// The widest name so far: columns do not jump back and forth.
    widest: usize,
}

/// What of the run is shown; the rest is counted.
struct Choice<'a> {
    asked: Vec<&'a Question>,
    fans: Vec<(NodeId, Items)>,
    busy: Vec<(Timestamp, &'a Busy)>,
    retries: Vec<(Timestamp, &'a Retry)>,
    timers: Vec<(Timestamp, &'a TaskRef)>,
    queues: Option<&'a BTreeMap<String, usize>>,
    /// Whether more runs than is shown, apart from what has just begun.
    is_full: bool,
}

impl<'a> Choice<'a> {
    /// Chooses what fits into so many rows: something of each kind, then more of each in turn; of
    /// what runs the longest, of what waits the next.
    fn of(model: &'a Model, now: Timestamp, room: usize) -> Self {
        let old = (now - YOUNG, TaskId::whole(NodeId(0)));
        let busy: Vec<_> = model.busy.range(..old).take(room).collect();
        let there = [
            model.questions.len().min(room / 2),
            busy.len(),
            model.fans.len(),
            model.retries.len(),
            model.timers.len(),
        ];
        let queues = Some(&model.queues).filter(|queues| !queues.is_empty() && room > 3);
        let [asked, running, fans, retries, timers] =
            shares(there, room - usize::from(queues.is_some()));
        Self {
            asked: model.questions.values().take(asked).collect(),
            fans: model.fans.iter().take(fans).map(|(id, items)| (*id, *items)).collect(),
            is_full: running < busy.len() || running == room,
            busy: busy.into_iter().take(running).map(|((at, _), busy)| (*at, busy)).collect(),
            retries: model
                .retries
                .iter()
                .take(retries)
                .map(|((at, _), retry)| (*at, retry))
                .collect(),
            timers: model.timers.iter().take(timers).map(|((at, _), task)| (*at, task)).collect(),
            queues,
        }
    }

    /// Columns of the widest name in it.
    fn widest(&self, model: &Model) -> usize {
        let tasks = self.busy.iter().map(|(_, busy)| &busy.task);
        let tasks = tasks.chain(self.retries.iter().map(|(_, retry)| &retry.task));
        let tasks = tasks.chain(self.timers.iter().map(|(_, task)| *task));
        let fans = self.fans.iter().map(|(id, _)| width(model.name(*id)));
        tasks.map(|task| width(&name(task))).chain(fans).max().unwrap_or(0)
    }

    /// What is left out, in words; empty if nothing is.
    fn left_out(&self, model: &Model) -> String {
        let busy = if self.is_full { model.busy.len() - self.busy.len() } else { 0 };
        let waiting = model.retries.len() + model.timers.len();
        let parts = [
            (busy, "running"),
            (waiting - self.retries.len() - self.timers.len(), "waiting"),
            (model.questions.len() - self.asked.len(), "asking"),
            (model.fans.len() - self.fans.len(), "with items"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{number} more {word}"))
            .collect();
        parts.join(", ")
    }
}

/// How many of each kind are shown in so many rows. The first kind takes two rows each.
fn shares<const N: usize>(there: [usize; N], room: usize) -> [usize; N] {
    let (mut given, mut left) = ([0; N], room);
    loop {
        let before = left;
        for kind in 0..N {
            let rows = if kind == 0 { 2 } else { 1 };
            if given[kind] < there[kind] && rows <= left {
                given[kind] += 1;
                left -= rows;
            }
        }
        if left == before {
            return given;
        }
    }
}

impl Look {
    pub(super) fn new(paint: Paint, prompt: Prompt) -> Self {
        Self { paint, prompt, widest: 8 }
    }

    /// The rows, each narrower than the terminal, so that nothing wraps.
    pub(super) fn frame(&mut self, model: &Model, now: Timestamp, size: Size) -> Vec<String> {
        let room = (size.rows / 2).clamp(3, ROWS_MAX).min(size.rows.saturating_sub(1));
        if room == 0 || size.columns < COLUMNS_MIN {
            return Vec::new();
        }
        let mut rows = vec![head(model, now)];
        // The last row is for what is left out.
        let choice = Choice::of(model, now, room.saturating_sub(2));
        rows.extend(self.body(model, &choice, now, size.columns));
        rows.truncate(room.saturating_sub(1).max(1));
        let more = choice.left_out(model);
        if !more.is_empty() && room > 1 {
            rows.push(Row::default().add(Paint::dim, format!("   … {more}")));
        }
        rows.iter().map(|row| row.render(size.columns - 1, self.paint)).collect()
    }

    /// Questions first, since a person is waited for; then what runs; then what waits.
    fn body(&mut self, model: &Model, choice: &Choice, now: Timestamp, columns: usize) -> Vec<Row> {
        self.widest = self.widest.max(choice.widest(model)).min(NAME_MAX);
        let names = self.widest.min(columns / 3).max(6);
        let mut rows = Vec::new();
        for Question { task, ask } in &choice.asked {
            let answer = self.prompt.answer(&model.run, task, ask);
            let asks = Row::default().add(Paint::odd, " ? ").add(Paint::strong, name(task));
            rows.push(asks.add(plain, format!(" asks: {}", clean(&ask.message))));
            rows.push(Row::default().add(plain, "   ").add(Paint::good, answer));
        }
        rows.extend(choice.fans.iter().map(|(id, items)| fan_row(model.name(*id), *items, names)));
        rows.extend(choice.busy.iter().map(|(at, busy)| busy_row(busy, *at, now, names)));
        rows.extend(choice.retries.iter().map(|(at, retry)| retry_row(retry, *at, now, names)));
        rows.extend(choice.timers.iter().map(|(at, task)| timer_row(task, *at, now, names)));
        rows.extend(choice.queues.map(queue_row));
        rows
    }
}

/// `▸ 12/40 nodes · 3 running · 1 failed · 5 reused (42 %) · 1 min 12 s · daily`
fn head(model: &Model, now: Timestamp) -> Row {
    let ended = [At::Succeeded, At::Skipped, At::Failed, At::Cancelled].map(|at| model.count(at));
    let ended: usize = ended.iter().sum();
    let parts: [(Tint, usize, &str); 6] = [
        (Paint::busy, model.busy.len(), "running"),
        (Paint::odd, model.retries.len() + model.timers.len(), "waiting"),
        (Paint::odd, model.questions.len(), "asking"),
        (Paint::bad, model.count(At::Failed), "failed"),
        (Paint::bad, model.count(At::Unknown), "unknown"),
        (Paint::dim, model.count(At::Skipped), "skipped"),
    ];
    let mut row = Row::default()
        .add(Paint::busy, " ▸ ")
        .add(Paint::strong, format!("{ended}/{}", count(model.wanted, "node")));
    for (tint, number, word) in parts.into_iter().filter(|(_, number, _)| *number > 0) {
        row = row.add(Paint::dim, " · ").add(tint, format!("{number} {word}"));
    }
    if model.reused > 0 {
        let share = 100 * model.reused / model.done.max(1);
        let reused = format!("{} reused ({share} %)", model.reused);
        row = row.add(Paint::dim, " · ").add(Paint::good, reused);
    }
    let took = seconds(millis_between(model.since, now));
    row.add(Paint::dim, format!(" · {took} · {}", clean(model.workflow())))
}

/// `▦ narrate      37/40 items · 2 failed`
fn fan_row(name: &str, items: Items, names: usize) -> Row {
    let mut row = Row::default()
        .add(Paint::busy, " ▦ ")
        .column(plain, name, names)
        .add(plain, format!("{}/{}", items.ended, count(items.all as usize, "item")));
    if items.failed > 0 {
        row = row.add(Paint::bad, format!(" · {} failed", items.failed));
    }
    if items.reused > 0 {
        row = row.add(Paint::good, format!(" · {} reused", items.reused));
    }
    row
}

/// `● assemble     34 s · attempt 2 · encoding: 43 % of 12 seconds`
fn busy_row(busy: &Busy, at: Timestamp, now: Timestamp, names: usize) -> Row {
    let mut row = Row::default()
        .add(Paint::busy, " ● ")
        .column(plain, &name(&busy.task), names)
        .add(plain, seconds(millis_between(at, now)));
    if busy.attempt > 1 {
        row = row.add(Paint::odd, format!(" · attempt {}", busy.attempt));
    }
    match &busy.progress {
        Some(progress) => row.add(Paint::dim, format!(" · {}", how_far(progress))),
        None => row,
    }
}

/// `↻ fetch        attempt 3 in 4 s · rate_limited: 429 Too Many Requests`
fn retry_row(retry: &Retry, at: Timestamp, now: Timestamp, names: usize) -> Row {
    let left = left_until(at, now);
    Row::default()
        .add(Paint::odd, " ↻ ")
        .column(plain, &name(&retry.task), names)
        .add(Paint::odd, format!("attempt {} in {left}", retry.attempt))
        .add(Paint::dim, format!(" · {}", retry.error))
}

/// `◷ nap          2 min 5 s left`
fn timer_row(task: &TaskRef, at: Timestamp, now: Timestamp, names: usize) -> Row {
    let left = left_until(at, now);
    Row::default()
        .add(Paint::odd, " ◷ ")
        .column(plain, &name(task), names)
        .add(plain, format!("{left} left"))
}

/// `⧗ 3 queue for pool encode · 12 queue for rate balldontlie`
fn queue_row(queues: &BTreeMap<String, usize>) -> Row {
    let parts: Vec<String> =
        queues.iter().map(|(gate, number)| format!("{number} queue for {gate}")).collect();
    Row::default().add(Paint::odd, " ⧗ ").add(plain, parts.join(" · "))
}

/// The time until an instant; what is begun counts as a whole second, so that `0 s` is never shown
/// for long.
fn left_until(at: Timestamp, now: Timestamp) -> String {
    seconds(millis_between(now, at).saturating_add(999))
}
