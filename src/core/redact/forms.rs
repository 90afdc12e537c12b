//! The forms in which programs write a value.
//!
//! What else can be done to a value (compressed, encrypted, spelled out, cut in two, wrapped to lines) no list of forms holds; who must not know
//! a value must not be given it. These are the ones that tools and servers come by without meaning to.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The value itself; as it stands in JSON; percent-encoded (RFC 3986), as a form and as `encodeURIComponent` have it; in hex; and what base64
/// makes of it (RFC 4648, both alphabets) wherever it begins in what is encoded.
pub(super) fn of(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned(), json(value), hex(value, false), hex(value, true)];
    for unreserved in ["-._~", "-_.!~*'()", "*-._"] {
        for upper in [false, true] {
            let percent = percent(value, unreserved, upper);
            forms.push(percent.replace("%20", "+"));
            forms.push(percent);
        }
    }
    for begins in 0..3 {
        forms.extend(within_base64(value, begins));
    }
    forms
}

/// As a JSON string has it, and what `{:?}` prints of most texts.
fn json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(value).to_owned()
}

fn digit(half: u8, upper: bool) -> char {
    let digit = char::from_digit(u32::from(half), 16).unwrap_or_default();
    if upper { digit.to_ascii_uppercase() } else { digit }
}

fn hex(value: &str, upper: bool) -> String {
    value.bytes().flat_map(|byte| [digit(byte >> 4, upper), digit(byte & 15, upper)]).collect()
}

fn percent(value: &str, unreserved: &str, upper: bool) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        let character = char::from(byte);
        if byte.is_ascii_alphanumeric() || unreserved.contains(character) {
            encoded.push(character);
        } else {
            encoded.extend(['%', digit(byte >> 4, upper), digit(byte & 15, upper)]);
        }
    }
    encoded
}

/// The characters that depend on nothing but the value, where it begins at byte `begins` of a group of three.
fn within_base64(value: &str, begins: usize) -> [String; 2] {
    let bytes = [&[0; 2][..begins], value.as_bytes()].concat();
    // A character stands for six bits: the first whole one of the value's, and the last.
    let (first, last) = ((8 * begins).div_ceil(6), 8 * bytes.len() / 6);
    let cut = |encoded: String| encoded.get(first..last).unwrap_or_default().to_owned();
    [cut(STANDARD_NO_PAD.encode(&bytes)), cut(URL_SAFE_NO_PAD.encode(&bytes))]
}
