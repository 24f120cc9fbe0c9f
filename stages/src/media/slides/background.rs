//! The pictures behind slides: bought from the first provider of the chain that can make them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{BoxFuture, Context, Job};

use super::super::draw::Backdrop;
use super::super::ports::text;
use super::prompt::{prompt, seed};
use super::{broken, vision};
use crate::client::chain::Known;
use crate::client::picture::{self, Wanted};
use crate::client::{Chain, Provider, Remote, Service};
use crate::contract::IdeaPackage;

/// The provider that draws with the colours of the teams alone.
pub(super) const LOCAL: &str = "local";

/// All providers of pictures.
pub(super) static KNOWN: Known = Known { apis: &picture::APIS, locals: &[LOCAL] };

/// Where the backgrounds of a node come from.
pub(super) struct Painter {
    chain: Chain,
    style: Option<String>,
    /// Providers that have kept a slide waiting in vain, and how that ended: the other slides do not
    /// wait for them again.
    late: Mutex<BTreeMap<String, StageError>>,
    /// Who looks at each slide.
    pub(super) critic: Option<Service>,
}

/// A picture, and how it came to be.
pub(super) struct Background {
    pub(super) backdrop: Backdrop,
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) prompt: String,
    pub(super) seed: Option<u32>,
}

impl Painter {
    /// Reads the chain of a node; `None` if it buys nothing.
    ///
    /// # Errors
    /// `config` when a setting cannot be read.
    pub(super) fn read(
        context: &dyn Context,
        job: &Job,
        remote: &Remote,
    ) -> Result<Option<Self>, StageError> {
        let chain = Chain::read(job, remote, &KNOWN, &[LOCAL])?;
        let critic = vision::critic(job, remote)?;
        if chain.is_local() {
            return Ok(None);
        }
        let chain = chain.with_keys(context);
        if chain.is_local() {
            return Ok(None);
        }
        let critic = critic.filter(|critic| vision::has_key(context, critic));
        let style = text(job, "style").map(str::to_owned);
        Ok(Some(Self { chain, style, late: Mutex::default(), critic }))
    }

    /// The picture for a section; `None` where it is the turn of the local drawing. Each round has a
    /// seed of its own.
    ///
    /// # Errors
    /// Those of the chain.
    pub(super) async fn background(
        &self,
        context: &dyn Context,
        idea: &IdeaPackage,
        position: usize,
        round: u32,
    ) -> Result<Option<Background>, StageError> {
        let section = &idea.script.sections[position];
        let wanted = Wanted {
            prompt: prompt(idea, section, self.style.as_deref()),
            seed: seed(idea, section, round),
        };
        let name = format!("background-{:02}-{round}", position + 1);
        let path = context.scratch().join(name);
        let ask = |provider| self.ask(context, provider, &wanted, &path);
        self.chain.ask(context, ask).await
    }

    fn ask<'a>(
        &'a self,
        context: &'a dyn Context,
        provider: &'a Provider,
        wanted: &'a Wanted,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<Option<Background>, StageError>> {
        Box::pin(async move {
            let Some(service) = provider.service() else { return Ok(None) };
            if let Some(error) = self.late().get(provider.name()) {
                return Err(error.clone());
            }
            let made = buy(context, service, wanted, path).await;
            if let Err(error) = &made
                && error.class == ErrorClass::Timeout
            {
                self.late().insert(provider.name().to_owned(), error.clone());
            }
            made.map(Some)
        })
    }

    fn late(&self) -> MutexGuard<'_, BTreeMap<String, StageError>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn buy(
    context: &dyn Context,
    service: &Service,
    wanted: &Wanted,
    path: &Path,
) -> Result<Background, StageError> {
    let bought = picture::buy(context, service, wanted, path).await?;
    let file = bought.path;
    let opened = tokio::task::spawn_blocking(move || opened(&file)).await;
    let backdrop = opened.map_err(|error| broken("open a picture", error))??;
    Ok(Background {
        backdrop,
        provider: service.api.name.to_owned(),
        model: bought.model,
        prompt: wanted.prompt.clone(),
        seed: bought.seed,
    })
}

/// A picture that was checked when it was bought, as a backdrop.
fn opened(path: &Path) -> Result<Backdrop, StageError> {
    let operation = "open a picture that was bought";
    let bytes = std::fs::read(path)
        .map_err(|error| StageError::from_io(operation, &error).kind(ErrorKind::MediaGeneration))?;
    picture::decode(&bytes).map(|image| Backdrop::of(&image)).map_err(|fault| {
        StageError::new(ErrorClass::Io, operation, "it cannot be decoded")
            .kind(ErrorKind::MediaGeneration)
            .cause(format!("{fault:?}"))
    })
}
