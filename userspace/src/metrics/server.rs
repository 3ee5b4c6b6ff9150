//! `GET /metrics` and `GET /healthz`.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

/// What the server asks the daemon for.
pub trait Source: Send + Sync + 'static {
    /// The metrics, as text; else why there are none.
    fn metrics(&self) -> Result<String, String>;
    /// Whether every configured interface that exists is filtered; else which are not.
    fn health(&self) -> Result<(), String>;
    /// Says why the metrics are not served, or that they are.
    fn unserved(&self, why: Option<String>);
}

/// Serves at the address for as long as it is polled, from when on it can be had: a gate does not wait for whoever watches it, nor
/// for an address that comes with the network. The log, and the source, are told why that is not now.
pub async fn run<S: Source>(address: SocketAddr, source: Arc<S>) {
    let mut told = None;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => {
                let why = format!(
                    "serve metrics on {address}: {error}; tried again every {} s; [metrics] listen names another address",
                    AGAIN.as_secs()
                );
                if told.as_ref() != Some(&why) {
                    tracing::error!("{why}");
                    source.unserved(Some(why.clone()));
                    told = Some(why);
                }
                sleep(AGAIN).await;
            }
        }
    };
    if told.is_some() {
        tracing::info!("metrics are served on {address}");
        source.unserved(None);
    }
    serve(listener, source).await;
}

/// How soon an address is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Connections at once; beyond, whoever connects waits until one ends.
const CONNECTIONS: usize = 64;
/// How long a client may take to send a request's head, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last; a request that has begun by then has [`HEAD`] to end. A client that does not read its answer
/// holds it no longer.
const WHOLE: Duration = Duration::from_secs(60);
/// How long to wait where no connection can be accepted: descriptors may be free again by then.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves for as long as it is polled. Whatever clients do, there are at most 64 connections, each for 70 s at most.
pub async fn serve<S: Source>(listener: TcpListener, source: Arc<S>) {
    let router = Router::new()
        .route("/metrics", get(metrics::<S>))
        .route("/healthz", get(health::<S>))
        .with_state(source);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes it");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept a connection for metrics");
                sleep(PAUSE).await;
                continue;
            }
        };
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD);
        let connection =
            http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let mut ended = timeout(WHOLE, connection.as_mut()).await;
            if ended.is_err() {
                connection.as_mut().graceful_shutdown();
                ended = timeout(HEAD, connection).await;
            }
            if let Ok(Err(error)) = ended {
                tracing::debug!(%error, "a connection for metrics");
            }
            drop(place);
        });
    }
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
