//! Images that are too many for memory and stay in their file.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::checksum::Checksum;
use crate::positioned::read_exact_at;
use crate::{DataError, idx};

/// An IDX file of images whose pixels are read when they are asked for. It was read whole once, for
/// its checksum.
///
/// Read and not mapped: a file that is cut off while it is mapped ends the program, where reading
/// it gives an error (docs/decisions/0013-stream.md).
#[derive(Debug)]
pub(crate) struct ImageFile {
    path: PathBuf,
    file: File,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) count: usize,
    /// SHA-256 of all its bytes.
    pub(crate) sha256: String,
}

/// Bytes read at once where a whole file is.
pub(crate) const PIECE: usize = 1 << 20;

impl ImageFile {
    /// `sizes` are its header's: images, rows, columns, whose product counts the bytes that follow.
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

    /// The file's name, for errors.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `pixels` with those of the images from `first` on, as many as there is room for.
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

/// The same images, wherever they lie.
impl PartialEq for ImageFile {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl Eq for ImageFile {}
