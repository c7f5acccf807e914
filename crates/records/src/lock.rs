use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::RunError;

/// The one process that writes into a folder. The system lets go of it when that process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

/// Its file's name.
pub(crate) const LOCK: &str = ".lock";

impl Lock {
    /// Takes a folder that is there.
    pub(crate) fn take(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(LOCK);
        let error = |problem| RunError::Write { path: path.clone(), problem };
        loop {
            let mut file =
                File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(error)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    // What a holder did not come to write is not worth an error of its own.
                    let _ = file.take(100).read_to_string(&mut holder);
                    let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
                    return Err(RunError::Busy { folder: folder.to_owned(), holder });
                }
                // A file system without locks, as some networks' are: better a run than none.
                Err(TryLockError::Error(problem)) if problem.kind() == std::io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(problem)) => return Err(error(problem)),
            }
            // Who held it before may have removed the file between our opening and locking it.
            if is_at(&file, &path) {
                let holder = format!("process {}", std::process::id());
                // On a full disk nobody learns the name, but the lock holds.
                let _ = file.set_len(0).and_then(|()| file.write_all(holder.as_bytes()));
                return Ok(Self { path, _file: file });
            }
        }
    }

    /// The folder lies elsewhere now.
    pub(crate) fn moved_to(&mut self, folder: &Path) {
        self.path = folder.join(LOCK);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still held, so that it is surely this one.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether a path still names an open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        _ => false,
    }
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}
