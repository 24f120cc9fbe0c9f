//! Requests over HTTP and what becomes of them: the one way in which stages speak to servers.
//!
//! An answer is success, a failure of a known class, or not an answer at all. What was sent stays
//! out of every message: a URL is shown without its query, and neither headers nor bodies are shown.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod exchange;
pub(crate) mod failure;
pub(crate) mod outgoing;
pub(crate) mod request;
pub(crate) mod retry_after;
pub(crate) mod shown;

pub(crate) use client::{Clients, Settings};
pub(crate) use exchange::{Reply, send};
pub(crate) use request::{Expect, Request};
