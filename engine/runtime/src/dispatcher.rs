//! The one owner of a run: receive a signal → decide → commit → apply → publish → act.
//!
//! Events are written as soon as they are decided and made durable by a thread that syncs; one sync
//! covers everything that was written before it began. Until then nothing of them is applied, shown
//! or built upon. An attempt's start is the one exception that its kind allows: it waits for the
//! write alone, because a power cut leaves no child behind.

mod gates;

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use flow_core::id::TaskId;
use flow_core::run::decide::owed_wakes;
use flow_core::run::event::RunEnd;
use flow_core::run::{
    Action, Decision, Ending, Event, Mark, Outcome, Recorded, RunState, Signal, decide,
};
use flow_core::stage::CancelReason;
use flow_core::store::{Hold, InlinePayload, Journal, Position, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::bus::Bus;
use crate::clock::Clock;
use crate::executor::{
    Assignment, Beginning, Keeper, Line, Memo, Surroundings, assignment, execute_node, probe_node,
    read_items,
};
use crate::inbox::{self, Word};
use crate::journal_sync::SyncThread;
use crate::queues::Queues;
use crate::runner::{Control, RunError};

/// What reaches the dispatcher.
enum Input {
    Signal(Signal),
    /// An attempt is prepared and would begin.
    Begun {
        task: TaskId,
        attempt: u32,
        beginning: Beginning,
    },
    /// An attempt remembers something, and waits for the word that it is durable.
    Memo {
        task: TaskId,
        memo: Memo,
        word: oneshot::Sender<()>,
    },
    /// A sync ended: everything up to the position is durable.
    Synced(Result<Position, StoreError>),
}

/// Events that are written and not yet durable.
struct Batch {
    position: Position,
    records: Vec<Arc<Recorded>>,
    then: Vec<Action>,
    settled: usize,
    /// Single flights whose results others can find from here on.
    flights: Vec<Box<dyn Hold>>,
    /// Messages whose words are on record from here on.
    messages: Vec<String>,
    /// Words for attempts that remember something.
    words: Vec<oneshot::Sender<()>>,
}

/// How long a record that nothing waits for may stay unsynced: many of them share one sync then.
const LAZY_SYNC: Duration = Duration::from_millis(4);

/// How often a full pool is asked again while others have it, and how often the inbox is looked at.
const POLL: Duration = Duration::from_millis(100);
const INBOX_POLL: Duration = Duration::from_millis(200);

/// Signals that are decided on before their events are written together.
const BURST: usize = 1024;

pub(crate) struct Dispatcher {
    around: Rc<Surroundings>,
    journal: Box<dyn Journal>,
    state: RunState,
    clock: Arc<dyn Clock>,
    bus: Bus,
    inputs: mpsc::UnboundedReceiver<Input>,
    sender: mpsc::UnboundedSender<Input>,
    sync: SyncThread,
    syncing: bool,
    /// Whether something waits for what is written to be durable.
    urgent: bool,
    /// When to sync at the latest although nothing waits.
    lazy_sync: Option<tokio::time::Instant>,
    durable: Position,
    written: Position,
    next_seq: u64,
    batches: VecDeque<Batch>,
    // The batch that is being put together.
    events: Vec<Event>,
    payloads: Vec<InlinePayload>,
    actions: Vec<Action>,
    then: Vec<Action>,
    settled: usize,
    /// Attempts that wait for the word that their start is written.
    starts: HashMap<TaskId, oneshot::Sender<()>>,
    /// Slots of pools, by the task that holds one.
    slots: HashMap<TaskId, Box<dyn Hold>>,
    /// Single flights of attempts that have not ended.
    flights: HashMap<TaskId, Box<dyn Hold>>,
    /// Flights and messages to let go with the batch that is being put together.
    landed: Vec<Box<dyn Hold>>,
    messages: Vec<String>,
    /// Messages whose words are on record with the end of the run.
    last_messages: Vec<String>,
    words: Vec<oneshot::Sender<()>>,
    inbox_poll: tokio::time::Interval,
    queues: Queues,
    cancel: watch::Sender<Option<CancelReason>>,
    interrupted: bool,
    ending: Option<Ending>,
}

impl Dispatcher {
    pub(crate) fn new(
        around: Surroundings,
        journal: Box<dyn Journal>,
        state: RunState,
        clock: Arc<dyn Clock>,
        bus: Bus,
    ) -> Result<Self, RunError> {
        let (sender, inputs) = mpsc::unbounded_channel();
        let done = sender.clone();
        let told = move |result| done.send(Input::Synced(result)).is_ok();
        let sync = SyncThread::start(journal.syncer(), told)?;
        Ok(Self {
            around: Rc::new(around),
            journal,
            next_seq: state.last_seq() + 1,
            state,
            clock,
            bus,
            inputs,
            sender,
            sync,
            syncing: false,
            urgent: false,
            lazy_sync: None,
            durable: Position::default(),
            written: Position::default(),
            batches: VecDeque::new(),
            events: Vec::new(),
            payloads: Vec::new(),
            actions: Vec::new(),
            then: Vec::new(),
            settled: 0,
            starts: HashMap::new(),
            slots: HashMap::new(),
            flights: HashMap::new(),
            landed: Vec::new(),
            messages: Vec::new(),
            last_messages: Vec::new(),
            words: Vec::new(),
            inbox_poll: {
                let mut interval = tokio::time::interval(INBOX_POLL);
                interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                interval
            },
            queues: Queues::default(),
            cancel: watch::Sender::new(None),
            interrupted: false,
            ending: None,
        })
    }

    /// Drives the run to its end.
    pub(crate) async fn run(
        mut self,
        first: (Vec<Event>, Vec<InlinePayload>),
        mut control: mpsc::UnboundedReceiver<Control>,
    ) -> Result<Ending, RunError> {
        let local = tokio::task::LocalSet::new();
        let result = local.run_until(self.drive(first, &mut control)).await;
        // Attempts that are still about (a store failure, a second signal) end with their tasks.
        drop(local);
        self.sync.stop();
        result
    }

    async fn drive(
        &mut self,
        first: (Vec<Event>, Vec<InlinePayload>),
        control: &mut mpsc::UnboundedReceiver<Control>,
    ) -> Result<Ending, RunError> {
        (self.events, self.payloads) = first;
        self.flush()?;
        self.wait_durable().await?;
        self.take_up_waits()?;
        self.arm_deadline();
        self.step(Signal::Applied);
        self.flush()?;
        let mut burst = Vec::with_capacity(BURST);
        while self.ending.is_none() {
            tokio::select! {
                biased;
                word = control.recv(), if !control.is_closed() => {
                    if let Some(word) = word {
                        self.control(word);
                    }
                }
                () = at(self.lazy_sync) => self.urgent = true,
                _ = self.inbox_poll.tick() => {
                    self.queues.tell(&self.state, &self.bus);
                    self.read_inbox()?;
                }
                _ = self.inputs.recv_many(&mut burst, BURST) => {
                    for input in burst.drain(..) {
                        self.take(input)?;
                    }
                }
            }
            self.step(Signal::Applied);
            self.flush()?;
        }
        Ok(self.ending.take().unwrap_or(Ending::Interrupted(String::new())))
    }

    /// The first event stands alone: nothing begins before the run is on record.
    async fn wait_durable(&mut self) -> Result<(), RunError> {
        while !self.batches.is_empty() {
            if let Some(input) = self.inputs.recv().await {
                self.take(input)?;
            }
        }
        Ok(())
    }

    /// What ended a wait while nobody had the run is known before the first decision, which may be
    /// to leave because only waiting is left.
    fn take_up_waits(&mut self) -> Result<(), RunError> {
        for wake in owed_wakes(&self.state, self.clock.now()) {
            match wake {
                Action::Wake { task, after } if after.is_zero() => self.step(Signal::Due(task)),
                later => self.act(vec![later]),
            }
        }
        self.read_inbox()
    }

    fn control(&mut self, word: Control) {
        match word {
            Control::Interrupt { signal } => {
                let again = std::mem::replace(&mut self.interrupted, true);
                self.step(Signal::Interrupt { signal, again });
            }
            Control::Cancel => self.step(Signal::Cancel),
        }
    }

    /// Does what people asked of the run from other processes. A message stays until what it says
    /// is on record.
    fn read_inbox(&mut self) -> Result<(), RunError> {
        for (name, bytes) in self.around.store.inbox(&self.around.run)? {
            if self.messages.contains(&name)
                || self.last_messages.contains(&name)
                || self.batches.iter().any(|batch| batch.messages.contains(&name))
            {
                continue;
            }
            let word = inbox::read(&bytes);
            match word {
                Some(Word::Cancel) => self.last_messages.push(name),
                Some(_) => self.messages.push(name),
                None => {
                    tracing::warn!(message = name, "a message in the inbox cannot be read");
                    self.messages.push(name);
                }
            }
            if let Some(signal) = word.and_then(|word| self.word(word)) {
                self.step(signal);
            }
        }
        Ok(())
    }

    /// What a word from outside is to this run; `None` if it does not concern its state.
    fn word(&self, word: Word) -> Option<Signal> {
        inbox::signal(&self.around.store, &self.state, word)
    }

    fn arm_deadline(&self) {
        if let Some(deadline) = self.state.graph().settings().deadline {
            self.send_after(deadline, Signal::Deadline);
        }
    }

    fn take(&mut self, input: Input) -> Result<(), RunError> {
        match input {
            Input::Signal(signal) => {
                if let Signal::Ended { task, .. } = &signal {
                    self.let_go(*task);
                }
                self.step(signal);
            }
            Input::Begun { task, attempt, beginning } => {
                let Beginning { key, intent, cache_missed, flight } = beginning;
                self.flights.extend(flight.map(|flight| (task, flight)));
                self.step(Signal::Begun { task, attempt, key, intent, cache_missed });
            }
            Input::Memo { task, memo: Memo { key, name, kept }, word } => {
                self.step(Signal::Remembers { task, key, name, kept });
                // An attempt that was given up, of which nothing is kept, listens no more.
                self.words.push(word);
            }
            Input::Synced(position) => self.synced(position?)?,
        }
        Ok(())
    }

    /// Decides on one signal. What it decides is written with the rest of the burst.
    fn step(&mut self, signal: Signal) {
        let decision = decide(&self.state, signal, self.clock.now());
        let Decision { events, payloads, marks, actions, then } = decision;
        for mark in &marks {
            self.settled += usize::from(matches!(mark, Mark::CameBack(_) | Mark::Settling(_)));
            self.state.mark(mark);
        }
        self.events.extend(events);
        self.payloads.extend(payloads);
        self.actions.extend(actions);
        self.then.extend(then);
    }

    /// Writes the events of the burst, starts a sync, and does what waits for the write alone.
    fn flush(&mut self) -> Result<(), RunError> {
        self.urgent |= !self.then.is_empty() || !self.state.is_busy();
        if !self.events.is_empty() {
            self.urgent |= self.events.iter().any(|event| self.is_awaited(event));
            self.before_the_end()?;
            let ts = self.clock.now().wall;
            let records: Vec<Recorded> = std::mem::take(&mut self.events)
                .into_iter()
                .map(|event| self.record(ts, event))
                .collect();
            let payloads = std::mem::take(&mut self.payloads);
            self.written = self.journal.append(&records, &payloads)?;
            self.enqueue(records.into_iter().map(Arc::new).collect());
        } else if !self.then.is_empty()
            || self.settled > 0
            || !self.messages.is_empty()
            || !self.words.is_empty()
        {
            self.enqueue(Vec::new());
        }
        self.request_sync();
        let actions = std::mem::take(&mut self.actions);
        self.act(actions);
        if self.durable >= self.written && !self.batches.is_empty() {
            self.synced(self.durable)?;
        }
        Ok(())
    }

    /// What has to be done before the end of the run is written, if it is among the events.
    fn before_the_end(&mut self) -> Result<(), RunError> {
        let end = self.events.iter().find_map(|event| match event {
            Event::RunFinished { status } => Some(*status),
            _ => None,
        });
        if end == Some(RunEnd::Succeeded) {
            // Whatever could ask for what is in them has ended, and that is durable.
            self.around.store.remove_private(&self.around.run)?;
        }
        if end.is_some() {
            self.messages.append(&mut self.last_messages);
        }
        Ok(())
    }

    fn record(&mut self, ts: jiff::Timestamp, event: Event) -> Recorded {
        let seq = event.name().map(|_| self.next_seq);
        self.next_seq += u64::from(seq.is_some());
        Recorded { seq, ts, event }
    }

    fn enqueue(&mut self, records: Vec<Arc<Recorded>>) {
        self.batches.push_back(Batch {
            position: self.written,
            records,
            then: std::mem::take(&mut self.then),
            settled: std::mem::take(&mut self.settled),
            flights: std::mem::take(&mut self.landed),
            messages: std::mem::take(&mut self.messages),
            words: std::mem::take(&mut self.words),
        });
    }

    /// Whether something goes on once this event is durable. The start of an attempt is awaited
    /// by nobody, and neither is the end of a node that nothing depends on.
    fn is_awaited(&self, event: &Event) -> bool {
        match event {
            Event::AttemptStarted { .. }
            | Event::ProcessStarted { .. }
            | Event::OutputKept { .. }
            | Event::CallRetried { .. }
            | Event::PassedOver { .. }
            | Event::CacheMiss { .. }
            | Event::CacheHit { .. } => false,
            Event::Succeeded { task, .. } | Event::Reused { task, .. } if task.item.is_none() => {
                let graph = self.state.graph();
                graph.find(&task.node).is_none_or(|id| !graph.node(id).dependents.is_empty())
            }
            _ => true,
        }
    }

    fn request_sync(&mut self) {
        if self.syncing || self.durable >= self.written {
            return;
        }
        if !self.urgent {
            self.lazy_sync =
                self.lazy_sync.or_else(|| Some(tokio::time::Instant::now() + LAZY_SYNC));
            return;
        }
        (self.syncing, self.urgent, self.lazy_sync) = (true, false, None);
        self.sync.request();
    }

    /// Applies, publishes and acts on everything that is durable now.
    fn synced(&mut self, position: Position) -> Result<(), RunError> {
        self.syncing = false;
        self.durable = self.durable.max(position);
        let mut told = Vec::new();
        let mut then = Vec::new();
        while self.batches.front().is_some_and(|b| b.position <= self.durable) {
            let Some(batch) = self.batches.pop_front() else { break };
            for recorded in &batch.records {
                self.state.apply(recorded);
            }
            for _ in 0..batch.settled {
                self.state.mark(&Mark::Settled);
            }
            told.extend(batch.records);
            then.extend(batch.then);
            drop(batch.flights);
            for word in batch.words {
                word.send(()).ok();
            }
            for message in &batch.messages {
                self.around.store.take_message(&self.around.run, message)?;
            }
        }
        if !told.is_empty() {
            self.bus.publish(told);
        }
        self.act(then);
        self.request_sync();
        Ok(())
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start { task, attempt, timeout, by_deadline } => {
                    if !self.pass_gate(task, attempt) {
                        continue;
                    }
                    let base = assignment(&self.state, &self.around.manifest, task, attempt);
                    self.start(task, Assignment { timeout, by_deadline, ..base });
                }
                Action::Probe { task, attempt } => {
                    let base = assignment(&self.state, &self.around.manifest, task, attempt);
                    self.probe(task, base);
                }
                Action::Again => self.send(Signal::Applied),
                Action::Proceed(task) => {
                    if let Some(word) = self.starts.remove(&task) {
                        // An attempt that is gone needs no word.
                        word.send(()).ok();
                    }
                }
                Action::Wake { task, after } => self.send_after(after, Signal::Due(task)),
                Action::Resolve(group) => self.resolve(group),
                Action::CancelAll(reason) => {
                    self.cancel.send_replace(Some(reason));
                }
                Action::Finish(ending) => self.ending = Some(ending),
            }
        }
    }

    fn send(&self, signal: Signal) {
        // After the end of the run nobody listens, and nothing is lost by it.
        drop(self.sender.send(Input::Signal(signal)));
    }

    fn send_after(&self, after: Duration, signal: Signal) {
        let sender = self.sender.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(after).await;
            // The run may be over by then.
            drop(sender.send(Input::Signal(signal)));
        });
    }

    fn start(&mut self, task: TaskId, assignment: Assignment) {
        let attempt = assignment.attempt;
        let line = self.line(task, attempt);
        let (around, sender) = (Rc::clone(&self.around), self.sender.clone());
        tokio::task::spawn_local(async move {
            let outcome: Outcome = execute_node(&around, &assignment, line).await;
            drop(sender.send(Input::Signal(Signal::Ended { task, attempt, outcome })));
        });
    }

    fn probe(&mut self, task: TaskId, assignment: Assignment) {
        let attempt = assignment.attempt;
        let line = self.line(task, attempt);
        let (around, sender) = (Rc::clone(&self.around), self.sender.clone());
        tokio::task::spawn_local(async move {
            let outcome: Outcome = probe_node(&around, &assignment, line).await;
            drop(sender.send(Input::Signal(Signal::Ended { task, attempt, outcome })));
        });
    }

    /// The two-way line to an attempt.
    fn line(&mut self, task: TaskId, attempt: u32) -> Line {
        let (word, begun) = oneshot::channel();
        self.starts.insert(task, word);
        let [to_begin, to_tell, to_keep] = [(); 3].map(|()| self.sender.clone());
        Line {
            begin: Box::new(move |beginning| {
                drop(to_begin.send(Input::Begun { task, attempt, beginning }));
                begun
            }),
            tell: Box::new(move |news| {
                drop(to_tell.send(Input::Signal(Signal::Told { task, attempt, news })));
            }),
            keeper: Keeper::Run(Box::new(move |memo| {
                let (word, kept) = oneshot::channel();
                drop(to_keep.send(Input::Memo { task, memo, word }));
                kept
            })),
            cancel: self.cancel.subscribe(),
        }
    }

    fn resolve(&self, group: usize) {
        let keys = read_items(&self.around, &self.state, group);
        self.send(Signal::Resolved { group, keys: keys.map_err(|e| *e) });
    }
}

/// Resolves at an instant, or never.
async fn at(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
