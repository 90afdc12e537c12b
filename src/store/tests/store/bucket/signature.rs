//! Signature Version 4 in the `Authorization` header, checked.
//!
//! https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::{REGION, SECRET};

/// Most seconds between the clocks.
const MAX_SKEW_S: i64 = 15 * 60;

/// Access key of who asks; status and code where the request is not theirs, or not what they signed.
pub(super) fn check(parts: &Parts, body: &Bytes) -> Result<String, (u16, &'static str)> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fields = header("authorization").strip_prefix("AWS4-HMAC-SHA256 ").ok_or((403, "AccessDenied"))?;
    let field = |name: &str| fields.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    let credential: Vec<&str> = field("Credential").split('/').collect();
    let [user, day, region, "s3", "aws4_request"] = credential.as_slice() else { return Err((400, "AuthorizationHeaderMalformed")) };
    if *region != REGION {
        return Err((400, "AuthorizationHeaderMalformed"));
    }
    if *user == "nobody" {
        return Err((403, "InvalidAccessKeyId"));
    }
    let at = header("x-amz-date");
    let signed_at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", at).and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC));
    let now = i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    if !signed_at.is_ok_and(|at| (at.timestamp().as_second() - now).abs() < MAX_SKEW_S) || !at.starts_with(day) {
        return Err((403, "RequestTimeTooSkewed"));
    }
    let hash = header("x-amz-content-sha256");
    if hash != hex(&Sha256::digest(body)) {
        return Err((400, "XAmzContentSHA256Mismatch"));
    }
    let names = field("SignedHeaders");
    let must = ["host", "x-amz-content-sha256", "x-amz-date"];
    if !must.iter().all(|name| names.split(';').any(|signed| signed == *name)) {
        return Err((403, "AccessDenied"));
    }
    let headers: String = names.split(';').map(|name| format!("{name}:{}\n", header(name).trim())).collect();
    let path = encoded(&decoded(parts.uri.path(), false), true);
    let query: Vec<String> = query(parts.uri.query().unwrap_or_default())
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name, false), encoded(value, false)))
        .collect();
    let canonical = format!("{}\n{path}\n{}\n{headers}\n{names}\n{hash}", parts.method, query.join("&"));
    let scope = format!("{day}/{region}/s3/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = [*day, *region, "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
    if hex(&hmac(&key, to_sign.as_bytes())) == field("Signature") { Ok((*user).to_owned()) } else { Err((403, "SignatureDoesNotMatch")) }
}

/// HMAC-SHA-256, RFC 2104.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key))
    } else {
        block[..key.len()].copy_from_slice(key)
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Parameters by name.
pub(super) fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decoded(name, true), decoded(value, true))).collect()
}

/// Without its `%XX`, and in a query without its `+`.
pub(super) fn decoded(text: &str, in_query: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' if after.len() >= 2 => {
                let digits = std::str::from_utf8(&after[..2]).unwrap_or("00");
                bytes.push(u8::from_str_radix(digits, 16).unwrap_or(0));
                rest = &after[2..];
            }
            b'+' if in_query => bytes.push(b' '),
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encoded(text: &str, keeps_slashes: bool) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        b'/' if keeps_slashes => "/".to_owned(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}
