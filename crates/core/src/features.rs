/// A chunk of rows as they are stored, one row after the other.
///
/// Chunks have this type whether the rows are in memory or in a file. To support another storage
/// type (floats, categories, sparse rows), add a variant here and a match arm wherever chunks are
/// used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Features<'a> {
    /// Bytes `[n, d]`, such as pixels.
    Bytes(&'a [u8]),
    /// Numbers `[n, d]`, such as a table's.
    Numbers(&'a [f64]),
}

/// The storage type of features. It determines which [engines](crate::EngineKind) can train on
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureKind {
    /// [`Features::Bytes`]
    Bytes,
    /// [`Features::Numbers`]
    Numbers,
}

impl Features<'_> {
    /// The storage type.
    pub fn kind(self) -> FeatureKind {
        match self {
            Self::Bytes(_) => FeatureKind::Bytes,
            Self::Numbers(_) => FeatureKind::Numbers,
        }
    }
}
