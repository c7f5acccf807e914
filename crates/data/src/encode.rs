//! Applies a recipe to the cells of a table.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chainrule_core::{
    ABSENT, Categorical, ColumnKind, ColumnRecipe, Encoding, Numeric, Recipe, Sparse, SparseIndices, pluralize,
};

use crate::cells::{Cell, Cells, bits_of, marks_missing, missing_numbers};
use crate::column::CellReader;
use crate::days::days;
use crate::learn::{level_of_number, levels_of_number, no_date, shortened};
use crate::same_number::same_number;
use crate::table::{missing_value, no_number, without_advice};

/// A recipe with what does not depend on a table. The batches of a file share it.
#[derive(Debug)]
pub(crate) struct PreparedRecipe {
    recipe: Recipe,
    coders: Vec<ColumnCoder>,
}

/// Turns the values of a column into codes, wherever they come from. See [`Recipe::expand`].
#[derive(Clone, Debug)]
pub(crate) struct ColumnCoder {
    kind: ColumnKind,
    /// Texts that mark a missing value, besides the usual ones.
    marks: Vec<String>,
    /// Those of them that are numbers, by their bits.
    missing_numbers: Vec<u64>,
    /// The code of each level of a category.
    of_level: HashMap<String, f64>,
    /// The code of the level that is a number or a truth value, whatever its form. See
    /// [`levels_by_form`].
    of_form: HashMap<String, Option<f64>>,
    /// The codes of a category's numbers, by their bits.
    of_number: HashMap<u64, f64>,
    /// The code of a missing value.
    missing: Code,
    /// The code of a category's levels without a feature of their own.
    unknown: Code,
}

/// A recipe, prepared for the cells of one table.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    prepared: Arc<PreparedRecipe>,
    columns: Vec<ColumnEncoder>,
}

/// The codes of a column's values. See [`Recipe::expand`].
#[derive(Clone, Debug)]
struct ColumnEncoder {
    /// The position of the column among the table's.
    position: usize,
    /// The code of each text.
    of_text: Vec<Code>,
    /// Whether the numbers of some rows were rounded.
    is_rounded: bool,
    /// The numbers that mark a missing value, by their bits.
    missing_numbers: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Code {
    /// A value that the training rows had.
    Known(f64),
    /// A level without a feature of its own, with the position of `(other)`, or [`ABSENT`].
    Other(f64),
    /// A missing value, if every training row has a value.
    NewMissing,
    /// No value of the column.
    Invalid,
}

impl Code {
    pub(crate) fn code(self) -> f64 {
        if let Self::Known(code) | Self::Other(code) = self { code } else { ABSENT }
    }
}

/// The values of a column that no training row has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// The position of the column in the recipe.
    pub(crate) position: usize,
    /// The column's name.
    pub column: String,
    /// The rows with a level that no training row has.
    pub rows: usize,
    /// One of these levels.
    pub example: String,
    /// Whether these levels count as `(other)`. Otherwise they contribute nothing.
    pub is_other: bool,
    /// Whether these levels are indices of a sparse column.
    pub is_sparse: bool,
    /// The rows without a value, if every training row has one.
    pub missing: usize,
    /// Whether a missing value is replaced by the mean.
    pub is_filled: bool,
}

impl Unseen {
    /// Describes the values for people. Returns `None` if there are none.
    pub fn message(&self) -> Option<String> {
        let Self { column, rows, example, is_other, is_sparse, missing, is_filled, .. } = self;
        let has = |rows: usize| format!("{} {}", pluralize(rows, "row"), if rows == 1 { "has" } else { "have" });
        let mut parts = Vec::new();
        if *rows > 0 {
            let has = has(*rows);
            let outcome = if *is_other { "counts as (other)" } else { "contributes nothing" };
            parts.push(match is_sparse {
                true => format!("{has} indices that no training row has, such as {example}; they contribute nothing"),
                false => format!("{has} a level that no training row has, such as {example:?}; it {outcome}"),
            });
        }
        if *missing > 0 {
            let outcome = match (*is_filled, *missing) {
                (true, 1) => "takes the mean",
                (true, _) => "take the mean",
                (false, 1) => "contributes nothing",
                (false, _) => "contribute nothing",
            };
            parts.push(format!("{} no value, unlike all training rows, and {outcome}", has(*missing)));
        }
        (!parts.is_empty()).then(|| format!("column {column:?}: {}", parts.join("; ")))
    }
}

impl PreparedRecipe {
    pub(crate) fn new(recipe: Recipe) -> Self {
        let coders = recipe.columns.iter().map(|column| ColumnCoder::new(&column.encoding, &recipe.missing));
        Self { coders: coders.collect(), recipe }
    }

    pub(crate) fn recipe(&self) -> &Recipe {
        &self.recipe
    }
}

impl Encoder {
    /// Prepares a recipe for these cells.
    ///
    /// # Errors
    /// Returns the recipe's columns that the table lacks.
    pub(crate) fn new(cells: &Cells, recipe: &Recipe) -> Result<Self, Vec<String>> {
        Self::of_prepared(cells, &Arc::new(PreparedRecipe::new(recipe.clone())))
    }

    /// As [`new`](Self::new), for one of several tables.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn of_prepared(cells: &Cells, prepared: &Arc<PreparedRecipe>) -> Result<Self, Vec<String>> {
        let recipe = prepared.recipe();
        let names = recipe.column_names();
        if recipe.is_sparse() || cells.sparse.is_some() {
            let is_same_column = recipe.is_sparse() && cells.sparse.is_some() && names == cells.names;
            let encoder = Self { columns: Vec::new(), prepared: Arc::clone(prepared) };
            return if is_same_column { Ok(encoder) } else { Err(names) };
        }
        let positions: HashMap<&str, usize> = cells.names.iter().map(String::as_str).zip(0..).collect();
        let missing = recipe.columns.iter().filter(|column| !positions.contains_key(column.name.as_str()));
        let missing: Vec<String> = missing.map(|column| column.name.clone()).collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let columns = recipe.columns.iter().zip(&prepared.coders);
        let columns = columns.map(|(column, coder)| ColumnEncoder::new(cells, positions[column.name.as_str()], coder));
        Ok(Self { columns: columns.collect(), prepared: Arc::clone(prepared) })
    }

    /// Returns the recipe.
    pub(crate) fn recipe(&self) -> &Recipe {
        &self.prepared.recipe
    }

    /// Returns each column with its recipe and coder.
    fn columns(&self) -> impl Iterator<Item = (&ColumnEncoder, &ColumnRecipe, &ColumnCoder)> {
        let columns = self.columns.iter().zip(&self.recipe().columns).zip(&self.prepared.coders);
        columns.map(|((column, recipe), coder)| (column, recipe, coder))
    }

    /// Returns the indices of the sparse features, if the features are sparse.
    pub(crate) fn sparse(&self) -> Option<&SparseIndices> {
        self.recipe().columns.iter().find_map(|column| match &column.encoding {
            Encoding::Sparse(Sparse { indices }) => Some(indices),
            _ => None,
        })
    }

    /// Appends the features of these rows to `features`, one row after the other.
    pub(crate) fn append(&self, cells: &Cells, rows: &[usize], features: &mut Vec<f64>) {
        let (d, start) = (self.recipe().n_features(), features.len());
        features.resize(start + rows.len() * d, 0.0);
        if let (Some(indices), Some(sparse)) = (self.sparse(), &cells.sparse) {
            for (&row, features) in rows.iter().zip(features[start..].chunks_exact_mut(d)) {
                for (index, value) in sparse.row(row) {
                    indices.position(index).into_iter().for_each(|feature| features[feature] = value);
                }
            }
            return;
        }
        let mut first = start;
        for (column, of, coder) in self.columns() {
            let (stored, width) = (&cells.columns[column.position], of.encoding.n_features());
            let mut stored = stored.reader();
            for (&row, place) in rows.iter().zip((first..).step_by(d)) {
                let code = column.code(coder, stored.get(row)).code();
                of.encoding.write(code, &mut features[place..place + width]);
            }
            first += width;
        }
    }

    /// Returns a feature of a number's or a date's column in each of these rows. Feature 1 says
    /// whether the value is missing.
    pub(crate) fn numbers<'a>(
        &'a self,
        cells: &'a Cells,
        column: usize,
        feature: usize,
        rows: &'a [usize],
    ) -> impl Iterator<Item = f64> + 'a {
        let encoding = &self.recipe().columns[column].encoding;
        self.codes(cells, column, rows).map(move |code| {
            let mut features = [0.0; 2];
            encoding.write(code, &mut features);
            features[feature]
        })
    }

    /// Returns the position of a category's level in each of these rows, or `None` if it has none.
    pub(crate) fn levels<'a>(
        &'a self,
        cells: &'a Cells,
        column: usize,
        rows: &'a [usize],
    ) -> impl Iterator<Item = Option<usize>> + 'a {
        self.codes(cells, column, rows).map(|code| (code != ABSENT).then_some(code as usize))
    }

    /// Returns the codes of a column's values. See [`Recipe::expand`].
    fn codes<'a>(&'a self, cells: &'a Cells, column: usize, rows: &'a [usize]) -> impl Iterator<Item = f64> + 'a {
        let (encoder, coder) = (&self.columns[column], &self.prepared.coders[column]);
        let mut stored = cells.columns[encoder.position].reader();
        rows.iter().map(move |&row| encoder.code(coder, stored.get(row)).code())
    }

    /// Checks that every value of these rows fits its column, and counts those that no training row
    /// has.
    ///
    /// # Errors
    /// Returns line, column and what is wrong with the first value that does not fit.
    pub(crate) fn check(&self, cells: &Cells, rows: impl Iterator<Item = usize>) -> Result<Vec<Unseen>, String> {
        let unseen = self.recipe().columns.iter().enumerate();
        let mut unseen: Vec<Unseen> = unseen.map(|(position, column)| Unseen::of_column(position, column)).collect();
        if self.sparse().is_some() && cells.sparse.is_some() {
            return Ok(self.unseen_indices(cells, rows).unwrap_or_default());
        }
        let mut readers: Vec<CellReader> =
            self.columns.iter().map(|column| cells.columns[column.position].reader()).collect();
        for row in rows {
            let columns = self.columns().zip(&mut readers);
            for (((column, of, coder), stored), unseen) in columns.zip(&mut unseen) {
                let stored = stored.get(row);
                match column.code(coder, stored) {
                    Code::Known(_) => {}
                    Code::Invalid => {
                        let problem = column.problem(cells, coder, stored);
                        return Err(format!("{}, column {:?}: {problem}", cells.place(row), of.name));
                    }
                    code => unseen.count(code, || column.level(cells, stored), &of.encoding),
                }
            }
        }
        unseen.retain(Unseen::is_some);
        Ok(unseen)
    }

    /// Counts the rows of a sparse column with an index that no training row has. `None` if the
    /// features are not sparse.
    fn unseen_indices(&self, cells: &Cells, rows: impl Iterator<Item = usize>) -> Option<Vec<Unseen>> {
        let (indices, sparse) = (self.sparse()?, cells.sparse.as_ref()?);
        let mut unseen = Unseen { is_sparse: true, ..Unseen::of_column(0, self.recipe().columns.first()?) };
        for row in rows {
            let new = sparse.row(row).map(|(index, _)| index).find(|&index| indices.position(index).is_none());
            if let Some(index) = new {
                unseen.add_row(|| index.to_string());
            }
        }
        Some(if unseen.is_some() { vec![unseen] } else { Vec::new() })
    }

    /// As [`check`](Self::check), for rows of which each is answered by itself. A row with a value
    /// that does not fit is added to `problems`, with its column and what is wrong; it must not be
    /// encoded. Rows that are there already are not looked at.
    pub(crate) fn check_each(&self, cells: &Cells, n: usize, problems: &mut BTreeMap<usize, String>) -> Vec<Unseen> {
        if let Some(unseen) = self.unseen_indices(cells, (0..n).filter(|row| !problems.contains_key(row))) {
            return unseen;
        }
        // The rows with values that no training row has. They count unless a value of another
        // column makes the row a bad one.
        let (mut rows, mut bad) = (Vec::new(), vec![false; n]);
        problems.keys().for_each(|&row| bad[row] = true);
        for (column, of, coder) in self.columns() {
            let mut stored = cells.columns[column.position].reader();
            let mut of_column = Vec::new();
            for (row, bad) in bad.iter_mut().enumerate().filter(|(_, bad)| !**bad) {
                let stored = stored.get(row);
                match column.code(coder, stored) {
                    Code::Known(_) => {}
                    Code::Invalid => {
                        let problem = column.problem(cells, coder, stored);
                        problems.insert(row, format!("column {:?}: {}", of.name, without_advice(&problem)));
                        *bad = true;
                    }
                    code => of_column.push((row, code, stored)),
                }
            }
            rows.push(of_column);
        }
        let unseen = self.columns().zip(rows).enumerate().map(|(position, ((column, of, _), rows))| {
            let mut unseen = Unseen::of_column(position, of);
            for (_, code, stored) in rows.into_iter().filter(|(row, ..)| !bad[*row]) {
                unseen.count(code, || column.level(cells, stored), &of.encoding);
            }
            unseen
        });
        unseen.filter(Unseen::is_some).collect()
    }
}

impl Unseen {
    pub(crate) fn of_column(position: usize, column: &ColumnRecipe) -> Self {
        Self {
            position,
            column: column.name.clone(),
            is_other: matches!(&column.encoding, Encoding::Category(category) if category.other),
            is_filled: !matches!(column.encoding, Encoding::Category(_)),
            ..Self::default()
        }
    }

    pub(crate) fn is_some(&self) -> bool {
        self.rows + self.missing > 0
    }

    pub(crate) fn add_row(&mut self, example: impl FnOnce() -> String) {
        if self.rows == 0 {
            self.example = example();
        }
        self.rows += 1;
    }

    /// Counts a row with this code, whose level is `level`.
    pub(crate) fn count<'a>(&mut self, code: Code, level: impl FnOnce() -> Cow<'a, str>, encoding: &Encoding) {
        match code {
            Code::Known(_) | Code::Invalid => {}
            Code::NewMissing => self.missing += 1,
            Code::Other(_) => {
                let level = level();
                if is_new(encoding, &level) {
                    self.add_row(|| shortened(&level));
                }
            }
        }
    }

    /// Adds the rows of a later part of the same file.
    pub fn add(all: &mut Vec<Self>, part: Vec<Self>) {
        for unseen in part {
            match all.binary_search_by_key(&unseen.position, |own| own.position) {
                Err(place) => all.insert(place, unseen),
                Ok(place) => {
                    let own = &mut all[place];
                    if own.rows == 0 {
                        own.example = unseen.example;
                    }
                    own.rows += unseen.rows;
                    own.missing += unseen.missing;
                }
            }
        }
    }
}

/// Returns whether no training row has a level, for a level without a feature of its own. If the
/// recipe has not kept its rare levels, the level may be one of them, and is not called new.
fn is_new(encoding: &Encoding, level: &str) -> bool {
    let Encoding::Category(Categorical { other: true, rare, .. }) = encoding else { return true };
    // The training may have read 1.0 as a number, whose level is 1.
    let of_number = || level.parse().is_ok_and(|number| levels_of_number(number).any(|level| rare.has(&level)));
    !rare.is_empty() && !rare.has(level) && !of_number()
}

/// Returns the code of the level that is a number, whatever its form: `1`, `1.0` or `01`; or a
/// truth value: `True`, `true` or `TRUE`. If several levels are forms of one value, it is unknown
/// which one is meant.
fn levels_by_form(codes: &HashMap<String, f64>) -> HashMap<String, Option<f64>> {
    let mut by_form = HashMap::new();
    for (level, &code) in codes {
        if let Some(form) = form_of(level) {
            by_form.entry(form).and_modify(|code| *code = None).or_insert(Some(code));
        }
    }
    by_form
}

/// Returns a text that is the same for all forms of a number, or of a truth value, which pandas,
/// Parquet and JSON write in different ways.
fn form_of(text: &str) -> Option<String> {
    match text {
        "True" | "true" | "TRUE" => Some("true".to_owned()),
        "False" | "false" | "FALSE" => Some("false".to_owned()),
        _ => same_number(text),
    }
}

impl ColumnCoder {
    /// `marks` are texts that mark a missing value, besides the usual ones.
    pub(crate) fn new(encoding: &Encoding, marks: &[String]) -> Self {
        let mut coder = Self {
            kind: encoding.kind(),
            marks: marks.to_vec(),
            missing_numbers: marks.iter().filter_map(|mark| mark.trim().parse().ok()).map(bits_of).collect(),
            of_level: HashMap::new(),
            of_form: HashMap::new(),
            of_number: HashMap::new(),
            missing: Code::Invalid,
            unknown: Code::Invalid,
        };
        match encoding {
            Encoding::Number(numeric) | Encoding::Date(numeric) => {
                coder.missing = match numeric {
                    Numeric { fill: None, .. } => Code::Invalid,
                    Numeric { missing_feature: true, .. } => Code::Known(ABSENT),
                    Numeric { .. } => Code::NewMissing,
                };
            }
            Encoding::Category(Categorical { levels, other, missing, .. }) => {
                let codes: HashMap<String, f64> = levels.iter().cloned().zip((0..).map(f64::from)).collect();
                let last = (encoding.n_features().saturating_sub(1)) as f64;
                coder.missing = if *missing { Code::Known(last) } else { Code::NewMissing };
                coder.unknown = Code::Other(if *other { levels.len() as f64 } else { ABSENT });
                coder.of_form = levels_by_form(&codes);
                let number_of =
                    |level: &String| level.parse::<f64>().ok().filter(|&number| level_of_number(number) == *level);
                let numbers = levels.iter().zip((0..).map(f64::from));
                let numbers: Vec<(f64, f64)> =
                    numbers.filter_map(|(level, code)| Some((number_of(level)?, code))).collect();
                coder.of_number = numbers.iter().map(|&(number, code)| (bits_of(number), code)).collect();
                // In a long table the number of a level may be rounded. A whole number is not taken
                // for another one, and no number for one that is a level itself.
                for (number, code) in numbers.into_iter().filter(|(number, _)| number.fract() != 0.0) {
                    coder.of_number.entry(bits_of(f64::from(number as f32))).or_insert(code);
                }
                coder.of_level = codes;
            }
            // Its values are lists.
            Encoding::Sparse(_) => {}
        }
        coder
    }

    /// Returns whether each number is a value of the column, and none marks a missing one.
    pub(crate) fn has_plain_numbers(&self) -> bool {
        self.kind == ColumnKind::Number && self.missing_numbers.is_empty()
    }

    /// Returns the code of a missing value.
    pub(crate) fn of_missing(&self) -> Code {
        self.missing
    }

    /// Returns the code of a text that is not empty.
    pub(crate) fn of_text(&self, text: &str) -> Code {
        let is_missing = || marks_missing(text, &self.marks, false);
        match self.kind {
            ColumnKind::Category => {
                let of_form = || match self.of_form.get(&form_of(text)?) {
                    Some(code) => *code,
                    // The training may have rounded the number.
                    None => levels_of_number(text.parse().ok()?).find_map(|level| self.of_level.get(&level).copied()),
                };
                match self.of_level.get(text) {
                    Some(&code) => Code::Known(code),
                    None if is_missing() => self.missing,
                    None => of_form().map_or(self.unknown, Code::Known),
                }
            }
            _ if is_missing() => self.missing,
            ColumnKind::Date => days(text).map_or(Code::Invalid, Code::Known),
            ColumnKind::Number | ColumnKind::Sparse => Code::Invalid,
        }
    }

    /// Returns the code of a number that marks no missing value.
    fn of_stored_number(&self, number: f64, is_rounded: bool) -> Code {
        match self.kind {
            ColumnKind::Number => Code::Known(number),
            ColumnKind::Date | ColumnKind::Sparse => Code::Invalid,
            ColumnKind::Category => {
                let of = |number: f64| self.of_number.get(&bits_of(number));
                let code = of(number).or_else(|| of(f64::from(number as f32)).filter(|_| is_rounded));
                code.map_or(self.unknown, |&code| Code::Known(code))
            }
        }
    }

    /// Returns the code of a number in a column of numbers or dates.
    pub(crate) fn of_number(&self, number: f64) -> Code {
        let is_missing = self.missing_numbers.contains(&bits_of(number));
        if is_missing { self.missing } else { self.of_stored_number(number, false) }
    }

    /// Returns what is wrong with a number that does not fit.
    pub(crate) fn problem_of_number(number: f64) -> String {
        no_date(&number.to_string())
    }

    /// Returns what is wrong with a text that does not fit.
    pub(crate) fn problem_of_text(&self, text: &str) -> String {
        if self.kind == ColumnKind::Date { no_date(text) } else { no_number(text) }
    }
}

impl ColumnEncoder {
    fn new(cells: &Cells, position: usize, coder: &ColumnCoder) -> Self {
        let column = &cells.columns[position];
        Self {
            position,
            of_text: column.texts().iter().map(|text| coder.of_text(text)).collect(),
            is_rounded: column.is_rounded(),
            missing_numbers: missing_numbers(&coder.marks, column),
        }
    }

    fn code(&self, coder: &ColumnCoder, stored: f64) -> Code {
        match Cell::of_stored(stored) {
            Cell::Empty => coder.of_missing(),
            Cell::Text(text) => self.of_text[text as usize],
            Cell::Number(number) if self.missing_numbers.contains(&bits_of(number)) => coder.of_missing(),
            Cell::Number(number) => coder.of_stored_number(number, self.is_rounded),
        }
    }

    /// Returns the level of a cell.
    fn level<'a>(&self, cells: &'a Cells, stored: f64) -> Cow<'a, str> {
        match Cell::of_stored(stored) {
            Cell::Empty => Cow::Borrowed(""),
            Cell::Number(number) => Cow::Owned(level_of_number(number)),
            Cell::Text(text) => Cow::Borrowed(cells.columns[self.position].texts().get(text)),
        }
    }

    /// Returns what is wrong with a value that does not fit.
    fn problem(&self, cells: &Cells, coder: &ColumnCoder, stored: f64) -> String {
        match Cell::of_stored(stored) {
            Cell::Empty => missing_value(),
            Cell::Number(number) => ColumnCoder::problem_of_number(number),
            Cell::Text(text) => coder.problem_of_text(cells.columns[self.position].texts().get(text)),
        }
    }
}
