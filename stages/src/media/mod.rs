//! The daily sports pipeline: one file per stage, all of one shape, with the crafts they use in
//! folders beside them.
//!
//! A stage reads its input records, does its work and hands over drafts; the engine validates both
//! ends. What only a stage can know (a picture that does not decode, a silent voice) is an error
//! with its kind, its class and the next step.

mod assemble;
#[cfg(test)]
mod assemble_tests;
mod calendar;
mod captions;
pub mod compare;
mod draw;
mod ffmpeg;
mod fonts;
mod ideas;
mod lookup;
mod machine;
mod mashup;
mod narrate;
mod outbox;
mod ports;
mod publish;
mod settings;
mod shown;
mod slate;
mod slides;
mod speech;
#[cfg(test)]
mod tests;
mod voices;
mod words;
mod writer;

use flow_core::catalog::Catalog;

use crate::client::Remote;
use crate::contract;
use crate::process::Spawner;

/// Adds the stages of the pipeline and the records on their edges.
#[must_use]
pub(crate) fn register(catalog: Catalog, spawner: &Spawner, remote: &Remote) -> Catalog {
    contract::register(catalog)
        .with(slate::SlateStage::new(remote.clone()))
        .with(lookup::LookupStage::new(remote.clone()))
        .with(calendar::CalendarStage::new())
        .with(ideas::IdeasStage::new(remote.clone()))
        .with(narrate::NarrateStage::new(spawner.clone(), remote.clone()))
        .with(slides::SlidesStage::new(remote.clone()))
        .with(assemble::AssembleStage::new(spawner.clone()))
        .with(mashup::MashupStage::new(spawner.clone()))
        .with(outbox::OutboxStage::new())
        .with(publish::PublishStage::new(remote.clone()))
}
