//! The machine's processes as `/proc` shows them. Where there is no `/proc`, nothing is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;

/// A process, apart from any later one with its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    /// Process id.
    pub(super) pid: u32,
    /// Start time in clock ticks since boot.
    pub(super) start_time: u64,
}

/// One line of the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    /// Who it is.
    pub(super) identity: Identity,
    /// Its parent.
    pub(super) parent: u32,
    /// Its process group.
    pub(super) group: u32,
    /// Its session.
    pub(super) session: u32,
    /// Whether it has ended and waits for its parent to notice.
    pub(super) zombie: bool,
}

/// All processes at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    processes: BTreeMap<u32, Process>,
    children: BTreeMap<u32, Vec<u32>>,
}

impl Snapshot {
    /// Reads the process table.
    pub(super) fn take() -> Self {
        let mut snapshot = Self::default();
        let Ok(entries) = fs::read_dir("/proc") else { return snapshot };
        for entry in entries.filter_map(Result::ok) {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(process) = pid.and_then(read_process) {
                snapshot.add(process);
            }
        }
        snapshot
    }

    fn add(&mut self, process: Process) {
        self.children.entry(process.parent).or_default().push(process.identity.pid);
        self.processes.insert(process.identity.pid, process);
    }

    /// Whether this system shows no process table: this very process would be in it.
    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// The process with this id.
    pub(super) fn process(&self, pid: u32) -> Option<&Process> {
        self.processes.get(&pid)
    }

    /// Whether this very process is there and has not ended.
    pub(super) fn is_alive(&self, identity: Identity) -> bool {
        self.process(identity.pid).is_some_and(|p| p.identity == identity && !p.zombie)
    }

    /// All processes.
    pub(super) fn all(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    /// The direct children of a process.
    pub(super) fn children(&self, pid: u32) -> impl Iterator<Item = &Process> {
        self.children.get(&pid).into_iter().flatten().filter_map(|child| self.process(*child))
    }

    /// All processes below `root`, without it, those that have ended included.
    pub(super) fn descendants(&self, root: u32) -> Vec<&Process> {
        let mut found: Vec<&Process> = Vec::new();
        let mut seen = BTreeSet::from([root]);
        let mut open = vec![root];
        while let Some(pid) = open.pop() {
            for child in self.children(pid) {
                // The table is not read in one instant, so a reused id could close a circle.
                if seen.insert(child.identity.pid) {
                    open.push(child.identity.pid);
                    found.push(child);
                }
            }
        }
        found
    }
}

/// The start time of a process.
pub(super) fn start_time(pid: u32) -> Option<u64> {
    read_process(pid).map(|process| process.identity.start_time)
}

/// Whether the environment that a process was started with has this entry.
pub(super) fn has_entry(pid: u32, entry: &[u8]) -> bool {
    environment(pid).is_some_and(|env| env.split(|b| *b == 0).any(|e| e == entry))
}

/// Whether the environment that a process was started with has an entry that begins so.
pub(super) fn has_entry_beginning(pid: u32, beginning: &[u8]) -> bool {
    environment(pid).is_some_and(|env| env.split(|b| *b == 0).any(|e| e.starts_with(beginning)))
}

fn environment(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).ok()
}

fn read_process(pid: u32) -> Option<Process> {
    let file = fs::File::open(format!("/proc/{pid}/stat")).ok()?;
    // The fields that matter stand well within the first kilobyte.
    let mut stat = [0_u8; 1_024];
    let length = file.read_at(&mut stat, 0).ok()?;
    parse_stat(pid, &stat[..length])
}

/// Reads a line of `/proc/PID/stat`. The program's name, in parentheses, may itself hold spaces
/// and parentheses, so fields are counted from the last one.
fn parse_stat(pid: u32, stat: &[u8]) -> Option<Process> {
    let name_end = stat.iter().rposition(|b| *b == b')')?;
    let text = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let start_time = fields.nth(15)?.parse().ok()?;
    Some(Process {
        identity: Identity { pid, start_time },
        parent,
        group,
        session,
        zombie: matches!(state, "Z" | "X" | "x"),
    })
}

/// The lists of this process's own children, one for each thread, kept open because they are read after
/// every child.
pub(super) struct OwnChildren(Vec<fs::File>);

impl OwnChildren {
    /// Opens the lists, for a process that starts no more threads. `None` where the kernel has none.
    pub(super) fn open() -> Option<Self> {
        let threads = fs::read_dir("/proc/self/task").ok()?;
        let list = |thread: fs::DirEntry| fs::File::open(thread.path().join("children")).ok();
        threads.map(|thread| list(thread.ok()?)).collect::<Option<_>>().map(Self)
    }

    /// The process ids of all children, of those too that have ended and are not reaped; none where the
    /// lists cannot be read.
    pub(super) fn ids(&self) -> Vec<u32> {
        let texts = self.0.iter().filter_map(|list| read_whole(list).ok());
        texts.flat_map(|text| ids_in(&text)).collect()
    }
}

fn ids_in(text: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(text);
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Reads a file of the system from its beginning, in pieces as large as it gives them.
fn read_whole(file: &fs::File) -> std::io::Result<Vec<u8>> {
    let (mut bytes, mut length) = (vec![0; 4_096], 0);
    loop {
        let read = file.read_at(&mut bytes[length..], length as u64)?;
        length += read;
        if read == 0 {
            bytes.truncate(length);
            return Ok(bytes);
        }
        if length == bytes.len() {
            bytes.resize(2 * length, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let stat = b"7 (a) b (c) S 1 7 6 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2 3\n";
        let process = parse_stat(7, stat).expect("a line of the table");
        assert_eq!((process.parent, process.group, process.session), (1, 7, 6));
        assert_eq!(process.identity.start_time, 4242);
        assert!(!process.zombie);
        assert!(parse_stat(7, b"7 (x) Z 1").is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_table_has_this_very_process() {
        let snapshot = Snapshot::take();
        let own = snapshot.process(std::process::id()).expect("this process");
        assert!(snapshot.is_alive(own.identity));
        assert!(snapshot.descendants(own.parent).contains(&own));
        let other = Identity { start_time: own.identity.start_time + 1, ..own.identity };
        assert!(!snapshot.is_alive(other));
    }
}
