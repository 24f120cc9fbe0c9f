//! The signals that ask `flow` to stop, and those of the terminal.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;
use crate::report::live::Handle;

/// Number of SIGHUP on every platform that is supported.
const SIGHUP: u32 = 1;

/// Listens for the signals.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Absent where the process was started to survive a hang-up.
    hang_up: Option<Signal>,
}

impl Signals {
    /// Takes the signals over. Must be called inside a tokio runtime.
    pub(super) fn listen() -> Result<Self, Failure> {
        let take = |kind| {
            signal(kind)
                .map_err(|source| Failure::System { operation: "listen to signals", source })
        };
        let hang_up = if ignores_hang_up() { None } else { Some(take(SignalKind::hangup())?) };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hang_up,
        })
    }

    /// Waits for the next one, and names it.
    pub(super) async fn next(&mut self) -> &'static str {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hang_up => "SIGHUP",
        }
    }
}

/// Keeps the region in order while the terminal changes its size, and while the process is stopped
/// (Ctrl-Z) and goes on. Must be called inside a tokio runtime.
///
/// # Errors
/// A signal that cannot be listened to.
pub(super) fn attend(screen: Handle) -> Result<impl Future<Output = ()> + Send, Failure> {
    let take = |number: nix::sys::signal::Signal| {
        let operation = "listen to signals of the terminal";
        signal(SignalKind::from_raw(number as i32))
            .map_err(|source| Failure::System { operation, source })
    };
    use nix::sys::signal::Signal::{SIGCONT, SIGTSTP, SIGWINCH};
    let has_region = screen.has_region();
    // Where there is no region the process stops as any other does.
    let mut listened = match has_region {
        true => Some((take(SIGTSTP)?, take(SIGCONT)?, take(SIGWINCH)?)),
        false => None,
    };
    Ok(async move {
        let Some((stop, go_on, resize)) = &mut listened else { return };
        loop {
            tokio::select! {
                _ = stop.recv() => {
                    screen.hide();
                    // What the signal would have done if nobody had listened.
                    nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP).ok();
                    screen.redraw();
                }
                _ = go_on.recv() => screen.redraw(),
                _ = resize.recv() => screen.redraw(),
            }
        }
    })
}

/// Whether the process was started with SIGHUP ignored, as `nohup` does. Known on Linux alone.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}
