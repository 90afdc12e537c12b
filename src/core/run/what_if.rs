//! What another policy would have decided.
//!
//! Every recorded decision is judged again with the facts and keys that it had, by the sets that were in force, one of them changed. Each
//! stands for itself: what a run would have done after another decision, no journal knows.

use super::judged::{MASKED, facts};
use super::{Branch, RunState, Stopped, Unjudged};
use crate::journal::{Event, Judgement, Row, Verdict};
use crate::policy::{Instead, Texts, judge_again};

/// One side of a changed decision.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Opinion {
    /// Allow, Ask or Deny.
    pub verdict: Verdict,
    /// Policies that decide: `<set>/<policy id>`.
    pub determining: Vec<String>,
    /// Why.
    pub reason: String,
}

/// A decision that would be another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// Row of the decision.
    pub seq: u64,
    /// Key of the call.
    pub key: String,
    /// The tool.
    pub tool: String,
    /// What it would do: a command, or the paths.
    pub call: String,
    /// As recorded.
    pub recorded: Opinion,
    /// As it would be.
    pub instead: Opinion,
}

impl Changed {
    /// Whether a call goes on that did not, or waited for people.
    pub fn widens(&self) -> bool {
        self.instead.verdict == Verdict::Allow && self.recorded.verdict != Verdict::Allow
    }
}

/// What came of all decisions of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Decisions that were judged again.
    pub judged: u64,
    /// Of those, the ones that would be others.
    pub changed: Vec<Changed>,
    /// Those that could not be judged again.
    pub unjudged: Vec<Unjudged>,
    /// Decisions that this version's code makes otherwise under the very sets that were in force: what changes is not only the policy.
    pub drifted: Vec<u64>,
    /// Model requests. No policy speaks of them: the schema's one action is a tool call.
    pub model_requests: u64,
}

/// A run whose decisions are judged again while its rows go by.
#[derive(Debug)]
pub struct WhatIf {
    state: RunState,
    /// People whose keys were turned by the row before.
    keys: usize,
    totals: Totals,
}

impl WhatIf {
    /// A run of this UID, before its first row.
    pub fn new(uid: &str) -> WhatIf {
        WhatIf::with(uid, None)
    }

    /// A run of this UID, before its first row, and what it goes on from if it was forked: its parent's decisions are its parent's.
    pub fn with(uid: &str, branch: Option<Branch>) -> WhatIf {
        WhatIf { state: RunState::with(uid, branch), keys: 0, totals: Totals::default() }
    }

    /// Takes in the next row of the run.
    ///
    /// # Errors
    /// [`Stopped::Unreadable`] for a row that cannot be read, or cannot follow.
    pub fn row(&mut self, texts: &Texts, instead: &Instead, row: &Row) -> Result<(), Stopped> {
        let unreadable = |why: String| Stopped::Unreadable { seq: row.seq.0, why };
        let event = row.event().map_err(|error| unreadable(error.to_string()))?;
        let at: jiff::Timestamp = row.time.parse().map_err(|error: jiff::Error| unreadable(error.to_string()))?;
        if let Event::PolicyDecision(recorded) = &event {
            self.judge(texts, instead, row.seq.0, recorded);
        }
        self.keys = if let Event::ApprovalConsumed(consumed) = &event { consumed.by.len() } else { 0 };
        self.totals.model_requests += u64::from(matches!(event, Event::ModelRequest(_)));
        self.state.apply(row.seq, at, &event).map_err(|error| unreadable(error.to_string()))
    }

    fn judge(&mut self, texts: &Texts, instead: &Instead, seq: u64, recorded: &Judgement) {
        let human = u32::try_from(self.keys).unwrap_or(u32::MAX);
        // A decision without a call: the fold refuses it next.
        let Some((facts, masked)) = facts(&self.state, human) else { return };
        if masked {
            return self.totals.unjudged.push(Unjudged { seq, why: MASKED.to_owned() });
        }
        let today = match judge_again(texts, recorded, &facts, Some(instead)) {
            Ok(today) => today,
            Err(why) => return self.totals.unjudged.push(Unjudged { seq, why }),
        };
        if judge_again(texts, recorded, &facts, None).is_ok_and(|same| same.verdict != recorded.verdict) {
            self.totals.drifted.push(seq);
        }
        self.totals.judged += 1;
        if today.verdict != recorded.verdict {
            let call = match (facts.call.argv.as_slice(), facts.call.paths.as_slice()) {
                ([], paths) => paths.iter().map(|touched| touched.path.as_str()).collect::<Vec<_>>().join(" "),
                (argv, _) => argv.join(" "),
            };
            let (key, tool) = (recorded.key.clone(), facts.call.tool.as_str().to_owned());
            let changed = Changed { seq, key, tool, call, recorded: opinion(recorded), instead: opinion(&today) };
            self.totals.changed.push(changed);
        }
    }

    /// What came of it. Call it after the last row.
    pub fn finish(self) -> Totals {
        self.totals
    }
}

fn opinion(judgement: &Judgement) -> Opinion {
    Opinion { verdict: judgement.verdict, determining: judgement.determining.clone(), reason: judgement.reason.clone() }
}
