//! The bytes of a file, decompressed if it is compressed.
//!
//! The list of compressions is [`CODECS`]. A new one is one file with a [`Codec`] and one line in
//! `codecs!`. File extensions, `--help` and error messages use the list.
//!
//! A compressed file is hostile until it is read: its content may be many thousand times larger.
//! Decoders hold at most [`MAX_WINDOW`] bytes. The readers limit the bytes that they take.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use chainrule_core::one_line;

use crate::readers::joined;

/// The number of bytes used to detect a file's compression and, decompressed, its format. It is
/// large enough to include the first names in a zip archive.
pub(crate) const BEGINNING: usize = 8192;

/// The largest number of earlier bytes that a decoder may have to remember: `xz -9` needs 64 MiB,
/// and `zstd --ultra -22` needs 128 MiB.
pub(crate) const MAX_WINDOW: u64 = 128 << 20;

/// The largest zip archive, in bytes. A zip is read into memory.
const MAX_ARCHIVE: u64 = 1 << 30;

/// A compression of files.
pub trait Codec: Sync {
    /// Returns the name, such as `gzip`.
    fn name(&self) -> &'static str;

    /// Returns the file extension in lower case, without a dot.
    fn extension(&self) -> &'static str;

    /// Returns whether a file that begins with these bytes has this compression.
    fn sniff(&self, beginning: &[u8]) -> bool;

    /// Returns the decompressed bytes. Only an archive, whose list of files is at its end, is read
    /// here: at most `max_bytes` of it.
    ///
    /// # Errors
    /// An error of the kind [`ErrorKind::Unsupported`] says why an undamaged file cannot be
    /// unpacked. All others mean damage. Reading returns such errors too.
    fn decode<'a>(&self, packed: Packed<'a>, max_bytes: u64) -> io::Result<Box<dyn Read + 'a>>;
}

/// The bytes of a compressed file.
pub type Packed<'a> = Box<dyn BufRead + 'a>;

/// Builds the list of codecs. Each module has its codec as `CODEC`.
macro_rules! codecs {
    ($($module:ident,)+) => {
        $(mod $module;)+

        /// All compressions, in the order in which messages name them.
        pub static CODECS: &[&dyn Codec] = &[$(&$module::CODEC,)+];
    };
}

codecs! {
    gzip,
    zstd,
    xz,
    bzip2,
    zip,
}

/// Returns the codec of a file with this beginning.
pub(crate) fn codec(beginning: &[u8]) -> Option<&'static dyn Codec> {
    CODECS.iter().copied().find(|codec| codec.sniff(beginning))
}

/// Returns the names of the compressions, for a sentence: with `or`, `gzip, zstd or zip`.
pub fn compressions(conjunction: &str) -> String {
    joined(CODECS.iter().map(|codec| codec.name()), conjunction)
}

/// Returns the file extensions of compressed files, for a sentence: with `or`, `.gz, .zst or .zip`.
pub fn compressed_extensions(conjunction: &str) -> String {
    joined(CODECS.iter().map(|codec| format!(".{}", codec.extension())), conjunction)
}

/// Returns this extension, such as `.csv`, and the same with that of each compression.
pub(crate) fn with_compressed(extension: &str) -> impl Iterator<Item = String> {
    let compressed = CODECS.iter().map(move |codec| format!("{extension}.{}", codec.extension()));
    std::iter::once(extension.to_owned()).chain(compressed)
}

/// The bytes of a file, decompressed if it is compressed. The beginning can be inspected before
/// reading.
pub struct Input<'a> {
    content: Peeked<Content<'a>>,
    /// The file itself, if it is known and plain.
    file: Option<File>,
}

impl<'a> Input<'a> {
    /// Reads the beginning. An error in it is returned by the read that reaches it.
    pub fn new(source: impl Read + 'a) -> Self {
        Self::within(source, MAX_ARCHIVE)
    }

    /// Like [`Input::new`], and reads no zip archive with more than `max_bytes` into memory.
    pub fn within(source: impl Read + 'a, max_bytes: u64) -> Self {
        let packed = Peeked::new(source);
        let codec = codec(&packed.beginning);
        let source = match codec {
            Some(codec) => codec.decode(Box::new(BufReader::new(packed)), max_bytes.min(MAX_ARCHIVE)),
            None => Ok(Box::new(packed) as Box<dyn Read + 'a>),
        };
        let (source, failure) = match source {
            Ok(source) => (source, None),
            Err(error) => (Box::new(io::empty()) as Box<dyn Read + 'a>, Some(error)),
        };
        let mut content = Content { source, codec, count: 0, failure: None };
        if let Some(error) = failure {
            content.fail(&error);
        }
        Self { content: Peeked::new(content), file: None }
    }

    /// Like [`Input::within`], for a file. Formats that need random access then read it where they
    /// need it, and hold nothing of it in memory.
    pub fn of_file(file: File, max_bytes: u64) -> Self {
        let clone = file.try_clone().ok();
        let input = Self::within(file, max_bytes);
        Self { file: clone.filter(|_| input.compression().is_none()), ..input }
    }

    /// Returns whether this is a plain file.
    pub(crate) fn is_plain_file(&self) -> bool {
        self.file.is_some()
    }

    /// Returns the file for random access, if it is known and plain. Its cursor is shared.
    pub fn take_file(&mut self) -> Option<File> {
        self.file.take()
    }

    /// Returns the first 8192 decompressed bytes, or fewer if the file is shorter or damaged.
    pub fn beginning(&self) -> &[u8] {
        &self.content.beginning
    }

    /// Returns the name of the file's compression, such as `gzip`. `None` for a plain file.
    pub fn compression(&self) -> Option<&'static str> {
        self.content.rest.codec.map(Codec::name)
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer)
    }
}

/// A source whose beginning was read in advance.
struct Peeked<R> {
    beginning: Vec<u8>,
    /// The number of bytes of the beginning that were already read.
    position: usize,
    /// The error that cut the beginning short. The next read past it returns the error.
    problem: Option<io::Error>,
    rest: R,
}

impl<R: Read> Peeked<R> {
    fn new(mut rest: R) -> Self {
        let mut beginning = Vec::new();
        let problem = rest.by_ref().take(BEGINNING as u64).read_to_end(&mut beginning).err();
        Self { beginning, position: 0, problem, rest }
    }
}

impl<R: Read> Read for Peeked<R> {
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

/// Decompressed bytes. An error of a decoder becomes a sentence that names the compression.
struct Content<'a> {
    source: Box<dyn Read + 'a>,
    codec: Option<&'static dyn Codec>,
    count: u64,
    /// The first error. All later reads return it too, so that no decoder runs after its error.
    failure: Option<(ErrorKind, String)>,
}

impl Content<'_> {
    fn fail(&mut self, error: &io::Error) {
        let kind = error.kind();
        let name = self.codec.map(Codec::name).unwrap_or_default();
        let sentence = match kind {
            ErrorKind::Unsupported => format!("cannot unpack this {name}: {error}"),
            ErrorKind::OutOfMemory => format!(
                "cannot unpack this {name}: it needs more than {MAX_WINDOW} bytes of memory; unpack it with {name} itself"
            ),
            // The system could not read the file.
            _ if error.raw_os_error().is_some() => error.to_string(),
            _ => format!("damaged {name} after {} bytes: {}", self.count, one_line(&error.to_string())),
        };
        self.failure = Some((kind, sentence));
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_none() {
            match self.source.read(buffer) {
                Ok(count) => {
                    self.count += count as u64;
                    return Ok(count);
                }
                Err(error) if self.codec.is_none() || error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => self.fail(&error),
            }
        }
        let (kind, sentence) = self.failure.clone().expect("set above");
        Err(io::Error::new(kind, sentence))
    }
}
