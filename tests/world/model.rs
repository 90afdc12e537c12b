//! A simulated model server that speaks OpenAI's chat protocol. It plays what a test scripted and keeps what it was asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The simulation. It ends with the test's runtime.
#[derive(Clone)]
pub struct FakeModel {
    /// What a ModelProvider has as `baseURL`.
    pub url: String,
    script: Arc<Script>,
}

struct Script {
    /// Text that stands in the opening message, and the answers of that conversation in order.
    lanes: Vec<(String, Vec<Turn>)>,
    asked: Mutex<Vec<Asked>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Which conversation.
    lane: String,
    /// How many answers of the model it holds: its place in the conversation.
    turn: usize,
    /// The `authorization` header.
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

/// What is answered at one place of a conversation, however often it is asked there.
#[derive(Clone)]
pub struct Turn {
    /// The n-th time the n-th of these; past the end the last.
    replies: Vec<Reply>,
    gate: Option<Gate>,
}

#[derive(Clone)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// Holds an answer back until the test lets it go.
#[derive(Clone)]
pub struct Gate {
    reached: Arc<watch::Sender<bool>>,
    open: Arc<watch::Sender<bool>>,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { reached: Arc::new(watch::channel(false).0), open: Arc::new(watch::channel(false).0) }
    }
}

impl Gate {
    /// Waits until the model was asked.
    pub async fn reached(&self) {
        let mut reached = self.reached.subscribe();
        let waits = reached.wait_for(|reached| *reached);
        let waited = tokio::time::timeout(super::deadline(), waits).await;
        assert!(waited.is_ok(), "the model was never asked for the answer that the gate holds");
    }

    /// Lets the answer go, and all that come after.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Turn {
    fn of(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Turn {
        Turn { replies: vec![Reply { status, headers, body }], gate: None }
    }

    fn message(message: Value, finish_reason: &str) -> Turn {
        let body = json!({
            "id": "simulated", "object": "chat.completion", "model": "simulated",
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        });
        Turn::of(200, vec![("content-type", "application/json".to_owned())], body.to_string().into_bytes())
    }

    /// This one the first time; when asked again at the same place, the other.
    pub fn then(mut self, other: Turn) -> Turn {
        self.replies.extend(other.replies);
        self
    }

    /// Held back until the gate opens.
    pub fn held_by(mut self, gate: &Gate) -> Turn {
        self.gate = Some(gate.clone());
        self
    }
}

/// An answer that calls one tool.
pub fn call(tool: &str, arguments: Value) -> Turn {
    calls([(tool, arguments)])
}

/// An answer that calls several tools.
pub fn calls<const N: usize>(calls: [(&str, Value); N]) -> Turn {
    let calls: Vec<Value> = (0..)
        .zip(calls)
        .map(|(place, (tool, arguments))| {
            // A string is arguments as a model wrote them, JSON or not.
            let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
            json!({"id": format!("call-{place}"), "type": "function", "function": {"name": tool.replace('.', "_"), "arguments": arguments}})
        })
        .collect();
    Turn::message(json!({"role": "assistant", "content": null, "tool_calls": calls}), "tool_calls")
}

/// An answer that ends the task of a coder.
pub fn finish(summary: &str) -> Turn {
    call("finish", json!({"summary": summary}))
}

/// The answers of a coder that writes `one.txt`, which says one, and commits it.
pub fn one_line_written() -> [Turn; 3] {
    [
        call("fs.write", json!({"path": "one.txt", "content": "one\n"})),
        call("git.commit", json!({"message": "One"})),
        finish("It is there."),
    ]
}

/// Answers that write a protected file, commit it and end the task: policy wants a person for the first.
pub fn ci_written() -> [Turn; 3] {
    [
        call("fs.write", json!({"path": ".github/workflows/ci.yaml", "content": "on: push\n"})),
        call("git.commit", json!({"message": "CI"})),
        finish("Done."),
    ]
}

/// An answer without a tool call.
pub fn says(text: &str) -> Turn {
    Turn::message(json!({"role": "assistant", "content": text}), "stop")
}

/// An HTTP answer of this status and body. 429 and 503 ask for no wait, so that tests need none.
pub fn status(status: u16, body: &str) -> Turn {
    Turn::of(status, vec![("retry-after-ms", "1".to_owned())], body.as_bytes().to_vec())
}

impl FakeModel {
    /// Plays these answers to whoever asks, by the place in the conversation.
    pub async fn playing(turns: impl IntoIterator<Item = Turn>) -> FakeModel {
        FakeModel::lanes([("", turns.into_iter().collect())]).await
    }

    /// Plays to each conversation the answers of the first lane whose text stands in its opening message.
    pub async fn lanes(lanes: impl IntoIterator<Item = (&str, Vec<Turn>)>) -> FakeModel {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let lanes = lanes.into_iter().map(|(text, turns)| (text.to_owned(), turns)).collect();
        let script = Arc::new(Script { lanes, asked: Mutex::default() });
        let routes = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        FakeModel { url, script }
    }

    /// `host:port`, as the annotation of a Secret names it.
    pub fn host(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches("/v1")
    }

    /// How often it was asked.
    pub fn requests(&self) -> usize {
        self.script.asked.lock().unwrap().len()
    }

    /// The bodies of all requests, in order.
    pub fn asked(&self) -> Vec<Value> {
        self.script.asked.lock().unwrap().iter().map(|asked| asked.body.clone()).collect()
    }

    /// The `authorization` headers of all requests, in order.
    pub fn authorizations(&self) -> Vec<Option<String>> {
        self.script.asked.lock().unwrap().iter().map(|asked| asked.authorization.clone()).collect()
    }
}

async fn answer(State(script): State<Arc<Script>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "the simulation expected JSON").into_response();
    };
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let of_role = |role: &'static str| messages.iter().filter(move |message| message["role"] == role);
    let opening = of_role("user").next().and_then(|message| message["content"].as_str()).unwrap_or_default().to_owned();
    let turn = of_role("assistant").count();
    let Some((lane, turns)) = script.lanes.iter().find(|(text, _)| opening.contains(text.as_str())) else {
        return (StatusCode::NOT_FOUND, format!("the simulation has no lane for {opening:?}")).into_response();
    };
    let times = {
        let mut asked = script.asked.lock().unwrap();
        let times = asked.iter().filter(|asked| asked.lane == *lane && asked.turn == turn).count();
        let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        asked.push(Asked { lane: lane.clone(), turn, authorization, body });
        times
    };
    let Some(scripted) = turns.get(turn) else {
        return (StatusCode::NOT_FOUND, format!("the simulation has {} answers in lane {lane:?}, asked for one more", turns.len()))
            .into_response();
    };
    if let Some(gate) = &scripted.gate {
        gate.reached.send_replace(true);
        let mut open = gate.open.subscribe();
        // The sender lives in the gate, so this ends only by opening.
        let _ = open.wait_for(|open| *open).await;
    }
    let reply = &scripted.replies[times.min(scripted.replies.len() - 1)];
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), reply.body.clone()).into_response();
    for (name, value) in &reply.headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}
