//! Whether a text is JSON in its RFC 8785 form, told by reading it once: what is hashed must have one form only.

use std::cmp::Ordering;

/// Values inside values that are read; deeper ones are refused, so that a text cannot use up the stack.
const MAX_DEPTH: u32 = 128;

/// Whether `text` is one JSON value, in exactly the form that RFC 8785 gives it: no blank, keys in order of their UTF-16 units and none
/// twice, strings with the shortest escapes, numbers as ECMAScript prints them.
pub fn is_canonical(text: &str) -> bool {
    let mut reader = Reader { bytes: text.as_bytes(), text, at: 0 };
    reader.value(0).is_some() && reader.at == text.len()
}

struct Reader<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
}

/// A key as it stands between its quotes.
#[derive(Clone, Copy)]
struct Key<'a> {
    raw: &'a str,
    /// Of ASCII without escapes, whose bytes are in the order of their UTF-16 units.
    plain: bool,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: u32) -> Option<()> {
        self.eat(b'{')?;
        if self.eat(b'}').is_some() {
            return Some(());
        }
        let mut before: Option<Key<'a>> = None;
        loop {
            let key = self.string()?;
            if before.is_some_and(|before| order(before, key) != Ordering::Less) {
                return None;
            }
            before = Some(key);
            self.eat(b':')?;
            self.value(depth + 1)?;
            if self.eat(b',').is_none() {
                return self.eat(b'}');
            }
        }
    }

    fn array(&mut self, depth: u32) -> Option<()> {
        self.eat(b'[')?;
        if self.eat(b']').is_some() {
            return Some(());
        }
        loop {
            self.value(depth + 1)?;
            if self.eat(b',').is_none() {
                return self.eat(b']');
            }
        }
    }

    fn string(&mut self) -> Option<Key<'a>> {
        self.eat(b'"')?;
        let (start, mut plain) = (self.at, true);
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    plain = false;
                    self.escape()?;
                }
                // A control character must be escaped.
                0..=0x1f => return None,
                other => {
                    plain &= other.is_ascii();
                    self.at += 1;
                }
            }
        }
        let raw = self.text.get(start..self.at)?;
        self.at += 1;
        Some(Key { raw, plain })
    }

    /// Two letters where there are two, else `\u00` and two lower-case digits; nothing else is escaped.
    fn escape(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        match rest.get(1)? {
            b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let digits = rest.get(2..6)?;
                let lower = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
                let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
                if !lower || code > 0x1f || matches!(code, 0x08 | 0x09 | 0x0a | 0x0c | 0x0d) {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let length = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
        let token = self.text.get(self.at..self.at + length)?;
        self.at += length;
        let digits = token.strip_prefix('-').unwrap_or(token);
        // Up to 15 digits a whole number is printed as it is.
        let whole = !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole {
            return (!digits.starts_with('0') || token == "0").then_some(());
        }
        let value: serde_json::Value = serde_json::from_str(token).ok().filter(serde_json::Value::is_number)?;
        (serde_json_canonicalizer::to_string(&value).ok()? == token).then_some(())
    }
}

fn order(left: Key<'_>, right: Key<'_>) -> Ordering {
    if left.plain && right.plain {
        return left.raw.cmp(right.raw);
    }
    // Escapes were read, so this cannot fail; where it did, the keys would count as equal, which is refused.
    let text = |key: Key<'_>| serde_json::from_str::<String>(&format!("\"{}\"", key.raw)).unwrap_or_default();
    text(left).encode_utf16().cmp(text(right).encode_utf16())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_canonical_form_is_told_from_every_other() {
        let good = [
            "null",
            "true",
            "false",
            "0",
            "-1",
            "123456789012345",
            "\"\"",
            "[]",
            "{}",
            "[1,2]",
            r#"{"a":1,"b":[null,{}]}"#,
            r#""\b\t\n\f\r\"\\\u000f\u001f""#,
            "\"é€😀\u{7f}\"",
            r#"{"":0,"A":1,"a":2}"#,
            "1e+21",
            "0.5",
            "333333333.3333333",
            "9007199254740992",
            // RFC 8785, 3.2.3: by UTF-16 units a surrogate comes before U+FB33.
            "{\"\\r\":1,\"1\":2,\"\u{80}\":3,\"ö\":4,\"€\":5,\"😀\":6,\"\u{fb33}\":7}",
        ];
        for text in good {
            assert!(is_canonical(text), "{text}");
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), text);
        }
        let bad = [
            "",
            " null",
            "null ",
            "nul",
            "tru e",
            "01",
            "-0",
            "+1",
            "1.0",
            "1e3",
            "1E+21",
            "-",
            "1.",
            "[1, 2]",
            "[1,]",
            "[",
            "{",
            "{\"a\"}",
            r#"{"a": 1}"#,
            r#"{"b":1,"a":2}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,}"#,
            r#""\/""#,
            r#""\u0041""#,
            r#""\u000A""#,
            r#""\u000a""#,
            r#""\u001F""#,
            r#""\ud83d\ude00""#,
            r#""\x""#,
            "\"\n\"",
            "\"",
            "{}{}",
            "9007199254740993",
            "NaN",
            "{\"\u{fb33}\":7,\"😀\":6}",
            r#"{"a":1,"\u0061":2}"#,
        ];
        for text in bad {
            assert!(!is_canonical(text), "{text}");
        }
        assert!(!is_canonical(&"[".repeat(100_000)));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_the_canonicaliser_writes_is_canonical_and_nothing_else_is(value in values()) {
            let text = serde_json_canonicalizer::to_string(&value).unwrap();
            prop_assert!(is_canonical(&text), "{text}");
            let other = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(is_canonical(&other), other == text);
            let compact = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(is_canonical(&compact), compact == text);
        }
    }
}
