//! How the text of a table is read. What is not given is recognised from the file.

use serde::{Deserialize, Serialize};

/// What may be said about the text of a table: `data.separator`, `data.decimal`, `data.encoding`,
/// `data.header` and `data.bad_rows`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextOptions {
    /// What separates the fields.
    pub separator: Option<Separator>,
    /// What separates the whole part of a number from its fraction.
    pub decimal: Option<Decimal>,
    /// How characters are stored as bytes.
    pub encoding: Option<TextEncoding>,
    /// Whether the first line has the names of the columns.
    pub header: Option<bool>,
    /// What becomes of a row that cannot be read.
    pub bad_rows: BadRows,
}

/// What separates the fields of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Separator {
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tab.
    Tab,
    /// `|`
    Bar,
}

impl Separator {
    /// All separators.
    pub const ALL: [Self; 4] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Bar];

    /// Returns the character.
    pub fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Bar => b'|',
        }
    }

    /// Returns the name for a sentence: `semicolons`.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Comma => "commas",
            Self::Semicolon => "semicolons",
            Self::Tab => "tabs",
            Self::Bar => "bars",
        }
    }
}

/// What separates the whole part of a number from its fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decimal {
    /// `3.14`
    Point,
    /// `3,14`
    Comma,
}

/// How the characters of a text are stored as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextEncoding {
    /// UTF-8, with or without a byte order mark.
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16, the low byte first.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// UTF-16, the high byte first.
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// Windows-1252, Microsoft's extension of Latin-1: it has `€` and curly quotes.
    #[serde(rename = "windows-1252")]
    Windows1252,
    /// Latin-1 (ISO 8859-1): each byte is the character of that number.
    #[serde(rename = "latin-1")]
    Latin1,
}

impl TextEncoding {
    /// Returns the usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Windows1252 => "Windows-1252",
            Self::Latin1 => "Latin-1",
        }
    }
}

/// What becomes of a row that cannot be read: it has too many or too few fields, its text is not
/// valid in the encoding, or it has no number in a column that must have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadRows {
    /// Reading fails, with the row's line.
    #[default]
    Error,
    /// The row is left out. The number of these rows and the first few are reported.
    Skip,
}

impl BadRows {
    /// Returns whether this is the default.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn is_error(&self) -> bool {
        *self == Self::Error
    }
}
