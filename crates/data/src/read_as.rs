use std::fmt::Write;

use chainrule_core::pluralize;
use serde::Serialize;

/// What a file was taken for, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReadAs {
    /// The name of the format.
    pub format: &'static str,
    /// What was recognised.
    pub facts: Vec<Fact>,
    /// What was changed or left out, one sentence each.
    pub notes: Vec<String>,
    /// The rows that were left out because they cannot be read (`data.bad_rows`).
    pub skipped: Skipped,
}

/// Something that was recognised in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What was looked for, such as `separator`.
    pub what: &'static str,
    /// What it is, such as `semicolons`.
    pub is: String,
    /// Why.
    pub why: String,
    /// A few words, if it is not what most files have.
    #[serde(skip)]
    pub unusual: Option<String>,
}

/// Rows that were left out because they cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The number of rows.
    pub rows: u64,
    /// What is wrong with the first ones, with their lines.
    pub first: Vec<String>,
    /// The number of readable rows before each.
    #[serde(skip)]
    pub(crate) positions: Vec<u32>,
    /// Whether rows should be left out, but the format has none that cannot be read. A value of
    /// another kind than its column's is an error then.
    #[serde(skip)]
    pub(crate) has_no_effect: bool,
}

/// How many problems of rows are kept.
const KEPT: usize = 5;

impl Skipped {
    /// Adds a row. `readable` rows were read before it.
    pub(crate) fn add(&mut self, problem: impl FnOnce() -> String, readable: u32) {
        if self.first.len() < KEPT {
            self.first.push(problem());
        }
        self.rows += 1;
        self.positions.push(readable);
    }

    /// Returns the number of a readable row among all rows of the file, from 0.
    pub(crate) fn position_in_file(&self, row: usize) -> usize {
        row + self.positions.partition_point(|&readable| readable as usize <= row)
    }
}

impl ReadAs {
    /// Returns one line about what most files do not have. `None` if there is nothing.
    pub fn message(&self) -> Option<String> {
        let unusual: Vec<&str> = self.facts.iter().filter_map(|fact| fact.unusual.as_deref()).collect();
        let mut parts: Vec<String> = self.notes.clone();
        if !unusual.is_empty() {
            parts.insert(0, unusual.join(", "));
        }
        (!parts.is_empty()).then(|| format!("read as: {}", parts.join("; ")))
    }

    /// Returns the sentence about rows that were left out, or could not be, if there is something
    /// to say.
    pub fn skipped_message(&self) -> Option<String> {
        let Skipped { rows, first, has_no_effect, .. } = &self.skipped;
        if *has_no_effect {
            return Some(format!(
                "data.bad_rows = \"skip\" has no effect on {}: a value that is not of its column's kind is an error",
                self.format
            ));
        }
        if *rows == 0 {
            return None;
        }
        let rows_left = rows - first.len() as u64;
        let are = if *rows == 1 { "is" } else { "are" };
        let count = usize::try_from(*rows).unwrap_or(usize::MAX);
        let mut text = format!("{} that cannot be read {are} left out: {}", pluralize(count, "row"), first.join("; "));
        if rows_left > 0 {
            write!(text, "; and {rows_left} more").expect("writing to a String cannot fail");
        }
        Some(text)
    }
}
