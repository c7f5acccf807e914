//! Files read whole, and files written whole: the one place where this project makes a file.

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::RunError;
use crate::checksum::sha256;

/// Reads a regular file, or a link to one, of up to so many bytes. Anything else might never end,
/// or never begin: opening a pipe waits for who writes to it.
///
/// # Errors
/// Where it is none, or longer, and what the system says.
pub fn read_whole(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    read_open(&File::open(path)?, most)
}

/// The same of a regular file that is open.
pub(crate) fn read_open(file: &File, most: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let problem = format!("longer than the {most} bytes that such a file may have");
        return Err(Error::new(ErrorKind::InvalidInput, problem));
    }
    Ok(bytes)
}

/// The same of text.
///
/// # Errors
/// As [`read_whole`], and where it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String, Error> {
    String::from_utf8(read_whole(path, most)?).map_err(|_| Error::new(ErrorKind::InvalidData, "not UTF-8"))
}

/// Writes a file of a folder that is this program's own, in place of one that is there. It appears
/// whole or not at all, with the umask's mode. A link is replaced, never followed.
///
/// # Errors
/// Where it cannot be written, and where what is there is no regular file; what lay there before
/// still does.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), RunError> {
    let write = || {
        let mut draft = AtomicFile::new(path)?;
        draft.write(content)?;
        draft.finish()
    };
    write().map_err(|problem| RunError::Write { path: path.to_owned(), problem })
}

/// A file that a person named, to be written whole.
///
/// What is there is replaced only where the person said so, and keeps its mode. Where a link is
/// there, the file that it leads to is what is there.
#[derive(Debug)]
pub struct Destination {
    named: PathBuf,
    /// The file itself.
    file: PathBuf,
    /// Of the file that is there.
    permissions: Option<Permissions>,
}

impl Destination {
    /// Looks at what is there, so that all can be refused before work is done.
    ///
    /// # Errors
    /// Where a file is there and `replace` is not set; where it may not be written; and where
    /// something else is there: a folder, a pipe, a device, or a link that leads nowhere.
    pub fn new(path: &Path, replace: bool) -> Result<Self, RunError> {
        let named = path.to_owned();
        let failed = |problem| RunError::Write { path: path.to_owned(), problem };
        let Some(found) = found(path).map_err(failed)? else {
            let folder = folder_of(path);
            std::fs::metadata(folder).map_err(failed)?;
            return Ok(Self { file: named.clone(), named, permissions: None });
        };
        let file = if found.is_symlink() {
            let leads_nowhere = |error: Error| match error.kind() {
                ErrorKind::NotFound => Error::new(ErrorKind::InvalidInput, "it is a link to a file that is not there"),
                _ => error,
            };
            // What is behind /dev/stdout has no path where it is a pipe.
            if let Ok(metadata) = std::fs::metadata(path) {
                is_regular(&metadata).map_err(failed)?;
            }
            path.canonicalize().map_err(|error| failed(leads_nowhere(error)))?
        } else {
            named.clone()
        };
        let metadata = std::fs::metadata(&file).map_err(failed)?;
        is_regular(&metadata).map_err(failed)?;
        if !replace {
            return Err(RunError::Exists(named));
        }
        // A rename would replace a file that may not be written.
        OpenOptions::new().write(true).open(&file).map_err(failed)?;
        Ok(Self { named, file, permissions: Some(metadata.permissions()) })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Where it cannot be written, or someone else made it meanwhile; what lay there before still
    /// does.
    pub fn write(self, content: &[u8]) -> Result<(), RunError> {
        let Self { named, file, permissions } = self;
        let write = || {
            let mut draft = AtomicFile::new(&file)?;
            draft.write(content)?;
            match permissions {
                Some(permissions) => {
                    draft.file.set_permissions(permissions)?;
                    draft.finish()
                }
                None => draft.finish_where_nothing_is(),
            }
        };
        write().map_err(|problem| match problem.kind() {
            ErrorKind::AlreadyExists => RunError::Exists(named),
            _ => RunError::Write { path: named, problem },
        })
    }
}

/// A file on its way: written beside its place, and put there when it is whole. Dropped before, it
/// leaves nothing.
///
/// It is locked while it is written. A lock ends with its process, and so tells what a killed one
/// left, which is cleared away by the next that writes into that folder.
#[derive(Debug)]
pub struct AtomicFile {
    place: PathBuf,
    path: PathBuf,
    file: File,
}

/// Begins the name of a draft. What a killed process left may have any content, or none, so that
/// the name has to prove whose it is: behind the process and a number are digits of their checksum.
const DRAFT: &str = ".chainrule-";

/// The name of a draft.
fn draft_name(process: u32, number: u64) -> String {
    let name = format!("{DRAFT}{process}-{number}");
    let digits = sha256(name.as_bytes());
    format!("{name}-{}", &digits[..16])
}

impl AtomicFile {
    /// Begins a file for `place`.
    ///
    /// # Errors
    /// Where there is something other than a regular file or a link, and where the folder cannot be
    /// written.
    pub fn new(place: &Path) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if let Some(found) = found(place)?.filter(|found| !found.is_symlink()) {
            is_regular(&found)?;
        }
        if place.file_name().is_none() {
            return Err(Error::new(ErrorKind::InvalidInput, "it is a folder"));
        }
        let folder = folder_of(place);
        clear_drafts(folder);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(draft_name(std::process::id(), number));
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => match file.try_lock() {
                    // Another process takes it for one that was left, since it was not locked yet.
                    Err(TryLockError::WouldBlock) => {}
                    Ok(()) if !path.exists() => {}
                    // Where a file system has no locks, what a killed process left stays.
                    Ok(()) | Err(TryLockError::Error(_)) => return Ok(Self { place: place.to_owned(), path, file }),
                },
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes)
    }

    /// Puts the file in its place, and in that of a file that is there.
    ///
    /// # Errors
    /// What the system says; then nothing has changed there.
    pub fn finish(self) -> Result<(), Error> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, &self.place)?;
        self.sync_folder();
        Ok(())
    }

    /// The same, but never in place of another file, even if that appeared a moment ago.
    fn finish_where_nothing_is(self) -> Result<(), Error> {
        self.file.sync_all()?;
        match std::fs::hard_link(&self.path, &self.place) {
            Ok(()) => {
                self.sync_folder();
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
            // A file system without hard links.
            Err(_) if found(&self.place)?.is_none() => self.finish(),
            Err(_) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    /// Gives the file its place where nothing is, and gives it open and locked, as it is.
    pub(crate) fn finish_locked_where_nothing_is(self) -> Result<File, Error> {
        let file = self.file.try_clone()?;
        std::fs::hard_link(&self.path, &self.place)?;
        Ok(file)
    }

    /// So that the name, too, outlasts a power cut, where folders can be synced.
    fn sync_folder(&self) {
        let _ = File::open(folder_of(&self.place)).and_then(|folder| folder.sync_all());
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // Once it is in its place, no file has this name.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Deletes the drafts that killed processes left in a folder. Those of living ones are locked.
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

/// Whether a file of this name is a draft.
pub(crate) fn is_draft(name: &str) -> bool {
    let mut parts = name.strip_prefix(DRAFT).unwrap_or_default().split('-');
    match [parts.next().map(str::parse), parts.next().map(str::parse)] {
        [Some(Ok(process)), Some(Ok(number))] => {
            u32::try_from(process).is_ok_and(|process| draft_name(process, number) == name)
        }
        _ => false,
    }
}

/// What is at a path, without following a link there.
fn found(path: &Path) -> Result<Option<Metadata>, Error> {
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

/// The folder of a file.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_known_by_a_name_that_nobody_else_gives() {
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
