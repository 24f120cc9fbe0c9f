//! A bad day, many times: `cargo bench --bench bad_day -- --runs 100 --seed 1`.
//!
//! Each run is the daily pipeline against servers of its own, of which so many of 100 requests fail
//! (`--percent`, 30 by default): server errors, 429 with both forms of `Retry-After`, resets, lost and cut
//! answers, HTML with 200, JSON that breaks off, silence. The encoder crashes and hangs as often. Every
//! fourth run is killed in the middle and resumed, and counted apart.
//!
//! A run has succeeded only if at least nine of ten of its items were made by the online providers and all
//! of them were published. Printed are: the success rate, the share of transient failures that were cured by
//! trying again, calls that were paid for twice, double posts, and the wall time against a clean day.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that measures")]

mod count;
mod day;
mod town;

#[path = "../services/mod.rs"]
mod services;

use std::time::{Duration, Instant};

use count::Sum;
use day::{Day, Wishes};

fn main() {
    let runs = argument("--runs").unwrap_or(100);
    let seed = argument("--seed").unwrap_or(1);
    let percent = argument("--percent").unwrap_or(30);
    let begin = Instant::now();
    let clean = clean_day();
    let mut sum = Sum::default();
    for at in 0..runs {
        let is_killed = at % 4 == 3;
        let day = Day::live(&Wishes { seed: seed * 1_000_003 + at, percent, is_killed });
        println!("{at:>4}  {}", day.told());
        sum.add(&day);
    }
    print!("{}", sum.told(clean));
    println!("took {} s", begin.elapsed().as_secs());
    sum.assert_good();
}

/// How long a day without trouble takes.
fn clean_day() -> Duration {
    let day = Day::live(&Wishes { seed: 0, percent: 0, is_killed: false });
    assert!(day.succeeded(), "a day without trouble: {}", day.told());
    day.took
}

fn argument(name: &str) -> Option<u64> {
    let value = std::env::args().skip_while(|argument| argument != name).nth(1)?;
    value.parse().ok()
}
