//! The bytes of a file, plain or gzipped.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The number of decompressed bytes used to detect a file's format. It is large enough to include
/// the first names in a zip archive.
pub(crate) const BEGINNING: usize = 8192;

/// The bytes of a file, decompressed if it is a gzip. The beginning can be inspected before
/// reading.
pub struct Input<'a> {
    beginning: Vec<u8>,
    /// The number of bytes of the beginning that were already read.
    position: usize,
    /// The error that cut the beginning short. The next read past it returns the error.
    problem: Option<io::Error>,
    rest: Bytes<'a>,
    /// The file itself, if it is known and plain.
    file: Option<File>,
}

impl<'a> Input<'a> {
    /// Reads the beginning. An error in it is returned by the read that reaches it.
    pub fn new(source: impl Read + 'a) -> Self {
        let mut source = BufReader::new(source);
        // If this read fails, the following reads fail too and report the error.
        let (magic, _) = read_up_to(GZIP_MAGIC.len(), &mut source);
        let is_gzip = magic == GZIP_MAGIC;
        let source = Cursor::new(magic).chain(source);
        let source: Box<dyn Read + 'a> = if is_gzip { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) };
        let mut rest = Bytes { source, is_gzip, count: 0 };
        let (beginning, problem) = read_up_to(BEGINNING, &mut rest);
        Self { beginning, position: 0, problem, rest, file: None }
    }

    /// Like [`Input::new`], for a file. Formats that need random access then read it where they
    /// need it, and hold nothing of it in memory.
    pub fn of_file(file: File) -> Self {
        let clone = file.try_clone().ok();
        let input = Self::new(file);
        Self { file: clone.filter(|_| !input.is_gzip()), ..input }
    }

    /// Returns the file for random access, if it is known and plain. Its cursor is shared.
    pub fn take_file(&mut self) -> Option<File> {
        self.file.take()
    }

    /// Returns the first 8192 decompressed bytes, or fewer if the file is shorter or damaged.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// Returns whether the file is gzipped.
    pub(crate) fn is_gzip(&self) -> bool {
        self.rest.is_gzip
    }
}

/// Reads up to `count` bytes. Returns them with the error that stopped the read, if any.
fn read_up_to(count: usize, source: &mut impl Read) -> (Vec<u8>, Option<io::Error>) {
    let mut bytes = Vec::new();
    let problem = source.take(count as u64).read_to_end(&mut bytes).err();
    (bytes, problem)
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&self.beginning[self.position..]).read(buffer)?;
        self.position += count;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        match self.problem.take() {
            Some(problem) => Err(problem),
            None => self.rest.read(buffer),
        }
    }
}

/// Decompressed bytes. An error in a gzip is reported as a damaged gzip.
struct Bytes<'a> {
    source: Box<dyn Read + 'a>,
    is_gzip: bool,
    count: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.source.read(buffer) {
            Ok(count) => {
                self.count += count as u64;
                Ok(count)
            }
            Err(error) if self.is_gzip && error.kind() != io::ErrorKind::Interrupted => {
                Err(io::Error::new(error.kind(), format!("damaged gzip after {} bytes: {error}", self.count)))
            }
            Err(error) => Err(error),
        }
    }
}
