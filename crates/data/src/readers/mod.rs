//! The kinds of files that rows are read from, and the sentences that name them.
//!
//! [`READERS`] is the list. One more is a file with a [`Reader`], and its line in `readers!`: what
//! commands and the library take, the endings that are looked for, `--help` and every error that
//! names kinds of files go by the list.

use std::fmt::Write;
use std::io;

use chainrule_core::{ContentError, DataKind};

use crate::foreign;
use crate::idx::IdxImages;
use crate::picture::{Grey, PictureError};
use crate::tables::{TRAIN, VALIDATION};

pub use crate::input::Input;
pub use records::{Record, Records};

mod records;

/// A kind of file.
pub trait Reader: Sync {
    /// What the format is called: `CSV`.
    fn name(&self) -> &'static str;

    /// What one file is called in a sentence, with its article: `a CSV file`.
    fn one(&self) -> &'static str;

    /// What names of files end with, in small letters and without a dot, the usual one first. That
    /// a file is gzipped adds `.gz`.
    fn endings(&self) -> &'static [&'static str];

    /// What it holds, in a line.
    fn about(&self) -> &'static str;

    /// Whether a file begins so, decompressed.
    fn sniff(&self, beginning: &[u8]) -> bool;

    /// How it is read.
    fn read(&self) -> Read;
}

/// What a kind of file holds, and the function that reads it.
#[derive(Clone, Copy)]
pub enum Read {
    /// A table of at most so many bytes, record by record.
    Table(for<'a> fn(Input<'a>, u64) -> Box<dyn Records + 'a>),
    /// Images of one size, light ink on a ground of 0, of at most so many bytes.
    Images(fn(Input, u64) -> Result<IdxImages, ContentError>),
    /// A picture of any size.
    Picture(fn(&[u8]) -> Result<Grey, PictureError>),
}

/// Makes the list of readers: of each the module, which has it as `READER`.
macro_rules! readers {
    ($($module:ident,)+) => {
        $(mod $module;)+

        /// All there are, in the order in which they are named.
        pub static READERS: &[&dyn Reader] = &[$(&$module::READER,)+];
    };
}

readers! {
    png,
    jpeg,
    idx,
    csv,
}

/// Kinds of which `predict` makes images.
pub const IMAGES: &[DataKind] = &[DataKind::Pictures, DataKind::Images];
/// Pictures of any size.
pub const PICTURES: &[DataKind] = &[DataKind::Pictures];
/// Tables.
pub const TABLES: &[DataKind] = &[DataKind::Table];

impl dyn Reader {
    /// What its files hold.
    pub fn kind(&self) -> DataKind {
        match self.read() {
            Read::Table(_) => DataKind::Table,
            Read::Images(_) => DataKind::Images,
            Read::Picture(_) => DataKind::Pictures,
        }
    }
}

/// The readers of these kinds.
pub fn of(kinds: &[DataKind]) -> impl Iterator<Item = &'static dyn Reader> {
    READERS.iter().copied().filter(|reader| kinds.contains(&reader.kind()))
}

/// The reader of a file that begins so, decompressed.
pub fn sniff(beginning: &[u8]) -> Option<&'static dyn Reader> {
    READERS.iter().copied().find(|reader| reader.sniff(beginning))
}

/// The records of a table, of at most so many bytes.
pub(crate) fn records<'a>(source: impl io::Read + 'a, most_bytes: u64) -> Result<Box<dyn Records + 'a>, ContentError> {
    let input = Input::new(source);
    match sniff(input.beginning()).map(Reader::read) {
        Some(Read::Table(read)) => Ok(read(input, most_bytes)),
        _ => Err(foreign::no_table(input.beginning()).into()),
    }
}

/// The names of these kinds, for a sentence: with `or`, `PNG or JPEG`.
pub fn names(kinds: &[DataKind], conjunction: &str) -> String {
    joined(of(kinds).map(Reader::name), conjunction)
}

/// What a file of these kinds is called, for a sentence: with `or`, `a PNG or a JPEG`.
pub fn files(kinds: &[DataKind], conjunction: &str) -> String {
    joined(of(kinds).map(Reader::one), conjunction)
}

/// The same without articles: `PNG or JPEG`.
pub fn files_without_articles(kinds: &[DataKind], conjunction: &str) -> String {
    let one = |reader: &'static dyn Reader| reader.one().split_once(' ').map_or(reader.one(), |(_, one)| one);
    joined(of(kinds).map(one), conjunction)
}

/// What names of tables end with, plain and gzipped, the usual one first.
pub fn table_endings() -> impl Iterator<Item = String> {
    let endings = of(TABLES).flat_map(Reader::endings);
    endings.flat_map(|ending| [format!(".{ending}"), format!(".{ending}.gz")])
}

/// What tables of these parts of a folder are usually called, for a sentence.
pub(crate) fn part_files(parts: &[&str]) -> String {
    joined(parts.iter().flat_map(|part| usual_endings().map(move |ending| format!("{part}.{ending}"))), "or")
}

/// What a folder's table to train on is usually called, for a sentence: `train.csv`.
pub fn train_tables() -> String {
    part_files(&[TRAIN])
}

/// What a folder's two tables are usually called, for a sentence: `train.csv and validation.csv`.
pub fn pairs_of_tables() -> String {
    joined(usual_endings().map(|ending| format!("{TRAIN}.{ending} and {}.{ending}", VALIDATION[0])), "or")
}

/// The usual ending of each table's name, without a dot.
fn usual_endings() -> impl Iterator<Item = &'static str> {
    of(TABLES).filter_map(|reader| reader.endings().first()).copied()
}

/// Words as in a sentence.
fn joined(words: impl IntoIterator<Item = impl AsRef<str>>, conjunction: &str) -> String {
    let words: Vec<_> = words.into_iter().collect();
    let mut text = String::new();
    for (i, word) in words.iter().enumerate() {
        let word = word.as_ref();
        let written = match words.len() - i {
            _ if i == 0 => write!(text, "{word}"),
            1 => write!(text, " {conjunction} {word}"),
            _ => write!(text, ", {word}"),
        };
        written.expect("writing to a String cannot fail");
    }
    text
}
