//! Providers in turn: the first that can does the work.

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Fallback, FallbackReason, FieldKind, FieldSpec, Job, NodeView,
};
use serde_json::Value;

use super::{Api, Remote, Service};

/// `with.providers`, for the stages that have a chain.
pub(crate) fn providers_field(doc: &'static str) -> FieldSpec {
    FieldSpec { name: "providers", kind: FieldKind::Json, optional: true, doc }
}

/// One provider of a chain.
pub(crate) enum Provider {
    /// What this machine does itself, without key and network.
    Local(&'static str),
    /// A remote service.
    Remote(Service),
}

impl Provider {
    /// Its name in `providers`.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Local(name) => name,
            Self::Remote(service) => service.api.name,
        }
    }

    /// The service, if it is one.
    pub(crate) fn service(&self) -> Option<&Service> {
        match self {
            Self::Local(_) => None,
            Self::Remote(service) => Some(service),
        }
    }
}

/// The providers of a node, in the order in which they are asked.
pub(crate) struct Chain {
    providers: Vec<Provider>,
    remote: Remote,
}

/// All providers that a stage knows.
pub(crate) struct Known {
    pub(crate) apis: &'static [&'static Api],
    pub(crate) locals: &'static [&'static str],
}

impl Known {
    fn names(&self) -> Vec<&'static str> {
        self.apis.iter().map(|api| api.name).chain(self.locals.iter().copied()).collect()
    }

    fn provider(&self, name: &str, job: &Job, remote: &Remote) -> Result<Provider, StageError> {
        if let Some(local) = self.locals.iter().find(|local| **local == name) {
            return Ok(Provider::Local(local));
        }
        match self.apis.iter().find(|api| api.name == name) {
            Some(api) => Service::read(api, job, remote).map(Provider::Remote),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> StageError {
        wrong(format!("`{name}` is no provider of this stage")).hint(self.help())
    }

    fn help(&self) -> String {
        format!("choose among {}", self.names().join(", "))
    }

    /// Faults of `with.providers`, `services` and `keys` that can be seen before the run.
    pub(crate) fn faults(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        let names = self.names();
        let fault = |pointer: String, name: &str| ConfigFault {
            pointer,
            message: format!("`{name}` is no provider of this stage"),
            help: Some(self.help()),
        };
        let mut faults = Vec::new();
        let listed = node.config.get("providers").and_then(Value::as_array);
        for (at, name) in listed.into_iter().flatten().enumerate() {
            let name = name.as_str().unwrap_or_default();
            if !name.contains("{{") && !names.contains(&name) {
                faults.push(fault(format!("/providers/{at}"), name));
            }
        }
        faults
    }
}

fn wrong(message: String) -> StageError {
    let mut error = StageError::new(ErrorClass::Config, "read with.providers", message);
    error.unsent = true;
    error.kind(ErrorKind::Validation)
}

impl Chain {
    /// Reads `with.providers`; without it, those of `default`.
    ///
    /// # Errors
    /// `config` for an unknown provider, an empty list, or settings that cannot be read.
    pub(crate) fn read(
        job: &Job,
        remote: &Remote,
        known: &Known,
        default: &[&str],
    ) -> Result<Self, StageError> {
        let names: Vec<&str> = match job.config.get("providers") {
            None | Some(Value::Null) => default.to_vec(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(_) => return Err(wrong("it is no list of names".into()).hint(known.help())),
        };
        if names.is_empty() {
            return Err(wrong("it names no provider".into()).hint(known.help()));
        }
        let provider = |name: &&str| known.provider(name, job, remote);
        let providers = names.iter().map(provider).collect::<Result<_, _>>()?;
        Ok(Self { providers, remote: remote.clone() })
    }

    /// Passes over the providers without a key once, and says so, for a chain that is asked often. It
    /// stays as it is when none of them has one.
    pub(crate) fn with_keys(mut self, context: &dyn Context) -> Self {
        let has_key = |provider: &Provider| provider.service().is_none_or(Service::has_key);
        if !self.providers.iter().any(has_key) {
            return self;
        }
        for (at, provider) in self.providers.iter().enumerate().filter(|(_, p)| !has_key(p)) {
            let to = self.providers.get(at + 1).map(|next| next.name().to_owned());
            let (from, reason) = (provider.name().to_owned(), FallbackReason::NoKey);
            context.provider_fallback(Fallback { from, to, reason });
        }
        self.providers.retain(has_key);
        self
    }

    /// Whether it has no service at all.
    pub(crate) fn is_local(&self) -> bool {
        self.providers.iter().all(|provider| provider.service().is_none())
    }

    /// Asks the providers in turn, and gives what the first one made that could. What one after the first
    /// that has its key made is second best: the next run asks anew. One without its key
    /// and one whose quota was used up earlier in the run are passed over; each step is recorded.
    ///
    /// # Errors
    /// The failure of the last provider that was asked, with those of the others as causes; at once
    /// when the attempt was told to stop or the store fails.
    pub(crate) async fn ask<'s, T>(
        &'s self,
        context: &dyn Context,
        mut ask: impl FnMut(&'s Provider) -> BoxFuture<'s, Result<T, StageError>>,
    ) -> Result<T, StageError> {
        let (mut failures, mut is_exhausted) = (Vec::new(), false);
        for (at, provider) in self.providers.iter().enumerate() {
            let reason = match self.passed_over(context, provider) {
                Some(reason) => reason,
                None => match ask(provider).await {
                    Ok(made) => {
                        if is_exhausted || is_second_best(provider, &failures) {
                            context.provisional();
                        }
                        return Ok(made);
                    }
                    Err(error) if ends_all(&error) || is_stopped(context).await => {
                        return Err(error);
                    }
                    Err(error) => {
                        self.note(context, provider, &error);
                        failures.push(error.clone());
                        FallbackReason::Failed(error)
                    }
                },
            };
            is_exhausted |= reason == FallbackReason::Exhausted;
            let to = self.providers.get(at + 1).map(|next| next.name().to_owned());
            // That the last one failed is told by the failure of the attempt.
            if to.is_some() || !matches!(reason, FallbackReason::Failed(_)) {
                let from = provider.name().to_owned();
                context.provider_fallback(Fallback { from, to, reason });
            }
        }
        Err(self.nobody(failures))
    }

    fn passed_over(&self, context: &dyn Context, provider: &Provider) -> Option<FallbackReason> {
        let service = provider.service()?;
        if !service.has_key() {
            return Some(FallbackReason::NoKey);
        }
        let exhausted = self.remote.is_exhausted(context.run_id(), provider.name());
        exhausted.then_some(FallbackReason::Exhausted)
    }

    fn note(&self, context: &dyn Context, provider: &Provider, error: &StageError) {
        if error.class == ErrorClass::QuotaExhausted {
            self.remote.exhaust(context.run_id(), provider.name());
        }
    }

    fn nobody(&self, mut failures: Vec<StageError>) -> StageError {
        let Some(mut last) = failures.pop() else { return self.nobody_asked() };
        for failure in failures {
            let provider = failure.provider.as_deref().unwrap_or_default();
            last.causes.push(format!("before it, {provider}: {}", failure.message));
        }
        last
    }

    /// Why no provider could even be asked: the first without a key says which variable is missing.
    fn nobody_asked(&self) -> StageError {
        let services = || self.providers.iter().filter_map(Provider::service);
        if let Some(error) = services().find_map(|service| service.key_fault()) {
            let names: Vec<&str> = services().map(|service| service.api.name).collect();
            let nobody = format!("nobody could be asked of {}", names.join(", "));
            return if names.len() > 1 { error.cause(nobody) } else { error };
        }
        let names: Vec<&str> = self.providers.iter().map(Provider::name).collect();
        let message =
            format!("the quota of {} was used up earlier in this run", names.join(" and of "));
        let mut error = StageError::new(ErrorClass::QuotaExhausted, "choose a provider", message);
        error.unsent = true;
        error.kind(ErrorKind::Api).hint(
            "`flow resume` asks again when it is renewed; or end the chain with a provider that needs none",
        )
    }
}

/// Whether what a provider made is only taken because those before it failed. One that has not all that
/// is asked for has not failed, if another service has it.
fn is_second_best(provider: &Provider, failures: &[StageError]) -> bool {
    let lacks = |error: &StageError| error.class == ErrorClass::Validation;
    !failures.iter().all(lacks) || provider.service().is_none() && !failures.is_empty()
}

/// Whether a failure is not one of the provider, so that no other one is asked.
fn ends_all(error: &StageError) -> bool {
    matches!(
        error.class,
        ErrorClass::Cancelled | ErrorClass::Store | ErrorClass::DiskFull | ErrorClass::Panic
    )
}

/// Whether the attempt was told to stop.
async fn is_stopped(context: &dyn Context) -> bool {
    tokio::select! {
        biased;
        _ = context.cancelled() => true,
        () = std::future::ready(()) => false,
    }
}
