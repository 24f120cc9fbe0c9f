//! `flow` on a terminal of its own, seen as a person sees it.

use std::io::{Read as _, Write};
use std::num::NonZero;
use std::sync::{Arc, Mutex};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::Parser;

use crate::harness::{Place, wait_until};

/// A terminal with `flow` in it.
pub(crate) struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Mutex<Seen>>,
}

/// What begins and ends a frame. A terminal shows all of it at once.
const FRAME: [&[u8]; 2] = [b"\x1b[?2026h", b"\x1b[?2026l"];

/// What a terminal has shown.
struct Seen {
    parser: Parser,
    /// Every byte that came.
    bytes: Vec<u8>,
    /// How many of them are on the screen: the rest is a frame without its end.
    shown: usize,
    /// Whether nothing more comes.
    ended: bool,
}

impl Seen {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.show(whole(&self.bytes));
    }

    fn end(&mut self) {
        self.show(self.bytes.len());
        self.ended = true;
    }

    fn show(&mut self, until: usize) {
        if until > self.shown {
            self.parser.process(&self.bytes[self.shown..until]);
            self.shown = until;
        }
    }
}

/// Where a frame begins that has no end yet; else the end.
fn whole(bytes: &[u8]) -> usize {
    let [begin, end] = FRAME.map(|mark| bytes.windows(mark.len()).rposition(|it| it == mark));
    begin.filter(|begin| end.is_none_or(|end| end < *begin)).unwrap_or(bytes.len())
}

fn number(size: u16) -> NonZero<u16> {
    NonZero::new(size).unwrap()
}

impl Terminal {
    /// Starts `flow ARGS` in a terminal of so many columns and rows.
    pub(crate) fn start(place: &Place, args: &[&str], columns: u16, rows: u16) -> Self {
        let flow = std::iter::once(env!("CARGO_BIN_EXE_flow")).chain(args.iter().copied());
        Self::start_program(place, &flow.collect::<Vec<_>>(), columns, rows)
    }

    /// Starts any program so.
    pub(crate) fn start_program(place: &Place, argv: &[&str], columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(argv[0]);
        command.args(&argv[1..]);
        command.cwd(place.path(""));
        command.env("TERM", "xterm-256color");
        command.env("TZ", "UTC");
        for name in ["FLOW_STORE", "NO_COLOR"] {
            command.env_remove(name);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let parser = Parser::new(number(rows), number(columns), 1000);
        let seen = Seen { parser, bytes: Vec::new(), shown: 0, ended: false };
        let screen = Arc::new(Mutex::new(seen));
        let (seen, mut reader) = (Arc::clone(&screen), pair.master.try_clone_reader().unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                seen.lock().unwrap().take(&buffer[..length]);
            }
            seen.lock().unwrap().end();
        });
        let keys = pair.master.take_writer().unwrap();
        Self { master: pair.master, keys, child, screen }
    }

    /// What is to be seen now.
    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().parser.screen().contents()
    }

    /// Whether the cursor is to be seen.
    pub(crate) fn has_cursor(&self) -> bool {
        !self.screen.lock().unwrap().parser.screen().hide_cursor()
    }

    /// All that was ever sent to the terminal.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.screen.lock().unwrap().bytes.clone()
    }

    /// Waits until the screen has this in it.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str) {
        wait_until(&format!("the screen has `{what}`"), || self.text().contains(what));
    }

    /// Waits until the screen changes. Where nothing but the time does, the next change is a while
    /// away.
    #[track_caller]
    pub(crate) fn wait_for_change(&self) {
        let length = || self.screen.lock().unwrap().bytes.len();
        let before = length();
        wait_until("the screen changes", || length() > before);
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let mut seen = self.screen.lock().unwrap();
        seen.parser.screen_mut().set_size(number(rows), number(columns));
        self.master.resize(size).unwrap();
    }

    /// Sends a signal to `flow`.
    pub(crate) fn send(&self, signal: &str) {
        let id = self.child.process_id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until `flow` has ended and all of it is on the screen; gives the exit code.
    pub(crate) fn end(&mut self) -> u32 {
        let status = self.child.wait().unwrap();
        wait_until("the terminal is closed", || self.screen.lock().unwrap().ended);
        status.exit_code()
    }
}
