//! A bad day, many times: `cargo bench --bench bad_day -- --runs 100 --seed 1`. So many of them go on at
//! once (`--jobs`, 2 by default); the folders of those that end badly are kept where `--keep` says. `--first`
//! begins with a later one of them.
//!
//! Each run is the daily pipeline against servers of its own, of which so many of 100 requests fail
//! (`--percent`, 30 by default): server errors, 429 with both forms of `Retry-After`, resets, lost and cut
//! answers, HTML with 200, JSON that breaks off, silence. The encoder crashes and hangs as often. Every
//! fourth run is killed in the middle and resumed, and counted apart.
//!
//! A run has succeeded only if at least nine of ten of its items were made by the online providers and all
//! of them were published. Printed are: the success rate, the share of transient failures that were cured by
//! trying again, calls that were paid for twice, double posts, and the wall time against a clean day. What was
//! answered at the moment of a kill, and was not on record yet, is bought again, and counted apart.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that measures")]

mod count;
mod day;
mod purchase;
mod town;

#[path = "../services/mod.rs"]
mod services;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use count::Sum;
use day::{Day, Wishes};

/// How many reels a day has.
const REELS: u32 = 2;

fn main() {
    let runs = argument("--runs").unwrap_or(100);
    let seed = argument("--seed").unwrap_or(1);
    let percent = argument("--percent").unwrap_or(30);
    let jobs = argument("--jobs").unwrap_or(2);
    let keep = text("--keep").map(PathBuf::from);
    let begin = Instant::now();
    let clean = clean_day();
    let first = argument("--first").unwrap_or(0);
    let end = first + runs;
    let (sum, next) = (Mutex::new(Sum::default()), AtomicU64::new(first));
    let live = || {
        while let Some(at) = Some(next.fetch_add(1, Ordering::SeqCst)).filter(|at| *at < end) {
            let (seed, keep) = (seed * 1_000_003 + at, keep.clone());
            let is_killed = at % 4 == 3;
            let day = Day::live(&Wishes { seed, percent, reels: REELS, is_killed, keep });
            println!("{at:>4}  {}", day.told());
            sum.lock().unwrap().add(&day);
        }
    };
    std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(live))));
    let sum = sum.into_inner().unwrap();
    print!("{}", sum.told(clean));
    println!("took {} s", begin.elapsed().as_secs());
    sum.assert_once();
    sum.assert_rates();
}

/// How long a day without trouble takes.
fn clean_day() -> Duration {
    let wishes = Wishes { seed: 0, percent: 0, reels: REELS, is_killed: false, keep: None };
    let day = Day::live(&wishes);
    assert!(day.succeeded(), "a day without trouble: {}", day.told());
    day.took
}

fn argument(name: &str) -> Option<u64> {
    text(name)?.parse().ok()
}

fn text(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}
