//! A world as a text: what people do, what goes wrong, and what must come of it.
//!
//! One step a line; what is indented under a line belongs to it. `#` begins a comment.
//!
//! ```text
//! signed                                # the journal is, as a real operator's; first, if at all, and so is the next
//! watches team                          # the namespaces of the operator's flag, apart by spaces; without: all of them
//! seed 7                                # decides all order and delay, in place of the number that a lane gives
//! model                                 # answers by lane: a run's task, or its role in lower case
//!   coder:
//!   - toolCalls: [{name: finish, arguments: {summary: Done.}}]
//! run r1                                # a coder's AgentRun; what is indented goes into its spec
//! fork r1 as r2 after checkpoint 1      # goes on from the first row of that kind in the journal of the newest run r1
//! goal g1                               # a Goal, likewise
//! apply                                 # objects, as `kubectl apply -f -` takes them
//!   apiVersion: reeve.dev/v1alpha1
//!   ...
//! until run/r1 Succeeded within 5m      # or reason=Completed, or absent
//! tick 30s
//! patch run/r1 {"spec": {"suspended": true}}
//! delete run/r1
//! approve approval/r1-s1c0 as bob       # deny ...
//! evict run/r1                          # its Pod's node goes away
//! crash                                 # now
//! crash after write 3                   # before, in (done, but the answer is lost), after; write, append, effect
//! cache lag 2
//! watch event 7 twice                   # dropped, cut, older; counted from here on, as the following
//! append 3 refused                      # unheard (written, and the answer is lost), refused for 12s
//! request 9 refused-503                 # gave-up, silent, cut, foreign
//! refuse create job 403                 # every such request, for good; or `from 2` (the second), `for 2m` (from the first that is refused)
//! allow create job                      # takes that back
//! expect run/r1 Suspended reason=BudgetExhausted
//! expect writes 0                       # since the last `tick` or `until` began
//! expect effects 3                      # tool calls that sandboxes began, of all runs
//! ```

use reeve_gateway::Recorded;
use serde_json::{Value, json};

use super::faults::{Fault, number, time_ms};

/// A scenario, parsed.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    pub(crate) installed: Installed,
    /// The seed that it asks for.
    pub(crate) seed: Option<u64>,
    pub(crate) steps: Vec<Step>,
}

/// How the operator of a world is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Installed {
    /// It has a key, so that heads are signed and roots are posted.
    pub(crate) signed: bool,
    /// Namespaces that it watches; none: all.
    pub(crate) watches: Vec<String>,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Where it stands, from 1.
    pub(crate) line: usize,
    /// Its lines, as they were written.
    pub(crate) text: String,
    pub(crate) verb: Verb,
}

#[derive(Clone, Debug)]
pub(crate) enum Verb {
    Model(String),
    Apply(Vec<Value>),
    Fork(Fork),
    Until {
        wanted: Wanted,
        within_ms: u64,
    },
    Expect(Expected),
    Tick(u64),
    Patch(Named, Value),
    Delete(Named),
    Vote {
        approval: Named,
        who: String,
        verdict: &'static str,
    },
    Evict(Named),
    CrashNow,
    Fault(Fault),
    /// Takes back the refusals of this verb and kind.
    Allow(String, String),
}

/// A run that goes on from a row of another: which one is known when it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fork {
    /// Name of the parent, in the namespace of every scenario.
    pub(crate) parent: String,
    pub(crate) child: Named,
    /// Kind of the row.
    pub(crate) kind: String,
    /// The how manieth of that kind, from 1.
    pub(crate) number: u64,
}

/// An object: `run/r1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) word: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What an object must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) object: Named,
    pub(crate) phase: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) absent: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Object(Wanted),
    Writes(u64),
    Effects(u64),
}

/// Why a text is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}: {why}")]
pub struct ScenarioError {
    name: String,
    line: usize,
    why: String,
}

/// Namespace of the objects of a scenario.
pub(crate) const NAMESPACE: &str = "team";
/// One more, in worlds whose operator does not watch all.
pub(crate) const ELSEWHERE: &str = "elsewhere";

impl Installed {
    /// Takes in a line; false: it says something else.
    fn takes(&mut self, line: &str) -> bool {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["signed"] => self.signed = true,
            ["watches", first, others @ ..] => {
                self.watches = std::iter::once(first).chain(others).map(|name| (*name).to_owned()).collect();
            }
            _ => return false,
        }
        true
    }

    /// As lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let watches = Some(self.watches.join(" ")).filter(|names| !names.is_empty()).map(|names| format!("watches {names}"));
        self.signed.then(|| "signed".to_owned()).into_iter().chain(watches).collect()
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] with the line, and what was expected there.
    pub fn parse(name: &str, text: &str) -> Result<Scenario, ScenarioError> {
        let (mut installed, mut seed, mut steps) = (Installed::default(), None, Vec::new());
        let mut lines = text.lines().enumerate().peekable();
        while let Some((at, line)) = lines.next() {
            let head = line.split(" #").next().unwrap_or_default().trim_end();
            if head.is_empty() || head.starts_with('#') {
                continue;
            }
            if steps.is_empty() && installed.takes(head) {
                continue;
            }
            let (mut text, mut block) = (format!("{line}\n"), String::new());
            while let Some((_, inner)) = lines.next_if(|(_, next)| next.starts_with("  ") || next.is_empty()) {
                block += inner.strip_prefix("  ").unwrap_or(inner);
                block.push('\n');
                text += inner;
                text.push('\n');
            }
            let wrong = |why| ScenarioError { name: name.to_owned(), line: at + 1, why };
            if let Some(number) = head.strip_prefix("seed ") {
                seed = Some(self::number(number).map_err(wrong)?);
                continue;
            }
            let verb = verb(head, &block).map_err(wrong)?;
            steps.push(Step { line: at + 1, text: text.trim_end().to_owned(), verb });
        }
        Ok(Scenario { name: name.to_owned(), installed, seed, steps })
    }
}

fn verb(head: &str, block: &str) -> Result<Verb, String> {
    let (first, rest) = head.split_once(' ').unwrap_or((head, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    match (first, words.as_slice()) {
        ("model", []) => model(block),
        ("apply", []) => {
            let documents: Vec<Value> = serde_saphyr::from_multiple(block).map_err(|error| error.to_string())?;
            Ok(Verb::Apply(documents))
        }
        ("run", [name]) => {
            let base = json!({ "requestedBy": "alice", "role": "Coder", "objective": "Do it.", "profileRef": { "name": "coder" } });
            object("AgentRun", name, base, block)
        }
        ("fork", [parent, "as", child, "after", kind, n]) => {
            let (parent, kind) = ((*parent).to_owned(), (*kind).to_owned());
            Ok(Verb::Fork(Fork { parent, child: named(&format!("run/{child}"))?, kind, number: number(n)? }))
        }
        ("goal", [name]) => {
            let base = json!({ "requestedBy": "alice", "objective": "Reach it.", "profileRef": { "name": "coder" } });
            object("Goal", name, base, block)
        }
        ("until", [wanted @ .., "within", time]) => Ok(Verb::Until { wanted: self::wanted(wanted)?, within_ms: time_ms(time)? }),
        ("until", wanted) => Ok(Verb::Until { wanted: self::wanted(wanted)?, within_ms: 300_000 }),
        ("expect", ["writes", n]) => Ok(Verb::Expect(Expected::Writes(number(n)?))),
        ("expect", ["effects", n]) => Ok(Verb::Expect(Expected::Effects(number(n)?))),
        ("expect", wanted) => Ok(Verb::Expect(Expected::Object(self::wanted(wanted)?))),
        ("tick", [time]) => Ok(Verb::Tick(time_ms(time)?)),
        ("patch", [object, ..]) => {
            let patch = rest.trim_start().strip_prefix(object).unwrap_or_default();
            Ok(Verb::Patch(named(object)?, serde_json::from_str(patch).map_err(|error| error.to_string())?))
        }
        ("delete", [object]) => Ok(Verb::Delete(named(object)?)),
        ("approve", [object, "as", who]) => Ok(Verb::Vote { approval: named(object)?, who: (*who).to_owned(), verdict: "Approve" }),
        ("deny", [object, "as", who]) => Ok(Verb::Vote { approval: named(object)?, who: (*who).to_owned(), verdict: "Deny" }),
        ("evict", [object]) => Ok(Verb::Evict(named(object)?)),
        ("crash", []) => Ok(Verb::CrashNow),
        ("allow", [verb, kind]) => Ok(Verb::Allow((*verb).to_owned(), (*kind).to_owned())),
        _ => {
            let words: Vec<&str> = head.split_whitespace().collect();
            Fault::parse(&words).unwrap_or_else(|| Err(format!("expected a step, found {head:?}"))).map(Verb::Fault)
        }
    }
}

fn object(kind: &str, name: &str, mut spec: Value, block: &str) -> Result<Verb, String> {
    let more: Value = serde_saphyr::from_str(block).map_err(|error| error.to_string())?;
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    Ok(Verb::Apply(vec![json!({ "apiVersion": "reeve.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })]))
}

fn model(block: &str) -> Result<Verb, String> {
    let indented: String = block.lines().map(|line| format!("  {line}\n")).collect();
    let transcript = format!("version: 1\nmatch: position\nlanes:\n{indented}");
    Recorded::parse(&transcript).map_err(|error| error.to_string())?;
    Ok(Verb::Model(transcript))
}

fn named(text: &str) -> Result<Named, String> {
    let steps: Vec<&str> = text.split('/').collect();
    let (word, namespace, name) = match steps.as_slice() {
        [word, name] => (*word, NAMESPACE, *name),
        [word, namespace, name] => (*word, *namespace, *name),
        _ => return Err(format!("expected KIND/NAME, found {text:?}")),
    };
    if super::objects::path(word, namespace, name).is_none() {
        return Err(format!("no such kind: {word}"));
    }
    Ok(Named { word: word.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() })
}

fn wanted(words: &[&str]) -> Result<Wanted, String> {
    let [object, rest @ ..] = words else { return Err("expected KIND/NAME and what it shows".to_owned()) };
    let mut wanted = Wanted { object: named(object)?, phase: None, reason: None, absent: false };
    for word in rest {
        match word.strip_prefix("reason=") {
            Some(reason) => wanted.reason = Some(reason.to_owned()),
            None if *word == "absent" => wanted.absent = true,
            None => wanted.phase = Some((*word).to_owned()),
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (text, line, why) in [
            ("tick 5s\njump", 2, "expected a step"),
            ("crash during write 3", 1, "expected before, in or after"),
            ("\nexpect cat/tom Alive", 2, "no such kind: cat"),
            ("tick soon", 1, "expected a time"),
            ("watch event 2 lost", 1, "expected dropped, twice, cut or older"),
            ("request 2 refused-418", 1, "expected refused-CODE"),
            ("append 2 lost", 1, "expected refused, refused for TIME, or unheard"),
            ("refuse take job 403", 1, "expected one of get, list"),
            ("refuse create job 403 until noon", 1, "expected from N, for TIME"),
            ("seed one", 1, "expected a number"),
            ("fork r1 as r2 after checkpoint two", 1, "expected a number"),
            ("watches", 1, "expected a step"),
            ("tick 1s\nwatches team", 2, "expected a step"),
            ("model\n  coder:\n  - nonsense: 1", 1, "nonsense"),
        ] {
            let error = Scenario::parse("x", text).map(|_| ()).map_err(|error| error.to_string());
            assert!(error.clone().is_err_and(|error| error.starts_with(&format!("x:{line}:")) && error.contains(why)), "{text}: {error:?}");
        }
    }
}
