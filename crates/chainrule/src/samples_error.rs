use std::path::PathBuf;

use chainrule_core::{ContentError, MAX_ABS_VALUE, MAX_CLASSES, pluralize};
use chainrule_data::{FoldError, readers};

/// An error of [`Samples`](crate::Samples): rows, labels or names that are invalid or do not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplesError {
    /// There is no row.
    #[error("there is no row")]
    NoRow,
    /// The rows have no features.
    #[error("row 0 has no number")]
    NoFeature,
    /// A row's length differs from the first row's.
    #[error("row {row} has {}, and {}", pluralize(*.found, "number"), if *.row == 0 { format!("it takes {expected}") } else { format!("row 0 has {expected}") })]
    RowLength {
        /// Its number, from 0.
        row: usize,
        /// Its length.
        found: usize,
        /// The expected length.
        expected: usize,
    },
    /// A number that is not finite, or is beyond ±1e30.
    #[error("row {row}, number {column}: {value} is not between ±{MAX_ABS_VALUE:e}")]
    Number {
        /// Its row, from 0.
        row: usize,
        /// Its column, from 0.
        column: usize,
        /// The number.
        value: f64,
    },
    /// The number of weights differs from the number of rows.
    #[error("{} and {}; each row has one", pluralize(*.rows, "row"), pluralize(*.weights, "weight"))]
    Weights {
        /// The number of rows.
        rows: usize,
        /// The number of weights.
        weights: usize,
    },
    /// The number of labels differs from the number of rows.
    #[error("{} and {}; each row has one", pluralize(*.rows, "row"), pluralize(*.labels, "label"))]
    Labels {
        /// The number of rows.
        rows: usize,
        /// The number of labels.
        labels: usize,
    },
    /// A label that is not a valid class name.
    #[error("row {row}: the label {problem}")]
    Label {
        /// Its row, from 0.
        row: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The columns of a file do not become features, or not those of a model.
    #[error("{0}")]
    Recipe(ContentError),
    /// More different labels than classes are told apart.
    #[error("{0} different labels; at most {MAX_CLASSES} classes are told apart")]
    ManyClasses(usize),
    /// An unknown class.
    #[error("no class {class:?}; the classes are {classes}")]
    UnknownClass {
        /// Its name.
        class: String,
        /// The known classes.
        classes: String,
    },
    /// A class that was named twice.
    #[error("the class {0:?} is named twice")]
    DuplicateClass(String),
    /// A number of classes that the model cannot have.
    #[error("the samples have {} ({classes}), and {model} tells {number} apart; Samples::with_classes chooses", pluralize(*.found, "class"))]
    Classes {
        /// The number of classes.
        found: usize,
        /// The names of the classes.
        classes: String,
        /// The model.
        model: &'static str,
        /// How many classes the model needs.
        number: &'static str,
    },
    /// Invalid class names.
    #[error(transparent)]
    ClassNames(ContentError),
    /// A row whose class the model does not know.
    #[error("row {row} is of the class {class}, and the model tells {classes} apart")]
    UnknownRowClass {
        /// Its number, from 0.
        row: usize,
        /// Its class.
        class: String,
        /// The model's classes.
        classes: String,
    },
    /// A class with a single row, which cannot be split.
    #[error("the class {class} has a single row; to learn and to be judged it needs two")]
    SingleRow {
        /// Its name.
        class: String,
    },
    /// A fraction that is not between 0 and 1.
    #[error("a fraction of {0} is kept; it is between 0 and 1")]
    Fraction(f64),
    /// Columns were requested, and the samples are images.
    #[error("images have no columns")]
    NoColumns,
    /// The number of column names differs from the number of columns.
    #[error("{}, and {}", pluralize(*.columns, "column"), pluralize(*.names, "name"))]
    ColumnNames {
        /// The number of columns.
        columns: usize,
        /// The number of names.
        names: usize,
    },
    /// An invalid column name.
    #[error("the name of column {column} {problem}")]
    ColumnName {
        /// The column, from 0.
        column: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two columns with the same name.
    #[error("two columns are called {0:?}")]
    DuplicateColumn(String),
    /// The samples lack a column of the model.
    #[error("no column {column:?}, which the model needs; the columns are {columns}")]
    NoColumn {
        /// Its name.
        column: String,
        /// The columns of the samples.
        columns: String,
    },
    /// The samples are images and the model takes a table, or the reverse, or the image sizes
    /// differ.
    #[error("the samples are {samples}, and the model takes {model}")]
    KindMismatch {
        /// What the samples are.
        samples: String,
        /// What the model takes.
        model: String,
    },
    /// There is no training row.
    #[error("there is no row to learn from")]
    NoTrainingRow,
    /// There is no validation row.
    #[error("there is no validation row")]
    NoValidationRow,
    /// There is no row to evaluate on.
    #[error("there is no row to judge the model by")]
    NoEvaluationRow,
    /// Rows that cannot be divided into folds.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// Folds of other rows.
    #[error("the folds divide {}, and there {} {}", pluralize(*.folds, "row"), if *.rows == 1 { "is" } else { "are" }, .rows)]
    Folds {
        /// The number of rows.
        rows: usize,
        /// The number of rows that the folds divide.
        folds: usize,
    },
    /// A fold whose training rows lack a class.
    #[error(
        "fold {fold} has no training row of the class {class}, which has {} in all; take fewer folds, another seed, or leave the class out",
        pluralize(*.rows, "row")
    )]
    FoldWithoutClass {
        /// The fold, from 1.
        fold: usize,
        /// The class.
        class: String,
        /// The number of its rows.
        rows: usize,
    },
    /// A path without a lambda.
    #[error("no lambda to fit a model for")]
    NoPenalty,
    /// Images that need too much memory.
    #[error(
        "{place}: {bytes} bytes of images are more than the {most} that samples may take in memory; the program reads them piece by piece"
    )]
    TooLarge {
        /// The source of the images.
        place: String,
        /// The bytes of their pixels.
        bytes: u64,
        /// The allowed bytes.
        most: u64,
    },
    /// A folder was given instead of a file.
    #[error("{}: a folder; Samples::tables reads one of {}", .0.display(), readers::pairs_of_tables())]
    Folder(PathBuf),
    /// A table was given without the name of its label column.
    #[error("{}: a table; Samples::csv reads a file, and Samples::tables a folder of two, told which column has the labels: {columns}", .path.display())]
    Table {
        /// Where it is.
        path: PathBuf,
        /// Its columns.
        columns: String,
    },
    /// A file whose rows the model cannot predict.
    #[error("{}: {problem}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        #[source]
        problem: ContentError,
    },
    /// Record batches whose rows the model cannot predict.
    #[error("the record batches: {0}")]
    RecordBatches(#[source] ContentError),
    /// A data setting other than `standardize` was set. The samples are already chosen.
    #[error("data: what is trained on are the samples; choose them before, and of data set standardize alone")]
    DataSetting,
}
