//! Journal rows as people read them: one line a row.
//!
//! ```text
//! 14:03:07.512   12  Act      policy.decision  operator  Allow by default/tools: permitted
//! ```

mod brief;
pub(crate) mod text;

use std::io::IsTerminal as _;

use reeve_core::journal::{Phase, Row, phase_of_kept};
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use crate::exit::Failure;
use crate::output::{self, List, OutputFormat};
use text::{fit, one_line, pad};

/// The column of actors, for `person:` and a name of nine letters; a person's name may be a long URL, and is cut.
const ACTOR_COLUMNS: usize = 16;
/// The longest kind, `checkpoint.requested`.
const KIND_COLUMNS: usize = 20;
/// The longest phase, `Lifecycle`.
const PHASE_COLUMNS: usize = 9;

/// Below this the columns before the text would take more than half of a line.
const NARROW_COLUMNS: usize = 140;

/// How lines are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Columns of the terminal; None where the output is no terminal and lines are not cut.
    width: Option<usize>,
    /// Whether escape sequences for colours may be written.
    colours: bool,
}

impl Layout {
    /// For standard output as it is: cut and coloured on a terminal only, without colours where `NO_COLOR` is set.
    pub(crate) fn of_stdout() -> Layout {
        if !std::io::stdout().is_terminal() {
            return Layout { width: None, colours: false };
        }
        let colours = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        Layout { width: terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)), colours }
    }

    /// The heading over the lines.
    pub(crate) fn heading(&self) -> String {
        let columns = self.columns("TIME (UTC)", "SEQ", "PHASE", "KIND", "ACTOR");
        let line = format!("{}WHAT", columns.concat());
        self.width.map_or_else(|| line.clone(), |width| fit(&line, width))
    }

    /// A row as a line.
    pub(crate) fn line(&self, row: &Row) -> String {
        let phase = phase_of(row);
        let (kind, actor) = (one_line(&row.kind), one_line(&row.actor));
        let [before, phase_cell, kind_cell, after] =
            self.columns(&clock(&row.time), &row.seq.0.to_string(), phase.map_or("?", Phase::as_str), &kind, &actor);
        let mut what = brief::brief(row);
        if self.is_narrow() && actor.starts_with("person:") {
            what = format!("{actor}: {what}");
        }
        let taken = before.width() + phase_cell.width() + kind_cell.width() + after.width();
        let what = self.width.map_or_else(|| what.clone(), |width| fit(&what, width.saturating_sub(taken)));
        let line = format!("{before}{}{}{after}{what}", self.paint(&phase_cell, phase), self.paint(&kind_cell, phase));
        line.trim_end().to_owned()
    }

    /// The cells before the text, padded: time and seq, phase, kind, actor.
    fn columns(&self, time: &str, seq: &str, phase: &str, kind: &str, actor: &str) -> [String; 4] {
        let cell = |text: &str, columns: usize| format!("{}  ", pad(&fit(text, columns), columns));
        let time_columns = if self.is_narrow() { 8 } else { 12 };
        let actor = if self.is_narrow() { String::new() } else { cell(actor, ACTOR_COLUMNS) };
        // To the second is a prefix of to the millisecond.
        let time: String = time.chars().take(time_columns).collect();
        let before = format!("{}{seq:>4}  ", cell(&time, time_columns));
        [before, cell(phase, PHASE_COLUMNS), cell(kind, KIND_COLUMNS), actor]
    }

    /// Whether the text would have too little room beside all columns. Then milliseconds go, and of the actors all but people, whom the kind
    /// does not name.
    fn is_narrow(&self) -> bool {
        self.width.is_some_and(|width| width < NARROW_COLUMNS)
    }

    /// Blue decides, yellow does, cyan looks, magenta weighs.
    fn paint(&self, cell: &str, phase: Option<Phase>) -> String {
        let code = match phase {
            Some(Phase::Plan) => "34",
            Some(Phase::Act) => "33",
            Some(Phase::Observe) => "36",
            Some(Phase::Reflect) => "35",
            Some(Phase::Lifecycle) => "1",
            None => "31",
        };
        if self.colours { format!("\x1b[{code}m{cell}\x1b[0m") } else { cell.to_owned() }
    }
}

/// The time of day out of `2026-01-31T14:03:07.512345Z`, to the millisecond.
fn clock(time: &str) -> String {
    let day = time.split_once('T').map_or(time, |(_, clock)| clock);
    one_line(day).trim_end_matches('Z').chars().take(12).collect()
}

/// Prints rows one by one in the form asked for.
pub(crate) struct Printer {
    layout: Layout,
    list: Option<List>,
    rows: u64,
}

impl Printer {
    /// For standard output.
    pub(crate) fn new(format: OutputFormat) -> Printer {
        let list = match format {
            OutputFormat::Table => None,
            OutputFormat::Json | OutputFormat::Yaml => Some(List::new(format)),
        };
        Printer { layout: Layout::of_stdout(), list, rows: 0 }
    }

    /// Prints a row.
    pub(crate) fn row(&mut self, row: &Row) -> Result<(), Failure> {
        self.rows += 1;
        if let Some(list) = &mut self.list {
            return list.item(&shown(row));
        }
        if self.rows == 1 {
            output::line(&self.layout.heading())?;
        }
        output::line(&self.layout.line(row))
    }

    /// Ends the output; answers how many rows there were.
    pub(crate) fn end(self) -> Result<u64, Failure> {
        if let Some(list) = self.list {
            list.end()?;
        }
        Ok(self.rows)
    }
}

/// None where the row cannot be read.
fn phase_of(row: &Row) -> Option<Phase> {
    match row.kept() {
        Ok(Some(_)) => phase_of_kept(&row.kind),
        Ok(None) | Err(_) => row.event().map(|event| event.phase()).ok(),
    }
}

/// A row for programs: as exported, but with the body as an object and the phase named.
fn shown(row: &Row) -> serde_json::Map<String, Value> {
    let Row { gseq, stream, seq, time, epoch, kind, actor, body, prev, hash } = row;
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.clone()));
    let phase = phase_of(row).map_or(Value::Null, |phase| phase.as_str().into());
    let fields = [
        ("gseq", (*gseq).into()),
        ("stream", stream.as_str().into()),
        ("seq", seq.0.into()),
        ("time", time.as_str().into()),
        ("epoch", epoch.0.into()),
        ("phase", phase),
        ("kind", kind.as_str().into()),
        ("actor", actor.as_str().into()),
        ("body", body),
        ("prev", prev.to_string().into()),
        ("hash", hash.to_string().into()),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot build its row has failed")]

    use super::*;
    use reeve_core::Digest;
    use reeve_core::journal::{Actor, Epoch, Event, RowDraft, Seq, Stream, Suspension};

    fn row(event: &Event, actor: &Actor) -> Row {
        let at = "2026-01-31T14:03:07.512345Z".parse().unwrap();
        RowDraft::of(event, actor, at).unwrap().place(Stream::run("u"), 4, Seq(3), Epoch(1), Digest::ZERO).unwrap()
    }

    #[test]
    fn a_row_is_one_line_that_fits_the_terminal() {
        let thought = Event::ThoughtSummary { text: "First I look\nat the \x1b[31mtests, then I\u{202e} write.".to_owned() };
        let row = row(&thought, &Actor::Model);
        let wide = Layout { width: None, colours: false }.line(&row);
        assert_eq!(
            wide,
            "14:03:07.512     3  Plan       thought.summary       model             First I look at the [31mtests, then I write."
        );
        let narrow = Layout { width: Some(80), colours: false }.line(&row);
        assert_eq!(narrow, "14:03:07     3  Plan       thought.summary       First I look at the [31mtests,…");
        assert_eq!(narrow.width(), 80);
    }

    #[test]
    fn a_narrow_line_still_names_the_person() {
        let row = row(&Event::RunSuspended(Suspension::default()), &Actor::Person("alice".to_owned()));
        let narrow = Layout { width: Some(90), colours: false }.line(&row);
        assert_eq!(narrow, "14:03:07     3  Lifecycle  run.suspended         person:alice: a person stopped it");
    }

    #[test]
    fn colours_are_for_terminals() {
        let row = row(&Event::RunSuspended(Suspension::default()), &Actor::Person("alice".to_owned()));
        assert!(!Layout { width: None, colours: false }.line(&row).contains('\x1b'));
        assert!(Layout { width: None, colours: true }.line(&row).contains("\x1b[1m"));
    }

    #[test]
    fn programs_get_the_body_as_an_object() {
        let shown = shown(&row(&Event::CheckpointRequested { step: 2 }, &Actor::Operator));
        assert_eq!(shown["body"], serde_json::json!({ "step": 2 }));
        assert_eq!(shown["phase"], "Lifecycle");
    }
}
