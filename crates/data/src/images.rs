use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::idx::{self, IdxImages, KeepPixels, OpenedImages, Writer};
use crate::image_file::{ImageFile, PIECE};
use crate::{DataError, sha256};

/// Images with one byte per pixel, and their labels.
///
/// The labels are in memory. The images are in memory or stay in their file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    images: Pixels,
    labels: Arc<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pixels {
    Resident(IdxImages),
    InFile(Arc<ImageFile>),
    /// Inspected only; no pixels were kept.
    SizeOnly {
        size: (usize, usize),
        sha256: String,
    },
}

/// The largest size of compressed labels, in bytes, when images of any number are inspected.
const MAX_LABELS: u64 = 1 << 30;

impl Images {
    /// # Panics
    /// Panics if the numbers of images and labels differ.
    pub fn new(images: IdxImages, labels: Vec<u8>) -> Self {
        let size = images.height * images.width;
        assert_eq!(images.pixels.len(), labels.len() * size, "pixels for {} images of {size}", labels.len());
        Self { images: Pixels::Resident(images), labels: labels.into() }
    }

    /// Reads a file of images and its file of labels.
    ///
    /// Images of more than `resident_bytes` stay in their file. That file is read once for its
    /// checksum.
    ///
    /// # Errors
    /// Fails if a file cannot be read or is incomplete, if the numbers of images and labels differ,
    /// or if images that must stay in their file are compressed.
    pub fn read(images: &Path, labels: &Path, resident_bytes: u64) -> Result<Self, DataError> {
        Self::open(images, labels, KeepPixels::UpTo(resident_bytes))
    }

    /// Like [`Images::read`]; `keep` says how many pixels stay in memory.
    pub(crate) fn open(images: &Path, labels: &Path, keep: KeepPixels) -> Result<Self, DataError> {
        // Read the labels first: that is fast, and the checksum of a large image file is slow.
        let max_labels = if let KeepPixels::UpTo(bytes) = keep { bytes } else { MAX_LABELS };
        let (file, labels) = (images, idx::read_labels_within(labels, max_labels)?);
        let (count, images) = match idx::open_images(file, keep)? {
            OpenedImages::Read(images) => {
                (images.pixels.len() / (images.height * images.width), Pixels::Resident(images))
            }
            OpenedImages::InFile(file) => (file.count, Pixels::InFile(Arc::new(file))),
            OpenedImages::SizeOnly { sizes: [count, height, width], sha256 } => {
                (count, Pixels::SizeOnly { size: (height, width), sha256 })
            }
        };
        if count != labels.len() {
            let folder = file.parent().unwrap_or(file).to_owned();
            return Err(DataError::Lengths { folder, images: count, labels: labels.len() });
        }
        Ok(Self { images, labels: labels.into() })
    }

    /// Creates images without pixels. `sha256` is the checksum of their file, or empty if they have
    /// none.
    pub(crate) fn without_pixels(size: (usize, usize), labels: Vec<u8>, sha256: String) -> Self {
        Self { images: Pixels::SizeOnly { size, sha256 }, labels: labels.into() }
    }

    /// Writes two plain IDX files.
    ///
    /// # Errors
    /// Fails if a file cannot be written or the images cannot be read.
    pub fn write(&self, images: &Path, labels: &Path) -> Result<(), DataError> {
        let (height, width) = self.size();
        let mut writer = Writer::new(images)?;
        writer.write(&idx::images_header(self.labels.len(), height, width))?;
        let rows_at_once = (PIECE / (height * width)).max(1);
        let mut pixels = Vec::new();
        for first in (0..self.labels.len()).step_by(rows_at_once) {
            pixels.resize(rows_at_once.min(self.labels.len() - first) * height * width, 0);
            self.read_pixels(first, &mut pixels)?;
            writer.write(&pixels)?;
        }
        writer.finish()?;
        idx::write_labels(labels, &self.labels)
    }

    /// Returns the rows and columns of an image.
    pub fn size(&self) -> (usize, usize) {
        match &self.images {
            Pixels::Resident(images) => (images.height, images.width),
            Pixels::InFile(file) => (file.height, file.width),
            Pixels::SizeOnly { size, .. } => *size,
        }
    }

    /// Returns the file that the images stay in, if they are not in memory.
    pub fn file(&self) -> Option<&Path> {
        match &self.images {
            Pixels::Resident(_) | Pixels::SizeOnly { .. } => None,
            Pixels::InFile(file) => Some(file.path()),
        }
    }

    /// Returns the labels, row by row.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Returns the pixels of consecutive images, if they are in memory.
    pub(crate) fn resident(&self, images: Range<usize>) -> Option<&[u8]> {
        let Pixels::Resident(IdxImages { height, width, pixels }) = &self.images else { return None };
        let size = height * width;
        Some(&pixels[images.start * size..images.end * size])
    }

    /// Returns the pixels of one image in memory.
    ///
    /// # Panics
    /// Panics if `row` is past the end, or if the images stay in their file.
    pub fn pixels(&self, row: usize) -> &[u8] {
        self.resident(row..row + 1).expect("the images are in memory")
    }

    /// Fills `pixels` with whole images, starting at image `first`.
    ///
    /// # Errors
    /// Fails if the images stay in their file and it can no longer be read.
    ///
    /// # Panics
    /// Panics if the images go past the end, if `pixels` does not hold whole images, or if no
    /// pixels were kept.
    pub fn read_pixels(&self, first: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let (height, width) = self.size();
        let size = height * width;
        assert!(
            pixels.len().is_multiple_of(size),
            "expected a buffer for whole images of {size} bytes, found {} bytes",
            pixels.len()
        );
        match &self.images {
            Pixels::Resident(images) => {
                pixels.copy_from_slice(&images.pixels[first * size..][..pixels.len()]);
                Ok(())
            }
            Pixels::InFile(file) => file.read(first, pixels),
            Pixels::SizeOnly { .. } => panic!("these images have no pixels; they were only inspected"),
        }
    }

    /// Returns the SHA-256 of the image file and of the label file, decompressed.
    pub fn file_checksums(&self) -> [String; 2] {
        let of_images = match &self.images {
            Pixels::Resident(images) => sha256([&images.header()[..], &images.pixels]),
            Pixels::InFile(file) => file.sha256.clone(),
            Pixels::SizeOnly { sha256, .. } => sha256.clone(),
        };
        [of_images, sha256([&idx::labels_header(self.labels.len())[..], &self.labels])]
    }
}
