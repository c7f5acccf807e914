use std::path::PathBuf;

use chainrule_core::{ContentError, LARGEST_NUMBER, count};
use chainrule_data::readers;

/// Why samples are not what is asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplesError {
    /// There is no row.
    #[error("there is no row")]
    NoRow,
    /// Rows have no number.
    #[error("row 0 has no number")]
    NoNumber,
    /// A row is of another length than the first.
    #[error("row {row} has {}, and {}", count(*.found, "number"), if *.row == 0 { format!("it takes {expected}") } else { format!("row 0 has {expected}") })]
    RowLength {
        /// Its number, from 0.
        row: usize,
        /// Its numbers.
        found: usize,
        /// Those of the first.
        expected: usize,
    },
    /// A number that is not finite, or is beyond ±1e30.
    #[error("row {row}, number {column}: {value} is not between ±{LARGEST_NUMBER:e}")]
    Number {
        /// Its row, from 0.
        row: usize,
        /// Its place there, from 0.
        column: usize,
        /// What it is.
        value: f64,
    },
    /// There are more labels than rows, or fewer.
    #[error("{} and {}; each row has one", count(*.rows, "row"), count(*.labels, "label"))]
    Labels {
        /// Rows.
        rows: usize,
        /// Labels.
        labels: usize,
    },
    /// A label that can be no class's name.
    #[error("row {row}: the label {problem}")]
    Label {
        /// Its row, from 0.
        row: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More labels than are told apart.
    #[error("{0} different labels; at most 256 classes are told apart")]
    ManyClasses(usize),
    /// A class that there is not.
    #[error("no class {class:?}; the classes are {classes}")]
    UnknownClass {
        /// Its name.
        class: String,
        /// Those that there are.
        classes: String,
    },
    /// A class that is named twice.
    #[error("the class {0:?} is named twice")]
    SameClasses(String),
    /// Other classes than the model tells apart.
    #[error("the samples have {} ({classes}), and {model} tells {number} apart; Samples::with_classes chooses", count(*.found, "class"))]
    Classes {
        /// How many there are.
        found: usize,
        /// Their names.
        classes: String,
        /// What is to be fitted.
        model: &'static str,
        /// How many it takes.
        number: &'static str,
    },
    /// Names that cannot be those of classes.
    #[error(transparent)]
    ClassNames(ContentError),
    /// A row of a class that the model does not know.
    #[error("row {row} is of the class {class}, and the model tells {classes} apart")]
    AnotherClass {
        /// Its number, from 0.
        row: usize,
        /// Its class.
        class: String,
        /// The model's.
        classes: String,
    },
    /// A class with too few rows to be split.
    #[error("the class {class} has a single row; to learn and to be judged it needs two")]
    SingleRow {
        /// Its name.
        class: String,
    },
    /// A fraction that is none.
    #[error("a fraction of {0} is kept; it is between 0 and 1")]
    Fraction(f64),
    /// Images, where a table is wanted.
    #[error("images have no columns")]
    NoColumns,
    /// More names than columns, or fewer.
    #[error("{}, and {}", count(*.columns, "column"), count(*.names, "name"))]
    ColumnNames {
        /// Columns.
        columns: usize,
        /// Names.
        names: usize,
    },
    /// A name that can be no column's.
    #[error("the name of column {column} {problem}")]
    ColumnName {
        /// The column, from 0.
        column: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two columns of one name.
    #[error("two columns are called {0:?}")]
    SameColumns(String),
    /// A column of the model's that is missing.
    #[error("no column {column:?}, from which the model learnt; the columns are {columns}")]
    NoColumn {
        /// Its name.
        column: String,
        /// Those that there are.
        columns: String,
    },
    /// Images where the model takes a table, or of another size, or the other way round.
    #[error("the samples are {samples}, and the model takes {model}")]
    AnotherKind {
        /// What they are.
        samples: String,
        /// What it takes.
        model: String,
    },
    /// There is no row to learn from.
    #[error("there is no row to learn from")]
    Nothing,
    /// There is no row to validate on.
    #[error("there is no validation row")]
    NoValidation,
    /// There is no row to judge by.
    #[error("there is no row to judge the model by")]
    NothingToJudge,
    /// Images that are too many for memory.
    #[error(
        "{place}: {bytes} bytes of images are more than the {most} that samples may take in memory; the program reads them piece by piece"
    )]
    TooLarge {
        /// Where they are.
        place: String,
        /// Bytes of their pixels.
        bytes: u64,
        /// Bytes that they may take.
        most: u64,
    },
    /// A folder, where a file is read.
    #[error("{}: a folder; Samples::tables reads one of {}", .0.display(), readers::pairs_of_tables())]
    Folder(PathBuf),
    /// A table, whose label is not known.
    #[error("{}: a table; Samples::csv reads a file, and Samples::tables a folder of two, told which column has the labels: {columns}", .path.display())]
    Table {
        /// Where it is.
        path: PathBuf,
        /// Its columns.
        columns: String,
    },
    /// A file that a model cannot be asked about.
    #[error("{}: {problem}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        #[source]
        problem: ContentError,
    },
    /// What is trained on was chosen by a setting.
    #[error("data: what is trained on are the samples; choose them before, and of data set standardize alone")]
    Chosen,
}
