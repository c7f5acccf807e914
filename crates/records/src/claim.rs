//! A folder that one process owns at a time. It appears complete, stays locked, and is replaced
//! only if this program wrote everything in it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::checksum::sha256;
use crate::imported::MODELS;
use crate::lock::{LOCK, Lock, is_locks};
use crate::names::{CONFIG, IMPORTED, MANIFEST, MODEL, PENDING_MODEL, PLAN};
#[cfg(feature = "runs")]
use crate::runs::{RUN, SWEEP};
use crate::{RunError, inside};

/// A kind of folder: runs, sweeps or imported models.
///
/// One marker file identifies the kind. It is written atomically. A replacement writes it after the
/// old files are deleted, so an interrupted replacement leaves the old folder or the new one.
pub(crate) struct FolderKind {
    /// The name for messages, such as "a run".
    pub(crate) name: &'static str,
    /// Returns whether a file name belongs to an unfinished write; such files are never read.
    pub(crate) is_leftover: fn(&str) -> bool,
    /// Returns whether the folder has the marker file with a valid seal.
    pub(crate) is_one: fn(&Path) -> bool,
    /// Returns the paths to delete before a replacement, in this order, without the marker file.
    /// Fails with the first file that this program is not proven to have written.
    pub(crate) deletable_paths: fn(&Path) -> Result<Vec<PathBuf>, RunError>,
}

/// The prefix of a folder that is still being created.
pub(crate) const BEGINNING: &str = ".beginning-";

/// A folder that this process owns.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    lock: Mutex<Lock>,
}

/// Writes the first files of a folder, the marker file first.
type Write<'a> = &'a dyn Fn(&Path) -> Result<(), RunError>;

impl Claim {
    /// Creates a folder or fills an empty one. With `replace`, the folder may hold another of the
    /// same kind and nothing else.
    pub(crate) fn create(path: &Path, replace: bool, kind: &FolderKind, write: Write) -> Result<Self, RunError> {
        loop {
            let lock = if path.exists() {
                Some(fill_existing(path, replace, kind, write)?)
            } else {
                create_beside(path, kind, write)?
            };
            if let Some(lock) = lock {
                return Ok(Self { path: path.to_owned(), lock: Mutex::new(lock) });
            }
        }
    }

    /// Creates the first free folder of `runs/NAME-1`, `runs/NAME-2`, ….
    pub(crate) fn create_numbered(runs: &Path, name: &str, kind: &FolderKind, write: Write) -> Result<Self, RunError> {
        let mut number = 1u64;
        loop {
            let path = runs.join(format!("{name}-{number}"));
            if inside::is_there(&path) {
                number += 1;
                continue;
            }
            match create_beside(&path, kind, write) {
                Ok(Some(lock)) => return Ok(Self { path, lock: Mutex::new(lock) }),
                Ok(None) => {}
                // Another process is creating this folder.
                Err(RunError::Busy { .. }) => std::thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Claims an existing folder.
    pub(crate) fn take(path: &Path) -> Result<Self, RunError> {
        Ok(Self { path: path.to_owned(), lock: Mutex::new(Lock::take(path)?) })
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ensures that this process still owns the folder. Creates it again if it was deleted or
    /// renamed.
    pub(crate) fn hold(&self, kind: &FolderKind, write: Write) -> Result<(), RunError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.holds() {
            return Ok(());
        }
        if lock.is_of(&self.path) {
            // Only the lock file was deleted.
            *lock = Lock::take(&self.path)?;
            return Ok(());
        }
        match create_beside(&self.path, kind, write)? {
            Some(new_lock) => *lock = new_lock,
            None => {
                let what = "another folder took its place meanwhile, and nothing is written there";
                return Err(RunError::WrongFolder { path: self.path.clone(), what });
            }
        }
        Ok(())
    }

    /// Moves the folder to a free path.
    pub(crate) fn move_to(self, path: &Path) -> Result<(), RunError> {
        fs::rename(&self.path, path).map_err(|problem| RunError::Write { path: path.to_owned(), problem })?;
        self.lock.into_inner().unwrap_or_else(PoisonError::into_inner).moved_to(path);
        Ok(())
    }
}

/// Fills an existing folder.
fn fill_existing(path: &Path, replace: bool, kind: &FolderKind, write: Write) -> Result<Lock, RunError> {
    if !path.is_dir() {
        return Err(RunError::Write { path: path.to_owned(), problem: ErrorKind::NotADirectory.into() });
    }
    let was_empty = is_empty(path, kind)?;
    if !was_empty {
        Lock::check_free(path)?;
        // Create no lock in a foreign folder. If the folder is of this kind, the rest is checked
        // once under the lock, because that may take long.
        let lock = path.join(LOCK);
        let may_be_locked = !inside::is_there(&lock) || is_lock_or_leftover(path, LOCK, kind);
        if !(replace && may_be_locked && (kind.is_one)(path)) {
            paths_to_delete(path, replace, kind)?;
        }
    }
    let lock = Lock::take(path)?;
    paths_to_delete(path, replace, kind)?.iter().try_for_each(|old| remove(old))?;
    write(path).inspect_err(|_| {
        if was_empty {
            // Delete what was written here.
            let first_files = [CONFIG, MANIFEST, PLAN, IMPORTED, MODEL, PENDING_MODEL];
            first_files.iter().for_each(|name| drop(remove(&path.join(name))));
        }
    })?;
    Ok(lock)
}

/// Returns the paths to delete before a folder is filled.
fn paths_to_delete(path: &Path, replace: bool, kind: &FolderKind) -> Result<Vec<PathBuf>, RunError> {
    if is_empty(path, kind)? {
        let leftovers = entries(path)?.into_iter().filter(|name| name != LOCK);
        return Ok(leftovers.map(|name| path.join(name)).collect());
    }
    if replace { (kind.deletable_paths)(path) } else { Err(RunError::Exists(path.to_owned())) }
}

/// Creates a folder under a temporary name, then renames it. Returns `None` if its final path was
/// taken in the meantime.
fn create_beside(path: &Path, kind: &FolderKind, write: Write) -> Result<Option<Lock>, RunError> {
    let error = |path: &Path, problem| RunError::Write { path: path.to_owned(), problem };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|problem| match problem.kind() {
        // The system reports this for a file in the place of a folder.
        ErrorKind::AlreadyExists => error(path, ErrorKind::NotADirectory.into()),
        _ => error(path, problem),
    })?;
    let beginning = parent.join(beginning_name(path.file_name().unwrap_or_default()));
    match fs::create_dir(&beginning) {
        Err(problem) if problem.kind() != ErrorKind::AlreadyExists => return Err(error(path, problem)),
        _ => {}
    }
    inside::check(&beginning, true).map_err(|problem| error(&beginning, problem))?;
    let mut lock = match Lock::take(&beginning) {
        // Another process just renamed it to its final path.
        Err(RunError::Write { problem, .. }) if problem.kind() == ErrorKind::NotFound => return Ok(None),
        Err(RunError::Busy { holder, .. }) => return Err(RunError::Busy { folder: path.to_owned(), holder }),
        Err(problem) => {
            // For example on a full disk. A folder that is not empty stays.
            let _ = fs::remove_dir(&beginning);
            return Err(problem);
        }
        Ok(lock) => lock,
    };
    leftovers(&beginning, kind)?.iter().try_for_each(|old| remove(old))?;
    let renamed = write(&beginning).and_then(|()| match fs::rename(&beginning, path) {
        Ok(()) => Ok(true),
        Err(_) if path.exists() => Ok(false),
        Err(problem) => Err(error(path, problem)),
    });
    if let Ok(true) = renamed {
        lock.moved_to(path);
        return Ok(Some(lock));
    }
    // Everything in it was written here.
    let _ = fs::remove_dir_all(&beginning);
    renamed.map(|_| None)
}

/// Returns the temporary name of a folder. File systems limit names to 255 bytes, so a long name is
/// replaced by its checksum.
fn beginning_name(name: &OsStr) -> OsString {
    let mut beginning = OsString::from(BEGINNING);
    let bytes = name.as_encoded_bytes();
    if bytes.len() <= 200 {
        beginning.push(name);
    } else {
        beginning.push(sha256(bytes));
    }
    beginning
}

/// Returns the remains of a killed process that was creating a folder of any kind. Fails if
/// anything else is in the folder.
fn leftovers(beginning: &Path, kind: &FolderKind) -> Result<Vec<PathBuf>, RunError> {
    let names: Vec<String> = entries(beginning)?.into_iter().filter(|name| name != LOCK).collect();
    let is_unfinished = |kind: &FolderKind, first: &[&str]| {
        let is_first = |name: &String| first.contains(&name.as_str()) || is_lock_or_leftover(beginning, name, kind);
        names.iter().all(is_first) && (kind.deletable_paths)(beginning).is_ok()
    };
    // The first files of each kind.
    let kinds: &[(&FolderKind, &[&str])] = &[
        #[cfg(feature = "runs")]
        (&RUN, &[MANIFEST, CONFIG]),
        #[cfg(feature = "runs")]
        (&SWEEP, &[PLAN]),
        (&MODELS, &[IMPORTED, MODEL]),
    ];
    let is_left = |(kind, first): &(&FolderKind, &[&str])| {
        is_empty(beginning, kind).is_ok_and(|is_empty| is_empty) || is_unfinished(kind, first)
    };
    if kinds.iter().any(is_left) {
        return Ok(names.iter().map(|name| beginning.join(name)).collect());
    }
    Err(RunError::Foreign { path: beginning.to_owned(), kind: kind.name })
}

/// Returns whether a folder is empty, apart from a lock and unfinished writes.
pub(crate) fn is_empty(path: &Path, kind: &FolderKind) -> Result<bool, RunError> {
    let names = entries(path)?;
    Ok(names.iter().all(|name| is_lock_or_leftover(path, name, kind)))
}

/// Returns whether an entry is a lock or an unfinished write.
pub(crate) fn is_lock_or_leftover(folder: &Path, name: &str, kind: &FolderKind) -> bool {
    let path = folder.join(name);
    if name != LOCK {
        return (kind.is_leftover)(name) && inside::check(&path, false).is_ok();
    }
    inside::open(&path, |path| fs::File::open(path)).is_ok_and(|file| is_locks(&file))
}

/// Returns the names in a folder, sorted. Invalid UTF-8 is replaced.
pub(crate) fn entries(folder: &Path) -> Result<Vec<String>, RunError> {
    let error =
        |problem: std::io::Error| RunError::Incomplete { path: folder.to_owned(), problem: problem.to_string() };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(error)? {
        names.push(entry.map_err(error)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Deletes a file or an empty folder, if it exists.
pub(crate) fn remove(path: &Path) -> Result<(), RunError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let result = if is_folder { fs::remove_dir(path) } else { fs::remove_file(path) };
    match result {
        Err(problem) if problem.kind() != ErrorKind::NotFound => {
            Err(RunError::Write { path: path.to_owned(), problem })
        }
        _ => Ok(()),
    }
}
