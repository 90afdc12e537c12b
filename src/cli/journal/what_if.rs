//! `reeve journal what-if`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use reeve_api::{PolicySet, PolicySetSpec};
use reeve_core::journal::{Row, Stream, Verdict};
use reeve_core::policy::{Instead, Texts};
use reeve_core::run::{Changed, Opinion, Totals, WhatIf};
use serde::Serialize;

use super::Branches;
use super::rows::{Named, Runs};
use crate::exit::Failure;
use crate::output::{self, OutputFormat, Table};

pub(super) const EXAMPLES: &str = "\
Examples:
  reeve journal what-if --policy stricter.yaml --all
  reeve journal what-if --policy default.cedar --run default/say-hello --file journal.jsonl
  reeve journal what-if --policy team.yaml --in-place-of team-a/team --all -o json

The set takes the place of the one of its name that was in force; where there was none, it is added. The others stay in force next to it.
Without a namespace it is one of the operator's; one of another namespace is judged by for the runs of that namespace only. Each decision
is judged for itself, with the facts and keys that it had: what a run would have done after another decision, no journal knows.

Exit codes: 0 nothing is allowed that was not; 1 a call would go on that was denied, or waited for people; 2 it could not be tried.";

/// Judges recorded tool calls again, under another PolicySet.
#[derive(Args, Debug)]
pub(super) struct JudgeAgain {
    /// A PolicySet in YAML or JSON, or Cedar policies as they are in a file that ends in .cedar
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Which set it stands for: [NAMESPACE/]NAME; default what the file says, and for Cedar the file's own name
    #[arg(long = "in-place-of", value_name = "SET")]
    stands_for: Option<String>,
    #[command(flatten)]
    runs: Runs,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
}

/// What came of one run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfRun {
    run: String,
    uid: String,
    #[serde(flatten)]
    totals: Totals,
}

/// What came of all of them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    policy: String,
    judged: u64,
    changed: u64,
    widened: u64,
    unjudged: u64,
    drifted: u64,
    model_requests: u64,
    runs: Vec<OfRun>,
}

impl JudgeAgain {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut hypothesis = Hypothesis::new(read(&self.policy, self.stands_for.as_deref())?, self.runs.branches().await?);
        let texts = self.runs.texts().await?;
        self.runs.each(texts, |texts, row| hypothesis.row(texts, row)).await?;
        hypothesis.end(self.output)
    }
}

/// Another policy, and the runs that go by.
pub(crate) struct Hypothesis {
    instead: Instead,
    branches: Branches,
    named: Named,
    going: BTreeMap<Stream, WhatIf>,
}

impl Hypothesis {
    /// This set in its place; with what the forks among the runs go on from.
    pub(crate) fn new(instead: Instead, branches: Branches) -> Hypothesis {
        Hypothesis { instead, branches, named: Named::default(), going: BTreeMap::new() }
    }

    /// The next row of its run.
    ///
    /// # Errors
    /// [`Failure::Unusable`] for a row that cannot be read, or cannot follow.
    pub(crate) fn row(&mut self, texts: &Texts, row: &Row) -> Result<(), Failure> {
        self.named.see(row);
        let begin = || WhatIf::with(row.stream.as_str(), self.branches.remove(&row.stream));
        let run = self.going.entry(row.stream.clone()).or_insert_with(begin);
        run.row(texts, &self.instead, row).map_err(|error| Failure::unusable(format!("run {}: {error}", row.stream.as_str())))
    }

    /// Says what would change.
    ///
    /// # Errors
    /// [`Failure::No`] where a call would go on that did not.
    pub(crate) fn end(mut self, output: OutputFormat) -> Result<(), Failure> {
        let of_run = |(stream, run): (Stream, String)| {
            let totals = self.going.remove(&stream)?.finish();
            Some(OfRun { run, uid: stream.as_str().to_owned(), totals })
        };
        let runs = std::mem::take(&mut self.named).in_order().into_iter().filter_map(of_run).collect();
        let answer = Answer::of(self.instead.digest().to_string(), runs);
        answer.say(output)?;
        if answer.widened == 0 {
            return Ok(());
        }
        Err(Failure::no(format!("{} would go on that did not, or waited for people", output::count(answer.widened, "call"))))
    }
}

/// The set in this file.
pub(crate) fn read(file: &Path, stands_for: Option<&str>) -> Result<Instead, Failure> {
    let text = std::fs::read_to_string(file).map_err(Failure::reading(file.display()))?;
    let unusable = |why: String| Failure::unusable(format!("{}: {why}", file.display()));
    let (namespace, name, spec) = if file.extension().is_some_and(|extension| extension == "cedar") {
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        (None, name, PolicySetSpec { cedar: text, mode: reeve_api::PolicyMode::default(), cases: Vec::new() })
    } else {
        let set: PolicySet = serde_saphyr::from_str(&text)
            .map_err(|error| unusable(format!("expected a PolicySet, or Cedar in a file *.cedar: {error}")))?;
        (set.metadata.namespace, set.metadata.name.unwrap_or_default(), set.spec)
    };
    let (namespace, name) = match stands_for.map(|set| set.split_once('/').map_or((None, set), |(of, name)| (Some(of), name))) {
        Some((of, name)) => (of.map(str::to_owned), name.to_owned()),
        None => (namespace, name),
    };
    if name.is_empty() {
        return Err(unusable("it has no name: say with --in-place-of which set it stands for".to_owned()));
    }
    Instead::of(namespace, name, &spec).map_err(|why| unusable(format!("it would never come into force: {why}")))
}

impl Answer {
    fn of(policy: String, runs: Vec<OfRun>) -> Answer {
        let sum = |of: fn(&Totals) -> u64| runs.iter().map(|run| of(&run.totals)).sum();
        Answer {
            policy,
            judged: sum(|totals| totals.judged),
            changed: sum(|totals| totals.changed.len() as u64),
            widened: sum(|totals| totals.changed.iter().filter(|changed| changed.widens()).count() as u64),
            unjudged: sum(|totals| totals.unjudged.len() as u64),
            drifted: sum(|totals| totals.drifted.len() as u64),
            model_requests: sum(|totals| totals.model_requests),
            runs,
        }
    }

    fn say(&self, format: OutputFormat) -> Result<(), Failure> {
        match format {
            OutputFormat::Json | OutputFormat::Yaml => return output::value(format, self),
            OutputFormat::Table => {}
        }
        let mut table = Table::new(&["RUN", "ROW", "TOOL", "CALL", "RECORDED", "BY", "WOULD BE", "BY"]);
        for OfRun { run, totals, .. } in &self.runs {
            for Changed { seq, tool, call, recorded, instead, .. } in &totals.changed {
                let of = |opinion: &Opinion| (word(opinion.verdict), by(opinion));
                let ((was, was_by), (would, would_by)) = (of(recorded), of(instead));
                table.row([run.clone(), seq.to_string(), tool.clone(), short(call), was, was_by, would, would_by]);
            }
        }
        if self.changed > 0 {
            output::write(&format!("{}\n", table.text()))?;
        }
        output::line(&format!(
            "{} judged again: {} would change, {} of them to Allow.",
            output::count(self.judged, "tool call"),
            self.changed,
            self.widened
        ))?;
        if self.model_requests > 0 {
            let requests = output::count(self.model_requests, "model request");
            output::line(&format!("{requests}: no policy speaks of them, so none would change."))?;
        }
        for OfRun { run, totals, .. } in &self.runs {
            let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            totals.unjudged.iter().for_each(|unjudged| reasons.entry(&unjudged.why).or_default().push(unjudged.seq.to_string()));
            for (why, rows) in reasons {
                output::line(&format!("{run}: not judged again: row {}: {why}", rows.join(", ")))?;
            }
            if !totals.drifted.is_empty() {
                let rows: Vec<String> = totals.drifted.iter().map(u64::to_string).collect();
                output::line(&format!("{run}: row {}: this version judges otherwise even by the sets of then", rows.join(", ")))?;
            }
        }
        Ok(())
    }
}

fn word(verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow => "Allow".to_owned(),
        Verdict::Ask { human } => format!("Ask {human}"),
        Verdict::Deny => "Deny".to_owned(),
    }
}

/// The policies that decide; where none does, why not.
fn by(opinion: &Opinion) -> String {
    if opinion.determining.is_empty() { short(&opinion.reason) } else { opinion.determining.join(", ") }
}

/// As much of a text as a column has place for.
fn short(text: &str) -> String {
    const SHOWN_CHARS: usize = 48;
    if text.chars().count() <= SHOWN_CHARS {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN_CHARS - 1).collect();
    format!("{start}…")
}
