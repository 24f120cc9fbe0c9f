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

pub mod anthropic;
pub mod balldontlie;
pub mod comfyui;
pub mod elevenlabs;
pub mod fal;
pub mod flux;
pub mod games;
pub mod gemini;
pub mod goatedbets;
pub mod ideas;
pub mod instagram;
pub mod odds_api;
pub mod openai;
pub mod openai_images;
pub mod pictures;
pub mod replicate;
pub mod s3;
pub mod server;
pub mod sound;
pub mod tiktok;
pub mod webhook;
pub mod youtube;

pub use server::{Api, Asked, Reply, Server, Trouble};
