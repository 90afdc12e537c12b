//! The operator's read API, by way of the API server: who may read is decided by RBAC on `services/proxy`, and no port is opened.

use std::fmt::Display;
use std::time::Duration;

use clap::Args;
use http::StatusCode;
use kube::Client;
use kube::client::Body;

use crate::exit::Failure;
use crate::timeline::text::one_line;

/// The operator answers few at a time and says so with 429; this often it is asked again, a second apart.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Where the operator is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Reeve {
    /// Namespace of the operator
    #[arg(long, env = "REEVE_NAMESPACE", value_name = "NAME", default_value = "reeve-system", help_heading = "Operator")]
    reeve_namespace: String,
    /// Service of the operator
    #[arg(long, env = "REEVE_SERVICE", value_name = "NAME", default_value = "reeve", help_heading = "Operator")]
    reeve_service: String,
}

/// The read API of one operator.
pub(crate) struct ReadApi {
    client: Client,
    prefix: String,
}

/// Why there was no answer.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The operator, or the API server before it, said no.
    Refused { status: StatusCode, words: String },
    /// No answer came.
    Broken(String),
}

impl ReadError {
    /// As the end of a program that was doing this.
    pub(crate) fn failure(self, doing: impl Display) -> Failure {
        match self {
            ReadError::Refused { status, words } => Failure::no(format!("{doing}: {words} ({})", status.as_u16())),
            ReadError::Broken(why) => Failure::no(format!("{doing}: {why}")),
        }
    }

    /// Whether the operator is there no more or not yet, as while it is restarted.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            ReadError::Refused { status, .. } => {
                [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT].contains(status)
            }
            ReadError::Broken(_) => true,
        }
    }

    /// Whether there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, ReadError::Refused { status: StatusCode::NOT_FOUND, .. })
    }
}

impl ReadApi {
    /// The API of this operator.
    pub(crate) fn new(client: Client, reeve: &Reeve) -> ReadApi {
        let Reeve { reeve_namespace: namespace, reeve_service: service } = reeve;
        ReadApi { client, prefix: format!("/api/v1/namespaces/{namespace}/services/http:{service}:http/proxy/api/v1/") }
    }

    /// The bytes at this path.
    pub(crate) async fn get(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        for _ in 1..TRIES {
            match self.try_get(path).await {
                Err(ReadError::Refused { status: StatusCode::TOO_MANY_REQUESTS, .. }) => tokio::time::sleep(PAUSE).await,
                answer => return answer,
            }
        }
        self.try_get(path).await
    }

    async fn try_get(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let broken = |error: &dyn Display| ReadError::Broken(error.to_string());
        let request = http::Request::get(format!("{}{path}", self.prefix)).body(Body::empty()).map_err(|error| broken(&error))?;
        let response = self.client.send(request).await.map_err(|error| broken(&error))?;
        let status = response.status();
        let body = response.into_body().collect_bytes().await.map_err(|error| broken(&error))?;
        if status.is_success() { Ok(body.to_vec()) } else { Err(ReadError::Refused { status, words: said(&body) }) }
    }
}

/// The words of an error: a Status of the API server, or the operator's plain text.
fn said(body: &[u8]) -> String {
    let status: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let words = status.get("message").and_then(serde_json::Value::as_str).map(str::to_owned);
    one_line(&words.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_said_in_its_own_words() {
        assert_eq!(said(br#"{"kind":"Status","message":"services \"reeve\" not found","code":404}"#), "services \"reeve\" not found");
        assert_eq!(said(b"the journal has no run default/gone\n"), "the journal has no run default/gone");
    }
}
