use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainrule_core::{ColumnKind, ColumnRecipe, ContentError, Recipe, TextOptions, UnusedFiles, pluralize};

use crate::builder::Memory;
use crate::cells::{Cell, Cells, are_missing};
use crate::class_folders::file_name;
use crate::encode::{Encoder, Unseen};
use crate::labels::RowCodes;
use crate::learn::{RecipeOptions, learn};
use crate::points::{LABEL, PointSet};
use crate::read_as::ReadAs;
use crate::readers::{part_files, table_extensions};
use crate::row_indices::RowIndices;
use crate::same_number::same_number;
use crate::table::{Columns, Table, TableFile, TableReader, TableSummary, number, sorted_labels};
use crate::table_files::{are_special, open, table_files};
use crate::unused::unused;
use crate::{DataError, Holdout, Origin, Request, Rows, scratch_folder};

/// The options for reading tables.
#[derive(Clone, Debug)]
pub struct TableRequest {
    /// The label column.
    pub label: Option<String>,
    /// The columns to ignore.
    pub ignored: Vec<String>,
    /// The column whose values group the rows. Rows of one group are held out together.
    pub group: Option<String>,
    /// The column whose numbers weigh the rows.
    pub weight: Option<String>,
    /// How the text of the files is read.
    pub text: TextOptions,
    /// How the columns become features.
    pub recipe: RecipeSource,
    /// The labels to use as classes, in the order of their positions; `None` means all labels.
    pub classes: Option<Vec<String>>,
    /// The holdout for a single file; `None` uses all rows for training and validation.
    pub holdout: Option<Holdout>,
    /// The largest number of bytes of a file, and of its rows, in memory.
    pub resident_bytes: u64,
    /// A folder on whose disk further rows are kept, in a file without a name; `None` refuses
    /// tables that do not fit in memory.
    pub scratch: Option<PathBuf>,
}

/// Where the recipe of a table's features comes from.
#[derive(Clone, Debug)]
pub enum RecipeSource {
    /// It is learnt from the training rows.
    Learn(RecipeOptions),
    /// It is a model's recipe. Classes without rows are allowed then.
    Model(Recipe),
}

impl TableRequest {
    /// Returns why no table can be read so.
    fn problem(&self) -> Option<String> {
        let twice = |names: &[String]| {
            let mut seen = BTreeSet::new();
            names.iter().find(|name| !seen.insert(name.to_owned())).cloned()
        };
        if let Some(holdout) = &self.holdout
            && !(holdout.fraction > 0.0 && holdout.fraction < 1.0)
        {
            return Some(format!("the validation fraction {} is not between 0 and 1", holdout.fraction));
        }
        if self.label.is_some() && self.label == self.group {
            return Some("data.group and data.label are the same column".to_owned());
        }
        if let Some(weight) =
            self.weight.as_ref().filter(|weight| [&self.label, &self.group].contains(&&Some((*weight).clone())))
        {
            return Some(format!("data.weight = {weight:?}: this is the column of the labels or of the groups"));
        }
        if let RecipeSource::Model(recipe) = &self.recipe {
            if recipe.columns.is_empty() {
                return Some("the list of features is empty".to_owned());
            }
            if let Some(name) = twice(&recipe.column_names()) {
                return Some(format!("the feature {name:?} is named twice"));
            }
        }
        let name = twice(self.classes.as_deref()?)?;
        Some(format!("the class {name:?} is named twice"))
    }

    /// Returns the columns that are read as texts: those that are categories in any case.
    fn texts(&self) -> Vec<String> {
        match &self.recipe {
            RecipeSource::Learn(options) => {
                let is_category =
                    |(name, kind): (&String, &ColumnKind)| (*kind != ColumnKind::Number).then(|| name.clone());
                options.kinds.iter().filter_map(is_category).collect()
            }
            RecipeSource::Model(recipe) => categories(recipe),
        }
    }

    /// Texts that mark a missing value, besides the usual ones.
    fn missing(&self) -> &[String] {
        match &self.recipe {
            RecipeSource::Learn(options) => &options.missing,
            RecipeSource::Model(recipe) => &recipe.missing,
        }
    }
}

/// Returns the columns of a recipe that are categories.
pub(crate) fn categories(recipe: &Recipe) -> Vec<String> {
    let is_category = |column: &&ColumnRecipe| column.encoding.kind() == ColumnKind::Category;
    recipe.columns.iter().filter(is_category).map(|column| column.name.clone()).collect()
}

/// Returns the columns of a recipe with their kinds.
pub(crate) fn kinds(recipe: &Recipe) -> Vec<(String, ColumnKind)> {
    recipe.columns.iter().map(|column| (column.name.clone(), column.encoding.kind())).collect()
}

/// The tables of a training as they were read: one file, or one for training and one for
/// validation. Labels are known, features are not yet.
#[derive(Clone, Debug)]
pub struct RawTables {
    path: PathBuf,
    train: (PathBuf, Table),
    /// The table for validation. It is read when the recipe is known.
    validation: Option<PathBuf>,
    unused: UnusedFiles,
}

/// The labels of the training rows.
#[derive(Clone, Debug)]
pub struct LabelCounts {
    /// The classes in the order of their positions, each with its number of rows in the table.
    pub classes: Vec<(String, usize)>,
    /// The number of training rows, without held-out rows.
    pub n_train: usize,
}

/// The training rows and validation rows of tables, as features.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The origin.
    pub origin: Origin,
    /// The files.
    pub files: Vec<TableFile>,
    /// How the columns became features.
    pub recipe: Recipe,
    /// The labels, in the order of their positions.
    pub classes: Vec<String>,
    /// The training rows and the validation rows. Without a holdout, a single file is used for
    /// both.
    pub parts: [Arc<TableSplit>; 2],
    /// Whether the validation rows are the training rows.
    pub is_validated_on_training: bool,
    /// The marks of missing labels that occur.
    unlabelled_marks: Vec<String>,
    /// Whether a column groups the rows.
    has_groups: bool,
    /// The column of weights, if there is one.
    weight: Option<String>,
    /// Whether the validation rows were held out from the file of the training rows.
    pub is_held_out: bool,
    /// The files of the data folder that are not used.
    pub unused: UnusedFiles,
}

/// The rows of one part.
#[derive(Clone, Debug)]
pub struct TableSplit {
    /// The features and labels. [`Rows::stored_index`] is the number of a row in its file, from 0,
    /// and [`Rows::line`] its line.
    pub rows: Rows,
    /// The numbers of rows with other labels, by label. These rows are not in `rows`.
    pub left_out: BTreeMap<String, usize>,
    /// The number of rows without a label. These rows are not in `rows`.
    pub unlabelled: usize,
    /// Values that no training row has.
    pub unseen: Vec<Unseen>,
    /// The group of each training row (`data.group`), if there are groups. Equal numbers are one
    /// group.
    pub groups: Option<Vec<u32>>,
}

impl Tables {
    /// Returns notes on what is unusual in the files, and on rows that cannot be read.
    pub fn notes_on_files(&self) -> Vec<String> {
        let about = |read_as: &ReadAs| [read_as.message(), read_as.skipped_message()];
        let of_file = |TableFile { name, read_as, .. }: &TableFile| {
            let notes = about(read_as).into_iter().flatten();
            let prefix = if self.files.len() > 1 { format!("{name}: ") } else { String::new() };
            notes.map(|note| format!("{prefix}{note}")).collect::<Vec<_>>()
        };
        self.files.iter().flat_map(of_file).collect()
    }

    /// Returns notes for people about files, rows and values.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.notes_on_rows();
        if self.has_groups && !self.is_held_out {
            notes.push("data.group holds no rows out here; it is only left out of the features".to_owned());
        }
        if self.is_validated_on_training {
            notes.push("no rows are held out; validation figures are those of the training rows".to_owned());
        }
        notes
    }

    /// Like [`notes`](Self::notes), without notes on the missing validation set.
    pub fn notes_on_rows(&self) -> Vec<String> {
        let mut notes = self.notes_on_files();
        let parts = if self.is_validated_on_training { &self.parts[..1] } else { &self.parts[..] };
        let unlabelled: usize = parts.iter().map(|part| part.unlabelled).sum();
        let are = |rows: usize| if rows == 1 { "is" } else { "are" };
        if unlabelled > 0 {
            let marks: Vec<String> = self.unlabelled_marks.iter().map(|mark| format!("{mark:?}")).collect();
            let (rows, are, marks) = (pluralize(unlabelled, "row"), are(unlabelled), marks.join(", "));
            notes.push(format!("{rows} without a label ({marks}) {are} left out"));
        }
        let other: usize = parts.iter().flat_map(|part| part.left_out.values()).sum();
        if other > 0 {
            let (rows, are) = (pluralize(other, "row"), are(other));
            notes.push(format!("{rows} of other classes than those of data.classes {are} left out"));
        }
        if let Some(weight) = &self.weight {
            let rows = || parts.iter().map(|part| &part.rows);
            let zeros: usize = rows().map(|rows| (0..rows.len()).filter(|&row| rows.weight(row) == 0.0).count()).sum();
            if zeros > 0 {
                let (rows, have) = (pluralize(zeros, "row"), if zeros == 1 { "has" } else { "have" });
                notes.push(format!("{rows} {have} the weight 0 in {weight:?}, and no effect on the model"));
            } else if rows().all(|rows| matches!(rows.weights(), Ok(None))) {
                notes.push(format!("all rows have the same weight in {weight:?}, so data.weight changes nothing"));
            }
        }
        if !self.is_validated_on_training {
            let of_validation = self.parts[1].unseen.iter().filter_map(Unseen::message);
            notes.extend(of_validation.map(|message| format!("validation rows, {message}")));
        }
        notes
    }
}

/// A summary of the contents of tables, whether or not they can be used for training.
#[derive(Clone, Debug)]
pub struct TableSummaries {
    /// Each file with its contents.
    pub files: Vec<(String, TableSummary)>,
    /// The files of the data folder that are not used.
    pub unused: UnusedFiles,
}

/// The file stems of the training part and of the validation part. The first validation name that
/// exists is used.
pub(crate) const TRAIN: &str = "train";
pub(crate) const VALIDATION: [&str; 4] = ["validation", "valid", "val", "test"];

/// Returns the path of the table with this name in a folder, plain or compressed.
fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    table_extensions().map(|ending| folder.join(format!("{name}{ending}"))).find(|path| path.is_file())
}

/// Returns whether a path names tables: any file, several files, or a folder with a training table.
pub(crate) fn are_tables(path: &Path) -> bool {
    path.is_file() || in_folder(path, TRAIN).is_some() || are_special(path)
}

/// Lists the unused files of a folder of tables.
fn unused_tables(folder: &Path, used: impl IntoIterator<Item = PathBuf>) -> UnusedFiles {
    unused(folder, used, |path| {
        let is_part = [TRAIN].iter().chain(&VALIDATION).any(|part| {
            let name = file_name(path);
            table_extensions().any(|ending| name == format!("{part}{ending}"))
        });
        is_part.then(|| "another table is used for this part".to_owned())
    })
}

impl Request {
    /// Returns the label column of a table drawn by code.
    pub fn default_label(&self) -> Option<&'static str> {
        self.path().and_then(|path| PointSet::named(&path)).map(|_| LABEL)
    }

    /// Describes each table that a training would read. Returns `None` if the request names images.
    /// A table may be larger than `resident_bytes`, but of a compressed Parquet file, a page or a
    /// batch, at most this is in memory.
    ///
    /// # Errors
    /// Fails if a table cannot be read or is not a table.
    pub fn summarize_tables(
        &self,
        text: TextOptions,
        resident_bytes: u64,
    ) -> Result<Option<TableSummaries>, DataError> {
        let Some(path) = self.path().filter(|path| are_tables(path)) else { return Ok(None) };
        let (paths, unused) = match path.is_dir() && !are_special(&path) {
            false => (table_files(&path)?, UnusedFiles::default()),
            true => {
                let validation = VALIDATION.iter().find_map(|name| in_folder(&path, name));
                let paths: Vec<PathBuf> = in_folder(&path, TRAIN).into_iter().chain(validation).collect();
                let unused = unused_tables(&path, paths.clone());
                (paths, unused)
            }
        };
        let about = |path: PathBuf| {
            let input = open(&path, resident_bytes)?;
            let about = TableSummary::read_input(input, text, resident_bytes);
            Ok((
                path.display().to_string(),
                about.map_err(|problem| DataError::Table { path, problem: problem.to_string() })?,
            ))
        };
        Ok(Some(TableSummaries { files: paths.into_iter().map(about).collect::<Result<_, _>>()?, unused }))
    }
}

impl Request {
    /// Learns the recipe of the table that the request names from all its rows, or of the training
    /// table of a folder. The columns `label` and `weight` are no features. Returns `None` if the
    /// request names no table.
    ///
    /// # Errors
    /// As [`RawTables::read`] and [`RawTables::into_tables`].
    pub fn learn_recipe(
        &self,
        label: Option<&str>,
        weight: Option<&str>,
        text: TextOptions,
        resident_bytes: u64,
    ) -> Result<Option<Recipe>, DataError> {
        let Some(path) = self.table() else { return Ok(None) };
        let in_folder = in_folder(&path, TRAIN).filter(|_| !are_special(&path));
        let path = in_folder.unwrap_or(path);
        let columns = Columns { label, weight, text, ..Columns::default() };
        let folder = scratch_folder();
        let memory = Memory { bytes: resident_bytes, folder: Some(&folder) };
        let recipe = read_files(&path, columns, memory)?.learn_recipe(&RecipeOptions::default());
        recipe.map(Some).map_err(|problem| DataError::Table { path, problem: problem.to_string() })
    }
}

impl RawTables {
    /// Reads a file, several files, or the training table of a folder with `train.csv` and
    /// `validation.csv`, `valid.csv`, `val.csv` or `test.csv`.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or has invalid content; it gives line and column.
    pub fn read(path: &Path, request: &TableRequest) -> Result<Self, DataError> {
        if let Some(problem) = request.problem() {
            return Err(DataError::Table { path: path.to_owned(), problem });
        }
        let (train, validation, unused) = if path.is_file() || are_special(path) {
            (path.to_owned(), None, UnusedFiles::default())
        } else {
            std::fs::metadata(path).map_err(|problem| DataError::Read { path: path.to_owned(), problem })?;
            let of_part = |names: &[&str]| {
                let existing = names.iter().find_map(|name| in_folder(path, name));
                existing.ok_or_else(|| DataError::NoTable { folder: path.to_owned(), names: part_files(names) })
            };
            let (train, validation) = (of_part(&[TRAIN])?, of_part(&VALIDATION)?);
            let unused = unused_tables(path, [train.clone(), validation.clone()]);
            (train, Some(validation), unused)
        };
        let table = read(&train, request, None)?;
        Ok(Self { path: path.to_owned(), train: (train, table), validation, unused })
    }

    /// Counts the labels that a training with this request would use.
    ///
    /// # Errors
    /// As [`into_tables`](Self::into_tables).
    pub fn label_counts(&self, request: &TableRequest) -> Result<LabelCounts, DataError> {
        let labels = self.labels(request)?;
        let mask = self.validation_mask(&labels, request)?;
        let n_train = labels.known().filter(|&(index, _)| !mask.as_ref().is_some_and(|mask| mask[index])).count();
        let mut rows = vec![0; labels.classes.len()];
        labels.known().for_each(|(_, class)| rows[usize::from(class)] += 1);
        Ok(LabelCounts { classes: labels.classes.iter().cloned().zip(rows).collect(), n_train })
    }

    /// Returns the number of columns that may become features. For sparse rows, it is the mean
    /// number of features that are not 0.
    pub fn n_columns(&self) -> usize {
        let cells = &self.train.1.cells;
        cells.sparse.as_ref().map_or(cells.columns.len(), |sparse| sparse.entries_per_row())
    }

    fn labels(&self, request: &TableRequest) -> Result<Labels, DataError> {
        let (path, table) = &self.train;
        Labels::of_training(table, request).map_err(|problem| DataError::Table { path: path.clone(), problem })
    }

    /// Returns for each row with a known label whether it is held out. `None` if the rows are not
    /// split.
    fn validation_mask(&self, labels: &Labels, request: &TableRequest) -> Result<Option<Vec<bool>>, DataError> {
        let (None, Some(holdout)) = (&self.validation, &request.holdout) else { return Ok(None) };
        let (path, table) = &self.train;
        let groups: Option<Vec<u32>> =
            (!table.groups.is_empty()).then(|| labels.rows.iter().map(|row| table.groups[row]).collect());
        let class = |index| labels.class(labels.rows.get(index)).expect("the label is known");
        holdout.mask(labels.rows.len(), class, groups.as_deref()).map(Some).map_err(|class| {
            let row = labels.rows.iter().find(|&row| labels.class(row) == Some(class)).unwrap_or_default();
            let (class, place) = (&labels.classes[usize::from(class)], table.cells.place(row));
            let problem = match &request.group {
                None => format!(
                    "{place}: the only row of the label {class:?}; a class needs at least two: one for training, one for validation; add a row, list other classes in data.classes, or hold out no rows with --validation 0 (data.validation_fraction)"
                ),
                Some(group) => format!(
                    "{place}: training and validation need rows of the label {class:?}, and no choice of whole groups of {group:?} gives them to both"
                ),
            };
            DataError::Table { path: path.clone(), problem }
        })
    }

    /// Splits the rows, learns the recipe from the training rows, and encodes all rows by it.
    ///
    /// # Errors
    /// Returns an error, with line and column, if a value does not fit its column. With a recipe
    /// to learn, also returns an error if a class has no training row or no validation row.
    pub fn into_tables(self, request: &TableRequest) -> Result<Tables, DataError> {
        let labels = self.labels(request)?;
        let mask = self.validation_mask(&labels, request)?;
        let Self { path, train: (train_path, train), validation, unused } = self;
        let wrong = |path: &Path, problem: String| DataError::Table { path: path.to_owned(), problem };
        let is_held_out = mask.is_some();
        let (left_out, unlabelled) = labels.left_out(&train, request.missing());
        let are_marks = are_missing(train.classes.iter().map(String::as_str), request.missing(), has_plus(&train));
        let marks = train.classes.iter().zip(are_marks).filter(|(label, is_mark)| *is_mark || label.is_empty());
        let unlabelled_marks =
            marks.map(|(label, _)| label.clone()).filter(|label| !labels.classes.contains(label)).collect();
        if let RecipeSource::Learn(options) = &request.recipe
            && let Some(unknown) = options.kinds.keys().find(|name| !train.knows(name))
        {
            let problem = format!("no column {unknown:?}, which data.columns names; {}", train.known());
            return Err(wrong(&train_path, problem));
        }
        let declared = train.kinds.clone();
        let Table { cells, mut files, groups, .. } = train;
        // The rows of each part.
        let n = labels.codes.len();
        let rows = match &mask {
            None => [labels.rows.clone(), RowIndices::All(0..0)],
            Some(mask) => [false, true].map(|is_held_out| {
                let rows = labels.rows.iter().zip(mask);
                RowIndices::ascending(rows.filter(|(_, mask)| **mask == is_held_out).map(|(row, _)| row), n)
            }),
        };
        drop(mask);
        let groups = (!groups.is_empty()).then(|| rows[0].iter().map(|row| groups[row]).collect());
        let recipe = match &request.recipe {
            RecipeSource::Model(recipe) => recipe.clone(),
            RecipeSource::Learn(options) => {
                let options = options.with_declared(&declared);
                learn(&cells, &rows[0], &options).map_err(|problem| wrong(&train_path, problem))?
            }
        };
        let shared = SharedTable::new(cells, &labels, &recipe);
        let classes = labels.classes;
        let [train, held_out] = rows.map(|rows| shared.part(rows));
        let train = train.map_err(|problem| wrong(&train_path, problem))?;
        let train = Arc::new(TableSplit { left_out, unlabelled, groups, ..train });
        let (second, is_validated_on_training) = match validation {
            None if is_held_out => (Arc::new(held_out.map_err(|problem| wrong(&train_path, problem))?), false),
            None => (Arc::clone(&train), true),
            Some(path) => {
                let table = read(&path, request, Some(&recipe))?;
                files.extend(table.files.iter().cloned());
                let has_other_labels = !train.left_out.is_empty();
                let labels = Labels::of_validation(&table, &classes, request, &train_path, has_other_labels)
                    .map_err(|problem| wrong(&path, problem))?;
                let (left_out, unlabelled) = labels.left_out(&table, &recipe.missing);
                let part = SharedTable::new(table.cells, &labels, &recipe).part(labels.rows);
                let part = part.map_err(|problem| wrong(&path, problem))?;
                (Arc::new(TableSplit { left_out, unlabelled, ..part }), false)
            }
        };
        if let Some(weight) = &request.weight {
            for (part, what) in [(&train, "training"), (&second, "validation")] {
                part.rows.weights().map_err(|_| {
                    let problem = format!(
                        "column {weight:?}: all {what} rows have the weight 0; at least one needs a weight above 0, or leave out data.weight"
                    );
                    wrong(&path, problem)
                })?;
            }
        }
        let parts = [train, second];
        let origin = Origin::Folder(path);
        let tables = Tables {
            origin,
            files,
            recipe,
            classes,
            parts,
            is_validated_on_training,
            unlabelled_marks,
            has_groups: request.group.is_some(),
            weight: request.weight.clone(),
            is_held_out,
            unused,
        };
        tables.check_every_class(request)
    }
}

impl Tables {
    /// Reads the tables at a path. See [`RawTables::read`] and [`RawTables::into_tables`].
    ///
    /// # Errors
    /// As these.
    pub fn read(path: &Path, request: &TableRequest) -> Result<Self, DataError> {
        RawTables::read(path, request)?.into_tables(request)
    }

    /// Fails if a class has no rows. A model's recipe is for evaluation, which needs no rows of a
    /// class.
    fn check_every_class(self, request: &TableRequest) -> Result<Self, DataError> {
        if matches!(request.recipe, RecipeSource::Model(_)) {
            return Ok(self);
        }
        for (part, what) in self.parts.iter().zip(["training rows", "validation rows"]) {
            let mut has_rows = vec![false; self.classes.len()];
            (0..part.rows.len()).for_each(|row| has_rows[usize::from(part.rows.label(row))] = true);
            if let Some(class) = has_rows.iter().position(|has_rows| !has_rows) {
                let class = self.classes[class].clone();
                return Err(DataError::EmptyClass { class, rows: part.rows.len(), what });
            }
        }
        Ok(self)
    }
}

/// Reads a table with the columns of a request, or with those of a recipe.
fn read(path: &Path, request: &TableRequest, recipe: Option<&Recipe>) -> Result<Table, DataError> {
    let problem = |problem| DataError::Table { path: path.to_owned(), problem };
    let Some(label) = request.label.as_deref() else {
        // Read the header, to list the columns in the error.
        let first = table_files(path)?.swap_remove(0);
        let input = open(&first, request.resident_bytes)?;
        let columns =
            Table::header(input, request.text, request.resident_bytes).map_err(|error| problem(error.to_string()))?;
        return Err(DataError::NoLabel { path: path.to_owned(), columns: chainrule_core::listed(&columns) });
    };
    let named = match (&request.recipe, recipe) {
        (_, Some(recipe)) | (RecipeSource::Model(recipe), None) => Some(recipe.column_names()),
        (RecipeSource::Learn(_), None) => None,
    };
    let texts = recipe.map_or_else(|| request.texts(), categories);
    let required = match (&request.recipe, recipe) {
        (_, Some(recipe)) | (RecipeSource::Model(recipe), None) => kinds(recipe),
        (RecipeSource::Learn(options), None) => options.kinds.clone().into_iter().collect(),
    };
    let columns = Columns {
        features: named.as_deref(),
        ignored: if named.is_some() { &[] } else { &request.ignored },
        label: Some(label),
        // A table for validation needs no groups.
        group: request.group.as_deref().filter(|_| recipe.is_none()),
        weight: request.weight.as_deref(),
        texts: &texts,
        text: request.text,
        required: &required,
        missing: recipe.map_or_else(|| request.missing(), |recipe| &recipe.missing),
        exact: matches!(request.recipe, RecipeSource::Model(_)),
    };
    read_files(path, columns, Memory { bytes: request.resident_bytes, folder: request.scratch.as_deref() })
}

/// Reads all files that a path names as one table.
fn read_files(path: &Path, columns: Columns, memory: Memory) -> Result<Table, DataError> {
    let files = table_files(path)?;
    let mut tables = TableReader::new(columns, memory);
    for file in &files {
        let problem = |problem| DataError::Table { path: file.clone(), problem };
        let content = open(file, memory.bytes)?;
        let name = if files.len() > 1 { file.display().to_string() } else { file_name(file) };
        tables.add(name, content).map_err(|error| problem(error.to_string()))?;
    }
    tables.finish().map_err(|error| DataError::Table { path: path.to_owned(), problem: error.to_string() })
}

/// The most different numbers in a label column that are taken for classes without being asked.
const MAX_NUMERIC_CLASSES: usize = 20;

/// The labels of a table's rows.
struct Labels {
    /// The classes, in the order of their positions.
    classes: Vec<String>,
    /// The class position of each of the table's labels; `None` for a missing label, or one of
    /// another class.
    positions: Arc<[Option<u16>]>,
    /// The table's label of each row.
    codes: Arc<RowCodes>,
    /// The rows with a class.
    rows: RowIndices,
}

impl Labels {
    /// Returns the labels of a training table.
    ///
    /// Requested classes must occur, unless the recipe is a model's. Without requested classes, the
    /// table needs at least two labels, and none may look like a mistake.
    fn of_training(table: &Table, request: &TableRequest) -> Result<Self, String> {
        let Some(classes) = &request.classes else {
            let occurring = occurring(table, request.missing());
            let label = request.label.as_deref().unwrap_or_default();
            if let [only] = &occurring[..] {
                let missing: Vec<&String> =
                    table.classes.iter().filter(|class| *class != only && !class.is_empty()).collect();
                let hint = match missing.first() {
                    Some(mark) => format!(
                        " ({mark:?} counts as missing; if it is a class, write data.classes = [{only:?}, {mark:?}])"
                    ),
                    None => String::new(),
                };
                return Err(format!("the label is {only:?} in every row; a model needs at least two classes{hint}"));
            }
            if occurring.is_empty() {
                return Err(format!("column {label:?}: no row has a label"));
            }
            let is_category = matches!(
                &request.recipe,
                RecipeSource::Learn(options) if options.kinds.get(label) == Some(&ColumnKind::Category)
            );
            let numbers = occurring.iter().filter(|class| number(class.as_bytes()).is_some()).count();
            if 2 * numbers > occurring.len() && numbers > MAX_NUMERIC_CLASSES && !is_category {
                return Err(format!(
                    "column {label:?}: it has {numbers} different numbers, and a classifier learns classes; if each number is a class, say so with --set 'data.columns={{ {label:?} = \"category\" }}'"
                ));
            }
            if let Some(problem) = repeated_number(table, &occurring) {
                return Err(problem);
            }
            return Ok(Self::of_classes(table, occurring));
        };
        let labels = Self::of_classes(table, classes.clone());
        if matches!(request.recipe, RecipeSource::Learn(_))
            && let Some(class) = classes.iter().find(|class| !table.classes.contains(class))
        {
            return Err(format!(
                "no row has the class {class:?} of data.classes; the labels are {}",
                chainrule_core::listed(&occurring(table, request.missing()))
            ));
        }
        Ok(labels)
    }

    /// Returns the labels of a validation table, whose classes are those of the training table.
    ///
    /// Rows of other labels are left out only if the training table has rows of other labels, too.
    fn of_validation(
        table: &Table,
        classes: &[String],
        request: &TableRequest,
        train: &Path,
        has_other_labels: bool,
    ) -> Result<Self, String> {
        let labels = Self::of_classes(table, classes.to_vec());
        let unknown = occurring(table, request.missing()).into_iter().find(|label| !classes.contains(label));
        match unknown.filter(|_| !has_other_labels) {
            Some(label) => {
                let place = table.cells.place(first_row(table, &label));
                Err(format!("{place}: the label {label:?} occurs in no row of {}", train.display()))
            }
            None => Ok(labels),
        }
    }

    fn of_classes(table: &Table, classes: Vec<String>) -> Self {
        let positions: BTreeMap<&str, u16> = classes.iter().map(String::as_str).zip(0..).collect();
        let positions: Arc<[Option<u16>]> =
            table.classes.iter().map(|label| positions.get(label.as_str()).copied()).collect();
        let codes = Arc::clone(&table.labels);
        let is_known = |row: &usize| positions[usize::from(codes.get(*row))].is_some();
        let rows = RowIndices::ascending((0..codes.len()).filter(is_known), codes.len());
        Self { classes, positions, codes, rows }
    }

    /// Returns the class position of a row.
    fn class(&self, row: usize) -> Option<u16> {
        self.positions[usize::from(self.codes.get(row))]
    }

    /// Iterates over the rows with a known class: their index among such rows, and their class.
    fn known(&self) -> impl Iterator<Item = (usize, u16)> + '_ {
        self.rows.iter().filter_map(|row| self.class(row)).enumerate()
    }

    /// Counts the rows of each other label, and the rows without a label.
    fn left_out(&self, table: &Table, missing: &[String]) -> (BTreeMap<String, usize>, usize) {
        let are_missing = are_missing(table.classes.iter().map(String::as_str), missing, has_plus(table));
        let (mut left_out, mut unlabelled) = (BTreeMap::<String, usize>::new(), 0);
        for label in table.labels.iter().map(usize::from).filter(|&label| self.positions[label].is_none()) {
            if are_missing[label] || table.classes[label].is_empty() {
                unlabelled += 1;
            } else {
                *left_out.entry(table.classes[label].clone()).or_default() += 1;
            }
        }
        (left_out, unlabelled)
    }
}

/// Returns the labels that occur, without marks of missing ones, in the order of classes.
fn occurring(table: &Table, missing: &[String]) -> Vec<String> {
    let are_missing = are_missing(table.classes.iter().map(String::as_str), missing, has_plus(table));
    let labels = table.classes.iter().zip(are_missing);
    sorted_labels(
        labels.filter(|(label, is_missing)| !is_missing && !label.is_empty()).map(|(label, _)| label.clone()).collect(),
    )
}

/// Returns whether `+` is a label, so that `-` is one, too.
fn has_plus(table: &Table) -> bool {
    table.classes.iter().any(|label| label == "+")
}

/// Returns the first row with a label.
fn first_row(table: &Table, label: &str) -> usize {
    table.labels.iter().position(|of_row| table.classes[usize::from(of_row)] == label).unwrap_or_default()
}

/// Returns the problem if two labels are the same number.
fn repeated_number(table: &Table, classes: &[String]) -> Option<String> {
    let mut seen = BTreeMap::<String, &String>::new();
    for class in classes {
        let Some(key) = same_number(class) else { continue };
        if let Some(other) = seen.insert(key, class) {
            let (mut first, mut second) = (other, class);
            if first_row(table, second) < first_row(table, first) {
                (first, second) = (second, first);
            }
            return Some(format!(
                "{}: the label {second:?} is the same number as {first:?} in {}; write each class in one way, or list all classes in data.classes",
                table.cells.place(first_row(table, second)),
                table.cells.place(first_row(table, first))
            ));
        }
    }
    None
}

/// A table with its recipe, of which the parts are views.
struct SharedTable {
    cells: Arc<Cells>,
    encoder: Arc<Encoder>,
    /// The table's label of each row.
    labels: Arc<RowCodes>,
    /// The class position of each label.
    positions: Arc<[Option<u16>]>,
}

impl SharedTable {
    /// The table must have all columns of the recipe.
    fn new(cells: Cells, labels: &Labels, recipe: &Recipe) -> Self {
        let encoder = Encoder::new(&cells, recipe).expect("the columns were read by their names");
        let (codes, positions) = (Arc::clone(&labels.codes), Arc::clone(&labels.positions));
        Self { cells: Arc::new(cells), encoder: Arc::new(encoder), labels: codes, positions }
    }

    /// Returns a part, or what is wrong with a value, with line and column.
    fn part(&self, rows: RowIndices) -> Result<TableSplit, String> {
        let unseen = self.encoder.check(&self.cells, rows.iter())?;
        // Cells that are the features themselves need no encoder, and are read faster.
        let recipe = self.encoder.recipe();
        let are_features = recipe.are_numbers() && recipe.column_names() == self.cells.names;
        let has_gaps = || {
            !recipe.missing.is_empty()
                || self.cells.columns.iter().any(|column| {
                    let mut cells = column.reader();
                    rows.iter().any(|row| !matches!(cells.cell(row), Cell::Number(_)))
                })
        };
        let encoder = (!are_features || has_gaps()).then(|| Arc::clone(&self.encoder));
        let positions = Some(Arc::clone(&self.positions));
        let rows = Rows::of_cells(Arc::clone(&self.cells), encoder, rows, Arc::clone(&self.labels), positions);
        rows.check_scratch().map_err(|problem| problem.to_string())?;
        Ok(TableSplit { rows, left_out: BTreeMap::new(), unlabelled: 0, unseen, groups: None })
    }
}

/// The rows of a table without labels, as features of a model.
#[derive(Clone, Debug)]
pub struct InputTable {
    /// The features. All labels are 0.
    pub rows: Rows,
    /// Values that no training row has.
    pub unseen: Vec<Unseen>,
    /// What the file was taken for.
    pub read_as: ReadAs,
}

impl InputTable {
    /// Returns what is unusual in the file, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let about = [self.read_as.message(), self.read_as.skipped_message()].into_iter().flatten();
        about.chain(self.unseen.iter().filter_map(Unseen::message)).collect()
    }
}

impl Table {
    /// Learns from all rows how the columns become features.
    ///
    /// # Errors
    /// Returns an error if no column is left, or if a value does not fit the kind of its column.
    pub fn learn_recipe(&self, options: &RecipeOptions) -> Result<Recipe, ContentError> {
        Ok(learn(&self.cells, &RowIndices::All(0..self.len()), &options.with_declared(&self.kinds))?)
    }

    /// Encodes all rows by a recipe, without their labels.
    ///
    /// # Errors
    /// Returns an error, with line and column, if a value does not fit its column.
    ///
    /// # Panics
    /// Panics if the table lacks a column of the recipe.
    pub fn encode(self, recipe: &Recipe) -> Result<InputTable, ContentError> {
        let n = self.len();
        let read_as = self.files.into_iter().next().expect("a table was read from a file").read_as;
        let encoder = Encoder::new(&self.cells, recipe).expect("the columns were read by their names");
        let labels = Arc::new(RowCodes::Bytes(vec![0; n]));
        let positions = Arc::from([Some(0)]);
        let shared = SharedTable { cells: Arc::new(self.cells), encoder: Arc::new(encoder), labels, positions };
        let TableSplit { rows, unseen, .. } = shared.part(RowIndices::All(0..n))?;
        Ok(InputTable { rows, unseen, read_as })
    }
}
