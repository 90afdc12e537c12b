//! The one stream to a sandbox: an exec WebSocket to `reeve tools attach`, and MCP on it.
//!
//! Architecture invariant: a request ends when the stream does. A cut stream is found by the end of the exec connection, not only by the
//! end of its output, which kube leaves open when a connection breaks. (`a_cut_stream_ends_the_call_in_flight_at_once`)

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachParams;
use kube::{Api, Client};
use reeve_core::Digest;
use reeve_core::limits::{MAX_WORKSPACE_BYTES, STREAM_CHUNK_BYTES};
use reeve_core::tool::wire::{
    Blob, Call, Checkpoint, Checkpointed, Chunk, Fetch, Halt, Halted, Hello, Import, Imported, Lookup, Outcome, Packing, Recorded, Resolve,
    Resolved, Shutdown, Welcome, code, method,
};
use rmcp::model::{ClientCapabilities, ClientConfig, ClientRequest, CustomRequest, Implementation, PingRequest, ServerResult};
use rmcp::service::{Peer, RunningService, ServiceError};
use rmcp::{RoleClient, serve_client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{CONTAINER, PROGRAM};
use crate::surroundings::{ByteStream, Surroundings};

/// Until the stream is open and greeted. `attach` itself waits ten seconds for its server.
const OPEN_PATIENCE: Duration = Duration::from_secs(30);
/// For what only looks: a hash of a program, a page of a blob.
const SHORT_PATIENCE: Duration = Duration::from_secs(60);
/// For what works through a whole workspace: unpacking it, packing it.
const LONG_PATIENCE: Duration = Duration::from_secs(600);
/// What a call takes beyond its own timeout: killing its processes, writing the ledger.
const CALL_MARGIN: Duration = Duration::from_secs(30);
/// For the end of the output to arrive after the end of the connection, and the other way around.
const DRAIN: Duration = Duration::from_millis(250);
/// For a halt: whoever engages a kill switch is promised five seconds, and what does not answer must leave time for deleting the Pod.
const HALT_PATIENCE: Duration = Duration::from_secs(3);
/// Between the exec connection and us. Two chunks of its own size keep it busy.
const BUFFER_BYTES: usize = 64 * 1024;
/// The server ends a session over a longer frame (2 MiB); what is around the parameters needs far less than the rest.
const MAX_PARAMS_BYTES: usize = 2 * 1024 * 1024 - 64 * 1024;

/// Why the sandbox did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It will not. The message is for the model or for a person, by its code ([`code`]).
    #[error("the sandbox refused ({code}): {message}")]
    Refused {
        /// JSON-RPC error code.
        code: i32,
        /// In the sandbox's words.
        message: String,
    },
    /// The sandbox has seen a higher epoch: another operator has taken over.
    #[error("the sandbox belongs to another operator: it has seen a higher epoch")]
    Fenced,
    /// The stream is gone. Whether what was asked has happened only the ledger knows.
    #[error("the stream to the sandbox is gone: {0}")]
    Lost(String),
    /// No answer in time, on a stream that is still open.
    #[error("no answer from the sandbox in time")]
    Timeout,
}

/// An open stream, greeted. Requests may be made at the same time. Dropping it closes the stream; the sandbox goes on.
#[derive(Debug)]
pub struct Session {
    peer: Peer<RoleClient>,
    lost: CancellationToken,
    why: Arc<OnceLock<String>>,
    _close: DropGuard,
}

impl Session {
    /// Opens the stream to the sandbox in this Pod and greets it under our epoch, which fences every session of a lower one.
    ///
    /// # Errors
    /// [`SessionError`]; [`SessionError::Lost`] when the stream could not be opened.
    pub async fn open(client: &Client, namespace: &str, pod: &str, hello: Hello) -> Result<(Session, Welcome), SessionError> {
        Session::over_stream(Surroundings::real(client.clone()).streams.open(namespace.to_owned(), pod.to_owned()), hello).await
    }

    /// As [`Session::open`], on a connection that [`Streams`](crate::Streams) opens.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn over_stream(
        opening: BoxFuture<'static, Result<ByteStream, String>>,
        hello: Hello,
    ) -> BoxFuture<'static, Result<(Session, Welcome), SessionError>> {
        Box::pin(async move {
            let stream = in_time(OPEN_PATIENCE, opening).await?.map_err(SessionError::Lost)?;
            let over: BoxFuture<'static, _> = Box::pin(Session::over(stream.output, stream.input, stream.ended, hello));
            over.await
        })
    }

    /// As [`Session::open`] over any pair of streams; `ended` answers when the connection behind them ends, and why.
    async fn over<R, W>(output: R, input: W, ended: BoxFuture<'static, String>, hello: Hello) -> Result<(Session, Welcome), SessionError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let mut ended = ended;
        let ourselves = ClientConfig::new(ClientCapabilities::default(), Implementation::new("reeve-operator", env!("CARGO_PKG_VERSION")));
        let greeting = in_time(OPEN_PATIENCE, Box::pin(serve_client(ourselves, (output, input))));
        let running = tokio::select! {
            biased;
            running = greeting => running?,
            why = &mut ended => return Err(SessionError::Lost(why)),
        };
        let running = match running {
            Ok(running) => running,
            Err(error) => {
                let why = tokio::time::timeout(DRAIN, ended).await.unwrap_or_else(|_| error.to_string());
                return Err(SessionError::Lost(why));
            }
        };
        let session = Session::watched(running, ended);
        let welcome: Welcome = session.ask(method::HELLO, &hello, OPEN_PATIENCE).await?;
        Ok((session, welcome))
    }

    fn watched(running: RunningService<RoleClient, ClientConfig>, ended: BoxFuture<'static, String>) -> Session {
        let (lost, closed, why) = (CancellationToken::new(), CancellationToken::new(), Arc::new(OnceLock::new()));
        let session =
            Session { peer: running.peer().clone(), lost: lost.clone(), why: Arc::clone(&why), _close: closed.clone().drop_guard() };
        tokio::spawn(async move {
            let end = tokio::select! {
                biased;
                () = closed.cancelled() => "it was closed".to_owned(),
                end = both_end(running, ended) => end,
            };
            // What was set first stays; this is the only place that sets it.
            let _ = why.set(end);
            lost.cancel();
        });
        session
    }

    /// Waits for the end of the stream, and says why it came.
    pub async fn lost(&self) -> String {
        self.lost.cancelled().await;
        self.why.get().cloned().unwrap_or_default()
    }

    /// What a call would touch, held open for [`Session::call`] on this session.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn resolve(&self, resolve: &Resolve) -> Result<Resolved, SessionError> {
        self.ask(method::RESOLVE, resolve, SHORT_PATIENCE).await
    }

    /// Executes what was resolved and judged. Waits somewhat longer than the call's own timeout.
    ///
    /// # Errors
    /// [`SessionError`]. After [`SessionError::Lost`], [`SessionError::Timeout`] and a used key, [`Session::lookup`] has the truth.
    pub async fn call(&self, call: &Call) -> Result<Outcome, SessionError> {
        let patience = Duration::from_millis(call.confinement.timeout_ms).saturating_add(CALL_MARGIN);
        self.ask(method::CALL, call, patience).await
    }

    /// What the ledger knows of a key.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn lookup(&self, lookup: &Lookup) -> Result<Recorded, SessionError> {
        let patience = Duration::from_millis(lookup.wait_ms).saturating_add(SHORT_PATIENCE);
        self.ask(method::LOOKUP, lookup, patience).await
    }

    /// Loads a packed workspace. Answers at once when this digest is loaded already.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn import_workspace(
        &self,
        bytes: &[u8],
        digest: Digest,
        packing: Packing,
        strip_components: u32,
    ) -> Result<Imported, SessionError> {
        let mut offset = 0;
        loop {
            let end = bytes.len().min(offset + STREAM_CHUNK_BYTES);
            let last = end == bytes.len();
            let chunk =
                Import { digest, packing, strip_components, offset: offset as u64, data: STANDARD.encode(&bytes[offset..end]), last };
            let imported: Imported = self.ask(method::IMPORT, &chunk, if last { LONG_PATIENCE } else { SHORT_PATIENCE }).await?;
            if last || imported.base_commit.is_some() {
                return Ok(imported);
            }
            offset = end;
        }
    }

    /// Packs the workspace's commits.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn checkpoint(&self) -> Result<Checkpointed, SessionError> {
        self.ask(method::CHECKPOINT, &Checkpoint {}, LONG_PATIENCE).await
    }

    /// The bytes of a blob of the last checkpoint, checked against its digest. At most [`MAX_WORKSPACE_BYTES`], whatever the sandbox says.
    ///
    /// # Errors
    /// [`SessionError`]; [`SessionError::Refused`] when it is too large, not as long as was said, or not what its digest says.
    pub async fn fetch_blob(&self, blob: &Blob) -> Result<Vec<u8>, SessionError> {
        let Blob { digest, bytes: length } = *blob;
        if length > MAX_WORKSPACE_BYTES {
            return Err(internal(format!("blob {digest} has {length} bytes; expected {MAX_WORKSPACE_BYTES} at most")));
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let left = length - bytes.len() as u64;
            let max_bytes = left.min(STREAM_CHUNK_BYTES as u64);
            let fetch = Fetch { digest, offset: bytes.len() as u64, max_bytes };
            let Chunk { data } = self.ask(method::FETCH, &fetch, SHORT_PATIENCE).await?;
            let page = STANDARD.decode(data).map_err(|error| internal(format!("a page of blob {digest} is not base64: {error}")))?;
            if page.is_empty() || page.len() as u64 > max_bytes {
                return Err(internal(format!("expected 1 to {max_bytes} bytes of blob {digest}, found {}", page.len())));
            }
            bytes.extend_from_slice(&page);
        }
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(internal(format!("expected blob {digest}, found bytes that hash to {found}")));
        }
        Ok(bytes)
    }

    /// Kills every tool process and lets the sandbox live. On Ok none is left, and each call that was in flight has its outcome: those
    /// that were killed are counted, and answer with [`Status::Halted`](reeve_core::tool::wire::Status::Halted). May be asked again and again.
    ///
    /// # Errors
    /// [`SessionError`], within three seconds. Then processes may still run, and the Pod must go.
    pub async fn halt(&self) -> Result<Halted, SessionError> {
        self.ask(method::HALT, &Halt {}, HALT_PATIENCE).await
    }

    /// Ends the sandbox: every process dies, and the Job completes. Ok too when the stream ends before the answer, as it may.
    ///
    /// # Errors
    /// [`SessionError`], but for `Lost`.
    pub async fn shutdown(&self) -> Result<(), SessionError> {
        match self.ask::<_, serde_json::Value>(method::SHUTDOWN, &Shutdown {}, SHORT_PATIENCE).await {
            Ok(_) | Err(SessionError::Lost(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the other side answers.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn ping(&self) -> Result<(), SessionError> {
        self.send(ClientRequest::PingRequest(PingRequest::default()), SHORT_PATIENCE).await.map(|_| ())
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "there are twenty kinds of answer that are not ours")]
    async fn ask<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        method: &str,
        question: &Q,
        patience: Duration,
    ) -> Result<A, SessionError> {
        let parameters = serde_json::to_value(question).map_err(|error| internal(format!("{method} cannot be written: {error}")))?;
        let length = written_length(&parameters);
        if length > MAX_PARAMS_BYTES {
            let message = format!("expected arguments of at most {MAX_PARAMS_BYTES} bytes as JSON, found {length}: split the call");
            return Err(SessionError::Refused { code: code::INVALID, message });
        }
        let answer = match self.send(ClientRequest::CustomRequest(CustomRequest::new(method, Some(parameters))), patience).await? {
            ServerResult::CustomResult(custom) => custom.0,
            // rmcp takes an answer for the first kind of MCP that it fits; written again it is what it was.
            other => serde_json::to_value(other).map_err(|error| internal(format!("the answer to {method}: {error}")))?,
        };
        A::deserialize(answer).map_err(|error| internal(format!("the answer to {method} is not one: {error}")))
    }

    async fn send(&self, request: ClientRequest, patience: Duration) -> Result<ServerResult, SessionError> {
        let answer = tokio::select! {
            biased;
            answer = in_time(patience, Box::pin(self.peer.send_request(request))) => answer?,
            why = self.lost() => return Err(SessionError::Lost(why)),
        };
        match answer {
            Ok(result) => Ok(result),
            Err(ServiceError::McpError(error)) if error.code.0 == code::FENCED => Err(SessionError::Fenced),
            Err(ServiceError::McpError(error)) => Err(SessionError::Refused { code: error.code.0, message: error.message.into_owned() }),
            // The reason is known a moment later.
            Err(error) => Err(SessionError::Lost(tokio::time::timeout(2 * DRAIN, self.lost()).await.unwrap_or_else(|_| error.to_string()))),
        }
    }
}

/// Opens an exec connection to `reeve tools attach` in this Pod, or says why it cannot.
pub(crate) async fn exec(client: &Client, namespace: &str, pod: &str) -> Result<ByteStream, String> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = AttachParams::default()
        .container(CONTAINER)
        .stdin(true)
        .stdout(true)
        .stderr(false)
        .tty(false)
        .max_stdin_buf_size(BUFFER_BYTES)
        .max_stdout_buf_size(BUFFER_BYTES);
    let command = [PROGRAM, "tools", "attach"];
    let mut process = api.exec(pod, command, &parameters).await.map_err(|error| format!("exec in Pod {namespace}/{pod}: {error}"))?;
    let (Some(output), Some(input), Some(status)) = (process.stdout(), process.stdin(), process.take_status()) else {
        return Err(format!("exec in Pod {namespace}/{pod} came without stdin, stdout or status"));
    };
    let ended = async move {
        let status = status.await;
        // Dropping it closes the connection; that is for whoever drops this future.
        let _open = process;
        how_it_ended(status)
    };
    Ok(ByteStream { output: Box::new(output), input: Box::new(input), ended: Box::pin(ended) })
}

/// Waits for the first of MCP's end and the connection's, gives the other a moment, and says what is known.
async fn both_end(running: RunningService<RoleClient, ClientConfig>, mut ended: BoxFuture<'static, String>) -> String {
    let mut waiting = Box::pin(running.waiting());
    tokio::select! {
        biased;
        why = &mut ended => {
            // A last answer may still be on its way through the buffer. Broken connections leave it open, so not forever.
            let _ = tokio::time::timeout(DRAIN, waiting).await;
            why
        }
        _ = &mut waiting => {
            tokio::time::timeout(DRAIN, ended).await.unwrap_or_else(|_| "the other side closed it".to_owned())
        }
    }
}

fn how_it_ended(status: Option<Status>) -> String {
    match status {
        Some(status) if status.status.as_deref() == Some("Success") => "`reeve tools attach` ended".to_owned(),
        Some(status) => format!("`reeve tools attach` failed: {}", status.message.or(status.reason).unwrap_or_default()),
        None => "the connection broke".to_owned(),
    }
}

async fn in_time<T>(patience: Duration, work: impl Future<Output = T>) -> Result<T, SessionError> {
    tokio::time::timeout(patience, work).await.map_err(|_| SessionError::Timeout)
}

fn internal(message: String) -> SessionError {
    SessionError::Refused { code: code::INTERNAL, message }
}

/// Length as compact JSON, without writing it anywhere.
fn written_length(value: &serde_json::Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        // A value that cannot be written is refused as one that is too long.
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests;
