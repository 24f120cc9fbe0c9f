//! External programs: the one way to run them, for `command` and for every other stage.
//!
//! [`Spawner::run`] starts a [`Command`] and waits for it. It streams what the program writes to
//! the stage's context, obeys the context's wish to stop, and returns either how the program
//! [`Finished`] or a typed error with the whole command and the last lines of its stderr.
//!
//! Programs are not started by the engine itself but by a small *starter process*: the engine's
//! own executable, run again with [`SPAWNER_ARG`], connected by a socket. It is the subreaper of
//! everything below it. That makes starting cheap (the process is small and has one thread), and
//! it makes ending sure: whatever a program leaves behind becomes the starter's child, and when
//! the engine dies, even by SIGKILL, the starter's socket ends and it ends all of them. It is
//! started with the first program; a run without programs has none.
//!
//! Three rules follow for whoever embeds this. The program's `main` calls [`serve_if_spawner`]
//! before anything else. A [`Spawner`] is used inside a Tokio runtime with I/O and time enabled.
//! And a descendant of a program never outlives its attempt: a daemon belongs outside.

mod command;
mod failure;
mod output;
mod platform;
mod program;
mod protocol;
mod room;
mod run;
mod server;
mod spawner;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod watch;

use std::io;

pub use command::{Captured, Command, ExitRule, Finished, GRACE, Keep, LineSink, Stdin};
pub(crate) use program::is_executable;
pub use program::{install_hint, resolve};
pub(crate) use room::{NO_SPACE, with_room};
pub use spawner::Spawner;

/// The hidden first argument that makes an executable the starter process.
pub const SPAWNER_ARG: &str = "__spawner";

/// Turns this process into the starter process if its first argument says so, and then never
/// returns. Call it first in `main`, before any thread is started.
pub fn serve_if_spawner() {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == SPAWNER_ARG) {
        let code = match serve_on_stdin() {
            Ok(()) => 0,
            // EX_SOFTWARE of sysexits.h; stderr is closed, so there is nobody to tell more.
            Err(_) => 70,
        };
        std::process::exit(code);
    }
}

/// The variable that gives such an executable another role: to run a single filter of `jq`.
pub(crate) const ROLE: &str = "FLOW_PROCESS_ROLE";

/// Does what this process was started for: by default, serves the engine at the other end of
/// standard input until it closes. Without a socket there it returns at once.
fn serve_on_stdin() -> io::Result<()> {
    if std::env::var_os(ROLE).is_some_and(|role| role == crate::builtin::FILTER_ROLE) {
        return crate::builtin::serve_filter();
    }
    let stdin = io::stdin();
    if rustix::net::getsockname(&stdin).is_err() {
        return Ok(());
    }
    server::serve(rustix::io::fcntl_dupfd_cloexec(&stdin, 3)?)
}
