//! What a store says instead of doing what it was asked, in words for people.
//!
//! Of an answer only its status and its `<Code>` are repeated: an error's body may quote the request, with a session token in it.

use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

use crate::StoreError;

/// Why there is no answer.
pub(super) enum Miss {
    /// There is no such key.
    Absent,
    Failed(StoreError),
}

pub(super) fn miss(place: &str, doing: &'static str, error: &object_store::Error) -> Miss {
    let absent = matches!(error, object_store::Error::NotFound { .. });
    if absent && code_of(&error.to_string()) != Some("NoSuchBucket") {
        return Miss::Absent;
    }
    Miss::Failed(StoreError::Unavailable { doing, why: format!("{place}: {}", said(error)) })
}

/// Whether the store has answered that it did not do it: then it will not do it later either.
pub(super) fn is_refused(error: &object_store::Error) -> bool {
    status_of(&error.to_string()).is_some_and(|status| (400..500).contains(&status) && status != 408)
}

/// What was answered, and what to do.
pub(super) fn said(error: &object_store::Error) -> String {
    let text = error.to_string();
    if let Some(status) = status_of(&text) {
        let code = code_of(&text);
        let named = code.map_or_else(String::new, |code| format!(" {code}"));
        return format!("it answered {status}{named}: {}", advice(status, code.unwrap_or_default()));
    }
    if text.contains("Received redirect without LOCATION") {
        return format!("it answered a redirect: {REGION}");
    }
    if let Some(error) = cause::<HttpError>(error) {
        let last = last_cause(error);
        return if error.kind() == HttpErrorKind::Timeout {
            "it did not answer in time: look at the network and at the endpoint".to_owned()
        } else if error.kind() == HttpErrorKind::Connect {
            format!("no connection ({last}): look at the network and at the endpoint")
        } else {
            format!("the connection failed ({last})")
        };
    }
    match cause::<std::io::Error>(error) {
        Some(error) => error.to_string(),
        None => "what was answered is not of S3's protocol: is the endpoint that of its API?".to_owned(),
    }
}

const REGION: &str = "the bucket is in another region: give it with --artifacts-region";

/// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
fn advice(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "InvalidSecurity") => {
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not keys that it knows: mend the Secret that they come from"
        }
        (_, "ExpiredToken") => "the session token has expired: give keys that last",
        (_, "RequestTimeTooSkewed") => "the clocks of this machine and of the store differ by too much: set this one",
        (_, "NoSuchBucket") => "there is no such bucket: make it, or mend its name",
        (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") | (301 | 307, _) => REGION,
        (401 | 403, _) => {
            "the keys may not do that: allow s3:GetObject, s3:PutObject and s3:DeleteObject on what is in the bucket, and s3:ListBucket on it"
        }
        (429 | 503, _) => "it has too much to do; this is tried again",
        (500.., _) => "it failed; this is tried again",
        _ => "it refused the request: does it speak S3's protocol as AWS does?",
    }
}

/// The status of the answer, as the client words it.
fn status_of(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// The `<Code>` of an error's body.
fn code_of(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}

fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref::<T>())
}

fn last_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The error, what caused it, what caused that, and so on.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}
