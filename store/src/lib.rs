//! The durable store of `flow`: run journals, content-addressed objects, and sled checkpoints.
//!
//! The journal of a run is its truth: append-only frames, each with a checksum and a link to the
//! frame before it. A result counts once its journal is synced; nothing else is waited for. Objects
//! are files named by the BLAKE3 digest of their bytes. The checkpoint database is an index for
//! resume and rerun, written behind the journals by one thread and rebuilt from them whenever it is
//! absent or damaged, so it can be deleted at any time without changing a decision.
//!
//! Any number of processes use one store at once. A run belongs to the process that holds its
//! lock, which the kernel gives free when that process ends; reading takes no lock.

mod bytes;
mod cache;
mod checkpoints;
#[cfg(test)]
mod conformance;
mod disk;
mod files;
mod holds;
mod inbox;
mod journal;
mod layout;
mod lease;
mod lines;
mod locks;
mod lookup;
mod memory;
mod notes;
mod objects;
mod payloads;
mod plain;
mod platform;
mod rates;
mod run_index;
mod runs;
mod sealed;
mod stats;
mod tail;
#[cfg(test)]
mod testing;
mod tmp;
mod upkeep;

pub use disk::DiskStore;
pub use memory::MemoryStore;
pub use plain::{open_plain, open_plain_with};
pub use sealed::sealed_line;
pub use stats::StoreStats;
pub use tail::RunTail;
pub use upkeep::{Collected, DatabaseState, Finding, FindingKind, Progress, Repairs, Retention};
