//! The crash campaign at length: `cargo bench --bench crashes -- --points 10000 --seed 7`.
//!
//! Prints what was tried, by kind and by class of durable call, and every point at which an
//! invariant did not hold; then it fails. The short form is `tests/faults/main.rs`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod campaign;
mod check;
mod disk;
mod engine;
mod ledger;
mod point;
mod shape;
mod story;
mod tools;

use std::time::Instant;

use campaign::{Campaign, Mode};
use point::Plant;

/// Shares of the kinds of points, in percent.
const MIX: [(Mode, usize); 9] = [
    (Mode::None, 1),
    (Mode::Kill, 21),
    (Mode::Torn, 8),
    (Mode::KillAgain, 12),
    (Mode::Random, 14),
    (Mode::Io, 12),
    (Mode::Full, 6),
    (Mode::Short, 4),
    (Mode::Power, 22),
];

fn main() {
    let points = argument("--points").unwrap_or(2_000);
    let seed = argument("--seed").unwrap_or(1);
    println!("{points} points, seed {seed}");
    let begin = Instant::now();
    let mix = |campaign: Campaign, (mode, share): &(Mode, usize)| {
        campaign.with(*mode, points as usize * share / 100)
    };
    let report = MIX.iter().fold(Campaign::new(seed), mix).run();
    print!("{report}");
    println!("took {} s", begin.elapsed().as_secs());
    planted("records late", Campaign::new(seed).with(Mode::Kill, 200).planted(Plant::Late));
    planted("no syncs", Campaign::new(seed).with(Mode::Power, 50).planted(Plant::NoSync));
    report.assert_clean();
}

/// The rig must find a bug that it has planted itself.
fn planted(name: &str, campaign: Campaign) {
    let report = campaign.run();
    print!("planted, {name}: {}", report.assert_found());
}

fn argument(name: &str) -> Option<u64> {
    let value = std::env::args().skip_while(|argument| argument != name).nth(1)?;
    value.parse().ok()
}
