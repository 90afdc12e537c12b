//! The operator's read API, through a port-forward to its Pod. It listens on the Pod's loopback, so who may read is decided by RBAC on
//! `pods/portforward` and nothing else.

use std::fmt::Display;
use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Portforwarder};
use kube::{Api, Client, ResourceExt as _};
use reeve_operator::READ_API_PORT;
use tokio::sync::oneshot;

use crate::exit::Failure;
use crate::timeline::text::one_line;

/// The operator answers few at a time and says so with 429; this often it is asked again, a second apart.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);
/// For the reason of an end to arrive after the end.
const DRAIN: Duration = Duration::from_millis(500);
/// The Pods of every release of the chart, however it is named.
const OPERATORS: &str = "app.kubernetes.io/part-of=reeve,app.kubernetes.io/component=operator";
const RELEASE: &str = "app.kubernetes.io/instance";

/// Where the operator is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Reeve {
    /// Namespace of the operator
    #[arg(long, env = "REEVE_NAMESPACE", value_name = "NAME", default_value = "reeve-system", help_heading = "Operator")]
    reeve_namespace: String,
    /// Helm release of the operator; needed where its namespace holds more than one
    #[arg(long, env = "REEVE_RELEASE", value_name = "NAME", help_heading = "Operator")]
    reeve_release: Option<String>,
}

/// The read API of one operator. The port-forward is opened at the first question, kept, and opened anew when it broke.
pub(crate) struct ReadApi {
    pods: Api<Pod>,
    reeve: Reeve,
    line: Option<Line>,
}

/// An open port-forward, with HTTP on it.
struct Line {
    requests: SendRequest<Empty<Bytes>>,
    /// Answers when the line ends, and why.
    ended: oneshot::Receiver<String>,
}

/// Why there was no answer.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The operator, or the API server before it, said no.
    Refused { status: StatusCode, words: String },
    /// No answer came.
    Broken(String),
    /// It is not said which operator is meant.
    Ambiguous(String),
}

impl Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Refused { status, words } => write!(f, "{words} ({})", status.as_u16()),
            ReadError::Broken(why) | ReadError::Ambiguous(why) => f.write_str(why),
        }
    }
}

impl ReadError {
    /// As the end of a program that was doing this.
    pub(crate) fn failure(self, doing: impl Display) -> Failure {
        Failure::no(format!("{doing}: {self}"))
    }

    /// Whether this user may not ask.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, ReadError::Refused { status: StatusCode::FORBIDDEN, .. })
    }

    /// Whether the operator is there no more or not yet, as while it is restarted.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            ReadError::Refused { status, .. } => {
                [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT].contains(status)
            }
            ReadError::Broken(_) => true,
            ReadError::Ambiguous(_) => false,
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
        ReadApi { pods: Api::namespaced(client, &reeve.reeve_namespace), reeve: reeve.clone(), line: None }
    }

    /// The bytes at this path.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Vec<u8>, ReadError> {
        self.send(&Method::GET, path).await
    }

    /// Whether there is something at this path.
    pub(crate) async fn has(&mut self, path: &str) -> Result<bool, ReadError> {
        match self.send(&Method::HEAD, path).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn send(&mut self, method: &Method, path: &str) -> Result<Vec<u8>, ReadError> {
        for _ in 1..TRIES {
            match self.try_send(method, path).await {
                Err(ReadError::Refused { status: StatusCode::TOO_MANY_REQUESTS, .. }) => tokio::time::sleep(PAUSE).await,
                answer => return answer,
            }
        }
        self.try_send(method, path).await
    }

    async fn try_send(&mut self, method: &Method, path: &str) -> Result<Vec<u8>, ReadError> {
        // A line that was kept may have broken since; reading twice does no harm.
        if let Some(line) = self.line.take()
            && let Ok(answer) = self.ask(line, method, path).await
        {
            return answer;
        }
        let line = self.reeve.open(&self.pods).await?;
        self.ask(line, method, path).await.unwrap_or_else(|why| Err(ReadError::Broken(why)))
    }

    /// The answer, and the line is kept; or why the line broke.
    async fn ask(&mut self, mut line: Line, method: &Method, path: &str) -> Result<Result<Vec<u8>, ReadError>, String> {
        let (status, body) = line.send(method, path).await?;
        self.line = Some(line);
        Ok(if status.is_success() { Ok(body) } else { Err(ReadError::Refused { status, words: said(&body) }) })
    }
}

impl Reeve {
    /// Namespace of the operator.
    pub(crate) fn namespace(&self) -> &str {
        &self.reeve_namespace
    }

    /// Its Helm release, where one was named.
    pub(crate) fn release(&self) -> Option<&str> {
        self.reeve_release.as_deref()
    }

    /// Labels of what the operator is made of: its Deployment, its Pod.
    pub(crate) fn labels(&self) -> String {
        self.reeve_release.iter().fold(OPERATORS.to_owned(), |labels, release| format!("{labels},{RELEASE}={release}"))
    }

    /// What the chart names the objects of a release after.
    pub(crate) fn full_name(release: Option<&str>) -> String {
        let release = release.unwrap_or("reeve");
        if release.contains("reeve") { release.to_owned() } else { format!("{release}-reeve") }
    }

    async fn open(&self, pods: &Api<Pod>) -> Result<Line, ReadError> {
        let (namespace, labels) = (&self.reeve_namespace, self.labels());
        let found = pods.list(&ListParams::default().labels(&labels)).await;
        let found = found.map_err(|error| self.refused(format!("listing Pods in namespace {namespace}"), error))?;
        let pod = choose(&found.items, &format!("(namespace {namespace}, labels {labels})"))?;
        let doing = format!("forwarding a port to Pod {namespace}/{pod}");
        let forward = pods.portforward(&pod, &[READ_API_PORT]).await.map_err(|error| self.refused(doing.clone(), error))?;
        Line::over(forward).await.map_err(|why| ReadError::Broken(format!("{doing}: {why}")))
    }

    /// What the API server said, and if it was that this user may not, what would let them.
    fn refused(&self, doing: String, error: kube::Error) -> ReadError {
        let kube::Error::Api(said) = error else { return ReadError::Broken(format!("{doing}: {error}")) };
        let status = StatusCode::from_u16(said.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut words = format!("{doing}: {}", said.message);
        if status == StatusCode::FORBIDDEN {
            let (namespace, role) = (&self.reeve_namespace, Reeve::full_name(self.release()));
            words.push_str(&format!(
                "; what gives the right to read journals is the chart's Role {role}-journal-reader: \
                 kubectl --namespace {namespace} create rolebinding NAME --role={role}-journal-reader --user=USER"
            ));
        }
        ReadError::Refused { status, words: one_line(&words) }
    }
}

/// The name of the operator's Pod: one that is Ready and stays, of the only release there is.
fn choose(pods: &[Pod], whence: &str) -> Result<String, ReadError> {
    let mut releases: Vec<&str> = pods.iter().filter_map(|pod| pod.labels().get(RELEASE)).map(String::as_str).collect();
    releases.sort_unstable();
    releases.dedup();
    if releases.len() > 1 {
        return Err(ReadError::Ambiguous(format!(
            "there are several operators; choose one by --reeve-release: {} {whence}",
            releases.join(", ")
        )));
    }
    match pods.iter().find(|pod| is_ready(pod)) {
        Some(pod) => Ok(pod.name_any()),
        None if pods.is_empty() => Err(ReadError::Broken(format!("there is no operator's Pod {whence}"))),
        None => Err(ReadError::Broken(format!("no operator's Pod is Ready {whence}"))),
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

impl Line {
    async fn over(mut forward: Portforwarder) -> Result<Line, String> {
        let (Some(stream), Some(refusal)) = (forward.take_stream(READ_API_PORT), forward.take_error(READ_API_PORT)) else {
            return Err(format!("it came without port {READ_API_PORT}"));
        };
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let (tell, ended) = oneshot::channel();
        tokio::spawn(async move {
            let why = tokio::select! {
                // The kubelet's: it could not reach the port. It keeps the connection open.
                Some(refusal) = refusal => one_line(&refusal),
                outcome = connection => match (tokio::time::timeout(DRAIN, forward.join()).await, outcome) {
                    (Ok(Err(error)), _) => error.to_string(),
                    (_, Err(error)) => error.to_string(),
                    (_, Ok(())) => "the operator closed the connection".to_owned(),
                },
            };
            // Nobody listens where the line was dropped, which is what ended it.
            let _ = tell.send(why);
        });
        Ok(Line { requests, ended })
    }

    /// One answer, or why the line broke.
    async fn send(&mut self, method: &Method, path: &str) -> Result<(StatusCode, Vec<u8>), String> {
        let Line { requests, ended } = self;
        let request = http::Request::builder().method(method).uri(format!("/api/v1/{path}")).header(http::header::HOST, "reeve");
        let request = request.body(Empty::new());
        let request = request.map_err(|error| format!("{path}: {error}"))?;
        let answer = async {
            requests.ready().await.map_err(|error| error.to_string())?;
            let response = requests.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok::<_, String>((status, body.to_vec()))
        };
        let broke = tokio::select! {
            answer = answer => match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            },
            why = &mut *ended => return Err(why.unwrap_or_default()),
        };
        // The end of the line says more than what it did to the request.
        Err(tokio::time::timeout(2 * DRAIN, ended).await.ok().and_then(Result::ok).unwrap_or(broke))
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
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    fn pod(name: &str, release: &str, ready: &str) -> Pod {
        let conditions = [json!({ "type": "Initialized", "status": "True" }), json!({ "type": "Ready", "status": ready })];
        let metadata = json!({ "name": name, "labels": { "app.kubernetes.io/instance": release } });
        serde_json::from_value(json!({ "metadata": metadata, "status": { "conditions": conditions } })).unwrap()
    }

    fn leaving(mut pod: Pod) -> Pod {
        pod.metadata.deletion_timestamp = serde_json::from_value(json!("2030-01-01T00:00:00Z")).unwrap();
        pod
    }

    #[test]
    fn an_error_is_said_in_its_own_words() {
        assert_eq!(said(br#"{"kind":"Status","message":"services \"reeve\" not found","code":404}"#), "services \"reeve\" not found");
        assert_eq!(said(b"the journal has no run default/gone\n"), "the journal has no run default/gone");
    }

    #[test]
    fn the_pod_is_one_that_is_ready_and_stays() {
        let pods = [leaving(pod("old", "reeve", "True")), pod("starts", "reeve", "False"), pod("works", "reeve", "True")];
        assert_eq!(choose(&pods, "").unwrap(), "works");
        assert!(choose(&pods[..2], "").unwrap_err().is_away(), "it may come yet");
        assert!(choose(&[], "").unwrap_err().is_away());
    }

    #[test]
    fn of_two_releases_one_must_be_named() {
        let error = choose(&[pod("a", "reeve", "True"), pod("b", "reeve-canary", "True")], "(namespace n)").unwrap_err();
        assert!(!error.is_away());
        let Failure::No(words) = error.failure("reading") else { panic!() };
        assert!(words.contains("--reeve-release: reeve, reeve-canary (namespace n)"), "{words}");
    }

    #[test]
    fn who_may_not_read_hears_what_would_let_them() {
        let reeve = Reeve { reeve_namespace: "ops".to_owned(), reeve_release: Some("agents".to_owned()) };
        let forbidden: kube::core::Status = serde_json::from_value(
            json!({ "status": "Failure", "message": "pods \"reeve-1\" is forbidden", "reason": "Forbidden", "code": 403 }),
        )
        .unwrap();
        let error = reeve.refused("forwarding".to_owned(), kube::Error::Api(Box::new(forbidden)));
        assert!(!error.is_away(), "asking again would not help");
        let Failure::No(words) = error.failure("reading") else { panic!() };
        assert!(words.contains("pods \"reeve-1\" is forbidden") && words.contains("--role=agents-reeve-journal-reader"), "{words}");
        assert!(words.contains("--namespace ops"), "{words}");
    }
}
