//! [`Recorded`] as a provider.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use reeve_core::model::{Arguments, FinishReason, Message, ModelFailure, ModelRequest, Position, Usage};
use reeve_gateway::{Answer, ModelError, Provider, Recorded, TranscriptError};
use serde_json::json;

fn request(text: &str) -> ModelRequest {
    ModelRequest {
        model: "model-x".to_owned(),
        system: String::new(),
        messages: vec![Message::User { text: text.to_owned() }],
        tools: Vec::new(),
        max_output_tokens: 100,
    }
}

async fn ask(transcript: &Recorded, lane: &str, index: u32, text: &str) -> Result<Answer, ModelError> {
    let position = Position { lane: lane.to_owned(), index };
    Provider::Recorded(transcript.clone()).complete(&request(text), &position, Instant::now()).await
}

const BY_POSITION: &str = r#"
version: 1
match: position
lanes:
  planner:
  - text: I look first.
    toolCalls:
    - {name: fs.read, arguments: {path: a.py, start_line: 1}}
    - {name: fs.list}
    - {id: mine, name: no, argumentsText: "not json"}
    - {name: fs.list, argumentsText: '{"depth": 2}'}
    usage: {inputTokens: 100, outputTokens: 20}
  - {text: cut, finishReason: length, model: other}
  fix-bug:
  - error: {failure: ModelUnavailable, message: overloaded}
"#;

#[tokio::test]
async fn a_lane_answers_in_order_and_again_the_same() {
    let transcript = Recorded::parse(BY_POSITION).unwrap();
    for _ in 0..2 {
        let answer = ask(&transcript, "planner", 0, "whatever").await.unwrap();
        let calls: Vec<_> = answer.response.tool_calls.into_iter().map(|call| (call.id, call.name, call.arguments)).collect();
        let call = |id: &str, name: &str, arguments| (id.to_owned(), name.to_owned(), arguments);
        assert_eq!(
            calls,
            [
                call("call_0_0", "fs.read", Arguments::Json(json!({ "path": "a.py", "start_line": 1 }))),
                call("call_0_1", "fs.list", Arguments::Json(json!({}))),
                call("mine", "no", Arguments::Invalid("not json".to_owned())),
                call("call_0_3", "fs.list", Arguments::Json(json!({ "depth": 2 }))),
            ]
        );
        assert_eq!(answer.response.usage, Usage { input_tokens: 100, output_tokens: 20, ..Usage::default() });
        assert_eq!(answer.response.finish_reason, FinishReason::ToolCalls);
        assert_eq!((answer.response.text.as_str(), answer.response.model.as_str(), answer.attempts), ("I look first.", "model-x", 1));
    }
    let answer = ask(&transcript, "planner", 1, "whatever").await.unwrap().response;
    assert_eq!((answer.text.as_str(), answer.finish_reason, answer.model.as_str()), ("cut", FinishReason::Length, "other"));
    let error = ask(&transcript, "fix-bug", 0, "whatever").await.unwrap_err();
    assert_eq!((error.failure, error.message.as_str()), (ModelFailure::Unavailable, "overloaded"));
}

#[tokio::test]
async fn a_digest_answers_its_own_request_wherever_it_stands() {
    let digest = request("one").digest().unwrap();
    let transcript = json!({ "version": 1, "match": "digest", "answers": { digest.to_string(): { "text": "caf\u{e9} \u{1f980}\n" } } });
    // As JSON, and with each character beyond ASCII escaped, as other JSON writers do.
    for text in [transcript.to_string(), transcript.to_string().replace('é', "\\u00e9").replace('🦀', "\\ud83e\\udd80")] {
        let transcript = Recorded::parse(&text).unwrap();
        for (lane, index) in [("a", 0), ("b", 9)] {
            assert_eq!(ask(&transcript, lane, index, "one").await.unwrap().response.text, "café 🦀\n");
        }
        let error = ask(&transcript, "fix-bug", 2, "two").await.unwrap_err();
        assert_eq!(error.failure, ModelFailure::TranscriptMiss);
        let expected = format!("request 2 of lane \"fix-bug\" ({}), found 1 answers for other requests", request("two").digest().unwrap());
        assert!(error.message.contains(&expected), "{error}");
    }
}

#[tokio::test]
async fn a_miss_names_request_and_what_is_there() {
    let transcript = Recorded::parse(BY_POSITION).unwrap();
    let digest = request("x").digest().unwrap();
    for (lane, index, held) in [("planner", 2, "2 answers in that lane"), ("coder", 0, "only the lanes [fix-bug, planner]")] {
        let error = ask(&transcript, lane, index, "x").await.unwrap_err();
        assert_eq!(error.failure, ModelFailure::TranscriptMiss);
        let expected = format!(
            "expected the transcript to hold an answer for request {index} of lane {lane:?} ({digest}), found {held}; add it or record anew"
        );
        assert_eq!(error.message, expected);
    }
}

#[test]
fn what_is_no_transcript_is_refused_by_name_and_place() {
    let lane = |answer: &str| format!("version: 1\nmatch: position\nlanes:\n  a:\n  - text: ok\n  - {answer}\n");
    let table = [
        (String::new(), "expected `version: 1`, found none"),
        ("[]".to_owned(), "expected YAML or JSON in the transcript format"),
        ("version: 1\nmatch: [".to_owned(), "line"),
        ("version: 2\nmatch: mood\nsurprise: 1".to_owned(), "expected `version: 1`, found 2"),
        ("version: '1'\nmatch: position".to_owned(), "expected `version: 1`, found \"1\""),
        ("match: position\nlanes: {}".to_owned(), "found none"),
        ("version: 1\nlanes: {}".to_owned(), "missing field `match`"),
        ("version: 1\nmatch: mood\nlanes: {}".to_owned(), "line 2"),
        ("version: 1\nmatch: position".to_owned(), "match: `position` needs `lanes`"),
        ("version: 1\nmatch: position\nlanes: {}\nanswers: {}".to_owned(), "excludes `answers`"),
        ("version: 1\nmatch: digest\nlanes: {}".to_owned(), "match: `digest` needs `answers`"),
        ("version: 1\nmatch: digest\nanswers: {abc: {text: a}}".to_owned(), "answers.abc: expected `sha256:` and 64 lower-case hex digits"),
        ("version: 1\nmatch: position\nlanes: {a: []}\nlanes: {b: []}".to_owned(), "duplicate"),
        ("version: 1\nmatch: position\nlanes: {a: [], a: []}".to_owned(), "duplicate"),
        (lane("{}"), "lanes.a[1]: expected `text`, `toolCalls` or `error`"),
        (lane("{txt: hi}"), "line 6"),
        (lane("{txt: hi}"), "unknown field `txt`"),
        (lane("{toolCalls: [{arguments: {}}]}"), "missing field `name`"),
        (lane("{toolCalls: [{name: a}, {name: b, arguments: {}, argumentsText: ''}]}"), "lanes.a[1].toolCalls[1]: expected `arguments` or"),
        (lane("{text: hi, finishReason: tired}"), "tired"),
        (lane("{text: hi, usage: {inputTokens: -1}}"), "line 6"),
        (lane("{text: hi, error: {failure: ModelUnavailable, message: m}}"), "lanes.a[1]: expected `error` alone"),
        (lane("{error: {failure: Unavailable, message: m}}"), "lanes.a[1].error.failure: expected one of TranscriptMiss, "),
        (lane("&x {text: *x}"), "line 6"),
    ];
    for (text, expected) in table {
        let error = Recorded::parse(&text).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("transcript: ") && error.contains(expected), "{text}\n-> {error:?}");
        assert!(error.len() < 1_000, "{error}");
    }
    let large = "#".repeat(8 * 1024 * 1024 + 1);
    assert_eq!(Recorded::parse(&large).err(), Some(TranscriptError::TooLarge { found: 8 * 1024 * 1024 + 1 }));
}

#[test]
fn a_transcript_prints_no_answer() {
    assert_eq!(format!("{:?}", Recorded::parse(BY_POSITION).unwrap()), "Recorded(2 lanes by position)");
}
