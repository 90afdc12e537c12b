//! Any server that speaks OpenAI's Chat Completions (`POST {base_url}/chat/completions`), without streaming.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reeve_core::model::{ModelFailure, ModelRequest, ModelResponse, Position};
use reeve_core::redact::Redactor;
use reqwest::header::{AUTHORIZATION, HeaderMap, LOCATION};
use reqwest::{Client, Request, Response, StatusCode, Url};
use tokio::time::{Instant, timeout_at};

use crate::retry::{self, Again, Failed};
use crate::{Answer, ModelError};

mod config;
mod refusal;
mod wire;

pub use config::{ConfigError, MaxTokensField, OpenAiChatConfig};

/// The same as the providers' own clients: a server that takes longer to accept a connection is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer's body. The largest output that models offer is about half a megabyte; this is room for reasoning and padding.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// An error's body; what explains an error is short.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A client for one server. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct OpenAiChat(Arc<Inner>);

struct Inner {
    client: Client,
    endpoint: Url,
    headers: HeaderMap,
    timeout: Duration,
    max_retries: u32,
    max_tokens_field: MaxTokensField,
    /// Knows the key, since servers repeat it in their error texts.
    redactor: Redactor,
}

impl fmt::Debug for OpenAiChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiChat").field("endpoint", &self.0.endpoint.as_str()).finish_non_exhaustive()
    }
}

impl OpenAiChat {
    /// A client for the server of `config`; nothing is sent yet. rustls' `CryptoProvider` must be installed in the process.
    ///
    /// # Errors
    /// [`ConfigError`] says what of `config` cannot be used.
    pub fn new(config: OpenAiChatConfig) -> Result<OpenAiChat, ConfigError> {
        config::check_numbers(&config)?;
        let endpoint = config::endpoint(&config.base_url)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = &config.api_key {
            headers.insert(AUTHORIZATION, config::authorization(key)?);
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // reqwest would panic.
            return Err(ConfigError::NoCryptoProvider);
        }
        let client = Client::builder()
            .user_agent(concat!("reeve/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect would carry the conversation, and maybe the key, to a server that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            // HTTP_PROXY and its like are set by whoever builds the image or injects environment, and a proxy sees every plain
            // request. Where the key goes is said by the provider's entry alone.
            .no_proxy()
            // Each request is counted and journaled, so none is repeated below this crate.
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| ConfigError::Client { reason: causes(&error) })?;
        Ok(OpenAiChat(Arc::new(Inner {
            client,
            endpoint,
            headers,
            timeout: config.timeout,
            max_retries: config.max_retries,
            max_tokens_field: config.max_tokens_field,
            redactor: Redactor::new(config.api_key.iter().map(|key| key.expose().to_owned())),
        })))
    }

    /// [`crate::Provider::complete`].
    pub(crate) async fn complete(
        &self,
        request: &ModelRequest,
        position: &Position,
        deadline: std::time::Instant,
    ) -> Result<Answer, ModelError> {
        let unsent = |message: String| ModelError { failure: ModelFailure::Refused, message, attempts: 0, sent: false };
        let inner = &*self.0;
        let deadline = Instant::from_std(deadline);
        let names = wire::Names::of(&request.tools);
        let body = serde_json::to_vec(&wire::request(request, &names, inner.max_tokens_field))
            .map_err(|error| unsent(format!("expected a request with a JSON form, found {error}; this is a bug of Reeve")))?;
        let prototype = inner
            .client
            .post(inner.endpoint.clone())
            .headers(inner.headers.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
            .build()
            .map_err(|error| unsent(format!("expected a request that can be sent, found {}; this is a bug of Reeve", causes(&error))))?;
        let (response, attempts) = retry::with_retries(inner.max_retries, deadline, retry::full_jitter, async || {
            let bytes = inner.attempt(prototype.try_clone(), deadline).await.map_err(|failed| failed.redacted(&inner.redactor))?;
            inner.read(&bytes, request, &names, position).map_err(|failed| failed.redacted(&inner.redactor))
        })
        .await?;
        Ok(Answer { response, attempts })
    }
}

impl Inner {
    /// One request and the bytes of its answer, by `deadline` and within the timeout.
    async fn attempt(&self, request: Option<Request>, deadline: Instant) -> Result<Vec<u8>, Failed> {
        let Some(request) = request else {
            return Err(Failed::for_good(ModelFailure::Refused, "expected a request that can be repeated; this is a bug of Reeve"));
        };
        let until = Instant::now().checked_add(self.timeout).map_or(deadline, |timeout| timeout.min(deadline));
        let late = || {
            let limit = if until == deadline { "the deadline".to_owned() } else { format!("{:?}", self.timeout) };
            Failed::uncertain(format!(
                "expected an answer from {} within {limit}, found none; raise the timeout if the model needs longer",
                self.endpoint
            ))
        };
        let broken = |what: &str, error: reqwest::Error| {
            let reason = causes(&error);
            let message = format!("expected {what} from {}, found {reason}; check that the server is up and reachable", self.endpoint);
            // Without a connection nothing was sent.
            if error.is_connect() { Failed::passing(message) } else { Failed::uncertain(message) }
        };
        let response = match timeout_at(until, self.client.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(broken("a connection and an answer", error)),
            Err(_) => return Err(late()),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            let (bytes, ending) = collect(response, MAX_ERROR_BYTES, until).await;
            return Err(self.refused(status, &headers, matches!(ending, Ending::Whole).then_some(bytes)));
        }
        match collect(response, MAX_ANSWER_BYTES, until).await {
            (bytes, Ending::Whole) => Ok(bytes),
            (_, Ending::Cut(error)) => Err(broken("a whole answer", error)),
            (_, Ending::Late) => Err(late()),
            (_, Ending::TooLarge) => Err(Failed::unreadable(format!(
                "expected an answer of at most {MAX_ANSWER_BYTES} bytes from {}, found more; is it a model server?",
                self.endpoint
            ))),
        }
    }

    /// Makes a failure of an answer that is none.
    ///
    /// `body` is there only when it is whole: a cut one may end in the middle of a key, and half a key is not recognised.
    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: Option<Vec<u8>>) -> Failed {
        let error = body.as_deref().map(refusal::Said::of).unwrap_or_default();
        let refusal::Verdict { failure, again, sent } = refusal::judge(status.as_u16(), retry::server_says_again(headers), &error);
        let again = match (again, retry::asked_wait(headers, Timestamp::now())) {
            (Again::Scheduled, Some(wait)) => Again::After(wait),
            (again, _) => again,
        };
        let said = error.quoted(&self.redactor);
        let elsewhere = redirect_host(status, headers).unwrap_or_default();
        let remedy = refusal::remedy(status.as_u16(), failure);
        let message = format!("expected HTTP 200 from {}, found {}{elsewhere}{said}; {remedy}", self.endpoint, status.as_u16());
        Failed { failure, message, again, sent }
    }

    /// Reads the bytes of an answer.
    fn read(&self, bytes: &[u8], request: &ModelRequest, names: &wire::Names, position: &Position) -> Result<ModelResponse, Failed> {
        wire::response(bytes, request, names, position).map_err(|problem| match problem {
            wire::Problem::Error(error) => {
                // Some relays answer 200 and put the error of the server behind them into the body.
                let status = error.numeric_code().unwrap_or(200);
                let refusal::Verdict { failure, again, sent } = refusal::judge(status, None, &error);
                let said = error.quoted(&self.redactor);
                let message = format!("expected an answer from {}, found an error under HTTP 200{said}", self.endpoint);
                Failed { failure, message: format!("{message}; {}", refusal::remedy(status, failure)), again, sent }
            }
            wire::Problem::Garbled { expected, found } => {
                let said = refusal::Said::of(bytes).quoted(&self.redactor);
                let message =
                    format!("expected {expected} from {}, found {found}{said}; is it an OpenAI-compatible server?", self.endpoint);
                Failed::unreadable(message)
            }
        })
    }
}

/// How a body ended.
enum Ending {
    Whole,
    TooLarge,
    Cut(reqwest::Error),
    Late,
}

/// Reads a body up to `cap` bytes and until `until`.
async fn collect(mut response: Response, cap: usize, until: Instant) -> (Vec<u8>, Ending) {
    let mut bytes = Vec::new();
    if response.content_length().is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > cap)) {
        return (bytes, Ending::TooLarge);
    }
    loop {
        match timeout_at(until, response.chunk()).await {
            Ok(Ok(Some(chunk))) if bytes.len().saturating_add(chunk.len()) > cap => return (bytes, Ending::TooLarge),
            Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
            Ok(Ok(None)) => return (bytes, Ending::Whole),
            Ok(Err(error)) => return (bytes, Ending::Cut(error)),
            Err(_) => return (bytes, Ending::Late),
        }
    }
}

/// Where a redirect points: the host alone, for the rest of a URL may hold anything.
fn redirect_host(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let location = headers.get(LOCATION).filter(|_| status.is_redirection())?.to_str().ok()?;
    let host = Url::parse(location).ok()?.host_str()?.to_owned();
    Some(format!(" (a redirect to {host}, which is not followed)"))
}

/// An error and what caused it, without the URL.
fn causes(error: &reqwest::Error) -> String {
    // reqwest's own text names the URL, so only what lies beneath it is shown.
    let mut text = if error.is_connect() { "no connection".to_owned() } else { "a broken exchange".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
