//! Crashes: the built binary is killed, and fails, at its durable calls, in a short form of the
//! campaign that `cargo bench --bench crashes` runs at length.
//!
//! Two witnesses stand outside what is crashed. Every program of a workflow notes its start and its
//! end in a *ledger*; what the engine has *told* is the complete lines of its standard output. After
//! each crash the run is taken up until it is done, and [`check`] compares the two with the store.
//!
//! Faults come from a library in C that is loaded into the engine ([`tools`]): there is no hook in
//! `flow` itself, and what is tested is the binary that people use.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends where it stands")]

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
mod sees;
mod shape;
mod story;
mod tools;

use campaign::{Campaign, Mode};
use point::Plant;

/// The seed of the short form: fixed, so that a failure can be seen again.
const SEED: u64 = 20_260_101;

#[test]
fn killed_at_any_durable_call_nothing_that_was_told_is_lost_or_runs_again() {
    Campaign::new(SEED).with(Mode::Kill, 48).with(Mode::Torn, 16).run().assert_clean();
}

#[test]
fn killed_again_while_it_resumes_a_run_still_ends_the_same() {
    Campaign::new(SEED).with(Mode::KillAgain, 32).run().assert_clean();
}

#[test]
fn killed_at_any_instant_a_run_still_ends_the_same() {
    Campaign::new(SEED).with(Mode::Random, 32).run().assert_clean();
}

#[test]
fn a_failed_call_of_the_store_is_told_and_loses_nothing() {
    let campaign = Campaign::new(SEED).with(Mode::Io, 32).with(Mode::Full, 16);
    campaign.with(Mode::Short, 16).run().assert_clean();
}

#[test]
fn a_power_cut_at_any_durable_call_loses_nothing_that_was_told() {
    Campaign::new(SEED).with(Mode::Power, 32).run().assert_clean();
}

/// Every write and flush that reached the disk is known here, so that what was written after the
/// last flush can be lost in any part.
#[test]
fn whatever_a_power_cut_leaves_of_what_was_not_flushed_nothing_that_was_told_is_lost() {
    Campaign::new(SEED).with(Mode::Replay, 45).run().assert_clean();
}

/// Collecting, repairing, exporting, importing, changing a run, and one of two processes on a store.
#[test]
fn whatever_is_done_with_a_store_can_be_crashed_and_done_again() {
    Campaign::new(SEED).with(Mode::Keep, 49).run().assert_clean();
}

#[test]
fn a_file_system_without_locks_is_refused_before_anything_begins() {
    let (tools, disk) = (tools::Tools::new(), disk::Disk::folder());
    let folder = tempfile::tempdir().unwrap();
    disk.clear();
    let (path, store) = (folder.path().to_owned(), disk.root().join("store"));
    let plant = Some(Plant::NoLock);
    let bench = engine::Bench { tools: &tools, folder: path, store, plant };
    let shape = &shape::all(&tools.stage())[0];
    std::fs::write(folder.path().join("flow.toml"), &shape.text).unwrap();
    let done = bench.flow(&["run", "flow.toml"], point::Fault::None);
    assert_eq!(done.code, Some(4), "{}", done.stderr);
    assert!(done.stderr.contains("lock"), "{}", done.stderr);
    assert!(!bench.ledger().exists(), "a program was started");
}

/// The rig must see: a record that is written after it was told of, here by a write that arrives
/// late, is what kills at durable calls are for.
#[test]
fn a_record_that_is_written_after_it_was_told_is_found_by_kills() {
    Campaign::new(SEED).with(Mode::Kill, 40).planted(Plant::Late).run().assert_found();
}

/// Only power cuts can show that nothing is synced.
#[test]
fn a_store_that_does_not_sync_is_found_by_power_cuts() {
    Campaign::new(SEED).with(Mode::Power, 16).planted(Plant::NoSync).run().assert_found();
}

#[test]
fn a_store_that_does_not_sync_is_found_by_what_is_lost_of_a_recorded_run() {
    Campaign::new(SEED).with(Mode::Replay, 27).planted(Plant::NoSync).run().assert_found();
}

/// Planted bugs do no harm by themselves, so it is the crashes that show them.
#[test]
fn without_a_crash_a_planted_bug_is_not_seen() {
    for plant in [Plant::Late, Plant::NoSync] {
        Campaign::new(SEED).with(Mode::None, 4).planted(plant).run().assert_clean();
    }
}
