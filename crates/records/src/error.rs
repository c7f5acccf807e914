use std::path::PathBuf;

/// An error of a run folder, sweep folder or model folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The path exists already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The folder has another kind or was replaced.
    #[error("{}: {what}", .path.display())]
    WrongFolder {
        /// The folder.
        path: PathBuf,
        /// The reason, and what to do.
        what: &'static str,
    },
    /// The folder is a sweep, but a run is expected.
    #[error("{}: this is a sweep's folder, and its runs are in points below it", .folder.display())]
    IsSweep {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process owns the folder.
    #[error("{}: {holder} writes into it; wait until it ends, or name another folder", .folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
        /// The process.
        holder: String,
    },
    /// The folder has no complete run, sweep or model.
    #[error("{}: {problem}", .path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A file of a finished run is missing or was changed.
    #[error("{}: {problem}; it is made again where the run is resumed", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
        /// The run's folder.
        run: PathBuf,
    },
    /// This program is not proven to have written a file that would be replaced.
    #[error("{}: this is not what this program wrote as a part of {kind}, and nothing was replaced; move it away, or name another folder", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The expected kind of the folder, such as a run.
        kind: &'static str,
    },
    /// A file or folder cannot be read.
    #[error("{}: {problem}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        problem: std::io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}: {problem}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        problem: std::io::Error,
    },
}
