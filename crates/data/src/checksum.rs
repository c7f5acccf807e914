pub(crate) use chainrule_records::Checksum;

/// Returns the SHA-256 of all `parts`, concatenated, as 64 hexadecimal digits.
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut checksum = Checksum::default();
    parts.into_iter().for_each(|part| checksum.update(part));
    checksum.finish()
}
