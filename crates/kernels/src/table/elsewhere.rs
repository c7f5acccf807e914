//! Rows of a table that are kept elsewhere, such as in a file, as bytes.
//!
//! The rows are in units: of sixteen rows ([`RowOrder::Groups`]) or of one ([`RowOrder::Rows`]). A
//! unit has its numbers, its codes and its labels, in the layout that the kernels read, so reading
//! rows is copying bytes.
//!
//! [`RowOrder::Groups`]: crate::RowOrder::Groups
//! [`RowOrder::Rows`]: crate::RowOrder::Rows

use crate::lanes::{LANES, Lanes};
use crate::packed_rows::{PackedRows, Store, Targets};
use crate::table::moments::{FeatureMoments, moments, sampled_rows};
use crate::table::rows::{Numbers, TableBuilder, TableRows};
use crate::table::sparse::SparseRows;

/// The layout and the statistics of a table's packed rows, which are kept elsewhere.
#[derive(Clone, Debug)]
pub struct PackedLayout {
    /// The rows' number and statistics, without the rows.
    all: TableRows,
    /// Whether each row has a weight, of eight bytes.
    have_weights: bool,
}

impl TableBuilder {
    /// Moves the rows that were pushed since the last call to `bytes`, with their labels and
    /// weights. Either all rows have a weight, or none. Only the last call may have a number of
    /// rows that is no multiple of [`unit_rows`](PackedLayout::unit_rows).
    ///
    /// # Panics
    /// If the numbers of rows, labels or weights differ, if some rows have weights, if the features
    /// are sparse, or if rows follow an incomplete unit.
    pub fn take_bytes(&mut self, labels: &[u32], weights: Option<&[f64]>, bytes: &mut Vec<u8>) {
        let rows = &mut self.rows;
        assert_eq!(rows.n, labels.len(), "rows and labels of a table");
        assert!(weights.is_none_or(|weights| weights.len() == rows.n), "rows and weights of a table");
        assert_eq!(*self.have_weights.get_or_insert(weights.is_some()), weights.is_some(), "weights of all rows");
        assert!(rows.shape.layout.sparse.is_empty(), "sparse rows stay in memory");
        let (size, n) = (rows.shape.order.group_size(), std::mem::take(&mut rows.n));
        assert!(self.n_taken.is_multiple_of(size), "rows after an incomplete unit");
        let (n_numbers, n_categories) = (rows.shape.layout.numbers.len(), rows.shape.layout.categories.len());
        let absent = rows.shape.levels.len() as u32;
        for unit in 0..n.div_ceil(size) {
            let numbers = unit * size * n_numbers..(unit + 1) * size * n_numbers;
            match &rows.numbers {
                Numbers::F32(lanes) => {
                    bytes.extend(numbers.flat_map(|i| lanes[i / LANES].0[i % LANES].to_le_bytes()));
                }
                Numbers::F64(lanes) => {
                    bytes.extend(numbers.flat_map(|i| lanes[i / LANES].0[i % LANES].to_le_bytes()));
                }
            }
            let codes = &mut rows.codes[unit * size * n_categories..(unit + 1) * size * n_categories];
            bytes.extend(codes.iter().flat_map(|code| code.to_le_bytes()));
            // The lanes of the next rows may have no row.
            codes.fill(absent);
            let label = |row: usize| labels.get(row).copied().unwrap_or_default();
            bytes.extend((unit * size..(unit + 1) * size).flat_map(|row| label(row).to_le_bytes()));
            if let Some(weights) = weights {
                let weight = |row: usize| weights.get(row).copied().unwrap_or_default();
                bytes.extend((unit * size..(unit + 1) * size).flat_map(|row| weight(row).to_le_bytes()));
            }
        }
        self.n_taken += n;
    }

    /// Returns the layout of the rows, when all were [taken](Self::take_bytes).
    ///
    /// # Panics
    /// If rows are left.
    pub fn into_layout(self) -> PackedLayout {
        let (mut all, have_weights) = (self.rows, self.have_weights == Some(true));
        assert_eq!(all.n, 0, "rows that were not taken");
        all.n = self.n_taken;
        match &mut all.numbers {
            Numbers::F32(lanes) => *lanes = Vec::new(),
            Numbers::F64(lanes) => *lanes = Vec::new(),
        }
        all.codes = Vec::new();
        PackedLayout { all, have_weights }
    }
}

impl PackedLayout {
    /// Returns the number of rows, n.
    pub fn len(&self) -> usize {
        self.all.n
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.all.n == 0
    }

    /// Returns whether each row has a weight.
    pub fn have_weights(&self) -> bool {
        self.have_weights
    }

    /// Returns the number of features, d.
    pub fn n_features(&self) -> usize {
        self.all.layout().n_features
    }

    /// Returns the number of rows of a unit. The last one may have fewer, but it has as many bytes.
    pub fn unit_rows(&self) -> usize {
        self.all.shape.order.group_size()
    }

    /// Returns the number of bytes of a unit.
    pub fn unit_bytes(&self) -> usize {
        let layout = self.all.layout();
        let of_number = if self.all.are_f64() { size_of::<f64>() } else { size_of::<f32>() };
        let of_weight = if self.have_weights { size_of::<f64>() } else { 0 };
        let of_row = layout.numbers.len() * of_number + (layout.categories.len() + 1) * size_of::<u32>() + of_weight;
        self.unit_rows() * of_row
    }

    /// Returns n rows from the bytes of their units.
    ///
    /// # Panics
    /// If there are not the bytes of their units.
    pub fn rows(&self, n: usize, bytes: &[u8]) -> PackedRows {
        let size = self.unit_rows();
        let n_units = n.div_ceil(size);
        assert_eq!(bytes.len(), n_units * self.unit_bytes(), "bytes of {n} rows");
        let layout = self.all.layout();
        let (n_numbers, n_categories) = (size * layout.numbers.len(), size * layout.categories.len());
        let mut codes = Vec::with_capacity(n_units * n_categories);
        let mut labels = Vec::with_capacity(n_units * size);
        let mut weights = Vec::new();
        let n_lanes = (n_units * n_numbers).div_ceil(LANES);
        let mut numbers = match &self.all.numbers {
            Numbers::F32(_) => Numbers::F32(Vec::with_capacity(n_lanes)),
            Numbers::F64(_) => Numbers::F64(Vec::with_capacity(n_lanes)),
        };
        for (unit, mut bytes) in bytes.chunks_exact(self.unit_bytes()).enumerate() {
            let first = unit * n_numbers;
            match &mut numbers {
                Numbers::F32(lanes) => copy(&mut bytes, lanes, first, n_numbers, f32::from_le_bytes),
                Numbers::F64(lanes) => copy(&mut bytes, lanes, first, n_numbers, f64::from_le_bytes),
            }
            let (of_codes, bytes) = bytes.split_at(n_categories * size_of::<u32>());
            let (of_labels, of_weights) = bytes.split_at(size * size_of::<u32>());
            codes.extend(of_codes.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)));
            labels.extend(of_labels.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)));
            weights.extend(of_weights.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)));
        }
        labels.truncate(n);
        weights.truncate(n);
        let rows = TableRows {
            shape: self.all.shape.clone(),
            n,
            numbers,
            codes,
            sparse: SparseRows::new(0, self.all.are_f64()),
            // Those of all rows are known.
            number_sums: Vec::new(),
            level_counts: Vec::new(),
        };
        let packed = PackedRows { targets: Targets::of_classes(labels), store: Store::Table(Box::new(rows)) };
        if self.have_weights { packed.with_weights(weights) } else { packed }
    }

    /// Returns the mean of each feature, `[d]`.
    pub fn feature_mean(&self) -> Vec<f64> {
        self.all.mean()
    }

    /// Returns the moments of the features. `read` returns a row as the only one of its kind, and
    /// is called for some rows, in ascending order.
    ///
    /// # Errors
    /// As `read`.
    pub fn feature_moments<E>(
        &self,
        mut read: impl FnMut(usize) -> Result<PackedRows, E>,
    ) -> Result<FeatureMoments, E> {
        let mut sample = Vec::new();
        for row in sampled_rows(&self.all) {
            let rows = read(row)?;
            let Store::Table(rows) = &rows.store else { unreachable!("they are rows of a table") };
            sample.extend((0..self.all.layout().numbers.len()).map(|position| rows.number(0, position)));
        }
        Ok(moments(&self.all, &sample))
    }

    /// Returns the feature of the most frequent level of each category that has a level in every
    /// row.
    pub fn reference_levels(&self) -> Vec<usize> {
        self.all.reference_levels()
    }
}

/// Appends n numbers, of which the first has this index among all.
fn copy<T: Copy + Default, const B: usize>(
    bytes: &mut &[u8],
    lanes: &mut Vec<Lanes<T>>,
    first: usize,
    n: usize,
    from_bytes: impl Fn([u8; B]) -> T,
) {
    let (own, rest) = bytes.split_at(n * B);
    *bytes = rest;
    let numbers = own.as_chunks::<B>().0;
    if first.is_multiple_of(LANES) && n.is_multiple_of(LANES) {
        for numbers in numbers.as_chunks::<LANES>().0 {
            let mut own = [T::default(); LANES];
            for lane in 0..LANES {
                own[lane] = from_bytes(numbers[lane]);
            }
            lanes.push(Lanes(own));
        }
        return;
    }
    for (i, &number) in (first..).zip(numbers) {
        if i.is_multiple_of(LANES) {
            lanes.push(Lanes([T::default(); LANES]));
        }
        lanes[i / LANES].0[i % LANES] = from_bytes(number);
    }
}
