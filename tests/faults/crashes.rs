//! The crash campaign at length: `cargo bench --bench crashes -- --points 10000 --seed 7`.
//!
//! Prints what was tried, by kind and by class of durable call, and every point at which an
//! invariant did not hold; then it fails. `--only Replay` tries one kind alone. The short form is `tests/faults/main.rs`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod campaign;
mod check;
mod disk;
mod engine;
mod image;
mod keep;
mod ledger;
mod point;
mod record;
mod replay;
mod report;
mod shape;
mod story;
mod tools;

use std::time::Instant;

use campaign::{Campaign, Mode};
use point::Plant;

/// Shares of the kinds of points, in percent.
const MIX: [(Mode, usize); 11] = [
    (Mode::None, 1),
    (Mode::Kill, 16),
    (Mode::Torn, 7),
    (Mode::KillAgain, 9),
    (Mode::Random, 10),
    (Mode::Io, 10),
    (Mode::Full, 5),
    (Mode::Short, 3),
    (Mode::Power, 16),
    (Mode::Replay, 15),
    (Mode::Keep, 8),
];

fn main() {
    let number = |name| argument(name).and_then(|value| value.parse::<u64>().ok());
    let points = number("--points").unwrap_or(2_000);
    let seed = number("--seed").unwrap_or(1);
    let only = argument("--only");
    println!("{points} points, seed {seed}");
    let begin = Instant::now();
    let mix = |campaign: Campaign, (mode, share): &(Mode, usize)| {
        let share = match &only {
            None => *share,
            Some(only) => 100 * usize::from(format!("{mode:?}") == *only),
        };
        campaign.with(*mode, points as usize * share / 100)
    };
    let report = MIX.iter().fold(Campaign::new(seed), mix).run();
    print!("{report}");
    println!("took {} s", begin.elapsed().as_secs());
    if only.is_some() {
        return report.assert_clean();
    }
    planted("records late", Campaign::new(seed).with(Mode::Kill, 200).planted(Plant::Late));
    planted("no syncs", Campaign::new(seed).with(Mode::Power, 50).planted(Plant::NoSync));
    planted(
        "no syncs, replayed",
        Campaign::new(seed).with(Mode::Replay, 50).planted(Plant::NoSync),
    );
    report.assert_clean();
}

/// The rig must find a bug that it has planted itself.
fn planted(name: &str, campaign: Campaign) {
    let report = campaign.run();
    print!("planted, {name}: {}", report.assert_found());
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}
