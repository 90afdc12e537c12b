//! Label and field selectors.

use serde_json::Value;

/// What a list or watch is narrowed to. Empty selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelTerm {
    key: String,
    is: LabelIs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LabelIs {
    In(Vec<String>),
    NotIn(Vec<String>),
    There,
    Absent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTerm {
    path: String,
    value: String,
    equal: bool,
}

impl Selector {
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Reads both selectors of a query.
    ///
    /// # Errors
    /// The server's words for what cannot be read or what the kind cannot be selected by.
    pub(crate) fn parse(labels: &str, fields: &str, selectable: &[String], custom: bool) -> Result<Selector, String> {
        let mut selector = Selector::default();
        for term in split_terms(labels) {
            let term = label_term(term).ok_or_else(|| format!("unable to parse requirement: {term}"))?;
            selector.labels.push(term);
        }
        for term in fields.split(',').map(str::trim).filter(|term| !term.is_empty()) {
            let term = field_term(term).ok_or_else(|| format!("invalid selector: '{term}'; can't understand '{term}'"))?;
            let known = matches!(term.path.as_str(), "metadata.name" | "metadata.namespace") || selectable.contains(&term.path);
            if !known && selectable.is_empty() && !custom {
                let only = "only \"metadata.name\", \"metadata.namespace\"";
                return Err(format!("{:?} is not a known field selector: {only}", term.path));
            }
            if !known {
                return Err(format!("field label not supported: {}", term.path));
            }
            selector.fields.push(term);
        }
        Ok(selector)
    }

    /// Reads a `metav1.LabelSelector`; an absent one selects all.
    pub(crate) fn of_labels(selector: &Value) -> Selector {
        let mut labels = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            labels.push(LabelTerm { key: key.clone(), is: LabelIs::In(vec![value]) });
        }
        for term in selector["matchExpressions"].as_array().into_iter().flatten() {
            let values = term["values"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            let is = match term["operator"].as_str().unwrap_or_default() {
                "In" => LabelIs::In(values),
                "NotIn" => LabelIs::NotIn(values),
                "Exists" => LabelIs::There,
                "DoesNotExist" => LabelIs::Absent,
                // Unknown to the server, which would not have taken it; selects nothing.
                _ => LabelIs::In(Vec::new()),
            };
            labels.push(LabelTerm { key: term["key"].as_str().unwrap_or_default().to_owned(), is });
        }
        Selector { labels, fields: Vec::new() }
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|term| term.matches(labels[&term.key].as_str())) && self.fields.iter().all(|term| term.matches(object))
    }
}

impl LabelTerm {
    fn matches(&self, found: Option<&str>) -> bool {
        match (&self.is, found) {
            (LabelIs::In(wanted), Some(found)) => wanted.iter().any(|value| value == found),
            (LabelIs::In(_), None) | (LabelIs::There, None) | (LabelIs::Absent, Some(_)) => false,
            (LabelIs::NotIn(unwanted), Some(found)) => unwanted.iter().all(|value| value != found),
            (LabelIs::NotIn(_), None) | (LabelIs::Absent, None) | (LabelIs::There, Some(_)) => true,
        }
    }
}

impl FieldTerm {
    fn matches(&self, object: &Value) -> bool {
        let found = match at_path(object, &self.path) {
            None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(found @ (Value::Bool(_) | Value::Number(_))) => found.to_string(),
        };
        (found == self.value) == self.equal
    }
}

/// The value at a path like `spec.goalRef.name`.
pub(crate) fn at_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |at, step| at.get(step))
}

/// Splits at commas that are not inside the brackets of `in (...)`.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut from, mut deep) = (0, false);
    for (at, character) in text.char_indices() {
        match character {
            '(' => deep = true,
            ')' => deep = false,
            ',' if !deep => {
                terms.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[from..]);
    terms.into_iter().map(str::trim).filter(|term| !term.is_empty()).collect()
}

fn label_term(term: &str) -> Option<LabelTerm> {
    let one = |key: &str, is| {
        let key = key.trim();
        let name = key.rsplit('/').next().unwrap_or_default();
        let legal = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        legal.then(|| LabelTerm { key: key.to_owned(), is })
    };
    if let Some((key, value)) = term.split_once("!=") {
        return one(key, LabelIs::NotIn(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = term.split_once('=') {
        return one(key, LabelIs::In(vec![value.trim_start_matches('=').trim().to_owned()]));
    }
    if let Some((left, right)) = term.split_once('(') {
        let values: Vec<String> = right.strip_suffix(')')?.split(',').map(|value| value.trim().to_owned()).collect();
        let left = left.trim();
        if let Some(key) = left.strip_suffix(" notin") {
            return one(key, LabelIs::NotIn(values));
        }
        return one(left.strip_suffix(" in")?, LabelIs::In(values));
    }
    match term.strip_prefix('!') {
        Some(key) => one(key, LabelIs::Absent),
        None => one(term, LabelIs::There),
    }
}

fn field_term(term: &str) -> Option<FieldTerm> {
    let term_of = |(path, value): (&str, &str), equal| FieldTerm { path: path.to_owned(), value: value.to_owned(), equal };
    if let Some(pair) = term.split_once("!=") {
        return Some(term_of(pair, false));
    }
    let pair = term.split_once("==").or_else(|| term.split_once('='))?;
    Some(term_of(pair, true))
}
