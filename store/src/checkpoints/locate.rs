//! Finding a cached result: in this process if it has the database, else by asking the one that has
//! it, and taking its place when it is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::{Checkpoint, StoreError};

use super::{Checkpoints, Database, Order, Shared, lock};
use crate::cache::{Answer, Backing, Index, Place, Silence, ask};

/// So long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// After someone gave no answer, so long nobody is asked: a process that is stopped would cost every
/// question the full time.
const PAUSE: Duration = Duration::from_secs(10);

/// The process that has the database may just be about to listen, or to end.
const RETRY: Duration = Duration::from_millis(2);

impl Checkpoints {
    /// The latest result with this key that was durable before the call.
    pub(crate) fn cached(&self, key: &Digest) -> Result<Option<Checkpoint>, StoreError> {
        match self.locate(key)? {
            Some(place) => match place.read(&self.shared.layout, key) {
                Err(StoreError::Damaged { path, offset, reason }) => {
                    tracing::warn!(path = %path.display(), offset, reason, "not taken for a result");
                    Ok(None)
                }
                other => other,
            },
            None => Ok(None),
        }
    }

    fn locate(&self, key: &Digest) -> Result<Option<Place>, StoreError> {
        self.prepare();
        self.shared.wait(self.shared.state(), |state| state.tried > 0);
        let until = Instant::now() + PATIENCE;
        loop {
            if self.shared.has_answers() {
                return self.shared.locate(key);
            }
            if lock(&self.shared.unanswered).is_some_and(|pause| pause > Instant::now()) {
                return Ok(None);
            }
            match ask(&self.shared.layout, key, until) {
                Ok(Answer::Found(place)) => return Ok(Some(place)),
                Ok(Answer::Nothing) => return Ok(None),
                Ok(Answer::Unable) => return Ok(self.go_without("it cannot say")),
                Err(Silence::NoWord(error)) => return Ok(self.go_without(&error.to_string())),
                Err(Silence::Nobody) if Instant::now() > until => {
                    return Ok(self.go_without("it does not listen"));
                }
                Err(Silence::Nobody) => self.take_its_place(),
            }
        }
    }

    fn go_without(&self, reason: &str) -> Option<Place> {
        tracing::warn!(reason, "the process with the checkpoint database gives no answer");
        *lock(&self.shared.unanswered) = Some(Instant::now() + PAUSE);
        None
    }

    /// Tries to open the database now.
    fn take_its_place(&self) {
        let mut state = self.shared.state();
        state.tries += 1;
        state.urgent = true;
        let tries = state.tries;
        self.shared.work.notify_one();
        self.shared.wait(state, |state| state.tried >= tries);
        if !self.shared.has_answers() {
            std::thread::sleep(RETRY);
        }
    }
}

impl Shared {
    /// Whether this process finds results itself: because it has the database, or because nobody
    /// can have it.
    fn has_answers(&self) -> bool {
        let state = self.state();
        let alone = state.failed || state.finished;
        drop(state);
        alone || self.database().is_some()
    }

    /// What another process is told.
    pub(super) fn answer(&self, key: &Digest) -> Answer {
        match self.locate(key) {
            Ok(Some(place)) => Answer::Found(place),
            Ok(None) => Answer::Nothing,
            Err(error) => {
                tracing::warn!(%error, "a question of another process has no answer");
                Answer::Unable
            }
        }
    }

    fn locate(&self, key: &Digest) -> Result<Option<Place>, StoreError> {
        let mut index = lock(&self.index);
        let loaded = match index.take() {
            Some(loaded) => loaded,
            None => Index::load(&self.layout, self)?,
        };
        let loaded = index.insert(loaded);
        let found = loaded.find(&self.layout, self, key)?;
        if found.as_ref().is_none_or(|place| matches!(place.read(&self.layout, key), Ok(Some(_)))) {
            return Ok(found);
        }
        // Its run was removed, and another one may have the same.
        *loaded = Index::load(&self.layout, self)?;
        loaded.find(&self.layout, self, key)
    }
}

impl Backing for Shared {
    fn database(&self) -> Option<Arc<Database>> {
        self.database()
    }

    fn take_over(&self, run: &RunId, upto: u64, again: bool) {
        self.order(run, Order { upto, again, sync: true }, 1);
    }
}
