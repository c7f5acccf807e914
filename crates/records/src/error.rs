use std::path::PathBuf;

/// What can go wrong with a run folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is something in it already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A folder of the other kind.
    #[error("{}: {what}", .path.display())]
    Another {
        /// The folder.
        path: PathBuf,
        /// What it is, and what to do.
        what: &'static str,
    },
    /// A folder of a sweep, where a run's is wanted.
    #[error("{}: this is a sweep's folder, and its runs are in points below it", .folder.display())]
    IsSweep {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process writes into it.
    #[error("{}: {holder} writes into it; wait until it ends, or name another folder", .folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
        /// The process.
        holder: String,
    },
    /// It is no run, or not a whole one.
    #[error("{}: {problem}", .path.display())]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of a finished run was lost or changed.
    #[error("{}: {problem}; it is made again where the run is resumed", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The run's folder.
        run: PathBuf,
    },
    /// Something in it is not known to be this program's, and would be replaced.
    #[error("{}: this is not what this program wrote as a part of {kind}, and nothing was replaced; move it away, or name another folder", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What lies there, or should: a run, say.
        kind: &'static str,
    },
    /// It cannot be read.
    #[error("{}: {problem}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        problem: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}: {problem}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        problem: std::io::Error,
    },
}
