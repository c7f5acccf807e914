use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::{RunError, inside};

/// The one process that writes into a folder. The system lets go of it when that process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
    /// The folder itself, which another may take the name of.
    #[cfg(unix)]
    folder: File,
}

/// Its file's name.
pub(crate) const LOCK: &str = ".lock";

impl Lock {
    /// Takes a folder that is there. Nothing of a file that has the lock's name is changed, unless a lock wrote it.
    pub(crate) fn take(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(LOCK);
        let error = |problem| RunError::Write { path: path.clone(), problem };
        loop {
            // One that makes a file follows no link.
            let file = match File::options().read(true).write(true).create_new(true).open(&path) {
                Err(problem) if problem.kind() == ErrorKind::AlreadyExists => {
                    inside::open(&path, |path| File::options().read(true).write(true).open(path))
                }
                made => made,
            };
            let mut file = match file {
                // Its holder removed it, and the folder is still there.
                Err(problem) if problem.kind() == ErrorKind::NotFound && folder.is_dir() => continue,
                other => other.map_err(error)?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(busy(folder, &file)),
                // A file system without locks, as some networks' are: better a run than none.
                Err(TryLockError::Error(problem)) if problem.kind() == ErrorKind::Unsupported => {}
                Err(TryLockError::Error(problem)) => return Err(error(problem)),
            }
            // Who held it before may have removed the file between our opening and locking it.
            if !is_at(&file, &path) {
                continue;
            }
            if !is_locks(&file) || !inside::has_one_name(&file).map_err(error)? {
                let problem =
                    "it has another name elsewhere (a hard link), or this program did not write it; delete it";
                return Err(error(Error::new(ErrorKind::InvalidInput, problem)));
            }
            let holder = format!("process {}", std::process::id());
            // On a full disk nobody learns the name, but the lock holds.
            let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
            return Ok(Self {
                #[cfg(unix)]
                folder: File::open(folder).map_err(error)?,
                path,
                file,
            });
        }
    }

    /// Refuses a folder that another process has, without writing there.
    pub(crate) fn check_free(folder: &Path) -> Result<(), RunError> {
        match inside::open(&folder.join(LOCK), |path| File::open(path)) {
            Ok(file) if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) => Err(busy(folder, &file)),
            _ => Ok(()),
        }
    }

    /// The folder lies elsewhere now.
    pub(crate) fn moved_to(&mut self, folder: &Path) {
        self.path = folder.join(LOCK);
    }

    /// Whether the lock still lies where it was taken.
    pub(crate) fn holds(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Whether a path still names the folder that was taken.
    #[cfg(unix)]
    pub(crate) fn is_of(&self, folder: &Path) -> bool {
        is_at(&self.folder, folder)
    }

    /// Elsewhere a folder with an open file keeps its name.
    #[cfg(not(unix))]
    pub(crate) fn is_of(&self, folder: &Path) -> bool {
        folder.exists()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still held, and where its place was not taken by another's.
        if self.holds() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether a file has a lock's content, or none.
pub(crate) fn is_locks(file: &File) -> bool {
    let mut content = String::new();
    let is_read = file.take(100).read_to_string(&mut content).is_ok();
    let digits = content.strip_prefix("process ");
    is_read && (content.is_empty() || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())))
}

fn busy(folder: &Path, file: &File) -> RunError {
    let mut holder = String::new();
    // What a holder did not come to write is not worth an error of its own.
    let _ = file.take(100).read_to_string(&mut holder);
    let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
    RunError::Busy { folder: folder.to_owned(), holder }
}

/// Whether a path still names an open file.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => inside::is_same(&open, &named),
        _ => false,
    }
}
