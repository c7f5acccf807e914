use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::file::{AtomicFile, is_draft};
use crate::{RunError, inside};

/// A lock that makes this process the owner of a folder. The system releases it when the process
/// ends, for any reason.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
    /// The folder itself; another folder may take its name.
    #[cfg(unix)]
    folder: File,
}

/// The name of the lock file.
pub(crate) const LOCK: &str = ".lock";

/// The waiting time for a lock that this process holds itself: many times the start of a program.
const OWN_LOCK: Duration = Duration::from_millis(100);

impl Lock {
    /// Locks an existing folder. A file with the lock's name is changed only if a lock wrote it.
    pub(crate) fn take(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(LOCK);
        let error = |problem| RunError::Write { path: path.clone(), problem };
        let held = |file: File| {
            Ok(Self {
                #[cfg(unix)]
                folder: File::open(folder).map_err(error)?,
                path: path.clone(),
                file,
            })
        };
        let patience = Instant::now() + OWN_LOCK;
        loop {
            match make(&path) {
                Ok(Some(file)) => return held(file),
                Ok(None) => {}
                Err(problem) if problem.kind() == ErrorKind::NotFound && folder.is_dir() => continue,
                Err(problem) => return Err(error(problem)),
            }
            let file = inside::open(&path, |path| File::options().read(true).write(true).open(path));
            let mut file = match file {
                // Its owner deleted the file, but the folder still exists.
                Err(problem) if problem.kind() == ErrorKind::NotFound && folder.is_dir() => continue,
                other => other.map_err(error)?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    wait_or_refuse(folder, &file, patience)?;
                    continue;
                }
                // Some network file systems have no locks. An unlocked run is better than none.
                Err(TryLockError::Error(problem)) if problem.kind() == ErrorKind::Unsupported => {}
                Err(TryLockError::Error(problem)) => return Err(error(problem)),
            }
            // The previous owner may have deleted the file between our open and our lock.
            if !is_at(&file, &path) {
                continue;
            }
            forget_draft(folder, &file);
            if !is_locks(&file) || !inside::has_one_name(&file).map_err(error)? {
                let problem =
                    "it has another name elsewhere (a hard link), or this program did not write it; delete it";
                return Err(error(Error::new(ErrorKind::InvalidInput, problem)));
            }
            // The file names the previous owner until this write, and is truncated after it. A kill
            // in between leaves a valid lock file. On a full disk the file is deleted.
            let holder = holder();
            let result = file.rewind().and_then(|()| file.write_all(holder.as_bytes()));
            let result = result.and_then(|()| file.set_len(holder.len() as u64));
            result.inspect_err(|_| drop(std::fs::remove_file(&path))).map_err(error)?;
            return held(file);
        }
    }

    /// Fails if another process owns the folder. Writes nothing.
    pub(crate) fn check_free(folder: &Path) -> Result<(), RunError> {
        let patience = Instant::now() + OWN_LOCK;
        loop {
            match inside::open(&folder.join(LOCK), |path| File::open(path)) {
                Ok(file) if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) => {
                    wait_or_refuse(folder, &file, patience)?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Records that the folder was moved.
    pub(crate) fn moved_to(&mut self, folder: &Path) {
        self.path = folder.join(LOCK);
    }

    /// Returns whether the lock file is still at its path.
    pub(crate) fn holds(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Returns whether the path still names the locked folder.
    #[cfg(unix)]
    pub(crate) fn is_of(&self, folder: &Path) -> bool {
        is_at(&self.folder, folder)
    }

    /// On other systems a folder with an open file keeps its name.
    #[cfg(not(unix))]
    pub(crate) fn is_of(&self, folder: &Path) -> bool {
        folder.exists()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Delete the file while it is still locked, unless another file took its place.
        if self.holds() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Creates and locks a lock file if none exists. The file gets its name together with its content,
/// so it names its owner even if that process is killed.
fn make(path: &Path) -> Result<Option<File>, Error> {
    // A temporary file would only disturb the owner.
    if inside::is_there(path) {
        return Ok(None);
    }
    let mut draft = AtomicFile::new(path)?;
    draft.write(holder().as_bytes())?;
    match draft.finish_new_locked() {
        Ok(file) => return Ok(Some(file)),
        Err(problem) if problem.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(problem) if problem.kind() == ErrorKind::NotFound => return Err(problem),
        // The file system has no hard links.
        Err(_) => {}
    }
    match File::options().read(true).write(true).create_new(true).open(path) {
        Ok(mut file) => {
            // A process that locks it first finds it empty and releases it.
            let _ = file.lock();
            file.write_all(holder().as_bytes()).inspect_err(|_| drop(std::fs::remove_file(path)))?;
            Ok(Some(file))
        }
        Err(problem) if problem.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Returns the content of a lock file.
fn holder() -> String {
    format!("process {}", std::process::id())
}

/// Deletes the temporary name of a lock file, if its creator was killed between the hard link and
/// the cleanup.
fn forget_draft(folder: &Path, lock: &File) {
    let Ok(lock) = lock.metadata() else { return };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_other = entry.file_name().to_str().is_some_and(is_draft)
            && entry.metadata().is_ok_and(|found| found.is_file() && inside::is_same(&found, &lock));
        if is_other {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Returns whether a file has the content of a lock.
pub(crate) fn is_locks(file: &File) -> bool {
    let mut content = String::new();
    let is_read = file.take(100).read_to_string(&mut content).is_ok();
    let digits = content.strip_prefix("process ").unwrap_or_default();
    is_read && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Fails if another process owns the folder, and waits briefly for this process's own lock.
///
/// A released lock stays held while another thread starts a program: the child has all open files
/// until it executes that program.
fn wait_or_refuse(folder: &Path, file: &File, until: Instant) -> Result<(), RunError> {
    match busy(folder, file) {
        RunError::Busy { holder: own, .. } if own == holder() && Instant::now() < until => {
            thread::sleep(Duration::from_millis(1));
            Ok(())
        }
        busy => Err(busy),
    }
}

fn busy(folder: &Path, file: &File) -> RunError {
    let mut holder = String::new();
    // A missing name of the owner is not worth another error.
    let _ = file.take(100).read_to_string(&mut holder);
    let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
    RunError::Busy { folder: folder.to_owned(), holder }
}

/// Returns whether a path still names an open file.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => inside::is_same(&open, &named),
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    /// A child process holds the file like this until it executes its program.
    #[test]
    fn a_released_lock_can_be_taken_once_all_file_handles_are_closed() {
        let place = tempfile::tempdir().unwrap();
        let [folder, away] = ["folder", "away"].map(|name| place.path().join(name));
        std::fs::create_dir(&folder).unwrap();
        let lock = Lock::take(&folder).unwrap();
        let elsewhere = lock.file.try_clone().unwrap();
        std::fs::rename(&folder, &away).unwrap();
        drop(lock);
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            drop(elsewhere);
        });
        let lock = Lock::take(&away).unwrap();
        other.join().unwrap();
        // A lock that is not released cannot be taken.
        assert!(matches!(Lock::take(&away), Err(RunError::Busy { .. })));
        drop(lock);
    }

    /// A leftover lock is overwritten in place, so a kill in between leaves a valid lock file.
    #[test]
    fn a_longer_leftover_lock_is_taken_over_and_truncated() {
        let folder = std::env::temp_dir().join(format!("chainrule-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(LOCK);
        std::fs::write(&path, "process 12345678901234567890").unwrap();
        let lock = Lock::take(&folder).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), holder());
        drop(lock);
        assert!(!path.exists());
        std::fs::remove_dir(&folder).unwrap();
    }
}
