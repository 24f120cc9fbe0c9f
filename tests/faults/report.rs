//! What came of a campaign, and how it is told.

use std::collections::BTreeMap;
use std::fmt;

use crate::campaign::Mode;

/// What came of it.
#[derive(Default)]
pub(crate) struct Report {
    /// Points by mode and by what was hit.
    pub(crate) hits: BTreeMap<(Mode, &'static str), usize>,
    pub(crate) violations: Vec<String>,
    /// Points whose fault was never reached.
    pub(crate) missed: BTreeMap<Mode, usize>,
    /// Points that need a power that can be cut, where there is none.
    pub(crate) skipped: usize,
    /// Power cuts that the file system itself did not survive.
    pub(crate) gone: usize,
}

impl Report {
    /// A point of a kind: what was hit, if anything, and what does not hold.
    pub(crate) fn add(
        &mut self,
        mode: Mode,
        hits: impl IntoIterator<Item = &'static str>,
        point: &impl fmt::Display,
        found: &[String],
    ) {
        let mut was_hit = false;
        for class in hits {
            *self.hits.entry((mode, class)).or_default() += 1;
            was_hit = true;
        }
        if !was_hit {
            *self.missed.entry(mode).or_default() += 1;
        }
        if !found.is_empty() {
            let short = |what: &String| what.chars().take(400).collect::<String>();
            let list = found.iter().take(12).map(short).collect::<Vec<_>>().join("\n    ");
            self.violations.push(format!("{point}\n    {list}"));
        }
    }

    /// Number of crash points at which something happened.
    pub(crate) fn crashes(&self) -> usize {
        self.hits.values().sum()
    }

    /// Asserts that every invariant held at every point, and that there were points.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        self.tell_skipped();
        let points = self.crashes() + self.skipped + self.missed.values().sum::<usize>();
        assert!(points > 0, "a rig that tries nothing shows nothing");
        assert!(self.violations.is_empty(), "{self}");
        let is_calm = self.missed.keys().all(|mode| *mode == Mode::None) && !self.missed.is_empty();
        assert!(
            self.crashes() > 0 || self.skipped > 0 || is_calm,
            "no fault was ever reached\n{self}"
        );
    }

    /// Asserts that a planted bug was found, and says where.
    #[track_caller]
    pub(crate) fn assert_found(&self) -> String {
        self.tell_skipped();
        assert!(
            self.skipped > 0 || !self.violations.is_empty(),
            "a planted bug was not found\n{self}"
        );
        let first = self.violations.first().map_or("", String::as_str);
        format!(
            "found at {} of {} crashes, such as\n  {first}\n",
            self.violations.len(),
            self.crashes()
        )
    }

    #[allow(clippy::print_stderr, reason = "what was not tried must be seen")]
    fn tell_skipped(&self) {
        if self.skipped > 0 {
            let reason = "no ext4 can be mounted here: it takes root and loop devices";
            eprintln!("SKIPPED: {} power cuts: {reason}", self.skipped);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut modes = BTreeMap::<Mode, Vec<String>>::new();
        for ((mode, class), count) in &self.hits {
            modes.entry(*mode).or_default().push(format!("{class} {count}"));
        }
        for (mode, classes) in &modes {
            let all: usize = self.hits.iter().filter(|((m, _), _)| m == mode).map(|(_, n)| n).sum();
            writeln!(f, "{:<10} {all:>6} crashes: {}", format!("{mode:?}"), classes.join(", "))?;
        }
        for (mode, count) in &self.missed {
            writeln!(
                f,
                "{:<10} {count:>6} points whose fault was not reached",
                format!("{mode:?}")
            )?;
        }
        if self.skipped > 0 {
            writeln!(f, "{} power cuts were skipped: no ext4 can be mounted here", self.skipped)?;
        }
        if self.gone > 0 {
            writeln!(f, "{} power cuts left no file system that can be mounted", self.gone)?;
        }
        writeln!(
            f,
            "{} crashes, {} points with violations",
            self.crashes(),
            self.violations.len()
        )?;
        self.violations.iter().take(20).try_for_each(|violation| writeln!(f, "{violation}"))
    }
}
