//! Learns from the training rows of a table how its columns become features.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use chainrule_core::{
    Categorical, ColumnKind, ColumnRecipe, DataConfig, Encoding, LeftOut, Numeric, RareLevels, Recipe, Sparse,
    WhyLeftOut, listed_by, mixed, mixed_dates, pluralize,
};

use crate::cells::{Cell, Cells, are_missing, bits_of, missing_numbers};
use crate::column::Column as CellColumn;
use crate::days::days;
use crate::row_indices::RowIndices;
use crate::same_number::same_number;
use crate::spread::{MIN_SCALE, Spread};
use crate::table::sorted_labels;

/// What a recipe may be told.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeOptions {
    /// The kinds of some columns. These columns are never left out.
    pub kinds: BTreeMap<String, ColumnKind>,
    /// Texts that mark a missing value, besides the [usual ones](crate::MISSING).
    pub missing: Vec<String>,
    /// The largest number of levels of a category. The most frequent ones are kept.
    pub max_categories: usize,
    /// The number of training rows that a level needs.
    pub min_rows: usize,
}

impl Default for RecipeOptions {
    fn default() -> Self {
        let DataConfig { columns, missing, max_categories, min_rows, .. } = DataConfig::default();
        Self { kinds: columns, missing, max_categories, min_rows }
    }
}

impl RecipeOptions {
    /// Adds the kinds that a file declares for columns without a given one.
    pub(crate) fn with_declared(&self, declared: &[(String, ColumnKind)]) -> Self {
        let kinds = declared.iter().cloned().chain(self.kinds.clone()).collect();
        Self { kinds, ..self.clone() }
    }
}

/// The names of columns that number the rows, in lower case and without other characters than
/// letters and digits. A column with such a name counts as one if its values are different whole
/// numbers.
const NAMES_OF_ROW_NUMBERS: [&str; 15] = [
    "id",
    "index",
    "idx",
    "row",
    "rowid",
    "rowname",
    "rownames",
    "rownumber",
    "obs",
    "no",
    "nr",
    "",
    "level0",
    "1",
    // pandas' index in Parquet and Arrow files: __index_level_0__.
    "indexlevel0",
];

/// Returns whether a column's name says that it numbers the rows: `rownames`, `user_id`,
/// `PassengerId`, `Unnamed: 0`, `...1`.
fn is_name_of_row_numbers(name: &str) -> bool {
    let letters: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    // "valid" is no identifier.
    let ends_in_id = name.ends_with("Id")
        || name.ends_with("ID")
        || name.to_lowercase().strip_suffix("id").is_some_and(|rest| rest.ends_with(['_', '-', '.', ' ']));
    NAMES_OF_ROW_NUMBERS.contains(&letters.as_str()) || letters.starts_with("unnamed") || ends_in_id
}

/// Returns whether a column's name says that its whole numbers are a quantity.
fn is_name_of_quantity(name: &str) -> bool {
    let name = name.to_lowercase();
    ["year", "date", "time", "rank", "day", "month", "week", "age"].iter().any(|word| name.contains(word))
}

/// Learns the recipe of a table from some of its rows. The order of the rows does not matter.
///
/// # Errors
/// Returns what is wrong with a column that has a given kind, with line and column. Returns an
/// error if no column is left.
pub(crate) fn learn(table: &Cells, rows: &RowIndices, options: &RecipeOptions) -> Result<Recipe, String> {
    let mut recipe = Recipe { missing: options.missing.clone(), ..Recipe::default() };
    let mut kept: Vec<Kept> = Vec::new();
    for (j, (name, cells)) in table.names.iter().zip(&table.columns).enumerate() {
        let statistics = ColumnStatistics::of(cells, rows, options);
        let column = Column { table, rows, j, statistics };
        let decision = match options.kinds.get(name) {
            Some(&kind) => column.as_kind(kind, options).map(Decision::Feature)?,
            None => {
                let same_hash = |kept: &&Kept| kept.hash == column.statistics.hash;
                match kept.iter().find(|kept| same_hash(kept) && column.repeats(kept)) {
                    Some(kept) => Decision::LeftOut(WhyLeftOut::Repeats(table.names[kept.j].clone())),
                    None => column.decide(options)?,
                }
            }
        };
        match decision {
            Decision::LeftOut(why) => recipe.left_out.push(LeftOut { name: name.clone(), why }),
            Decision::Feature((encoding, note)) => {
                let ColumnStatistics { hash, is_missing, missing_numbers, .. } = column.statistics;
                kept.push(Kept { j, hash, is_missing, missing_numbers });
                recipe.columns.push(ColumnRecipe { name: name.clone(), encoding, note });
            }
        }
    }
    if let Some(sparse) = &table.sparse {
        let name = table.names[0].clone();
        if options.kinds.get(&name).is_some_and(|kind| *kind != ColumnKind::Sparse) {
            return Err(format!("column {name:?} has INDEX:VALUE entries; data.columns cannot give it another kind"));
        }
        let indices = sparse.indices_of(rows.iter())?;
        recipe.columns.push(ColumnRecipe { name, encoding: Encoding::Sparse(Sparse { indices }), note: None });
    }
    table.check().map_err(|problem| problem.to_string())?;
    if recipe.columns.is_empty() {
        let why: Vec<String> =
            recipe.left_out.iter().map(|LeftOut { name, why }| format!("{name:?} is left out: {why}")).collect();
        let why = listed_by("; ", &why);
        return Err(format!("no feature column is left; {why}; data.columns can give a column its kind"));
    }
    Ok(recipe)
}

/// A column that became a feature, to be compared with later ones.
struct Kept {
    j: usize,
    hash: u64,
    /// Whether each text marks a missing value.
    is_missing: Vec<bool>,
    /// The numbers that mark a missing value, by their bits.
    missing_numbers: Vec<u64>,
}

/// What becomes of a column.
enum Decision {
    Feature((Encoding, Option<String>)),
    LeftOut(WhyLeftOut),
}

/// A sum in twice the precision of `f64`: the rounded sum and the error of its rounding. So the
/// order of the terms does not change the rounded result.
#[derive(Clone, Copy, Default)]
struct Sum {
    sum: f64,
    error: f64,
}

impl Sum {
    /// Adds a term: D. E. Knuth, The Art of Computer Programming 2, section 4.2.2, Theorem B.
    fn add(&mut self, term: f64) {
        let sum = self.sum + term;
        let of_term = sum - self.sum;
        self.error += (self.sum - (sum - of_term)) + (term - of_term);
        self.sum = sum;
    }

    fn value(self) -> f64 {
        self.sum + self.error
    }
}

/// The statistics of a column's training rows.
struct ColumnStatistics {
    numbers: usize,
    missing: usize,
    /// The rows of each text.
    of_text: Vec<usize>,
    /// Whether each text marks a missing value.
    is_missing: Vec<bool>,
    /// The numbers that mark a missing value, by their bits.
    missing_numbers: Vec<u64>,
    spread: Spread,
    sum: Sum,
    /// The first value, and whether all others are the same.
    first: Option<f64>,
    is_constant: bool,
    /// A hash of the values in their order. All marks of missing values have the same hash.
    hash: u64,
}

impl ColumnStatistics {
    fn of(column: &CellColumn, rows: &RowIndices, options: &RecipeOptions) -> Self {
        let mut statistics = Self {
            numbers: 0,
            missing: 0,
            of_text: vec![0; column.texts().len()],
            is_missing: are_missing(column.texts().iter(), &options.missing, false),
            missing_numbers: missing_numbers(&options.missing, column),
            spread: Spread::default(),
            sum: Sum::default(),
            first: None,
            is_constant: true,
            hash: 0,
        };
        // A minus is a value beside a plus, but only if a training row has one.
        let [plus, minus] = ["+", "-"].map(|sign| column.texts().find(sign));
        if let (Some(plus), Some(minus)) = (plus, minus)
            && has_text(column, rows, plus)
        {
            statistics.is_missing[minus as usize] = options.missing.iter().any(|mark| mark.trim() == "-");
        }
        let hashes: Vec<u64> = column.texts().iter().map(hash).collect();
        let mut cells = column.reader();
        rows.iter().for_each(|row| statistics.add(cells.get(row), &hashes));
        statistics
    }

    fn add(&mut self, stored: f64, hashes: &[u64]) {
        let bits = match Cell::of_stored(stored) {
            cell if is_missing(cell, &self.is_missing, &self.missing_numbers) => {
                self.missing += 1;
                u64::MAX
            }
            Cell::Number(number) => {
                self.numbers += 1;
                self.spread.add(number);
                self.sum.add(number);
                self.see(stored);
                bits_of(number)
            }
            Cell::Text(text) => {
                self.of_text[text as usize] += 1;
                self.see(stored);
                hashes[text as usize]
            }
            Cell::Empty => unreachable!("an empty field is missing"),
        };
        // As rustc's FxHasher.
        self.hash = (self.hash.rotate_left(5) ^ bits).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn see(&mut self, stored: f64) {
        self.is_constant &= *self.first.get_or_insert(stored) == stored;
    }

    /// The rows with a text that is not missing.
    fn texts(&self) -> usize {
        self.of_text.iter().sum()
    }

    /// The texts that occur, without missing ones.
    fn present(&self) -> impl Iterator<Item = (u32, usize)> + '_ {
        (0..).zip(self.of_text.iter().copied()).filter(|(_, rows)| *rows > 0)
    }

    /// Returns the mean of the numbers. It lies between them, also after rounding.
    fn mean(&self) -> f64 {
        (self.sum.value() / self.numbers as f64).clamp(self.spread.smallest, self.spread.largest)
    }

    /// Returns why the numbers say nothing although they are not all the same, if so.
    fn why_flat(&self) -> Option<WhyLeftOut> {
        match self.spread {
            _ if self.numbers == 0 || self.spread.width() == 0.0 => None,
            spread if spread.is_constant() => Some(WhyLeftOut::Rounding),
            spread => (spread.width() < MIN_SCALE).then_some(WhyLeftOut::Tiny),
        }
    }
}

/// Returns whether a cell of a column is missing. `of_text` says it of each text, and `numbers` are
/// the bits of the numbers that stand for a missing value.
fn is_missing(cell: Cell, of_text: &[bool], numbers: &[u64]) -> bool {
    match cell {
        Cell::Empty => true,
        Cell::Number(number) => numbers.contains(&bits_of(number)),
        Cell::Text(text) => of_text[text as usize],
    }
}

/// Returns whether one of the rows has this text.
fn has_text(column: &CellColumn, rows: &RowIndices, text: u32) -> bool {
    let mut cells = column.reader();
    rows.iter().any(|row| cells.cell(row) == Cell::Text(text))
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Shortens a text of a file for people.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    let shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() { shown + "…" } else { shown }
}

/// A column with its statistics.
struct Column<'a> {
    table: &'a Cells,
    rows: &'a RowIndices,
    j: usize,
    statistics: ColumnStatistics,
}

impl Column<'_> {
    /// The cells of the rows.
    fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        let mut cells = self.table.columns[self.j].reader();
        self.rows.iter().map(move |row| cells.cell(row))
    }

    fn text(&self, position: u32) -> &str {
        self.table.columns[self.j].texts().get(position)
    }

    /// Returns whether the column has the same values as another one, however missing ones are
    /// marked.
    fn repeats(&self, other: &Kept) -> bool {
        let Self { table, j, statistics, .. } = self;
        let [mut own, mut of_other] = [*j, other.j].map(|column| table.columns[column].reader());
        self.rows.iter().all(|row| {
            let (own, of_other) = (own.cell(row), of_other.cell(row));
            let is_other_missing = is_missing(of_other, &other.is_missing, &other.missing_numbers);
            match (own, of_other) {
                _ if is_missing(own, &statistics.is_missing, &statistics.missing_numbers) => is_other_missing,
                _ if is_other_missing => false,
                (Cell::Text(own), Cell::Text(of_other)) => {
                    self.text(own) == table.columns[other.j].texts().get(of_other)
                }
                (own, of_other) => own == of_other,
            }
        })
    }

    /// Decides what becomes of a column without a given kind.
    fn decide(&self, options: &RecipeOptions) -> Result<Decision, String> {
        let ColumnStatistics { numbers, missing, is_constant, .. } = self.statistics;
        let texts = self.statistics.texts();
        let left_out = |why| Ok(Decision::LeftOut(why));
        let feature = |kind| self.as_kind(kind, options).map(Decision::Feature);
        if numbers + texts == 0 {
            return left_out(WhyLeftOut::Empty);
        }
        if is_constant && missing == 0 && self.rows.len() > 1 {
            return left_out(WhyLeftOut::Constant);
        }
        if texts == 0 {
            return match self.statistics.why_flat() {
                Some(why) if missing == 0 => left_out(why),
                _ if self.numbers_the_rows() => left_out(WhyLeftOut::RowNumber),
                _ => feature(ColumnKind::Number),
            };
        }
        let present = || self.statistics.present();
        if numbers == 0 && present().all(|(text, _)| days(self.text(text)).is_some()) {
            let mut spread = Spread::default();
            present().filter_map(|(text, _)| days(self.text(text))).for_each(|days| spread.add(days));
            // A day may be written in several ways.
            let is_constant = spread.width() == 0.0 && missing == 0 && self.rows.len() > 1;
            return if is_constant { left_out(WhyLeftOut::Constant) } else { feature(ColumnKind::Date) };
        }
        // Infinities and numbers beyond the limit are stored as texts.
        if present().all(|(text, _)| self.text(text).parse::<f64>().is_ok()) {
            return feature(ColumnKind::Number);
        }
        let different = self.levels().len();
        // Held-out rows take repetitions away, so that half of the values look like more.
        let rows = self.table.lines.len().min(self.rows.len() * 5 / 4).max(self.rows.len());
        if 2 * different > rows {
            return match numbers {
                0 if let Some((dates, example)) = self.mixed_dates(different) => {
                    left_out(WhyLeftOut::MixedDates { dates, example })
                }
                0 => left_out(WhyLeftOut::Identifier { different }),
                _ => left_out(WhyLeftOut::Mixed { numbers, texts, example: self.example(|_| true) }),
            };
        }
        feature(ColumnKind::Category)
    }

    /// Returns the number of different dates, and a text that is none, if most of the different
    /// values are dates.
    fn mixed_dates(&self, different: usize) -> Option<(usize, String)> {
        let dates = self.statistics.present().filter(|(text, _)| days(self.text(*text)).is_some()).count();
        (dates < different && 2 * dates > different).then(|| (dates, self.example(|text| days(text).is_none())))
    }

    /// The first of some texts in the order of characters, whatever the order of the rows.
    fn example(&self, is_one: impl Fn(&str) -> bool) -> String {
        let texts = self.statistics.present().map(|(text, _)| self.text(text));
        texts.filter(|text| is_one(text)).min().map(shortened).unwrap_or_default()
    }

    /// Returns whether a column of numbers numbers the rows: all are different whole numbers, and
    /// they begin at 0 or 1 and are so dense that different values would hardly occur by chance, or
    /// the name says so.
    ///
    /// Of n values drawn from r, all are different with a probability of `r! / ((r - n)! r^n)` (the
    /// birthday problem). Below 1e-3 it counts as no chance. Rows that are held out leave gaps.
    fn numbers_the_rows(&self) -> bool {
        let ColumnStatistics { numbers, spread: Spread { smallest, largest, are_whole }, .. } = self.statistics;
        let (n, range) = (numbers as f64, largest - smallest + 1.0);
        let name = &self.table.names[self.j];
        // R calls row names X when it reads them back.
        let is_index_of_r = self.j == 0 && name == "X" && smallest == 1.0;
        let is_called_so = numbers > 2 && (is_name_of_row_numbers(name) || is_index_of_r);
        let is_dense = || {
            let log_chance: f64 = (0..numbers).map(|i| (1.0 - i as f64 / range).ln()).sum();
            [0.0, 1.0].contains(&smallest)
                && range <= 2.0 * n
                && log_chance < 1e-3_f64.ln()
                && !is_name_of_quantity(name)
        };
        if !are_whole || n > range || !(is_called_so || is_dense()) {
            return false;
        }
        let mut values: Vec<f64> = Vec::with_capacity(numbers);
        values.extend(self.cells().filter_map(|cell| match cell {
            Cell::Number(number) => Some(number),
            Cell::Empty | Cell::Text(_) => None,
        }));
        values.sort_unstable_by(f64::total_cmp);
        values.windows(2).all(|pair| pair[0] < pair[1])
    }

    /// The levels with their numbers of rows. The level of a number is its shortest decimal form.
    fn levels(&self) -> BTreeMap<String, usize> {
        let mut levels: BTreeMap<String, usize> =
            self.statistics.present().map(|(text, rows)| (self.text(text).to_owned(), rows)).collect();
        if self.statistics.numbers > 0 {
            let mut numbers = HashMap::<u64, usize>::new();
            let is_rounded = self.table.columns[self.j].is_rounded();
            for cell in self.cells() {
                if let Cell::Number(number) = cell
                    && !self.statistics.missing_numbers.contains(&bits_of(number))
                {
                    // A number that is exact here may be rounded in another row.
                    let number = if is_rounded { f64::from(number as f32) } else { number };
                    *numbers.entry(bits_of(number)).or_default() += 1;
                }
            }
            for (bits, rows) in numbers {
                *levels.entry(level_of_number(f64::from_bits(bits))).or_default() += rows;
            }
        }
        levels
    }

    /// Returns the encoding of the column as this kind.
    fn as_kind(&self, kind: ColumnKind, options: &RecipeOptions) -> Result<(Encoding, Option<String>), String> {
        let ColumnStatistics { numbers, missing, .. } = self.statistics;
        let missing = missing > 0;
        match kind {
            ColumnKind::Number => {
                if let Some((text, _)) = self.statistics.present().next() {
                    return Err(self.problem(Cell::Text(text), &crate::table::no_number(self.text(text))));
                }
                let fill = if numbers > 0 { self.statistics.mean() } else { 0.0 };
                let note = self.statistics.why_flat().map(|why| why.to_string());
                Ok((Encoding::Number(Numeric { fill: Some(fill), missing_feature: missing }), note))
            }
            ColumnKind::Date => {
                let mut sum = Sum::default();
                for (text, rows) in self.statistics.present() {
                    let Some(days) = days(self.text(text)) else {
                        return Err(self.problem(Cell::Text(text), &no_date(self.text(text))));
                    };
                    sum.add(days * rows as f64);
                }
                if numbers > 0 {
                    let number = self.cells().find(|cell| matches!(cell, Cell::Number(_)));
                    return Err(self.problem(number.expect("a number was counted"), &no_date("a number")));
                }
                let texts = self.statistics.texts();
                let fill = if texts > 0 { sum.value() / texts as f64 } else { 0.0 };
                Ok((Encoding::Date(Numeric { fill: Some(fill), missing_feature: missing }), None))
            }
            // A file declares it, and then the column is no such column.
            ColumnKind::Sparse => Err(format!("column {:?} has no INDEX:VALUE entries", self.table.names[self.j])),
            ColumnKind::Category => {
                let mut levels: Vec<(String, usize)> = self.levels().into_iter().collect();
                let all = levels.len();
                // The sort is stable: of equally frequent levels the first ones are kept.
                levels.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
                let of_enough_rows = levels.partition_point(|(_, rows)| *rows >= options.min_rows);
                let rare = levels.split_off(of_enough_rows.min(options.max_categories));
                let other = levels.len() < all;
                if levels.is_empty() && all > 0 {
                    let name = &self.table.names[self.j];
                    let min_rows = options.min_rows;
                    return Err(format!(
                        "column {name:?}: no level has the {min_rows} rows of data.min_rows; choose a smaller number, or leave the column out by data.ignore"
                    ));
                }
                let kept: usize = levels.iter().map(|(_, rows)| rows).sum();
                let in_other = numbers + self.statistics.texts() - kept;
                let of_other = other.then(|| {
                    format!(
                        "{} in {} share (other): data.max_categories is {}, data.min_rows {}",
                        pluralize(all - levels.len(), "level"),
                        pluralize(in_other, "row"),
                        options.max_categories,
                        options.min_rows
                    )
                });
                let of_forms = forms_of_one_number(levels.iter().chain(&rare).map(|(level, _)| level.as_str()));
                let rare = RareLevels::of(rare.iter().map(|(level, _)| level.as_str()));
                let levels = sorted_labels(levels.into_iter().map(|(level, _)| level).collect());
                let is_guess = !options.kinds.contains_key(&self.table.names[self.j]);
                let note = match numbers {
                    _ if !is_guess => None,
                    0 => self.mixed_dates(all).map(|(dates, example)| mixed_dates(dates, &example)),
                    _ => Some(mixed(numbers, self.statistics.texts(), &self.example(|_| true))),
                };
                let note =
                    [note, of_forms, of_other].into_iter().flatten().reduce(|one, other| format!("{one}; {other}"));
                Ok((Encoding::Category(Categorical { levels, other, missing, rare }), note))
            }
        }
    }

    /// Returns an error at the first training row with this cell.
    fn problem(&self, cell: Cell, problem: &str) -> String {
        let has_cell = self.cells().position(|of_row| of_row == cell);
        let row = has_cell.map_or(0, |position| self.rows.get(position));
        format!("{}, column {:?}: {problem}", self.table.place(row), self.table.names[self.j])
    }
}

/// Returns a note on two levels that are the same number, if there are any.
fn forms_of_one_number<'a>(levels: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut levels: Vec<&str> = levels.collect();
    levels.sort_unstable();
    let mut seen = HashMap::new();
    let (level, other) =
        levels.into_iter().find_map(|level| Some((level, seen.insert(same_number(level)?, level)?)))?;
    Some(format!("{other:?} and {level:?} are two levels, though the same number"))
}

/// Returns the level of a number in a column with texts: its shortest decimal form. A number that
/// `f32` represents may have been rounded to it, so its form is the shortest for `f32`. That of a
/// large whole number would be another number.
pub(crate) fn level_of_number(number: f64) -> String {
    let narrow = number as f32;
    let is_narrow = number.fract() != 0.0 && f64::from(narrow) == number;
    if is_narrow { narrow.to_string() } else { (number + 0.0).to_string() }
}

/// Returns the levels that a number may have: its own, and that of the rounded number. A whole
/// number is not taken for another one.
pub(crate) fn levels_of_number(number: f64) -> impl Iterator<Item = String> {
    let rounded = (number.fract() != 0.0).then(|| level_of_number(f64::from(number as f32)));
    std::iter::once(level_of_number(number)).chain(rounded)
}

pub(crate) fn no_date(text: &str) -> String {
    format!("{:?} is no ISO date such as 2026-11-29 or 2026-11-29T12:30:00", shortened(text))
}
