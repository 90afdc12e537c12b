//! `-o`: what is printed for people and for programs.

use std::io::Write as _;

use clap::ValueEnum;
use serde::Serialize;

use crate::exit::Failure;

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Prints a line of text.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(Failure::writing("to standard output"))
}

/// Prints one value in a form for programs; `Table` is the caller's, who knows the columns.
pub(crate) fn value(format: OutputFormat, value: &impl Serialize) -> Result<(), Failure> {
    match format {
        OutputFormat::Json | OutputFormat::Table => line(&json(value)?),
        OutputFormat::Yaml => line(yaml(value)?.trim_end()),
    }
}

/// A list that is printed while it is read, so that its length costs no memory.
pub(crate) struct List {
    format: OutputFormat,
    items: u64,
}

impl List {
    /// An empty list.
    pub(crate) fn new(format: OutputFormat) -> List {
        List { format, items: 0 }
    }

    /// Prints the next item.
    pub(crate) fn item(&mut self, item: &impl Serialize) -> Result<(), Failure> {
        let first = self.items == 0;
        self.items += 1;
        match self.format {
            OutputFormat::Json | OutputFormat::Table => {
                let text = json(item)?.replace('\n', "\n  ");
                let before = if first { "[\n  " } else { ",\n  " };
                write(&format!("{before}{text}"))
            }
            // A list of one item each: together they are one list.
            OutputFormat::Yaml => write(&yaml(&[item])?),
        }
    }

    /// Ends the list.
    pub(crate) fn end(self) -> Result<(), Failure> {
        match (self.format, self.items) {
            (OutputFormat::Json | OutputFormat::Table, 0) | (OutputFormat::Yaml, 0) => line("[]"),
            (OutputFormat::Json | OutputFormat::Table, _) => line("\n]"),
            (OutputFormat::Yaml, _) => Ok(()),
        }
    }
}

/// Prints text as it is.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::writing("to standard output"))
}

/// YAML text of a value, ending with a newline.
pub(crate) fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_saphyr::to_string(value).map_err(|error| Failure::unusable(format!("writing YAML: {error}")))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::unusable(format!("writing JSON: {error}")))
}
