//! Finding a cached result: in this process if it has the database, else by asking the one that has
//! it, and taking its place when it is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::digest::Digest;
use flow_core::id::RunId;
use flow_core::store::{Checkpoint, StoreError};

use super::{Checkpoints, Database, Order, Shared, lock};
use crate::cache::{Answer, Backing, Index, Place, Silence, ask};
use crate::layout::Layout;

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
        let place = match self.locate(key)? {
            Located::Here(checkpoint) => return Ok(checkpoint),
            Located::At(place) => place,
        };
        read(&self.shared.layout, &place, key)
    }

    fn locate(&self, key: &Digest) -> Result<Located, StoreError> {
        self.prepare();
        self.shared.wait(self.shared.state(), |state| state.tried > 0);
        let until = Instant::now() + PATIENCE;
        loop {
            if self.shared.has_answers() {
                let found = self.shared.locate(key)?;
                return Ok(Located::Here(found.map(|(_, checkpoint)| checkpoint)));
            }
            if lock(&self.shared.unanswered).is_some_and(|pause| pause > Instant::now()) {
                return Ok(Located::Here(None));
            }
            match ask(&self.shared.layout, key, until) {
                Ok(Answer::Found(place)) => return Ok(Located::At(place)),
                Ok(Answer::Nothing) => return Ok(Located::Here(None)),
                Ok(Answer::Unable) => return Ok(self.go_without("it cannot say")),
                Err(Silence::NoWord(error)) => return Ok(self.go_without(&error.to_string())),
                Err(Silence::Nobody) if Instant::now() > until => {
                    return Ok(self.go_without("it does not listen"));
                }
                Err(Silence::Nobody) => self.take_its_place(),
            }
        }
    }

    fn go_without(&self, reason: &str) -> Located {
        tracing::warn!(reason, "the process with the checkpoint database gives no answer");
        *lock(&self.shared.unanswered) = Some(Instant::now() + PAUSE);
        Located::Here(None)
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
            Ok(Some((place, _))) => Answer::Found(place),
            Ok(None) => Answer::Nothing,
            Err(error) => {
                tracing::warn!(%error, "a question of another process has no answer");
                Answer::Unable
            }
        }
    }

    /// The newest result with this key, and where it stands.
    fn locate(&self, key: &Digest) -> Result<Option<(Place, Checkpoint)>, StoreError> {
        let mut index = lock(&self.index);
        let loaded = match index.take() {
            Some(loaded) => loaded,
            None => Index::load(&self.layout, self)?,
        };
        let loaded = index.insert(loaded);
        let Some(place) = loaded.find(&self.layout, self, key)? else { return Ok(None) };
        if let Ok(Some(checkpoint)) = place.read(&self.layout, key) {
            return Ok(Some((place, checkpoint)));
        }
        // Its run was removed, and another one may have the same.
        *loaded = Index::load(&self.layout, self)?;
        let Some(place) = loaded.find(&self.layout, self, key)? else { return Ok(None) };
        let checkpoint = read(&self.layout, &place, key)?;
        Ok(checkpoint.map(|checkpoint| (place, checkpoint)))
    }
}

/// What was found of a key.
enum Located {
    /// By this process: the result, or that there is none.
    Here(Option<Checkpoint>),
    /// By another one: where it stands.
    At(Place),
}

/// The result at a place; one that is damaged is none.
fn read(layout: &Layout, place: &Place, key: &Digest) -> Result<Option<Checkpoint>, StoreError> {
    match place.read(layout, key) {
        Err(StoreError::Damaged { path, offset, reason }) => {
            tracing::warn!(path = %path.display(), offset, reason, "not taken for a result");
            Ok(None)
        }
        other => other,
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
