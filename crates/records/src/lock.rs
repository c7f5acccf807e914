use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::file::{AtomicFile, is_draft};
use crate::{RunError, inside};

/// The one process that writes into a folder. The system lets go of it when that process ends,
/// however it ends.
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

/// How long a lock that this very process has is waited for: many times what starting a program
/// takes.
const OWN_LOCK: Duration = Duration::from_millis(100);

impl Lock {
    /// Takes a folder that is there. Nothing of a file that has the lock's name is changed, unless
    /// a lock wrote it.
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
                // Its holder removed it, and the folder is still there.
                Err(problem) if problem.kind() == ErrorKind::NotFound && folder.is_dir() => continue,
                other => other.map_err(error)?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    wait_or_refuse(folder, &file, patience)?;
                    continue;
                }
                // A file system without locks, as some networks' are: better a run than none.
                Err(TryLockError::Error(problem)) if problem.kind() == ErrorKind::Unsupported => {}
                Err(TryLockError::Error(problem)) => return Err(error(problem)),
            }
            // Who held it before may have removed the file between our opening and locking it.
            if !is_at(&file, &path) {
                continue;
            }
            forget_draft(folder, &file);
            if !is_locks(&file) || !inside::has_one_name(&file).map_err(error)? {
                let problem =
                    "it has another name elsewhere (a hard link), or this program did not write it; delete it";
                return Err(error(Error::new(ErrorKind::InvalidInput, problem)));
            }
            // It says so of another process until this is written, and is cut to its length
            // afterwards: killed in between, it is still a lock's. On a full disk it is none.
            let holder = holder();
            let said = file.rewind().and_then(|()| file.write_all(holder.as_bytes()));
            let said = said.and_then(|()| file.set_len(holder.len() as u64));
            said.inspect_err(|_| drop(std::fs::remove_file(&path))).map_err(error)?;
            return held(file);
        }
    }

    /// Refuses a folder that another process has, without writing there.
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

/// Makes a lock's file, locked, where nothing has its name. It gets that name with its content, so
/// that whenever its maker is killed, it says whose it is.
fn make(path: &Path) -> Result<Option<File>, Error> {
    // A draft would only be in the way of whoever holds it.
    if inside::is_there(path) {
        return Ok(None);
    }
    let mut draft = AtomicFile::new(path)?;
    draft.write(holder().as_bytes())?;
    match draft.finish_locked_where_nothing_is() {
        Ok(file) => return Ok(Some(file)),
        Err(problem) if problem.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(problem) if problem.kind() == ErrorKind::NotFound => return Err(problem),
        // A file system without hard links.
        Err(_) => {}
    }
    match File::options().read(true).write(true).create_new(true).open(path) {
        Ok(mut file) => {
            // Whoever is faster finds nothing in it, and lets go of it again.
            let _ = file.lock();
            file.write_all(holder().as_bytes()).inspect_err(|_| drop(std::fs::remove_file(path)))?;
            Ok(Some(file))
        }
        Err(problem) if problem.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// What a lock's file says.
fn holder() -> String {
    format!("process {}", std::process::id())
}

/// Takes away the other name that a lock has whose maker was killed as it got its own.
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

/// Whether a file has a lock's content.
pub(crate) fn is_locks(file: &File) -> bool {
    let mut content = String::new();
    let is_read = file.take(100).read_to_string(&mut content).is_ok();
    let digits = content.strip_prefix("process ").unwrap_or_default();
    is_read && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Refuses a folder that another process has. A lock of this process that was let go of is held a
/// moment longer where another thread is starting a program, which has all open files until it is
/// that program: that moment is waited for.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    /// As a program that another thread starts has it until it is that program.
    #[test]
    fn a_lock_that_this_process_has_let_go_of_is_had_as_soon_as_nobody_else_has_its_file() {
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
        // One that is not let go of is not had.
        assert!(matches!(Lock::take(&away), Err(RunError::Busy { .. })));
        drop(lock);
    }

    /// A lock that was left is taken over by writing over it, so that a kill in between leaves one,
    /// too.
    #[test]
    fn a_longer_lock_that_was_left_is_taken_over_and_cut_to_its_length() {
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
