//! Random access to a file, or to bytes in memory.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::checksum::CheckedSource;
use crate::positioned::read_exact_at;
use crate::readers::{Input, Limits};

/// The bytes of a file.
#[derive(Clone)]
pub(super) enum Source {
    /// A plain file. Nothing of it stays in memory.
    File(Arc<File>, u64),
    /// A file that was compressed, or that has no random access.
    Memory(Bytes),
}

impl Source {
    /// Reads all bytes, and returns their SHA-256 with them.
    pub(super) fn read(mut input: Input, limits: Limits) -> io::Result<(Self, String)> {
        let file = input.take_file();
        let mut checked = CheckedSource::new(input, limits.file);
        let source = match file {
            Some(file) => Self::File(Arc::new(file), io::copy(&mut checked, &mut io::sink())?),
            None => {
                let mut bytes = Vec::new();
                checked.by_ref().take(limits.memory.saturating_add(1)).read_to_end(&mut bytes)?;
                if bytes.len() as u64 > limits.memory {
                    return Err(io::Error::other(format!(
                        "unpacked, it has more than the {} bytes that data.resident_bytes allows in memory; unpack it, so that it is read part by part",
                        limits.memory
                    )));
                }
                Self::Memory(bytes.into())
            }
        };
        Ok((source, checked.sha256()))
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for Source {
    type T = BufReader<SourceReader>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(SourceReader { source: self.clone(), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // Memory is allocated only for bytes that exist.
        let end = start.checked_add(length as u64).filter(|end| *end <= self.len());
        let end = end.ok_or_else(|| ParquetError::EOF("it refers to bytes past its end".to_owned()))?;
        match self {
            Self::File(file, _) => {
                let mut bytes = vec![0; length];
                read_exact_at(file, &mut bytes, start)?;
                Ok(bytes.into())
            }
            Self::Memory(bytes) => Ok(bytes.slice(start as usize..end as usize)),
        }
    }
}

/// Reads on from a position.
pub(super) struct SourceReader {
    source: Source,
    position: u64,
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.source.len().saturating_sub(self.position)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let bytes = self.source.get_bytes(self.position, count).map_err(io::Error::other)?;
        buffer[..count].copy_from_slice(&bytes);
        self.position += count as u64;
        Ok(count)
    }
}
