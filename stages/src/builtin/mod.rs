//! The stages that are not about anything in particular: one file each, all of one shape.

mod approve;
pub mod command;
mod http;
mod jq;
mod noop;
mod sleep;
mod value;
mod workflow;

use flow_core::catalog::Catalog;

use crate::client::Remote;
use crate::process::Spawner;

pub(crate) use jq::{ROLE_NAME as FILTER_ROLE, serve as serve_filter};

/// Adds the general stages of this crate.
#[must_use]
pub(crate) fn register(catalog: Catalog, spawner: &Spawner, remote: &Remote) -> Catalog {
    catalog
        .with(command::CommandStage::new(spawner.clone()))
        .with(http::HttpStage::new(remote.clients()))
        .with(jq::JqStage::new(spawner.clone()))
        .with(noop::NoopStage::new())
        .with(sleep::SleepStage::new())
        .with(approve::ApproveStage::new())
        .with(value::ValueStage::new())
        .with(workflow::WorkflowStage::new())
}
