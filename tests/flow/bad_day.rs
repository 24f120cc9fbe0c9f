//! Two bad days in short; `cargo bench --bench bad_day` lives many.

#[path = "../bad_day/count.rs"]
mod count;
#[path = "../bad_day/day.rs"]
mod day;
#[path = "../bad_day/purchase.rs"]
mod purchase;
#[path = "../bad_day/town.rs"]
mod town;

use std::time::Duration;

use count::Sum;
use day::{Day, Wishes};

/// Of a seed whose engine is killed after a third of its events.
const SEED: u64 = 43;

fn live(seed: u64, is_killed: bool) -> Day {
    Day::live(&Wishes { seed, percent: 30, reels: 1, is_killed, keep: None })
}

#[test]
fn a_bad_day_repeats_nothing_and_hides_nothing_even_when_it_is_killed() {
    let (whole, killed) = (live(SEED, false), live(SEED, true));
    let mut sum = Sum::default();
    sum.add(&whole);
    sum.add(&killed);
    let told = format!("{}\n{}\n{}", whole.told(), killed.told(), sum.told(Duration::from_secs(1)));
    sum.assert_once();
    assert!(whole.troubles > 0 && killed.is_killed, "there was no trouble: {told}");
    assert!(killed.invocations > 1 && killed.status == "succeeded", "it ended so: {told}");
}
