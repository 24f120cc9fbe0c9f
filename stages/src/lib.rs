//! The built-in stages, the subprocess wrapper, and the media pipeline.

pub mod builtin;
mod client;
pub mod contract;
pub mod media;
pub mod process;
mod transport;

pub use transport::client::client as http_client;

use flow_core::catalog::Catalog;

/// All stages and types of this crate; their programs are started by `spawner`, which ends
/// with the catalog.
#[must_use]
pub fn catalog(spawner: process::Spawner) -> Catalog {
    let remote = client::Remote::new();
    let general = builtin::register(Catalog::new(), &spawner, &remote);
    media::register(general, &spawner, &remote)
}
