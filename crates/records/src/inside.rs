//! Files in a folder of this program's. The folder may have been reached through a link; from there
//! on none is followed, so that no path leaves it.

use std::fs::{File, Metadata, symlink_metadata};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use crate::file::read_open;

fn refused<T>(problem: &str) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidInput, problem))
}

/// Whether something has this name, be it a link to nowhere.
pub(crate) fn is_there(path: &Path) -> bool {
    symlink_metadata(path).is_ok()
}

/// Refuses what is there and is no regular file, or with `folder` no folder; gives whether it is
/// there.
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

/// Opens a regular file that is there.
pub(crate) fn open(path: &Path, open: impl Fn(&Path) -> Result<File>) -> Result<File> {
    loop {
        let named = symlink_metadata(path)?;
        check(path, false)?;
        let file = open(path)?;
        // Else it was replaced meanwhile, by another file or by a link.
        if is_same(&file.metadata()?, &named) {
            return Ok(file);
        }
    }
}

/// Reads a regular file of up to so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    read_open(&open(path, |path| File::open(path))?, most)
}

/// Whether both tell of one file.
#[cfg(unix)]
pub(crate) fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
pub(crate) fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Whether a file has no other name.
#[cfg(unix)]
pub(crate) fn has_one_name(file: &File) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.nlink() <= 1)
}

/// Elsewhere nobody tells.
#[cfg(not(unix))]
pub(crate) fn has_one_name(_: &File) -> Result<bool> {
    Ok(true)
}
