use std::path::Path;

use burn_dataset::{Dataset, DatasetError};

use crate::idx::{self, IdxImages};
use crate::{DataError, sha256};

/// One image with its label, as [`Images`] gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledImage {
    /// Grey levels row by row: 0 background, 255 ink.
    pub pixels: Vec<u8>,
    /// What the image shows.
    pub label: u8,
}

/// Images and labels in memory, a byte a pixel: a burn-dataset `Dataset` of [`LabelledImage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    images: IdxImages,
    labels: Vec<u8>,
}

impl Images {
    /// # Panics
    /// Where there are not as many images as labels.
    pub fn new(images: IdxImages, labels: Vec<u8>) -> Self {
        let size = images.height * images.width;
        assert_eq!(images.pixels.len(), labels.len() * size, "pixels for {} images of {size}", labels.len());
        Self { images, labels }
    }

    /// Reads two IDX files that belong together.
    ///
    /// # Errors
    /// Where one cannot be read or is not whole, or where they differ in length.
    pub fn read(images: &Path, labels: &Path) -> Result<Self, DataError> {
        let (file, images, labels) = (images, idx::read_images(images)?, idx::read_labels(labels)?);
        let count = images.pixels.len() / (images.height * images.width);
        if count != labels.len() {
            let folder = file.parent().unwrap_or(file).to_owned();
            return Err(DataError::Lengths { folder, images: count, labels: labels.len() });
        }
        Ok(Self { images, labels })
    }

    /// Writes two plain IDX files.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&self, images: &Path, labels: &Path) -> Result<(), DataError> {
        idx::write_images(images, &self.images)?;
        idx::write_labels(labels, &self.labels)
    }

    /// Rows and columns of an image.
    pub fn size(&self) -> (usize, usize) {
        (self.images.height, self.images.width)
    }

    /// The labels, row by row.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The pixels of one image.
    ///
    /// # Panics
    /// Where `row` is past the end.
    pub fn pixels(&self, row: usize) -> &[u8] {
        let size = self.images.height * self.images.width;
        &self.images.pixels[row * size..][..size]
    }

    /// SHA-256 of the images file and of the labels file, decompressed.
    pub fn file_checksums(&self) -> [String; 2] {
        let header = self.images.header();
        [sha256([&header[..], &self.images.pixels]), sha256([&idx::labels_header(self.labels.len())[..], &self.labels])]
    }
}

impl Dataset<LabelledImage> for Images {
    fn get(&self, index: usize) -> Result<LabelledImage, DatasetError> {
        Ok(LabelledImage { pixels: self.pixels(index).to_vec(), label: self.labels[index] })
    }

    fn len(&self) -> usize {
        self.labels.len()
    }
}
