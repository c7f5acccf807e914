use std::path::PathBuf;

use crate::readers::{self, PICTURES};

/// An error in the data. The one-line message says where, what, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file could not be opened or read.
    #[error("{}: {problem}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        problem: std::io::Error,
    },
    /// A file could not be written. No partial file is left behind.
    #[error("cannot write {}: {problem}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        problem: std::io::Error,
    },
    /// A file is not a complete IDX file of the expected kind.
    #[error("{}: {problem}", .path.display())]
    Idx {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A file is not a table that a model can be trained on.
    #[error("{}: {problem}", .path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The problem, with line and column.
        problem: String,
    },
    /// The label column is not specified.
    #[error("{}: data.label is missing, the column of the labels; the columns are {columns}", .path.display())]
    NoLabel {
        /// The file.
        path: PathBuf,
        /// The columns of the file.
        columns: String,
    },
    /// A folder of tables has no training or no validation table.
    #[error("{}: no {names} here, plain or {}", .folder.display(), readers::compressed_extensions("or"))]
    NoTable {
        /// The folder.
        folder: PathBuf,
        /// The accepted names.
        names: String,
    },
    /// All rows have the weight 0.
    #[error("all {n} rows have the weight 0; at least one needs a weight above 0")]
    ZeroWeights {
        /// The number of rows.
        n: usize,
    },
    /// A weight is not a finite number from 0.
    #[error("row {row}: expected a weight, a finite number from 0, found {weight}")]
    Weight {
        /// The row, from 0.
        row: usize,
        /// The weight.
        weight: f64,
    },
    /// Rows of images have no weights.
    #[error("{data}: images have no weights; data.weight names a column of a table")]
    WeightOfImages {
        /// The data as the config names it.
        data: String,
    },
    /// Images are required, but the path names tables.
    #[error("{}: expected images, found a table", .path.display())]
    IsTable {
        /// The file or folder.
        path: PathBuf,
    },
    /// An image file became shorter after it was opened.
    #[error("{}: truncated in image {row}: it had {images} images when it was opened", .path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// The first incomplete image, from 0.
        row: u64,
        /// The number of images at opening.
        images: usize,
    },
    /// The rows that do not fit in memory cannot be written to a file, or read from it.
    #[error(
        "rows beyond data.resident_bytes = {resident_bytes} are kept in a file of {}: {problem}; name a folder on a disk with space in the environment variable TMPDIR, or raise data.resident_bytes if this machine has the memory",
        .folder.display()
    )]
    Scratch {
        /// The folder whose disk has the file.
        folder: PathBuf,
        /// The allowed bytes in memory.
        resident_bytes: u64,
        /// The system's error.
        #[source]
        problem: std::io::Error,
    },
    /// Images can no longer be read from a file.
    #[error("{}: cannot read images {first} to {last}: {problem}", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The first requested image, from 0.
        first: usize,
        /// The last requested image.
        last: usize,
        /// The system's error.
        #[source]
        problem: std::io::Error,
    },
    /// No thread could be started for reading ahead.
    #[error("cannot start a thread to read data in advance ({problem}); use fewer threads")]
    Thread {
        /// The system's error.
        #[source]
        problem: std::io::Error,
    },
    /// The digits to draw need more memory than allowed.
    #[error(
        "{count} drawn digits take {bytes} bytes, more than data.resident_bytes = {resident_bytes}; write them to a folder, which is read in chunks"
    )]
    ManyDigits {
        /// The number of digits.
        count: usize,
        /// The bytes that they need.
        bytes: u64,
        /// The allowed bytes in memory.
        resident_bytes: u64,
    },
    /// Sparse rows do not fit in memory with all features that are 0.
    #[error(
        "{n} sparse rows with all {d} features would take {:.1} GB, though most are 0; train by the fused kernels of a CPU, which read only the others (descent.gradient = \"fused\"), or use smaller batches",
        8e-9 * *.n as f64 * *.d as f64
    )]
    TooSparse {
        /// The number of rows.
        n: usize,
        /// The number of features.
        d: usize,
    },
    /// A folder lacks one of the four IDX files.
    #[error(
        "{}: no {name} here, plain or {}; expected the four IDX files of MNIST with their usual names, {}, or one folder of pictures per class ({}){}{}{}",
        .folder.display(),
        readers::compressed_extensions("or"),
        readers::train_tables(),
        readers::names(PICTURES, "or"),
        if .found.is_empty() { "" } else { "; this folder has " },
        .found.join("; "),
        .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file's usual name.
        name: &'static str,
        /// Some names of files in the folder.
        found: Vec<String>,
        /// A suggestion what to rename, if there is one.
        hint: Option<String>,
    },
    /// The path names a pipe or a device.
    #[error("{}: expected a file or a folder; for a pipe, use - (standard input)", .path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// The numbers of images and labels differ.
    #[error("{}: {images} images but {labels} labels; the two files do not belong together", .folder.display())]
    Lengths {
        /// The folder.
        folder: PathBuf,
        /// The number of images.
        images: usize,
        /// The number of labels.
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
    /// More rows are requested than exist.
    #[error("data.{key} = {requested}: there are only {found} {what}; use at most {found}")]
    TooFew {
        /// The config key of the request.
        key: &'static str,
        /// The number of requested rows.
        requested: usize,
        /// The number of rows found.
        found: usize,
        /// The kind of the rows, for the message.
        what: &'static str,
    },
    /// A label is not one of the classes.
    #[error("{what}: label {label} at row {row} is outside the classes 0..={largest} of the training labels")]
    Label {
        /// The kind of the labels.
        what: &'static str,
        /// The label.
        label: u8,
        /// The row, from 0.
        row: usize,
        /// The largest label of the training images.
        largest: u8,
    },
    /// A class has no row for training or for validation.
    #[error(
        "no {} of class {class} among the {rows} {what}; use more rows, or list only existing classes in data.classes",
        if .what.ends_with("rows") { "row" } else { "image" }
    )]
    EmptyClass {
        /// The class.
        class: String,
        /// The number of rows searched.
        rows: usize,
        /// The kind of the rows, for the message.
        what: &'static str,
    },
    /// MNIST could not be obtained.
    #[error("no MNIST: {reason}; put the four IDX files into {} or name a folder with them as the data", .folder.display())]
    NoMnist {
        /// The reason of the failure.
        reason: String,
        /// The cache folder.
        folder: PathBuf,
    },
}
