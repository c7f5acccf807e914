use csv::ByteRecord;

/// A table as it is read: the first record holds the names of its columns.
pub trait Records {
    /// Reads the next record; gives whether there is one.
    ///
    /// # Errors
    /// Where it cannot be read or is none, with its line.
    fn next(&mut self, record: &mut Record) -> Result<bool, String>;

    /// The line, from 1, that the record begins in, which was read last.
    ///
    /// # Errors
    /// Where it has no end.
    fn line(&self, record: &Record) -> Result<u64, String>;

    /// SHA-256 of the file, decompressed, all of whose records were read.
    fn sha256(self: Box<Self>) -> String;
}

/// The fields of a record.
#[derive(Debug, Default)]
pub struct Record {
    /// One after the other.
    pub(crate) fields: ByteRecord,
    /// Whether there are quotes around one of them: white space in a record with quotes may be a
    /// part of its field.
    pub(crate) has_quotes: bool,
}
