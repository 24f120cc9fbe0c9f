//! Access to a channel (OAuth 2.0): a refresh token gives access tokens, which last an hour.
//!
//! An access token lives in memory alone. One that is refused is made anew once.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use flow_core::error::{ErrorClass, StageError};
use flow_core::stage::Context;
use reqwest::Url;

use crate::client::{Answer, Message, Service};

/// Where Google gives access tokens.
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// Access tokens by refresh token, for all attempts of this process.
static TOKENS: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);

/// What lets requests in.
pub(super) struct Bearer<'a> {
    service: &'a Service,
    key: &'a str,
    /// Id and secret of the client that the refresh token belongs to; without them the key is an
    /// access token itself.
    client: Option<(&'a str, &'a str)>,
}

impl<'a> Bearer<'a> {
    pub(super) fn of(service: &'a Service) -> Result<Self, StageError> {
        let key = service.key()?;
        let client = service.further_key("client_id").zip(service.further_key("client_secret"));
        Ok(Self { service, key, client })
    }

    /// Sends a request with a token that is good, as far as that can be had.
    pub(super) async fn send(
        &self,
        context: &dyn Context,
        operation: &str,
        message: Message,
    ) -> Result<Answer, StageError> {
        let token = self.token(context, None).await?;
        let answer = self.service.send(context, operation, message.clone().bearer(&token)).await?;
        if answer.status != 401 || self.client.is_none() {
            return Ok(answer);
        }
        let token = self.token(context, Some(&token)).await?;
        self.service.send(context, operation, message.bearer(&token)).await
    }

    /// The token at hand unless it is the refused one, else a new one.
    async fn token(
        &self,
        context: &dyn Context,
        refused: Option<&str>,
    ) -> Result<String, StageError> {
        let Some(client) = self.client else { return Ok(self.key.to_owned()) };
        let name = format!("{} {}", self.service.option_or("token_url", TOKEN_URL), self.key);
        let known = tokens().get(&name).cloned();
        if let Some(known) = known.filter(|known| Some(known.as_str()) != refused) {
            return Ok(known);
        }
        let token = self.refresh(context, client).await?;
        tokens().insert(name, token.clone());
        Ok(token)
    }

    async fn refresh(
        &self,
        context: &dyn Context,
        (id, secret): (&str, &str),
    ) -> Result<String, StageError> {
        let (service, operation) = (self.service, "ask for access to the channel");
        let place = service.option_or("token_url", TOKEN_URL);
        let url = Url::parse(place).map_err(|error| {
            let field = "read with.services.youtube.token_url";
            service.failure(ErrorClass::Config, field, error.to_string())
        })?;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", self.key),
            ("client_id", id),
            ("client_secret", secret),
        ];
        let answer = service.send(context, operation, Message::post(url).form(&form)).await?;
        if !answer.is_success() {
            return Err(failure(service, &answer));
        }
        let body = answer.json(service).map_err(without_body)?;
        match body["access_token"].as_str() {
            Some(token) if !token.is_empty() => Ok(token.to_owned()),
            _ => Err(without_body(answer.misshapen(service, "has no access token"))),
        }
    }
}

fn tokens() -> std::sync::MutexGuard<'static, HashMap<String, String>> {
    TOKENS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What this server says may be a token.
fn without_body(mut error: StageError) -> StageError {
    error.causes.clear();
    error
}

/// What a refusal means: `{"error": "invalid_grant", "error_description": "…"}`.
fn failure(service: &Service, answer: &Answer) -> StageError {
    let body = answer.value().unwrap_or_default();
    let class = match body["error"].as_str() {
        Some("invalid_grant" | "invalid_client" | "unauthorized_client" | "access_denied") => {
            Some(ErrorClass::Auth)
        }
        _ => None,
    };
    let said = body["error_description"].as_str().or_else(|| body["error"].as_str());
    let refused = answer.refusal(service, class, Some(said.unwrap_or("no reason is given")));
    match class {
        Some(_) => refused.hint(
            "the refresh token is expired or revoked, or belongs to another client: make it anew and \
             set YOUTUBE_REFRESH_TOKEN, YOUTUBE_CLIENT_ID and YOUTUBE_CLIENT_SECRET",
        ),
        None => refused,
    }
}
