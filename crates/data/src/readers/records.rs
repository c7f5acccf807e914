use std::ops::Range;

/// The records of a table. The first record has the column names.
pub trait Records {
    /// Reads the next records into `block`: one, or as many as are convenient. Returns false at
    /// the end.
    ///
    /// # Errors
    /// Fails if a record cannot be read or is invalid; the error gives its line.
    fn next(&mut self, block: &mut RecordBlock, how_many: HowMany) -> Result<bool, String>;

    /// Returns the SHA-256 of the file, decompressed. Call it after the last record.
    fn sha256(self: Box<Self>) -> String;
}

/// How many records to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HowMany {
    /// One.
    One,
    /// Some, of a convenient number of bytes.
    Some,
}

/// Consecutive records as they were read.
#[derive(Debug, Default)]
pub struct RecordBlock {
    /// The bytes of the fields.
    pub(crate) text: Vec<u8>,
    pub(crate) records: BlockRecords,
}

/// Where the records of a block are.
#[derive(Debug)]
pub(crate) enum BlockRecords {
    /// Each line that is not blank is a record. Its fields are split at each separator.
    Lines { separator: u8, first_line: u64 },
    /// The records were split.
    Split(SplitRecords),
}

impl Default for BlockRecords {
    fn default() -> Self {
        Self::Split(SplitRecords::default())
    }
}

#[derive(Debug, Default)]
pub(crate) struct SplitRecords {
    /// Where each field is.
    pub(crate) fields: Vec<Range<u32>>,
    pub(crate) records: Vec<SplitRecord>,
}

#[derive(Debug)]
pub(crate) struct SplitRecord {
    pub(crate) fields: Range<u32>,
    pub(crate) line: u64,
    pub(crate) has_quotes: bool,
}

/// A record of a block.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The bytes of the block, and the same as a text if they are UTF-8.
    bytes: &'a [u8],
    text: Option<&'a str>,
    fields: &'a [Range<u32>],
    /// Its first line, from 1.
    pub(crate) line: u64,
    /// Whether the record has quotes. White space in a record with quotes may belong to a field.
    pub(crate) has_quotes: bool,
}

impl<'a> Record<'a> {
    /// Returns the number of fields.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Returns a field.
    pub(crate) fn field(&self, index: usize) -> &'a [u8] {
        let Range { start, end } = self.fields[index];
        &self.bytes[start as usize..end as usize]
    }

    /// Returns a field's text without the white space around it.
    ///
    /// # Errors
    /// Fails if it is not UTF-8.
    pub(crate) fn trimmed(&self, index: usize) -> Result<&'a str, &'static str> {
        let Range { start, end } = self.fields[index];
        // Checking a whole block at once is faster than field by field.
        match self.text.and_then(|text| text.get(start as usize..end as usize)) {
            Some(text) => Ok(text.trim_ascii()),
            None => std::str::from_utf8(self.field(index).trim_ascii()).map_err(|_| "not UTF-8"),
        }
    }

    /// Iterates over the fields.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        self.fields.iter().map(move |field| &bytes[field.start as usize..field.end as usize])
    }
}

impl RecordBlock {
    /// Calls `visit` with each record, until it fails.
    ///
    /// # Errors
    /// Fails as `visit` does.
    pub(crate) fn each<E>(&self, mut visit: impl FnMut(Record) -> Result<(), E>) -> Result<(), E> {
        let (bytes, text) = (&self.text[..], std::str::from_utf8(&self.text).ok());
        match &self.records {
            BlockRecords::Split(SplitRecords { fields, records }) => {
                records.iter().try_for_each(|SplitRecord { fields: own, line, has_quotes }| {
                    let fields = &fields[own.start as usize..own.end as usize];
                    visit(Record { bytes, text, fields, line: *line, has_quotes: *has_quotes })
                })
            }
            BlockRecords::Lines { separator, first_line } => {
                let (mut fields, mut start, mut line) = (Vec::new(), 0, *first_line);
                for end in memchr::memchr2_iter(*separator, b'\n', bytes) {
                    let is_line_end = bytes[end] == b'\n';
                    let is_blank = is_line_end && fields.is_empty() && start == end;
                    if !is_blank {
                        fields.push(start as u32..end as u32);
                    }
                    start = end + 1;
                    if is_line_end {
                        if !is_blank {
                            visit(Record { bytes, text, fields: &fields, line, has_quotes: false })?;
                            fields.clear();
                        }
                        line += 1;
                    }
                }
                Ok(())
            }
        }
    }
}
