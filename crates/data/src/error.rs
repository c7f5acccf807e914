use std::path::PathBuf;

use crate::readers::{self, PICTURES};

/// What can be wrong with data, in one line each: where, what, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file could not be opened or read.
    #[error("{}: {problem}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        problem: std::io::Error,
    },
    /// A file could not be written; nothing of it is left behind.
    #[error("cannot write {}: {problem}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        problem: std::io::Error,
    },
    /// A file is not a whole IDX file of the expected kind.
    #[error("{}: {problem}", .path.display())]
    Idx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file is not a table that can be learnt from.
    #[error("{}: {problem}", .path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with line and column.
        problem: String,
    },
    /// Nobody said which column has the labels.
    #[error("{}: data.label is missing, the column of labels; the columns are {columns}", .path.display())]
    NoLabel {
        /// The file.
        path: PathBuf,
        /// The columns that it has.
        columns: String,
    },
    /// A folder of tables lacks one.
    #[error("{}: no {names} here, plain or .gz", .folder.display())]
    NoTable {
        /// The folder.
        folder: PathBuf,
        /// What it may be called.
        names: String,
    },
    /// Images are asked for where tables are.
    #[error("{}: this is a table, and images are needed here", .path.display())]
    IsTable {
        /// The file or folder.
        path: PathBuf,
    },
    /// A file that images are read from while they are needed has become shorter.
    #[error("{}: breaks off in image {row}, of {images} that it had when it was opened; it was cut off meanwhile", .path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// The first image that is not whole, from 0.
        row: u64,
        /// Images that it had.
        images: usize,
    },
    /// Images cannot be read from a file any more.
    #[error("{}: cannot read images {first} to {last}: {problem}", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The first image asked for, from 0.
        first: usize,
        /// The last image asked for.
        last: usize,
        /// What the system said.
        #[source]
        problem: std::io::Error,
    },
    /// No thread could be had for reading ahead.
    #[error("there is no thread to be had for reading data ahead ({problem}); take fewer threads")]
    Thread {
        /// What the system said.
        #[source]
        problem: std::io::Error,
    },
    /// More digits are to be drawn than may lie in memory.
    #[error(
        "{count} drawn digits take {bytes} bytes, more than data.resident_bytes = {resident_bytes}; write them to a folder, which \
         is read piece by piece"
    )]
    ManyDigits {
        /// Digits to be drawn.
        count: usize,
        /// Bytes that they take.
        bytes: u64,
        /// Bytes that may lie in memory.
        resident_bytes: u64,
    },
    /// A folder lacks one of the four files.
    #[error(
        "{}: no {name} here, plain or .gz; a data folder holds the four IDX files of MNIST by their usual names, {}, or a folder of pictures for each class, {}{}{}{}",
        .folder.display(),
        readers::train_tables(),
        readers::names(PICTURES, "or"),
        if .found.is_empty() { "" } else { ", and this one " },
        .found.join("; "),
        .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file's usual name.
        name: &'static str,
        /// Some names of what it holds.
        found: Vec<String>,
        /// What to rename, where that may help.
        hint: Option<String>,
    },
    /// A pipe or a device.
    #[error("{}: data is read from a file or a folder, and this is neither; write what comes through a pipe to a file first (cat > data.csv)", .path.display())]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// Images and labels do not belong together.
    #[error("{}: {images} images but {labels} labels; the two files do not belong together", .folder.display())]
    Lengths {
        /// The folder.
        folder: PathBuf,
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// Training and validation images differ in size.
    #[error("{}: training images are {} x {} but validation images {} x {}", .folder.display(), .train.0, .train.1, .validation.0, .validation.1)]
    Sizes {
        /// The folder.
        folder: PathBuf,
        /// Rows and columns of a training image.
        train: (usize, usize),
        /// Rows and columns of a validation image.
        validation: (usize, usize),
    },
    /// More rows are asked for than there are.
    #[error("data.{key} = {asked}: there are only {found} {what}; ask for at most {found}")]
    TooFew {
        /// The config key that asks.
        key: &'static str,
        /// Rows asked for.
        asked: usize,
        /// Rows found.
        found: usize,
        /// What the rows are.
        what: &'static str,
    },
    /// A label is none of the classes.
    #[error("{what}: label {label} at row {row} is outside the classes 0..={largest} of the training labels")]
    Label {
        /// Which labels.
        what: &'static str,
        /// The label.
        label: u8,
        /// The row, from 0.
        row: usize,
        /// The largest label of the training images.
        largest: u8,
    },
    /// A class has no image to learn or be judged by.
    #[error(
        "no {} of class {class} among the {rows} {what}; take more rows, or name the classes that there are in data.classes",
        if .what.ends_with("rows") { "row" } else { "image" }
    )]
    EmptyClass {
        /// The class.
        class: String,
        /// Rows looked at.
        rows: usize,
        /// What the rows are.
        what: &'static str,
    },
    /// MNIST could not be had.
    #[error("no MNIST: {reason}; put the four IDX files into {} or name a folder that has them as the data", .folder.display())]
    NoMnist {
        /// Why the download failed.
        reason: String,
        /// The cache folder.
        folder: PathBuf,
    },
}
