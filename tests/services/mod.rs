//! Services on loopback that speak the true wire formats, for tests and for the bad-day campaign.
//!
//! One file for each API; its first lines name the public document that it follows. Servers share no
//! type with the clients that they test. Each keeps a ledger of what it was asked and what it answered,
//! which is the outside witness of what was paid for, and how often.

#![allow(dead_code, reason = "each program that uses the servers uses some of them")]

pub mod instagram;
pub mod s3;
pub mod server;
pub mod tiktok;
pub mod webhook;
pub mod youtube;

pub use server::{Api, Asked, Reply, Server, Trouble};
