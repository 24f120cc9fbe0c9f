//! Ending a program with all its descendants, and finding out who they are.
//!
//! A program's descendants are those that the process table shows below it; those that were seen
//! there before; and orphans of this process that carry the program's token in their environment
//! or live in a session or process group of a descendant. An orphan that none of this tells about
//! (a daemon with an emptied environment) is a stray: it belongs to one of the programs that ran
//! when it started, and is ended with the last of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{ORPHANED_GRACE, Server};
use crate::process::platform;
use crate::process::protocol::{End, Reply, Spawn};
use crate::process::tree::{self, Identity, OwnChildren, Snapshot};

/// First pause between two looks at processes that are being ended.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
/// Last pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What a program leaves running has this long to end by itself, such as the `tee` behind a
/// shell's `> >(tee log)`.
const LINGER: Duration = Duration::from_millis(250);

/// A program and all that it started.
pub(super) struct Attempt {
    child: Option<u32>,
    started: u64,
    grace: Duration,
    token: Vec<u8>,
    members: BTreeSet<Identity>,
    sessions: BTreeSet<u32>,
    ending: Option<Ending>,
    /// Whether the engine waits for it; strays are ended without an answer.
    silent: bool,
}

/// The end of a program in progress.
struct Ending {
    terminate_at: Instant,
    kill_at: Instant,
    terminated: BTreeSet<Identity>,
}

impl Attempt {
    pub(super) fn new(pid: u32, spawn: &Spawn) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Self {
            child: Some(pid),
            started: platform::ticks_since_boot(),
            grace: Duration::from_millis(spawn.grace_ms),
            token: spawn.token.as_bytes().to_vec(),
            members: BTreeSet::new(),
            sessions: BTreeSet::from([pid]),
            ending: None,
            silent: false,
        }
    }

    /// Processes that no program of the engine's can be blamed for.
    fn of_strays(started: u64) -> Self {
        Self {
            child: None,
            started,
            grace: ORPHANED_GRACE,
            // No process has an entry without a name.
            token: b"=".to_vec(),
            members: BTreeSet::new(),
            sessions: BTreeSet::new(),
            ending: None,
            silent: true,
        }
    }

    /// The process id, while the program itself runs.
    pub(super) fn running(&self) -> Option<u32> {
        self.child
    }

    /// A new program has this process id, so that an old session of that number is not ours.
    pub(super) fn session_reused(&mut self, pid: u32) {
        self.sessions.remove(&pid);
    }

    /// Sets when to signal; an earlier time stands.
    fn end_at(&mut self, terminate_at: Instant, kill_at: Instant) {
        match &mut self.ending {
            Some(ending) => {
                ending.terminate_at = ending.terminate_at.min(terminate_at);
                ending.kill_at = ending.kill_at.min(kill_at);
            }
            None => {
                self.ending = Some(Ending { terminate_at, kill_at, terminated: BTreeSet::new() });
            }
        }
    }

    fn owns(&self, snapshot: &Snapshot, orphan: Identity) -> bool {
        self.members.contains(&orphan)
            || tree::has_entry(orphan.pid, &self.token)
            || snapshot.process(orphan.pid).is_some_and(|process| {
                self.sessions.contains(&process.session) || self.sessions.contains(&process.group)
            })
    }

    /// Takes in a process and all below it.
    fn adopt(&mut self, snapshot: &Snapshot, root: u32) {
        let below = snapshot.descendants(root);
        for process in below.into_iter().chain(snapshot.process(root)) {
            self.members.insert(process.identity);
            self.sessions.extend([process.session, process.group]);
        }
    }

    /// Signals what is left; `false` when nothing is.
    fn press(&mut self, snapshot: &Snapshot, now: Instant) -> bool {
        self.members.retain(|member| snapshot.is_alive(*member));
        let Some(ending) = &mut self.ending else { return true };
        let first_time = ending.terminated.is_empty();
        for member in &self.members {
            if now >= ending.kill_at {
                platform::signal_process(member.pid, member.start_time, Signal::KILL);
            } else if now >= ending.terminate_at
                && (first_time || is_orphan(snapshot, *member))
                && ending.terminated.insert(*member)
            {
                platform::signal_process(member.pid, member.start_time, Signal::TERM);
                // A stopped process takes its SIGTERM only when it goes on.
                platform::signal_process(member.pid, member.start_time, Signal::CONT);
            }
        }
        self.child.is_some() || !self.members.is_empty()
    }
}

/// Whether a process has lost its parent. Of the processes that appear after the first SIGTERM only
/// these are asked to end: the others are what a program starts to put things in order.
fn is_orphan(snapshot: &Snapshot, member: Identity) -> bool {
    snapshot.process(member.pid).is_some_and(|process| process.parent == std::process::id())
}

/// Children that the process table has not shown, by how often they were looked for. The next look shows
/// whose they are, but for processes that the system hides, such as those of another user.
#[derive(Default)]
pub(super) struct Unseen(BTreeMap<u32, u32>);

/// So often a child is looked for.
const LOOKS: u32 = 40;

impl Unseen {
    /// Takes in what a look has not shown; whether another one may show it.
    fn may_show(&mut self, unknown: &[u32]) -> bool {
        let looks = |pid| self.0.get(&pid).map_or(1, |looks| looks.saturating_add(1));
        self.0 = unknown.iter().map(|pid| (*pid, looks(*pid))).collect();
        self.0.values().any(|looks| *looks < LOOKS)
    }
}

/// Orphans that nothing tells about, with the programs that may have started each.
#[derive(Default)]
pub(super) struct Strays {
    suspects: BTreeMap<Identity, BTreeSet<u64>>,
    next_id: u64,
}

impl Strays {
    /// An orphan was reaped.
    pub(super) fn forget(&mut self, pid: u32) {
        self.suspects.retain(|stray, _| stray.pid != pid);
    }

    fn contains(&self, pid: u32) -> bool {
        self.suspects.keys().any(|stray| stray.pid == pid)
    }
}

impl Server {
    /// Ends a program at the engine's wish.
    pub(super) fn end(&mut self, id: u64, grace: Duration) {
        let now = Instant::now();
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.end_at(now, now + grace);
            self.look_soon(now);
        }
    }

    /// A program itself has ended: what it left behind must end too.
    pub(super) fn child_ended(&mut self, id: u64, end: End) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let child = attempt.child.take();
        let nothing_left = attempt.members.is_empty()
            && self.own_children.is_some()
            && self.unknown_children().is_empty();
        if nothing_left || !self.has_leftovers(id, child) {
            self.link.tell(Reply::Exited { id, end, alone: true });
            self.forget(id);
            return;
        }
        self.link.tell(Reply::Exited { id, end, alone: false });
        let now = Instant::now();
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.end_at(now + LINGER, now + LINGER + attempt.grace);
        }
        self.look_soon(now);
    }

    fn has_leftovers(&mut self, id: u64, child: Option<u32>) -> bool {
        let snapshot = Snapshot::take();
        if snapshot.is_empty() {
            // Without a process table the group is all that can be reached.
            child.into_iter().for_each(|pid| platform::signal_group(pid, Signal::TERM));
            return false;
        }
        self.attribute(&snapshot);
        let attempt = self.attempts.get(&id);
        attempt.is_some_and(|a| a.members.iter().any(|member| snapshot.is_alive(*member)))
            || !self.unknown_children().is_empty()
    }

    /// The children of this process of which it is not known whose they are. The process table is not
    /// read in one instant: what forks and ends meanwhile can hide the child that it leaves.
    fn unknown_children(&self) -> Vec<u32> {
        let mut children = self.own_children.as_ref().map(OwnChildren::ids).unwrap_or_default();
        children.retain(|pid| {
            let is_member = |attempt: &Attempt| attempt.members.iter().any(|m| m.pid == *pid);
            !self.children.contains_key(pid)
                && !self.strays.contains(*pid)
                && !self.attempts.values().any(is_member)
        });
        children
    }

    fn look_soon(&mut self, now: Instant) {
        self.pause = SHORTEST_PAUSE;
        self.look_again = Some(now);
    }

    /// Signals processes that are being ended and tells about those that are gone.
    pub(super) fn look_after_ending(&mut self) {
        let now = Instant::now();
        if self.look_again.is_none_or(|at| at > now) {
            return;
        }
        self.press_all(now);
        // A signalled child often ends at once; its exit code is told with this same look.
        self.reap();
        let busy = self.attempts.values().any(|a| a.ending.is_some());
        self.look_again = busy.then(|| now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.tell_when_all_is_gone();
    }

    fn press_all(&mut self, now: Instant) {
        let snapshot = Snapshot::take();
        self.attribute(&snapshot);
        let mut gone = Vec::new();
        for (id, attempt) in &mut self.attempts {
            if attempt.ending.is_none() {
                continue;
            }
            if snapshot.is_empty() {
                attempt.press_group(now);
            }
            if !attempt.press(&snapshot, now) {
                gone.push((*id, attempt.silent));
            }
        }
        let unknown = self.unknown_children();
        if self.unseen.may_show(&unknown) {
            return;
        }
        for (id, silent) in gone {
            if !silent {
                self.link.tell(Reply::Gone { id });
            }
            self.forget(id);
        }
    }

    /// Finds out whose each orphan is, and brings every ending program's members up to date.
    fn attribute(&mut self, snapshot: &Snapshot) {
        let orphans: Vec<Identity> = snapshot
            .children(std::process::id())
            .filter(|p| !p.zombie && !self.children.contains_key(&p.identity.pid))
            .map(|p| p.identity)
            .collect();
        for attempt in self.attempts.values_mut() {
            // The id of a member that ended may be a stranger's by now.
            attempt.members.retain(|member| snapshot.is_alive(*member));
            if let Some(child) = attempt.child {
                attempt.adopt(snapshot, child);
            }
            let members: Vec<u32> = attempt.members.iter().map(|member| member.pid).collect();
            for pid in members {
                attempt.adopt_below(snapshot, pid);
            }
        }
        for orphan in orphans {
            self.attribute_orphan(snapshot, orphan);
        }
        self.settle_strays(snapshot);
    }

    fn attribute_orphan(&mut self, snapshot: &Snapshot, orphan: Identity) {
        if let Some(owner) = self.attempts.values_mut().find(|a| a.owns(snapshot, orphan)) {
            owner.adopt(snapshot, orphan.pid);
            self.strays.suspects.remove(&orphan);
        } else {
            // One tick of doubt, because both clocks are cut to whole ticks.
            let suspects = self.attempts.iter().filter(|(_, attempt)| {
                !attempt.silent && attempt.started <= orphan.start_time.saturating_add(1)
            });
            let suspects: BTreeSet<u64> = suspects.map(|(id, _)| *id).collect();
            self.strays.suspects.entry(orphan).or_insert(suspects);
        }
    }

    /// Gives strays with one suspect to that one, and ends those with none.
    fn settle_strays(&mut self, snapshot: &Snapshot) {
        let settled = self.strays.suspects.extract_if(.., |_, suspects| suspects.len() < 2);
        let settled: Vec<(Identity, Option<u64>)> =
            settled.map(|(stray, suspects)| (stray, suspects.first().copied())).collect();
        for (stray, suspect) in settled {
            match suspect.and_then(|id| self.attempts.get_mut(&id)) {
                Some(attempt) => attempt.adopt(snapshot, stray.pid),
                None => self.end_stray(snapshot, stray),
            }
        }
    }

    fn end_stray(&mut self, snapshot: &Snapshot, stray: Identity) {
        let now = Instant::now();
        let mut attempt = Attempt::of_strays(stray.start_time);
        attempt.adopt(snapshot, stray.pid);
        let grace = if self.killing_all { Duration::ZERO } else { ORPHANED_GRACE };
        attempt.end_at(now, now + grace);
        // The engine counts from 0 upwards, so these numbers never meet its own.
        self.strays.next_id += 1;
        self.attempts.insert(u64::MAX - self.strays.next_id, attempt);
        self.look_soon(now);
    }

    /// Drops a program of which nothing is left.
    fn forget(&mut self, id: u64) {
        self.attempts.remove(&id);
        self.unannounced.retain(|(_, waiting)| *waiting != id);
        if self.strays.suspects.is_empty() {
            return;
        }
        let mut unsuspected = false;
        for suspects in self.strays.suspects.values_mut() {
            suspects.remove(&id);
            unsuspected |= suspects.is_empty();
        }
        if unsuspected {
            self.look_soon(Instant::now());
        }
    }

    pub(super) fn tell_when_all_is_gone(&mut self) {
        if self.killing_all && self.attempts.is_empty() && self.strays.suspects.is_empty() {
            self.killing_all = false;
            self.link.tell(Reply::AllGone);
        }
    }

    /// Ends every descendant of this process and returns when none is left.
    pub(super) fn end_everything(&mut self) {
        let now = Instant::now();
        let grace = if self.killing_all { Duration::ZERO } else { ORPHANED_GRACE };
        for attempt in self.attempts.values_mut() {
            attempt.end_at(now, now + grace);
        }
        let mut rest = Attempt::of_strays(0);
        rest.end_at(now, now + grace);
        let mut pause = SHORTEST_PAUSE;
        loop {
            while let Some((pid, _)) = platform::reap() {
                self.children.remove(&pid);
            }
            let now = Instant::now();
            let snapshot = Snapshot::take();
            if snapshot.is_empty() {
                self.attempts.values_mut().for_each(|attempt| attempt.press_group(now));
            }
            let alive = snapshot.descendants(std::process::id());
            rest.members = alive.iter().filter(|p| !p.zombie).map(|p| p.identity).collect();
            // The table is not read in one instant: what forks and ends meanwhile can hide its child.
            // The kernel itself knows whether there is any, since orphans become children of this process.
            if !rest.press(&snapshot, now) && !platform::has_children() {
                return;
            }
            // The end of a child wakes nobody here: it is looked for again soon.
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Attempt {
    /// Takes in all processes below a member.
    fn adopt_below(&mut self, snapshot: &Snapshot, pid: u32) {
        for process in snapshot.descendants(pid) {
            self.members.insert(process.identity);
            self.sessions.extend([process.session, process.group]);
        }
    }

    /// Signals the process group alone, where the system shows no processes.
    fn press_group(&mut self, now: Instant) {
        let (Some(pid), Some(ending)) = (self.child, &mut self.ending) else { return };
        if now >= ending.kill_at {
            platform::signal_group(pid, Signal::KILL);
        } else if now >= ending.terminate_at
            && ending.terminated.insert(Identity { pid, start_time: 0 })
        {
            platform::signal_group(pid, Signal::TERM);
            platform::signal_group(pid, Signal::CONT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_never_shown_is_not_looked_for_without_end() {
        let mut unseen = Unseen::default();
        assert!(!unseen.may_show(&[]));
        // One that hops has another id each time.
        assert!((0..10 * LOOKS).all(|pid| unseen.may_show(&[pid])));
        let looks = (0..10 * LOOKS).take_while(|_| unseen.may_show(&[7])).count();
        assert_eq!(looks, LOOKS as usize - 1);
        assert!(unseen.may_show(&[7, 8]), "another one may be shown");
    }
}
