//! Chosen rows, and rows as the kernels read them.

use chainrule_core::Preprocessing;
use chainrule_data::{DataError, Numbers, Selection, Split, pixel_value};
use chainrule_kernels::Rows;

use crate::{Source, Stream};

/// Chosen rows: in memory, or where they are.
pub enum Chosen {
    /// Their bytes.
    Resident(Split),
    /// Rows that stay in their file.
    InFile(Selection),
    /// A table's.
    Numbers(Numbers),
}

impl Chosen {
    /// In memory, unless the rows stay in a file and are more than so many bytes.
    ///
    /// # Errors
    /// Where the file cannot be read any more.
    pub fn new(selection: Selection, resident_bytes: u64) -> Result<Self, DataError> {
        if selection.file().is_some() && selection.bytes() > resident_bytes {
            return Ok(Self::InFile(selection));
        }
        Ok(Self::Resident(selection.read()?))
    }

    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Resident(split) => split.len(),
            Self::Numbers(rows) => rows.len(),
            Self::InFile(selection) => selection.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        match self {
            Self::Resident(split) => split.n_features(),
            Self::Numbers(rows) => rows.n_features,
            Self::InFile(selection) => selection.n_features(),
        }
    }

    /// The features `[n, d]` that they become, row by row, each rounded; what they are made of is
    /// freed on the way.
    ///
    /// # Panics
    /// Where the rows stay in their file.
    pub fn into_features<T>(self, preprocessing: &Preprocessing, round: impl Fn(f64) -> T) -> Vec<T> {
        let d = self.n_features();
        let mut features = Vec::with_capacity(self.len() * d);
        let feature = |(raw, j)| round(preprocessing.value(j, raw));
        match self {
            Self::Resident(split) => {
                features.extend(split.pixels.into_iter().map(f64::from).zip((0..d).cycle()).map(feature));
            }
            Self::Numbers(rows) => features.extend(rows.values.into_iter().zip((0..d).cycle()).map(feature)),
            Self::InFile(_) => panic!("rows that become features are in memory"),
        }
        features
    }

    /// Each row's class.
    pub fn labels(&self) -> Vec<u8> {
        match self {
            Self::Resident(split) => split.labels.clone(),
            Self::Numbers(rows) => rows.labels.clone(),
            Self::InFile(selection) => (0..selection.len()).map(|row| selection.label(row)).collect(),
        }
    }
}

/// Rows as the fused kernels read them.
pub enum Bytes {
    /// All of them in memory.
    Resident(Rows),
    /// A chunk at a time.
    InFile(Stream),
}

impl Bytes {
    /// As an engine takes them.
    pub fn source(&self) -> Source<'_> {
        match self {
            Self::Resident(rows) => Source::Resident(rows),
            Self::InFile(stream) => Source::Streamed(stream),
        }
    }
}

/// A split as the fused kernels read it. The features are [`pixel_value`]s.
pub fn fused_rows(split: &Split) -> Rows {
    let labels = split.labels.iter().copied().map(u32::from).collect();
    kernel_rows(&split.pixels, split.size, labels)
}

/// Pixels of so many lines and columns an image as the fused kernels read them.
pub(crate) fn kernel_rows(pixels: &[u8], size: [usize; 2], labels: Vec<u32>) -> Rows {
    let (scale, offset) = scale_and_offset();
    Rows::new(pixels, size, labels, scale, offset)
}

/// Those of [`pixel_value`]: of a line two points tell all.
pub fn scale_and_offset() -> (f64, f64) {
    ((pixel_value(255) - pixel_value(0)) / 255.0, pixel_value(0))
}
