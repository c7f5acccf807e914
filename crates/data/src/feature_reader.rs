//! Reads the rows of a table as numbers and categories, column by column.

use std::ops::Range;

use chainrule_core::{Encoding, FeatureLayout, NO_LEVEL, SparseIndices};

use crate::cells::Cells;
use crate::encode::Encoder;
use crate::sparse::SparseColumn;
use crate::{DataError, Rows};

/// Reads the rows of a table: its numbers, and one code for each category, however many levels it
/// has. [`Rows::chunk`] returns the same features, with a number for each level.
#[derive(Debug)]
pub struct FeatureReader<'a> {
    rows: &'a Rows,
    cells: &'a Cells,
    layout: FeatureLayout,
    numbers: Vec<NumberColumn<'a>>,
    categories: Vec<CategoryColumn<'a>>,
    sparse: Option<SparseFeatures<'a>>,
}

/// Where a number of a row comes from.
#[derive(Clone, Copy, Debug)]
enum NumberColumn<'a> {
    /// The cells of a column.
    Cells(usize),
    /// A feature of an encoded column.
    Encoded { encoder: &'a Encoder, column: usize, feature: usize },
}

/// A category, and the code of each of its levels: [`NO_LEVEL`] for levels that are not selected.
#[derive(Debug)]
struct CategoryColumn<'a> {
    encoder: &'a Encoder,
    column: usize,
    codes: Vec<u32>,
}

/// The sparse column, and the positions in a row of each feature that is selected: several, if it
/// is selected several times.
#[derive(Debug)]
struct SparseFeatures<'a> {
    column: &'a SparseColumn,
    indices: &'a SparseIndices,
    /// `None` if all features are selected in their order.
    positions: Option<Vec<Vec<u32>>>,
}

/// The sparse features of rows.
#[derive(Clone, Debug, Default)]
pub struct SparseEntries {
    /// The number of entries up to each row, and with it.
    ends: Vec<usize>,
    positions: Vec<u32>,
    values: Vec<f64>,
}

impl SparseEntries {
    /// Returns for each row the positions among the layout's sparse features of those that are not
    /// 0, and their values.
    pub fn rows(&self) -> impl Iterator<Item = (&[u32], &[f64])> {
        let first = std::iter::once(0).chain(self.ends.iter().copied());
        first.zip(&self.ends).map(|(first, &end)| (&self.positions[first..end], &self.values[first..end]))
    }

    /// Appends an entry to the row that [`end_row`](Self::end_row) ends.
    pub(crate) fn push(&mut self, position: u32, value: f64) {
        self.positions.push(position);
        self.values.push(value);
    }

    pub(crate) fn end_row(&mut self) {
        self.ends.push(self.positions.len());
    }

    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.positions.clear();
        self.values.clear();
    }
}

/// Rows of a table, column by column.
#[derive(Clone, Debug, Default)]
pub struct FeatureColumns {
    /// For each number of the layout, its value in each row.
    pub numbers: Vec<Vec<f64>>,
    /// For each category of the layout, the index of its level in each row, or [`NO_LEVEL`].
    pub codes: Vec<Vec<u32>>,
    /// The sparse features of each row, if the layout has some.
    pub sparse: SparseEntries,
    /// The stored rows.
    indices: Vec<usize>,
}

impl<'a> FeatureReader<'a> {
    pub(crate) fn new(
        rows: &'a Rows,
        cells: &'a Cells,
        encoder: Option<&'a Encoder>,
        selected: Option<&'a [usize]>,
    ) -> Self {
        let n_features = rows.n_features();
        let layout = FeatureLayout { n_features, ..FeatureLayout::default() };
        let mut reader = Self { rows, cells, layout, numbers: Vec::new(), categories: Vec::new(), sparse: None };
        if let (Some(indices), Some(column)) = (encoder.and_then(Encoder::sparse), &cells.sparse) {
            let positions = selected.map(|selected| {
                let mut positions = vec![Vec::new(); indices.len()];
                (0..).zip(selected).for_each(|(position, &feature)| positions[feature].push(position));
                positions
            });
            reader.layout.sparse = (0..n_features).collect();
            reader.sparse = Some(SparseFeatures { column, indices, positions });
            return reader;
        }
        // The recipe's column and the position in it of each feature.
        let places: Vec<(usize, usize)> = encoder.map_or_else(Vec::new, |encoder| {
            let columns = encoder.recipe().columns.iter().enumerate();
            columns.flat_map(|(column, of)| (0..of.encoding.n_features()).map(move |j| (column, j))).collect()
        });
        for feature in 0..n_features {
            let stored = selected.map_or(feature, |selected| selected[feature]);
            let Some(encoder) = encoder else {
                reader.add_number(feature, NumberColumn::Cells(stored));
                continue;
            };
            let (column, position) = places[stored];
            match &encoder.recipe().columns[column].encoding {
                Encoding::Category(_) => reader.add_level(feature, encoder, column, position),
                _ => reader.add_number(feature, NumberColumn::Encoded { encoder, column, feature: position }),
            }
        }
        reader
    }

    fn add_number(&mut self, feature: usize, column: NumberColumn<'a>) {
        self.layout.numbers.push(feature);
        self.numbers.push(column);
    }

    fn add_level(&mut self, feature: usize, encoder: &'a Encoder, column: usize, level: usize) {
        // A level that is selected twice needs a second category.
        let has_place = |category: &CategoryColumn| category.column == column && category.codes[level] == NO_LEVEL;
        let index = self.categories.iter().rposition(has_place).unwrap_or_else(|| {
            let n_levels = encoder.recipe().columns[column].encoding.n_features();
            self.categories.push(CategoryColumn { encoder, column, codes: vec![NO_LEVEL; n_levels] });
            self.layout.categories.push(Vec::new());
            self.categories.len() - 1
        });
        let features = &mut self.layout.categories[index];
        self.categories[index].codes[level] = features.len() as u32;
        features.push(feature);
    }

    /// Returns which features are numbers, which are levels, and which are sparse.
    pub fn layout(&self) -> &FeatureLayout {
        &self.layout
    }

    /// Reads rows.
    ///
    /// # Errors
    /// Fails if the rows are kept in a file that can no longer be read.
    ///
    /// # Panics
    /// Panics if a row is past the end.
    pub fn read(&self, rows: Range<usize>, columns: &mut FeatureColumns) -> Result<(), DataError> {
        let FeatureColumns { numbers, codes, sparse, indices } = columns;
        indices.clear();
        indices.extend(self.rows.stored_indices(rows));
        let are_consecutive = indices.windows(2).all(|pair| pair[1] == pair[0] + 1);
        numbers.resize_with(self.numbers.len(), Vec::new);
        for (source, numbers) in self.numbers.iter().zip(numbers) {
            numbers.clear();
            match *source {
                NumberColumn::Cells(column) if are_consecutive && !indices.is_empty() => {
                    self.cells.columns[column].append_to(indices[0]..indices[0] + indices.len(), numbers);
                }
                NumberColumn::Cells(column) => {
                    let mut cells = self.cells.columns[column].reader();
                    numbers.extend(indices.iter().map(|&row| cells.get(row)));
                }
                NumberColumn::Encoded { encoder, column, feature } => {
                    numbers.extend(encoder.numbers(self.cells, column, feature, indices));
                }
            }
        }
        codes.resize_with(self.categories.len(), Vec::new);
        for (CategoryColumn { encoder, column, codes: of_level }, codes) in self.categories.iter().zip(codes) {
            codes.clear();
            let levels = encoder.levels(self.cells, *column, indices);
            codes.extend(levels.map(|level| level.map_or(NO_LEVEL, |level| of_level[level])));
        }
        sparse.clear();
        if let Some(features) = &self.sparse {
            indices.iter().for_each(|&row| features.read(row, sparse));
        }
        self.cells.check()
    }
}

impl SparseFeatures<'_> {
    /// Appends the entries of a stored row.
    fn read(&self, row: usize, to: &mut SparseEntries) {
        for (index, value) in self.column.row(row) {
            let Some(feature) = self.indices.position(index) else { continue };
            let own = [feature as u32];
            let positions = self.positions.as_ref().map_or(&own[..], |positions| &positions[feature]);
            to.positions.extend_from_slice(positions);
            to.values.extend(positions.iter().map(|_| value));
        }
        to.ends.push(to.positions.len());
    }
}
