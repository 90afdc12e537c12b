//! `reeve journal show`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use reeve_core::journal::{Event, Row, Seq, Stream};
use reeve_store::Journal;
use tokio::io::AsyncBufReadExt as _;

use super::{Source, lines, of_store};
use crate::exit::Failure;
use crate::output::OutputFormat;
use crate::timeline::Printer;

pub(super) const EXAMPLES: &str = "\
Examples:
  reeve journal show
  reeve journal show --run default/say-hello
  reeve journal show --run 5a1f8c0e-6f0b-4c1e-9a57-3f1f0a3c2b11 -o json
  reeve journal show --file journal.jsonl --run operator";

/// Rows that are held at once.
pub(super) const PAGE_ROWS: u32 = 256;

/// Shows rows as a timeline.
#[derive(Args, Debug)]
pub(super) struct Show {
    #[command(flatten)]
    source: Source,
    /// Only this run: NAMESPACE/NAME or UID. A name that was used again shows each of its runs. `operator` is the operator's own stream
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut printer = Printer::new(self.output);
        match &self.source.file {
            Some(file) => self.show_export(file, &mut printer).await?,
            None => self.show_database(&self.source.database.open().await?, &mut printer).await?,
        }
        let rows = printer.end()?;
        match &self.run {
            Some(run) if rows == 0 => Err(Failure::no(format!("the journal has no run {run}: give NAMESPACE/NAME or a UID"))),
            Some(_) | None => Ok(()),
        }
    }

    async fn show_database(&self, journal: &Journal, printer: &mut Printer) -> Result<(), Failure> {
        let Some(run) = &self.run else {
            let mut next = 1;
            loop {
                let rows = journal.scan(next, PAGE_ROWS).await.map_err(of_store)?;
                let Some(last) = rows.last() else { return Ok(()) };
                next = last.gseq.saturating_add(1);
                rows.iter().try_for_each(|row| printer.row(row))?;
            }
        };
        let streams = match run.split_once('/') {
            Some((namespace, name)) => {
                let found = journal.find_runs(namespace, name).await.map_err(of_store)?;
                found.into_iter().map(|run| run.stream).collect()
            }
            None => vec![Stream::run(run)],
        };
        for stream in streams {
            let mut from = Seq(1);
            loop {
                let rows = journal.read(&stream, from, PAGE_ROWS).await.map_err(of_store)?;
                let Some(last) = rows.last() else { break };
                from = last.seq.next();
                rows.iter().try_for_each(|row| printer.row(row))?;
            }
        }
        Ok(())
    }

    async fn show_export(&self, file: &PathBuf, printer: &mut Printer) -> Result<(), Failure> {
        let mut reader = lines(file).await?.lines();
        let mut chosen = Chosen::new(self.run.as_deref());
        let mut number = 0;
        while let Some(line) = reader.next_line().await.map_err(Failure::reading(file.display()))? {
            number += 1;
            let row: Row = serde_json::from_str(&line)
                .map_err(|error| Failure::no(format!("line {number} of {} is no row: {error}", file.display())))?;
            if chosen.has(&row) {
                printer.row(&row)?;
            }
        }
        Ok(())
    }
}

/// The rows of one run, found while they go by: its name stands in its first row.
pub(super) struct Chosen<'a> {
    run: Option<&'a str>,
    streams: BTreeSet<Stream>,
}

impl<'a> Chosen<'a> {
    pub(super) fn new(run: Option<&'a str>) -> Chosen<'a> {
        Chosen { run, streams: BTreeSet::new() }
    }

    pub(super) fn has(&mut self, row: &Row) -> bool {
        let Some(run) = self.run else { return true };
        if row.stream.as_str() == run || self.streams.contains(&row.stream) {
            return true;
        }
        let Ok(Event::RunStarted(started)) = row.event() else { return false };
        let found = run.split_once('/') == Some((started.namespace.as_str(), started.name.as_str()));
        if found {
            self.streams.insert(row.stream.clone());
        }
        found
    }
}
