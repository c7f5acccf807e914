//! Images that are too large for memory and stay in their file.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::checksum::Checksum;
use crate::positioned::read_exact_at;
use crate::{DataError, idx};

/// An IDX file of images whose pixels are read on demand. It is read once at opening, for its
/// checksum.
///
/// The file is read, not memory-mapped. If a mapped file is truncated, the program crashes; a read
/// returns an error (docs/decisions/0013-stream.md).
#[derive(Debug)]
pub(crate) struct ImageFile {
    path: PathBuf,
    file: File,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) count: usize,
    /// The SHA-256 of the file.
    pub(crate) sha256: String,
}

/// The number of bytes read at once.
pub(crate) const PIECE: usize = 1 << 20;

impl ImageFile {
    /// Opens an image file and computes its checksum. `sizes` are the header's images, rows and
    /// columns.
    pub(crate) fn new(path: &Path, file: File, sizes: [usize; 3]) -> Result<Self, DataError> {
        let io = |problem| DataError::Read { path: path.to_owned(), problem };
        let [count, height, width] = sizes;
        let expected = (count * height * width) as u64;
        let length = file.metadata().map_err(io)?.len();
        let found = length.saturating_sub(idx::IMAGES_HEADER as u64);
        idx::check_length(expected, found, "images")
            .map_err(|problem| DataError::Idx { path: path.to_owned(), problem })?;

        let mut checksum = Checksum::default();
        let mut piece = vec![0; PIECE];
        for offset in (0..length).step_by(PIECE) {
            let piece = &mut piece[..PIECE.min((length - offset) as usize)];
            read_exact_at(&file, piece, offset).map_err(io)?;
            checksum.update(piece);
        }
        Ok(Self { path: path.to_owned(), file, height, width, count, sha256: checksum.finish() })
    }

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `pixels` with whole images, starting at image `first`.
    pub(crate) fn read(&self, first: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let size = self.height * self.width;
        let rows = pixels.len() / size;
        assert!(first + rows <= self.count, "images {first}..{} of {}", first + rows, self.count);
        let offset = (idx::IMAGES_HEADER + first * size) as u64;
        read_exact_at(&self.file, pixels, offset).map_err(|problem| self.unreadable(first, rows, problem))
    }

    fn unreadable(&self, first: usize, rows: usize, problem: std::io::Error) -> DataError {
        let path = self.path.clone();
        let size = (self.height * self.width) as u64;
        let length = self.file.metadata().map(|metadata| metadata.len());
        match (problem.kind(), length) {
            (ErrorKind::UnexpectedEof, Ok(length)) => {
                let row = length.saturating_sub(idx::IMAGES_HEADER as u64) / size;
                DataError::CutOff { path, row, images: self.count }
            }
            _ => DataError::Row { path, first, last: first + rows - 1, problem },
        }
    }
}

/// Compares the content, not the path.
impl PartialEq for ImageFile {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl Eq for ImageFile {}
