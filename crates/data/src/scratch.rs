//! A file for the rows that do not fit in memory.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::DataError;
use crate::positioned::read_exact_at;

/// Returns the folder for large temporary files: that of the environment variable `TMPDIR` unless
/// it is empty, else `/var/tmp` where it exists, because `/tmp` may be in memory
/// (file-hierarchy(7)), else the system's own choice.
pub fn scratch_folder() -> PathBuf {
    let of_system = Path::new("/var/tmp");
    match std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()) {
        None if cfg!(unix) && of_system.is_dir() => of_system.to_owned(),
        _ => std::env::temp_dir(),
    }
}

/// A file for rows that do not fit in memory.
///
/// It has no name, so nothing else opens or changes it, and the system frees it when the program
/// ends, however it ends.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    file: File,
    /// One writer at a time.
    writer: Mutex<()>,
    length: AtomicU64,
    /// The memory that the rows may take before they are written here.
    resident_bytes: u64,
    /// The first problem of a read that could not report it.
    failure: OnceLock<io::Error>,
}

impl Scratch {
    /// Creates an empty file on the disk of `folder`. `resident_bytes` limits the rows in memory.
    ///
    /// # Errors
    /// Fails if the folder cannot be written to.
    pub fn new(folder: &Path, resident_bytes: u64) -> Result<Self, DataError> {
        // Unix opens a nameless file, which may be read and written by this program only.
        let file = tempfile::tempfile_in(folder).map_err(|problem| DataError::Scratch {
            folder: folder.to_owned(),
            resident_bytes,
            problem,
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
            writer: Mutex::default(),
            length: AtomicU64::new(0),
            resident_bytes,
            failure: OnceLock::new(),
        })
    }

    /// Returns the folder whose disk has the file.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the number of bytes written.
    pub fn len(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }

    /// Returns whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the memory that rows may take before they are written to such a file, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.resident_bytes
    }

    /// Appends bytes. Returns where they begin.
    ///
    /// # Errors
    /// Fails if the disk is full.
    pub fn append(&self, bytes: &[u8]) -> Result<u64, DataError> {
        self.write(bytes).map_err(|problem| self.problem(problem))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<u64> {
        let _only_writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let start = self.length.load(Ordering::Relaxed);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start))?;
        file.write_all(bytes)?;
        self.length.store(start + bytes.len() as u64, Ordering::Relaxed);
        Ok(start)
    }

    /// Fills `bytes` with those that begin at `start`.
    ///
    /// # Errors
    /// Fails if the disk cannot be read.
    pub fn read(&self, start: u64, bytes: &mut [u8]) -> Result<(), DataError> {
        read_exact_at(&self.file, bytes, start).map_err(|problem| self.problem(problem))
    }

    /// Like [`read`](Self::read), but a failure is reported by [`check`](Self::check). The bytes
    /// are 0 then.
    pub(crate) fn read_or_note(&self, start: u64, bytes: &mut [u8]) {
        if let Err(problem) = read_exact_at(&self.file, bytes, start) {
            bytes.fill(0);
            self.note(problem);
        }
    }

    /// Notes the first problem, for [`check`](Self::check).
    fn note(&self, problem: io::Error) {
        // A later problem follows from the first.
        let _ = self.failure.set(problem);
    }

    /// Like [`append`](Self::append), but a failure is reported by [`check`](Self::check).
    pub(crate) fn append_or_note(&self, bytes: &[u8]) -> u64 {
        self.write(bytes).unwrap_or_else(|problem| {
            self.note(problem);
            0
        })
    }

    /// Fails if an earlier read or write failed.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        match self.failure.get() {
            None => Ok(()),
            Some(problem) => Err(self.problem(io::Error::new(problem.kind(), problem.to_string()))),
        }
    }

    fn problem(&self, problem: io::Error) -> DataError {
        DataError::Scratch { folder: self.folder.clone(), resident_bytes: self.resident_bytes, problem }
    }
}
