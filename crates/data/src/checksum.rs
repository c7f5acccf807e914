use std::io;

pub(crate) use chainrule_records::Checksum;

/// Returns the SHA-256 of all `parts`, concatenated, as 64 hexadecimal digits.
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut checksum = Checksum::default();
    parts.into_iter().for_each(|part| checksum.update(part));
    checksum.finish()
}

/// The checksum of a file's bytes, of which there is a limit.
pub(crate) struct CheckedBytes {
    checksum: Checksum,
    remaining: u64,
    max_bytes: u64,
}

impl CheckedBytes {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { checksum: Checksum::default(), remaining: max_bytes, max_bytes }
    }

    /// Adds the bytes that follow.
    ///
    /// # Errors
    /// Fails if there are too many.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.remaining = self.remaining.checked_sub(bytes.len() as u64).ok_or_else(|| {
            let max_bytes = self.max_bytes;
            io::Error::other(format!(
                "it has more than the {max_bytes} bytes that data.resident_bytes allows in memory"
            ))
        })?;
        self.checksum.update(bytes);
        Ok(())
    }

    /// Returns the SHA-256 of all bytes.
    pub(crate) fn sha256(self) -> String {
        self.checksum.finish()
    }
}

/// A reader whose bytes are checked as they are read.
#[cfg(feature = "parquet")]
pub(crate) struct CheckedSource<R> {
    source: R,
    checked: CheckedBytes,
}

#[cfg(feature = "parquet")]
impl<R: io::Read> CheckedSource<R> {
    pub(crate) fn new(source: R, max_bytes: u64) -> Self {
        Self { source, checked: CheckedBytes::new(max_bytes) }
    }

    /// Returns the SHA-256 of the bytes read so far.
    pub(crate) fn sha256(self) -> String {
        self.checked.sha256()
    }
}

#[cfg(feature = "parquet")]
impl<R: io::Read> io::Read for CheckedSource<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.checked.add(&buffer[..count])?;
        Ok(count)
    }
}
