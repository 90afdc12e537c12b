//! Typed literals of mutation expressions, `JSONPatch{op: ...}` and `Object.spec.votes{}`, written as maps: the CEL library has no types.

/// The expression with each typed literal as a map literal.
pub(super) fn as_maps(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len());
    let mut rest = expression;
    // For each open brace, whether names before colons in it are fields.
    let mut typed = Vec::new();
    while let Some(first) = rest.chars().next() {
        let taken = if matches!(first, '\'' | '"') {
            let end = quoted(rest, first);
            out.push_str(&rest[..end]);
            end
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == '.')).unwrap_or(rest.len());
            word(&rest[..end], rest[end..].trim_start(), &mut typed, &mut out)
        } else {
            match first {
                '{' => typed.push(false),
                '}' => {
                    typed.pop();
                }
                _ => {}
            }
            out.push(first);
            first.len_utf8()
        };
        rest = &rest[taken..];
        // A typed literal's brace comes right after its name.
        if typed.last() == Some(&true) && out.ends_with(OPENED) {
            out.truncate(out.len() - OPENED.len());
            out.push('{');
            rest = rest.trim_start().strip_prefix('{').unwrap_or(rest);
        }
    }
    out
}

/// Stands for a brace that is read already; no text of CEL has it.
const OPENED: &str = "\u{0}";

fn word(word: &str, after: &str, typed: &mut Vec<bool>, out: &mut String) -> usize {
    let names_a_type = word == "JSONPatch" || word == "Object" || word.starts_with("Object.");
    if names_a_type && after.starts_with('{') {
        typed.push(true);
        out.push_str(OPENED);
    } else if typed.last() == Some(&true) && after.starts_with(':') {
        out.push_str(&format!("\"{word}\""));
    } else {
        out.push_str(word);
    }
    word.len()
}

/// Bytes of the quoted text that `text` begins with.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return at + letter.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::as_maps;

    #[test]
    fn typed_literals_become_maps_and_texts_stay() {
        let patch = r#"[JSONPatch{op: "add", path: "/a{b: c}", value: dyn({"v": x})}, JSONPatch{op: 'remove', path: p}]"#;
        let maps = r#"[{"op": "add", "path": "/a{b: c}", "value": dyn({"v": x})}, {"op": 'remove', "path": p}]"#;
        assert_eq!(as_maps(patch), maps);
        assert_eq!(as_maps("has(object.spec) ? Object.spec.votes{} : {}"), "has(object.spec) ? {} : {}");
    }
}
