use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use crate::SparseIndices;
use crate::text::{escape_controls, pluralize};

/// The recipe that turns the columns of a table into features. It is learnt from the training rows
/// and stored with the model, so every later row is encoded in the same way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The columns that become features, in the order of their features.
    pub columns: Vec<ColumnRecipe>,
    /// The columns that were left out, except those of `data.ignore`.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Texts that mark a missing value, besides the usual ones (`data.missing`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// How one column becomes features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnRecipe {
    /// The column's name.
    pub name: String,
    /// How a value is encoded.
    #[serde(flatten)]
    pub encoding: Encoding,
    /// What looked odd in the column, as a sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The kinds of columns (`data.columns`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnKind {
    /// Numbers: one feature.
    Number,
    /// ISO dates and times: one feature, the number of days since 1970-01-01.
    Date,
    /// Texts: one feature per level, 1 for the row's level and 0 for all others.
    Category,
    /// Lists of `INDEX:VALUE`: one feature per index. Only a file declares such a column.
    #[serde(skip)]
    Sparse,
}

/// How a value of a column becomes features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Encoding {
    /// One feature: the number.
    Number(Numeric),
    /// One feature: days since 1970-01-01, with a fraction for the time.
    Date(Numeric),
    /// One feature per level.
    Category(Categorical),
    /// One feature per index. An index that a row does not list is 0.
    Sparse(Sparse),
}

/// The encoding of a sparse column. It is the only column of its recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sparse {
    /// The indices that a training row lists with another value than 0.
    pub indices: SparseIndices,
}

/// The encoding of a number that may be missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numeric {
    /// The value that replaces a missing one: the mean over the training rows. Without it, a
    /// missing value is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<f64>,
    /// Whether a second feature is 1 in rows where the value is missing. It exists if a value was
    /// missing in a training row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing_feature: bool,
}

/// The encoding of a category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Categorical {
    /// The levels, in the order of their features.
    pub levels: Vec<String>,
    /// Whether a feature stands for all rarer levels. Then a level that the training rows do not
    /// have counts as one of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other: bool,
    /// Whether the last feature stands for missing values. Without it, a missing value contributes
    /// nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
    /// The rarer levels, so that new ones can be told from them.
    #[serde(default, skip_serializing_if = "RareLevels::is_empty")]
    pub rare: RareLevels,
}

/// The levels of the training rows that share the feature `(other)`: a hash of 32 bits for each, so
/// that the model stays small. A new level is taken for one of n rare levels with a probability of
/// n / 2^32.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RareLevels {
    /// Sorted, without repetitions.
    hashes: Vec<u32>,
}

impl RareLevels {
    /// The largest number of levels that are kept. Of more levels, none are.
    pub const MOST: usize = 100_000;

    /// Keeps these levels.
    pub fn of<'a>(levels: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hashes: Vec<u32> = levels.into_iter().take(Self::MOST + 1).map(Self::hash).collect();
        if hashes.len() > Self::MOST {
            return Self::default();
        }
        hashes.sort_unstable();
        hashes.dedup();
        Self { hashes }
    }

    /// Returns whether no level is kept: there are none or too many, or the recipe is of an earlier
    /// version. Then it is unknown which levels the training rows had.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Returns whether a training row had this level.
    pub fn has(&self, level: &str) -> bool {
        self.hashes.binary_search(&Self::hash(level)).is_ok()
    }

    /// FNV-1a of 64 bits, mixed by the finalizer of Murmur3, because FNV gives similar texts
    /// similar upper bits. Model files contain these hashes, so they never change.
    fn hash(level: &str) -> u32 {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut hash = level.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
            hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
        }
        (hash >> 32) as u32
    }
}

/// Eight hexadecimal digits for each hash.
impl From<RareLevels> for String {
    fn from(rare: RareLevels) -> Self {
        rare.hashes.iter().map(|hash| format!("{hash:08x}")).collect()
    }
}

impl TryFrom<String> for RareLevels {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.as_bytes().chunks(8).map(|digits| {
            let is_hash = digits.len() == 8 && digits.iter().all(u8::is_ascii_hexdigit);
            let text = std::str::from_utf8(digits).ok().filter(|_| is_hash)?;
            u32::from_str_radix(text, 16).ok()
        });
        let hashes: Option<Vec<u32>> = digits.collect();
        let hashes = hashes.filter(|hashes| hashes.windows(2).all(|pair| pair[0] < pair[1]));
        Ok(Self { hashes: hashes.ok_or("the rare levels are no sorted hashes of eight digits each")? })
    }
}

/// A column that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The column's name.
    pub name: String,
    /// Why it was left out.
    pub why: WhyLeftOut,
}

/// Why a column is not a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyLeftOut {
    /// It has no value in any training row.
    Empty,
    /// It has the same value in all training rows.
    Constant,
    /// Its numbers differ by rounding only.
    Rounding,
    /// Its numbers differ so little that they cannot be standardised.
    Tiny,
    /// It numbers the rows.
    RowNumber,
    /// It is text with more than half as many different values as training rows.
    Identifier {
        /// The number of different values.
        different: usize,
    },
    /// It has more than half as many values as rows, most of them numbers, but some of them texts.
    Mixed {
        /// The number of numbers.
        numbers: usize,
        /// The number of texts.
        texts: usize,
        /// One of the texts.
        example: String,
    },
    /// It has more than half as many values as rows, most of them dates.
    MixedDates {
        /// The number of different dates.
        dates: usize,
        /// A text that is no date.
        example: String,
    },
    /// It equals another column in all training rows.
    Repeats(
        /// The other column.
        String,
    ),
}

impl Display for WhyLeftOut {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Constant => f.write_str("it is the same in every row"),
            Self::Rounding => f.write_str("its numbers differ by rounding only"),
            Self::Tiny => f.write_str("its numbers differ by less than 1e-200; multiply them by a large number"),
            Self::RowNumber => f.write_str("it numbers the rows (data.columns keeps a column)"),
            Self::Identifier { different } => {
                write!(f, "a text with {different} different values, more than half as many as rows")
            }
            Self::Mixed { numbers, texts, example } => {
                write!(f, "{}", mixed(*numbers, *texts, example))
            }
            Self::MixedDates { dates, example } => f.write_str(&mixed_dates(*dates, example)),
            Self::Repeats(other) => write!(f, "it repeats {other:?}"),
        }
    }
}

/// Describes a column with numbers and texts, and says what may be meant.
pub fn mixed(numbers: usize, texts: usize, example: &str) -> String {
    let [numbers, texts] = [pluralize(numbers, "number"), pluralize(texts, "text")];
    format!("it has {numbers} and {texts} such as {example:?}; if this marks a missing value, name it in data.missing")
}

/// Describes a column with dates and other texts, and says what may be meant.
pub fn mixed_dates(dates: usize, example: &str) -> String {
    let dates = pluralize(dates, "date");
    format!("it has {dates} and texts such as {example:?}; if this marks a missing value, name it in data.missing")
}

/// The texts that mark a missing value by default, besides the empty field.
pub const MISSING: [&str; 12] = ["NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "NULL", "null", "?", ".", "-"];

/// The stored code of a value that is missing, or of a level without a feature.
pub const ABSENT: f64 = f64::INFINITY;

impl Recipe {
    /// Returns the recipe of columns that hold numbers only. Missing values are errors.
    pub fn of_numbers(names: &[String]) -> Self {
        let number = Encoding::Number(Numeric { fill: None, missing_feature: false });
        let column = |name: &String| ColumnRecipe { name: name.clone(), encoding: number.clone(), note: None };
        Self { columns: names.iter().map(column).collect(), ..Self::default() }
    }

    /// Returns whether each column is one feature, its number.
    pub fn are_numbers(&self) -> bool {
        let is_number = |column: &ColumnRecipe| {
            matches!(&column.encoding, Encoding::Number(Numeric { missing_feature: false, .. }))
        };
        self.columns.iter().all(is_number)
    }

    /// Returns the number of features, d.
    pub fn n_features(&self) -> usize {
        self.columns.iter().map(|column| column.encoding.n_features()).sum()
    }

    /// Appends the features `[d]` of a row to `features`.
    ///
    /// `codes` has one number per column: the value of a number or a date, the position of a
    /// level's feature, or [`ABSENT`].
    pub fn expand(&self, codes: &[f64], features: &mut Vec<f64>) {
        for (column, &code) in self.columns.iter().zip(codes) {
            column.encoding.expand(code, features);
        }
    }

    /// Describes how each column becomes its features, and what was left out, in a sentence each.
    /// The numbers have all their digits, so a program can be written by it.
    pub fn in_words(&self) -> Vec<String> {
        let names = self.feature_names();
        let mut rest = &names[..];
        let of_column = |column: &ColumnRecipe| {
            let (own, others) = rest.split_at(column.encoding.n_features());
            rest = others;
            column.in_words(own)
        };
        let mut words: Vec<String> = self.columns.iter().map(of_column).collect();
        if !self.is_sparse() {
            let marks = MISSING.iter().map(ToString::to_string).chain(self.missing.iter().cloned());
            words.push(format!(
                "A value is missing where it is empty or one of these, unless it is a level: {}.",
                marks.collect::<Vec<_>>().join(" ")
            ));
        }
        words.extend(self.left_out.iter().map(|LeftOut { name, why }| format!("Column {name:?} is left out: {why}.")));
        words
    }

    /// Returns the columns' names.
    pub fn column_names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// Returns a different name for each feature: the column's name, `column=level`,
    /// `column=(other)` or `column=(missing)`; the index for a sparse feature.
    pub fn feature_names(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.n_features());
        for ColumnRecipe { name, encoding, .. } in &self.columns {
            match encoding {
                Encoding::Number(numeric) | Encoding::Date(numeric) => {
                    names.push(name.clone());
                    names.extend(numeric.missing_feature.then(|| format!("{name}=(missing)")));
                }
                Encoding::Category(Categorical { levels, other, missing, .. }) => {
                    names.extend(levels.iter().map(|level| format!("{name}={}", escape_controls(level))));
                    names.extend(other.then(|| format!("{name}=(other)")));
                    names.extend(missing.then(|| format!("{name}=(missing)")));
                }
                Encoding::Sparse(Sparse { indices }) => names.extend(indices.iter().map(|index| index.to_string())),
            }
        }
        // A level may be called "(missing)", and a column "a=b".
        let mut taken: HashSet<String> = names.iter().cloned().collect();
        let mut seen = HashMap::<String, usize>::new();
        for name in &mut names {
            let times = seen.entry(name.clone()).or_default();
            *times += 1;
            if *times > 1 {
                let next = (*times..).map(|i| format!("{name} ({i})")).find(|new| !taken.contains(new));
                *name = next.expect("some number is free");
                taken.insert(name.clone());
            }
        }
        names
    }

    /// Returns whether the features are sparse.
    pub fn is_sparse(&self) -> bool {
        self.columns.iter().any(|column| column.encoding.kind() == ColumnKind::Sparse)
    }

    /// Returns for each feature whether it is 0 or 1 by its nature. Such features are not
    /// standardised.
    pub fn are_indicators(&self) -> Vec<bool> {
        let mut are_indicators = Vec::with_capacity(self.n_features());
        for ColumnRecipe { encoding, .. } in &self.columns {
            let of_category = matches!(encoding, Encoding::Category(_));
            let is_sparse = matches!(encoding, Encoding::Sparse(_));
            let is_indicator = |feature| !is_sparse && (of_category || feature > 0);
            are_indicators.extend((0..encoding.n_features()).map(is_indicator));
        }
        are_indicators
    }

    /// Returns why a recipe that was read from a file cannot be used.
    pub fn problem(&self) -> Option<String> {
        if self.is_sparse() && self.columns.len() > 1 {
            return Some("its recipe has a sparse column beside others".to_owned());
        }
        let mut names = HashSet::new();
        for ColumnRecipe { name, encoding, .. } in &self.columns {
            if !names.insert(name) {
                return Some(format!("its recipe has the column {name:?} twice"));
            }
            match encoding {
                Encoding::Number(Numeric { fill, .. }) | Encoding::Date(Numeric { fill, .. }) => {
                    if fill.is_some_and(|fill| fill.is_nan() || fill.abs() > crate::MAX_ABS_VALUE) {
                        return Some(format!("its recipe fills the column {name:?} with no number"));
                    }
                }
                Encoding::Category(Categorical { levels, .. }) => {
                    let mut seen = HashSet::new();
                    if let Some(twice) = levels.iter().find(|level| !seen.insert(*level)) {
                        return Some(format!("its recipe has the level {twice:?} of the column {name:?} twice"));
                    }
                }
                Encoding::Sparse(_) => {}
            }
        }
        None
    }
}

impl ColumnRecipe {
    /// Describes how the column becomes the features of these names.
    fn in_words(&self, features: &[String]) -> String {
        let column = format!("Column {:?}", self.name);
        match &self.encoding {
            Encoding::Number(numeric) | Encoding::Date(numeric) => {
                let what = match self.encoding.kind() {
                    ColumnKind::Date => "the number of days since 1970-01-01, with a fraction for the time",
                    _ => "the number",
                };
                let missing = match numeric.fill {
                    Some(fill) => format!("where it is missing, {fill}"),
                    None => "a missing value is an error".to_owned(),
                };
                let indicator = features.get(1).map(|name| format!("; {name:?} is 1 where it is missing, else 0"));
                format!("{column}: {:?} is {what}; {missing}{}.", features[0], indicator.unwrap_or_default())
            }
            Encoding::Category(Categorical { levels, other, missing, .. }) => {
                let of_levels = levels.iter().zip(features).map(|(level, name)| format!("{name:?} is 1 for {level:?}"));
                let mut rest = features.iter().skip(levels.len());
                let other = other.then(|| rest.next()).flatten();
                let of_other = match other {
                    Some(name) => format!("{name:?} is 1 for any other level"),
                    None => "another level has only zeros".to_owned(),
                };
                let of_missing = match missing.then(|| rest.next()).flatten() {
                    Some(name) => format!("{name:?} is 1 where the value is missing"),
                    None => "a missing value has only zeros".to_owned(),
                };
                let parts: Vec<String> = of_levels.chain([of_other, of_missing]).collect();
                format!("{column}: {}; all others are 0.", parts.join("; "))
            }
            Encoding::Sparse(_) => format!(
                "{column}: one feature for each index that a training row has, 0 where a row lacks it; other indices contribute nothing."
            ),
        }
    }
}

impl Encoding {
    /// Returns the number of features of the column.
    pub fn n_features(&self) -> usize {
        match self {
            Self::Number(numeric) | Self::Date(numeric) => 1 + usize::from(numeric.missing_feature),
            Self::Category(Categorical { levels, other, missing, .. }) => {
                levels.len() + usize::from(*other) + usize::from(*missing)
            }
            Self::Sparse(Sparse { indices }) => indices.len(),
        }
    }

    /// Appends the features of a value to `features`. See [`Recipe::expand`].
    pub fn expand(&self, code: f64, features: &mut Vec<f64>) {
        let first = features.len();
        features.resize(first + self.n_features(), 0.0);
        self.write(code, &mut features[first..]);
    }

    /// Writes the features of a value to `features`, `[n_features]`, which must be 0. See
    /// [`Recipe::expand`]. Sparse features stay 0: a code says nothing about them.
    ///
    /// # Panics
    /// Panics if `features` is too short.
    pub fn write(&self, code: f64, features: &mut [f64]) {
        match self {
            Self::Number(numeric) | Self::Date(numeric) => {
                let is_missing = code == ABSENT;
                features[0] = if is_missing { numeric.fill.unwrap_or_default() } else { code };
                if numeric.missing_feature {
                    features[1] = f64::from(u8::from(is_missing));
                }
            }
            Self::Category(_) if code == ABSENT => {}
            Self::Sparse(_) => {}
            Self::Category(_) => features[code as usize] = 1.0,
        }
    }

    /// Returns the kind of the column.
    pub fn kind(&self) -> ColumnKind {
        match self {
            Self::Number(_) => ColumnKind::Number,
            Self::Date(_) => ColumnKind::Date,
            Self::Category(_) => ColumnKind::Category,
            Self::Sparse(_) => ColumnKind::Sparse,
        }
    }
}

/// Describes the features, for a table of columns.
impl Display for Encoding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(numeric) | Self::Date(numeric) => {
                f.write_str(if self.kind() == ColumnKind::Date { "days since 1970-01-01" } else { "a number" })?;
                if let Numeric { fill: Some(fill), missing_feature: true } = numeric {
                    write!(f, "; missing as the mean {}, and a feature for missing", rounded(*fill))?;
                }
                Ok(())
            }
            Self::Category(Categorical { levels, other, missing, .. }) => {
                /// How many levels are shown.
                const SHOWN: usize = 4;
                let shown: Vec<_> = levels.iter().take(SHOWN).map(|level| shortened(level)).collect();
                write!(f, "{}: {}", pluralize(levels.len(), "level"), shown.join(", "))?;
                if levels.len() > SHOWN {
                    write!(f, ", …")?;
                }
                if *other {
                    write!(f, "; (other) for the rarer ones")?;
                }
                if *missing {
                    write!(f, "; missing as a level")?;
                }
                Ok(())
            }
            Self::Sparse(Sparse { indices }) => write!(f, "{indices}"),
        }
    }
}

/// Rounds to four digits for people.
fn rounded(x: f64) -> String {
    let digits = if x == 0.0 { 0.0 } else { x.abs().log10().floor() };
    if !(-6.0..12.0).contains(&digits) {
        return format!("{x:.3e}");
    }
    let decimals = (3.0 - digits).max(0.0) as usize;
    let text = format!("{x:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Shortens a level for people.
fn shortened(level: &str) -> String {
    const MOST: usize = 20;
    let shown: String = level.chars().take(MOST).collect();
    let shown = escape_controls(&shown).into_owned();
    if level.chars().count() > MOST { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn category(name: &str, levels: &[&str], other: bool, missing: bool) -> ColumnRecipe {
        let levels = levels.iter().map(ToString::to_string).collect();
        let encoding = Encoding::Category(Categorical { levels, other, missing, rare: RareLevels::default() });
        ColumnRecipe { name: name.to_owned(), encoding, note: None }
    }

    fn number(name: &str, missing_feature: bool) -> ColumnRecipe {
        let encoding = Encoding::Number(Numeric { fill: Some(2.5), missing_feature });
        ColumnRecipe { name: name.to_owned(), encoding, note: None }
    }

    fn recipe() -> Recipe {
        let columns = vec![number("age", true), category("city", &["Rome", "Oslo"], true, true), number("fare", false)];
        Recipe { columns, ..Recipe::default() }
    }

    #[test]
    fn codes_expand_to_features() {
        let recipe = recipe();
        let check = |codes: [f64; 3], expected: [f64; 7]| {
            let mut features = Vec::new();
            recipe.expand(&codes, &mut features);
            assert_eq!(features, expected, "{codes:?}");
        };
        check([30.0, 0.0, 7.0], [30.0, 0.0, 1.0, 0.0, 0.0, 0.0, 7.0]);
        check([ABSENT, 3.0, ABSENT], [2.5, 1.0, 0.0, 0.0, 0.0, 1.0, 2.5]);
        check([0.0, ABSENT, -1.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0]);
        assert_eq!(recipe.n_features(), 7);
        let names = ["age", "age=(missing)", "city=Rome", "city=Oslo", "city=(other)", "city=(missing)", "fare"];
        assert_eq!(recipe.feature_names(), names);
        assert_eq!(recipe.are_indicators(), [false, true, true, true, true, true, false]);
    }

    #[test]
    fn feature_names_are_different() {
        let columns = vec![
            category("a", &["b", "(missing)", "(missing) (2)"], false, true),
            number("a=b", false),
            category("x", &["\n"], false, false),
        ];
        let recipe = Recipe { columns, ..Recipe::default() };
        let names = ["a=b", "a=(missing)", "a=(missing) (2)", "a=(missing) (3)", "a=b (2)", "x=\\n"];
        assert_eq!(recipe.feature_names(), names);
    }

    #[test]
    fn a_recipe_is_read_as_it_was_written() {
        let recipe = Recipe {
            left_out: vec![
                LeftOut { name: "id".to_owned(), why: WhyLeftOut::RowNumber },
                LeftOut { name: "b".to_owned(), why: WhyLeftOut::Repeats("a".to_owned()) },
                LeftOut { name: "c".to_owned(), why: WhyLeftOut::Identifier { different: 9 } },
            ],
            missing: vec!["unknown".to_owned()],
            ..recipe()
        };
        let text = serde_json::to_string(&recipe).expect("JSON");
        assert_eq!(serde_json::from_str::<Recipe>(&text).expect("JSON"), recipe, "{text}");
    }

    #[test]
    fn a_recipe_that_contradicts_itself_is_refused() {
        let twice = Recipe { columns: vec![number("a", false), number("a", true)], ..Recipe::default() };
        assert!(twice.problem().is_some_and(|problem| problem.contains("\"a\" twice")));
        let levels = Recipe { columns: vec![category("a", &["u", "u"], false, false)], ..Recipe::default() };
        assert!(levels.problem().is_some_and(|problem| problem.contains("the level \"u\"")));
        assert_eq!(recipe().problem(), None);
    }

    #[test]
    fn an_encoding_is_described_in_words() {
        let said = |column: ColumnRecipe| column.encoding.to_string();
        assert_eq!(said(number("a", true)), "a number; missing as the mean 2.5, and a feature for missing");
        assert_eq!(
            said(category("a", &["u", "v", "w", "x", "y"], true, false)),
            "5 levels: u, v, w, x, …; (other) for the rarer ones"
        );
        assert_eq!(rounded(1234.567), "1235");
        assert_eq!(rounded(0.012_345), "0.01235");
        assert_eq!(rounded(1.234_56e-170), "1.235e-170");
        assert_eq!(rounded(-1.234_56e29), "-1.235e29");
    }

    #[test]
    fn rare_levels_are_kept_as_short_hashes() {
        let rare = RareLevels::of(["b", "a", "é", "a"]);
        assert!(["a", "b", "é"].iter().all(|level| rare.has(level)) && !rare.has("c") && !rare.has(""));
        // Model files contain these digits.
        let text = serde_json::to_string(&rare).expect("a text");
        assert_eq!(text, "\"6e67328882a2a9589d55ccb9\"");
        assert_eq!(serde_json::from_str::<RareLevels>(&text).ok(), Some(rare));
        for wrong in ["\"1234567\"", "\"+1234567\"", "\"éééé\"", "\"0000000200000001\"", "\"0000000100000001\""] {
            assert!(serde_json::from_str::<RareLevels>(wrong).is_err(), "{wrong}");
        }
        let levels: Vec<String> = (0..=RareLevels::MOST).map(|i| i.to_string()).collect();
        assert!(RareLevels::of(levels.iter().map(String::as_str)).is_empty());
        assert!(!RareLevels::of(levels[1..].iter().map(String::as_str)).is_empty());
    }
}
