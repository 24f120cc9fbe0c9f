//! The event bus: durable events, in order, to whoever watches. Observers run on a thread of their
//! own, so that a slow terminal never holds up a run; a slow observer loses passing news, never
//! events.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use flow_core::run::Recorded;
use flow_core::run::event::TaskRef;
use flow_core::stage::{Progress, Stream};

/// News that are told and forgotten.
#[derive(Debug, Clone)]
pub enum Passing {
    /// How far an attempt is.
    Progress {
        /// The task.
        task: TaskRef,
        /// Number of the attempt.
        attempt: u32,
        /// How far.
        progress: Progress,
    },
    /// Output of a program.
    Log {
        /// The task.
        task: TaskRef,
        /// Number of the attempt.
        attempt: u32,
        /// Where it was written.
        stream: Stream,
        /// The bytes, as they came.
        bytes: Vec<u8>,
    },
    /// How many tasks stand in front of a pool or rate.
    Queue {
        /// What they wait for, in words.
        gate: String,
        /// How many.
        waiting: usize,
    },
    /// Words of the engine itself.
    Note {
        /// The task, if it is about one.
        task: Option<TaskRef>,
        /// The words.
        message: String,
    },
}

/// Someone who watches a run.
pub trait Observer: Send {
    /// A fact; called in order, once it is durable.
    fn event(&mut self, recorded: &Recorded);

    /// Passing news; may be left out.
    fn passing(&mut self, _passing: &Passing) {}

    /// Nothing more is waiting; a good moment to flush.
    fn idle(&mut self) {}
}

/// Passing news that may wait before they are dropped.
const PASSING_MAX: usize = 4096;

enum Message {
    Events(Vec<Arc<Recorded>>),
    Passing(Passing),
}

/// The sending side.
#[derive(Clone)]
pub(crate) struct Bus {
    sender: Sender<Message>,
    passing: Arc<AtomicUsize>,
}

/// The observers' thread.
pub(crate) struct Watch(JoinHandle<()>);

impl Bus {
    /// Starts the observers' thread.
    pub(crate) fn start(mut observers: Vec<Box<dyn Observer>>) -> std::io::Result<(Self, Watch)> {
        let (sender, receiver) = channel();
        let passing = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&passing);
        let thread = std::thread::Builder::new()
            .name("observers".into())
            .spawn(move || watch(&receiver, &mut observers, &count))?;
        Ok((Self { sender, passing }, Watch(thread)))
    }

    /// Tells facts that are durable.
    pub(crate) fn publish(&self, events: Vec<Arc<Recorded>>) {
        // The thread ends only after every sender is gone, so nothing can be lost here.
        drop(self.sender.send(Message::Events(events)));
    }

    /// Tells passing news, unless too many wait already.
    pub(crate) fn pass(&self, passing: Passing) {
        if self.passing.fetch_add(1, Ordering::Relaxed) < PASSING_MAX {
            drop(self.sender.send(Message::Passing(passing)));
        } else {
            self.passing.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Watch {
    /// Waits until the observers have seen everything.
    pub(crate) fn finish(self) {
        if let Err(panic) = self.0.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn watch(receiver: &Receiver<Message>, observers: &mut [Box<dyn Observer>], passing: &AtomicUsize) {
    while let Ok(first) = receiver.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            for observer in observers.iter_mut() {
                match &message {
                    Message::Events(events) => events.iter().for_each(|e| observer.event(e)),
                    Message::Passing(news) => observer.passing(news),
                }
            }
            if matches!(message, Message::Passing(_)) {
                passing.fetch_sub(1, Ordering::Relaxed);
            }
            next = receiver.try_recv().ok();
        }
        observers.iter_mut().for_each(|o| o.idle());
    }
}
