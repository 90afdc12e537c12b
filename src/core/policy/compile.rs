//! From a text to a set that can judge.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ValidationMode, Validator};
use miette::Diagnostic;

use super::schema::{Vocabulary, vocabulary};
use crate::class::Class;
use crate::limits::{
    MAX_POLICY_BYTES, MAX_POLICY_COMPLAINT_CHARS, MAX_POLICY_DEPTH, MAX_POLICY_OPERATORS, MAX_POLICY_REASON_CHARS, POLICY_STACK_BYTES,
};
use crate::tool::ToolName;

/// Problems that are listed; the rest is counted.
const LISTED: usize = 5;

/// Why a text is no policy set. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyInvalid {
    /// The schema that is part of Reeve does not read: a bug.
    #[error("the schema in this program does not read: {0}")]
    Schema(String),
    /// Too long or too deep to be parsed.
    #[error("{0}")]
    Size(String),
    /// Not Cedar.
    #[error("this is not Cedar: {0}")]
    Syntax(String),
    /// An annotation is missing or cannot be used, a template, an unknown tool.
    #[error("{0}")]
    Rules(String),
    /// Cedar that does not fit the schema, or that can never apply.
    #[error("strict validation against policies/reeve.cedarschema failed: {0}")]
    Strict(String),
    /// The default set's golden cases do not read: a bug.
    #[error("the golden cases in this program do not read: {0}")]
    Cases(String),
}

impl PolicyInvalid {
    /// What kind of trouble it is.
    pub const fn class(&self) -> Class {
        match self {
            PolicyInvalid::Schema(_) | PolicyInvalid::Cases(_) => Class::Bug,
            PolicyInvalid::Size(_) | PolicyInvalid::Syntax(_) | PolicyInvalid::Rules(_) | PolicyInvalid::Strict(_) => Class::Invalid,
        }
    }
}

/// A policy set that parsed, passed strict validation and whose policies each have a name. Judging with it parses nothing.
#[derive(Debug)]
pub struct CompiledSet {
    pub(super) policies: PolicySet,
    /// What is said of each policy, by its id.
    pub(super) notes: BTreeMap<String, Note>,
}

/// What is known of one policy.
#[derive(Debug)]
pub(super) struct Note {
    /// Its `@reason`.
    pub(super) reason: Option<String>,
    /// Whether it permits.
    pub(super) permits: bool,
    /// Tools that it names.
    pub(super) tools: BTreeSet<ToolName>,
}

impl CompiledSet {
    /// Reads a set. Each policy needs an `@id` of its own (a DNS label: it is journaled); an `@reason` is what a denied model reads.
    ///
    /// # Errors
    /// [`PolicyInvalid`] when the text is too long or nested too deeply, is not Cedar, holds a template, names a tool that does not exist,
    /// lacks an id, does not pass Cedar's strict validation, or draws one of its warnings (a policy that can never apply, characters that
    /// look like others or change the direction of text).
    pub fn parse(text: &str) -> Result<CompiledSet, PolicyInvalid> {
        within_bounds(text)?;
        with_deep_stack(|| CompiledSet::read(text))
    }

    fn read(text: &str) -> Result<CompiledSet, PolicyInvalid> {
        let vocabulary = vocabulary()?;
        let parsed =
            PolicySet::from_str(text).map_err(|errors| PolicyInvalid::Syntax(listed(errors.iter().map(|e| complaint(text, e)))))?;
        let (named, notes) = named(text, &parsed, vocabulary)?;
        let policies = PolicySet::from_policies(named).map_err(|error| PolicyInvalid::Rules(error.to_string()))?;
        let validation = Validator::new(vocabulary.schema.clone()).validate(&policies, ValidationMode::Strict);
        if !validation.validation_passed_without_warnings() {
            let errors = validation.validation_errors().map(|error| complaint(text, error));
            let warnings = validation.validation_warnings().map(|warning| complaint(text, warning));
            return Err(PolicyInvalid::Strict(listed(errors.chain(warnings))));
        }
        Ok(CompiledSet { policies, notes })
    }

    /// Policies in it.
    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// Whether it holds none, and so allows nothing.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }
}

/// The policies under their own ids, and what is said of each.
fn named(text: &str, parsed: &PolicySet, vocabulary: &Vocabulary) -> Result<(Vec<Policy>, BTreeMap<String, Note>), PolicyInvalid> {
    if let Some(template) = parsed.templates().next() {
        return Err(PolicyInvalid::Rules(format!("expected policies without slots, found the template {template}")));
    }
    let mut problems = Vec::new();
    let mut policies = Vec::new();
    let mut notes = BTreeMap::new();
    for policy in parsed.policies() {
        match note(policy, vocabulary) {
            Ok((id, _)) if notes.contains_key(&id) => {
                problems.push((line_of_id(text, &id), format!("expected each @id once, found {id:?} twice")));
            }
            Ok((id, note)) => {
                policies.push(policy.new_id(PolicyId::new(&id)));
                notes.insert(id, note);
            }
            Err(problem) => problems.push((line_of_policy(text, policy), problem)),
        }
    }
    problems.sort();
    if problems.is_empty() { Ok((policies, notes)) } else { Err(PolicyInvalid::Rules(listed(problems.into_iter()))) }
}

fn note(policy: &Policy, vocabulary: &Vocabulary) -> Result<(String, Note), String> {
    let id = policy.annotation("id").ok_or("expected @id(\"...\") before each policy, found none")?;
    if !is_label(id) {
        return Err(format!("expected an @id of 1 to 63 characters of a-z, 0-9 and -, found {:?}", shortened(id, 80)));
    }
    let reason = policy.annotation("reason");
    if let Some(reason) = reason {
        let length = reason.chars().count();
        if length == 0 || length > MAX_POLICY_REASON_CHARS || reason.chars().any(char::is_control) {
            return Err(format!("expected an @reason of 1 to {MAX_POLICY_REASON_CHARS} characters on one line, found {length} at {id:?}"));
        }
    }
    let mut tools = BTreeSet::new();
    for literal in policy.entity_literals().iter().filter(|literal| *literal.type_name() == vocabulary.tool) {
        let name = literal.id().unescaped();
        tools.insert(ToolName::parse(name).ok_or_else(|| {
            let known: Vec<&str> = ToolName::ALL.iter().map(|tool| tool.as_str()).collect();
            format!("expected a tool of {}, found {:?} at {id:?}", known.join(" "), shortened(name, 80))
        })?);
    }
    Ok((id.to_owned(), Note { reason: reason.map(str::to_owned), permits: policy.effect() == Effect::Permit, tools }))
}

fn is_label(id: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=63).contains(&id.len()) && id.bytes().all(inner) && !id.starts_with('-') && !id.ends_with('-')
}

/// Runs on a stack that the bounds below fit many times over. Cedar's parser recurses without looking; its type checker and evaluator
/// look, and give up: the one then passes a policy that it has not checked, the other fails a policy that another thread would evaluate.
pub(super) fn with_deep_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::grow(POLICY_STACK_BYTES, work)
}

/// Refuses what nests too deeply for Cedar's recursion: brackets, prefix operators, conditionals, chains of operators.
fn within_bounds(text: &str) -> Result<(), PolicyInvalid> {
    if text.len() > MAX_POLICY_BYTES {
        return Err(PolicyInvalid::Size(format!("expected at most {MAX_POLICY_BYTES} bytes of Cedar, found {}", text.len())));
    }
    let mut seen = Nesting::default();
    let mut line = 1usize;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        seen.take(c);
        match c {
            '\n' => line += 1,
            '"' => line += skip_string(&mut rest),
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|c| *c != '\n').is_some() {},
            _ => {}
        }
        if let Some(what) = seen.excess() {
            return Err(PolicyInvalid::Size(format!("line {line}: expected {what} in one policy; split it")));
        }
    }
    Ok(())
}

/// How deep the policy that is being read nests, from above.
#[derive(Default)]
struct Nesting {
    brackets: usize,
    /// Prefix operators in a row.
    prefixes: usize,
    conditionals: usize,
    /// Operators, member accesses and clauses: a chain nests as deep as it is long.
    operators: usize,
    word: String,
    in_operator: bool,
}

impl Nesting {
    fn take(&mut self, c: char) {
        if c.is_alphanumeric() || c == '_' {
            self.word.push(c);
        } else {
            self.conditionals += usize::from(self.word == "if");
            self.operators += usize::from(["has", "in", "like", "is", "when", "unless"].contains(&self.word.as_str()));
            self.word.clear();
        }
        let operator = matches!(c, '.' | '+' | '-' | '*' | '<' | '>' | '=' | '!' | '&' | '|' | '[');
        self.operators += usize::from(operator && !self.in_operator);
        self.in_operator = operator;
        match c {
            '(' | '[' | '{' => self.brackets += 1,
            ')' | ']' | '}' => self.brackets = self.brackets.saturating_sub(1),
            ';' => *self = Nesting::default(),
            _ => {}
        }
        match c {
            '!' | '-' => self.prefixes += 1,
            c if c.is_whitespace() => {}
            _ => self.prefixes = 0,
        }
    }

    fn excess(&self) -> Option<String> {
        if self.brackets.max(self.prefixes).max(self.conditionals) > MAX_POLICY_DEPTH {
            Some(format!("brackets, prefix operators and `if` at most {MAX_POLICY_DEPTH} deep"))
        } else if self.operators > MAX_POLICY_OPERATORS {
            Some(format!("at most {MAX_POLICY_OPERATORS} operators"))
        } else {
            None
        }
    }
}

/// Skips to the end of a string literal; the lines in it.
fn skip_string(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> usize {
    let mut lines = 0;
    while let Some(c) = rest.next() {
        match c {
            '\n' => lines += 1,
            '\\' => lines += usize::from(rest.next() == Some('\n')),
            '"' => break,
            _ => {}
        }
    }
    lines
}

/// What Cedar says of a place in `text`, with the line.
fn complaint(text: &str, diagnostic: &dyn Diagnostic) -> (Option<usize>, String) {
    let place = diagnostic.labels().and_then(|mut labels| labels.next());
    let mut says = diagnostic.to_string();
    if let Some(label) = place.as_ref().and_then(|place| place.label()) {
        says = format!("{says}: {label}");
    }
    if let Some(help) = diagnostic.help() {
        says = format!("{says} ({help})");
    }
    (place.map(|place| line_at(text, place.offset())), says)
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn line_of_policy(text: &str, policy: &Policy) -> Option<usize> {
    let source = policy.to_cedar()?;
    text.find(source.trim()).map(|offset| line_at(text, offset))
}

/// The line of the last `@id` of this name.
fn line_of_id(text: &str, id: &str) -> Option<usize> {
    text.rfind(&format!("@id({id:?})")).map(|offset| line_at(text, offset))
}

/// The first problems by line, bounded.
fn listed(problems: impl Iterator<Item = (Option<usize>, String)>) -> String {
    let mut problems: Vec<(Option<usize>, String)> = problems.collect();
    problems.sort();
    let more = problems.len().saturating_sub(LISTED);
    let mut lines: Vec<String> = problems
        .into_iter()
        .take(LISTED)
        .map(|(line, says)| {
            let says = shortened(&says, MAX_POLICY_COMPLAINT_CHARS / (LISTED + 1));
            line.map_or_else(|| says.clone(), |line| format!("line {line}: {says}"))
        })
        .collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

/// `text`, or its first `max` characters and a sign that there is more.
pub(super) fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
