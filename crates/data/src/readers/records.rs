use csv::ByteRecord;

/// The records of a table. The first record has the column names.
pub trait Records {
    /// Reads the next record. Returns false at the end.
    ///
    /// # Errors
    /// Fails if the record cannot be read or is invalid; the error gives its line.
    fn next(&mut self, record: &mut Record) -> Result<bool, String>;

    /// Returns the first line, from 1, of the record that was read last.
    ///
    /// # Errors
    /// Fails if a quote in the record is not closed.
    fn line(&self, record: &Record) -> Result<u64, String>;

    /// Returns the SHA-256 of the file, decompressed. Call it after the last record.
    fn sha256(self: Box<Self>) -> String;
}

/// A record.
#[derive(Debug, Default)]
pub struct Record {
    /// The fields.
    pub(crate) fields: ByteRecord,
    /// Whether the record has quotes. White space in a record with quotes may belong to a field.
    pub(crate) has_quotes: bool,
}
