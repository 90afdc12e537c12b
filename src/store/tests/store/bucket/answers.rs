//! Objects, lists and errors, as S3's reference has them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use reeve_core::Digest;

use super::{BUCKET, Kept, Object};

/// Most keys of one list.
const PAGE: usize = 1000;

pub(super) fn of(kept: &mut Kept, parts: &Parts, key: &str, query: &BTreeMap<String, String>, body: &Bytes) -> Response {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if key.is_empty() {
        let is_list = parts.method == Method::GET && query.get("list-type").is_some_and(|kind| kind == "2");
        return if is_list { list(kept, query) } else { error(501, "NotImplemented") };
    }
    let found = kept.objects.get(key).cloned();
    let tag = found.as_ref().map(tag_of);
    let matches = |wanted: &str| tag.as_deref().is_some_and(|tag| wanted == "*" || wanted == tag);
    if let Some(wanted) = header("if-match") {
        match &found {
            None => return error(404, "NoSuchKey"),
            Some(_) if !matches(wanted) => return error(412, "PreconditionFailed"),
            Some(_) => {}
        }
    }
    if header("if-none-match").is_some_and(matches) {
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        return if reads { response(304).body(Body::empty()).unwrap() } else { error(412, "PreconditionFailed") };
    }
    match (&parts.method, found) {
        (&Method::PUT, found) => match header("x-amz-copy-source") {
            Some(source) => copy(kept, source, key, header("x-amz-metadata-directive") == Some("REPLACE")),
            None => {
                let _ = found;
                let tag = store(kept, key, body.to_vec());
                response(200).header("etag", tag).body(Body::empty()).unwrap()
            }
        },
        (&Method::DELETE, _) => {
            kept.objects.remove(key);
            response(204).body(Body::empty()).unwrap()
        }
        (&Method::HEAD, None) => response(404).body(Body::empty()).unwrap(),
        (&Method::GET, None) => error(404, "NoSuchKey"),
        (&Method::HEAD, Some(object)) => {
            described(response(200), &object).header("content-length", object.bytes.len()).body(Body::empty()).unwrap()
        }
        (&Method::GET, Some(object)) => match header("range").map(|range| range_of(range, object.bytes.len())) {
            None => described(response(200), &object).body(Body::from(object.bytes)).unwrap(),
            Some(None) => error(416, "InvalidRange"),
            Some(Some((from, to))) => {
                let range = format!("bytes {from}-{}/{}", to - 1, object.bytes.len());
                let part = object.bytes[from..to].to_vec();
                described(response(206), &object).header("content-range", range).body(Body::from(part)).unwrap()
            }
        },
        _ => error(405, "MethodNotAllowed"),
    }
}

fn response(status: u16) -> axum::http::response::Builder {
    Response::builder().status(status).header("x-amz-request-id", "0A49CE4060975EAC")
}

fn described(builder: axum::http::response::Builder, object: &Object) -> axum::http::response::Builder {
    let modified = stamp(object.modified).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    builder.header("etag", tag_of(object)).header("last-modified", modified).header("content-type", "binary/octet-stream")
}

fn stamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap()
}

/// The same for the same bytes, as S3's is.
fn tag_of(object: &Object) -> String {
    format!("\"{}\"", &Digest::of(&object.bytes).hex()[..32])
}

fn store(kept: &mut Kept, key: &str, bytes: Vec<u8>) -> String {
    let object = Object { bytes, modified: SystemTime::now() - kept.behind };
    let tag = tag_of(&object);
    kept.objects.insert(key.to_owned(), object);
    tag
}

fn copy(kept: &mut Kept, source: &str, key: &str, replaces: bool) -> Response {
    let source = super::signature::decoded(source.trim_start_matches('/'), false);
    let Some((BUCKET, from)) = source.split_once('/') else { return error(404, "NoSuchBucket") };
    let Some(object) = kept.objects.get(from).cloned() else { return error(404, "NoSuchKey") };
    if from == key && !replaces {
        // It would change nothing, and S3 does not do that.
        return error(400, "InvalidRequest");
    }
    let tag = store(kept, key, object.bytes);
    xml(200, format!("<CopyObjectResult><ETag>{}</ETag></CopyObjectResult>", escaped(&tag)))
}

/// `bytes=FROM-TO` or `bytes=FROM-`, and where the range ends.
fn range_of(range: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let from: usize = from.parse().ok()?;
    let to = if to.is_empty() { length } else { to.parse::<usize>().ok()?.saturating_add(1).min(length) };
    (from < to).then_some((from, to))
}

fn list(kept: &Kept, query: &BTreeMap<String, String>) -> Response {
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let after = text("continuation-token").max(text("start-after"));
    let most = text("max-keys").parse().unwrap_or(PAGE).min(if kept.page == 0 { PAGE } else { kept.page });
    let (mut contents, mut prefixes, mut last, mut is_cut) = (String::new(), Vec::<String>::new(), String::new(), false);
    let mut given = 0;
    for (key, object) in kept.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix)) {
        if key.as_str() <= after || (!last.is_empty() && !delimiter.is_empty() && last.ends_with(delimiter) && key.starts_with(&last)) {
            continue;
        }
        if given == most {
            is_cut = true;
            break;
        }
        given += 1;
        match key[prefix.len()..].find(delimiter).filter(|_| !delimiter.is_empty()) {
            Some(at) => {
                last = key[..prefix.len() + at + delimiter.len()].to_owned();
                prefixes.push(last.clone());
            }
            None => {
                last.clone_from(key);
                let modified = stamp(object.modified).strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
                contents += &format!(
                    "<Contents><Key>{}</Key><LastModified>{modified}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                    escaped(key),
                    escaped(&tag_of(object)),
                    object.bytes.len()
                );
            }
        }
    }
    let common: String =
        prefixes.iter().map(|prefix| format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(prefix))).collect();
    let next = if is_cut { format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&last)) } else { String::new() };
    xml(
        200,
        format!(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{BUCKET}</Name><Prefix>{}</Prefix>\
             <KeyCount>{given}</KeyCount><MaxKeys>{most}</MaxKeys><IsTruncated>{is_cut}</IsTruncated>{next}{contents}{common}</ListBucketResult>",
            escaped(prefix)
        ),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// An error that quotes more than it should, as that of a wrong signature does.
pub(super) fn error(status: u16, code: &str) -> Response {
    let quoted = format!("<StringToSign>x-amz-security-token:{}</StringToSign>", super::SECRET);
    xml(status, format!("<Error><Code>{code}</Code><Message>The simulation says {code}.</Message>{quoted}</Error>"))
}

fn xml(status: u16, body: String) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
    response(status).header("content-type", "application/xml").body(Body::from(body)).unwrap()
}

/// As many bytes are announced, and half of them come.
pub(super) async fn cut(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap();
    parts.headers.insert("content-length", whole.len().into());
    let half = whole.slice(..whole.len() / 2);
    let pieces = futures::stream::iter([Ok(half), Err(std::io::Error::other("the simulation cuts it here"))]);
    Response::from_parts(parts, Body::from_stream(pieces))
}

pub(super) async fn wrong(answer: Response) -> Response {
    let (parts, body) = answer.into_parts();
    let mut whole = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    if let Some(first) = whole.first_mut() {
        *first ^= 1;
    }
    assert_ne!(parts.status, StatusCode::NOT_FOUND, "there is nothing to make wrong");
    Response::from_parts(parts, Body::from(whole))
}
