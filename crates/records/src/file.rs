use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

/// Reads a regular file, or a link to one, of up to so many bytes. Anything else might never end, or never begin: opening a pipe waits for who
/// writes to it.
///
/// # Errors
/// Where it is none, or longer, and what the system says.
pub fn read_whole(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    let other = |problem: String| Err(Error::new(ErrorKind::InvalidInput, problem));
    if !std::fs::metadata(path)?.is_file() {
        return other("not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return other(format!("longer than the {most} bytes that such a file may have"));
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
