//! Standard error while a run goes on: lines that scroll, and the region below them.
//!
//! A thread of its own writes, so that a terminal that takes nothing (Ctrl-S, a pager) never holds
//! up the run. The cursor stands at the first column of the region's first row, and is never
//! hidden: whatever follows from there clears the region whole, however a resize has wrapped it,
//! and a killed process leaves a terminal that can be used.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flow_core::run::Recorded;
use flow_core::run::event::TaskRef;
use flow_core::stage::Progress;
use jiff::Timestamp;

use super::frame::{Look, Size};
use super::model::Model;

/// Time between two frames.
const PACE: Duration = Duration::from_millis(100);

/// How often a frame is looked at in which nothing but the time has changed.
const TICK: Duration = Duration::from_millis(500);

/// A run that is over sooner needs no region.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long a terminal may take to clear the region before the process stops.
const MANNERS: Duration = Duration::from_millis(300);

/// More bytes than this are not put in line: the terminal takes nothing, or too slowly.
const BEHIND: usize = 4 << 20;

/// What everything that is told goes through while a run goes on.
static VOICE: Mutex<Option<Handle>> = Mutex::new(None);

/// Tells a text through the screen; false if there is none.
pub(crate) fn say(text: &str) -> bool {
    let voice = VOICE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    voice.is_some_and(|handle| {
        handle.say(text);
        true
    })
}

/// The screen of a run, from its start until it is dropped.
pub(crate) struct Screen {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// A way to the screen.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something is to be written.
    wake: Condvar,
    /// The region is gone.
    cleared: Condvar,
}

struct State {
    /// Lines to be written above the region.
    text: String,
    /// What the region shows; `None` for lines alone.
    view: Option<View>,
    /// Whether the region may have to look otherwise.
    changed: bool,
    mode: Mode,
}

/// What the region shows, and how.
pub(super) struct View {
    pub(super) model: Model,
    pub(super) look: Look,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Shown,
    /// The region goes, and nothing is written until it comes back.
    Hiding,
    Hidden,
    Closing,
}

impl Screen {
    /// Takes standard error over.
    ///
    /// # Errors
    /// A system that gives no thread.
    pub(super) fn start(view: Option<View>) -> std::io::Result<Self> {
        let state = State { text: String::new(), view, changed: false, mode: Mode::Shown };
        let (wake, cleared) = (Condvar::new(), Condvar::new());
        let handle = Handle(Arc::new(Shared { state: Mutex::new(state), wake, cleared }));
        let shared = Arc::clone(&handle.0);
        let thread = std::thread::Builder::new()
            .name("screen".into())
            .spawn(move || Pen::new().write_all(&shared))?;
        *VOICE.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle.clone());
        Ok(Self { handle, thread: Some(thread) })
    }

    /// A way to it.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Screen {
    /// Clears the region and waits until everything is written.
    fn drop(&mut self) {
        *VOICE.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.handle.lock().mode = Mode::Closing;
        self.handle.0.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was noted by the hook; the run does not depend on it.
            thread.join().ok();
        }
    }
}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Wakes the writer, unless it is awake already.
    fn change(&self, mut state: MutexGuard<'_, State>) {
        if !std::mem::replace(&mut state.changed, true) {
            drop(state);
            self.0.wake.notify_all();
        }
    }

    /// Writes lines above the region.
    pub(crate) fn say(&self, text: &str) {
        let mut state = self.lock();
        state.text.push_str(text);
        self.change(state);
    }

    /// Whether what is told piles up.
    pub(crate) fn is_behind(&self) -> bool {
        self.lock().text.len() > BEHIND
    }

    /// Whether there is a region.
    pub(crate) fn has_region(&self) -> bool {
        self.lock().view.is_some()
    }

    /// Folds an event into what the region shows.
    pub(crate) fn event(&self, recorded: &Recorded) {
        self.update(|model| model.event(recorded));
    }

    /// Notes how far an attempt is.
    pub(crate) fn progress(&self, task: &TaskRef, progress: &Progress) {
        self.update(|model| model.progress(task, progress));
    }

    /// Notes how many tasks stand in front of a pool or rate.
    pub(crate) fn queue(&self, gate: &str, waiting: usize) {
        self.update(|model| model.queue(gate, waiting));
    }

    fn update(&self, fold: impl FnOnce(&mut Model)) {
        let mut state = self.lock();
        if let Some(view) = &mut state.view {
            fold(&mut view.model);
            self.change(state);
        }
    }

    /// Draws anew: the terminal has another size, or another program has written to it.
    pub(crate) fn redraw(&self) {
        let mut state = self.lock();
        if state.mode == Mode::Hidden {
            state.mode = Mode::Shown;
        }
        state.changed = true;
        drop(state);
        self.0.wake.notify_all();
    }

    /// Takes the region away until [`Handle::redraw`], and waits a moment for it.
    pub(crate) fn hide(&self) {
        let mut state = self.lock();
        state.mode = Mode::Hiding;
        self.0.wake.notify_all();
        let is_hiding = |state: &mut State| state.mode == Mode::Hiding;
        let waited = self.0.cleared.wait_timeout_while(state, MANNERS, is_hiding);
        // A terminal that takes nothing is left as it is.
        drop(waited);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is to be written. `last` is when that was done last.
    fn next(&self, last: Instant) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        loop {
            let pace = if state.view.is_some() { PACE } else { Duration::ZERO };
            let wait = match (state.mode, &state.view) {
                (Mode::Hiding | Mode::Closing, _) => return state,
                (Mode::Shown, _) if state.changed => Some(pace.saturating_sub(last.elapsed())),
                (Mode::Shown, Some(_)) => Some(TICK.saturating_sub(last.elapsed())),
                (Mode::Hidden, _) | (_, None) => None,
            };
            state = match wait {
                Some(Duration::ZERO) => return state,
                Some(wait) => {
                    let woken = self.wake.wait_timeout(state, wait);
                    woken.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state)
                }
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// What writes, and what it has drawn.
struct Pen {
    started: Instant,
    last: Instant,
    /// The rows of the region as they stand on the terminal.
    shown: Vec<String>,
    size: Option<Size>,
}

impl Pen {
    fn new() -> Self {
        let now = Instant::now();
        Self { started: now, last: now, shown: Vec::new(), size: None }
    }

    /// Writes until the screen is closed.
    fn write_all(&mut self, shared: &Shared) {
        loop {
            let mut state = shared.next(self.last);
            let text = std::mem::take(&mut state.text);
            let mode = state.mode;
            // Drawn from here: whatever comes meanwhile changes it again.
            let redraws = std::mem::take(&mut state.changed);
            let frame = match (&mut state.view, mode) {
                (Some(view), Mode::Shown) => self.frame(view),
                _ => Vec::new(),
            };
            drop(state);
            self.write(&text, frame, redraws);
            if mode == Mode::Closing {
                return;
            }
            if mode == Mode::Hiding {
                let mut state = shared.lock();
                if state.mode == Mode::Hiding {
                    state.mode = Mode::Hidden;
                }
                drop(state);
                shared.cleared.notify_all();
            }
        }
    }

    /// The rows to be shown now.
    fn frame(&mut self, view: &mut View) -> Vec<String> {
        if self.started.elapsed() < PATIENCE || !is_foreground() {
            return Vec::new();
        }
        let size = size();
        if self.size.replace(size) != Some(size) {
            // A resize may have wrapped what stands there.
            self.shown.clear();
        }
        view.look.frame(&view.model, Timestamp::now(), size)
    }

    /// Writes lines and the region below them, in one piece, if anything is new.
    fn write(&mut self, text: &str, frame: Vec<String>, redraws: bool) {
        self.last = Instant::now();
        let is_new = frame != self.shown || (redraws && !frame.is_empty() && self.shown.is_empty());
        if text.is_empty() && !is_new {
            return;
        }
        let bytes = match (self.shown.is_empty(), frame.is_empty()) {
            // Nothing but lines, as in a file.
            (true, true) => text.to_owned(),
            _ => painted(text, &frame),
        };
        // Where that fails, nobody is left to be told.
        stderr().lock().write_all(bytes.as_bytes()).ok();
        self.shown = frame;
    }
}

/// Lines and a region as the terminal takes them. The cursor is where the region began, and ends
/// where the new one begins. Terminals that know how show all of it at once.
fn painted(text: &str, frame: &[String]) -> String {
    let mut out = String::from("\x1b[?2026h\r");
    if !text.is_empty() {
        out.push_str("\x1b[J");
        out.push_str(text);
    }
    for (place, row) in frame.iter().enumerate() {
        let end = if place + 1 < frame.len() { "\r\n" } else { "" };
        out.push_str(&format!("{row}\x1b[K{end}"));
    }
    out.push_str("\x1b[J");
    if frame.len() > 1 {
        out.push_str(&format!("\x1b[{}A", frame.len() - 1));
    }
    out.push_str("\r\x1b[?2026l");
    out
}

/// Whether the terminal is ours to draw on: not after `bg`.
fn is_foreground() -> bool {
    let in_front = rustix::termios::tcgetpgrp(stderr());
    in_front.map_or(true, |group| group == rustix::process::getpgrp())
}

/// The size of the terminal; where it has none, the usual one.
fn size() -> Size {
    let told = rustix::termios::tcgetwinsize(stderr());
    let (columns, rows) = told.map_or((0, 0), |size| (size.ws_col, size.ws_row));
    let or = |number: u16, usual| if number == 0 { usual } else { usize::from(number) };
    Size { columns: or(columns, 80), rows: or(rows, 24) }
}

/// Whether standard error is a terminal that can move its cursor.
pub(super) fn can_draw() -> bool {
    let term = std::env::var_os("TERM");
    stderr().is_terminal() && term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal shows after these writes.
    fn shown(size: (u16, u16), writes: &[String]) -> (String, (u16, u16)) {
        let number = |n| std::num::NonZero::new(n).expect("a terminal has a size");
        let mut terminal = vt100::Parser::new(number(size.1), number(size.0), 100);
        for bytes in writes {
            // A terminal in its usual mode begins a new line in the first column.
            terminal.process(bytes.replace("\r\n", "\n").replace('\n', "\r\n").as_bytes());
        }
        (terminal.screen().contents(), terminal.screen().cursor_position())
    }

    fn rows(rows: &[&str]) -> Vec<String> {
        rows.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_scroll_above_the_region_and_the_cursor_waits_at_its_beginning() {
        let writes = [
            painted("first\n", &rows(&["head", " a", " b"])),
            painted("", &rows(&["head 2", " a"])),
            painted("second\nthird\n", &rows(&["head 3"])),
        ];
        let (text, cursor) = shown((20, 6), &writes);
        assert_eq!(text, "first\nsecond\nthird\nhead 3");
        assert_eq!(cursor, (3, 0));
    }

    #[test]
    fn a_region_at_the_bottom_scrolls_the_lines_and_nothing_else() {
        let mut writes: Vec<String> = (0..10)
            .map(|n| painted(&format!("line {n}\n"), &rows(&["head", " a", " b"])))
            .collect();
        writes.push(painted("", &rows(&["head", " a"])));
        let (text, cursor) = shown((20, 6), &writes);
        assert_eq!(text, "line 7\nline 8\nline 9\nhead\n a");
        assert_eq!(cursor, (3, 0));
    }

    #[test]
    fn a_long_line_wraps_above_the_region() {
        let writes = [painted("", &rows(&["head"])), painted("0123456789abc\n", &rows(&["head"]))];
        let (text, _) = shown((10, 6), &writes);
        assert_eq!(text, "0123456789abc\nhead");
    }

    #[test]
    fn nothing_of_the_region_stays_at_the_end() {
        let writes = [painted("told\n", &rows(&["head", " a"])), painted("", &[])];
        let (text, cursor) = shown((20, 6), &writes);
        assert_eq!((text.as_str(), cursor), ("told", (1, 0)));
    }
}
