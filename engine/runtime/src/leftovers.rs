//! Processes of attempts that a crash cut short. The helper that starts programs ends them when the
//! engine dies; should it have died too, whoever takes the run up ends what is still there.

use std::collections::HashMap;

use flow_core::run::event::TaskRef;
use flow_core::run::{Event, Recorded};
use flow_core::stage::ProcessId;

/// Ends what is left of attempts that have no recorded end. A process is ended only if its start
/// time and boot are the recorded ones, so that a later process with its id is safe.
pub(crate) fn end_leftovers(records: &[Recorded]) {
    for process in unended(records) {
        if is_alive(&process) {
            tracing::warn!(pid = process.pid, "ending a process that an earlier crash left behind");
            end(&process);
        }
    }
}

fn unended(records: &[Recorded]) -> Vec<ProcessId> {
    let mut open: HashMap<&TaskRef, Vec<ProcessId>> = HashMap::new();
    for recorded in records {
        match &recorded.event {
            Event::ProcessStarted { task, process, .. } => {
                open.entry(task).or_default().push(process.clone());
            }
            Event::AttemptFailed { task, .. }
            | Event::Succeeded { task, .. }
            | Event::Failed { task, .. }
            | Event::Cancelled { task, .. } => {
                open.remove(task);
            }
            _ => {}
        }
    }
    open.into_values().flatten().collect()
}

#[cfg(target_os = "linux")]
fn is_alive(process: &ProcessId) -> bool {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    if boot.map_or(true, |b| b.trim() != process.boot_id) {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    // The command name may have spaces and brackets in it; the fields follow its last bracket.
    let start_time = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(19))
        .and_then(|field| field.parse::<u64>().ok());
    start_time == Some(process.start_time)
}

#[cfg(not(target_os = "linux"))]
fn is_alive(_process: &ProcessId) -> bool {
    // Without a start time to compare, a stranger could be hit.
    false
}

/// Ends the process and the session that it leads.
fn end(process: &ProcessId) {
    use rustix::process::{Pid, Signal, kill_process, kill_process_group};
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return };
    for result in [kill_process_group(pid, Signal::KILL), kill_process(pid, Signal::KILL)] {
        if let Err(error) = result
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(pid = process.pid, %error, "a process could not be ended");
        }
    }
}
