//! A WebSocket of a service, opened like any other request: with its headers, its certificates and its
//! proxies.

use flow_core::error::{ErrorClass, StageError};
use reqwest::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{StatusCode, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Message, Service};
use crate::transport::{Expect, Reply, failure, send};

impl Service {
    /// Opens a WebSocket where `message` asks for it.
    ///
    /// # Errors
    /// When the server does not answer, or not with one.
    pub(super) async fn socket(
        &self,
        operation: &str,
        message: Message,
    ) -> Result<WebSocketStream<Upgraded>, StageError> {
        let key = generate_key();
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let broken = |what: &str| self.failure(ErrorClass::Network, operation, what);
        let named = HeaderValue::from_str(&key).map_err(|error| broken("no key").cause(error))?;
        headers.insert(SEC_WEBSOCKET_KEY, named);
        let request = message.headers(headers).request(self, operation, Expect::any())?;
        let reply = send(&self.remote.clients(), &request).await?;
        if reply.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(failure::of_status(&request, reply).await);
        }
        let Reply { response, .. } = reply;
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accepted| *accepted != derive_accept_key(key.as_bytes())) {
            return Err(broken("what answers is no WebSocket"));
        }
        let stream = response.upgrade().await.map_err(|error| {
            broken("the connection could not be taken over").cause(error.without_url())
        })?;
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }
}
