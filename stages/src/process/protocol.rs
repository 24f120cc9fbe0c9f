//! What the engine and the starter process say to each other over their socket.
//!
//! A frame is a length, a kind and a body, all numbers little-endian. The descriptors of a
//! [`Request::Spawn`] or [`Request::Hold`] travel with its first byte. Both ends are always the same executable, so
//! the format has no version.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What the engine asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// Start a program.
    Spawn(Box<Spawn>),
    /// End a program and all its descendants.
    End {
        /// Which one.
        id: u64,
        /// Time between SIGTERM and SIGKILL.
        grace_ms: u64,
    },
    /// Keep a descriptor open until nothing is left.
    Hold,
    /// Kill everything at once, now and when the socket ends.
    KillAll,
}

/// A program to start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Spawn {
    /// The engine's number for it.
    pub(super) id: u64,
    /// Time for leftovers between SIGTERM and SIGKILL.
    pub(super) grace_ms: u64,
    /// Whether a descriptor for stdin comes along; without it stdin is empty.
    pub(super) has_stdin: bool,
    /// The file to execute.
    pub(super) program: OsString,
    /// Working folder.
    pub(super) cwd: OsString,
    /// An entry of the environment that marks all descendants, `NAME=VALUE`.
    pub(super) token: OsString,
    /// All arguments, the program's own name first.
    pub(super) argv: Vec<OsString>,
    /// Further entries of the environment, `NAME=VALUE`.
    pub(super) set: Vec<OsString>,
    /// Names that the environment loses.
    pub(super) remove: Vec<OsString>,
}

/// What the starter process answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// A program has run for a moment; one that ends sooner is not announced.
    Started {
        /// Which one.
        id: u64,
        /// Its process id.
        pid: u32,
        /// Its start time in clock ticks since boot.
        start_time: u64,
    },
    /// A program could not be started.
    Failed {
        /// Which one.
        id: u64,
        /// What did not work.
        step: Step,
        /// The system's error number.
        errno: i32,
    },
    /// A program has ended.
    Exited {
        /// Which one.
        id: u64,
        /// How.
        end: End,
        /// Whether none of its descendants is left; if not, [`Reply::Gone`] follows.
        alone: bool,
    },
    /// No descendant of an ended program is left.
    Gone {
        /// Which one.
        id: u64,
    },
    /// Answer to [`Request::KillAll`]: nothing is left.
    AllGone,
}

/// A step of starting a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Taking over the descriptors.
    Descriptors,
    /// Entering the working folder.
    Folder,
    /// Executing the program.
    Execute,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With an exit code.
    Code(i32),
    /// By a signal, by number.
    Signal(i32),
}

/// A frame that no end of this protocol writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message between the engine and its starter process is damaged")]
pub(super) struct Damaged;

const SPAWN: u8 = 1;
const END: u8 = 2;
const KILL_ALL: u8 = 3;
const STARTED: u8 = 4;
const FAILED: u8 = 5;
const EXITED: u8 = 6;
const GONE: u8 = 7;
const ALL_GONE: u8 = 8;
const HOLD: u8 = 9;

/// Bytes of a frame's length field.
const LENGTH: usize = 4;

/// Takes the first complete frame off `inbox`, if there is one.
pub(super) fn take_frame<T>(
    inbox: &mut Vec<u8>,
    decode: fn(&[u8]) -> Option<T>,
) -> Result<Option<T>, Damaged> {
    let Some(head) = inbox.first_chunk::<LENGTH>() else { return Ok(None) };
    let end = LENGTH + u32::from_le_bytes(*head) as usize;
    let Some(body) = inbox.get(LENGTH..end) else { return Ok(None) };
    let message = decode(body).ok_or(Damaged)?;
    inbox.drain(..end);
    Ok(Some(message))
}

impl Request {
    /// The frame of this request.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Spawn(spawn) => {
                out.byte(SPAWN).number(spawn.id).number(spawn.grace_ms);
                out.byte(u8::from(spawn.has_stdin));
                out.bytes(&spawn.program).bytes(&spawn.cwd).bytes(&spawn.token);
                out.list(&spawn.argv).list(&spawn.set).list(&spawn.remove);
            }
            Self::End { id, grace_ms } => {
                out.byte(END).number(*id).number(*grace_ms);
            }
            Self::KillAll => {
                out.byte(KILL_ALL);
            }
            Self::Hold => {
                out.byte(HOLD);
            }
        }
        out.frame()
    }

    /// Reads the body of a frame.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut body = Reader(body);
        let request = match body.byte()? {
            SPAWN => Self::Spawn(Box::new(Spawn {
                id: body.number()?,
                grace_ms: body.number()?,
                has_stdin: body.byte()? == 1,
                program: body.bytes()?,
                cwd: body.bytes()?,
                token: body.bytes()?,
                argv: body.list()?,
                set: body.list()?,
                remove: body.list()?,
            })),
            END => Self::End { id: body.number()?, grace_ms: body.number()? },
            KILL_ALL => Self::KillAll,
            HOLD => Self::Hold,
            _ => return None,
        };
        body.0.is_empty().then_some(request)
    }
}

impl Reply {
    /// The frame of this reply.
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Started { id, pid, start_time } => {
                out.byte(STARTED).number(id).number(u64::from(pid)).number(start_time);
            }
            Self::Failed { id, step, errno } => {
                let step = match step {
                    Step::Descriptors => 0,
                    Step::Folder => 1,
                    Step::Execute => 2,
                };
                out.byte(FAILED).number(id).byte(step).signed(errno);
            }
            Self::Exited { id, end, alone } => {
                let (kind, number) = match end {
                    End::Code(code) => (0, code),
                    End::Signal(signal) => (1, signal),
                };
                out.byte(EXITED).number(id).byte(kind).signed(number).byte(u8::from(alone));
            }
            Self::Gone { id } => {
                out.byte(GONE).number(id);
            }
            Self::AllGone => {
                out.byte(ALL_GONE);
            }
        }
        out.frame()
    }

    /// Reads the body of a frame.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut body = Reader(body);
        let reply = match body.byte()? {
            STARTED => Self::Started {
                id: body.number()?,
                pid: u32::try_from(body.number()?).ok()?,
                start_time: body.number()?,
            },
            FAILED => Self::Failed {
                id: body.number()?,
                step: match body.byte()? {
                    0 => Step::Descriptors,
                    1 => Step::Folder,
                    2 => Step::Execute,
                    _ => return None,
                },
                errno: body.signed()?,
            },
            EXITED => Self::Exited {
                id: body.number()?,
                end: match body.byte()? {
                    0 => End::Code(body.signed()?),
                    1 => End::Signal(body.signed()?),
                    _ => return None,
                },
                alone: body.byte()? == 1,
            },
            GONE => Self::Gone { id: body.number()? },
            ALL_GONE => Self::AllGone,
            _ => return None,
        };
        body.0.is_empty().then_some(reply)
    }
}

/// Builds a frame; the length is filled in last.
struct Writer(Vec<u8>);

impl Default for Writer {
    fn default() -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; LENGTH]);
        Self(bytes)
    }
}

impl Writer {
    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn signed(&mut self, number: i32) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn bytes(&mut self, bytes: &OsString) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes.as_bytes());
        self
    }

    fn list(&mut self, list: &[OsString]) -> &mut Self {
        self.number(list.len() as u64);
        for bytes in list {
            self.bytes(bytes);
        }
        self
    }

    fn frame(mut self) -> Vec<u8> {
        // Argument lists end far below 4 GiB: the kernel takes a few MiB at most.
        let length = u32::try_from(self.0.len() - LENGTH).unwrap_or(u32::MAX);
        self.0[..LENGTH].copy_from_slice(&length.to_le_bytes());
        self.0
    }
}

/// Reads a frame's body from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*head))
    }

    fn signed(&mut self) -> Option<i32> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_le_bytes(*head))
    }

    fn bytes(&mut self) -> Option<OsString> {
        let length = usize::try_from(self.number()?).ok()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(OsString::from_vec(head.to_vec()))
    }

    fn list(&mut self) -> Option<Vec<OsString>> {
        let length = self.number()?;
        (0..length).map(|_| self.bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn() -> Request {
        Request::Spawn(Box::new(Spawn {
            id: 7,
            grace_ms: 5_000,
            has_stdin: true,
            program: "/bin/true".into(),
            cwd: OsString::from_vec(vec![b'/', 0xff]),
            token: "T=1".into(),
            argv: vec!["true".into(), String::new().into(), "x".repeat(300_000).into()],
            set: vec!["A=b".into()],
            remove: vec!["SECRET".into()],
        }))
    }

    #[test]
    fn requests_and_replies_survive_the_way_over_the_socket() {
        for request in
            [spawn(), Request::End { id: 1, grace_ms: 2 }, Request::KillAll, Request::Hold]
        {
            let mut inbox = request.encode();
            assert_eq!(take_frame(&mut inbox, Request::decode), Ok(Some(request)));
            assert!(inbox.is_empty());
        }
        for reply in [
            Reply::Started { id: 1, pid: 2, start_time: 3 },
            Reply::Failed { id: 1, step: Step::Folder, errno: 2 },
            Reply::Exited { id: 1, end: End::Code(255), alone: true },
            Reply::Exited { id: 1, end: End::Signal(34), alone: false },
            Reply::Gone { id: u64::MAX },
            Reply::AllGone,
        ] {
            let mut inbox = reply.encode();
            assert_eq!(take_frame(&mut inbox, Reply::decode), Ok(Some(reply)));
        }
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_waits_for_its_rest() {
        let frame = Request::End { id: 1, grace_ms: 2 }.encode();
        for cut in 0..frame.len() {
            let mut inbox = frame[..cut].to_vec();
            assert_eq!(take_frame(&mut inbox, Request::decode), Ok(None), "cut at {cut}");
            assert_eq!(inbox.len(), cut);
        }
    }

    #[test]
    fn a_damaged_frame_is_refused() {
        for body in [&[][..], &[99], &[END, 1], &[KILL_ALL, 0], &[SPAWN, 255, 255]] {
            let mut inbox = u32::try_from(body.len()).expect("short").to_le_bytes().to_vec();
            inbox.extend_from_slice(body);
            assert_eq!(take_frame(&mut inbox, Request::decode), Err(Damaged), "{body:?}");
        }
    }
}
