//! Text with one separator character, split into records (RFC 4180).

use std::io::{self, Read};

use csv_core::ReadRecordResult;

use super::records::{BlockRecords, HowMany, RecordBlock, Records, SplitRecord, SplitRecords};
use crate::checksum::CheckedBytes;
use crate::table::MAX_ROW_LENGTH;

/// The bytes read at a time.
const AT_ONCE: usize = 1 << 18;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The records of a text.
///
/// Lines without quotes are split at each separator, by whoever reads the block. Only `csv-core`
/// decides about lines with quotes.
pub(crate) struct Separated<R> {
    source: NormalizedSource<R>,
    separator: u8,
    /// The bytes that no block has yet. They begin with a record.
    rest: Vec<u8>,
    /// The line of the first of these bytes.
    line: u64,
    is_at_end: bool,
    core: csv_core::Reader,
}

impl<R: Read> Separated<R> {
    /// `source` may have at most `max_bytes`.
    pub(crate) fn new(source: R, max_bytes: u64, separator: u8) -> Self {
        Self {
            source: NormalizedSource::new(source, max_bytes),
            separator,
            rest: Vec::new(),
            line: 1,
            is_at_end: false,
            core: csv_core::ReaderBuilder::new().delimiter(separator).build(),
        }
    }

    /// Reads more bytes.
    fn fill(&mut self) -> Result<(), String> {
        if self.rest.len() as u64 > MAX_ROW_LENGTH {
            return Err(format!(
                "line {}: the row has more than {MAX_ROW_LENGTH} bytes; perhaps a quote is not closed",
                self.line + self.rest.iter().take_while(|&&byte| byte == b'\n').count() as u64
            ));
        }
        let is_first = self.line == 1 && self.rest.is_empty();
        let start = self.rest.len();
        self.rest.resize(start + AT_ONCE, 0);
        let mut end = start;
        while end < self.rest.len() && !self.is_at_end {
            let count = self.source.read(&mut self.rest[end..]).map_err(|error| error.to_string())?;
            self.is_at_end = count == 0;
            end += count;
        }
        self.rest.truncate(end);
        if is_first && self.rest.starts_with(BYTE_ORDER_MARK) {
            self.rest.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    /// Moves the first bytes of the rest to a block.
    fn take(&mut self, count: usize, block: &mut RecordBlock) {
        block.text.clear();
        block.text.extend_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
    }
}

impl<R: Read> Records for Separated<R> {
    fn next(&mut self, block: &mut RecordBlock, how_many: HowMany) -> Result<bool, String> {
        loop {
            if self.rest.is_empty() && self.is_at_end {
                return Ok(false);
            }
            if how_many == HowMany::Some
                && !self.rest.contains(&b'"')
                && let Some(last) = self.rest.iter().rposition(|&byte| byte == b'\n')
            {
                block.records = BlockRecords::Lines { separator: self.separator, first_line: self.line };
                self.take(last + 1, block);
                self.line += count_lines(&block.text);
                return Ok(true);
            }
            if self.split(block, how_many)? {
                return Ok(true);
            }
            if self.is_at_end {
                // Blank lines at the end, or none.
                self.rest.clear();
                return Ok(false);
            }
            self.fill()?;
        }
    }

    fn sha256(self: Box<Self>) -> String {
        self.source.checked.sha256()
    }
}

impl<R: Read> Separated<R> {
    /// Splits whole records by `csv-core`. Returns whether there was one.
    fn split(&mut self, block: &mut RecordBlock, how_many: HowMany) -> Result<bool, String> {
        let mut split = SplitRecords::default();
        block.text.clear();
        block.text.resize(self.rest.len(), 0);
        let mut ends = vec![0; 64];
        let (mut start, mut filled) = (0, 0);
        while start < self.rest.len() && !(how_many == HowMany::One && !split.records.is_empty()) {
            let Some(record) = split_one(&mut self.core, &self.rest[start..], &mut block.text[filled..], &mut ends)
            else {
                if self.is_at_end {
                    let line = self.line + blank_lines(&self.rest[start..]);
                    if self.rest[start..].iter().any(|&byte| byte != b'\n') {
                        return Err(format!("line {line}: a quote is not closed"));
                    }
                    start = self.rest.len();
                }
                break;
            };
            let raw = &self.rest[start..start + record.read];
            let blank = blank_lines(raw);
            let first = split.fields.len() as u32;
            let mut field_start = filled;
            for &end in &ends[..record.fields] {
                split.fields.push(field_start as u32..(filled + end) as u32);
                field_start = filled + end;
            }
            let plain = record.written + record.fields.saturating_sub(1) + 1;
            let has_quotes = raw.len() - blank as usize > plain;
            let fields = first..split.fields.len() as u32;
            split.records.push(SplitRecord { fields, line: self.line + blank, has_quotes });
            self.line += count_lines(raw);
            start += record.read;
            filled += record.written;
        }
        block.text.truncate(filled);
        self.rest.drain(..start);
        let found = !split.records.is_empty();
        block.records = BlockRecords::Split(split);
        Ok(found)
    }
}

/// The size of a record.
struct Size {
    read: usize,
    written: usize,
    fields: usize,
}

/// Splits the first record. Returns `None` if it does not end in `input`.
fn split_one(core: &mut csv_core::Reader, input: &[u8], output: &mut [u8], ends: &mut Vec<usize>) -> Option<Size> {
    core.reset();
    let mut size = Size { read: 0, written: 0, fields: 0 };
    loop {
        let (result, read, written, fields) =
            core.read_record(&input[size.read..], &mut output[size.written..], &mut ends[size.fields..]);
        size.read += read;
        size.written += written;
        size.fields += fields;
        match result {
            ReadRecordResult::Record => return Some(size),
            ReadRecordResult::OutputEndsFull => ends.resize(2 * ends.len(), 0),
            ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::End => return None,
        }
    }
}

/// The line breaks before the first other byte.
fn blank_lines(text: &[u8]) -> u64 {
    text.iter().take_while(|&&byte| byte == b'\n').count() as u64
}

fn count_lines(text: &[u8]) -> u64 {
    text.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// A reader that computes a checksum, limits the bytes of the file, and normalises line ends to
/// `\n`. It also ends the last line with `\n`.
struct NormalizedSource<R> {
    source: R,
    checked: CheckedBytes,
    after_return: bool,
    ends_line: bool,
}

impl<R> NormalizedSource<R> {
    fn new(source: R, max_bytes: u64) -> Self {
        Self { source, checked: CheckedBytes::new(max_bytes), after_return: false, ends_line: true }
    }
}

impl<R: Read> Read for NormalizedSource<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.source.read(buffer)?;
            let Some(first) = buffer.first_mut() else { return Ok(0) };
            if count == 0 {
                if self.ends_line {
                    return Ok(0);
                }
                *first = b'\n';
                self.ends_line = true;
                return Ok(1);
            }
            self.checked.add(&buffer[..count])?;
            let kept = self.normalize(&mut buffer[..count]);
            if kept > 0 {
                self.ends_line = buffer[kept - 1] == b'\n';
                return Ok(kept);
            }
        }
    }
}

impl<R> NormalizedSource<R> {
    /// Normalises line ends in place. Returns the bytes that are left.
    fn normalize(&mut self, buffer: &mut [u8]) -> usize {
        if !self.after_return && !buffer.contains(&b'\r') {
            return buffer.len();
        }
        let mut kept = 0;
        for i in 0..buffer.len() {
            let byte = buffer[i];
            let is_second_half = self.after_return && byte == b'\n';
            self.after_return = byte == b'\r';
            if !is_second_half {
                buffer[kept] = if self.after_return { b'\n' } else { byte };
                kept += 1;
            }
        }
        kept
    }
}
