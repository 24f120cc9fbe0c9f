//! What is paid for is bought once: its receipt is on the disk before it is used.

use std::future::Future;
use std::path::{Path, PathBuf};

use flow_core::digest::Digest;
use flow_core::error::StageError;
use flow_core::json;
use flow_core::stage::Context;
use serde_json::Value;

/// The name under which a request is remembered: the service, and all that was asked for.
pub(crate) fn receipt(service: &str, request: &Value) -> String {
    format!("{service}/{}", Digest::of(&json::canonical(request)))
}

/// What an earlier attempt has bought under this name; else buys it, and remembers it before anything
/// is made of it. The value is small: the provider's id of a job, or a short answer.
///
/// # Errors
/// Those of `buy`, and those of the store.
pub(crate) async fn bought(
    context: &dyn Context,
    receipt: &str,
    buy: impl Future<Output = Result<Value, StageError>>,
) -> Result<Value, StageError> {
    if let Some(value) = context.remembered(receipt) {
        return Ok(value);
    }
    let value = buy.await?;
    context.remember(receipt, value.clone()).await?;
    Ok(value)
}

/// The same for a file, which is at `path` in the end.
///
/// # Errors
/// Those of `buy`, and those of the store.
pub(crate) async fn bought_file(
    context: &dyn Context,
    receipt: &str,
    path: &Path,
    buy: impl Future<Output = Result<(), StageError>>,
) -> Result<PathBuf, StageError> {
    if !context.remembered_file(receipt, path).await? {
        buy.await?;
        context.remember_file(receipt, path).await?;
    }
    Ok(path.to_owned())
}
