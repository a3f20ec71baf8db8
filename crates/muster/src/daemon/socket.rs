//! The other end of the state's socket: how a command talks to the daemon that owns the state.

use std::path::Path;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::api::ApiError;

/// Name of the socket in the state folder.
pub const SOCKET: &str = "muster.sock";

/// Connects, when a daemon is there.
pub async fn connect(state_dir: &Path) -> Option<UnixStream> {
    UnixStream::connect(state_dir.join(SOCKET)).await.ok()
}

/// Sends one request and returns its answer.
///
/// # Errors
/// The daemon's refusal, or that it went away.
pub async fn call(
    stream: UnixStream,
    who: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<Value, ApiError> {
    let gone = |e: String| ApiError {
        status: 500,
        error: format!("the daemon went away: {e}"),
        remedy: "look into its log, then try again".to_owned(),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| gone(e.to_string()))?;
    tokio::spawn(async move {
        // Its end shows in the answer.
        let _ = connection.await;
    });
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-muster-user", who)
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|e| gone(e.to_string()))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|e| gone(e.to_string()))?;
    let status = response.status().as_u16();
    let bytes = response
        .into_body()
        .collect()
        .await
        .map_err(|e| gone(e.to_string()))?
        .to_bytes();
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| gone(e.to_string()))?;
    if status == 200 {
        return Ok(value);
    }
    let text = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Err(ApiError {
        status,
        error: text("error"),
        remedy: text("remedy"),
    })
}
