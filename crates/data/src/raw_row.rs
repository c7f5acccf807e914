//! Rows as a program has them: a value for each column name. A recipe turns them into features,
//! exactly like the row of a file with the same values.

mod serializer;

use std::collections::HashMap;

use chainrule_core::{
    ABSENT, ColumnKind, Encoding, FeatureLayout, MAX_ABS_VALUE, NO_LEVEL, Recipe, Sparse, SparseIndices,
};
use serde::Serialize;

use crate::decimal::decimal;
use crate::encode::{Code, ColumnCoder, Unseen};
use crate::feature_reader::SparseEntries;
use crate::sparse::each_entry;
use crate::table::{missing_value, without_advice};
use serializer::RowSerializer;

/// A recipe, prepared for rows that are structs or maps. Any number of threads may use it at once.
///
/// A value is what it would be in a file:
/// - a number or a text, which may be the text of a number
/// - `null`, `None`, `NaN` or an empty text: a missing value, as are the
///   [usual marks](crate::MISSING)
/// - the name of an enum's variant without fields: a text
/// - `true` or `false`: the text `True` or `False`, as pandas writes it
///
/// A struct's field that serde skips is a missing value. Columns that the recipe does not use are
/// ignored. A column that it uses must be there.
///
/// ```
/// use chainrule_core::{FeatureLayout, Recipe};
/// use chainrule_data::{EncodedRow, RawRowEncoder};
///
/// #[derive(serde::Serialize)]
/// struct Flower {
///     name: &'static str,
///     width: f64,
///     length: f64,
/// }
///
/// let recipe = Recipe::of_numbers(&["length".to_owned(), "width".to_owned()]);
/// let encoder = RawRowEncoder::new(&recipe);
/// let mut row = EncodedRow::default();
/// encoder.encode(&Flower { name: "rose", width: 0.5, length: 2.0 }, &mut row)?;
/// assert_eq!(row.numbers, [2.0, 0.5]);
/// # Ok::<(), chainrule_data::RawRowError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RawRowEncoder {
    recipe: Recipe,
    columns: Vec<RawColumn>,
    positions: HashMap<String, usize>,
    layout: FeatureLayout,
}

/// A column of the recipe.
#[derive(Clone, Debug)]
struct RawColumn {
    coder: ColumnCoder,
    place: Place,
    /// Whether each number is the feature itself, as most are.
    has_plain_numbers: bool,
}

/// Where the features of a column are in an [`EncodedRow`].
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The position of its first number, and how many there are.
    Numbers(usize, usize),
    /// The position of its code.
    Code(usize),
    /// The sparse features.
    Sparse,
    /// It has no features.
    Nowhere,
}

/// A row in the layout of [`RawRowEncoder::layout`]. It keeps its memory when it is used again.
#[derive(Clone, Debug, Default)]
pub struct EncodedRow {
    /// The numbers, in the order of the layout.
    pub numbers: Vec<f64>,
    /// For each category of the layout, the index of its level, or [`NO_LEVEL`].
    pub codes: Vec<u32>,
    /// The sparse features of the row, if the layout has some.
    pub sparse: SparseEntries,
    /// The values that no training row has, in the order of the recipe.
    pub unseen: Vec<Unseen>,
    /// Whether each column of the recipe was there.
    has_column: Vec<bool>,
    /// How many were.
    n_columns: usize,
}

/// What is wrong with a raw row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RawRowError {
    /// The row is no struct and no map.
    #[error("the row is {found}; expected a struct, or a map of column names to values")]
    NoRow {
        /// What it is.
        found: &'static str,
    },
    /// A column that the model needs is not there.
    #[error("the row has no column {column:?}; the model needs it, and null is a missing value")]
    NoColumn {
        /// The column's name.
        column: String,
    },
    /// A column is there twice.
    #[error("the row has the column {column:?} twice")]
    DuplicateColumn {
        /// The column's name.
        column: String,
    },
    /// A value does not fit its column, or is missing where it must not be.
    #[error("column {column:?}: {problem}")]
    Value {
        /// The column's name.
        column: String,
        /// What is wrong with the value, and what to do.
        problem: String,
    },
    /// The row's own implementation of `Serialize` failed.
    #[error("the row cannot be read: {0}")]
    Serialize(String),
}

impl RawRowEncoder {
    /// Prepares a recipe.
    pub fn new(recipe: &Recipe) -> Self {
        let mut layout = FeatureLayout { n_features: recipe.n_features(), ..FeatureLayout::default() };
        let mut first = 0;
        let columns = recipe.columns.iter().map(|column| {
            let features = first..first + column.encoding.n_features();
            first = features.end;
            let place = match column.encoding.kind() {
                ColumnKind::Number | ColumnKind::Date => Place::Numbers(layout.numbers.len(), features.len()),
                ColumnKind::Category if features.is_empty() => Place::Nowhere,
                ColumnKind::Category => Place::Code(layout.categories.len()),
                ColumnKind::Sparse => Place::Sparse,
            };
            match place {
                Place::Numbers(..) => layout.numbers.extend(features),
                Place::Code(_) => layout.categories.push(features.collect()),
                Place::Sparse => layout.sparse.extend(features),
                Place::Nowhere => {}
            }
            let coder = ColumnCoder::new(&column.encoding, &recipe.missing);
            RawColumn { has_plain_numbers: coder.has_plain_numbers(), coder, place }
        });
        let columns = columns.collect();
        let positions = recipe.column_names().into_iter().zip(0..).collect();
        Self { recipe: recipe.clone(), columns, positions, layout }
    }

    /// Returns which features of a row are numbers, which are levels, and which are sparse.
    pub fn layout(&self) -> &FeatureLayout {
        &self.layout
    }

    /// Encodes a row, which replaces the one in `encoded`.
    ///
    /// # Errors
    /// Returns what is wrong with the row. `encoded` then has no meaning.
    pub fn encode<R: Serialize + ?Sized>(&self, row: &R, encoded: &mut EncodedRow) -> Result<(), RawRowError> {
        encoded.start(self);
        row.serialize(RowSerializer::new(self, encoded))?;
        if encoded.n_columns < self.columns.len() {
            let missing = encoded.has_column.iter().position(|has_column| !has_column).unwrap_or_default();
            return Err(RawRowError::NoColumn { column: self.name(missing).to_owned() });
        }
        // Fields may come in any order.
        if encoded.unseen.len() > 1 {
            encoded.unseen.sort_by_key(|unseen| unseen.position);
        }
        Ok(())
    }

    /// Returns the error of a feature that the model does not take.
    ///
    /// # Panics
    /// Panics if there is no such feature.
    pub fn feature_error(&self, feature: usize, problem: String) -> RawRowError {
        let mut ends = self.recipe.columns.iter().scan(0, |end, column| {
            *end += column.encoding.n_features();
            Some(*end)
        });
        self.value_error(ends.position(|end| feature < end).expect("a feature of the recipe"), problem)
    }

    fn name(&self, column: usize) -> &str {
        &self.recipe.columns[column].name
    }

    fn value_error(&self, column: usize, problem: String) -> RawRowError {
        RawRowError::Value { column: self.name(column).to_owned(), problem }
    }

    /// Returns the position of a column of the recipe. `guess` is where it probably is, and becomes
    /// the position after it: fields often come in the order of the columns.
    #[inline]
    fn find(&self, name: &str, guess: &mut usize) -> Option<usize> {
        let is_guessed = self.recipe.columns.get(*guess).is_some_and(|column| column.name == name);
        let found = if is_guessed { *guess } else { *self.positions.get(name)? };
        *guess = found + 1;
        Some(found)
    }

    /// Sets a missing value.
    fn set_missing(&self, column: usize, encoded: &mut EncodedRow) -> Result<(), RawRowError> {
        if let Place::Sparse = self.columns[column].place {
            return self.set_text(column, "", encoded);
        }
        self.set(column, self.columns[column].coder.of_missing(), "", missing_value, encoded)
    }

    /// Sets a number. `text` returns it as a CSV file has it.
    #[inline]
    fn set_number(
        &self,
        column: usize,
        number: f64,
        text: impl FnOnce() -> String,
        encoded: &mut EncodedRow,
    ) -> Result<(), RawRowError> {
        let RawColumn { coder, place, has_plain_numbers } = &self.columns[column];
        match place {
            &Place::Numbers(first, n) if *has_plain_numbers && number.abs() <= MAX_ABS_VALUE => {
                encoded.numbers[first] = number;
                encoded.numbers[first + 1..first + n].fill(0.0);
                Ok(())
            }
            _ if number.is_nan() => self.set_missing(column, encoded),
            Place::Numbers(..) if number.abs() <= MAX_ABS_VALUE => {
                self.set(column, coder.of_number(number), "", || ColumnCoder::problem_of_number(number), encoded)
            }
            _ => self.set_text(column, &text(), encoded),
        }
    }

    fn set_text(&self, column: usize, text: &str, encoded: &mut EncodedRow) -> Result<(), RawRowError> {
        let RawColumn { coder, place, .. } = &self.columns[column];
        let text = text.trim_ascii();
        match place {
            Place::Sparse => return self.set_entries(column, text, encoded),
            _ if text.is_empty() => return self.set_missing(column, encoded),
            // The fields of a category are texts, even if they look like numbers.
            Place::Numbers(..) => {
                if let Some(number) = decimal(text.as_bytes()).filter(|number| number.abs() <= MAX_ABS_VALUE) {
                    return self.set_number(column, number, String::new, encoded);
                }
            }
            Place::Code(_) | Place::Nowhere => {}
        }
        self.set(column, coder.of_text(text), text, || coder.problem_of_text(text), encoded)
    }

    /// Sets a truth value.
    fn set_bool(&self, column: usize, value: bool, encoded: &mut EncodedRow) -> Result<(), RawRowError> {
        self.set_text(column, if value { "True" } else { "False" }, encoded)
    }

    /// Sets the code of a value, whose text is `level` if it may be the level of a category.
    fn set(
        &self,
        column: usize,
        code: Code,
        level: &str,
        problem: impl FnOnce() -> String,
        encoded: &mut EncodedRow,
    ) -> Result<(), RawRowError> {
        let encoding = &self.recipe.columns[column].encoding;
        match code {
            Code::Known(_) => {}
            Code::Invalid => return Err(self.value_error(column, without_advice(&problem()).to_owned())),
            code => {
                let mut unseen = Unseen::of_column(column, &self.recipe.columns[column]);
                unseen.count(code, || level.into(), encoding);
                encoded.unseen.extend(unseen.is_some().then_some(unseen));
            }
        }
        match (self.columns[column].place, code.code()) {
            (Place::Numbers(first, n), code) => encoding.write(code, &mut encoded.numbers[first..first + n]),
            (Place::Code(position), ABSENT) => encoded.codes[position] = NO_LEVEL,
            (Place::Code(position), code) => encoded.codes[position] = code as u32,
            (Place::Sparse | Place::Nowhere, _) => {}
        }
        Ok(())
    }

    /// Sets the entries `INDEX:VALUE` of a sparse column.
    fn set_entries(&self, column: usize, text: &str, encoded: &mut EncodedRow) -> Result<(), RawRowError> {
        let of = &self.recipe.columns[column];
        let no_indices = SparseIndices::default();
        let indices = if let Encoding::Sparse(Sparse { indices }) = &of.encoding { indices } else { &no_indices };
        let mut new = None;
        let entries = |index: u32, value: f64| match indices.position(index) {
            _ if value == 0.0 => {}
            Some(position) => encoded.sparse.push(position as u32, value),
            None => new = new.or(Some(index)),
        };
        each_entry(text.as_bytes(), entries).map_err(|problem| self.value_error(column, problem))?;
        encoded.sparse.end_row();
        if let Some(index) = new {
            let mut unseen = Unseen { is_sparse: true, ..Unseen::of_column(column, of) };
            unseen.add_row(|| index.to_string());
            encoded.unseen.push(unseen);
        }
        Ok(())
    }
}

impl EncodedRow {
    /// Removes the row, and makes space for another one.
    fn start(&mut self, encoder: &RawRowEncoder) {
        self.numbers.resize(encoder.layout.numbers.len(), 0.0);
        self.codes.resize(encoder.layout.categories.len(), NO_LEVEL);
        self.sparse.clear();
        self.unseen.clear();
        self.has_column.clear();
        self.has_column.resize(encoder.columns.len(), false);
        self.n_columns = 0;
    }
}
