//! The text of a file, decoded, with its checksum and limits.

use std::io::{self, Cursor, Read as _};

use chainrule_core::TextEncoding;

use super::Input;
use crate::checksum::CheckedSource;
use crate::decode::Decoded;
use crate::dialect::Sample;
use crate::table::MAX_ROW_LENGTH;

/// The text of a file in UTF-8, with line ends `\n`.
pub(super) type TextSource<'a> = NormalizedSource<Decoded<CheckedSource<Rest<Input<'a>>>>>;

/// Returns the text of a file of at most `max_bytes`, whose beginning was read already.
pub(super) fn text_source(
    beginning: Beginning,
    rest: Input<'_>,
    encoding: TextEncoding,
    max_bytes: u64,
) -> TextSource<'_> {
    let Beginning { bytes, problem, .. } = beginning;
    let bytes = Rest { beginning: Cursor::new(bytes), problem, rest };
    NormalizedSource::new(Decoded::new(CheckedSource::new(bytes, max_bytes), encoding))
}

impl TextSource<'_> {
    /// Returns the SHA-256 of the file.
    pub(super) fn sha256(self) -> String {
        self.source.into_inner().sha256()
    }
}

/// The beginning of a file: 64 KiB, and more if these have fewer than three lines.
pub(super) struct Beginning {
    bytes: Vec<u8>,
    /// The error that cut the beginning short.
    problem: Option<io::Error>,
    /// Whether the file ends here.
    is_whole: bool,
}

impl Beginning {
    pub(super) fn read(source: &mut impl io::Read) -> Self {
        let (mut bytes, mut limit) = (Vec::new(), 1 << 16);
        loop {
            let problem = source.take(limit - bytes.len() as u64).read_to_end(&mut bytes).err();
            let is_whole = (bytes.len() as u64) < limit && problem.is_none();
            let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
            if problem.is_some() || is_whole || lines > 4 || limit >= MAX_ROW_LENGTH {
                return Self { bytes, problem, is_whole };
            }
            limit *= 2;
        }
    }

    pub(super) fn sample(&self) -> Sample<'_> {
        Sample { bytes: &self.bytes, is_whole: self.is_whole }
    }
}

/// A file whose beginning was read already.
pub(super) struct Rest<R> {
    beginning: Cursor<Vec<u8>>,
    problem: Option<io::Error>,
    rest: R,
}

impl<R: io::Read> io::Read for Rest<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.beginning.read(buffer)? {
            0 if !buffer.is_empty() => self.problem.take().map_or_else(|| self.rest.read(buffer), Err),
            count => Ok(count),
        }
    }
}

/// A reader that normalises line ends to `\n`. It also ends the last line with `\n`.
pub(super) struct NormalizedSource<R> {
    source: R,
    after_return: bool,
    ends_line: bool,
}

impl<R> NormalizedSource<R> {
    fn new(source: R) -> Self {
        Self { source, after_return: false, ends_line: true }
    }

    /// Normalises line ends in place. Returns the number of bytes that are left.
    fn normalize(&mut self, text: &mut [u8]) -> usize {
        if !self.after_return && !text.contains(&b'\r') {
            return text.len();
        }
        let mut kept = 0;
        for i in 0..text.len() {
            let byte = text[i];
            let is_second_half = self.after_return && byte == b'\n';
            self.after_return = byte == b'\r';
            if !is_second_half {
                text[kept] = if self.after_return { b'\n' } else { byte };
                kept += 1;
            }
        }
        kept
    }
}

impl<R: io::Read> io::Read for NormalizedSource<R> {
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
            let kept = self.normalize(&mut buffer[..count]);
            if kept > 0 {
                self.ends_line = buffer[kept - 1] == b'\n';
                return Ok(kept);
            }
        }
    }
}
