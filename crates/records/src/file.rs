//! Reads whole files and writes files atomically. The project writes all files here, except a lock
//! file on a file system without hard links.

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::RunError;
use crate::checksum::sha256;
use crate::names::is_part_of_its_folder;

/// Reads a regular file, or a link to one, of at most `most` bytes. Other files could block:
/// opening a pipe waits for a writer.
///
/// # Errors
/// Fails if the file is not regular or is too long, or if the system cannot read it.
pub fn read_whole(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    read_open(&File::open(path)?, most)
}

/// Like [`read_whole`], for an open regular file.
pub(crate) fn read_open(file: &File, most: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let problem = format!("longer than the {most} bytes that such a file may have");
        return Err(Error::new(ErrorKind::InvalidInput, problem));
    }
    Ok(bytes)
}

/// Reads a text file.
///
/// # Errors
/// As [`read_whole`]. Also fails if the text is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String, Error> {
    String::from_utf8(read_whole(path, most)?).map_err(|_| Error::new(ErrorKind::InvalidData, "not UTF-8"))
}

/// Writes a file in a folder of this program, and replaces an existing one. The write is atomic;
/// the mode is the umask's. A link is replaced, not followed.
///
/// # Errors
/// Fails if the file cannot be written, or if something other than a regular file is there. The old
/// content stays in that case.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), RunError> {
    let write = || {
        let mut draft = AtomicFile::new(path)?;
        draft.write(content)?;
        draft.finish()
    };
    write().map_err(|problem| RunError::Write { path: path.to_owned(), problem })
}

/// A file that the user named, for an atomic write.
///
/// An existing file is replaced only if the user allows it, and its mode is kept. A link is
/// followed to its file.
#[derive(Debug)]
pub struct Destination {
    named: PathBuf,
    /// The file behind the link, or the file itself.
    file: PathBuf,
    /// The permissions of the existing file.
    permissions: Option<Permissions>,
}

impl Destination {
    /// Checks the path, so that errors appear before any work is done.
    ///
    /// # Errors
    /// Fails if a file exists and `replace` is not set, if the file is not writable, or if
    /// something else is there: a folder, a pipe, a device, or a link to a missing file.
    pub fn new(path: &Path, replace: bool) -> Result<Self, RunError> {
        let named = path.to_owned();
        let failed = |problem| RunError::Write { path: path.to_owned(), problem };
        let Some(metadata) = metadata(path).map_err(failed)? else {
            let folder = folder_of(path);
            std::fs::metadata(folder).map_err(failed)?;
            return Ok(Self { file: named.clone(), named, permissions: None });
        };
        let file = if metadata.is_symlink() {
            let leads_nowhere = |error: Error| match error.kind() {
                ErrorKind::NotFound => Error::new(ErrorKind::InvalidInput, "it is a link to a file that is not there"),
                _ => error,
            };
            // A pipe behind /dev/stdout has no path.
            if let Ok(metadata) = std::fs::metadata(path) {
                is_regular(&metadata).map_err(failed)?;
            }
            path.canonicalize().map_err(|error| failed(leads_nowhere(error)))?
        } else {
            named.clone()
        };
        let metadata = std::fs::metadata(&file).map_err(failed)?;
        is_regular(&metadata).map_err(failed)?;
        if is_part_of_its_folder(&file) {
            let problem = "it belongs to the run or the model in its folder; name another file";
            return Err(failed(Error::new(ErrorKind::InvalidInput, problem)));
        }
        if !replace {
            return Err(RunError::Exists(named));
        }
        // A rename would also replace a read-only file.
        OpenOptions::new().write(true).open(&file).map_err(failed)?;
        Ok(Self { named, file, permissions: Some(metadata.permissions()) })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Fails if the file cannot be written, or if another process created it in the meantime. The
    /// old content stays in that case.
    pub fn write(self, content: &[u8]) -> Result<(), RunError> {
        let mut draft = self.start()?;
        match draft.write_all(content) {
            Ok(()) => draft.finish(),
            Err(problem) => Err(draft.failed(problem)),
        }
    }

    /// Starts to write the file part by part.
    ///
    /// # Errors
    /// Fails if the folder is not writable.
    pub fn start(self) -> Result<Draft, RunError> {
        let Self { named, file, permissions } = self;
        match AtomicFile::new(&file) {
            Ok(file) => Ok(Draft { named, file, permissions }),
            Err(problem) => Err(RunError::Write { path: named, problem }),
        }
    }
}

/// The parts of a [`Destination`] that were written so far, under a temporary name. Without
/// [`finish`](Self::finish) they are deleted.
#[derive(Debug)]
pub struct Draft {
    named: PathBuf,
    file: AtomicFile,
    permissions: Option<Permissions>,
}

impl Draft {
    /// Gives the complete file its name.
    ///
    /// # Errors
    /// Fails if the file cannot be written, or if another process created it in the meantime. The
    /// old content stays in that case.
    pub fn finish(self) -> Result<(), RunError> {
        let Self { named, file, permissions } = self;
        let finished = match permissions {
            Some(permissions) => file.file.set_permissions(permissions).and_then(|()| file.finish()),
            None => file.finish_new(),
        };
        finished.map_err(|problem| match problem.kind() {
            ErrorKind::AlreadyExists => RunError::Exists(named),
            _ => RunError::Write { path: named, problem },
        })
    }

    /// Returns the error of a failed write, with the name of the file.
    pub fn failed(&self, problem: Error) -> RunError {
        RunError::Write { path: self.named.clone(), problem }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.file.file.write(bytes)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file.file.flush()
    }
}

/// A file that is written under a temporary name and renamed when it is complete. Dropping it
/// before that deletes it.
///
/// The temporary file is locked while it is written. The lock ends with its process, so an unlocked
/// temporary file belongs to a killed process. The next write into that folder deletes it.
#[derive(Debug)]
pub struct AtomicFile {
    place: PathBuf,
    path: PathBuf,
    file: File,
}

/// The prefix of a temporary file. Its content may be anything, so the name identifies it: the
/// prefix, the process, a number, and digits of their checksum.
const DRAFT: &str = ".chainrule-";

/// Returns the name of a temporary file.
fn draft_name(process: u32, number: u64) -> String {
    let name = format!("{DRAFT}{process}-{number}");
    let digits = sha256(name.as_bytes());
    format!("{name}-{}", &digits[..16])
}

impl AtomicFile {
    /// Starts writing a file for `place`.
    ///
    /// # Errors
    /// Fails if something other than a regular file or a link is there, or if the folder is not
    /// writable.
    pub fn new(place: &Path) -> Result<Self, Error> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        if let Some(metadata) = metadata(place)?.filter(|metadata| !metadata.is_symlink()) {
            is_regular(&metadata)?;
        }
        if place.file_name().is_none() {
            return Err(Error::new(ErrorKind::InvalidInput, "it is a folder"));
        }
        let folder = folder_of(place);
        clear_drafts(folder);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(draft_name(std::process::id(), number));
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => match file.try_lock() {
                    // Another process is deleting it as a leftover, because it was not locked yet.
                    Err(TryLockError::WouldBlock) => {}
                    Ok(()) if !path.exists() => {}
                    // On a file system without locks, the leftovers of killed processes stay.
                    Ok(()) | Err(TryLockError::Error(_)) => return Ok(Self { place: place.to_owned(), path, file }),
                },
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes)
    }

    /// Moves the file to its place and replaces an existing file.
    ///
    /// # Errors
    /// Returns the system's error. Nothing is changed at the place in that case.
    pub fn finish(self) -> Result<(), Error> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, &self.place)?;
        self.sync_folder();
        Ok(())
    }

    /// Like `finish`, but never replaces a file, even one that appeared a moment ago.
    fn finish_new(self) -> Result<(), Error> {
        self.file.sync_all()?;
        match std::fs::hard_link(&self.path, &self.place) {
            Ok(()) => {
                self.sync_folder();
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            // The file system has no hard links.
            Err(_) if metadata(&self.place)?.is_none() => self.finish(),
            Err(_) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    /// Links the file to its free place and returns it open and locked.
    pub(crate) fn finish_new_locked(self) -> Result<File, Error> {
        let file = self.file.try_clone()?;
        std::fs::hard_link(&self.path, &self.place)?;
        Ok(file)
    }

    /// Syncs the folder, if the system can, so that the name survives a power failure.
    fn sync_folder(&self) {
        let _ = File::open(folder_of(&self.place)).and_then(|folder| folder.sync_all());
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After the rename, no file has this name.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Deletes the temporary files of killed processes in a folder. Those of running processes are
/// locked.
pub(crate) fn clear_drafts(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_draft)
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = OpenOptions::new().write(true).open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Deletes the temporary files of this process for a file, before it ends without
/// [`Draft::finish`].
pub fn discard_drafts(place: &Path) {
    for entry in std::fs::read_dir(folder_of(place)).into_iter().flatten().flatten() {
        if entry.file_name().to_str().and_then(process_of_draft) == Some(std::process::id()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Returns whether a file name belongs to a temporary file.
pub(crate) fn is_draft(name: &str) -> bool {
    process_of_draft(name).is_some()
}

/// Returns the process of a temporary file with this name.
fn process_of_draft(name: &str) -> Option<u32> {
    let mut parts = name.strip_prefix(DRAFT)?.split('-');
    let (process, number) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (draft_name(process, number) == name).then_some(process)
}

/// Returns the metadata of a path, without following a link.
fn metadata(path: &Path) -> Result<Option<Metadata>, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_regular(metadata: &Metadata) -> Result<(), Error> {
    let problem = match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => return Ok(()),
        (_, true) => "it is a folder",
        _ => {
            "it is no regular file but a pipe, a terminal or a device; name a file, which is written whole or not at all"
        }
    };
    Err(Error::new(ErrorKind::InvalidInput, problem))
}

/// Returns the folder of a file.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_has_a_recognisable_name() {
        let name = draft_name(4711, 12);
        assert!(is_draft(&name) && name.len() < 64, "{name}");
        let digits = &name[name.len() - 16..];
        for other in [
            ".chainrule-4711-12",
            ".chainrule-1-1",
            ".chainrule-4711-12-0123456789abcdef",
            &format!(".chainrule-4711-13-{digits}"),
            &format!(".chainrule-04711-12-{digits}"),
            &format!(".chainrule-4711-12-{digits}-1"),
            &format!("chainrule-4711-12-{digits}"),
            ".chainrule-",
            "",
        ] {
            assert!(!is_draft(other), "{other}");
        }
    }
}
