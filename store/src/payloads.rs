//! Recent small payloads, kept in memory because the next task is about to ask for them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_core::digest::Digest;
use flow_core::store::InlinePayload;

/// How many bytes are kept.
const CAPACITY: usize = 32 << 20;

/// What an entry costs besides its bytes.
const OVERHEAD: usize = 128;

/// A bounded set of payloads; the oldest go first.
#[derive(Debug, Default)]
pub(crate) struct RecentPayloads {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: HashMap<Digest, Arc<[u8]>>,
    order: VecDeque<Digest>,
    total: usize,
}

impl RecentPayloads {
    pub(crate) fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.lock().bytes.get(digest).cloned()
    }

    pub(crate) fn keep(&self, payloads: &[InlinePayload]) {
        if payloads.is_empty() {
            return;
        }
        let mut inner = self.lock();
        for (digest, bytes) in payloads {
            if inner.bytes.insert(*digest, bytes.clone()).is_none() {
                inner.order.push_back(*digest);
                inner.total += bytes.len() + OVERHEAD;
            }
        }
        while inner.total > CAPACITY {
            let Some(oldest) = inner.order.pop_front() else { break };
            let bytes = inner.bytes.remove(&oldest);
            inner.total -= bytes.map_or(0, |bytes| bytes.len() + OVERHEAD).min(inner.total);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_payloads_go_when_the_memory_is_used_up() {
        let recent = RecentPayloads::default();
        let payload = |n: u8| -> InlinePayload {
            let bytes: Arc<[u8]> = vec![n; CAPACITY / 4].into();
            (Digest::of(&bytes), bytes)
        };
        let all: Vec<InlinePayload> = (0..5).map(payload).collect();
        recent.keep(&all);
        recent.keep(&all[4..]);
        let kept: Vec<bool> = all.iter().map(|(digest, _)| recent.get(digest).is_some()).collect();
        assert_eq!(kept, [false, false, true, true, true]);
    }
}
