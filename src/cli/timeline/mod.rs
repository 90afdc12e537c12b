//! Journal rows as people read them: one line a row.
//!
//! ```text
//! 14:03:07.512   12  Act      policy.decision  operator  Allow by default/tools: permitted
//! ```

mod brief;
pub(crate) mod text;

use std::io::IsTerminal as _;

use reeve_core::journal::{Phase, Row};
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use crate::exit::Failure;
use crate::output::{self, List, OutputFormat};
use text::{fit, one_line, pad};

/// The widest that the column of actors gets; a person's name may be a long URL.
const ACTOR_COLUMNS: usize = 24;
/// The longest kind, `checkpoint.requested`.
const KIND_COLUMNS: usize = 20;
/// The longest phase, `Lifecycle`.
const PHASE_COLUMNS: usize = 9;

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
        let line =
            format!("{:<12}  {:>4}  {:<PHASE_COLUMNS$}  {:<KIND_COLUMNS$}  {:<8}  WHAT", "TIME (UTC)", "SEQ", "PHASE", "KIND", "ACTOR");
        self.width.map_or_else(|| line.clone(), |width| fit(&line, width))
    }

    /// A row as a line.
    pub(crate) fn line(&self, row: &Row) -> String {
        let phase = row.event().map(|event| event.phase()).ok();
        let name = phase.map_or("?", Phase::as_str);
        let kind = pad(&fit(&one_line(&row.kind), KIND_COLUMNS), KIND_COLUMNS);
        let actor = pad(&fit(&one_line(&row.actor), ACTOR_COLUMNS), 8);
        let before = format!("{}  {:>4}  ", pad(&clock(&row.time), 12), row.seq.0);
        let phase_cell = pad(name, PHASE_COLUMNS);
        let taken = before.width() + phase_cell.width() + kind.width() + actor.width() + 6;
        let what = brief::brief(row);
        let what = self.width.map_or_else(|| what.clone(), |width| fit(&what, width.saturating_sub(taken)));
        let line = format!("{before}{}  {}  {actor}  {what}", self.paint(&phase_cell, phase), self.paint(&kind, phase));
        line.trim_end().to_owned()
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

/// A row for programs: as exported, but with the body as an object and the phase named.
fn shown(row: &Row) -> serde_json::Map<String, Value> {
    let Row { gseq, stream, seq, time, epoch, kind, actor, body, prev, hash } = row;
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.clone()));
    let phase = row.event().map_or(Value::Null, |event| event.phase().as_str().into());
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
    use reeve_core::journal::{Actor, Epoch, Event, RowDraft, Seq, Stream};

    fn row(event: &Event, actor: &Actor) -> Row {
        let at = "2026-01-31T14:03:07.512345Z".parse().unwrap();
        RowDraft::of(event, actor, at).unwrap().place(Stream::run("u"), 4, Seq(3), Epoch(1), Digest::ZERO).unwrap()
    }

    #[test]
    fn a_row_is_one_line_that_fits_the_terminal() {
        let thought = Event::ThoughtSummary { text: "First I look\nat the \x1b[31mtests, then I\u{202e} write.".to_owned() };
        let row = row(&thought, &Actor::Model);
        let wide = Layout { width: None, colours: false }.line(&row);
        assert_eq!(wide, "14:03:07.512     3  Plan       thought.summary       model     First I look at the [31mtests, then I write.");
        let narrow = Layout { width: Some(70), colours: false }.line(&row);
        assert_eq!(narrow, "14:03:07.512     3  Plan       thought.summary       model     First …");
        assert_eq!(narrow.width(), 70);
    }

    #[test]
    fn colours_are_for_terminals() {
        let row = row(&Event::RunSuspended {}, &Actor::Person("alice".to_owned()));
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
