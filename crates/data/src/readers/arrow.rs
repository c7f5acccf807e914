//! Arrow's IPC format, as a file (also Feather version 2) or as a stream.

use std::collections::HashMap;
use std::io::{BufReader, Read as _};

use arrow_array::ArrayRef;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{read_dictionary, read_record_batch};
use arrow_ipc::{CompressionType, Endianness, MessageHeader, root_as_footer, root_as_message};
use arrow_schema::{Schema, SchemaRef};
use chainrule_core::one_line;

use super::arrow_types::{Compression, Projection, Rows, decompress, guarded, unsupported};
use super::{Batch, Batches, Input, Limits, Read, Reader, TableContent};
use crate::checksum::CheckedSource;
use crate::foreign::is_arrow_stream;
use crate::read_as::{Fact, ReadAs};

pub(super) const READER: Arrow = Arrow;

/// The reader of Arrow files.
pub(super) struct Arrow;

/// The first bytes of a file, and its last.
const MAGIC: &[u8] = b"ARROW1";
/// Comes before the length of each message.
const CONTINUATION: [u8; 4] = [0xff; 4];

impl Reader for Arrow {
    fn name(&self) -> &'static str {
        "Arrow"
    }

    fn one(&self) -> &'static str {
        "an Arrow file"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["arrow", "feather", "arrows"]
    }

    fn about(&self) -> &'static str {
        "a table: columns with their types, as a file (Feather) or a stream"
    }

    fn sniff(&self, beginning: &[u8]) -> bool {
        beginning.starts_with(MAGIC) || is_arrow_stream(beginning)
    }

    fn read(&self) -> Read {
        // The text options have no effect: the columns have types.
        Read::Table(|input, _, limits| Ok(TableContent::Batches(Box::new(Table::open(input, limits)?))))
    }
}

/// A table that is read message by message. A file has the same messages as a stream, and a list of
/// them at its end, which is only compared.
struct Table<'a> {
    source: CheckedSource<BufReader<Input<'a>>>,
    is_file: bool,
    /// The largest number of bytes of a message, and of all dictionaries.
    max_bytes: u64,
    schema: SchemaRef,
    /// The values that columns refer to, and the bytes of each dictionary.
    dictionaries: HashMap<i64, ArrayRef>,
    dictionary_bytes: HashMap<i64, u64>,
    projection: Projection,
    rows: Rows,
    /// The number of batches so far.
    n_batches: usize,
    is_at_end: bool,
}

/// A message: its description and its data.
struct Message {
    header: Vec<u8>,
    body: Vec<u8>,
}

impl<'a> Table<'a> {
    fn open(input: Input<'a>, limits: Limits) -> Result<Self, String> {
        let is_file = input.beginning().starts_with(MAGIC);
        let mut table = Self {
            source: CheckedSource::new(BufReader::new(input), limits.file),
            is_file,
            max_bytes: limits.memory,
            schema: Schema::empty().into(),
            dictionaries: HashMap::new(),
            dictionary_bytes: HashMap::new(),
            projection: Projection::default(),
            rows: Rows::default(),
            n_batches: 0,
            is_at_end: false,
        };
        table.guarded(|table| {
            if table.is_file {
                table.take(8)?;
            }
            let message = table.message()?.ok_or("it has no schema")?;
            let message = root_as_message(&message.header).map_err(|problem| problem.to_string())?;
            let schema = message.header_as_schema().ok_or("it has no schema")?;
            if schema.endianness() != Endianness::Little {
                return Err("big-endian numbers are not supported".to_owned());
            }
            table.schema = try_fb_to_schema(schema).map_err(|problem| problem.to_string())?.into();
            Ok(())
        })?;
        Ok(table)
    }

    /// Calls `work`. An error tells how far the table could be read.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        guarded(|| work(self)).map_err(|problem| {
            let (rows, problem) = (self.rows.converted(), one_line(&problem));
            let problem: String = problem.chars().take(300).collect();
            format!("cannot read this Arrow file after row {rows}: {problem}; write the file again")
        })
    }

    /// Reads exactly so many bytes.
    fn take(&mut self, count: u64) -> Result<Vec<u8>, String> {
        self.check_size("a message", count)?;
        let mut bytes = Vec::new();
        (&mut self.source).take(count).read_to_end(&mut bytes).map_err(|problem| problem.to_string())?;
        if (bytes.len() as u64) < count { Err("it is truncated".to_owned()) } else { Ok(bytes) }
    }

    /// Checks that so many bytes may be in memory.
    fn check_size(&self, what: &str, bytes: u64) -> Result<(), String> {
        if bytes > self.max_bytes {
            return Err(format!("{what} has more than the {} bytes that data.resident_bytes allows in memory", self.max_bytes));
        }
        Ok(())
    }

    fn length(&mut self) -> Result<[u8; 4], String> {
        Ok(self.take(4)?.try_into().expect("four bytes"))
    }

    /// Reads the next message. Returns `None` at the end mark.
    fn message(&mut self) -> Result<Option<Message>, String> {
        let mut length = self.length()?;
        if length == CONTINUATION {
            length = self.length()?;
        }
        let length = u64::try_from(i32::from_le_bytes(length)).map_err(|_| "a message has a negative length")?;
        if length == 0 {
            return Ok(None);
        }
        let header = self.take(length)?;
        let message = root_as_message(&header).map_err(|problem| problem.to_string())?;
        let length = u64::try_from(message.bodyLength()).map_err(|_| "a message has a negative length")?;
        let body = self.take(length)?;
        Ok(Some(Message { header, body }))
    }

    /// Reads messages until there are rows. Returns false at the end.
    fn read(&mut self) -> Result<bool, String> {
        let Some(message) = self.message()? else {
            self.end()?;
            return Ok(false);
        };
        let Message { header, body } = message.unpacked(self.max_bytes)?;
        let (message, body) = (root_as_message(&header).map_err(|problem| problem.to_string())?, Buffer::from_vec(body));
        match message.header_type() {
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch().ok_or("a batch has no description")?;
                if batch.length() < 0 {
                    return Err("a batch has a negative length".to_owned());
                }
                let (schema, columns) = (self.schema.clone(), Some(&self.projection.read[..]));
                let batch = read_record_batch(&body, batch, schema, &self.dictionaries, columns, &message.version());
                self.n_batches += 1;
                self.rows.push(batch.map_err(|problem| problem.to_string())?);
            }
            MessageHeader::DictionaryBatch => {
                let batch = message.header_as_dictionary_batch().ok_or("a dictionary has no description")?;
                let before = if batch.isDelta() { self.dictionary_bytes.get(&batch.id()).copied() } else { None };
                let bytes = before.unwrap_or_default() + body.len() as u64;
                self.dictionary_bytes.insert(batch.id(), bytes);
                self.check_size("the set of its dictionaries", self.dictionary_bytes.values().sum())?;
                read_dictionary(&body, batch, &self.schema, &mut self.dictionaries, &message.version())
                    .map_err(|problem| problem.to_string())?;
            }
            _ => return Err("it has a message of an unknown kind".to_owned()),
        }
        Ok(true)
    }

    /// Reads and checks what follows the end mark.
    fn end(&mut self) -> Result<(), String> {
        self.is_at_end = true;
        let mut rest = Vec::new();
        let limit = self.max_bytes.saturating_add(1);
        (&mut self.source).take(limit).read_to_end(&mut rest).map_err(|problem| problem.to_string())?;
        self.check_size("its footer", rest.len() as u64)?;
        if !self.is_file {
            return if rest.is_empty() { Ok(()) } else { Err("bytes follow the end of the stream".to_owned()) };
        }
        let truncated = || "it is truncated".to_owned();
        let rest = rest.strip_suffix(MAGIC).ok_or_else(truncated)?;
        let (rest, length) = rest.split_last_chunk::<4>().ok_or_else(truncated)?;
        let start = usize::try_from(i32::from_le_bytes(*length)).ok().and_then(|length| rest.len().checked_sub(length));
        let footer = root_as_footer(&rest[start.ok_or_else(truncated)?..]).map_err(|problem| problem.to_string())?;
        let expected = footer.recordBatches().map_or(0, |batches| batches.len());
        if expected != self.n_batches {
            return Err(format!("its footer lists {expected} batches, but it has {}", self.n_batches));
        }
        Ok(())
    }
}

impl Message {
    /// Decompresses the body, so that no decoder of the library is needed.
    fn unpacked(mut self, limit: u64) -> Result<Self, String> {
        let message = root_as_message(&self.header).map_err(|problem| problem.to_string())?;
        let batch = message.header_as_record_batch();
        let batch = batch.or_else(|| message.header_as_dictionary_batch().and_then(|batch| batch.data()));
        let Some((batch, compression)) = batch.and_then(|batch| Some((batch, batch.compression()?))) else {
            return Ok(self);
        };
        let compression = match compression.codec() {
            CompressionType::LZ4_FRAME => Compression::Lz4Frame,
            CompressionType::ZSTD => Compression::Zstd,
            _ => return Err("its compression is unknown".to_owned()),
        };
        let Some(buffers) = batch.buffers() else { return Ok(self) };
        let mut body = Vec::new();
        let mut places = Vec::new();
        for buffer in buffers {
            let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
            let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?));
            let packed = range.and_then(|range| self.body.get(range)).ok_or("a buffer lies outside its batch")?;
            let start = body.len();
            if let Some((size, packed)) = packed.split_first_chunk() {
                let unpacked;
                let bytes = match i64::from_le_bytes(*size) {
                    UNPACKED => packed,
                    size => {
                        let left = limit.saturating_sub(body.len() as u64);
                        let size = usize::try_from(size).ok().filter(|size| *size as u64 <= left);
                        let size = size.ok_or("a buffer is larger than data.resident_bytes allows in memory")?;
                        unpacked = decompress(compression, packed, size)?;
                        if unpacked.len() != size {
                            return Err("a buffer has a wrong length".to_owned());
                        }
                        &unpacked
                    }
                };
                body.extend(UNPACKED.to_le_bytes());
                body.extend(bytes);
            } else if !packed.is_empty() {
                return Err("a buffer has no length".to_owned());
            }
            places.push([start as i64, (body.len() - start) as i64]);
            // Arrow's numbers are aligned.
            body.resize(body.len().next_multiple_of(8), 0);
        }
        // The description is a FlatBuffer, which has the places in a row. No place depends on
        // another, so they can be replaced.
        let start = buffers.bytes().as_ptr().addr() - self.header.as_ptr().addr();
        let places: Vec<u8> = places.into_iter().flatten().flat_map(i64::to_le_bytes).collect();
        self.header[start..start + places.len()].copy_from_slice(&places);
        self.body = body;
        Ok(self)
    }
}

/// Stands for the length of a buffer that is not compressed although its batch is.
const UNPACKED: i64 = -1;

impl Batches for Table<'_> {
    fn names(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn unsupported(&self, column: usize) -> Option<&'static str> {
        unsupported(self.schema.field(column).data_type())
    }

    fn choose(&mut self, columns: &[usize]) {
        self.projection = Projection::new(columns);
    }

    fn next(&mut self) -> Result<Option<Batch>, String> {
        loop {
            if let Some(batch) = self.rows.next(&self.projection) {
                return Ok(Some(batch));
            }
            if self.is_at_end || !self.guarded(Self::read)? {
                return Ok(None);
            }
        }
    }

    fn read_as(&self) -> ReadAs {
        let kind = Fact {
            what: "kind",
            is: if self.is_file { "file" } else { "stream" }.to_owned(),
            why: "its first bytes".to_owned(),
            unusual: None,
        };
        ReadAs { format: READER.name(), facts: vec![kind], ..ReadAs::default() }
    }

    fn sha256(self: Box<Self>) -> String {
        self.source.sha256()
    }
}
