//! Writes a table as a Parquet file.

#[cfg(not(feature = "parquet"))]
mod absent;
#[cfg(feature = "parquet")]
mod arrow;

#[cfg(not(feature = "parquet"))]
pub use absent::ParquetWriter;
#[cfg(feature = "parquet")]
pub use arrow::ParquetWriter;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Whole numbers of 64 bits.
    Whole,
    /// Numbers in f64.
    Number,
    /// Texts.
    Text,
}

/// The values of a column in consecutive rows, of which any may be missing.
#[derive(Clone, Debug)]
pub enum Values {
    /// Whole numbers.
    Whole(Vec<Option<i64>>),
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Texts.
    Texts(Vec<Option<String>>),
}
