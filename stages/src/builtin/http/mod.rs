//! `http`: one request to a service, with a typed answer.
//!
//! An answer is success, a failure of a known class, or not an answer at all; a body that was cut
//! short or cannot be read is never success. What was sent stays out of every message: a URL is
//! shown without its query, and neither headers nor bodies are shown.

mod answer;
mod check;
mod reading;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use flow_core::error::StageError;
use flow_core::schema::Type;
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Drafts, FieldKind, FieldSpec, Job, NodeView, PortSpec, Ports,
    Stage, StageSpec, Usage,
};

use crate::transport::{self, Clients, Request, failure};

/// The `http` stage.
pub(crate) struct HttpStage {
    spec: StageSpec,
    clients: Arc<Clients>,
}

impl HttpStage {
    pub(crate) fn new(clients: Arc<Clients>) -> Self {
        Self { spec: spec(), clients }
    }

    #[cfg(test)]
    fn with(settings: transport::Settings) -> Self {
        Self::new(Arc::new(Clients::new(settings)))
    }
}

fn spec() -> StageSpec {
    let port = |name: &str, ty, retypable, doc| PortSpec {
        name: name.to_owned(),
        ty,
        optional: false,
        retypable,
        doc,
    };
    StageSpec {
        name: "http",
        version: 1,
        summary: "Sends an HTTP request and takes the answer as a typed value or a file.",
        inputs: Ports::Declared,
        outputs: Ports::Fixed(vec![
            port(
                "body",
                Type::Json,
                true,
                "The answer's body: JSON, text for a `string`, its bytes for a `file`; with `T?` \
                 an empty one is absent.",
            ),
            port("status", Type::Integer, false, "The status of the answer."),
            port(
                "headers",
                Type::Map(Box::new(Type::String)),
                false,
                "Its headers under lower-case names; several of one name are joined by a comma.",
            ),
        ]),
        config: fields(),
        needs_scratch: true,
        example: r#"[nodes.slate]
stage   = "http"
with    = { url = "https://api.example.com/games", query = { date = "{{ run.date }}" }, headers = { Accept = "application/json" } }
timeout = "30s"
outputs.body = "Slate"
"#,
    }
}

fn fields() -> Vec<FieldSpec> {
    let field = |name, kind, doc| FieldSpec { name, kind, optional: true, doc };
    vec![
        FieldSpec {
            name: "url",
            kind: FieldKind::Text,
            optional: false,
            doc: "Where to: `http` or `https`, without credentials in it.",
        },
        field(
            "method",
            FieldKind::Text,
            "GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS; GET by default, POST with a body.",
        ),
        field(
            "headers",
            FieldKind::Json,
            "A table of headers. They go to the URL's own origin alone; null leaves one out.",
        ),
        field(
            "query",
            FieldKind::Json,
            "A table of parameters for the URL. A list gives one for each element; null leaves \
             one out.",
        ),
        field("json", FieldKind::Json, "A JSON body."),
        field(
            "body",
            FieldKind::Stdin,
            "A body: text, or a reference: a file's bytes, a string as it is, anything else as \
             JSON.",
        ),
        field(
            "expect",
            FieldKind::Plain(Type::Json.list()),
            "Statuses that count as success, such as [200, 404] or [\"2xx\"]; 2xx by default.",
        ),
        field(
            "allowed_hosts",
            FieldKind::Plain(Type::String.list()),
            "Hosts besides the URL's own that redirects may go to: `cdn.example.com`, \
             `*.example.com`, or `*` for any.",
        ),
    ]
}

impl Stage for HttpStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        check::faults(node)
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let request = reading::read(context, &job)?;
            tokio::select! {
                biased;
                result = self.exchange(context, &job, &request) => result,
                reason = context.cancelled() => Err(failure::stopped(&request, reason)),
            }
        })
    }
}

impl HttpStage {
    async fn exchange(
        &self,
        context: &dyn Context,
        job: &Job,
        request: &Request,
    ) -> Result<Drafts, StageError> {
        // Redirects are followed within one call.
        context.used(Usage { calls: 1, ..Usage::default() });
        let reply = transport::send(&self.clients, request).await?;
        if !request.expect.covers(reply.response.status().as_u16()) {
            return Err(failure::of_status(request, reply).await);
        }
        answer::drafts(context, job, request, self.clients.settings(), reply).await
    }
}
