//! The bytes of a file, plain or gzipped.

use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Decompressed bytes, by which a file's kind is told: more than a zip archive takes to name what
/// is in it first.
pub(crate) const BEGINNING: usize = 8192;

/// The bytes of a file, decompressed where it is a gzip. Its beginning can be looked at before it
/// is read.
pub struct Input<'a> {
    beginning: Vec<u8>,
    /// Bytes of the beginning that were read.
    given: usize,
    /// Why the beginning is no longer, told to who reads on.
    problem: Option<io::Error>,
    rest: Bytes<'a>,
}

impl<'a> Input<'a> {
    /// Looks at the beginning. An error comes where it is reached by reading.
    pub fn new(source: impl Read + 'a) -> Self {
        let mut source = BufReader::new(source);
        // Where these cannot be read, nor can what follows, which tells why.
        let (magic, _) = up_to(GZIP_MAGIC.len(), &mut source);
        let is_gzip = magic == GZIP_MAGIC;
        let source = Cursor::new(magic).chain(source);
        let source: Box<dyn Read + 'a> = if is_gzip { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) };
        let mut rest = Bytes { source, is_gzip, count: 0 };
        let (beginning, problem) = up_to(BEGINNING, &mut rest);
        Self { beginning, given: 0, problem, rest }
    }

    /// The first bytes, decompressed: 8192, and fewer where the file has no more or breaks off.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// Whether it is gzipped.
    pub(crate) fn is_gzip(&self) -> bool {
        self.rest.is_gzip
    }
}

/// The first bytes, and why they are fewer where that is an error.
fn up_to(count: usize, source: &mut impl Read) -> (Vec<u8>, Option<io::Error>) {
    let mut bytes = Vec::new();
    let problem = source.take(count as u64).read_to_end(&mut bytes).err();
    (bytes, problem)
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&self.beginning[self.given..]).read(buffer)?;
        self.given += count;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        match self.problem.take() {
            Some(problem) => Err(problem),
            None => self.rest.read(buffer),
        }
    }
}

/// Decompressed bytes. A gzip that breaks off or is damaged is called that.
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
