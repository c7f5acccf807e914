//! The IDX format of MNIST: a magic number, big-endian sizes, then bytes. Files are plain or
//! compressed; the content decides which.
//!
//! A header is a claim that may be false. Memory grows with the bytes that arrive, never with the
//! sizes in the header. Reading stops one byte past the size in the header, even if a compressed
//! file would inflate further.

use std::cmp::Ordering;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use chainrule_records::AtomicFile;

use crate::DataError;
use crate::checksum::Checksum;
use crate::image_file::{ImageFile, PIECE};
use crate::input::Input;
use chainrule_core::ContentError;

/// Unsigned bytes in three dimensions: image, row, column.
pub(crate) const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 0x0000_0801;
/// The header bytes of an image file.
pub(crate) const IMAGES_HEADER: usize = 16;

/// The content of an IDX file of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxImages {
    /// The pixel rows of an image.
    pub height: usize,
    /// The pixel columns of an image.
    pub width: usize,
    /// `count * height * width` bytes, row by row.
    pub pixels: Vec<u8>,
}

impl IdxImages {
    /// Returns the 16 header bytes of the file. Its checksum includes them.
    pub fn header(&self) -> [u8; IMAGES_HEADER] {
        images_header(self.pixels.len() / (self.height * self.width), self.height, self.width)
    }
}

/// Returns the 16 header bytes of a file of `count` images.
pub fn images_header(count: usize, height: usize, width: usize) -> [u8; IMAGES_HEADER] {
    let mut header = [0; IMAGES_HEADER];
    for (field, value) in header.chunks_exact_mut(4).zip([IMAGES_MAGIC, count as u32, height as u32, width as u32]) {
        field.copy_from_slice(&value.to_be_bytes());
    }
    header
}

/// Returns the 8 header bytes of a file of `count` labels.
pub fn labels_header(count: usize) -> [u8; 8] {
    let mut header = [0; 8];
    header[..4].copy_from_slice(&LABELS_MAGIC.to_be_bytes());
    header[4..].copy_from_slice(&(count as u32).to_be_bytes());
    header
}

/// Reads an IDX file of images.
///
/// # Errors
/// Fails if the file cannot be read, is not an IDX file of images, or is shorter or longer than its
/// header says.
pub fn read_images(path: &Path) -> Result<IdxImages, DataError> {
    images_from(path, open(path)?)
}

/// Reads IDX images from any source. Errors use `path` as its name.
///
/// # Errors
/// See [`read_images`].
pub fn images_from(path: &Path, content: impl Read) -> Result<IdxImages, DataError> {
    let (sizes, pixels) = read::<3>(path, content, IMAGES_MAGIC, "images", u64::MAX)?;
    Ok(idx_images(sizes, pixels.expect(NO_LIMIT)))
}

/// The rule for keeping pixels in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeepPixels {
    /// Keep all pixels of a file with at most this many bytes of pixels.
    UpTo(u64),
    /// Keep no pixels. A file of any size is read once for its checksum.
    Nothing,
}

/// Images that were read, left in their file, or only inspected.
pub(crate) enum OpenedImages {
    Read(IdxImages),
    InFile(ImageFile),
    SizeOnly {
        /// Images, rows, columns.
        sizes: [usize; 3],
        /// The checksum of the file, decompressed.
        sha256: String,
    },
}

/// Reads an IDX file of images, or leaves a plain file on disk if it has more pixels than `keep`
/// allows.
pub(crate) fn open_images(path: &Path, keep: KeepPixels) -> Result<OpenedImages, DataError> {
    let file = open(path)?;
    let KeepPixels::UpTo(resident_bytes) = keep else {
        let (sizes, sha256) = inspect(Input::new(file)).map_err(|problem| problem.of(path))?;
        return Ok(OpenedImages::SizeOnly { sizes, sha256 });
    };
    match read(path, &file, IMAGES_MAGIC, "images", resident_bytes)? {
        (sizes, Some(pixels)) => Ok(OpenedImages::Read(idx_images(sizes, pixels))),
        (sizes, None) => Ok(OpenedImages::InFile(ImageFile::new(path, file, sizes)?)),
    }
}

fn idx_images([_, height, width]: [usize; 3], pixels: Vec<u8>) -> IdxImages {
    IdxImages { height, width, pixels }
}

/// Reads an IDX file of labels.
///
/// # Errors
/// Fails if the file cannot be read, is not an IDX file of labels, or is shorter or longer than its
/// header says.
pub fn read_labels(path: &Path) -> Result<Vec<u8>, DataError> {
    labels_from(path, open(path)?)
}

/// Reads IDX labels from any source. Errors use `path` as its name.
///
/// # Errors
/// See [`read_labels`].
pub fn labels_from(path: &Path, content: impl Read) -> Result<Vec<u8>, DataError> {
    let (_, labels) = read::<1>(path, content, LABELS_MAGIC, "labels", u64::MAX)?;
    Ok(labels.expect(NO_LIMIT))
}

/// Reads labels from a plain file of any size, or from a compressed one of at most
/// `resident_bytes`. A plain file cannot inflate.
pub(crate) fn read_labels_within(path: &Path, resident_bytes: u64) -> Result<Vec<u8>, DataError> {
    match read::<1>(path, open(path)?, LABELS_MAGIC, "labels", resident_bytes)? {
        (_, Some(labels)) => Ok(labels),
        (_, None) => read_labels(path),
    }
}

const NO_LIMIT: &str = "no file exceeds u64::MAX bytes";

/// Opens a regular file, or a link to one. Other files could block: opening a pipe waits for a
/// writer.
pub(crate) fn open(path: &Path) -> Result<File, DataError> {
    let io = |problem| DataError::Read { path: path.to_owned(), problem };
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(DataError::Idx { path: path.to_owned(), problem: "not a regular file".to_owned() });
    }
    File::open(path).map_err(io)
}

/// Writes images as a plain IDX file.
pub fn write_images(path: &Path, images: &IdxImages) -> Result<(), DataError> {
    write_whole(path, &[&images.header(), &images.pixels])
}

/// Writes labels as a plain IDX file.
pub fn write_labels(path: &Path, labels: &[u8]) -> Result<(), DataError> {
    write_whole(path, &[&labels_header(labels.len()), labels])
}

/// Writes a file atomically: to a temporary file next to its place, synced, then renamed.
pub(crate) fn write_whole(path: &Path, parts: &[&[u8]]) -> Result<(), DataError> {
    let mut writer = Writer::new(path)?;
    for part in parts {
        writer.write(part)?;
    }
    writer.finish()
}

/// Writes a file piece by piece. The file appears only when it is finished.
pub(crate) struct Writer {
    path: PathBuf,
    file: AtomicFile,
}

impl Writer {
    pub(crate) fn new(path: &Path) -> Result<Self, DataError> {
        match AtomicFile::new(path) {
            Ok(file) => Ok(Self { path: path.to_owned(), file }),
            Err(problem) => Err(DataError::Write { path: path.to_owned(), problem }),
        }
    }

    pub(crate) fn write(&mut self, part: &[u8]) -> Result<(), DataError> {
        self.file.write(part).map_err(|problem| DataError::Write { path: self.path.clone(), problem })
    }

    pub(crate) fn finish(self) -> Result<(), DataError> {
        self.file.finish().map_err(|problem| DataError::Write { path: self.path, problem })
    }
}

/// Reads an IDX file of images with at most `max_bytes` of pixels.
pub(crate) fn decode_images(input: Input, max_bytes: u64) -> Result<IdxImages, ContentError> {
    match parse::<3>(input, IMAGES_MAGIC, "images", max_bytes) {
        Ok((sizes, Some(pixels))) => Ok(idx_images(sizes, pixels)),
        Ok((sizes, None)) => {
            Err(format!("its header declares {sizes:?} bytes of images, more than the limit of {max_bytes}").into())
        }
        Err(IdxProblem::Content(problem)) => Err(problem.into()),
        Err(IdxProblem::Io(problem)) => Err(problem.into()),
    }
}

/// Returns the header's `D` sizes, and the content if it has at most `resident_bytes`.
fn read<const D: usize>(
    path: &Path,
    content: impl Read,
    magic: u32,
    what: &str,
    resident_bytes: u64,
) -> Result<([usize; D], Option<Vec<u8>>), DataError> {
    parse(Input::within(content, resident_bytes), magic, what, resident_bytes).map_err(|problem| problem.of(path))
}

/// An error in the content of an IDX file.
enum IdxProblem {
    /// The content is invalid.
    Content(String),
    /// The system could not read the file.
    Io(std::io::Error),
}

impl IdxProblem {
    fn of(self, path: &Path) -> DataError {
        let path = path.to_owned();
        match self {
            Self::Content(problem) => DataError::Idx { path, problem },
            Self::Io(problem) => DataError::Read { path, problem },
        }
    }
}

/// Reads up to `limit` bytes. An error of a decoder is one of the content; other read errors are
/// the system's.
fn take(input: &mut Input, limit: u64) -> Result<Vec<u8>, IdxProblem> {
    let mut bytes = Vec::new();
    match input.take(limit).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) if input.compression().is_some() => Err(IdxProblem::Content(error.to_string())),
        Err(error) => Err(IdxProblem::Io(error)),
    }
}

/// Reads the header's `D` sizes and the content. Leaves the content of a plain file unread if it
/// has more than `resident_bytes`.
fn parse<const D: usize>(
    mut input: Input,
    magic: u32,
    what: &str,
    resident_bytes: u64,
) -> Result<([usize; D], Option<Vec<u8>>), IdxProblem> {
    let (sizes, expected) = header::<D>(&mut input, magic, what)?;
    if expected > resident_bytes {
        if input.compression().is_some() {
            return Err(IdxProblem::Content(format!(
                "its {expected} bytes of {what} are more than data.resident_bytes = {resident_bytes}, and only an uncompressed file can be read in chunks; unpack it, or increase data.resident_bytes"
            )));
        }
        return Ok((sizes, None));
    }
    let mut bytes = take(&mut input, expected + 1)?;
    check_length(expected, bytes.len() as u64, what).map_err(IdxProblem::Content)?;
    bytes.shrink_to_fit();
    Ok((sizes, Some(bytes)))
}

/// Returns the sizes and the checksum of an image file, reading one piece at a time.
fn inspect(mut input: Input) -> Result<([usize; 3], String), IdxProblem> {
    let (sizes, expected) = header::<3>(&mut input, IMAGES_MAGIC, "images")?;
    let [count, height, width] = sizes;
    let (mut checksum, mut found) = (Checksum::default(), 0);
    checksum.update(images_header(count, height, width));
    loop {
        let piece = take(&mut input, (PIECE as u64).min(expected + 1 - found))?;
        checksum.update(&piece);
        found += piece.len() as u64;
        if piece.is_empty() || found > expected {
            break;
        }
    }
    check_length(expected, found, "images").map_err(IdxProblem::Content)?;
    Ok((sizes, checksum.finish()))
}

/// Reads a header. Returns its `D` sizes and their product.
fn header<const D: usize>(input: &mut Input, magic: u32, what: &str) -> Result<([usize; D], u64), IdxProblem> {
    let problem = |problem: String| IdxProblem::Content(problem);
    let header = take(input, 4 * (1 + D as u64))?;
    if header.is_empty() {
        return Err(problem("the file is empty".into()));
    }
    let mut fields = header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let found = fields.next().unwrap_or_default();
    if header.len() >= 4 && found != magic {
        return Err(problem(format!(
            "not an IDX file of {what}: it starts with 0x{found:08x}, expected 0x{magic:08x}"
        )));
    }
    if header.len() < 4 * (1 + D) {
        return Err(problem(format!("truncated in its header, after {} bytes", header.len())));
    }
    let mut sizes = [0; D];
    for (size, field) in sizes.iter_mut().zip(fields) {
        *size = field as usize;
    }
    let expected = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
    let expected = match expected {
        Some(0) => return Err(problem(format!("its header declares no {what} (sizes {sizes:?})"))),
        Some(bytes) if bytes < u64::MAX / 2 => bytes,
        _ => return Err(problem(format!("its header declares an impossible number of {what} (sizes {sizes:?})"))),
    };
    Ok((sizes, expected))
}

/// Checks the size of the content against the header.
pub(crate) fn check_length(expected: u64, found: u64, what: &str) -> Result<(), String> {
    match found.cmp(&expected) {
        Ordering::Less => Err(format!("truncated: its header declares {expected} bytes of {what}, but it has {found}")),
        Ordering::Greater => Err(format!("longer than the {expected} bytes of {what} that its header declares")),
        Ordering::Equal => Ok(()),
    }
}
