use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainrule_core::UnusedFiles;

use crate::class_folders::file_name;
use crate::readers::{part_files, table_extensions};
use crate::table::{Columns, Table, TableSummary, number};
use crate::unused::unused;
use crate::{DataError, Holdout, Origin, Request, Rows, Values, idx};

/// The options for reading tables.
#[derive(Clone, Debug)]
pub struct TableRequest {
    /// The label column.
    pub label: Option<String>,
    /// The columns to ignore.
    pub ignored: Vec<String>,
    /// The feature columns in a model's order; `None` means all remaining columns.
    pub features: Option<Vec<String>>,
    /// The labels to use as classes, in the order of their positions; `None` means all labels.
    pub classes: Option<Vec<String>>,
    /// The holdout for a single file; `None` uses all rows for training and validation.
    pub holdout: Option<Holdout>,
    /// The largest number of bytes of a file, and of its numbers, in memory.
    pub resident_bytes: u64,
}

impl TableRequest {
    /// Returns why no table can be read so.
    fn problem(&self) -> Option<String> {
        let duplicate = |names: &[String]| {
            let mut seen = BTreeSet::new();
            names.iter().find(|name| !seen.insert(name.to_owned())).cloned()
        };
        if let Some(holdout) = &self.holdout
            && !(holdout.fraction > 0.0 && holdout.fraction < 1.0)
        {
            return Some(format!("the validation fraction {} is not between 0 and 1", holdout.fraction));
        }
        if let Some(features) = &self.features {
            if features.is_empty() {
                return Some("the list of features is empty".to_owned());
            }
            if let Some(name) = duplicate(features) {
                return Some(format!("the feature {name:?} is named twice"));
            }
        }
        let name = duplicate(self.classes.as_deref()?)?;
        Some(format!("the class {name:?} is named twice"))
    }
}

/// The training rows and validation rows of tables.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The origin.
    pub origin: Origin,
    /// The names and checksums of the files.
    pub files: Vec<(String, String)>,
    /// The feature names.
    pub columns: Vec<String>,
    /// The labels, in the order of their positions.
    pub classes: Vec<String>,
    /// The training rows and the validation rows. Without a holdout, a single file is used for
    /// both.
    pub parts: [Arc<TableSplit>; 2],
    /// The files of the data folder that are not used.
    pub unused: UnusedFiles,
}

/// The rows of one part.
#[derive(Clone, Debug)]
pub struct TableSplit {
    /// The numbers and labels.
    pub rows: Rows,
    /// The line of each row in its file, from 2.
    pub lines: Vec<u32>,
    /// The numbers of rows with other labels, by label. These rows are not in `rows`.
    pub left_out: BTreeMap<String, usize>,
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

/// Returns the path of the table with this name in a folder, plain or gzipped.
fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    table_extensions().map(|extension| folder.join(format!("{name}{extension}"))).find(|path| path.is_file())
}

/// Returns whether a path names tables: any file, or a folder with a training table.
pub(crate) fn are_tables(path: &Path) -> bool {
    path.is_file() || in_folder(path, TRAIN).is_some()
}

/// Lists the unused files of a folder of tables.
fn unused_tables(folder: &Path, used: impl IntoIterator<Item = PathBuf>) -> UnusedFiles {
    unused(folder, used, |path| {
        let is_part = [TRAIN].iter().chain(&VALIDATION).any(|part| {
            let name = file_name(path);
            table_extensions().any(|extension| name == format!("{part}{extension}"))
        });
        is_part.then(|| "another table is used for this part".to_owned())
    })
}

impl Request {
    /// Describes each table that a training would read. Returns `None` if the request names images.
    ///
    /// # Errors
    /// Fails if a table cannot be read or is not a table.
    pub fn summarize_tables(&self) -> Result<Option<TableSummaries>, DataError> {
        let Some(path) = self.path().filter(|path| are_tables(path)) else { return Ok(None) };
        let (paths, unused) = match path.is_file() {
            true => (vec![path], UnusedFiles::default()),
            false => {
                let validation = VALIDATION.iter().find_map(|name| in_folder(&path, name));
                let paths: Vec<PathBuf> = in_folder(&path, TRAIN).into_iter().chain(validation).collect();
                let unused = unused_tables(&path, paths.clone());
                (paths, unused)
            }
        };
        let about = |path: PathBuf| {
            let about = TableSummary::read(idx::open(&path)?);
            Ok((
                path.display().to_string(),
                about.map_err(|problem| DataError::Table { path, problem: problem.to_string() })?,
            ))
        };
        Ok(Some(TableSummaries { files: paths.into_iter().map(about).collect::<Result<_, _>>()?, unused }))
    }
}

impl Tables {
    /// Reads a file, or a folder with `train.csv` and `validation.csv`, `valid.csv`, `val.csv` or
    /// `test.csv`.
    ///
    /// # Errors
    /// Fails if a file cannot be read or has invalid content; the error gives line and column.
    /// Without `features` in the request, also fails if a class has no training row or no
    /// validation row.
    pub fn read(path: &Path, request: &TableRequest) -> Result<Self, DataError> {
        if let Some(problem) = request.problem() {
            return Err(DataError::Table { path: path.to_owned(), problem });
        }
        if path.is_file() {
            return Self::of_file(path, request);
        }
        std::fs::metadata(path).map_err(|problem| DataError::Read { path: path.to_owned(), problem })?;
        let of_part = |names: &[&str]| {
            let found = names.iter().find_map(|name| in_folder(path, name));
            found.ok_or_else(|| DataError::NoTable { folder: path.to_owned(), names: part_files(names) })
        };
        let (train_path, validation_path) = (of_part(&[TRAIN])?, of_part(&VALIDATION)?);
        let train = read(&train_path, columns(&train_path, request)?, request.resident_bytes)?;
        // The columns of the validation table may be in another order.
        let named = Columns::Named { features: &train.columns, label: request.label.as_deref() };
        let validation = read(&validation_path, named, request.resident_bytes)?;
        let classes = classes(&train_path, &train, request)?;
        let unused = unused_tables(path, [train_path.clone(), validation_path.clone()]);
        let files = [(&train_path, &train), (&validation_path, &validation)];
        let files = files.map(|(path, table)| (file_name(path), table.sha256.clone())).into();
        if request.classes.is_none() {
            let unknown = (0..validation.len()).find(|&row| !classes.contains(label(&validation, row)));
            if let Some(row) = unknown {
                let problem = format!(
                    "line {}: the label {:?} occurs in no row of {}",
                    validation.lines[row],
                    label(&validation, row),
                    train_path.display()
                );
                return Err(DataError::Table { path: validation_path, problem });
            }
        }
        let columns = train.columns.clone();
        let parts = [train, validation].map(|table| {
            let [part, _] = parts(table, &classes, |_| false);
            Arc::new(part)
        });
        let origin = Origin::Folder(path.to_owned());
        Self { origin, files, columns, classes, parts, unused }.has_every_class(request)
    }

    fn of_file(path: &Path, request: &TableRequest) -> Result<Self, DataError> {
        let table = read(path, columns(path, request)?, request.resident_bytes)?;
        let classes = classes(path, &table, request)?;
        let (columns, files) = (table.columns.clone(), vec![(file_name(path), table.sha256.clone())]);
        let parts = match &request.holdout {
            None => {
                let [all_rows, _] = parts(table, &classes, |_| false);
                let all_rows = Arc::new(all_rows);
                [Arc::clone(&all_rows), all_rows]
            }
            Some(holdout) => {
                // The holdout counts only the rows of these classes.
                let positions = positions(&table, &classes);
                let of_row = |&label: &u8| positions[usize::from(label)];
                let labels: Vec<u8> = table.labels.iter().filter_map(of_row).collect();
                let kept = holdout.validation_mask(&labels).map_err(|class| {
                    let row = table.labels.iter().position(|label| of_row(label) == Some(class)).unwrap_or_default();
                    let (class, line) = (&classes[usize::from(class)], table.lines[row]);
                    let problem = format!(
                        "line {line}: the only row of the label {class:?}; a class needs at least two: one for training, one for validation; add a row, or list other classes in data.classes"
                    );
                    DataError::Table { path: path.to_owned(), problem }
                })?;
                parts(table, &classes, |row| kept[row]).map(Arc::new)
            }
        };
        let origin = Origin::Folder(path.to_owned());
        Self { origin, files, columns, classes, parts, unused: UnusedFiles::default() }.has_every_class(request)
    }

    /// Fails if a class has no rows. A request with `features` is for evaluation and is not
    /// checked.
    fn has_every_class(self, request: &TableRequest) -> Result<Self, DataError> {
        if request.features.is_some() {
            return Ok(self);
        }
        for (part, what) in self.parts.iter().zip(["training rows", "validation rows"]) {
            let labels = part.rows.labels();
            let empty = (0..self.classes.len()).find(|&class| !labels.iter().any(|&label| usize::from(label) == class));
            if let Some(class) = empty {
                let class = self.classes[class].clone();
                return Err(DataError::EmptyClass { class, rows: labels.len(), what });
            }
        }
        Ok(self)
    }
}

/// Returns the columns to read from the file at `path`.
fn columns<'a>(path: &Path, request: &'a TableRequest) -> Result<Columns<'a>, DataError> {
    let label = request.label.as_deref();
    if let Some(features) = &request.features {
        return Ok(Columns::Named { features, label });
    }
    match label {
        Some(label) => Ok(Columns::AllBut { label, ignored: &request.ignored }),
        None => {
            // Read only the header, to list the columns in the error.
            let file = idx::open(path)?;
            let columns = Table::header(file, request.resident_bytes)
                .map_err(|problem| DataError::Table { path: path.to_owned(), problem: problem.to_string() })?;
            Err(DataError::NoLabel { path: path.to_owned(), columns: crate::table::listed(&columns) })
        }
    }
}

fn read(path: &Path, columns: Columns, resident_bytes: u64) -> Result<Table, DataError> {
    let problem = |problem| DataError::Table { path: path.to_owned(), problem };
    let file = idx::open(path)?;
    let bytes = file.metadata().map_err(|problem| DataError::Read { path: path.to_owned(), problem })?.len();
    if bytes > resident_bytes {
        return Err(problem(format!(
            "its {bytes} bytes are more than data.resident_bytes = {resident_bytes} allows in memory"
        )));
    }
    Table::read(file, columns, resident_bytes).map_err(|error| problem(error.to_string()))
}

/// Returns the classes of a training table.
///
/// Requested classes must occur, unless the request is for evaluation (`features`). Without
/// requested classes, the table needs at least two labels, and none may look like a mistake.
fn classes(path: &Path, table: &Table, request: &TableRequest) -> Result<Vec<String>, DataError> {
    let Some(classes) = &request.classes else {
        if let [only] = &table.classes[..] {
            let problem = format!("the label is {only:?} in every row; a model needs at least two classes");
            return Err(DataError::Table { path: path.to_owned(), problem });
        }
        return match suspicious_label(table) {
            Some(problem) => Err(DataError::Table { path: path.to_owned(), problem }),
            None => Ok(table.classes.clone()),
        };
    };
    match classes.iter().find(|class| request.features.is_none() && !table.classes.contains(class)) {
        Some(class) => Err(DataError::EmptyClass { class: class.clone(), rows: table.len(), what: "training rows" }),
        None => Ok(classes.clone()),
    }
}

/// The missing-value markers of R, NumPy, pandas and spreadsheets.
const MISSING: [&str; 10] = ["NA", "<NA>", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None"];

/// Returns the problem if a label looks like a mistake: a missing-value marker, or two labels that
/// are the same number.
fn suspicious_label(table: &Table) -> Option<String> {
    let line = |class: usize| {
        let row = table.labels.iter().position(|&label| usize::from(label) == class).unwrap_or_default();
        table.lines[row]
    };
    if let Some(class) = table.classes.iter().position(|class| MISSING.contains(&class.as_str())) {
        return Some(format!(
            "line {}: the label is {:?}, which stands for a missing value; remove such rows, or list all classes in data.classes",
            line(class),
            table.classes[class]
        ));
    }
    let values_of_labels: Vec<Option<f64>> = table.classes.iter().map(|class| number(class.as_bytes()).ok()).collect();
    let whole_numbers: Vec<Option<(bool, &str)>> = table.classes.iter().map(|class| whole_number(class)).collect();
    let are_same = |i: usize, j: usize| match (whole_numbers[i], whole_numbers[j]) {
        // Long numbers may round to the same f64.
        (Some(one), Some(other)) => one == other,
        _ => values_of_labels[i].is_some() && values_of_labels[i] == values_of_labels[j],
    };
    let same = (0..values_of_labels.len()).find_map(|i| {
        let other = (0..i).find(|&j| are_same(i, j))?;
        Some(if line(other) < line(i) { [other, i] } else { [i, other] })
    });
    let [first, second] = same?;
    Some(format!(
        "line {}: the label {:?} is the same number as {:?} in line {}; write each class in one way, or list all classes in data.classes",
        line(second),
        table.classes[second],
        table.classes[first],
        line(first)
    ))
}

/// Returns the sign and the digits of a whole number, without leading zeros; `None` for other text.
fn whole_number(text: &str) -> Option<(bool, &str)> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    Some((is_negative && !digits.is_empty(), digits))
}

fn label(table: &Table, row: usize) -> &String {
    &table.classes[usize::from(table.labels[row])]
}

/// Returns the class position of each table label; `None` for labels outside the classes.
fn positions(table: &Table, classes: &[String]) -> Vec<Option<u8>> {
    let position = |label| classes.iter().position(|class| class == label).map(|position| position as u8);
    table.classes.iter().map(position).collect()
}

/// Splits the rows of these classes into two parts and frees the table on the way. `is_second`
/// receives the index of a row among them.
fn parts(table: Table, classes: &[String], is_second: impl Fn(usize) -> bool) -> [TableSplit; 2] {
    let (positions, d) = (positions(&table, classes), table.n_features());
    let mut left_out = BTreeMap::<String, usize>::new();
    let mut parts = [SplitBuilder::default(), SplitBuilder::default()];
    let (mut values, mut count) = (table.values.into_iter(), 0);
    for (label, line) in table.labels.into_iter().zip(table.lines) {
        let row = values.by_ref().take(d);
        match positions[usize::from(label)] {
            None => {
                row.for_each(drop);
                *left_out.entry(table.classes[usize::from(label)].clone()).or_default() += 1;
            }
            Some(position) => {
                let part = &mut parts[usize::from(is_second(count))];
                count += 1;
                row.for_each(|value| part.values.push(value));
                part.labels.push(position);
                part.lines.push(line);
            }
        }
    }
    let [first, second] = parts.map(|SplitBuilder { values, labels, lines }| TableSplit {
        rows: Rows::of_numbers(d, values, labels),
        lines,
        left_out: BTreeMap::new(),
    });
    [TableSplit { left_out, ..first }, second]
}

/// The rows of a part during the split.
#[derive(Default)]
struct SplitBuilder {
    values: Values,
    labels: Vec<u8>,
    lines: Vec<u32>,
}
