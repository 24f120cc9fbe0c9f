//! The crash campaign at length: `cargo bench --bench crashes -- --points 10000 --seed 7`.
//!
//! Prints what was tried, by kind and by class of durable call, and every point at which an
//! invariant did not hold; then its exit code is 1. The short form is `tests/faults/main.rs`.
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

use std::process::ExitCode;
use std::time::Instant;

use campaign::{Campaign, Mode};
use point::Plant;

/// Shares of the kinds of points, in percent.
const MIX: [(Mode, usize); 8] = [
    (Mode::Kill, 22),
    (Mode::Torn, 8),
    (Mode::KillAgain, 12),
    (Mode::Random, 14),
    (Mode::Io, 12),
    (Mode::Full, 6),
    (Mode::Short, 4),
    (Mode::Power, 22),
];

fn main() -> ExitCode {
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
    let found = Campaign::new(seed).with(Mode::Kill, 200).planted(Plant::Late).run();
    println!("planted, records late: found at {} of 200 points", found.violations().len());
    found.assert_found();
    let found = Campaign::new(seed).with(Mode::Power, 50).planted(Plant::NoSync).run();
    println!("planted, no syncs: found at {} of 50 points", found.violations().len());
    found.assert_found();
    if report.violations().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn argument(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).and_then(|value| value.parse().ok())
}
