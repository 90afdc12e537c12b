//! What the operator serves over HTTP: to whoever reaches it, whether it lives, whether it works, and its metrics; on loopback, the read API.
//!
//! Architecture invariant: no journal and no artifact is on a port that another Pod can reach. ([`LoopbackAddress`];
//! `the_open_port_shows_no_journal`)
//!
//! Architecture invariant: nothing here writes. (`nothing_but_get_is_served`)
//!
//! Architecture invariant: what one answer holds in memory is bounded, and so is the number of answers that hold much.

mod read;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use reeve_store::{Artifacts, Journal};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{LoopbackAddress, telemetry};

/// Whether this process does its work, and if not, why. Clones share it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<RwLock<Option<String>>>);

impl Readiness {
    /// Not ready yet, for this reason.
    pub fn new(why_not: impl Into<String>) -> Readiness {
        Readiness(Arc::new(RwLock::new(Some(why_not.into()))))
    }

    /// It works.
    pub fn ready(&self) {
        self.set(None);
    }

    /// It does not, for this reason.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    fn set(&self, why_not: Option<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = why_not;
    }

    fn why_not(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves health and metrics until `stop` fires and requests in hand are answered, or the handle is aborted. Listens when this returns.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve_probes(address: SocketAddr, readiness: Readiness, stop: CancellationToken) -> std::io::Result<JoinHandle<()>> {
    serve(address, probes(readiness), stop).await
}

/// Serves the read API, as [`serve_probes`] does.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve_read_api(
    address: LoopbackAddress,
    journal: Journal,
    artifacts: Artifacts,
    stop: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    serve(address.get(), read_api(journal, artifacts), stop).await
}

async fn serve(address: SocketAddr, router: Router, stop: CancellationToken) -> std::io::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(address).await?;
    Ok(tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "the HTTP server ended");
        }
    }))
}

fn probes(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(readiness)
}

fn read_api(journal: Journal, artifacts: Artifacts) -> Router {
    Router::new().nest("/api/v1", read::routes(journal, artifacts))
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    match readiness.why_not() {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}

async fn metrics() -> Response {
    match telemetry::render() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
