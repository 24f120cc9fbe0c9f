//! Many points, spread evenly over workflows and durable calls, and what came of them.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use crate::check::{self, Calm};
use crate::disk::Disk;
use crate::engine::CLASSES;
use crate::keep;
use crate::point::{Action, Cut, Dice, Fault, Loss, Plant, Point};
use crate::replay::Recording;
use crate::report::Report;
use crate::shape::{self, Shape};
use crate::story::{self, Chapter, Story};
use crate::tools::{Tools, memory};

/// So many points are lived through at once.
const WORKERS: usize = 2;

/// A kind of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// No fault at all: what is seen then is no crash's doing.
    None,
    /// Killed before a durable call.
    Kill,
    /// Killed in the middle of a write.
    Torn,
    /// Killed at a durable call, and again in two to five invocations in turn.
    KillAgain,
    /// Killed from outside at any instant.
    Random,
    /// A durable call fails with EIO.
    Io,
    /// The disk is full from a durable call on.
    Full,
    /// A write takes half of the bytes.
    Short,
    /// Killed at a durable call, and the power is cut; every other time again while it resumes.
    Power,
    /// The power is cut between any two writes of a recorded run, and of what was not flushed any
    /// part is lost.
    Replay,
    /// Killed, or a call fails, or the power is cut, while a store is kept, a run is changed, or two
    /// processes share a store.
    Keep,
}

/// What is lived through.
enum Try {
    Run(Point),
    Keep(keep::Point),
}

/// What is to be tried.
pub(crate) struct Campaign {
    seed: u64,
    parts: Vec<(Mode, usize)>,
    plant: Option<Plant>,
}

/// A workflow with what is known of it without faults.
struct Known {
    shape: Shape,
    calm: Calm,
    calls: u64,
    took: Duration,
    /// Made when it is first needed; `None` where no disk can be recorded.
    recording: OnceLock<Option<Recording>>,
}

impl Campaign {
    /// Nothing yet.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, parts: Vec::new(), plant: None }
    }

    /// So many points of this kind as well.
    pub(crate) fn with(mut self, mode: Mode, points: usize) -> Self {
        self.parts.push((mode, points));
        self
    }

    /// With a bug.
    pub(crate) fn planted(mut self, plant: Plant) -> Self {
        self.plant = Some(plant);
        self
    }

    /// Tries all points.
    pub(crate) fn run(self) -> Report {
        let tools = Tools::new();
        let shapes = shape::all(&tools.stage()).into_iter();
        let known: Vec<Known> = shapes.map(|shape| known(&tools, shape)).collect();
        let keeping = self.parts.iter().any(|(mode, _)| *mode == Mode::Keep);
        let scenes = keeping.then(|| keep::known(&tools));
        let mut points = self.points(&known, scenes.as_ref());
        points.reverse();
        let (points, report) = (Mutex::new(points), Mutex::new(Report::default()));
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| work(&tools, &known, scenes.as_ref(), &points, &report));
            }
        });
        report.into_inner().unwrap()
    }

    fn points(&self, known: &[Known], scenes: Option<&keep::Known>) -> Vec<(Mode, Try)> {
        let mut points = Vec::new();
        for (part, &(mode, count)) in self.parts.iter().enumerate() {
            let mut dice = Dice(self.seed ^ (part as u64) << 32);
            if let (Mode::Keep, Some(scenes)) = (mode, scenes) {
                points.extend((0..count).map(|number| (mode, keeping(scenes, number, &mut dice))));
                continue;
            }
            for number in 0..count {
                let shape = number % known.len();
                // Within a workflow the calls are taken in equal steps, from a random one on.
                let steps = count.div_ceil(known.len()) as u64;
                let calls = known[shape].calls;
                let (from, to) = (calls * (number / known.len()) as u64 / steps, calls / steps);
                let call = 1 + from + dice.below(to);
                let mut faults = faults(mode, call, &known[shape], &mut dice);
                if mode == Mode::Replay {
                    let step = u64::MAX / steps;
                    let place = step * (number / known.len()) as u64 + dice.below(step);
                    let loss = Loss::ALL[dice.below(4) as usize];
                    faults = vec![Fault::Cut(Cut { place, loss, seed: dice.any() })];
                }
                let power = matches!(mode, Mode::Power | Mode::Replay);
                points.push((mode, Try::Run(Point { shape, faults, power, plant: self.plant })));
            }
        }
        points
    }
}

/// A point of keeping a store: every third one ends with a power cut.
fn keeping(scenes: &keep::Known, number: usize, dice: &mut Dice) -> Try {
    let scene = number % scenes.calls.len();
    let power = dice.below(3) == 0;
    let deadly = [Action::Kill, Action::Kill, Action::Torn];
    let all = [deadly[0], deadly[1], deadly[2], Action::Io, Action::Full, Action::Short];
    let actions = if power { &deadly[..] } else { &all };
    let action = actions[dice.below(actions.len() as u64) as usize];
    Try::Keep(keep::Point { scene, action, call: 1 + dice.below(scenes.calls[scene]), power })
}

/// What a point is called, such as `chain: kill at call 117`.
fn name(shape: &Shape, point: &Point) -> String {
    let faults: Vec<String> = point.faults.iter().map(Fault::to_string).collect();
    format!("{}: {}{}", shape.name, faults.join(", "), if point.power { ", power cut" } else { "" })
}

fn faults(mode: Mode, call: u64, known: &Known, dice: &mut Dice) -> Vec<Fault> {
    let at = |action| vec![Fault::At(action, call)];
    let again = |faults: &mut Vec<Fault>, more: u64, dice: &mut Dice| {
        let next = |dice: &mut Dice| Fault::At(Action::Kill, 1 + dice.below(known.calls));
        faults.extend((0..more).map(|_| next(dice)));
    };
    match mode {
        Mode::None | Mode::Replay | Mode::Keep => Vec::new(),
        Mode::Kill => at(Action::Kill),
        Mode::Torn => at(Action::Torn),
        Mode::Io => at(Action::Io),
        Mode::Full => at(Action::Full),
        Mode::Short => at(Action::Short),
        Mode::KillAgain => {
            let mut faults = at(Action::Kill);
            let more = 1 + dice.below(4);
            again(&mut faults, more, dice);
            faults
        }
        Mode::Random => {
            let span =
                |dice: &mut Dice| Fault::After(dice.span(Duration::from_micros(100), known.took));
            (0..=dice.below(3)).map(|_| span(dice)).collect()
        }
        Mode::Power => {
            let mut faults = at(if dice.below(3) == 0 { Action::Torn } else { Action::Kill });
            let more = dice.below(2);
            again(&mut faults, more, dice);
            faults
        }
    }
}

fn known(tools: &Tools, shape: Shape) -> Known {
    let point = Point { shape: 0, faults: Vec::new(), power: false, plant: None };
    let story = live(tools, &shape, &point, &Disk::folder());
    let calm = Calm::of(&story);
    let found = check::violations(&story, &calm, &shape, &point);
    assert!(found.is_empty(), "{} without faults: {found:#?}", shape.name);
    let first = &story.chapters[0].done;
    Known { calls: first.calls, took: first.took, shape, calm, recording: OnceLock::new() }
}

/// Where the witnesses of a point are.
fn folder() -> TempDir {
    tempfile::Builder::new().prefix("rig-point-").tempdir_in(memory()).unwrap()
}

fn live(tools: &Tools, shape: &Shape, point: &Point, disk: &Disk) -> Story {
    let folder = folder();
    story::live(tools, shape, point, disk, folder.path())
}

fn work(
    tools: &Tools,
    known: &[Known],
    scenes: Option<&keep::Known>,
    points: &Mutex<Vec<(Mode, Try)>>,
    report: &Mutex<Report>,
) {
    let plain = Disk::folder();
    let mut powered = None;
    loop {
        let (next, left) = {
            let mut points = points.lock().unwrap();
            (points.pop(), points.len())
        };
        let Some((mode, point)) = next else { return };
        tell_progress(left, report);
        let power = match &point {
            Try::Run(point) => point.power,
            Try::Keep(point) => point.power,
        };
        let disk = if power {
            powered.get_or_insert_with(Disk::with_power).as_ref()
        } else {
            Some(&plain)
        };
        let Some(disk) = disk else {
            report.lock().unwrap().skipped += 1;
            continue;
        };
        match (&point, scenes) {
            (Try::Run(point), _) => try_run(tools, &known[point.shape], mode, point, disk, report),
            (Try::Keep(point), Some(scenes)) => {
                let kept = keep::live(tools, scenes, point, disk, folder().path());
                let class = kept.hit.map(|class| CLASSES[class]);
                report.lock().unwrap().add(mode, class, point, &kept.found);
            }
            (Try::Keep(_), None) => panic!("nothing is known of the scenes"),
        }
    }
}

/// A long campaign says now and then how far it is, and what does not hold as soon as it is known.
#[allow(clippy::print_stderr, reason = "for whoever waits")]
fn tell_progress(left: usize, report: &Mutex<Report>) {
    if left > 0 && left.is_multiple_of(500) {
        let report = report.lock().unwrap();
        let crashes = report.crashes();
        eprintln!("{left} points are left; {crashes} crashes");
        report.violations.iter().for_each(|violation| eprintln!("{violation}"));
    }
}

fn try_run(
    tools: &Tools,
    known: &Known,
    mode: Mode,
    point: &Point,
    disk: &Disk,
    report: &Mutex<Report>,
) {
    let Known { shape, calm, .. } = known;
    let story = match mode {
        Mode::Replay => {
            let make = || Recording::make(tools, shape, point.plant);
            let Some(recording) = known.recording.get_or_init(make) else {
                report.lock().unwrap().skipped += 1;
                return;
            };
            story::live_on(tools, shape, point, disk, folder().path(), recording)
        }
        _ => Some(live(tools, shape, point, disk)),
    };
    let mut report = report.lock().unwrap();
    let Some(story) = story else {
        report.gone += 1;
        return;
    };
    let found = check::violations(&story, calm, shape, point);
    let hit = story.chapters.iter().filter(|chapter| chapter.was_hit()).map(class);
    report.add(mode, hit, &name(shape, point), &found);
}

/// What was hit.
fn class(chapter: &Chapter) -> &'static str {
    match (chapter.fault, chapter.done.hit) {
        (Fault::Cut(cut), _) => cut.loss.name(),
        (_, Some(class)) => CLASSES[class],
        (_, None) => "any instant",
    }
}
