//! Stands for the writer in a build without the feature `parquet`.

use std::convert::Infallible;
use std::io::{self, ErrorKind, Write};
use std::marker::PhantomData;

use super::{ColumnType, Values};

/// Writes a Parquet file. This build has no writer: [`new`](Self::new) fails.
#[derive(Debug)]
pub struct ParquetWriter<W> {
    never: Infallible,
    sink: PhantomData<W>,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Whether this build can write Parquet.
    pub const IS_THERE: bool = false;

    /// Starts no file.
    ///
    /// # Errors
    /// Always fails: the feature `parquet` is needed.
    pub fn new(_: W, _: &[(String, ColumnType)]) -> io::Result<Self> {
        Err(io::Error::new(ErrorKind::Unsupported, "this build cannot write Parquet"))
    }

    /// Appends rows.
    ///
    /// # Errors
    /// There is no writer to fail.
    pub fn write(&mut self, _: Vec<Values>) -> io::Result<()> {
        match self.never {}
    }

    /// Ends the file and returns the sink.
    ///
    /// # Errors
    /// There is no writer to fail.
    pub fn finish(self) -> io::Result<W> {
        match self.never {}
    }
}
