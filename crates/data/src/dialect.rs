//! Recognises how the text of a table is written, from its beginning.

use chainrule_core::{Decimal, Separator, TextEncoding, TextOptions, pluralize};
use csv::{ByteRecord, ReaderBuilder};

use crate::decimal::{Form, NumberFormat};
use crate::decode::{decode, is_windows_1252};
use crate::header::{has_header, is_missing};
use crate::read_as::Fact;
use crate::table::MAX_ROW_LENGTH;

/// The beginning of a file.
#[derive(Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether the file ends here.
    pub(crate) is_whole: bool,
}

/// How the text of a table is written.
#[derive(Debug)]
pub(crate) struct Dialect {
    pub(crate) encoding: TextEncoding,
    pub(crate) separator: Separator,
    /// Whether line 1 is Excel's `sep=;`.
    pub(crate) has_separator_line: bool,
    pub(crate) numbers: NumberFormat,
    pub(crate) has_header: bool,
    pub(crate) shape: Shape,
    /// What was recognised, and why.
    pub(crate) facts: Vec<Fact>,
}

/// How the fields of a row belong to the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One field a name.
    Plain,
    /// Each row ends in a separator. The empty field after it is dropped.
    EmptyLast {
        /// Whether the header ends so, too.
        in_header: bool,
    },
    /// The first field of a row is its name, and the header has no name for it, as R writes.
    RowNames,
}

/// How many records are compared.
const RECORDS: usize = 200;

impl Dialect {
    /// Recognises what the options do not give.
    ///
    /// # Errors
    /// Fails if the text may be read in two ways, or if it is no text.
    pub(crate) fn of(sample: Sample, options: &TextOptions) -> Result<Self, String> {
        let (encoding, of_encoding) = encoding(sample, options.encoding)?;
        let mut text = decode(sample.bytes, encoding);
        if text.starts_with(b"\xef\xbb\xbf") {
            text.drain(..3);
        }
        if let Some(at) = text.iter().position(|&byte| byte == 0) {
            let line = 1 + text[..at].iter().filter(|&&byte| byte == b'\n').count();
            return Err(format!(
                "line {line}: it has a NUL byte, which no text has; the file is no text table, or is damaged"
            ));
        }
        let separator_line = separator_line(&text);
        if let Some((_, length)) = separator_line {
            text.drain(..length);
        }
        // Whoever splits the text reports a row that is too long.
        if !sample.is_whole {
            let lines = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
            if text.len() - lines > MAX_ROW_LENGTH as usize / 2 {
                text.truncate(if lines > 0 { lines } else { SHORT });
            }
        }
        let first_line = if separator_line.is_some() { 2 } else { 1 };
        let sample = Sample { bytes: &text, is_whole: sample.is_whole };
        let (Candidate { separator, records, .. }, of_separator) =
            separator(sample, options.separator, separator_line.map(|(separator, _)| separator))?;
        let (numbers, of_decimal) = numbers(&records, separator, options)?;
        let is_number = |field: &[u8]| {
            let form = Form::of(field.trim_ascii());
            form.has_point_at_most() || (separator != Separator::Comma && form.has_comma())
        };
        let header = match options.header {
            None => has_header(&records, is_number, first_line)?,
            Some(has_names) => {
                crate::header::HasHeader { has_names, why: "data.header".to_owned(), is_doubtful: false }
            }
        };
        let columns = records.first().map_or(0, ByteRecord::len);
        let of_header = Fact {
            what: "header",
            is: match header.has_names {
                true => "yes".to_owned(),
                false => {
                    format!("no; the columns are named by their numbers, from {:?}", crate::header::number_name(0))
                }
            },
            why: header.why,
            unusual: match header.has_names {
                true => header.is_doubtful.then(|| "a header with numbers for names".to_owned()),
                false => Some("no header".to_owned()),
            },
        };
        let shape = shape(&records, header.has_names);
        let of_shape = match shape {
            Shape::Plain => None,
            Shape::EmptyLast { .. } => Some((
                "the empty field at the end of each row is dropped",
                format!("each row ends in a separator after {columns} fields"),
            )),
            Shape::RowNames => Some((
                "the first column has row names",
                format!("the first line has {}, and each row one more field", pluralize(columns, "name")),
            )),
        };
        let of_shape =
            of_shape.map(|(is, why)| Fact { what: "fields", is: is.to_owned(), why, unusual: Some(is.to_owned()) });
        let facts = [of_encoding, of_separator, of_decimal, of_header].into_iter().chain(of_shape).collect();
        Ok(Self {
            encoding,
            separator,
            has_separator_line: separator_line.is_some(),
            numbers,
            has_header: header.has_names,
            shape,
            facts,
        })
    }
}

/// What says that text has another encoding than those that are supported.
const ENCODINGS: &str = "save it as UTF-8, or set data.encoding";

/// Recognises the encoding.
pub(crate) fn encoding(sample: Sample, given: Option<TextEncoding>) -> Result<(TextEncoding, Fact), String> {
    let bytes = sample.bytes;
    let fact = |encoding: TextEncoding, why: String| {
        let unusual = (encoding != TextEncoding::Utf8).then(|| encoding.name().to_owned());
        Ok((encoding, Fact { what: "encoding", is: encoding.name().to_owned(), why, unusual }))
    };
    if let Some(given) = given {
        return fact(given, "data.encoding".to_owned());
    }
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Err("it is UTF-32 text; save it as UTF-8".to_owned());
    }
    for (mark, encoding) in [
        (&b"\xef\xbb\xbf"[..], TextEncoding::Utf8),
        (b"\xff\xfe", TextEncoding::Utf16Le),
        (b"\xfe\xff", TextEncoding::Utf16Be),
    ] {
        if bytes.starts_with(mark) {
            return fact(encoding, "its byte order mark".to_owned());
        }
    }
    if let Some(encoding) = utf_16(bytes) {
        return fact(encoding, "every second byte is 0, as in UTF-16 without a byte order mark".to_owned());
    }
    let valid = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // The sample may end within a character.
        Err(error) => error.error_len().is_none() && !sample.is_whole,
    };
    let length = format!("its {}{} bytes", if sample.is_whole { "" } else { "first " }, bytes.len());
    if valid {
        let are = if bytes.is_ascii() { "are ASCII" } else { "are valid UTF-8" };
        return fact(TextEncoding::Utf8, format!("{length} {are}"));
    }
    // Letters with accents stand among ASCII letters in western languages. Other scripts have runs.
    let is_high = |byte: &u8| *byte >= 0x80;
    let high = bytes.iter().filter(|byte| is_high(byte)).count();
    let in_runs: usize = bytes.split(|byte| !is_high(byte)).map(<[u8]>::len).filter(|&length| length >= 3).sum();
    let line = |at: usize| 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
    let first = bytes.iter().position(is_high).unwrap_or_default();
    if bytes.contains(&0) {
        return Err("it is no text: it has NUL bytes and bytes that are not UTF-8".to_owned());
    }
    if 2 * in_runs > high {
        return Err(format!(
            "line {}: the byte 0x{:02X} is not UTF-8, and the text does not look like Latin-1 either; {ENCODINGS}",
            line(first),
            bytes[first]
        ));
    }
    if let Some(at) = bytes.iter().position(|&byte| !is_windows_1252(byte)) {
        return Err(format!(
            "line {}: the byte 0x{:02X} is neither UTF-8 nor Windows-1252; {ENCODINGS}",
            line(at),
            bytes[at]
        ));
    }
    let encoding = match bytes.iter().any(|byte| (0x80..0xa0).contains(byte)) {
        true => TextEncoding::Windows1252,
        false => TextEncoding::Latin1,
    };
    let decoded = decode(&bytes[first..=first], encoding);
    fact(
        encoding,
        format!(
            "line {} is not valid UTF-8, and its byte 0x{:02X} is {:?} in {}",
            line(first),
            bytes[first],
            String::from_utf8_lossy(&decoded),
            encoding.name()
        ),
    )
}

/// Returns which UTF-16 the bytes are, if most characters are ASCII.
fn utf_16(bytes: &[u8]) -> Option<TextEncoding> {
    let pairs = bytes.chunks_exact(2);
    let n = pairs.len();
    let is_text = |byte: u8| byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r');
    let fits = |zero: usize| {
        let ascii = pairs.clone().filter(|pair| pair[zero] == 0);
        n > 1 && 5 * ascii.clone().count() >= 4 * n && ascii.map(|pair| pair[1 - zero]).all(is_text)
    };
    [(1, TextEncoding::Utf16Le), (0, TextEncoding::Utf16Be)]
        .into_iter()
        .find_map(|(zero, encoding)| fits(zero).then_some(encoding))
}

/// Returns the separator of Excel's first line `sep=;` and the length of the line.
fn separator_line(text: &[u8]) -> Option<(Separator, usize)> {
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    let line = text[..end].strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(&text[..end]);
    let mark = match line.get(..4) {
        Some(start) if start.eq_ignore_ascii_case(b"sep=") => &line[4..],
        _ => return None,
    };
    let separator = Separator::ALL.into_iter().find(|separator| mark == [separator.byte()])?;
    let length = if text[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
    Some((separator, length))
}

/// The bytes that are looked at of a line without an end.
const SHORT: usize = 1 << 16;

/// A separator with the records that it makes of the sample.
struct Candidate {
    separator: Separator,
    records: Vec<ByteRecord>,
    /// The most frequent number of fields of the records, without the first.
    fields: usize,
    /// The number of records with as many fields.
    fitting: usize,
    /// The share of fields that are numbers or empty.
    typed: f64,
}

impl Candidate {
    fn of(sample: Sample, separator: Separator) -> Self {
        let mut builder = ReaderBuilder::new();
        let mut reader =
            builder.has_headers(false).flexible(true).delimiter(separator.byte()).from_reader(sample.bytes);
        let (mut records, mut record) = (Vec::new(), ByteRecord::new());
        // Reading from memory cannot fail, and any bytes are records.
        while records.len() < RECORDS && reader.read_byte_record(&mut record).unwrap_or_default() {
            records.push(std::mem::take(&mut record));
        }
        // The last record may be cut.
        if !sample.is_whole && records.len() > 1 && records.len() < RECORDS {
            records.pop();
        }
        let rows = if records.len() > 1 { &records[1..] } else { &records[..] };
        let mut counts: Vec<usize> = rows.iter().map(ByteRecord::len).collect();
        counts.sort_unstable();
        let frequent = counts.chunk_by(|one, other| one == other).max_by_key(|run| (run.len(), run[0]));
        let fields = frequent.and_then(|run| run.first().copied()).unwrap_or(1);
        let fitting = records.iter().filter(|record| record.len() == fields).count();
        let is_typed = |field: &[u8]| {
            let form = Form::of(field.trim_ascii());
            is_missing(field) || form.has_point_at_most() || (separator != Separator::Comma && form.has_comma())
        };
        let all = records.iter().flatten();
        let typed = all.clone().filter(|field| is_typed(field)).count() as f64 / all.count().max(1) as f64;
        Self { separator, records, fields, fitting, typed }
    }

    /// Whether the separator divides the records, and the first one as the others.
    fn divides(&self) -> bool {
        let first = self.records.first().map_or(0, ByteRecord::len);
        self.fields > 1 && first.abs_diff(self.fields) <= 1
    }

    fn share(&self) -> f64 {
        self.fitting as f64 / self.records.len().max(1) as f64
    }

    /// Says how many records have the same number of fields.
    fn why(&self) -> String {
        let Self { records, fields, fitting, .. } = self;
        let first = if records.len() == RECORDS { "first " } else { "" };
        match records.len() {
            1 => format!("its only line has {}", pluralize(*fields, "field")),
            n if *fitting == n => format!("each of its {first}{n} lines has {}", pluralize(*fields, "field")),
            n => format!("{fitting} of its {first}{n} lines have {}", pluralize(*fields, "field")),
        }
    }
}

fn separator(
    sample: Sample,
    given: Option<Separator>,
    of_line: Option<Separator>,
) -> Result<(Candidate, Fact), String> {
    let fact = |candidate: &Candidate, why: String| {
        let separator = candidate.separator;
        let unusual = (separator != Separator::Comma).then(|| separator.plural().to_owned());
        Fact { what: "separator", is: separator.plural().to_owned(), why, unusual }
    };
    let known = given.map(|given| (given, "data.separator")).or(of_line.map(|separator| (separator, "the line sep=")));
    if let Some((separator, why)) = known {
        let candidate = Candidate::of(sample, separator);
        let fact = fact(&candidate, why.to_owned());
        return Ok((candidate, fact));
    }
    let mut candidates = Separator::ALL.map(|separator| Candidate::of(sample, separator));
    // A stable sort: of equals, the first separator of the list.
    candidates.sort_by(|one, other| {
        let key = |candidate: &Candidate| (candidate.divides(), candidate.share(), candidate.typed, candidate.fields);
        let (one, other) = (key(one), key(other));
        other.0.cmp(&one.0).then(other.1.total_cmp(&one.1)).then(other.2.total_cmp(&one.2)).then(other.3.cmp(&one.3))
    });
    let is_fallback = |candidate: &Candidate| candidate.fields > 1 && candidate.share() >= 0.5;
    let best = candidates.iter().position(Candidate::divides).or_else(|| candidates.iter().position(is_fallback));
    let Some(best) = best else {
        let comma = candidates.into_iter().find(|candidate| candidate.separator == Separator::Comma);
        let comma = comma.expect("the list has the comma");
        let fact = Fact {
            what: "separator",
            is: "none; one column".to_owned(),
            why: "no comma, semicolon, tab or bar divides its lines evenly".to_owned(),
            unusual: Some("one column".to_owned()),
        };
        return Ok((comma, fact));
    };
    let candidate = candidates.into_iter().nth(best).expect("the position was found");
    if may_be_one_column(&candidate) {
        return Err(format!(
            "its first line has one name, and the {} below it may separate fields or be part of the values; set data.separator (to another one for a single column)",
            candidate.separator.plural()
        ));
    }
    let fact = fact(&candidate, candidate.why());
    Ok((candidate, fact))
}

/// Whether one name stands above lines that the separator divides, such as `3,14`.
fn may_be_one_column(candidate: &Candidate) -> bool {
    let Some((first, rows)) = candidate.records.split_first() else { return false };
    let has_value = |row: &ByteRecord| row.get(1).is_some_and(|field| !field.trim_ascii().is_empty());
    first.len() == 1 && rows.iter().any(has_value)
}

/// Decides whether numbers have a decimal comma, from the columns that have only numbers.
fn numbers(
    records: &[ByteRecord],
    separator: Separator,
    options: &TextOptions,
) -> Result<(NumberFormat, Fact), String> {
    let fact = |is: &str, why: String| {
        let unusual = is.contains("comma").then(|| is.to_owned());
        Fact { what: "decimal", is: is.to_owned(), why, unusual }
    };
    let comma = |has_groups: bool, why: String| {
        let is = if has_groups { "decimal comma, points group digits" } else { "decimal comma" };
        Ok((NumberFormat::Comma { has_groups }, fact(is, why)))
    };
    let point = |why: String| Ok((NumberFormat::Point, fact("decimal point", why)));
    match options.decimal {
        Some(Decimal::Comma) => return comma(true, "data.decimal".to_owned()),
        Some(Decimal::Point) => return point("data.decimal".to_owned()),
        None if separator == Separator::Comma => return point("commas separate the fields".to_owned()),
        None => {}
    }
    // The first record may be a header.
    let rows = if records.len() > 1 { &records[1..] } else { records };
    let columns = rows.iter().map(ByteRecord::len).max().unwrap_or_default();
    let mut examples: Vec<(Form, String)> = Vec::new();
    let mut has_comma_in_text = false;
    for column in 0..columns {
        let fields = rows.iter().filter_map(|row| row.get(column)).map(<[u8]>::trim_ascii);
        let forms = fields.filter(|field| !is_missing(field)).map(|field| (Form::of(field), field));
        let are_numbers = forms.clone().all(|(form, _)| form != Form::Other);
        for (form, field) in forms {
            if !are_numbers {
                has_comma_in_text |= form.has_comma();
            } else if !examples.iter().any(|(known, _)| *known == form) {
                examples.push((form, String::from_utf8_lossy(field).into_owned()));
            }
        }
    }
    let example = |forms: &[Form]| examples.iter().find(|(form, _)| forms.contains(form)).map(|(_, field)| field);
    let grouped_point = example(&[Form::PointsThenComma]);
    let of_comma = grouped_point.or_else(|| example(&[Form::Comma]));
    let of_point = example(&[Form::Point, Form::CommasThenPoint]);
    let either_point = example(&[Form::PointOrGroup]);
    let either_comma = example(&[Form::CommaOrGroup]);
    match (of_comma, of_point) {
        (Some(comma), Some(point)) => Err(format!(
            "its numbers have commas, as in {comma:?}, and points, as in {point:?}; write all in one way, or set data.decimal to \"point\", which makes texts of the former"
        )),
        (Some(written), None) => match either_point.filter(|_| grouped_point.is_none()) {
            Some(either) => Err(format!(
                "its numbers have a decimal comma, as in {written:?}, so that {either:?} may be with or without a fraction; data.decimal = \"comma\" reads its point as a mark between groups of digits"
            )),
            None => comma(grouped_point.is_some(), format!("its numbers are written as {written:?}")),
        },
        (None, Some(written)) => point(format!("its numbers are written as {written:?}")),
        (None, None) => match (either_comma, either_point) {
            (Some(either), _) => Err(format!(
                "{either:?} may have a decimal comma, or one that groups its digits; data.decimal = \"comma\" reads the former, \"point\" makes it a text"
            )),
            (None, Some(either)) if separator == Separator::Semicolon => Err(format!(
                "{either:?} may have a decimal point, or one that groups its digits; data.decimal = \"point\" reads the former, \"comma\" the latter"
            )),
            (None, Some(written)) => point(format!("its numbers are written as {written:?}")),
            (None, None) if has_comma_in_text => point("only texts have commas".to_owned()),
            (None, None) => {
                Ok((NumberFormat::Unknown, fact("decimal point", "no number has a fraction so far".to_owned())))
            }
        },
    }
}

/// Compares the number of names with that of the rows' fields.
fn shape(records: &[ByteRecord], has_header: bool) -> Shape {
    let Some((first, rows)) = records.split_first() else { return Shape::Plain };
    let rows = if has_header { rows } else { records };
    let is_empty = |record: &ByteRecord| record.iter().next_back().is_some_and(|field| field.trim_ascii().is_empty());
    let have = |fields: usize| !rows.is_empty() && rows.iter().all(|row| row.len() == fields);
    let end_empty = rows.iter().all(is_empty);
    if has_header && have(first.len() + 1) {
        return if end_empty { Shape::EmptyLast { in_header: false } } else { Shape::RowNames };
    }
    if have(first.len()) && first.len() > 1 && end_empty && is_empty(first) {
        return Shape::EmptyLast { in_header: true };
    }
    Shape::Plain
}
