//! One workflow lived through on a disk that remembers: the store is made, one run fills it, another
//! one follows, and old runs are collected. Every instant of that can be gone back to.

use std::fs;

use crate::disk::Disk;
use crate::engine::Bench;
use crate::image::Image;
use crate::ledger::{self, Told};
use crate::point::{Cut, Plant};
use crate::record::{Log, Recorder, listing, now};
use crate::shape::Shape;
use crate::tools::{Tools, memory};

/// What is known of it.
pub(crate) struct Recording {
    log: Log,
    /// The ledger of the run `r`.
    ledger: String,
    told: Vec<(u64, Told)>,
    /// The first operation at which the power may be cut.
    from: usize,
}

/// The world before a cut.
pub(crate) struct Before {
    /// What is left on the disk.
    pub(crate) image: Image,
    pub(crate) ledger: String,
    pub(crate) told: Vec<Told>,
}

impl Recording {
    /// Records a workflow; `None` where no disk can be recorded. Panics if not everything that
    /// reached the disk was recorded: a rig that sees half of it would prove nothing.
    pub(crate) fn make(tools: &Tools, shape: &Shape, plant: Option<Plant>) -> Option<Self> {
        let recorder = Recorder::start()?;
        let folder = tempfile::Builder::new().prefix("rig-story-").tempdir_in(memory()).unwrap();
        let store = recorder.root().join("store");
        let bench = Bench { tools, folder: folder.path().to_owned(), store, plant };
        fs::create_dir_all(folder.path().join("locks")).unwrap();
        fs::write(folder.path().join("flow.toml"), &shape.text).unwrap();
        bench.lines(&["run", "flow.toml", "--run-id", "first", "--json", "--no-wait"]);
        fs::remove_file(bench.ledger()).unwrap();
        let begin = now();
        let told = live(&bench, shape);
        assert_eq!(bench.lines(&["gc", "--keep-last", "1"]).0, Some(0));
        bench.survivors();
        let ledger = fs::read_to_string(bench.ledger()).unwrap();
        let expected = listing(&recorder.root());
        let log = recorder.finish();
        // What is in the cache is on record when the second run begins.
        let from = if shape.cached { log.after(begin) } else { 0 };
        let recording = Self { log, ledger, told, from };
        recording.assert_whole(&expected);
        Some(recording)
    }

    /// What a cut leaves.
    pub(crate) fn before(&self, cut: &Cut) -> Before {
        let place = self.from.max(self.log.place(cut));
        let time = self.log.time(place);
        let told = self.told.iter().filter(|(at, _)| *at <= time);
        Before {
            image: self.log.image(place, cut),
            ledger: ledger::before(&self.ledger, time),
            told: told.map(|(_, told)| told.clone()).collect(),
        }
    }

    fn assert_whole(&self, expected: &[String]) {
        assert!(self.log.writes() > 0, "nothing was recorded");
        let disk = Disk::with_power().unwrap();
        assert!(disk.load(&self.log.last()), "what was recorded is no file system");
        assert_eq!(listing(&disk.root()), expected, "something was not recorded");
    }
}

/// Begins the run `r` and brings it to its end.
fn live(bench: &Bench, shape: &Shape) -> Vec<(u64, Told)> {
    let run = ["run", "flow.toml", "--run-id", "r", "--json", "--no-wait"];
    let (mut code, mut lines) = bench.lines(&run);
    while code == Some(7) && shape.asks {
        // Before the question is asked there is nothing to approve.
        bench.lines(&["approve", "r", "ask"]);
        let (next, more) = bench.lines(&["resume", "r", "--json", "--no-wait"]);
        code = next;
        lines.extend(more);
    }
    assert_eq!(code, Some(0), "{} without a fault", shape.name);
    let told = |(time, line): (u64, String)| Some((time, ledger::told_in(&line)?));
    lines.into_iter().filter_map(told).collect()
}
