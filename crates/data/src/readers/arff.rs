//! ARFF, Weka's format: a header that names the columns and their kinds, then lines of values.
//! <https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/>

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read as _};

use chainrule_core::{ColumnKind, TextOptions, pluralize};

use super::records::RowCheck;
use super::text::{Beginning, TextSource, text_source};
use super::{Input, Limits, Read, Reader, Record, Records, Required, TableContent};
use crate::dialect::encoding;
use crate::header::is_missing;
use crate::read_as::{Fact, ReadAs};
use crate::table::{MAX_COLUMNS, MAX_ROW_LENGTH, number};

pub(super) const READER: Arff = Arff;

/// The reader of ARFF files.
pub(super) struct Arff;

impl Reader for Arff {
    fn name(&self) -> &'static str {
        "ARFF"
    }

    fn one(&self) -> &'static str {
        "an ARFF file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["arff"]
    }

    fn about(&self) -> &'static str {
        "Weka's tables: the header names the columns and their kinds"
    }

    fn sniff(&self, beginning: &[u8]) -> bool {
        let beginning = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning);
        let mut lines = beginning.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
        let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"%"));
        first.and_then(|line| line.get(..9)).is_some_and(|start| start.eq_ignore_ascii_case(b"@relation"))
    }

    fn read(&self) -> Read {
        Read::Table(read)
    }
}

fn read<'a>(mut input: Input<'a>, options: TextOptions, limits: Limits) -> Result<TableContent<'a>, String> {
    let beginning = Beginning::read(&mut input);
    let (encoding, of_encoding) = encoding(beginning.sample(), options.encoding)?;
    let source = BufReader::new(text_source(beginning, input, encoding, limits.file));
    let rows = RowCheck::new(encoding, options.bad_rows);
    let (attributes, facts, kinds) = (Vec::new(), vec![of_encoding], Vec::new());
    let mut records =
        ArffRecords { source, rows, attributes, facts, kinds, line: 0, text: Vec::new(), is_header_read: false };
    records.read_header()?;
    Ok(TableContent::Records(Box::new(records)))
}

/// The values of a column.
enum Values {
    Numbers,
    /// One of these texts.
    Nominal(BTreeSet<Vec<u8>>),
    Any,
}

struct ArffRecords<'a> {
    source: BufReader<TextSource<'a>>,
    rows: RowCheck,
    /// The columns with their values.
    attributes: Vec<(String, Values)>,
    facts: Vec<Fact>,
    kinds: Vec<(String, ColumnKind)>,
    /// The line that was read last, from 1, and its text.
    line: u64,
    text: Vec<u8>,
    is_header_read: bool,
}

impl ArffRecords<'_> {
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
            let text = self.text.trim_ascii();
            if !text.is_empty() && !text.starts_with(b"%") && text != b"\xef\xbb\xbf" {
                return Ok(true);
            }
        }
    }

    /// Reads the declarations up to `@data`.
    fn read_header(&mut self) -> Result<(), String> {
        loop {
            if !self.next_line()? {
                return Err("it has no @data line, after which the rows stand".to_owned());
            }
            let text = self.text.trim_ascii();
            let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
            let (word, rest) = (text[..end].to_ascii_lowercase(), &text[end..]);
            let line = self.line;
            match &word[..] {
                b"@relation" => {}
                b"@attribute" => {
                    let (name, values) = attribute(rest).map_err(|problem| format!("line {line}: {problem}"))?;
                    if self.attributes.iter().any(|(known, _)| *known == name) {
                        return Err(format!("line {line}: two attributes are named {name:?}"));
                    }
                    if self.attributes.len() == MAX_COLUMNS {
                        return Err(format!("line {line}: at most {MAX_COLUMNS} attributes are supported"));
                    }
                    self.attributes.push((name, values));
                }
                b"@data" => break,
                _ => {
                    return Err(format!(
                        "line {line}: expected @attribute or @data, found {:?}",
                        String::from_utf8_lossy(&text[..text.len().min(40)])
                    ));
                }
            }
        }
        let nominal = |(name, values): &(String, Values)| {
            matches!(values, Values::Nominal(_)).then(|| (name.clone(), ColumnKind::Category))
        };
        self.kinds = self.attributes.iter().filter_map(nominal).collect();
        let count = pluralize(self.attributes.len(), "column");
        self.facts.push(Fact {
            what: "header",
            is: format!("{count}, {} of them nominal", self.kinds.len()),
            why: "its @attribute lines".to_owned(),
            unusual: None,
        });
        Ok(())
    }

    /// Splits the line into values, and checks them.
    fn values(&self, record: &mut Record) -> Result<(), String> {
        // A bad row has no fields of the one before it.
        record.fields.clear();
        let text = self.text.trim_ascii();
        if text.starts_with(b"{") {
            return Err("a sparse row ({position value, …}) is not supported; save the file without Weka's NonSparseToSparse filter".to_owned());
        }
        let (values, has_quotes) = split(text)?;
        (record.fields, record.has_quotes) = (values.into(), has_quotes);
        let fields = &record.fields;
        if fields.len() != self.attributes.len() {
            let (fields, attributes) = (pluralize(fields.len(), "field"), self.attributes.len());
            return Err(format!("{fields}, but the header has {}", pluralize(attributes, "attribute")));
        }
        self.rows.check_text(fields)?;
        for (field, (name, values)) in fields.iter().zip(&self.attributes) {
            let problem = match values {
                _ if is_missing(field) => continue,
                Values::Numbers if number(field).is_none() => "is no number",
                Values::Nominal(levels) if !levels.contains(field) => "is not in the list of its @attribute",
                _ => continue,
            };
            return Err(format!("column {name:?}: {:?} {problem}", String::from_utf8_lossy(field)));
        }
        Ok(())
    }
}

impl Records for ArffRecords<'_> {
    fn next(&mut self, record: &mut Record) -> Result<bool, String> {
        if !std::mem::replace(&mut self.is_header_read, true) {
            record.fields = self.attributes.iter().map(|(name, _)| name).collect::<Vec<_>>().into();
            record.has_quotes = false;
            return Ok(true);
        }
        while self.next_line()? {
            let row = self.values(record).and_then(|()| self.rows.check_values(&record.fields));
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
        let (facts, skipped) = (self.facts.clone(), self.rows.skipped.clone());
        ReadAs { format: READER.name(), facts, notes: Vec::new(), skipped }
    }

    fn kinds(&self) -> &[(String, ColumnKind)] {
        &self.kinds
    }

    fn sha256(self: Box<Self>) -> String {
        self.source.into_inner().sha256()
    }
}

/// Parses the name and the kind of an attribute.
fn attribute(text: &[u8]) -> Result<(String, Values), String> {
    let text = text.trim_ascii();
    let (name, rest) = match text.first() {
        Some(&quote @ (b'\'' | b'"')) => {
            let (name, length) = quoted(text, quote)?;
            (name, &text[length..])
        }
        _ => {
            let end = text.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'{').unwrap_or(text.len());
            (text[..end].to_vec(), &text[end..])
        }
    };
    let name = String::from_utf8(name).map_err(|_| "the name of an attribute is not UTF-8")?;
    let kind = rest.trim_ascii();
    if let Some(list) = kind.strip_prefix(b"{") {
        let list = list.strip_suffix(b"}").ok_or_else(|| format!("the list of {name:?} has no closing brace"))?;
        let (levels, _) = split(list)?;
        return Ok((name, Values::Nominal(levels.into_iter().collect())));
    }
    let word = kind.split(u8::is_ascii_whitespace).next().unwrap_or_default().to_ascii_lowercase();
    match &word[..] {
        b"numeric" | b"real" | b"integer" => Ok((name, Values::Numbers)),
        b"string" | b"date" => Ok((name, Values::Any)),
        _ => Err(format!(
            "the attribute {name:?} has the kind {:?}; supported are numeric, real, integer, string, date and lists in braces",
            String::from_utf8_lossy(&word)
        )),
    }
}

/// Splits values at commas outside quotes, without white space around them. A question mark without
/// quotes becomes an empty field. Also returns whether there are quotes.
fn split(text: &[u8]) -> Result<(Vec<Vec<u8>>, bool), String> {
    let (mut values, mut has_quotes, mut rest) = (Vec::new(), false, text);
    loop {
        rest = rest.trim_ascii_start();
        let value = match rest.first() {
            Some(&quote @ (b'\'' | b'"')) => {
                has_quotes = true;
                let (value, length) = quoted(rest, quote)?;
                rest = rest[length..].trim_ascii_start();
                if !rest.is_empty() && rest[0] != b',' {
                    return Err("something stands after a closing quote".to_owned());
                }
                value
            }
            _ => {
                let end = rest.iter().position(|&byte| byte == b',').unwrap_or(rest.len());
                let value = rest[..end].trim_ascii();
                rest = &rest[end..];
                if value == b"?" { Vec::new() } else { value.to_vec() }
            }
        };
        values.push(value);
        match rest.split_first() {
            Some((_, after)) => rest = after,
            None => return Ok((values, has_quotes)),
        }
    }
}

/// Returns the text in quotes at the start, and its length with quotes. A backslash escapes.
fn quoted(text: &[u8], quote: u8) -> Result<(Vec<u8>, usize), String> {
    let (mut value, mut i) = (Vec::new(), 1);
    while let Some(&byte) = text.get(i) {
        i += 1;
        match (byte, text.get(i)) {
            (b'\\', Some(&escaped)) => {
                i += 1;
                value.push(match escaped {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    other => other,
                });
            }
            _ if byte == quote => return Ok((value, i)),
            _ => value.push(byte),
        }
    }
    Err("a quote is not closed".to_owned())
}
