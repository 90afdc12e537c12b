//! The read API: journals as JSON lines, artifacts as bytes.
//!
//! `kubectl reeve` reaches it through the API server (`pods/portforward`), which is where a caller's right to it is checked; it listens on
//! loopback, so there is no other way to it.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::stream;
use reeve_core::Digest;
use reeve_core::journal::{Epoch, Row, Seq, Stream};
use reeve_store::{Artifacts, Journal, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Rows of one answer. A run of 50 steps has some 300; the caller asks on from where it stands.
const MAX_ROWS: u32 = 500;
/// Answers at the same time. Each may hold up to 16 MiB of rows, or one artifact.
const MAX_ANSWERS: usize = 2;
/// What of an artifact goes to the connection at once.
const PIECE_BYTES: usize = 64 * 1024;
const NDJSON: &str = "application/x-ndjson";
/// Which run was found, since a name can be used again.
const RUN_UID: HeaderName = HeaderName::from_static("reeve-run-uid");

#[derive(Clone)]
struct Kept {
    journal: Journal,
    artifacts: Artifacts,
    places: Arc<Semaphore>,
}

pub(super) fn routes(journal: Journal, artifacts: Artifacts) -> Router {
    Router::new()
        .route("/namespaces/{namespace}/runs/{name}/journal", get(rows))
        .route("/journal/health", get(health))
        .route("/journal/operator", get(own_rows))
        .route("/artifacts/{digest}", get(artifact))
        .with_state(Kept { journal, artifacts, places: Arc::new(Semaphore::new(MAX_ANSWERS)) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// First seq.
    #[serde(default = "first")]
    from: u64,
    /// The run of this UID; without it the newest of that name.
    uid: Option<String>,
}

const fn first() -> u64 {
    1
}

/// Rows from a seq on, one JSON object a line. No line: there are no more.
async fn rows(
    State(kept): State<Kept>,
    Path((namespace, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let place = kept.place()?;
    let runs = kept.journal.find_runs(&namespace, &name).await?;
    let run = match &wanted.uid {
        Some(uid) => runs.into_iter().find(|run| run.stream == Stream::run(uid)),
        None => runs.into_iter().next_back(),
    };
    let Some(run) = run else {
        let which = wanted.uid.map(|uid| format!(" with UID {uid}")).unwrap_or_default();
        return Err(Refused(StatusCode::NOT_FOUND, format!("the journal has no run {namespace}/{name}{which}")));
    };
    let rows = kept.journal.read(&run.stream, Seq(wanted.from), MAX_ROWS).await?;
    let lines = lines(&rows)?;
    drop(rows);
    let headers = [(header::CONTENT_TYPE, NDJSON), (RUN_UID, run.stream.as_str())];
    Ok((headers, in_pieces(lines, place)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    /// First seq.
    #[serde(default = "first")]
    from: u64,
}

/// Rows of the operator's own stream, as [`rows`]: the keys and signed heads, by which the journal is held to what is kept of it elsewhere.
async fn own_rows(State(kept): State<Kept>, Query(wanted): Query<Start>) -> Result<Response, Refused> {
    let place = kept.place()?;
    let rows = kept.journal.read(&Stream::operator(), Seq(wanted.from), MAX_ROWS).await?;
    let lines = lines(&rows)?;
    drop(rows);
    Ok(([(header::CONTENT_TYPE, NDJSON)], in_pieces(lines, place)).into_response())
}

fn lines(rows: &[Row]) -> Result<Vec<u8>, Refused> {
    let mut text = Vec::new();
    for row in rows {
        let written = serde_json::to_writer(&mut text, row);
        written.map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        text.push(b'\n');
    }
    Ok(text)
}

/// How the journal stands: what `kubectl reeve doctor` shows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    rows: u64,
    /// Hash of the last row.
    head: Option<Digest>,
    epoch: Epoch,
    open_reservations: usize,
}

async fn health(State(kept): State<Kept>) -> Result<Json<Health>, Refused> {
    let _place = kept.place()?;
    let last = kept.journal.last().await?;
    let mut open_reservations = 0;
    for (account, _) in kept.journal.balances().await? {
        open_reservations += kept.journal.open_reservations(&account).await?.len();
    }
    Ok(Json(Health {
        rows: last.as_ref().map_or(0, |row| row.gseq),
        head: last.map(|row| row.hash),
        epoch: kept.journal.highest_epoch().await?,
        open_reservations,
    }))
}

async fn artifact(State(kept): State<Kept>, Path(digest): Path<String>) -> Result<Response, Refused> {
    let digest: Digest = digest.parse().map_err(|error| Refused(StatusCode::BAD_REQUEST, format!("{error}")))?;
    let place = kept.place()?;
    let bytes = kept.artifacts.get(&digest).await?;
    let length = bytes.len().to_string();
    Ok(([(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_LENGTH, length.as_str())], in_pieces(bytes, place))
        .into_response())
}

impl Kept {
    fn place(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let busy = |_| Refused(StatusCode::TOO_MANY_REQUESTS, "other answers are being read; try again".to_owned());
        Arc::clone(&self.places).try_acquire_owned().map_err(busy)
    }
}

/// A body that keeps its place until it is sent or its reader is gone.
fn in_pieces(bytes: Vec<u8>, place: OwnedSemaphorePermit) -> Body {
    let pieces = stream::unfold((Bytes::from(bytes), place), |(mut left, place)| async move {
        if left.is_empty() {
            return None;
        }
        let piece = left.split_to(left.len().min(PIECE_BYTES));
        Some((Ok::<_, std::convert::Infallible>(piece), (left, place)))
    });
    Body::from_stream(pieces)
}

/// Why there is no answer.
struct Refused(StatusCode, String);

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        let status = if matches!(error, StoreError::Missing { .. }) { StatusCode::NOT_FOUND } else { StatusCode::INTERNAL_SERVER_ERROR };
        Refused(status, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused(status, why) = self;
        let retry = (status == StatusCode::TOO_MANY_REQUESTS).then_some([(header::RETRY_AFTER, "1")]);
        (status, retry, format!("{why}\n")).into_response()
    }
}
