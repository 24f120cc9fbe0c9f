//! Pools and rates: what an attempt has to pass before it starts, and what it gives back at its end.

use std::time::Duration;

use flow_core::graph::Gate;
use flow_core::id::TaskId;
use flow_core::run::{Outcome, Signal};
use flow_core::stage::Usage;
use flow_core::store::{Hold, StoreError};

use super::{Dispatcher, POLL};
use crate::executor::store_error;
use crate::patience::Patience;

/// What a gate answers.
enum Answer {
    /// The attempt may start, and holds this.
    Through(Option<Box<dyn Hold>>),
    /// The pool is full.
    Full,
    /// The rate grants a start after this time at the earliest.
    Later(Duration),
}

impl Dispatcher {
    /// Asks the gate of a task to let it through; whatever it answers is told as a signal. False if
    /// the attempt must not start now.
    pub(super) fn pass_gate(&mut self, task: TaskId, attempt: u32) -> bool {
        let Some(gate) = self.state.graph().node(task.node).gate else { return true };
        let wanted = self.state.graph().gates()[gate].clone();
        let wait = match self.ask_gate(&wanted) {
            Ok(Answer::Through(slot)) => {
                self.waits.remove(&gate);
                self.slots.extend(slot.map(|slot| (task, slot)));
                self.send(Signal::Admitted(task));
                return true;
            }
            Ok(Answer::Full) => {
                self.tell_long_wait(task, gate, &wanted);
                POLL
            }
            Ok(Answer::Later(wait)) => {
                self.waits.remove(&gate);
                wait
            }
            Err(error) => {
                let error = store_error("ask for a place in a pool or a rate", &error);
                let usage = Usage::default();
                let outcome = Outcome::Failed { error, begun: false, usage };
                self.send(Signal::Ended { task, attempt, outcome });
                return false;
            }
        };
        self.send(Signal::Refused(task));
        self.send_after(wait, Signal::GateOpened(gate));
        false
    }

    /// Tells of a pool that other runs have had all to themselves for long.
    fn tell_long_wait(&mut self, task: TaskId, gate: usize, wanted: &Gate) {
        let Some(pool) = pool_of(wanted) else { return };
        if self.slots.keys().any(|holder| self.pool_of_task(*holder) == Some(pool)) {
            self.waits.remove(&gate);
        } else if self.waits.entry(gate).or_insert_with(Patience::begin).ends() {
            let holders = self.around.store.pool_holders(pool).join("; ");
            let holders = if holders.is_empty() { "other runs".to_owned() } else { holders };
            let message = format!("waits for a place in pool {pool}, which is taken: {holders}");
            self.around.note(&self.state.task_ref(task), message);
        }
    }

    /// The pool in which a task has its place.
    fn pool_of_task(&self, task: TaskId) -> Option<&str> {
        let graph = self.state.graph();
        pool_of(&graph.gates()[graph.node(task.node).gate?])
    }

    /// Asks for a place in the pool and a start under the rate. The pool goes first: a start that a
    /// rate has granted counts, whether it happens or not.
    fn ask_gate(&self, gate: &Gate) -> Result<Answer, StoreError> {
        let store = &self.around.store;
        let slot = match &gate.pool {
            None => None,
            Some((pool, size)) => match store.try_pool(pool, *size)? {
                None => return Ok(Answer::Full),
                slot => slot,
            },
        };
        if let Some((rate, limit)) = &gate.rate
            && let Some(wait) = store.try_rate(rate, *limit, self.clock.now().wall)?
        {
            return Ok(Answer::Later(wait));
        }
        Ok(Answer::Through(slot))
    }

    /// An attempt ended: its slot is free at once, its flight once the record is durable.
    pub(super) fn let_go(&mut self, task: TaskId) {
        self.landed.extend(self.flights.remove(&task));
        if self.slots.remove(&task).is_none() {
            return;
        }
        let own = self.pool_of_task(task);
        for (gate, other) in self.state.graph().gates().iter().enumerate() {
            if pool_of(other) == own {
                self.send(Signal::GateOpened(gate));
            }
        }
    }
}

fn pool_of(gate: &Gate) -> Option<&str> {
    gate.pool.as_ref().map(|(name, _)| name.as_str())
}
