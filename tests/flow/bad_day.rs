//! Two bad days in short; `cargo bench --bench bad_day` lives many.

#[path = "../bad_day/count.rs"]
mod count;
#[path = "../bad_day/day.rs"]
mod day;
#[path = "../bad_day/purchase.rs"]
mod purchase;
#[path = "../bad_day/town.rs"]
mod town;

use std::collections::HashMap;
use std::time::Duration;

use count::Sum;
use day::{Day, Wishes};
use purchase::{Again, Kill, Purchase};

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

fn again(bought: &[(usize, &str)], kill: Option<&Kill>) -> (usize, usize) {
    let purchase = |(at, order): &(usize, &str)| {
        let (order, record) = ((*order).to_owned(), format!("openai/{order}"));
        Purchase { service: "openai", at: *at, order, record }
    };
    let again = Again::among(bought.iter().map(purchase).collect(), kill);
    (again.needlessly.len(), again.lost.len())
}

#[test]
fn a_kill_excuses_one_repetition_of_what_was_not_on_record() {
    let kill = |recorded: &[&str]| Kill {
        asked: HashMap::from([("openai", 2)]),
        recorded: recorded.iter().map(|name| (*name).to_owned()).collect(),
    };
    let (lost, kept) = (kill(&[]), kill(&["openai/a/answer"]));
    assert_eq!(again(&[(0, "a"), (1, "b")], None), (0, 0));
    assert_eq!(again(&[(0, "a"), (1, "a")], None), (1, 0));
    assert_eq!(again(&[(0, "a"), (3, "a")], Some(&lost)), (0, 1));
    assert_eq!(again(&[(0, "a"), (3, "a"), (4, "a")], Some(&lost)), (1, 1));
    assert_eq!(again(&[(2, "a"), (3, "a")], Some(&lost)), (1, 0), "both after the kill");
    assert_eq!(again(&[(0, "a"), (3, "a")], Some(&kept)), (1, 0), "it was on record");
}
