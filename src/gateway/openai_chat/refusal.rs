//! What an error answer means: one table for status, codes and remedies.

use reeve_core::model::ModelFailure;
use reeve_core::redact::Redactor;
use serde_json::Value;

use crate::retry::Again;

/// What is shown of a server's text, in characters.
const SHOWN_CHARS: usize = 500;

/// Codes and types that stand for a used-up quota or spend limit: OpenAI's, and Anthropic's for relays that pass it on.
const QUOTA_CODES: [&str; 8] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_error",
    "enforced_spend_limit_reached",
];

/// What a server said beside its status. Servers differ; all of it may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// `type`, `code` and `details.error_code`, as far as they are there.
    codes: Vec<String>,
    /// The explanation, or the whole body where none could be made out.
    text: String,
}

impl Said {
    /// Reads an error body: OpenAI's `{error: {message, type, code}}`, the same without the envelope, `{error: "text"}`,
    /// `{detail: ...}`, or any text.
    pub(super) fn of(body: &[u8]) -> Said {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Said::of_value(&value),
            Err(_) => Said { codes: Vec::new(), text: String::from_utf8_lossy(body).into_owned() },
        }
    }

    /// The same for a body that is parsed already.
    pub(super) fn of_value(body: &Value) -> Said {
        let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
        let details = error.get("details");
        let codes = [error.get("type"), error.get("code"), details.and_then(|details| details.get("error_code"))];
        let text = [error.get("message"), error.get("detail"), Some(error)].into_iter().flatten().find_map(Value::as_str);
        Said { codes: codes.into_iter().flatten().filter_map(plain).collect(), text: text.map_or_else(|| body.to_string(), str::to_owned) }
    }

    /// A code that is an HTTP status.
    pub(super) fn numeric_code(&self) -> Option<u16> {
        self.codes.iter().find_map(|code| code.parse().ok().filter(|code| (400..600).contains(code)))
    }

    /// For the end of a sentence; without secrets, control characters and length. Empty when nothing was said.
    pub(super) fn quoted(&self, redactor: &Redactor) -> String {
        // Secrets first: a cut could leave half of one.
        let clean = |text: &str, chars: usize| {
            let text = redactor.text(text);
            let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
            let text = words.join(" ");
            match text.char_indices().nth(chars) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        };
        let codes = if self.codes.is_empty() { String::new() } else { format!(" [{}]", clean(&self.codes.join(", "), 100)) };
        let text = clean(&self.text, SHOWN_CHARS);
        if text.is_empty() { codes } else { format!("{codes}: {text}") }
    }

    fn is_about_quota(&self) -> bool {
        self.codes.iter().any(|code| QUOTA_CODES.contains(&code.as_str()))
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What an error answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) failure: ModelFailure,
    pub(super) again: Again,
    /// It may have been answered, and charged, all the same.
    pub(super) sent: bool,
}

/// The kind of failure, and whether another attempt may help. `server_says_again` decides over the status, but not over a quota, nor over
/// what may have been charged.
pub(super) fn judge(status: u16, server_says_again: Option<bool>, said: &Said) -> Verdict {
    let for_good = |failure| Verdict { failure, again: Again::Never, sent: false };
    if status == 402 || said.is_about_quota() {
        return for_good(ModelFailure::QuotaExhausted);
    }
    if is_from_between(status) {
        return Verdict { sent: true, ..for_good(ModelFailure::Unavailable) };
    }
    let (failure, passes) = match status {
        401 | 403 => (ModelFailure::Unauthorized, false),
        409 | 429 | 500.. => (ModelFailure::Unavailable, true),
        200..300 => (ModelFailure::Garbled, false),
        _ => (ModelFailure::Refused, false),
    };
    Verdict { again: if server_says_again.unwrap_or(passes) { Again::Scheduled } else { Again::Never }, ..for_good(failure) }
}

/// What a gateway or proxy says that had passed the request on and got no answer in time, or none that it understood: the model may have
/// worked on (RFC 9110, 15.5.9, 15.6.3 and 15.6.5; 524 is Cloudflare's).
const fn is_from_between(status: u16) -> bool {
    matches!(status, 408 | 502 | 504 | 524)
}

/// What to do about it.
pub(super) const fn remedy(status: u16, failure: ModelFailure) -> &'static str {
    match (failure, status) {
        (ModelFailure::Unauthorized, _) => "check the key in the provider's Secret and what it may do",
        (ModelFailure::QuotaExhausted, _) => "raise the limit or add credit at the provider",
        (ModelFailure::Unavailable, 408 | 502 | 504 | 524) => {
            "something in between gave up after the request was passed on, and it may have been charged: try later"
        }
        (ModelFailure::Unavailable, _) => "the server is busy or down: try later",
        (ModelFailure::Refused, 300..400) => "give the server's own address as base URL",
        (ModelFailure::Refused, 404 | 405) => "check the base URL and the model's name",
        (ModelFailure::Refused, 413) => "the conversation is too long: narrow the task",
        (ModelFailure::Refused, _) => "the same request would be refused again",
        (ModelFailure::Garbled | ModelFailure::TranscriptMiss | ModelFailure::ProviderNotReady, _) => "is it an OpenAI-compatible server?",
    }
}

#[cfg(test)]
mod tests {
    use ModelFailure::{Garbled, QuotaExhausted, Refused, Unauthorized, Unavailable};

    use super::*;

    #[test]
    fn each_error_is_judged_by_the_table() {
        let quota = r#"{"error":{"message":"m","type":"insufficient_quota","code":"credit_balance_exhausted"}}"#;
        let project = r#"{"error":{"message":"m","type":"x","code":"project_spend_limit_exceeded"}}"#;
        let anthropic =
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}"#;
        let rate = r#"{"error":{"message":"m","type":"requests","code":"rate_limit_exceeded"}}"#;
        let (again, never) = ((Again::Scheduled, false), (Again::Never, false));
        let uncertain = (Again::Never, true);
        // Status, whether the server says again, body, failure, whether again and whether it may have been charged.
        type Row<'a> = (u16, Option<bool>, &'a str, ModelFailure, (Again, bool));
        #[rustfmt::skip]
        let table: &[Row<'_>] = &[
            (400, None,        "{}",      Refused,        never),
            (401, None,        "{}",      Unauthorized,   never),
            (402, None,        "{}",      QuotaExhausted, never),
            (403, None,        "{}",      Unauthorized,   never),
            (404, None,        "",        Refused,        never),
            (405, None,        "",        Refused,        never),
            (408, None,        "",        Unavailable,    uncertain),
            (408, Some(true),  "",        Unavailable,    uncertain),
            (409, None,        "",        Unavailable,    again),
            (413, None,        "",        Refused,        never),
            (422, None,        "{}",      Refused,        never),
            (429, None,        rate,      Unavailable,    again),
            (429, Some(false), rate,      Unavailable,    never),
            (429, None,        quota,     QuotaExhausted, never),
            (429, Some(true),  quota,     QuotaExhausted, never),
            (403, None,        project,   QuotaExhausted, never),
            (429, None,        anthropic, QuotaExhausted, never),
            (500, None,        "<html>",  Unavailable,    again),
            (502, None,        "<html>",  Unavailable,    uncertain),
            (502, None,        quota,     QuotaExhausted, never),
            (503, None,        "",        Unavailable,    again),
            (503, Some(false), "",        Unavailable,    never),
            (504, None,        "",        Unavailable,    uncertain),
            (504, Some(true),  "{}",      Unavailable,    uncertain),
            (524, None,        "<html>",  Unavailable,    uncertain),
            (529, None,        "",        Unavailable,    again),
            (400, Some(true),  "{}",      Refused,        again),
            (301, None,        "",        Refused,        never),
            (200, None,        "{}",      Garbled,        never),
        ];
        for (status, server_says, body, failure, expected) in table {
            let found = judge(*status, *server_says, &Said::of(body.as_bytes()));
            let (again, sent) = *expected;
            assert_eq!(found, Verdict { failure: *failure, again, sent }, "{status} {server_says:?} {body}");
        }
    }

    #[test]
    fn what_a_server_says_is_quoted_short_clean_and_without_secrets() {
        let redactor = Redactor::new(["canary-key".to_owned()]);
        let long = format!("{}canary-key", "x".repeat(495));
        #[rustfmt::skip]
        let table: &[(&str, String)] = &[
            ("", String::new()),
            (r#"{"error":{"message":"Wrong key canary-key.","type":"t","code":"c"}}"#, " [t, c]: Wrong key [redacted].".to_owned()),
            (r#"{"error":"model not found"}"#, ": model not found".to_owned()),
            (r#"{"detail":"Not Found"}"#, ": Not Found".to_owned()),
            (r#"{"object":"error","message":"too long","code":40303}"#, " [40303]: too long".to_owned()),
            (r#"{"error":{"message":"m","code":null}}"#, ": m".to_owned()),
            (r#"{"oops":["canary-key"]}"#, r#": {"oops":["[redacted]"]}"#.to_owned()),
            ("<html>\r\n  <b>Bad</b>\u{1b}[31m", ": <html> <b>Bad</b> [31m".to_owned()),
            (&long, format!(": {}[reda…", "x".repeat(495))),
        ];
        for (body, expected) in table {
            assert_eq!(Said::of(body.as_bytes()).quoted(&redactor), *expected, "{body}");
        }
    }
}
