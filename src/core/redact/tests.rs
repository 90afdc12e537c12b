//! What is masked, and what is not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;
use crate::Digest;

#[test]
fn no_value_and_no_token_shape_survives() {
    let redactor = Redactor::new(["hunter2-hunter2".to_owned(), "hunter2-hunter2-long".to_owned()]);
    let aws = format!("AKIA{}", "A".repeat(16));
    let text = redactor.text(&format!("a hunter2-hunter2-long b hunter2-hunter2 c {aws} d sk-{}", "x".repeat(30)));
    assert_eq!(text, "a [redacted] b [redacted] c [redacted] d [redacted]");
    assert_eq!(redactor.text(&text), text);
}

#[test]
fn a_secret_that_is_a_name_changes_no_kind_and_no_key() {
    use crate::journal::{Observation, ToolEnded};
    let ended = |content: &str| {
        let (key, call_id) = ("tool.result/1/0".to_owned(), "observation".to_owned());
        Event::ToolResult(ToolEnded { key, call_id, observation: Observation::Answered, content: content.to_owned() })
    };
    let redactor = Redactor::new(["tool.result", "observation", "answered", "content-of-it"].map(str::to_owned));
    assert_eq!(redactor.event(ended("content-of-it")), ended(MASK));
}

#[test]
fn a_word_that_ends_like_a_prefix_stays() {
    // Names of runs and files hold such words: taken for a token, a run could not be found by its name any more.
    for text in [
        "parse-fractions-task-accept-short-fractions",
        "risk-adjusted-returns-of-each-desk",
        "docs/disk-layout-and-its-limits-explained.md",
    ] {
        assert_eq!(Redactor::default().text(text), text);
    }
}

#[test]
fn a_token_is_found_behind_any_punctuation() {
    let token = format!("sk-{}", "x".repeat(30));
    for text in [
        token.clone(),
        format!("\"{token}\""),
        format!("KEY={token}"),
        format!("Bearer {token}"),
        format!("https://u:{token}@host"),
        format!("_{token}"),
        format!("\n{token}"),
    ] {
        assert!(!Redactor::default().text(&text).contains(&token), "{text:?}");
    }
}

#[test]
fn a_token_is_found_beside_letters_of_any_script() {
    let aws = format!("AKIA{}", "A".repeat(16));
    for token in [format!("sk-{}", "x".repeat(30)), format!("ghp_{}", "x".repeat(36)), aws, "postgres://u:password@h".to_owned()] {
        for text in [format!("é{token}"), format!("{token}é"), format!("鍵{token}鍵")] {
            assert!(!Redactor::default().text(&text).contains(&token), "{text:?}");
        }
    }
}

#[test]
fn a_name_that_ends_like_a_token_begins_is_left_alone() {
    let name = "parse-fractions-task-accept-short-fractions";
    assert_eq!(Redactor::default().text(name), name);
}

#[test]
fn the_shapes_compile() {
    assert!(SHAPES.is_some() && CREDENTIALS.is_some());
}

/// Filler that no token's grammar refuses and no reader takes for one: the tests hold no token of anyone's.
fn filler(length: usize) -> String {
    "A1b2C3d4E5".chars().cycle().take(length).collect()
}

#[test]
fn every_known_shape_is_masked_wherever_it_stands() {
    let upper = filler(16).to_uppercase();
    let tokens = [
        ("OpenAI", format!("sk-{}", filler(48))),
        ("OpenAI, by project", format!("sk-proj-{}", filler(60))),
        ("Anthropic", format!("sk-ant-api03-{}", filler(80))),
        ("GitHub, classic", format!("ghp_{}", filler(36))),
        ("GitHub, an app's", format!("ghs_{}", filler(36))),
        ("GitHub, fine-grained", format!("github_pat_{}", filler(82))),
        ("GitLab", format!("glpat-{}", filler(20))),
        ("AWS", format!("AKIA{upper}")),
        ("AWS, temporary", format!("ASIA{upper}")),
        ("Google", format!("AIza{}", filler(35))),
        ("npm", format!("npm_{}", filler(36))),
        ("Slack, a bot's", format!("xoxb-{}", filler(24))),
        ("Slack, an app's", format!("xapp-1-{}", filler(24))),
        ("JWT", format!("eyJ{}.eyJ{}.{}", filler(20), filler(40), filler(43))),
        ("PEM", format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", filler(64))),
        ("PKCS 8", format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", filler(64))),
    ];
    let redactor = Redactor::default();
    for (what, token) in tokens {
        for (before, after) in [("", ""), ("key: ", " is wrong"), ("\"", "\""), ("KEY=", "\n"), ("Bearer ", ","), ("(", ")"), ("\n", "\n")]
        {
            let clean = redactor.text(&format!("{before}{token}{after}"));
            assert_eq!(clean, format!("{before}{MASK}{after}"), "{what}");
            assert_eq!(redactor.text(&clean), clean, "{what}: masked once and for all");
        }
    }
}

#[test]
fn a_private_key_that_was_cut_is_masked_to_the_end() {
    let cut = format!("log\n-----BEGIN EC PRIVATE KEY-----\n{}", filler(64));
    assert_eq!(Redactor::default().text(&cut), format!("log\n{MASK}"));
}

#[test]
fn a_password_in_a_url_goes_and_its_host_stays() {
    let table = [
        ("postgres://reeve:hunter2@db.example:5432/journal", "postgres://[redacted]@db.example:5432/journal"),
        ("GET https://u:p%40ss@h/x failed", "GET https://[redacted]@h/x failed"),
        ("redis://:hunter2@cache", "redis://[redacted]@cache"),
        ("https://example.com:8443/a@b", "https://example.com:8443/a@b"),
        ("https://example.com/?at=10:30@noon", "https://example.com/?at=10:30@noon"),
        ("ssh://git@host/repo", "ssh://git@host/repo"),
        ("https://0123456789abcdef@git.example/r.git", "https://[redacted]@git.example/r.git"),
        ("https://u:p:q@h/x", "https://[redacted]@h/x"),
        ("mail alice@example.com", "mail alice@example.com"),
        (r#"{"at":"https://a.example","mail":"b@c.example"}"#, r#"{"at":"https://a.example","mail":"b@c.example"}"#),
    ];
    for (text, expected) in table {
        let clean = Redactor::default().text(text);
        assert_eq!(clean, expected);
        assert_eq!(Redactor::default().text(&clean), clean);
    }
}

#[test]
fn ordinary_text_stays() {
    for text in [
        "sk-short",
        "the npm_config_registry variable, npm_lifecycle_event and npm_package_version",
        "ghp_ is how such tokens begin; github_pat_ too",
        "AKIA is a prefix, AKIAK is no key, and MYAKIA1234567890ABCDEF is a word",
        "xox-ray and xoxo, with love",
        "eyJhbGciOi is what base64 makes of a brace",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6f1d2c3b-4a5e-6789-abcd-ef0123456789",
        "src/core/redact.rs:24: expected `AIza` and 35 more",
        "git@github.com:reeve/reeve.git",
    ] {
        assert_eq!(Redactor::default().text(text), text);
    }
}

#[test]
fn a_value_is_masked_in_each_form_that_programs_write_it_in() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let value = "p\"a/ss+wörd ~?>>>";
    let redactor = Redactor::new([value.to_owned()]);
    let percent = "p%22a%2Fss%2Bw%C3%B6rd%20~%3F%3E%3E%3E";
    let mut written = vec![
        serde_json::to_string(value).unwrap(),
        format!("{value:?}"),
        percent.to_owned(),
        percent.to_lowercase(),
        percent.replace("%20", "+").replace('~', "%7E"),
        value.bytes().map(|byte| format!("{byte:02x}")).collect(),
        value.bytes().map(|byte| format!("{byte:02X}")).collect(),
    ];
    for before in ["", "u", "us", "user:", "user::"] {
        for after in ["", "\n", "@host"] {
            let all = format!("{before}{value}{after}");
            written.extend([STANDARD.encode(&all), URL_SAFE.encode(&all)]);
        }
    }
    for text in written {
        let clean = redactor.text(&format!("before {text} after"));
        assert!(clean.contains(MASK) && clean.starts_with("before ") && clean.ends_with(" after"), "{text}: {clean}");
        // What stood before and after it in what was encoded is left, and less than a byte of it at each end.
        assert!(clean.len() <= format!("before {MASK} after").len() + 24, "{text}: {clean}");
        assert_eq!(redactor.text(&clean), clean);
    }
}

#[test]
fn a_value_that_stands_in_the_mask_is_not_masked_in_it() {
    let redactor = Redactor::new(["redacted".to_owned(), "[redacted]".to_owned()]);
    assert_eq!(redactor.text("redacted [redacted]"), "redacted [redacted]");
}

/// Every place of an event that people, models or tools write in; none may keep a value.
#[test]
fn no_event_keeps_a_value_wherever_a_model_a_tool_or_a_person_wrote_it() {
    use serde_json::json;
    let canary = "canary-value-51c7";
    let redactor = Redactor::new([canary.to_owned()]);
    let digest = Digest::of(b"x");
    let table = [
        json!({"kind": "model.response", "body": {"result": "failure", "failure": "Refused", "message": canary, "attempts": 1}}),
        json!({"kind": "thought.summary", "body": {"text": canary}}),
        json!({"kind": "tool.requested", "body": {"key": "k", "callId": "c", "name": "fs.write", "arguments": {"path": canary, canary: [canary]},
            "canonical": {"tool": "fs.write", "arguments": {"path": canary, "content": canary}, "argv": [canary],
                "paths": [{"path": format!("dir/{canary}"), "write": true, "exists": false}],
                "program": {"path": format!("/work/{canary}"), "digest": digest}}}}),
        json!({"kind": "tool.result", "body": {"key": "k", "callId": "c", "observation": {"how": "unknown"}, "content": canary}}),
        json!({"kind": "policy.decision", "body": {"key": "k", "verdict": "Deny", "determining": [], "reason": canary, "sets": [], "shadow": []}}),
        json!({"kind": "approval.vote", "body": {"key": "k", "uid": "u", "user": "alice", "verdict": "Deny", "reason": canary, "refused": canary}}),
        json!({"kind": "approval.settled", "body": {"key": "k", "name": "n", "phase": "Denied", "message": canary}}),
        json!({"kind": "run.suspended", "body": {"cause": "Spec", "message": canary}}),
        json!({"kind": "kill", "body": {"namespace": "n", "name": "n", "uid": "u", "engaged": true, "reason": canary}}),
    ];
    for written in table {
        let event: Event = serde_json::from_value(written.clone()).unwrap_or_else(|error| panic!("{error}: {written}"));
        let clean = serde_json::to_string(&redactor.event(event)).unwrap();
        assert!(!clean.contains(canary) && clean.contains(MASK), "{clean}");
    }
}
