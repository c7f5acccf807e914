use std::path::{Path, PathBuf};

use crate::table::{AboutTable, Columns, Table};
use crate::{DataError, Holdout, Numbers, Origin, Request, idx};

/// How a table is read.
#[derive(Clone, Debug)]
pub struct TableRequest {
    /// The column of labels.
    pub label: Option<String>,
    /// Columns that are passed over.
    pub ignored: Vec<String>,
    /// The features in their order, where a model has them already; else all columns that are left.
    pub features: Option<Vec<String>>,
    /// The labels to tell apart, in the order of their positions; all that there are where absent.
    pub classes: Option<Vec<String>>,
    /// What of a single file is kept for the validation; where absent, all rows are for both.
    pub holdout: Option<Holdout>,
    /// Bytes of a file, and of its numbers, that may lie in memory.
    pub resident_bytes: u64,
}

/// A table's rows to train on and to validate on.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Where it came from.
    pub origin: Origin,
    /// Names and checksums of its files.
    pub files: Vec<(String, String)>,
    /// The features' names.
    pub columns: Vec<String>,
    /// The labels, in the order of their positions.
    pub classes: Vec<String>,
    /// To train on, and to validate on.
    pub parts: [TablePart; 2],
}

/// The rows of one part.
#[derive(Clone, Debug, Default)]
pub struct TablePart {
    /// The numbers.
    pub rows: Numbers,
    /// Each one's line in its file, from 2.
    pub lines: Vec<u64>,
    /// Rows of other labels, which are none of them.
    pub left_out: usize,
}

/// What a folder of two tables calls the training's, and what it may call the other.
const TRAIN: &str = "train";
const VALIDATION: [&str; 2] = ["validation", "test"];

/// The table of this name in a folder, plain or gzipped.
fn in_folder(folder: &Path, name: &str) -> Option<PathBuf> {
    let names = [".csv", ".csv.gz"].map(|ending| folder.join(format!("{name}{ending}")));
    names.into_iter().find(|path| path.is_file())
}

/// Whether a path names tables: any file, and a folder with one to train on.
pub(crate) fn are_tables(path: &Path) -> bool {
    path.is_file() || in_folder(path, TRAIN).is_some()
}

impl Request {
    /// What is in each table that this means, file by file; nothing where it means images.
    ///
    /// # Errors
    /// Where one cannot be read, is no table, or has more than so many bytes.
    pub fn about_tables(&self, most_bytes: u64) -> Result<Vec<(String, AboutTable)>, DataError> {
        let Some(path) = self.path().filter(|path| are_tables(path)) else { return Ok(Vec::new()) };
        let paths = match path.is_file() {
            true => vec![path],
            false => [TRAIN].iter().chain(&VALIDATION).filter_map(|name| in_folder(&path, name)).collect(),
        };
        let about = |path: PathBuf| {
            let about = AboutTable::read(idx::open(&path)?, most_bytes);
            Ok((path.display().to_string(), about.map_err(|problem| DataError::Table { path, problem })?))
        };
        paths.into_iter().map(about).collect()
    }
}

impl Tables {
    /// Reads a file, or a folder of `train.csv` and `validation.csv` or `test.csv`.
    ///
    /// # Errors
    /// Where a file cannot be read or says what cannot be learnt from, with its line and column; with no features given, where a class has no row to
    /// learn from or be judged by.
    pub fn read(path: &Path, request: &TableRequest) -> Result<Self, DataError> {
        if path.is_file() {
            return Self::of_file(path, request);
        }
        std::fs::metadata(path).map_err(|problem| DataError::Read { path: path.to_owned(), problem })?;
        let of_part = |names: &[&str]| {
            let found = names.iter().find_map(|name| in_folder(path, name));
            found.ok_or_else(|| DataError::NoTable { folder: path.to_owned(), names: names.join(".csv or ") + ".csv" })
        };
        let (train_path, validation_path) = (of_part(&[TRAIN])?, of_part(&VALIDATION)?);
        let train = read(&train_path, columns(&train_path, request)?, request.resident_bytes)?;
        // Its columns may be in another order.
        let named = Columns::Named { features: &train.columns, label: request.label.as_deref() };
        let validation = read(&validation_path, named, request.resident_bytes)?;
        let classes = classes(&train_path, &train, request)?;
        let files = [(&train_path, &train), (&validation_path, &validation)];
        let files = files.map(|(path, table)| (file_name(path), table.sha256.clone())).into();
        if request.classes.is_none() {
            let stranger = (0..validation.len()).find(|&row| !classes.contains(label(&validation, row)));
            if let Some(row) = stranger {
                let problem = format!(
                    "line {}: the label {:?} occurs in no row of {}",
                    validation.lines[row],
                    label(&validation, row),
                    train_path.display()
                );
                return Err(DataError::Table { path: validation_path, problem });
            }
        }
        let parts = [&train, &validation].map(|table| part(table, all(table), &classes));
        let tables = Self { origin: Origin::Folder(path.to_owned()), files, columns: train.columns, classes, parts };
        tables.has_every_class(request)
    }

    fn of_file(path: &Path, request: &TableRequest) -> Result<Self, DataError> {
        let table = read(path, columns(path, request)?, request.resident_bytes)?;
        let classes = classes(path, &table, request)?;
        let whole = part(&table, all(&table), &classes);
        let parts = match &request.holdout {
            None => [whole.clone(), whole],
            Some(holdout) => {
                let rows = holdout.split(&whole.rows.labels).map_err(|class| {
                    let row = whole.rows.labels.iter().position(|&label| label == class).unwrap_or_default();
                    let (class, line) = (&classes[usize::from(class)], whole.lines[row]);
                    let problem = format!(
                        "line {line}: the only row of the label {class:?}; to learn and to be judged a class needs two, or name others in data.classes"
                    );
                    DataError::Table { path: path.to_owned(), problem }
                })?;
                let mut parts = rows.map(|rows| whole.some(&rows));
                parts[0].left_out = whole.left_out;
                parts
            }
        };
        let files = vec![(file_name(path), table.sha256)];
        let tables = Self { origin: Origin::Folder(path.to_owned()), files, columns: table.columns, classes, parts };
        tables.has_every_class(request)
    }

    /// Refuses a training without rows of a class.
    fn has_every_class(self, request: &TableRequest) -> Result<Self, DataError> {
        if request.features.is_some() {
            return Ok(self);
        }
        for (part, what) in self.parts.iter().zip(["training rows", "validation rows"]) {
            let labels = &part.rows.labels;
            let empty = (0..self.classes.len()).find(|&class| !labels.iter().any(|&label| usize::from(label) == class));
            if let Some(class) = empty {
                let class = self.classes[class].clone();
                return Err(DataError::EmptyClass { class, rows: labels.len(), what });
            }
        }
        Ok(self)
    }
}

impl TablePart {
    fn some(&self, rows: &[usize]) -> Self {
        let d = self.rows.n_features;
        Self {
            rows: Numbers {
                n_features: d,
                values: rows.iter().flat_map(|&row| &self.rows.values[row * d..][..d]).copied().collect(),
                labels: rows.iter().map(|&row| self.rows.labels[row]).collect(),
            },
            lines: rows.iter().map(|&row| self.lines[row]).collect(),
            left_out: 0,
        }
    }
}

/// Which columns a request wants of the file at `path`.
fn columns<'a>(path: &Path, request: &'a TableRequest) -> Result<Columns<'a>, DataError> {
    let label = request.label.as_deref();
    if let Some(features) = &request.features {
        return Ok(Columns::Named { features, label });
    }
    match label {
        Some(label) => Ok(Columns::AllBut { label, ignored: &request.ignored }),
        None => {
            // The header alone is read.
            let file = idx::open(path)?;
            let columns = Table::header(file, request.resident_bytes)
                .map_err(|problem| DataError::Table { path: path.to_owned(), problem })?;
            Err(DataError::NoLabel { path: path.to_owned(), columns: crate::table::listed(&columns) })
        }
    }
}

fn read(path: &Path, columns: Columns, resident_bytes: u64) -> Result<Table, DataError> {
    let problem = |problem| DataError::Table { path: path.to_owned(), problem };
    let table = Table::read(idx::open(path)?, columns, resident_bytes).map_err(problem)?;
    let bytes = size_of_val(&table.values[..]) as u64;
    if bytes > resident_bytes {
        return Err(problem(format!(
            "its numbers take {bytes} bytes, more than data.resident_bytes = {resident_bytes} takes into memory"
        )));
    }
    Ok(table)
}

/// The classes asked for, each of which a training must find, else all labels, of which there are two at least.
fn classes(path: &Path, table: &Table, request: &TableRequest) -> Result<Vec<String>, DataError> {
    let Some(classes) = &request.classes else {
        if let [only] = &table.classes[..] {
            let problem = format!("the label is {only:?} in every row; nothing can be told apart");
            return Err(DataError::Table { path: path.to_owned(), problem });
        }
        return Ok(table.classes.clone());
    };
    match classes.iter().find(|class| request.features.is_none() && !table.classes.contains(class)) {
        Some(class) => Err(DataError::EmptyClass { class: class.clone(), rows: table.len(), what: "training rows" }),
        None => Ok(classes.clone()),
    }
}

fn label(table: &Table, row: usize) -> &String {
    &table.classes[usize::from(table.labels[row])]
}

fn all(table: &Table) -> Vec<usize> {
    (0..table.len()).collect()
}

/// Those of these rows that have one of the labels.
fn part(table: &Table, rows: Vec<usize>, classes: &[String]) -> TablePart {
    let positions: Vec<Option<u8>> = table
        .classes
        .iter()
        .map(|label| classes.iter().position(|class| class == label).map(|position| position as u8))
        .collect();
    let mut part = TablePart::default();
    part.rows.n_features = table.n_features();
    for row in rows {
        match positions[usize::from(table.labels[row])] {
            None => part.left_out += 1,
            Some(position) => {
                part.rows.values.extend_from_slice(table.row(row));
                part.rows.labels.push(position);
                part.lines.push(table.lines[row]);
            }
        }
    }
    part
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
