//! What the reader could not read, and where.

use std::fmt;

use serde::Serialize;

/// A place in a document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What was expected or found, as one sentence without a full stop.
    pub message: String,
    /// The byte of the document; line and column follow from it.
    #[serde(skip)]
    pub(crate) at: usize,
}

impl ParseError {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        // Parts of the document are quoted: as one line, and not too long.
        let message: String = message.into();
        let message = message.chars().map(|c| if c.is_control() { '�' } else { c }).take(300).collect();
        Self { line: 0, column: 0, message, at }
    }

    /// Finds line and column.
    pub(crate) fn located(mut self, text: &str) -> Self {
        (self.line, self.column) = position(text, self.at);
        self
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Returns the line and the column of a byte, both from 1.
pub(crate) fn position(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Returns the name that a word is probably meant to be, if one is near.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: String = word.chars().take(40).collect();
    let limit = (word.chars().count() / 3).clamp(1, 3);
    let distances = names.into_iter().map(|name| (strsim::damerau_levenshtein(&word, name), name));
    let near = distances.filter(|&(distance, name)| distance <= limit && distance < name.chars().count());
    // `sigm` is the beginning of `sigma`: a prefix is nearer than another word at the same
    // distance.
    near.min_by_key(|(distance, name)| (*distance, !name.starts_with(&*word))).map(|(_, name)| name)
}
