//! One crash point: which workflow, and what happens to which invocation of `flow`.

use std::fmt;
use std::time::Duration;

/// What happens to one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Something at the durable call with this number, from 1.
    At(Action, u64),
    /// SIGKILL from outside after a while.
    After(Duration),
    /// The power is cut, and what was not flushed is lost in part.
    Cut(Cut),
}

/// A place in a recording at which the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Share of the recording before it, of 2^64.
    pub(crate) place: u64,
    pub(crate) loss: Loss,
    pub(crate) seed: u64,
}

/// What a power cut may lose of what was written after the last flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: the disk writes in order.
    None,
    /// Any writes, each as a whole.
    Writes,
    /// Any pages of 4 KiB of any write.
    Pages,
    /// Any sectors of 512 bytes.
    Sectors,
}

impl Loss {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Writes, Self::Pages, Self::Sectors];

    /// How it is told of.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "in order",
            Self::Writes => "writes lost",
            Self::Pages => "pages lost",
            Self::Sectors => "sectors lost",
        }
    }
}

/// What happens at a durable call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The process dies before the call.
    Kill,
    /// A write arrives by half and the process dies; other calls as [`Action::Kill`].
    Torn,
    /// The call fails with EIO, once.
    Io,
    /// From here on nothing that takes room succeeds: ENOSPC.
    Full,
    /// A write takes only half of the bytes, which is no error.
    Short,
}

impl Action {
    /// The name that the preloaded library knows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Torn => "torn",
            Self::Io => "eio",
            Self::Full => "enospc",
            Self::Short => "short",
        }
    }
}

/// A bug that the preloaded library plants under the engine, to see that the rig finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// What is written to a journal arrives some milliseconds later: it is told before it is there.
    Late,
    /// No sync does anything.
    NoSync,
    /// The file system has no locks, as some network file systems: no bug, but nothing to work on.
    #[allow(dead_code, reason = "the long campaign does not plant it")]
    NoLock,
}

impl Plant {
    /// The name that the preloaded library knows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::NoSync => "nosync",
            Self::NoLock => "nolock",
        }
    }
}

/// One crash point.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// Index of the workflow among all shapes.
    pub(crate) shape: usize,
    /// What happens to the first invocations; the others are left alone.
    pub(crate) faults: Vec<Fault>,
    /// Whether each faulty invocation is followed by a power cut.
    pub(crate) power: bool,
    /// A bug that is planted in all invocations.
    pub(crate) plant: Option<Plant>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "nothing"),
            Self::At(action, call) => write!(f, "{} at call {call}", action.name()),
            Self::After(span) => write!(f, "kill after {} µs", span.as_micros()),
            Self::Cut(cut) => {
                let percent = cut.place as f64 / u64::MAX as f64 * 100.0;
                write!(f, "cut at {percent:.3} %, {} ({:#x})", cut.loss.name(), cut.seed)
            }
        }
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// Any number.
    pub(crate) fn any(&mut self) -> u64 {
        self.below(u64::MAX)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    /// A span between the two, with all orders of magnitude alike.
    pub(crate) fn span(&mut self, least: Duration, most: Duration) -> Duration {
        let share = self.below(1 << 20) as f64 / f64::from(1 << 20);
        least.mul_f64((most.as_secs_f64() / least.as_secs_f64()).max(1.0).powf(share))
    }
}
