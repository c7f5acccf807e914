//! Labelled rows of bytes, as kernels read them.

/// Labelled rows of bytes; a feature is `scale * byte + offset`.
#[derive(Clone, Debug)]
pub struct Rows {
    n_features: usize,
    labels: Vec<u32>,
    n_labels: usize,
    pub(crate) scale: f64,
    pub(crate) offset: f64,
    pub(crate) bytes: Bytes,
}

/// How the bytes lie.
#[derive(Clone, Debug)]
pub(crate) enum Bytes {
    /// `n * d`, row by row.
    Dense(Vec<u8>),
    /// Those that are not 0, row by row, each with its feature, filled up with zeros to a multiple of four; row i's are `starts[i]..starts[i + 1]`.
    Sparse { starts: Vec<usize>, features: Vec<u16>, values: Vec<u8> },
}

/// How rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Every byte.
    Dense,
    /// Only bytes that are not 0.
    Sparse,
}

/// A row of [`Bytes::Sparse`]: its features and their bytes.
#[inline(always)]
pub(crate) fn entries<'a>(
    starts: &[usize],
    features: &'a [u16],
    values: &'a [u8],
    row: usize,
) -> (&'a [u16], &'a [u8]) {
    let range = starts[row]..starts[row + 1];
    (&features[range.clone()], &values[range])
}

impl Rows {
    /// Rows in the layout that kernels for so many columns of W are faster on: what is not 0 decides, counted.
    ///
    /// # Panics
    /// Where the bytes are not `labels.len() * n_features`.
    pub fn new(bytes: Vec<u8>, n_features: usize, labels: Vec<u32>, scale: f64, offset: f64, columns: usize) -> Self {
        let non_zeros = bytes.iter().filter(|&&byte| byte != 0).count();
        let density = non_zeros as f64 / bytes.len().max(1) as f64;
        let limit = if columns == 1 { SPARSE_BELOW_FOR_ONE } else { SPARSE_BELOW };
        let layout = if density < limit { Layout::Sparse } else { Layout::Dense };
        Self::with_layout(bytes, n_features, labels, scale, offset, layout)
    }

    /// Rows in this layout. More than 65 536 features are always dense.
    ///
    /// # Panics
    /// Where the bytes are not `labels.len() * n_features`.
    pub fn with_layout(
        bytes: Vec<u8>,
        n_features: usize,
        labels: Vec<u32>,
        scale: f64,
        offset: f64,
        layout: Layout,
    ) -> Self {
        assert_eq!(bytes.len(), labels.len() * n_features, "a byte for each row and feature");
        let bytes = match layout {
            Layout::Sparse if n_features <= 1 << 16 => sparse(&bytes, n_features, labels.len()),
            _ => Bytes::Dense(bytes),
        };
        let n_labels = labels.iter().max().map_or(0, |&label| label as usize + 1);
        Self { n_features, labels, n_labels, scale, offset, bytes }
    }

    /// Rows, n.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Each row's class.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// One more than the highest label.
    pub(crate) fn n_labels(&self) -> usize {
        self.n_labels
    }

    /// How they are kept.
    pub fn layout(&self) -> Layout {
        match self.bytes {
            Bytes::Dense(_) => Layout::Dense,
            Bytes::Sparse { .. } => Layout::Sparse,
        }
    }
}

/// Below which part of bytes that are not 0 leaving the others out pays, with something to spare (docs/decisions/0011-kernels.md): for vectors
/// along the classes, and for one column, where they lie along the features and so do not suffer from the zeros as much.
const SPARSE_BELOW: f64 = 0.25;
const SPARSE_BELOW_FOR_ONE: f64 = 0.1;

fn sparse(bytes: &[u8], n_features: usize, n_rows: usize) -> Bytes {
    let mut starts = Vec::with_capacity(n_rows + 1);
    let non_zeros = bytes.iter().filter(|&&byte| byte != 0).count();
    let (mut features, mut values) = (Vec::with_capacity(non_zeros), Vec::with_capacity(non_zeros));
    starts.push(0);
    for row in 0..n_rows {
        for (feature, &byte) in bytes[row * n_features..][..n_features].iter().enumerate() {
            if byte != 0 {
                features.push(feature as u16);
                values.push(byte);
            }
        }
        // Fours throughout, so that loops over fours leave no rest: a 0 more adds nothing.
        while !values.len().is_multiple_of(4) {
            features.push(0);
            values.push(0);
        }
        starts.push(values.len());
    }
    Bytes::Sparse { starts, features, values }
}
