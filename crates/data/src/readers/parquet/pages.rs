//! The pages of a row group, decompressed with limited memory.

use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::{Compression as Codec, Encoding};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use super::delta::{check_lengths, check_prefixes};
use super::headers::page_header;
use super::source::Source;
use crate::readers::arrow_types::{Compression, decompress};

/// Returns the compression of a column of a row group. `None` if there is none.
pub(super) fn compression(chunk: &ColumnChunkMetaData) -> std::result::Result<Option<Compression>, String> {
    let name = match chunk.compression() {
        Codec::UNCOMPRESSED => return Ok(None),
        Codec::SNAPPY => return Ok(Some(Compression::Snappy)),
        Codec::GZIP(_) => return Ok(Some(Compression::Gzip)),
        Codec::LZ4_RAW => return Ok(Some(Compression::Lz4Block)),
        Codec::LZ4 => return Ok(Some(Compression::Lz4Hadoop)),
        Codec::ZSTD(_) => return Ok(Some(Compression::Zstd)),
        Codec::BROTLI(_) => "Brotli",
        Codec::LZO => "LZO",
    };
    Err(format!("it is compressed by {name}, which is not supported; use snappy, gzip, lz4 or zstd"))
}

/// The pages of one row group.
pub(super) struct RowGroup {
    source: Arc<Source>,
    metadata: Arc<ParquetMetaData>,
    index: usize,
    /// The largest number of bytes of a page.
    max_bytes: usize,
}

impl RowGroup {
    pub(super) fn new(source: Arc<Source>, metadata: Arc<ParquetMetaData>, index: usize, max_bytes: u64) -> Self {
        // The format has i32.
        let max_bytes = max_bytes.min(i32::MAX as u64) as usize;
        Self { source, metadata, index, max_bytes }
    }

    fn group(&self) -> &RowGroupMetaData {
        self.metadata.row_group(self.index)
    }
}

impl RowGroups for RowGroup {
    fn num_rows(&self) -> usize {
        self.group().num_rows() as usize
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.group().column(column);
        let compression = compression(chunk).map_err(ParquetError::General)?;
        // The library is told that nothing is compressed, so that it leaves the pages as they are.
        let plain = chunk.clone().into_builder().set_compression(Codec::UNCOMPRESSED).build()?;
        let inner = SerializedPageReader::new(Arc::clone(&self.source), &plain, self.num_rows(), None)?;
        let leaf = chunk.column_descr();
        let n_levels = [leaf.max_rep_level(), leaf.max_def_level()].into_iter().filter(|level| *level > 0).count();
        let (position, length) = chunk.byte_range();
        let pages: Box<dyn PageReader> = Box::new(Pages {
            inner,
            source: Arc::clone(&self.source),
            position,
            end: position.saturating_add(length),
            next: None,
            compression,
            n_levels,
            max_bytes: self.max_bytes,
        });
        Ok(Box::new(Chunk(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.group()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The only chunk of a column in one row group.
struct Chunk(Option<Box<dyn PageReader>>);

impl Iterator for Chunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for Chunk {}

struct Pages {
    inner: SerializedPageReader<Source>,
    source: Arc<Source>,
    /// Where the next header begins that was not checked, and where the column ends.
    position: u64,
    end: u64,
    /// The bytes of the next page, decompressed, if its header was checked.
    next: Option<usize>,
    compression: Option<Compression>,
    /// The number of kinds of levels in a page of version 1.
    n_levels: usize,
    max_bytes: usize,
}

impl Pages {
    /// Checks the header of the next page.
    fn check_header(&mut self) -> Result<()> {
        while self.next.is_none() && self.position < self.end {
            let header = page_header(&self.source, self.position, self.end).map_err(ParquetError::General)?;
            self.position += header.length + header.page_length;
            if header.page_length.max(header.unpacked as u64) > self.max_bytes as u64 {
                return Err(damaged("a page has more bytes than data.resident_bytes allows in memory"));
            }
            self.next = (!header.is_index).then_some(header.unpacked);
        }
        Ok(())
    }

    /// Decompresses a page of a known size, whose first bytes may be plain.
    fn decompress(&self, page: &Bytes, plain: usize, size: usize) -> Result<Bytes> {
        let Some(compression) = self.compression else { return Ok(page.clone()) };
        let (start, packed) = page.split_at_checked(plain).ok_or_else(|| damaged("a page is too short"))?;
        let left = size.checked_sub(plain).ok_or_else(|| damaged("a page is too short"))?;
        // A page without values has no compressed bytes either.
        let unpacked = match left {
            0 => Vec::new(),
            _ => decompress(compression, packed, left).map_err(ParquetError::General)?,
        };
        if unpacked.len() != left {
            return Err(damaged("a page has a wrong length"));
        }
        Ok(if start.is_empty() { unpacked.into() } else { [start, &unpacked].concat().into() })
    }

    fn decode(&self, mut page: Page, size: usize) -> Result<Page> {
        match &mut page {
            Page::DataPage { buf, encoding, .. } => {
                *buf = self.decompress(buf, 0, size)?;
                if is_delta(*encoding) {
                    self.check_texts(*encoding, self.without_levels(buf)?)?;
                }
            }
            Page::DataPageV2 { buf, encoding, is_compressed, rep_levels_byte_len, def_levels_byte_len, .. } => {
                let levels = (*rep_levels_byte_len as usize).saturating_add(*def_levels_byte_len as usize);
                if *is_compressed {
                    *buf = self.decompress(buf, levels, size)?;
                }
                if is_delta(*encoding) {
                    self.check_texts(*encoding, buf.get(levels..).ok_or_else(|| damaged("a page is too short"))?)?;
                }
            }
            Page::DictionaryPage { buf, num_values, .. } => {
                *buf = self.decompress(buf, 0, size)?;
                // The library allocates memory for so many values.
                if *num_values as usize > buf.len() {
                    return Err(damaged("a dictionary is too short"));
                }
            }
        }
        Ok(page)
    }

    /// Returns the values of a page of version 1. Before them are the levels, which say what is
    /// missing, each with its length.
    fn without_levels<'a>(&self, page: &'a [u8]) -> Result<&'a [u8]> {
        let mut page = page;
        for _ in 0..self.n_levels {
            let rest = page.split_first_chunk::<4>();
            let rest = rest.and_then(|(length, rest)| rest.get(u32::from_le_bytes(*length) as usize..));
            page = rest.ok_or_else(|| damaged("a page is too short"))?;
        }
        Ok(page)
    }

    fn check_texts(&self, encoding: Encoding, values: &[u8]) -> Result<()> {
        let result = match encoding {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => check_lengths(values),
            _ => check_prefixes(values, self.max_bytes as u64),
        };
        result.map_err(ParquetError::General)
    }
}

fn damaged(problem: &str) -> ParquetError {
    ParquetError::General(problem.to_owned())
}

/// Returns whether the encoding has the lengths of texts.
fn is_delta(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY)
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.check_header()?;
        let size = self.next.take().unwrap_or_default();
        self.inner.get_next_page()?.map(|page| self.decode(page, size)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.check_header()?;
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.check_header()?;
        self.next = None;
        self.inner.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.check_header()?;
        self.inner.at_record_boundary()
    }
}
