//! `GET /metrics` and `GET /healthz`.

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

/// What the server asks the daemon for.
pub trait Source: Send + Sync + 'static {
    /// The metrics, as text; else why there are none.
    fn metrics(&self) -> Result<String, String>;
    /// Whether every configured interface that exists is filtered; else which are not.
    fn health(&self) -> Result<(), String>;
}

/// Binds the address.
///
/// # Errors
/// Names the address, and what to change.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        anyhow::anyhow!("serve metrics on {address}: {error}; set [metrics] listen to a free one")
    })
}

/// Serves until `stop` is done.
///
/// # Errors
/// When the listener fails.
pub async fn serve<S: Source>(
    listener: TcpListener,
    source: Arc<S>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics::<S>))
        .route("/healthz", get(health::<S>))
        .with_state(source);
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn metrics<S: Source>(State(source): State<Arc<S>>) -> impl IntoResponse {
    // Reading a thousand counters takes a thousand system calls: not on the thread that answers others.
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    match tokio::task::spawn_blocking(move || source.metrics()).await {
        Ok(Ok(text)) => (StatusCode::OK, [(header::CONTENT_TYPE, TEXT)], text),
        Ok(Err(reason)) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, TEXT)], reason),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, TEXT)], error.to_string()),
    }
}

async fn health<S: Source>(State(source): State<Arc<S>>) -> impl IntoResponse {
    match tokio::task::spawn_blocking(move || source.health()).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n".to_owned()),
        Ok(Err(reason)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
