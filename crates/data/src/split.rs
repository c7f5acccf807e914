use std::ops::Range;
use std::sync::Arc;

use burn_dataset::Dataset;
use burn_dataset::transform::{PartialDataset, SelectionDataset};

use crate::{DataError, Images, LabelledImage};

/// The rows that a run trains on, or is validated on: bytes as they are in the file, labels as positions among the classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Pixel rows and columns of an image.
    pub size: [usize; 2],
    /// `n * d` bytes, row by row.
    pub pixels: Vec<u8>,
    /// For each row the position of its class among the run's classes.
    pub labels: Vec<u8>,
}

/// A feature: the pixel scaled from 0..=255 to -1..=1.
pub fn pixel_value(pixel: u8) -> f64 {
    f64::from(pixel) / 127.5 - 1.0
}

impl Split {
    /// Features of a row, d: an image's pixels.
    pub fn n_features(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The features `[n, d]` row by row, preprocessed by [`pixel_value`] and then rounded by `round`.
    pub fn features<F: Copy>(&self, round: impl Fn(f64) -> F) -> Vec<F> {
        let table: Vec<F> = (0..=u8::MAX).map(|pixel| round(pixel_value(pixel))).collect();
        self.pixels.iter().map(|&pixel| table[usize::from(pixel)]).collect()
    }
}

/// The images of `range` whose label is one of `classes`, in their order.
///
/// # Errors
/// Where a class has no image: `what` says of which rows.
pub fn rows_of(
    images: &Arc<Images>,
    range: Range<usize>,
    classes: &[u8],
    what: &'static str,
) -> Result<Split, DataError> {
    let position: Vec<Option<u8>> =
        (0..=u8::MAX).map(|label| classes.iter().position(|&class| class == label).map(|p| p as u8)).collect();
    let position_of = |label: u8| position[usize::from(label)];

    let n_rows = range.len();
    let labels = &images.labels()[range.clone()];
    let chosen: Vec<usize> = (0..n_rows).filter(|&row| position_of(labels[row]).is_some()).collect();
    if let Some(&class) = classes.iter().find(|class| !labels.contains(class)) {
        return Err(DataError::EmptyClass { class, rows: n_rows, what });
    }

    let (height, width) = images.size();
    let mut split = Split {
        size: [height, width],
        pixels: Vec::with_capacity(chosen.len() * height * width),
        labels: Vec::with_capacity(chosen.len()),
    };
    let rows = PartialDataset::<_, LabelledImage>::new(Arc::clone(images), range.start, range.end);
    for image in SelectionDataset::from_indices_checked(rows, chosen).iter() {
        let image = image.expect("images in memory are always there");
        split.pixels.extend_from_slice(&image.pixels);
        split.labels.extend(position_of(image.label));
    }
    Ok(split)
}
