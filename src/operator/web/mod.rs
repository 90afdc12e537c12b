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

use crate::{LoopbackAddress, masked, telemetry};

/// Whether this process does its work, and if not, why. Clones share it.
///
/// Two things must hold, each with an answer of its own: the process leads, and its journal takes rows. That one is mended says nothing
/// about the other.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<RwLock<WhyNot>>);

#[derive(Clone, Debug, Default)]
struct WhyNot {
    leads: Option<String>,
    journal: Option<String>,
}

impl Readiness {
    /// Not ready yet, for this reason.
    pub fn new(why_not: impl Into<String>) -> Readiness {
        Readiness(Arc::new(RwLock::new(WhyNot { leads: Some(why_not.into()), journal: None })))
    }

    /// It leads, and everything is known that work needs.
    pub fn ready(&self) {
        self.write(|why_not| why_not.leads = None);
    }

    /// It does not, for this reason.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.write(|why_not| why_not.leads = Some(why.into()));
    }

    /// The journal took a row. Answers whether it had not before.
    pub(crate) fn journal_works(&self) -> bool {
        self.write(|why_not| why_not.journal.take()).is_some()
    }

    /// The journal takes no rows, for this reason. Answers whether it had before.
    pub(crate) fn journal_fails(&self, why: impl Into<String>) -> bool {
        self.write(|why_not| why_not.journal.replace(why.into())).is_none()
    }

    /// Whether the last that is known of the journal is trouble.
    pub(crate) fn journal_is_failing(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).journal.is_some()
    }

    fn write<T>(&self, change: impl FnOnce(&mut WhyNot) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn why_not(&self) -> Option<String> {
        let WhyNot { leads, journal } = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let journal = journal.map(|why| format!("the journal takes no rows, so nothing is done: {why}"));
        let all: Vec<String> = leads.into_iter().chain(journal).collect();
        (!all.is_empty()).then(|| all.join("; "))
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
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, masked(&format!("not ready: {why}\n"))).into_response(),
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
