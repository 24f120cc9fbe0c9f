//! Services on loopback that speak the true wire formats, for tests and for the bad-day campaign.
//!
//! One file for each API; its first lines name the public document that it follows. Servers share no
//! type with the clients that they test. Each keeps a ledger of what it was asked and what it answered,
//! which is the outside witness of what was paid for, and how often.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "several programs use these servers, and each of them some"
)]

pub mod balldontlie;
pub mod games;
pub mod goatedbets;
pub mod odds_api;
pub mod server;

pub use server::{Api, Asked, Reply, Server, Trouble};
