//! Remote services, one file for each API, and the one way to call them.
//!
//! A *service* is an API as a node has configured it: where it is, its key, how long a call may take
//! and how often it is tried. [`call()`] makes one call: it limits how many go on at once, sets the
//! time, tries again what may pass, and records each retry. A *chain* is a list of providers of which
//! the first that can does the work; the last one of each chain needs neither key nor network.
//!
//! What a server says decides the class of a failure: the code in its body first, its status second.
//! Each API's file has that table. What was paid for is remembered before it is used ([`once`]).

pub(crate) mod anthropic;
pub(crate) mod balldontlie;
pub(crate) mod call;
pub(crate) mod chain;
pub(crate) mod comfyui;
pub(crate) mod day;
pub(crate) mod elevenlabs;
pub(crate) mod fal;
pub(crate) mod flux;
pub(crate) mod gemini;
pub(crate) mod goatedbets;
pub(crate) mod instagram;
pub(crate) mod job;
pub(crate) mod language;
pub(crate) mod odds_api;
pub(crate) mod once;
pub(crate) mod openai;
pub(crate) mod openai_images;
pub(crate) mod picture;
pub(crate) mod publication;
pub(crate) mod replicate;
pub(crate) mod s3;
pub(crate) mod service;
mod socket;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tiktok;
pub(crate) mod webhook;
pub(crate) mod wire;
pub(crate) mod youtube;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::transport::{Clients, Settings};

pub(crate) use call::{call, call_and_keep};
pub(crate) use chain::{Chain, Provider};
pub(crate) use service::{Api, Service};
pub(crate) use wire::{Answer, Message};

/// What all stages of a process share of the outside world.
#[derive(Clone)]
pub(crate) struct Remote {
    clients: Arc<Clients>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// Slots of services by name and place: as many as calls may go on at once.
    slots: BTreeMap<String, Arc<Semaphore>>,
    /// Paces of services by name and place.
    paces: BTreeMap<String, Arc<Pace>>,
    /// Providers whose quota was used up, by run.
    exhausted: HashSet<(String, String)>,
}

/// Evenly spaced instants at which calls of a service may begin.
struct Pace {
    step: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    fn new(per_minute: u64) -> Self {
        let calls = u32::try_from(per_minute).unwrap_or(u32::MAX).max(1);
        Self { step: Duration::from_secs(60) / calls, next: Mutex::new(Instant::now()) }
    }

    /// Takes the next instant.
    fn turn(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(Instant::now());
        *next = turn + self.step;
        turn
    }
}

impl Remote {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self { clients: Arc::new(Clients::new(settings)), shared: Arc::default() }
    }

    /// The HTTP clients. They are made at the first request, so that a run without one pays nothing
    /// for them.
    pub(crate) fn clients(&self) -> Arc<Clients> {
        Arc::clone(&self.clients)
    }

    /// The slots of a service. The first who asks decides how many there are.
    fn slots(&self, service: &str, count: usize) -> Arc<Semaphore> {
        let mut shared = self.lock();
        let slots = shared.slots.entry(service.to_owned());
        Arc::clone(slots.or_insert_with(|| Arc::new(Semaphore::new(count))))
    }

    /// The pace of a service that takes so many calls a minute. The first who asks decides.
    fn pace(&self, service: &str, per_minute: u64) -> Arc<Pace> {
        let mut shared = self.lock();
        let paces = shared.paces.entry(service.to_owned());
        Arc::clone(paces.or_insert_with(|| Arc::new(Pace::new(per_minute))))
    }

    fn is_exhausted(&self, run: &str, provider: &str) -> bool {
        self.lock().exhausted.contains(&(run.to_owned(), provider.to_owned()))
    }

    fn exhaust(&self, run: &str, provider: &str) {
        self.lock().exhausted.insert((run.to_owned(), provider.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
