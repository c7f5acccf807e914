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
