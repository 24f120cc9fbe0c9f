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

impl Dispatcher {
    /// Asks the gate of a task to let it through; whatever it answers is told as a signal. False if
    /// the attempt must not start now.
    pub(super) fn pass_gate(&mut self, task: TaskId, attempt: u32) -> bool {
        let Some(gate) = self.state.graph().node(task.node).gate else { return true };
        let wanted = self.state.graph().gates()[gate].clone();
        match self.ask_gate(&wanted) {
            Ok(Ok(slot)) => {
                self.waits.remove(&gate);
                self.slots.extend(slot.map(|slot| (task, slot)));
                self.send(Signal::Admitted(task));
                true
            }
            Ok(Err(wait)) => {
                self.tell_long_wait(task, gate, &wanted);
                self.send(Signal::Refused(task));
                self.send_after(wait, Signal::GateOpened(gate));
                false
            }
            Err(error) => {
                let error = store_error("ask for a place in a pool or a rate", &error);
                let usage = Usage::default();
                let outcome = Outcome::Failed { error, begun: false, usage };
                self.send(Signal::Ended { task, attempt, outcome });
                false
            }
        }
    }

    /// Tells of a pool that other runs have had all to themselves for long.
    fn tell_long_wait(&mut self, task: TaskId, gate: usize, wanted: &Gate) {
        let Some((pool, _)) = &wanted.pool else { return };
        let graph = self.state.graph();
        let is_own = |task: &TaskId| graph.node(task.node).gate == Some(gate);
        if self.slots.keys().any(is_own) {
            self.waits.remove(&gate);
        } else if self.waits.entry(gate).or_insert_with(Patience::begin).ends() {
            let holders = self.around.store.pool_holders(pool).join("; ");
            let holders = if holders.is_empty() { "other runs".to_owned() } else { holders };
            let message = format!("waits for a place in pool {pool}, which is taken: {holders}");
            self.around.note(&self.state.task_ref(task), message);
        }
    }

    /// The slot that an attempt holds, or how long to wait before asking again. The pool goes
    /// first: a start that a rate has granted counts, whether it happens or not.
    fn ask_gate(&self, gate: &Gate) -> Result<Result<Option<Box<dyn Hold>>, Duration>, StoreError> {
        let store = &self.around.store;
        let slot = match &gate.pool {
            None => None,
            Some((pool, size)) => match store.try_pool(pool, *size)? {
                None => return Ok(Err(POLL)),
                slot => slot,
            },
        };
        if let Some((rate, limit)) = &gate.rate
            && let Some(wait) = store.try_rate(rate, *limit, self.clock.now().wall)?
        {
            return Ok(Err(wait));
        }
        Ok(Ok(slot))
    }

    /// An attempt ended: its slot is free at once, its flight once the record is durable.
    pub(super) fn let_go(&mut self, task: TaskId) {
        self.landed.extend(self.flights.remove(&task));
        if self.slots.remove(&task).is_none() {
            return;
        }
        let graph = self.state.graph();
        let pool_of = |gate: &Gate| gate.pool.as_ref().map(|(name, _)| name.clone());
        let own = graph.node(task.node).gate.and_then(|gate| pool_of(&graph.gates()[gate]));
        for (gate, other) in graph.gates().iter().enumerate() {
            if pool_of(other) == own {
                self.send(Signal::GateOpened(gate));
            }
        }
    }
}
