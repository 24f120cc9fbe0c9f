//! Long waits for other runs, which are told once, so that nobody wonders why nothing happens.

use std::time::Duration;

use tokio::time::Instant;

/// So long a wait is told of.
const LONG: Duration = Duration::from_secs(5);

/// A wait that goes on.
#[derive(Debug)]
pub(crate) struct Patience {
    since: Instant,
    told: bool,
}

impl Patience {
    /// A wait that begins now.
    pub(crate) fn begin() -> Self {
        Self { since: Instant::now(), told: false }
    }

    /// Whether the wait has become long; true once.
    pub(crate) fn ends(&mut self) -> bool {
        let is_long = self.since.elapsed() >= LONG;
        is_long && !std::mem::replace(&mut self.told, is_long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_once_and_only_after_a_long_wait() {
        let mut patience = Patience::begin();
        assert!(!patience.ends());
        tokio::time::advance(LONG).await;
        assert!(patience.ends());
        tokio::time::advance(LONG).await;
        assert!(!patience.ends());
    }
}
