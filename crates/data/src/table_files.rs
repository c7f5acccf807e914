//! The files that a path of tables names: one, several that share a header, standard input, or a
//! table drawn by code.

use std::env::split_paths;
use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::points::PointSet;
use crate::readers::Input;
use crate::{DataError, idx};

/// The path that stands for standard input.
pub(crate) const STANDARD_INPUT: &str = "-";

/// The most bytes that are read from standard input.
const MAX_STANDARD_INPUT: u64 = 1 << 34;

/// Returns whether a path names tables that are no file of that name: a pattern or a list of files,
/// standard input, or a table drawn by code.
pub(crate) fn are_special(path: &Path) -> bool {
    let is_one = |path: &PathBuf| path.is_file() || is_pattern(path);
    is_reserved(path) || (!path.exists() && split_paths(path).any(|part| is_one(&part)))
}

/// Returns whether a name means something else than a file, even if there is a file of that name.
fn is_reserved(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT) || PointSet::named(path).is_some()
}

fn is_pattern(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.contains(['*', '?', '[']))
}

/// Returns the files that a path names: the file itself; or, if there is no such file, those of a
/// list like that of `PATH`, of which each part may be a pattern (`part-*.csv`).
///
/// # Errors
/// Fails if a part names no file.
pub(crate) fn table_files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if is_reserved(path) || path.exists() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for part in split_paths(path) {
        let wrong = |problem: String| DataError::Table { path: part.clone(), problem };
        if part.is_file() || !is_pattern(&part) {
            // The error of a missing file comes when it is opened.
            files.push(part);
            continue;
        }
        let pattern = part.to_string_lossy();
        let found = glob::glob(&pattern).map_err(|error| wrong(format!("not a pattern: {error}")))?;
        let before = files.len();
        files.extend(found.flatten().filter(|path| path.is_file()));
        if files.len() == before {
            return Err(wrong("no file matches this pattern".to_owned()));
        }
    }
    Ok(files)
}

/// Opens a file of a table, a copy of standard input, or a table drawn by code. `max_bytes` limits
/// what is held of an archive.
pub(crate) fn open(path: &Path, max_bytes: u64) -> Result<Input<'static>, DataError> {
    if let Some(points) = PointSet::named(path) {
        return Ok(Input::within(Cursor::new(points.csv()), max_bytes));
    }
    let file = if path == Path::new(STANDARD_INPUT) { standard_input()? } else { idx::open(path)? };
    Ok(Input::of_file(file, max_bytes))
}

fn standard_input() -> Result<File, DataError> {
    // A command may read its data more than once, but standard input comes only once.
    static COPY: OnceLock<Result<File, String>> = OnceLock::new();
    let problem = |problem: io::Error| DataError::Read { path: "standard input".into(), problem };
    let copy = COPY.get_or_init(|| copy_of_standard_input().map_err(|error| error.to_string()));
    let copy = copy.as_ref().map_err(|error| problem(io::Error::other(error.clone())))?;
    let mut file = copy.try_clone().map_err(problem)?;
    file.rewind().map_err(problem)?;
    Ok(file)
}

/// Copies standard input to a temporary file without a name, which the system deletes.
fn copy_of_standard_input() -> io::Result<File> {
    let input = io::stdin();
    if input.is_terminal() {
        return Err(io::Error::other("it is a terminal; pipe a table into it, as in: cat table.csv | …"));
    }
    let folder = crate::scratch_folder();
    let of_copy = |problem: io::Error| {
        io::Error::other(format!(
            "it is copied to a file of {}: {problem}; name a folder on a disk with space in the environment variable TMPDIR",
            folder.display()
        ))
    };
    let mut file = tempfile::tempfile_in(&folder).map_err(of_copy)?;
    let count = io::copy(&mut input.lock().take(MAX_STANDARD_INPUT + 1), &mut file).map_err(|problem| match problem
        .kind()
    {
        io::ErrorKind::StorageFull => of_copy(problem),
        _ => problem,
    })?;
    if count > MAX_STANDARD_INPUT {
        return Err(io::Error::other(format!("it has more than {MAX_STANDARD_INPUT} bytes; save it to files")));
    }
    Ok(file)
}
