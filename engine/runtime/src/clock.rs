//! Time, as a thing that can be handed in: a simulated run brings its own.

use std::time::Instant;

use flow_core::run::Now;
use jiff::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Now;
}

/// The clock of the machine. Spans are measured with the monotonic clock, which stands still while
/// the machine sleeps, so that a suspended machine does not time out everything at once.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose elapsed time starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { wall: Timestamp::now(), elapsed: self.start.elapsed() }
    }
}
