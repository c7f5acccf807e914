//! Access to files in this program's folders. The folder itself may be reached through a link.
//! Inside it no link is followed, so no path leaves the folder.

use std::fs::{File, Metadata, symlink_metadata};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use crate::file::read_open;

fn refused<T>(problem: &str) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidInput, problem))
}

/// Returns whether the path exists, even as a broken link.
pub(crate) fn is_there(path: &Path) -> bool {
    symlink_metadata(path).is_ok()
}

/// Fails if the path is not a regular file or, with `folder`, not a folder. Returns whether it
/// exists.
pub(crate) fn check(path: &Path, folder: bool) -> Result<bool> {
    match symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(found) if found.is_symlink() => refused("a symbolic link; put in its place what it leads to"),
        Ok(found) if found.is_dir() != folder => refused(if folder { "not a folder" } else { "not a regular file" }),
        Ok(found) if !folder && !found.is_file() => refused("not a regular file"),
        Ok(_) => Ok(true),
    }
}

/// Opens an existing regular file.
pub(crate) fn open(path: &Path, open: impl Fn(&Path) -> Result<File>) -> Result<File> {
    loop {
        let named = symlink_metadata(path)?;
        check(path, false)?;
        let file = open(path)?;
        // Otherwise another file or a link replaced it in the meantime.
        if is_same(&file.metadata()?, &named) {
            return Ok(file);
        }
    }
}

/// Reads a regular file of at most `most` bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    read_open(&open(path, |path| File::open(path))?, most)
}

/// Returns whether both describe the same file.
#[cfg(unix)]
pub(crate) fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// On other systems an open file keeps its name.
#[cfg(not(unix))]
pub(crate) fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Returns whether the file has no second hard link.
#[cfg(unix)]
pub(crate) fn has_one_name(file: &File) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.nlink() <= 1)
}

/// Other systems do not report hard links.
#[cfg(not(unix))]
pub(crate) fn has_one_name(_: &File) -> Result<bool> {
    Ok(true)
}
