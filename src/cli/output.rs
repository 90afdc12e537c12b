//! `-o`: what is printed for people and for programs.

use std::io::Write as _;

use clap::ValueEnum;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::exit::Failure;
use crate::timeline::text::{one_line, pad};

/// Between two columns of a table: as kubectl has it.
const GAP: &str = "   ";

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

/// Form of the output of a command that shows objects of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectFormat {
    /// For people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `kind.group/name`, one a line: for xargs.
    Name,
}

/// Prints one object in a form for programs; what people get is the caller's, who knows the words.
pub(crate) fn object<K>(format: ObjectFormat, object: &K, words: impl FnOnce() -> String) -> Result<(), Failure>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    match format {
        ObjectFormat::Table => line(&words()),
        ObjectFormat::Json => value(OutputFormat::Json, object),
        ObjectFormat::Yaml => value(OutputFormat::Yaml, object),
        ObjectFormat::Name => line(&named(object)),
    }
}

/// Prints objects as `kubectl get` does: a `List` for programs.
pub(crate) fn objects<K>(format: ObjectFormat, objects: &[K], table: impl FnOnce() -> Table) -> Result<(), Failure>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    let list = || serde_json::json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": objects });
    match format {
        ObjectFormat::Table => write(&table().text()),
        ObjectFormat::Json => value(OutputFormat::Json, &list()),
        ObjectFormat::Yaml => value(OutputFormat::Yaml, &list()),
        ObjectFormat::Name => objects.iter().try_for_each(|object| line(&named(object))),
    }
}

/// An object as kubectl names it: `killswitch.reeve.dev/stop`.
pub(crate) fn named<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{}.{}/{}", K::kind(&()).to_lowercase(), K::group(&()), object.name_any())
}

/// A table with a heading. No cell has a control character in it, and an empty one says so.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns.
    pub(crate) fn new(heading: &[&str]) -> Table {
        Table { rows: vec![heading.iter().map(|&column| column.to_owned()).collect()] }
    }

    /// The next row; as many cells as there are columns.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let shown = |cell: String| if cell.is_empty() { "<none>".to_owned() } else { one_line(&cell) };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The lines, each column as wide as its widest cell.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let lines = self.rows.iter().map(|row| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect();
            format!("{}\n", cells.join(GAP).trim_end())
        });
        lines.collect()
    }
}

/// So many of something: `1 row`, `2 rows`.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_says_what_is_empty() {
        let mut table = Table::new(&["NAME", "WHAT"]);
        table.row(["mend".to_owned(), String::new()]);
        table.row(["漢字漢字".to_owned(), "a\x1b[2Jb\n".to_owned()]);
        assert_eq!(table.text(), "NAME       WHAT\nmend       <none>\n漢字漢字   a [2Jb\n");
    }
}
