//! The list of supported file formats, and phrases that name them in messages.
//!
//! The list is [`READERS`]. A new format is one file with a [`Reader`] and one line in `readers!`.
//! The commands, the library, the file extensions, `--help` and all error messages use the list.

use std::fmt::Write;

use chainrule_core::{BadRows, ContentError, DataKind, TextOptions};

use crate::foreign;
use crate::idx::IdxImages;
use crate::input::with_compressed;
use crate::picture::{Grey, PictureError};
use crate::read_as::{Fact, ReadAs};
use crate::tables::{TRAIN, VALIDATION};

pub use crate::input::{CODECS, Codec, Input, Packed, compressed_extensions, compressions};
pub use batches::{Batch, Batches, Field, Fields};
#[cfg(feature = "arrow")]
pub(crate) use record_batches::RecordBatches;
pub use records::{Record, RecordBlock, Records, Required, Row};

#[cfg(feature = "arrow")]
mod arrow_types;
mod batches;
#[cfg(feature = "arrow")]
mod record_batches;
mod records;
mod splitter;
mod text;

/// A file format.
pub trait Reader: Sync {
    /// Returns the name of the format, such as `CSV`.
    fn name(&self) -> &'static str;

    /// Returns a phrase for one file, with its article, such as `a CSV file`.
    fn one(&self) -> &'static str;

    /// Returns the file extensions in lower case, without a dot, the usual one first. A compressed
    /// file adds that of its [`Codec`].
    fn extensions(&self) -> &'static [&'static str];

    /// Returns a one-line description of the content.
    fn about(&self) -> &'static str;

    /// Returns whether a file of this format can begin with these decompressed bytes.
    fn sniff(&self, beginning: &[u8]) -> bool;

    /// Returns whether the format is read in another order than that of its bytes.
    fn needs_random_access(&self) -> bool {
        false
    }

    /// Returns the function that reads the format.
    fn read(&self) -> Read;
}

/// The content of a format, with the function that reads it.
#[derive(Clone, Copy)]
pub enum Read {
    /// A table within limits.
    Table(ReadTable),
    /// Images of one size, light ink on a background of 0, of at most the given number of bytes.
    Images(fn(Input, u64) -> Result<IdxImages, ContentError>),
    /// A picture of any size.
    Picture(fn(&[u8]) -> Result<Grey, PictureError>),
}

/// Opens a table. The options say what is known of its text.
pub type ReadTable = for<'a> fn(Input<'a>, TextOptions, Limits) -> Result<TableContent<'a>, String>;

/// The limits of what is read of a table.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest number of bytes of the file, decompressed.
    pub file: u64,
    /// The largest number of these bytes that the reader holds at a time. It concerns formats that
    /// are not read line by line.
    pub memory: u64,
}

impl Limits {
    /// The limits of a table whose rows are kept in memory.
    pub(crate) fn of_rows(max_bytes: u64) -> Self {
        Self { file: max_bytes, memory: max_bytes }
    }

    /// The limits of a table whose rows are not kept.
    pub(crate) fn of_summary(memory: u64) -> Self {
        Self { file: u64::MAX, memory }
    }
}

/// The content of an open table.
pub enum TableContent<'a> {
    /// It is stored by rows.
    Records(Box<dyn Records + 'a>),
    /// It is stored by columns.
    Batches(Box<dyn Batches + 'a>),
}

/// Builds the list of readers. Each module has its reader as `READER`.
macro_rules! readers {
    ($($(#[$attribute:meta])* $module:ident,)+) => {
        $($(#[$attribute])* mod $module;)+

        /// All readers, in the order in which messages name them.
        pub static READERS: &[&dyn Reader] = &[$($(#[$attribute])* &$module::READER,)+];
    };
}

readers! {
    png,
    jpeg,
    idx,
    csv,
    arff,
    svmlight,
    #[cfg(feature = "parquet")]
    parquet,
    #[cfg(feature = "parquet")]
    arrow,
}

/// The formats that `predict` converts to images.
pub const IMAGES: &[DataKind] = &[DataKind::Pictures, DataKind::Images];
/// The formats of pictures of any size.
pub const PICTURES: &[DataKind] = &[DataKind::Pictures];
/// The formats of tables.
pub const TABLES: &[DataKind] = &[DataKind::Table];

impl dyn Reader {
    /// Returns the kind of data in the format.
    pub fn kind(&self) -> DataKind {
        match self.read() {
            Read::Table(_) => DataKind::Table,
            Read::Images(_) => DataKind::Images,
            Read::Picture(_) => DataKind::Pictures,
        }
    }
}

/// Returns the readers of these kinds.
pub fn of(kinds: &[DataKind]) -> impl Iterator<Item = &'static dyn Reader> {
    READERS.iter().copied().filter(|reader| kinds.contains(&reader.kind()))
}

/// Returns the reader for a file with this decompressed beginning.
pub fn sniff(beginning: &[u8]) -> Option<&'static dyn Reader> {
    READERS.iter().copied().find(|reader| reader.sniff(beginning))
}

/// A table whose rows can be read.
pub(crate) struct OpenTable<'a> {
    pub(crate) content: TableContent<'a>,
    compression: Option<&'static str>,
    bad_rows: BadRows,
}

impl<'a> OpenTable<'a> {
    /// Opens a table.
    pub(crate) fn new(input: Input<'a>, options: TextOptions, limits: Limits) -> Result<Self, ContentError> {
        let compression = input.compression();
        match sniff(input.beginning()).map(Reader::read) {
            Some(Read::Table(read)) => {
                Ok(Self { content: read(input, options, limits)?, compression, bad_rows: options.bad_rows })
            }
            _ => Err(foreign::no_table(input.beginning()).into()),
        }
    }

    /// Opens a table of record batches in memory.
    #[cfg(feature = "arrow")]
    pub(crate) fn of_record_batches(source: impl arrow_array::RecordBatchReader + 'a) -> Self {
        let content = TableContent::Batches(Box::new(RecordBatches::new(source)));
        Self { content, compression: None, bad_rows: BadRows::Error }
    }

    /// Returns what the file was taken for. `notes` are about its names.
    pub(crate) fn read_as(&self, notes: Vec<String>) -> ReadAs {
        let of_content = match &self.content {
            TableContent::Records(records) => records.read_as(),
            TableContent::Batches(batches) => batches.read_as(),
        };
        let mut read_as = ReadAs { notes, ..of_content };
        read_as.skipped.has_no_effect =
            matches!(self.content, TableContent::Batches(_)) && self.bad_rows == BadRows::Skip;
        let fact = |is: &str| Fact {
            what: "compression",
            is: is.to_owned(),
            why: "its first bytes".to_owned(),
            unusual: None,
        };
        read_as.facts.splice(0..0, self.compression.map(fact));
        read_as
    }

    /// Returns the SHA-256 of the file, decompressed. Call it after the last row.
    pub(crate) fn sha256(self) -> String {
        match self.content {
            TableContent::Records(records) => records.sha256(),
            TableContent::Batches(batches) => batches.sha256(),
        }
    }
}

/// Returns the names of these formats for a sentence: with `or`, `PNG or JPEG`.
pub fn names(kinds: &[DataKind], conjunction: &str) -> String {
    joined(of(kinds).map(Reader::name), conjunction)
}

/// Returns phrases for a file of these formats: with `or`, `a PNG or a JPEG`.
pub fn files(kinds: &[DataKind], conjunction: &str) -> String {
    joined(of(kinds).map(Reader::one), conjunction)
}

/// Like [`files`], without articles: `PNG or JPEG`.
pub fn files_without_articles(kinds: &[DataKind], conjunction: &str) -> String {
    let one = |reader: &'static dyn Reader| reader.one().split_once(' ').map_or(reader.one(), |(_, one)| one);
    joined(of(kinds).map(one), conjunction)
}

/// Returns the file extensions of tables, plain and compressed, the usual one first.
pub fn table_extensions() -> impl Iterator<Item = String> {
    let extensions = of(TABLES).flat_map(Reader::extensions);
    extensions.flat_map(|extension| with_compressed(&format!(".{extension}")).collect::<Vec<_>>())
}

/// Returns the usual file names of these table parts, for a sentence.
pub(crate) fn part_files(parts: &[&str]) -> String {
    joined(parts.iter().flat_map(|part| usual_extensions().map(move |extension| format!("{part}.{extension}"))), "or")
}

/// Returns the usual name of a folder's training table, for a sentence: `train.csv`.
pub fn train_tables() -> String {
    part_files(&[TRAIN])
}

/// Returns the usual names of a folder's two tables, for a sentence: `train.csv and
/// validation.csv`.
pub fn pairs_of_tables() -> String {
    joined(usual_extensions().map(|extension| format!("{TRAIN}.{extension} and {}.{extension}", VALIDATION[0])), "or")
}

/// Returns the usual extension of the usual table format, without a dot. To name all would make
/// sentences long.
fn usual_extensions() -> impl Iterator<Item = &'static str> {
    of(TABLES).filter_map(|reader| reader.extensions().first()).copied().take(1)
}

/// Joins words as in a sentence.
pub(crate) fn joined(words: impl IntoIterator<Item = impl AsRef<str>>, conjunction: &str) -> String {
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
