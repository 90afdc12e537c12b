//! What is said to a server and how its answers are read.

use expect_test::expect;
use reeve_core::model::{Arguments, FinishReason, Message, ModelRequest, ToolCall, Usage};
use reeve_core::tool::{Role, catalog};
use reeve_gateway::{MaxTokensField, OpenAiChatConfig};
use serde_json::{Value, json};

use crate::server::{Reply, Server};
use crate::{answer, ask, config, position, provider, request, soon};

fn call(id: Value, name: &str, arguments: Value) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

#[tokio::test]
async fn a_conversation_with_tools_is_spoken_in_the_servers_words() {
    let calls = [call(json!("a"), "fs_read", json!(r#"{"path":"a.py"}"#)), call(json!("b"), "fs_list", json!("{}"))];
    let body = json!({
        "model": "model-x-2026", "service_tier": "default", "choices": [
            { "index": 0, "finish_reason": "tool_calls", "message": { "role": "assistant", "content": null, "refusal": null, "tool_calls": calls, "annotations": [] } },
            { "index": 1, "finish_reason": "stop", "message": { "role": "assistant", "content": "another" } }
        ],
        "usage": { "prompt_tokens": 90, "completion_tokens": 30, "total_tokens": 120,
            "prompt_tokens_details": { "cached_tokens": 60, "audio_tokens": 0 }, "completion_tokens_details": { "reasoning_tokens": 10 } }
    });
    let server = Server::playing([Reply::of("200 OK\r\ncontent-type: application/json", body.to_string())]).await;
    let earlier = |id: &str, name: &str, arguments| ToolCall { id: id.to_owned(), name: name.to_owned(), arguments };
    let tool =
        |call_id: &str, content: &str, is_error| Message::Tool { call_id: call_id.to_owned(), content: content.to_owned(), is_error };
    let request = ModelRequest {
        messages: vec![
            Message::User { text: "Fix it.".to_owned() },
            Message::Assistant {
                text: String::new(),
                tool_calls: vec![
                    earlier("x", "fs.read", Arguments::Json(json!({ "path": "b.py" }))),
                    earlier("y", "rm -rf /", Arguments::Invalid("{oops".to_owned())),
                ],
            },
            tool("x", "1: pass", false),
            tool("y", "no such tool", true),
            Message::Assistant { text: "Hm.".to_owned(), tool_calls: Vec::new() },
            Message::User { text: "Go on.".to_owned() },
        ],
        tools: catalog(Role::Planner).into_iter().take(2).collect(),
        ..request()
    };
    let answer = provider(config(&server.url)).complete(&request, &position(), soon()).await.unwrap();
    assert_eq!(answer.attempts, 1);
    expect![[r#"
        {
          "text": "",
          "toolCalls": [
            {
              "id": "a",
              "name": "fs.read",
              "arguments": {
                "json": {
                  "path": "a.py"
                }
              }
            },
            {
              "id": "b",
              "name": "fs.list",
              "arguments": {
                "json": {}
              }
            }
          ],
          "finishReason": "tool_calls",
          "usage": {
            "inputTokens": 90,
            "cachedInputTokens": 60,
            "outputTokens": 30,
            "reasoningTokens": 10
          },
          "model": "model-x-2026"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&answer.response).unwrap());

    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    let head = seen[0].head.lines().filter(|line| !line.starts_with("host:")).collect::<Vec<_>>().join("\n");
    // Whether serde_json keeps the order of keys depends on who else is in the build.
    let mut body = seen[0].body.clone();
    body.sort_all_objects();
    expect![[r#"
        POST /v1/chat/completions HTTP/1.1
        authorization: Bearer canary-key-that-must-not-show
        content-type: application/json
        accept: */*
        user-agent: reeve/0.1.0
        content-length: 1550"#]]
    .assert_eq(&head);
    expect![[r#"
        {
          "max_completion_tokens": 100,
          "messages": [
            {
              "content": "You fix bugs.",
              "role": "system"
            },
            {
              "content": "Fix it.",
              "role": "user"
            },
            {
              "content": null,
              "role": "assistant",
              "tool_calls": [
                {
                  "function": {
                    "arguments": "{\"path\":\"b.py\"}",
                    "name": "fs_read"
                  },
                  "id": "x",
                  "type": "function"
                },
                {
                  "function": {
                    "arguments": "{\"not_json\":\"{oops\"}",
                    "name": "rm_-rf__"
                  },
                  "id": "y",
                  "type": "function"
                }
              ]
            },
            {
              "content": "1: pass",
              "role": "tool",
              "tool_call_id": "x"
            },
            {
              "content": "Error: no such tool",
              "role": "tool",
              "tool_call_id": "y"
            },
            {
              "content": "Hm.",
              "role": "assistant"
            },
            {
              "content": "Go on.",
              "role": "user"
            }
          ],
          "model": "model-x",
          "tools": [
            {
              "function": {
                "description": "Read a text file of the workspace. Lines are numbered.",
                "name": "fs_read",
                "parameters": {
                  "additionalProperties": false,
                  "properties": {
                    "end_line": {
                      "description": "Last line. Default: the end, within the output limit.",
                      "minimum": 1,
                      "type": "integer"
                    },
                    "path": {
                      "description": "Relative to the workspace.",
                      "maxLength": 4096,
                      "minLength": 1,
                      "type": "string"
                    },
                    "start_line": {
                      "description": "First line. Default: 1.",
                      "minimum": 1,
                      "type": "integer"
                    }
                  },
                  "required": [
                    "path"
                  ],
                  "type": "object"
                }
              },
              "type": "function"
            },
            {
              "function": {
                "description": "List a directory of the workspace, directories with a slash behind, sorted.",
                "name": "fs_list",
                "parameters": {
                  "additionalProperties": false,
                  "properties": {
                    "depth": {
                      "description": "Levels to go down. Default: 1.",
                      "maximum": 8,
                      "minimum": 1,
                      "type": "integer"
                    },
                    "path": {
                      "description": "Relative to the workspace. Default: the workspace.",
                      "maxLength": 4096,
                      "minLength": 1,
                      "type": "string"
                    }
                  },
                  "required": [],
                  "type": "object"
                }
              },
              "type": "function"
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&body).unwrap());
}

#[tokio::test]
async fn without_system_tools_and_key_nothing_stands_in_their_place() {
    let server = Server::playing([answer(json!({ "content": "hi" }), json!("stop"))]).await;
    let config = OpenAiChatConfig { max_tokens_field: MaxTokensField::MaxTokens, ..OpenAiChatConfig::new(&server.url) };
    let request = ModelRequest { system: String::new(), ..request() };
    assert_eq!(provider(config).complete(&request, &position(), soon()).await.unwrap().response.text, "hi");
    let seen = &server.seen()[0];
    assert!(!seen.head.contains("authorization"), "{}", seen.head);
    let expected = json!({ "model": "model-x", "messages": [{ "role": "user", "content": "Fix it." }], "max_tokens": 100 });
    assert_eq!(seen.body, expected);
}

#[tokio::test]
async fn odd_answers_are_understood() {
    use FinishReason::{ContentFilter, Length, Refusal, Stop, ToolCalls};
    let empty = || Arguments::Json(json!({}));
    let one = |id: Value, name: &str, arguments: Value| json!({ "content": null, "tool_calls": [call(id, name, arguments)] });
    let same = json!({ "tool_calls": [call(json!("a"), "fs_read", json!("{}")), call(json!("a"), "fs_read", json!("{}"))] });
    type Calls = Vec<(&'static str, &'static str, Arguments)>;
    #[rustfmt::skip]
    let table: Vec<(&str, Value, Value, &str, FinishReason, Calls)> = vec![
        ("text",               json!({ "content": "hi" }),                                     json!("stop"),           "hi", Stop, vec![]),
        ("nothing",            json!({ "content": null }),                                     json!("stop"),           "", Stop, vec![]),
        ("no content",         json!({}),                                                      Value::Null,             "", Stop, vec![]),
        ("parts",              json!({ "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] }), json!("stop"), "ab", Stop, vec![]),
        ("cut",                json!({ "content": "half a" }),                                 json!("length"),         "half a", Length, vec![]),
        ("filtered",           json!({ "content": "" }),                                       json!("content_filter"), "", ContentFilter, vec![]),
        ("refusal",            json!({ "content": null, "refusal": "I will not." }),           json!("stop"),           "I will not.", Refusal, vec![]),
        ("null calls",         json!({ "content": "a", "tool_calls": null, "refusal": null }), json!("tool_calls"),     "a", Stop, vec![]),
        ("new finish reason",  json!({ "content": "a" }),                                      json!("tired"),          "a", Stop, vec![]),
        ("the same, calls",    one(json!("a"), "fs_read", json!("{}")),                        json!("tired"),          "", ToolCalls, vec![("a", "fs.read", empty())]),
        ("stop beside calls",  one(json!("a"), "fs_read", json!("{}")),                        json!("stop"),           "", ToolCalls, vec![("a", "fs.read", empty())]),
        ("dotted name",        one(json!("a"), "fs.read", json!("{}")),                        json!("tool_calls"),     "", ToolCalls, vec![("a", "fs.read", empty())]),
        ("unknown name",       one(json!("a"), "rm_rf", json!("{}")),                          json!("tool_calls"),     "", ToolCalls, vec![("a", "rm_rf", empty())]),
        ("invalid arguments",  one(json!("a"), "fs_read", json!("{\"path\": ")),               json!("tool_calls"),     "", ToolCalls, vec![("a", "fs.read", Arguments::Invalid("{\"path\": ".to_owned()))]),
        ("two values",         one(json!("a"), "fs_read", json!("{}{}")),                      json!("tool_calls"),     "", ToolCalls, vec![("a", "fs.read", Arguments::Invalid("{}{}".to_owned()))]),
        ("empty arguments",    one(json!("a"), "fs_read", json!("")),                          json!("tool_calls"),     "", ToolCalls, vec![("a", "fs.read", empty())]),
        ("null arguments",     one(json!("a"), "fs_read", Value::Null),                        json!("tool_calls"),     "", ToolCalls, vec![("a", "fs.read", empty())]),
        ("parsed arguments",   one(json!("a"), "fs_read", json!({ "path": "a" })),             json!("tool_calls"),     "", ToolCalls, vec![("a", "fs.read", Arguments::Json(json!({ "path": "a" })))]),
        ("no id",              one(Value::Null, "fs_read", json!("{}")),                       json!("tool_calls"),     "", ToolCalls, vec![("call_3_0", "fs.read", empty())]),
        ("the same id twice",  same,                                                           json!("tool_calls"),     "", ToolCalls, vec![("a", "fs.read", empty()), ("call_3_1", "fs.read", empty())]),
        ("a call of no shape", json!({ "tool_calls": [{ "id": "a", "type": "custom" }] }),     json!("tool_calls"),     "", ToolCalls, vec![("a", "", empty())]),
    ];
    let server = Server::playing(table.iter().map(|row| answer(row.1.clone(), row.2.clone()))).await;
    let provider = provider(config(&server.url));
    let request = ModelRequest { tools: catalog(Role::Coder), ..request() };
    for (name, _, _, text, finish_reason, calls) in table {
        let response =
            provider.complete(&request, &position(), soon()).await.unwrap_or_else(|error| unreachable!("{name}: {error}")).response;
        let found: Vec<_> = response.tool_calls.iter().map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.clone())).collect();
        assert_eq!((response.text.as_str(), response.finish_reason, found), (text, finish_reason, calls), "{name}");
    }
}

#[tokio::test]
async fn usage_that_is_not_reported_is_zero_and_parts_stay_within_their_whole() {
    let usage = |input_tokens, cached_input_tokens, output_tokens, reasoning_tokens| Usage {
        input_tokens,
        cached_input_tokens,
        output_tokens,
        reasoning_tokens,
    };
    let table = [
        (json!({}), Usage::default()),
        (json!({ "usage": null, "model": "" }), Usage::default()),
        (json!({ "usage": { "prompt_tokens": -1, "completion_tokens": "many" } }), Usage::default()),
        (json!({ "usage": { "prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": null } }), usage(5, 0, 2, 0)),
        (json!({ "usage": { "prompt_tokens": 5, "prompt_tokens_details": { "cached_tokens": 9 } } }), usage(5, 5, 0, 0)),
    ];
    for (mut body, expected) in table {
        body["choices"] = json!([{ "message": { "content": "hi" }, "finish_reason": "stop" }]);
        let server = Server::playing([Reply::of("200 OK", body.to_string())]).await;
        let response = ask(&server).await.unwrap().response;
        assert_eq!((response.usage, response.model.as_str()), (expected, "model-x"), "{body}");
    }
}
