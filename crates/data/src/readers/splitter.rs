//! Splits text with one separator character into records (RFC 4180).

use std::io::{ErrorKind, Read};

use csv_core::ReadRecordResult;

use super::Record;
use super::records::BLOCK_BYTES;
use crate::table::MAX_ROW_LENGTH;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Splits a text whose lines end with `\n`.
///
/// Lines without quotes can be taken as they are, to be split at each separator. Only `csv-core`
/// decides about lines with quotes.
pub(super) struct Splitter<R> {
    source: R,
    core: csv_core::Reader,
    /// Bytes of the text. Those from `start` on were not returned yet; they begin with a record.
    buffer: Vec<u8>,
    start: usize,
    /// The line of the first byte that was not returned.
    next_line: u64,
    is_at_end: bool,
    output: Vec<u8>,
    ends: Vec<usize>,
}

/// Lines without quotes.
pub(super) struct WholeLines {
    pub(super) text: Vec<u8>,
    /// The line of the first byte, from 1.
    pub(super) first_line: u64,
    pub(super) n_lines: u64,
}

/// The size of a record.
struct Size {
    read: usize,
    fields: usize,
}

impl<R: Read> Splitter<R> {
    pub(super) fn new(source: R, separator: u8) -> Self {
        Self {
            source,
            core: csv_core::ReaderBuilder::new().delimiter(separator).build(),
            buffer: Vec::new(),
            start: 0,
            next_line: 1,
            is_at_end: false,
            output: Vec::new(),
            ends: vec![0; 64],
        }
    }

    /// Returns the text that is left.
    pub(super) fn into_source(self) -> R {
        self.source
    }

    /// Reads the next record. Returns its first line, or `None` at the end.
    ///
    /// # Errors
    /// Fails if the text cannot be read, if a record is too long, or if a quote is not closed.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<Option<u64>, String> {
        loop {
            let rest = &self.buffer[self.start..];
            let blank = rest.iter().take_while(|&&byte| byte == b'\n').count();
            let line = self.next_line + blank as u64;
            if let Some(size) = split(&mut self.core, rest, &mut self.output, &mut self.ends) {
                let raw = &rest[..size.read];
                record.fields.clear();
                let (mut start, ends) = (0, &self.ends[..size.fields]);
                for &end in ends {
                    record.fields.push_field(&self.output[start..end]);
                    start = end;
                }
                // Without quotes each byte is part of a field, a separator or a line end.
                let plain = blank + start + size.fields;
                record.has_quotes = raw.len() > plain;
                self.next_line += count_lines(raw);
                self.start += size.read;
                return Ok(Some(line));
            }
            if self.is_at_end {
                if blank < rest.len() {
                    return Err(format!("line {line}: a quote is not closed"));
                }
                return Ok(None);
            }
            if rest.len() as u64 > MAX_ROW_LENGTH {
                return Err(format!(
                    "line {line}: the row has more than {MAX_ROW_LENGTH} bytes; perhaps a quote is not closed"
                ));
            }
            self.fill()?;
        }
    }

    /// Takes whole lines without quotes. Returns `None` at the end, or if a quote comes first.
    ///
    /// # Errors
    /// Fails if the text cannot be read.
    pub(super) fn next_lines(&mut self) -> Result<Option<WholeLines>, String> {
        loop {
            let rest = &self.buffer[self.start..];
            let quote = memchr::memchr(b'"', rest);
            if let Some(last) = memchr::memrchr(b'\n', &rest[..quote.unwrap_or(rest.len())]) {
                // Little is left, so that leaving it costs less than copying the lines.
                let left = self.buffer.split_off(self.start + last + 1);
                let mut text = std::mem::replace(&mut self.buffer, left);
                text.drain(..std::mem::take(&mut self.start));
                let (first_line, n_lines) = (self.next_line, count_lines(&text));
                self.next_line += n_lines;
                return Ok(Some(WholeLines { text, first_line, n_lines }));
            }
            // The buffer ends within a line.
            if quote.is_some() || self.is_at_end || rest.len() as u64 > MAX_ROW_LENGTH {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// Reads more bytes.
    fn fill(&mut self) -> Result<(), String> {
        self.buffer.drain(..self.start);
        let is_first = self.next_line == 1 && self.start == 0 && self.buffer.is_empty();
        self.start = 0;
        let mut end = self.buffer.len();
        self.buffer.resize(end + BLOCK_BYTES, 0);
        while end < self.buffer.len() && !self.is_at_end {
            match self.source.read(&mut self.buffer[end..]) {
                Ok(count) => {
                    self.is_at_end = count == 0;
                    end += count;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        self.buffer.truncate(end);
        if is_first && self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.buffer.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(())
    }
}

/// Splits the first record. Returns `None` if it does not end in `input`.
fn split(core: &mut csv_core::Reader, input: &[u8], output: &mut Vec<u8>, ends: &mut Vec<usize>) -> Option<Size> {
    core.reset();
    let (mut size, mut written) = (Size { read: 0, fields: 0 }, 0);
    loop {
        let (result, read, wrote, fields) =
            core.read_record(&input[size.read..], &mut output[written..], &mut ends[size.fields..]);
        size.read += read;
        size.fields += fields;
        written += wrote;
        match result {
            ReadRecordResult::Record => return Some(size),
            ReadRecordResult::OutputFull => output.resize(2 * output.len().max(512), 0),
            ReadRecordResult::OutputEndsFull => ends.resize(2 * ends.len(), 0),
            ReadRecordResult::InputEmpty | ReadRecordResult::End => return None,
        }
    }
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_near_a_quote_are_split_by_csv_core() {
        let line = "1.5,2,text\n".repeat(3);
        for n_before in [0, 1, 50_000] {
            for n_after in [0, 50_000] {
                let text = line.repeat(n_before) + "\"a\",b,c\n" + &line.repeat(n_after);
                let mut splitter = Splitter::new(text.as_bytes(), b',');
                let (mut lines, mut n_records, mut expected_line) = (String::new(), 0, 1);
                loop {
                    if let Some(whole) = splitter.next_lines().expect("it is in memory") {
                        let WholeLines { text, first_line, n_lines } = whole;
                        assert_eq!((first_line, n_lines), (expected_line, count_lines(&text)));
                        expected_line += n_lines;
                        lines += std::str::from_utf8(&text).expect("whole lines");
                    } else if let Some(first) = splitter.next(&mut Record::default()).expect("it is valid") {
                        assert_eq!(first, expected_line);
                        expected_line += 1;
                        n_records += 1;
                    } else {
                        break;
                    }
                }
                assert!(n_records == 1 && lines == line.repeat(n_before + n_after), "{n_records} records");
            }
        }
    }
}
