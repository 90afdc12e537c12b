//! `reeve journal replay`.

use std::collections::BTreeMap;

use clap::Args;
use reeve_core::journal::{Row, Stream};
use reeve_core::policy::Texts;
use reeve_core::run::{Divergence, Replay, Replayed, Stopped};
use serde::Serialize;

use super::Branches;
use super::rows::{Named, Runs};
use crate::exit::Failure;
use crate::output::{self, OutputFormat, Table};

pub(super) const EXAMPLES: &str = "\
Examples:
  reeve journal replay --run default/say-hello
  reeve journal replay --all --file journal.jsonl
  reeve journal export | reeve journal replay --all --file - -o json

Nothing is asked, called or written. What a model answered, a tool gave back and people voted is taken as recorded; that the rows are
those that were written is `reeve journal verify`'s to say. Of a run that was forked, the rows after the fork are replayed; its parent's are
taken from the same journal, for which an export has to be a file.

Exit codes: 0 the same commands come out; 1 they do not, and the first divergence of each run is shown; 2 it could not be tried.";

/// Folds recorded runs through this version's code, without any effect.
#[derive(Args, Debug)]
pub(super) struct ReplayRuns {
    #[command(flatten)]
    runs: Runs,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
}

/// What came of one run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    run: String,
    uid: String,
    same: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<Replayed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    divergence: Option<Divergence>,
}

/// A run that goes by.
enum Going {
    On(Box<Replay>),
    Diverged(Box<Divergence>),
}

impl ReplayRuns {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let texts = self.runs.texts().await?;
        let mut replays = Replays::of(self.runs.branches().await?);
        self.runs.each(texts, |texts, row| replays.row(texts, row)).await?;
        replays.end(self.output)
    }
}

/// Runs whose rows go by, interleaved or not.
#[derive(Default)]
pub(crate) struct Replays {
    branches: Branches,
    named: Named,
    going: BTreeMap<Stream, Going>,
}

impl Replays {
    /// Before any row, with what the forks among the runs go on from.
    pub(crate) fn of(branches: Branches) -> Replays {
        Replays { branches, ..Replays::default() }
    }

    /// The next row of its run.
    ///
    /// # Errors
    /// [`Failure::Unusable`] for a row that cannot be read.
    pub(crate) fn row(&mut self, texts: &Texts, row: &Row) -> Result<(), Failure> {
        self.named.see(row);
        take(&mut self.going, &mut self.branches, texts, row)
    }

    /// Says what came out.
    ///
    /// # Errors
    /// [`Failure::No`] where a run diverges.
    pub(crate) fn end(mut self, output: OutputFormat) -> Result<(), Failure> {
        let named = std::mem::take(&mut self.named).in_order();
        let answers: Vec<Answer> = named.into_iter().filter_map(|(stream, run)| answer(run, stream, &mut self.going)).collect();
        say(&answers, output)?;
        let diverged = answers.iter().filter(|answer| !answer.same).count();
        if diverged == 0 {
            return Ok(());
        }
        Err(Failure::no(format!("{diverged} of {} would not come out the same", output::count(answers.len() as u64, "run"))))
    }
}

fn say(answers: &[Answer], format: OutputFormat) -> Result<(), Failure> {
    match format {
        OutputFormat::Json | OutputFormat::Yaml => output::value(format, &answers),
        OutputFormat::Table => {
            let mut table = Table::new(&["RUN", "ROWS", "COMMANDS", "OUTCOMES", "JUDGED", "RESULT", "AFTER THE LAST ROW"]);
            answers.iter().for_each(|answer| table.row(cells(answer)));
            output::write(&table.text())?;
            answers.iter().try_for_each(details)
        }
    }
}

fn take(going: &mut BTreeMap<Stream, Going>, branches: &mut Branches, texts: &Texts, row: &Row) -> Result<(), Failure> {
    let begin = || Going::On(Box::new(Replay::with(row.stream.as_str(), branches.remove(&row.stream))));
    let run = going.entry(row.stream.clone()).or_insert_with(begin);
    let Going::On(replay) = run else { return Ok(()) };
    match replay.row(texts, row) {
        Ok(()) => Ok(()),
        Err(Stopped::Diverged(divergence)) => {
            *run = Going::Diverged(divergence);
            Ok(())
        }
        Err(error @ Stopped::Unreadable { .. }) => Err(Failure::unusable(format!("run {}: {error}", row.stream.as_str()))),
    }
}

fn answer(run: String, stream: Stream, going: &mut BTreeMap<Stream, Going>) -> Option<Answer> {
    let uid = stream.as_str().to_owned();
    Some(match going.remove(&stream)? {
        Going::On(replay) => Answer { run, uid, same: true, replayed: Some(replay.finish()), divergence: None },
        Going::Diverged(divergence) => Answer { run, uid, same: false, replayed: None, divergence: Some(*divergence) },
    })
}

fn cells(answer: &Answer) -> [String; 7] {
    let run = answer.run.clone();
    match (&answer.replayed, &answer.divergence) {
        (Some(replayed), _) => {
            let unjudged = replayed.unjudged.len() as u64;
            let judged =
                if unjudged == 0 { replayed.judged.to_string() } else { format!("{} of {}", replayed.judged, replayed.judged + unjudged) };
            let (rows, commands, outcomes) = (replayed.rows.to_string(), replayed.commands.to_string(), replayed.outcomes.to_string());
            [run, rows, commands, outcomes, judged, "same".to_owned(), replayed.next.clone()]
        }
        (None, Some(divergence)) => {
            let none = || "-".to_owned();
            [run, none(), none(), none(), none(), format!("diverges at row {}", divergence.seq), none()]
        }
        (None, None) => std::array::from_fn(|_| run.clone()),
    }
}

/// What a line has no place for: both sides of a divergence, and what was not judged.
fn details(answer: &Answer) -> Result<(), Failure> {
    if let Some(Divergence { seq, time, recorded, today, differences }) = &answer.divergence {
        output::line(&format!("\n{} ({}) diverges at row {seq}, {time}:", answer.run, answer.uid))?;
        let mut table = Table::new(&["", "THE JOURNAL", "TODAY'S CODE"]);
        table.row(["row".to_owned(), recorded.what.clone(), today.what.clone()]);
        table.row(["why".to_owned(), recorded.why.clone(), today.why.clone()]);
        for difference in differences {
            table.row([difference.field.clone(), difference.recorded.clone(), difference.today.clone()]);
        }
        output::write(&table.text())?;
    }
    // One line a reason: a text that is gone is gone for many rows.
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for unjudged in answer.replayed.iter().flat_map(|replayed| &replayed.unjudged) {
        reasons.entry(&unjudged.why).or_default().push(unjudged.seq.to_string());
    }
    for (why, rows) in reasons {
        output::line(&format!("\n{}: not judged again: row {}: {why}", answer.run, rows.join(", ")))?;
    }
    Ok(())
}
