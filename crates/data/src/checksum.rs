use std::io;

pub(crate) use chainrule_records::Checksum;

/// Returns the SHA-256 of all `parts`, concatenated, as 64 hexadecimal digits.
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut checksum = Checksum::default();
    parts.into_iter().for_each(|part| checksum.update(part));
    checksum.finish()
}

/// A reader that computes the checksum of the bytes, of which there is a limit.
pub(crate) struct CheckedSource<R> {
    source: R,
    checksum: Checksum,
    remaining: u64,
    max_bytes: u64,
}

impl<R> CheckedSource<R> {
    pub(crate) fn new(source: R, max_bytes: u64) -> Self {
        Self { source, checksum: Checksum::default(), remaining: max_bytes, max_bytes }
    }

    /// Returns the SHA-256 of the bytes read so far.
    pub(crate) fn sha256(self) -> String {
        self.checksum.finish()
    }
}

impl<R: io::Read> io::Read for CheckedSource<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.remaining = self.remaining.checked_sub(count as u64).ok_or_else(|| {
            let max_bytes = self.max_bytes;
            io::Error::other(format!(
                "it has more than the {max_bytes} bytes that data.resident_bytes allows in memory"
            ))
        })?;
        self.checksum.update(&buffer[..count]);
        Ok(count)
    }
}
