//! [`OpenAiChat`] against a server on a real socket.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use reeve_core::model::{Message, ModelFailure, ModelRequest, Position};
use reeve_gateway::{Answer, ConfigError, ModelError, OpenAiChat, OpenAiChatConfig, Provider, Secret};
use serde_json::{Value, json};

mod conversation;
mod server;
use server::{Reply, Server};

const KEY: &str = "canary-key-that-must-not-show";
/// It and the space before it, behind the whole groups of `Bearer`.
const IN_BASE64: &str = "IGNhbmFyeS1rZXktdGhhdC1tdXN0LW5vdC1zaG93";

fn config(url: &str) -> OpenAiChatConfig {
    OpenAiChatConfig { api_key: Some(Secret::new(KEY)), ..OpenAiChatConfig::new(format!("{url}/v1")) }
}

fn provider(config: OpenAiChatConfig) -> Provider {
    // The second test of a process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Provider::OpenAiChat(OpenAiChat::new(config).unwrap())
}

fn position() -> Position {
    Position { lane: "fix-bug".to_owned(), index: 3 }
}

fn request() -> ModelRequest {
    ModelRequest {
        model: "model-x".to_owned(),
        system: "You fix bugs.".to_owned(),
        messages: vec![Message::User { text: "Fix it.".to_owned() }],
        tools: Vec::new(),
        max_output_tokens: 100,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

async fn ask(server: &Server) -> Result<Answer, ModelError> {
    provider(config(&server.url)).complete(&request(), &position(), soon()).await
}

/// An answer with this message and finish reason.
fn answer(message: Value, finish_reason: Value) -> Reply {
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 });
    let choice = json!({ "index": 0, "message": message, "finish_reason": finish_reason });
    Reply::of(
        "200 OK",
        json!({ "id": "c", "object": "chat.completion", "model": "model-x-1", "choices": [choice], "usage": usage }).to_string(),
    )
}

fn error(kind: &str, code: &str) -> String {
    json!({ "error": { "message": "so it is", "type": kind, "param": null, "code": code } }).to_string()
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let good = || answer(json!({ "content": "hi" }), json!("stop"));
    let busy = |head: &str| Reply::of(&format!("{head}\r\nretry-after-ms: 30"), error("requests", "rate_limit_exceeded"));
    let table = [
        ("rate limit", vec![busy("429 Too Many Requests"), good()]),
        ("overload twice", vec![busy("503 Service Unavailable"), busy("529 Overloaded"), good()]),
        ("server says again", vec![busy("400 Bad Request\r\nx-should-retry: true"), good()]),
        ("cut error", vec![Reply::raw("500 Oops\r\nretry-after-ms: 30\r\ncontent-length: 1000", &KEY.as_bytes()[..20]), good()]),
        ("passed through", vec![Reply::of("200 OK", r#"{"error":{"message":"upstream","code":503}}"#), good()]),
    ];
    for (name, replies) in table {
        let expected = replies.len();
        let server = Server::playing(replies).await;
        let answer = ask(&server).await.unwrap_or_else(|error| unreachable!("{name}: {error}"));
        assert_eq!((answer.attempts as usize, answer.response.text.as_str()), (expected, "hi"), "{name}");
        let seen = server.seen();
        assert_eq!(seen.len(), expected, "{name}");
        assert!(seen.iter().all(|request| request.body == seen[0].body), "{name}: the same request each time");
    }
}

#[tokio::test]
async fn what_may_have_been_charged_is_not_tried_again_by_itself() {
    let table = [
        ("hung up", Reply::hang_up(), ModelFailure::Unavailable),
        ("cut answer", Reply::raw("200 OK\r\ncontent-length: 1000", b"{\"choices\":"), ModelFailure::Unavailable),
        ("garbage", Reply::of("200 OK", "garbage"), ModelFailure::Garbled),
        ("408", Reply::of("408 Request Timeout\r\nretry-after-ms: 1", ""), ModelFailure::Unavailable),
        ("502", Reply::of("502 Bad Gateway\r\nx-should-retry: true", "<html>"), ModelFailure::Unavailable),
        ("504", Reply::of("504 Gateway Timeout", ""), ModelFailure::Unavailable),
        ("524", Reply::of("524 -", "<html>"), ModelFailure::Unavailable),
        ("502 under 200", Reply::of("200 OK", r#"{"error":{"message":"upstream","code":502}}"#), ModelFailure::Unavailable),
    ];
    for (name, reply, failure) in table {
        let server = Server::playing(vec![reply]).await;
        let error = ask(&server).await.unwrap_err();
        assert_eq!((error.failure, error.attempts, error.sent, server.seen().len()), (failure, 1, true, 1), "{name}: {error}");
    }
    let refused = Server::playing(vec![Reply::of("401 Unauthorized", error("invalid_request_error", "invalid_api_key"))]).await;
    assert!(!ask(&refused).await.unwrap_err().sent, "who is refused is charged nothing");
}

#[tokio::test]
async fn a_failure_names_its_kind_its_attempts_and_what_to_do() {
    use ModelFailure::{Garbled, QuotaExhausted, Refused, Unauthorized, Unavailable};
    let down = || Reply::of("500 Internal Server Error\r\nretry-after-ms: 1", "<html><body>Oops</body></html>");
    let quota = || Reply::of("429 Too Many Requests\r\nretry-after-ms: 1", error("insufficient_quota", "credit_balance_exhausted"));
    let broken = |body: &str| Reply::of("200 OK", body);
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<Reply>, ModelFailure, &str)> = vec![
        ("down for long",    vec![down(), down(), down()],                                              Unavailable,    "found 500: <html><body>Oops</body></html>; the server is busy or down: try later (3 attempts)"),
        ("server says stop", vec![Reply::of("503 Busy\r\nx-should-retry: false", "")],                  Unavailable,    "found 503; the server is busy or down: try later (1 attempt)"),
        ("quota",            vec![quota()],                                                             QuotaExhausted, "found 429 [insufficient_quota, credit_balance_exhausted]: so it is; raise the limit or add credit at the provider (1 attempt)"),
        ("quota under 200",  vec![broken(&error("insufficient_quota", "x"))],                           QuotaExhausted, "found an error under HTTP 200 [insufficient_quota, x]: so it is; raise the limit"),
        ("wrong key",        vec![Reply::of("401 Unauthorized", error("invalid_request_error", "invalid_api_key"))], Unauthorized, "check the key in the provider's Secret"),
        ("wrong model",      vec![Reply::of("404 Not Found", error("invalid_request_error", "model_not_found"))], Refused, "check the base URL and the model's name"),
        ("too long",         vec![Reply::of("400 Bad Request", error("invalid_request_error", "context_length_exceeded"))], Refused, "the same request would be refused again"),
        ("empty",            vec![broken("")],                                                          Garbled,        "expected a chat completion from http://127.0.0.1:"),
        ("garbage",          vec![broken("{\"choices\": [")],                                           Garbled,        "found no JSON (EOF"),
        ("HTML",             vec![broken("<!DOCTYPE html><title>Sign in</title>")],                     Garbled,        "<title>Sign in</title>; is it an OpenAI-compatible server?"),
        ("other JSON",       vec![broken(r#"{"choices": "none"}"#)],                                    Garbled,        "found JSON of another shape (invalid type"),
        ("no choice",        vec![broken(r#"{"choices": []}"#)],                                        Garbled,        "found no choice in it"),
        ("no message",       vec![broken(r#"{"choices": [{"finish_reason": "stop"}]}"#)],               Garbled,        "a choice without a message"),
        ("deep JSON",        vec![broken(&"[".repeat(100_000))],                                        Garbled,        "recursion limit"),
        ("not UTF-8",        vec![Reply::of("200 OK", b"\"\xff\"")],                                    Garbled,        "found no JSON"),
        ("announced huge",   vec![Reply::raw("200 OK\r\ncontent-length: 99999999", b"").then_silence()], Garbled,       "at most 16777216 bytes"),
        ("huge",             vec![Reply::raw("200 OK", &vec![b' '; 17 * 1024 * 1024])],                 Garbled,        "at most 16777216 bytes"),
        ("huge error",       vec![Reply::of("400 Bad Request", vec![b'x'; 1024 * 1024])],               Refused,        "found 400; the same request"),
    ];
    for (name, replies, failure, text) in table {
        let sent = replies.len();
        let server = Server::playing(replies).await;
        let error = ask(&server).await.unwrap_err();
        assert_eq!((error.failure, error.attempts as usize), (failure, sent), "{name}: {error}");
        assert_eq!(server.seen().len(), sent, "{name}");
        assert!(error.message.contains(text), "{name}: {error}");
        assert!(error.message.len() < 1_000, "{name}: {} bytes", error.message.len());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::playing([]).await;
    for status in [301, 302, 303, 307, 308] {
        let head = format!("{status} Elsewhere\r\nlocation: {}/v1/chat/completions?token={KEY}", other.url);
        let server = Server::playing([Reply::of(&head, "")]).await;
        let error = ask(&server).await.unwrap_err();
        assert_eq!((error.failure, error.attempts), (ModelFailure::Refused, 1), "{error}");
        assert!(error.message.contains("a redirect to 127.0.0.1, which is not followed"), "{error}");
        assert!(!error.message.contains(KEY), "{error}");
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_key_is_sent_to_its_server_and_stands_in_no_text() {
    let echo =
        |head: &str| Reply::of(head, json!({ "error": { "message": format!("Wrong key: {KEY}"), "type": KEY, "code": KEY } }).to_string());
    let replies = [
        echo("401 Unauthorized"),
        echo("200 OK"),
        Reply::of("400 Bad Request", format!("{}{KEY}", "x".repeat(490))),
        Reply::of("200 OK", format!("<p>{KEY}</p>")),
        Reply::of("400 Bad Request", format!("in base64 QmVhcmVy{IN_BASE64}")),
        Reply::of("200 OK", format!(r#"{{"choices": "{KEY}"}}"#)),
        Reply::raw("400 Bad Request\r\ncontent-length: 1000", &KEY.as_bytes()[..25]),
        Reply::raw("400 Bad Request", format!("{}{KEY}", " ".repeat(64 * 1024 - 25)).as_bytes()),
    ];
    let count = replies.len();
    let server = Server::playing(replies).await;
    let provider = provider(config(&server.url));
    for _ in 0..count {
        let error = provider.complete(&request(), &position(), soon()).await.unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("canary") && !text.contains(&IN_BASE64[4..IN_BASE64.len() - 4]), "{text}");
        }
    }
    for text in [format!("{provider:?}"), format!("{:?}", config(&server.url)), format!("{0} {0:?}", Secret::new(KEY))] {
        assert!(!text.contains("canary"), "{text}");
    }
    assert!(server.seen().iter().all(|request| request.head.contains(&format!("authorization: Bearer {KEY}"))));
}

#[tokio::test]
async fn neither_a_slow_server_nor_a_late_one_holds_us() {
    let moment = Duration::from_millis(100);
    let half = || Reply::raw("200 OK\r\ncontent-length: 1000", b"{").then_silence();
    let half_error = Reply::raw("401 Unauthorized\r\ncontent-length: 1000", b"{").then_silence();
    #[rustfmt::skip]
    let table = [
        ("no answer, timeout",    Reply::silence(), moment,                   Duration::from_secs(60), ModelFailure::Unavailable,  "within 100ms"),
        ("half answer, timeout",  half(),           moment,                   Duration::from_secs(60), ModelFailure::Unavailable,  "within 100ms"),
        ("no answer, deadline",   Reply::silence(), Duration::from_secs(600), moment,                  ModelFailure::Unavailable,  "within the deadline"),
        ("half answer, deadline", half(),           Duration::from_secs(600), moment,                  ModelFailure::Unavailable,  "within the deadline"),
        ("half error",            half_error,       moment,                   Duration::from_secs(60), ModelFailure::Unauthorized, "found 401"),
    ];
    for (name, reply, timeout, left, failure, text) in table {
        let server = Server::playing([reply]).await;
        let provider = provider(OpenAiChatConfig { timeout, max_retries: 0, ..config(&server.url) });
        let error = provider.complete(&request(), &position(), Instant::now() + left).await.unwrap_err();
        assert_eq!((error.failure, error.attempts), (failure, 1), "{name}: {error}");
        assert!(error.message.contains(text), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_retry_that_would_start_past_the_deadline_is_not_waited_for() {
    let server = Server::playing([Reply::of("429 Too Many Requests\r\nretry-after: 100", "")]).await;
    let begun = Instant::now();
    let error = ask(&server).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!((error.failure, error.attempts, server.seen().len()), (ModelFailure::Unavailable, 1, 1));
    assert!(error.message.ends_with("(1 attempt; another would start past the deadline)"), "{error}");

    let error = provider(config(&server.url)).complete(&request(), &position(), begun).await.unwrap_err();
    assert_eq!((error.failure, error.attempts, server.seen().len()), (ModelFailure::Unavailable, 0, 1), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let provider = provider(OpenAiChatConfig { max_retries: 0, ..config(&url) });
    let error = provider.complete(&request(), &position(), soon()).await.unwrap_err();
    assert_eq!((error.failure, error.attempts), (ModelFailure::Unavailable, 1));
    assert!(error.message.contains("Connection refused") && error.message.contains("check that the server is up"), "{error}");
}

/// The environment of this process cannot be changed safely, so the test asks a second one.
#[test]
fn proxies_of_the_environment_are_ignored() {
    let nowhere = "http://127.0.0.1:1";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "conversation::without_system_tools_and_key_nothing_stands_in_their_place"])
        .envs(["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"].map(|name| (name, nowhere)))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn numbers_out_of_range_are_refused() {
    for config in [
        OpenAiChatConfig { timeout: Duration::ZERO, ..OpenAiChatConfig::new("http://a.example") },
        OpenAiChatConfig { max_retries: 11, ..OpenAiChatConfig::new("http://a.example") },
    ] {
        assert!(matches!(OpenAiChat::new(config), Err(ConfigError::OutOfRange { .. })));
    }
}
