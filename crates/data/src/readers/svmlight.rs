//! svmlight's text of sparse rows, which LIBSVM and LIBLINEAR read, too: `LABEL [qid:N] INDEX:VALUE
//! INDEX:VALUE … # comment`. <https://www.cs.cornell.edu/people/tj/svm_light/>

use std::io::{BufRead, BufReader, Read as _};

use chainrule_core::{BadRows, ColumnKind, TextOptions};

use super::csv::separated;
use super::records::RowCheck;
use super::text::{Beginning, TextSource, text_source};
use super::{Input, Limits, Read, Reader, Record, Records, Required, TableContent};
use crate::decimal::decimal;
use crate::dialect::encoding;
use crate::learn::shortened;
use crate::read_as::{Fact, ReadAs};
use crate::sparse::each_entry;
use crate::table::MAX_ROW_LENGTH;

pub(super) const READER: Svmlight = Svmlight;

/// The reader of svmlight files.
pub(super) struct Svmlight;

/// The names of the columns. The file has none.
const LABEL: &str = "label";
const QUERY: &str = "qid";
const FEATURES: &str = "features";

/// The lines that decide what a file is.
const SNIFFED_LINES: usize = 20;

impl Reader for Svmlight {
    fn name(&self) -> &'static str {
        "svmlight"
    }

    fn one(&self) -> &'static str {
        "an svmlight file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["svm", "svmlight", "libsvm"]
    }

    fn about(&self) -> &'static str {
        "sparse rows as LIBSVM reads them: a label, and INDEX:VALUE for each feature that is not 0"
    }

    /// The first row must have entries, or most of the first lines, or one if all have the form of
    /// rows. So a row of another form is an error of this format. But a table with a header, and
    /// one of numbers and times, are none.
    fn sniff(&self, beginning: &[u8]) -> bool {
        let beginning = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning);
        let lines = beginning.split(|byte| matches!(byte, b'\n' | b'\r'));
        let lines: Vec<&[u8]> =
            lines.map(without_comment).filter(|line| !line.is_empty()).take(SNIFFED_LINES).collect();
        let n_entries: Vec<Option<usize>> = lines.iter().map(|line| count_entries(line)).collect();
        let has_entries = |count: &Option<usize>| count.is_some_and(|count| count > 0);
        let mut entries = lines.iter().flat_map(|line| words_in(line).skip(1));
        if !lines.first().is_some_and(|line| begins_with_label(line)) || entries.all(is_time) {
            return false;
        }
        let n_with_entries = n_entries.iter().filter(|count| has_entries(count)).count();
        n_entries.first().is_some_and(has_entries)
            || 2 * n_with_entries > n_entries.len()
            || n_with_entries > 0 && n_entries.iter().all(Option::is_some)
    }

    fn read(&self) -> Read {
        Read::Table(read)
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns a line without its comment and the white space around it.
fn without_comment(line: &[u8]) -> &[u8] {
    line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii()
}

/// Returns the number of a row's entries. `None` if the line has another form. Only the form is
/// looked at, so that a wrong value is an error of this format. The last entry may be cut off.
fn count_entries(line: &[u8]) -> Option<usize> {
    let words: Vec<&[u8]> = words_in(line).skip(1).collect();
    let n_entries = words.iter().filter(|word| is_entry(word)).count();
    let is_rest_of_form = words.iter().enumerate().all(|(i, word)| {
        is_entry(word)
            || (i == 0 && word.starts_with(b"qid:"))
            || (i > 0 && i + 1 == words.len() && word.iter().all(u8::is_ascii_digit))
    });
    // A row without a label is an error of this format, too, but not one of a single entry.
    let has_label = begins_with_label(line) && (n_entries > 0 || !words_in(line).any(is_entry));
    (has_label && is_rest_of_form).then_some(n_entries)
}

fn words_in(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Returns whether a line begins with a label, or with several, or with an entry.
fn begins_with_label(line: &[u8]) -> bool {
    words_in(line).next().is_some_and(|label| {
        label.split(|&byte| byte == b',').all(|label| decimal(label).is_some()) || is_entry(label)
    })
}

fn is_entry(word: &[u8]) -> bool {
    let parts = word.split(|&byte| byte == b':').collect::<Vec<_>>();
    matches!(parts[..], [index, _] if !index.is_empty() && index.iter().all(u8::is_ascii_digit))
}

/// Returns whether a word is a time of day, such as `12:30`.
fn is_time(word: &[u8]) -> bool {
    let is_up_to = |digits: &[u8], tens: u8| digits[0] <= tens && digits.iter().all(u8::is_ascii_digit);
    word.len() == 5 && word[2] == b':' && is_up_to(&word[..2], b'2') && is_up_to(&word[3..], b'5')
}

fn read<'a>(mut input: Input<'a>, options: TextOptions, limits: Limits) -> Result<TableContent<'a>, String> {
    // Sparse rows have neither.
    if options.separator.is_some() || options.header.is_some() {
        return separated(input, options, limits);
    }
    let beginning = Beginning::read(&mut input);
    let (encoding, of_encoding) = encoding(beginning.sample(), options.encoding)?;
    let source = BufReader::new(text_source(beginning, input, encoding, limits.file));
    let rows = RowCheck::new(encoding, options.bad_rows);
    let kinds = [(FEATURES.to_owned(), ColumnKind::Sparse)];
    let mut records = Rows {
        source,
        rows,
        of_encoding,
        kinds,
        line: 0,
        text: Vec::new(),
        has_queries: false,
        has_index_0: false,
        is_first_held: false,
        are_names_read: false,
    };
    // The first row says whether there is a qid.
    records.is_first_held = records.next_line()?;
    let first = without_comment(&records.text);
    records.has_queries = split(first).is_ok_and(|parts| parts.query.is_some());
    Ok(TableContent::Records(Box::new(records)))
}

struct Rows<'a> {
    source: BufReader<TextSource<'a>>,
    rows: RowCheck,
    of_encoding: Fact,
    kinds: [(String, ColumnKind); 1],
    /// The line that was read last, from 1, and its text.
    line: u64,
    text: Vec<u8>,
    /// Whether each row has a query.
    has_queries: bool,
    /// Whether a row has the index 0.
    has_index_0: bool,
    /// Whether the text is that of the first row, which was not returned yet.
    is_first_held: bool,
    are_names_read: bool,
}

impl Rows<'_> {
    /// Reads the next line that has something other than a comment. Returns false at the end.
    fn next_line(&mut self) -> Result<bool, String> {
        loop {
            self.text.clear();
            let mut line = self.source.by_ref().take(MAX_ROW_LENGTH);
            let read = line.read_until(b'\n', &mut self.text);
            self.line += 1;
            if self.text.len() as u64 == MAX_ROW_LENGTH {
                return Err(format!("line {}: it has more than {MAX_ROW_LENGTH} bytes", self.line));
            }
            if read.map_err(|error| error.to_string())? == 0 {
                return Ok(false);
            }
            if self.line == 1 && self.text.starts_with(BYTE_ORDER_MARK) {
                self.text.drain(..BYTE_ORDER_MARK.len());
            }
            if !without_comment(&self.text).is_empty() {
                return Ok(true);
            }
        }
    }

    /// Splits the line into the fields of the columns.
    fn fields(&mut self, record: &mut Record) -> Result<(), String> {
        // A bad row has no fields of the one before it.
        record.fields.clear();
        let Parts { label, query, entries } = split(without_comment(&self.text))?;
        if query.is_some() != self.has_queries {
            let has = if self.has_queries { "no" } else { "a" };
            return Err(format!("it has {has} qid, unlike the first row"));
        }
        self.has_index_0 |= entries.starts_with(b"0:");
        record.fields.push_field(label);
        query.into_iter().for_each(|query| record.fields.push_field(query));
        record.fields.push_field(entries);
        record.has_quotes = false;
        self.rows.check_text(&record.fields)?;
        // Other rows are checked where they are parsed.
        if self.rows.bad_rows == BadRows::Skip { each_entry(entries, |_, _| {}) } else { Ok(()) }
    }
}

/// The parts of a row.
struct Parts<'a> {
    label: &'a [u8],
    query: Option<&'a [u8]>,
    entries: &'a [u8],
}

/// Splits a row, without its comment, into its parts.
fn split(row: &[u8]) -> Result<Parts<'_>, String> {
    let word_of = |text: &[u8]| text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let shown = |word: &[u8]| shortened(&String::from_utf8_lossy(word));
    let (label, rest) = row.split_at(word_of(row));
    if label.contains(&b':') {
        return Err(format!("it begins with {:?}, but a row begins with its label", shown(label)));
    }
    if label.contains(&b',') {
        return Err(format!("it has several labels ({:?}), but a classifier learns one for each row", shown(label)));
    }
    let rest = rest.trim_ascii_start();
    let Some(query) = rest.strip_prefix(b"qid:") else { return Ok(Parts { label, query: None, entries: rest }) };
    let (query, entries) = query.split_at(word_of(query));
    if query.is_empty() {
        return Err("its qid: has no value".to_owned());
    }
    Ok(Parts { label, query: Some(query), entries: entries.trim_ascii_start() })
}

impl Records for Rows<'_> {
    fn next(&mut self, record: &mut Record) -> Result<bool, String> {
        if !std::mem::replace(&mut self.are_names_read, true) {
            let names = [Some(LABEL), self.has_queries.then_some(QUERY), Some(FEATURES)];
            record.fields = names.into_iter().flatten().collect::<Vec<_>>().into();
            record.has_quotes = false;
            return Ok(true);
        }
        while std::mem::take(&mut self.is_first_held) || self.next_line()? {
            let row = self.fields(record).and_then(|()| self.rows.check_values(&record.fields));
            if self.rows.accept(row, self.line, record)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn require(&mut self, fields: Vec<Required>) {
        self.rows.required = fields;
    }

    fn keep_bad_rows(&mut self) {
        self.rows.keeps_bad = true;
    }

    fn read_as(&self) -> ReadAs {
        let fact = |what, is: &str, why: &str, unusual: Option<&str>| Fact {
            what,
            is: is.to_owned(),
            why: why.to_owned(),
            unusual: unusual.map(str::to_owned),
        };
        let form = fact("rows", "LABEL INDEX:VALUE …", "the form of its first lines", None);
        let indices = match self.has_index_0 {
            true => fact("indices", "from 0", "a row has the index 0", Some("indices from 0")),
            false => fact("indices", "from 1", "no row has the index 0", None),
        };
        let queries = self.has_queries.then(|| {
            let is = "no feature; data.group = \"qid\" holds rows of one qid out together";
            fact("qid", is, "its first row has one", Some("qid is no feature"))
        });
        let facts = [self.of_encoding.clone(), form, indices].into_iter().chain(queries).collect();
        ReadAs { format: READER.name(), facts, notes: Vec::new(), skipped: self.rows.skipped.clone() }
    }

    fn kinds(&self) -> &[(String, ColumnKind)] {
        &self.kinds
    }

    fn sha256(self: Box<Self>) -> String {
        self.source.into_inner().sha256()
    }
}
