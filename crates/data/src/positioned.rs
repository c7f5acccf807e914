//! Reads at an offset of a file without moving its cursor, so several threads can share a file.

use std::fs::File;
use std::io;

/// Fills `bytes` from `offset` on.
///
/// # Errors
/// `UnexpectedEof` if the file ends before that, else the system's error.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Fills `bytes` from `offset` on.
///
/// # Errors
/// `UnexpectedEof` if the file ends before that, else the system's error.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;

    while !bytes.is_empty() {
        match file.seek_read(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
            Err(problem) if problem.kind() == io::ErrorKind::Interrupted => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(())
}

/// Fills `bytes` from `offset` on. Moves the cursor, which is safe here: platforms that compile
/// this, such as WebAssembly, have no second thread.
///
/// # Errors
/// `UnexpectedEof` if the file ends before that, else the system's error.
#[cfg(not(any(unix, windows)))]
pub(crate) fn read_exact_at(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};

    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}
