//! Rows of a table, in the layout that the kernel reads.

use std::sync::Arc;

use chainrule_core::{FeatureLayout, NO_LEVEL};

use crate::isa::prefetch;
use crate::lanes::{LANES, Lanes};
use crate::real::Real;
use crate::row_set::RowSet;
use crate::table::sparse::{SparseRows, SparseValues};

/// Rows of a table. A row has numbers, categories and sparse features side by side.
///
/// A number x is stored as `r = (x - centre) / unit`. Its feature is `a (x - m)`, which is
/// `a unit r + c` with `c = a (centre - m)`. The feature of a category's level is `a + c` in its
/// rows, else c. So standardised features need no copy of the data: the kernel folds factor and
/// offset into the weights. A category takes one code a row, whatever its number of levels.
#[derive(Clone, Debug)]
pub(crate) struct TableRows {
    pub(super) shape: Arc<Shape>,
    pub(super) n: usize,
    pub(super) numbers: Numbers,
    pub(super) codes: Vec<u32>,
    pub(super) sparse: SparseRows,
    /// The sum of each stored number over all rows.
    pub(super) number_sums: Vec<f64>,
    /// The number of rows of each level.
    pub(super) level_counts: Vec<usize>,
}

/// What all chunks of a table's rows share.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) layout: FeatureLayout,
    /// `(a, m)` of each feature `a (x - m)`, `[d]`.
    scaling: Vec<(f64, f64)>,
    /// The centre and the unit of each number.
    storage: Vec<(f64, f64)>,
    /// The feature of each level, over all categories. A code is an index into it; the code after
    /// the last stands for no level.
    pub(super) levels: Vec<usize>,
    pub(super) order: RowOrder,
}

/// The numbers of all rows, in [`RowOrder`].
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    F32(Vec<Lanes<f32>>),
    F64(Vec<Lanes<f64>>),
}

/// The order in which the numbers and codes of the rows are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// In groups of sixteen rows: a column's sixteen numbers are contiguous. A pass over
    /// consecutive rows reads them without a copy.
    Groups,
    /// Row by row. A batch of any rows reads few cache lines.
    Rows,
}

/// A number type of the stored numbers.
pub(crate) trait Stored: Copy + Send + Sync + 'static {
    /// Returns the numbers of this type.
    ///
    /// # Panics
    /// If they have another type.
    fn of(numbers: &Numbers) -> &[Lanes<Self>];
    /// Returns the values of sparse features of this type.
    ///
    /// # Panics
    /// If they have another type.
    fn of_sparse(values: &SparseValues) -> &[Self];
    fn to_real<T: Real>(self) -> T;
}

impl Stored for f32 {
    fn of(numbers: &Numbers) -> &[Lanes<Self>] {
        match numbers {
            Numbers::F32(numbers) => numbers,
            Numbers::F64(_) => unreachable!("the kernel has the type of its rows"),
        }
    }

    #[inline(always)]
    fn of_sparse(values: &SparseValues) -> &[Self] {
        match values {
            SparseValues::F32(values) => values,
            _ => unreachable!("the kernel has the type of its rows"),
        }
    }

    #[inline(always)]
    fn to_real<T: Real>(self) -> T {
        T::from_f32(self)
    }
}

impl Stored for f64 {
    fn of(numbers: &Numbers) -> &[Lanes<Self>] {
        match numbers {
            Numbers::F64(numbers) => numbers,
            Numbers::F32(_) => unreachable!("the kernel has the type of its rows"),
        }
    }

    #[inline(always)]
    fn of_sparse(values: &SparseValues) -> &[Self] {
        match values {
            SparseValues::F64(values) => values,
            _ => unreachable!("the kernel has the type of its rows"),
        }
    }

    #[inline(always)]
    fn to_real<T: Real>(self) -> T {
        T::from_f64(self)
    }
}

/// Converts sixteen stored numbers.
#[inline(always)]
pub(crate) fn convert<T: Real, S: Stored>(stored: &Lanes<S>) -> Lanes<T> {
    let mut lanes = Lanes::ZERO;
    for lane in 0..LANES {
        lanes.0[lane] = stored.0[lane].to_real();
    }
    lanes
}

/// Some rows in groups of sixteen. Lanes after the last row have any numbers, and no level.
#[derive(Clone, Copy)]
pub(crate) struct Groups<'a, S> {
    /// Indexed `[group * n_numbers + number].0[row of the group]`.
    pub(crate) numbers: &'a [Lanes<S>],
    /// Indexed `[(group * n_categories + category) * LANES + row of the group]`.
    pub(crate) codes: &'a [u32],
}

/// A buffer for rows that are not stored in groups.
#[derive(Clone, Debug)]
pub(crate) struct GroupBuffer<S> {
    numbers: Vec<Lanes<S>>,
    codes: Vec<u32>,
}

impl<S: Stored> GroupBuffer<S> {
    pub(crate) fn new() -> Self {
        Self { numbers: Vec::new(), codes: Vec::new() }
    }
}

impl RowOrder {
    /// Returns the number of rows that are stored together.
    pub(super) fn group_size(self) -> usize {
        match self {
            Self::Groups => LANES,
            Self::Rows => 1,
        }
    }
}

impl TableRows {
    pub(crate) fn len(&self) -> usize {
        self.n
    }

    pub(crate) fn layout(&self) -> &FeatureLayout {
        &self.shape.layout
    }

    /// Returns the feature of each level. See [`TableRows::levels`].
    pub(crate) fn levels(&self) -> &[usize] {
        &self.shape.levels
    }

    /// Returns `(a, c)` of a feature `a r + c`, for the stored number r at this position among the
    /// numbers of a row.
    pub(crate) fn affine_of_number(&self, position: usize) -> (f64, f64) {
        let (a, m) = self.shape.scaling[self.shape.layout.numbers[position]];
        let (centre, unit) = self.shape.storage[position];
        // Centre and m may be large and nearly equal.
        (a * unit, a * (centre - m))
    }

    /// Returns the entries of the sparse features.
    pub(crate) fn sparse(&self) -> &SparseRows {
        &self.sparse
    }

    /// Returns `(a, c)` of a feature: `a + c` in the rows of its level, else c. The feature of a
    /// sparse value x is `a x + c`.
    pub(crate) fn affine_of_level(&self, feature: usize) -> (f64, f64) {
        let (a, m) = self.shape.scaling[feature];
        (a, -a * m)
    }

    /// Whether the numbers are stored in f64.
    pub(crate) fn are_f64(&self) -> bool {
        matches!(self.numbers, Numbers::F64(_))
    }

    /// Returns the mean of each feature over all rows, `[d]`.
    pub(crate) fn mean(&self) -> Vec<f64> {
        let (n, mut mean) = (self.n as f64, vec![0.0; self.shape.layout.n_features]);
        for (position, (&feature, sum)) in self.shape.layout.numbers.iter().zip(&self.number_sums).enumerate() {
            let (a, c) = self.affine_of_number(position);
            mean[feature] = a * sum / n + c;
        }
        for (&feature, &count) in self.shape.levels.iter().zip(&self.level_counts) {
            let (a, c) = self.affine_of_level(feature);
            mean[feature] = a * count as f64 / n + c;
        }
        for (position, &feature) in self.shape.layout.sparse.iter().enumerate() {
            let (a, c) = self.affine_of_level(feature);
            mean[feature] = a * self.sparse.moments(position).0 + c;
        }
        mean
    }

    /// Returns the variance of a sparse feature, over all rows.
    pub(crate) fn variance_of_sparse(&self, position: usize) -> f64 {
        self.affine_of_level(self.shape.layout.sparse[position]).0.powi(2) * self.sparse.moments(position).1
    }

    /// Returns the variance of a level's feature, over all rows.
    pub(crate) fn variance_of_level(&self, code: usize) -> f64 {
        let fraction = self.level_counts[code] as f64 / self.n as f64;
        self.affine_of_level(self.shape.levels[code]).0.powi(2) * fraction * (1.0 - fraction)
    }

    /// Returns the feature of the most frequent level of each category that has a level in every
    /// row; the first of several.
    pub(crate) fn reference_levels(&self) -> Vec<usize> {
        let mut first = 0;
        let of_category = |features: &Vec<usize>| {
            let counts = &self.level_counts[first..][..features.len()];
            first += features.len();
            let is_complete = counts.iter().sum::<usize>() == self.n;
            let most_frequent = (0..features.len()).rev().max_by_key(|&level| counts[level]);
            most_frequent.filter(|_| is_complete).map(|level| features[level])
        };
        self.shape.layout.categories.iter().filter_map(of_category).collect()
    }

    /// Returns the stored number of a row at this position among its numbers.
    pub(crate) fn number(&self, row: usize, position: usize) -> f64 {
        let (size, n_numbers) = (self.shape.order.group_size(), self.shape.layout.numbers.len());
        let index = row / size * size * n_numbers + row % size + position * size;
        match &self.numbers {
            Numbers::F32(numbers) => numbers[index / LANES].0[index % LANES].into(),
            Numbers::F64(numbers) => numbers[index / LANES].0[index % LANES],
        }
    }

    /// Loads rows into the cache that [`groups`](Self::groups) will copy.
    #[inline(always)]
    pub(crate) fn prefetch<S: Stored>(&self, rows: &[usize]) {
        let (n_numbers, n_categories) = (self.shape.layout.numbers.len(), self.shape.layout.categories.len());
        if self.shape.order == RowOrder::Rows {
            let stored = S::of(&self.numbers);
            for row in rows {
                prefetch(&stored[row * n_numbers / LANES..((row + 1) * n_numbers).div_ceil(LANES)]);
                prefetch(&self.codes[row * n_categories..][..n_categories]);
            }
        }
    }

    /// Returns rows in groups of sixteen. `buffer` is used if they are not stored so.
    #[inline(always)]
    pub(crate) fn groups<'a, S: Stored>(&'a self, row_set: RowSet, buffer: &'a mut GroupBuffer<S>) -> Groups<'a, S> {
        let (stored, n_groups) = (S::of(&self.numbers), row_set.len().div_ceil(LANES));
        let (n_numbers, n_categories) = (self.shape.layout.numbers.len(), self.shape.layout.categories.len());
        if let RowSet::Range(start, _) = row_set
            && self.shape.order == RowOrder::Groups
            && start.is_multiple_of(LANES)
        {
            let first = start / LANES;
            return Groups {
                numbers: &stored[first * n_numbers..(first + n_groups) * n_numbers],
                codes: &self.codes[first * n_categories * LANES..(first + n_groups) * n_categories * LANES],
            };
        }
        let GroupBuffer { numbers, codes } = buffer;
        if numbers.len() < n_groups * n_numbers {
            // Any numbers do for the lanes without a row.
            numbers.resize(n_groups * n_numbers, stored[0]);
        }
        codes.clear();
        codes.resize(n_groups * n_categories * LANES, self.shape.levels.len() as u32);
        let size = self.shape.order.group_size();
        if self.shape.order == RowOrder::Rows {
            for i in 0..row_set.len() {
                let (row, group, lane) = (row_set.row(i), i / LANES, i % LANES);
                let mut numbers = &mut numbers[group * n_numbers..][..n_numbers];
                // The row begins and ends within vectors.
                let mut start = row * n_numbers % LANES;
                for own in &stored[row * n_numbers / LANES..((row + 1) * n_numbers).div_ceil(LANES)] {
                    let own = &own.0[start..LANES.min(start + numbers.len())];
                    let (now, later) = numbers.split_at_mut(own.len());
                    for (numbers, &number) in now.iter_mut().zip(own) {
                        numbers.0[lane] = number;
                    }
                    (numbers, start) = (later, 0);
                }
                let own = &self.codes[row * n_categories..][..n_categories];
                for (j, &code) in own.iter().enumerate() {
                    codes[(group * n_categories + j) * LANES + lane] = code;
                }
            }
            return Groups { numbers: &numbers[..n_groups * n_numbers], codes: &codes[..] };
        }
        for i in 0..row_set.len() {
            let (row, group, lane) = (row_set.row(i), i / LANES, i % LANES);
            let (group_start, place) = (row / size * size, row % size);
            let first = group_start * n_numbers + place;
            for (j, numbers) in numbers[group * n_numbers..][..n_numbers].iter_mut().enumerate() {
                let index = first + j * size;
                numbers.0[lane] = stored[index / LANES].0[index % LANES];
            }
            let first = group_start * n_categories + place;
            for j in 0..n_categories {
                codes[(group * n_categories + j) * LANES + lane] = self.codes[first + j * size];
            }
        }
        Groups { numbers: &numbers[..n_groups * n_numbers], codes: &codes[..] }
    }
}

/// Packs the rows of a table.
#[derive(Clone, Debug)]
pub struct TableBuilder {
    pub(super) rows: TableRows,
    /// The first code of each category.
    first_codes: Vec<u32>,
    /// The number of rows that were [taken](Self::take_bytes).
    pub(super) n_taken: usize,
    /// Whether the rows that were taken have weights.
    pub(super) have_weights: Option<bool>,
}

impl TableBuilder {
    /// Starts a table of n rows, or of up to n rows at a time.
    ///
    /// - `scaling`: `(a, m)` of each feature `a (x - m)`, for a number x of the table, or 1 for a
    ///   level in its rows and 0 elsewhere, `[d]`
    /// - `storage`: `(centre, unit)` of each number, which is stored as `(x - centre) / unit`. It
    ///   does not change the features, but f32 holds only numbers from about 1e-38 to 1e38
    /// - `are_f64`: whether the numbers are stored in f64. In f32 they take half the memory
    ///
    /// # Panics
    /// If the lengths do not match the layout.
    pub fn new(
        layout: FeatureLayout,
        n: usize,
        scaling: Vec<(f64, f64)>,
        storage: Vec<(f64, f64)>,
        are_f64: bool,
        order: RowOrder,
    ) -> Self {
        assert_eq!(
            (scaling.len(), storage.len()),
            (layout.n_features, layout.numbers.len()),
            "features and numbers of a table"
        );
        let mut levels = Vec::new();
        let mut first_codes = Vec::with_capacity(layout.categories.len());
        for features in &layout.categories {
            first_codes.push(u32::try_from(levels.len()).expect("fewer than 2^32 levels"));
            levels.extend_from_slice(features);
        }
        let padded = n.next_multiple_of(LANES);
        let n_lanes = (padded * layout.numbers.len()) / LANES;
        let numbers =
            if are_f64 { Numbers::F64(vec![Lanes::ZERO; n_lanes]) } else { Numbers::F32(vec![Lanes::ZERO; n_lanes]) };
        let codes = vec![levels.len() as u32; padded * layout.categories.len()];
        let (number_sums, level_counts) = (vec![0.0; layout.numbers.len()], vec![0; levels.len() + 1]);
        let (n, sparse) = (0, SparseRows::new(layout.sparse.len(), are_f64));
        let shape = Arc::new(Shape { layout, scaling, storage, levels, order });
        let rows = TableRows { shape, n, numbers, codes, sparse, number_sums, level_counts };
        Self { rows, first_codes, n_taken: 0, have_weights: None }
    }

    /// Appends rows.
    ///
    /// # Shapes
    /// - numbers: a slice `[m]` for each number of a row
    /// - codes: a slice `[m]` for each category: the index of the level, or [`NO_LEVEL`]
    ///
    /// # Panics
    /// If the slices have different lengths, if there are more rows than announced, or if a code is
    /// past the levels of its category.
    pub fn push(&mut self, m: usize, numbers: &[&[f64]], codes: &[&[u32]]) {
        let rows = &mut self.rows;
        let (n_numbers, n_categories) = (rows.shape.layout.numbers.len(), rows.shape.layout.categories.len());
        assert_eq!((numbers.len(), codes.len()), (n_numbers, n_categories), "columns of a table");
        let (size, first, absent) = (rows.shape.order.group_size(), rows.n, rows.shape.levels.len() as u32);
        let place = |row: usize, width: usize, j: usize| row / size * size * width + row % size + j * size;
        for (j, column) in numbers.iter().enumerate() {
            assert_eq!(column.len(), m, "numbers of a column");
            let (centre, unit) = rows.shape.storage[j];
            for (row, &number) in (first..).zip(*column) {
                let index = place(row, n_numbers, j);
                let number = (number - centre) / unit;
                let stored = match &mut rows.numbers {
                    Numbers::F32(numbers) => {
                        let stored = number as f32;
                        numbers[index / LANES].0[index % LANES] = stored;
                        f64::from(stored)
                    }
                    Numbers::F64(numbers) => {
                        numbers[index / LANES].0[index % LANES] = number;
                        number
                    }
                };
                rows.number_sums[j] += stored;
            }
        }
        for (j, column) in codes.iter().enumerate() {
            assert_eq!(column.len(), m, "codes of a column");
            let n_levels = rows.shape.layout.categories[j].len();
            for (row, &code) in (first..).zip(*column) {
                assert!(code == NO_LEVEL || (code as usize) < n_levels, "level {code} of {n_levels}");
                let code = if code == NO_LEVEL { absent } else { self.first_codes[j] + code };
                rows.codes[place(row, n_categories, j)] = code;
                rows.level_counts[code as usize] += 1;
            }
        }
        rows.n += m;
    }

    /// Sets the sparse features of the next row. If the layout has some, call it for each row.
    ///
    /// # Shapes
    /// - positions: the position among the sparse features of each one that is not 0
    /// - values: their values
    ///
    /// # Panics
    /// If the slices have different lengths, or a position is past the end.
    pub fn push_sparse(&mut self, positions: &[u32], values: &[f64]) {
        self.rows.sparse.push(positions, values);
    }

    /// Returns the rows. Numbers in f64 that f32 holds exactly are stored in f32.
    pub(crate) fn finish(self) -> TableRows {
        let mut rows = self.rows;
        rows.sparse.shrink();
        if !rows.shape.layout.sparse.is_empty() {
            assert_eq!(rows.sparse.len(), rows.n, "rows with sparse features");
        }
        if let Numbers::F64(numbers) = &rows.numbers {
            let is_exact = |number: &f64| f64::from(*number as f32).to_bits() == number.to_bits();
            if numbers.iter().all(|lanes| lanes.0.iter().all(is_exact)) && rows.sparse.is_exact_in_f32() {
                let narrow = numbers.iter().map(|lanes| Lanes(lanes.0.map(|number| number as f32)));
                rows.numbers = Numbers::F32(narrow.collect());
                rows.sparse.narrow();
            }
        }
        rows
    }
}
