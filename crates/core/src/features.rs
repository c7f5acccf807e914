/// Features of some rows as the data has them, one row after the other.
///
/// Who computes on rows asks for a chunk of them and gets this, wherever they lie. Another storage
/// (floats, categories, sparse rows) is a variant here, and an arm where a chunk is computed with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Features<'a> {
    /// Bytes `[n, d]`, as pixels are.
    Bytes(&'a [u8]),
    /// Numbers `[n, d]`, as a table has.
    Numbers(&'a [f64]),
}

/// What features are stored as: what decides which [engines](crate::EngineKind) can compute with
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureKind {
    /// [`Features::Bytes`]
    Bytes,
    /// [`Features::Numbers`]
    Numbers,
}

impl Features<'_> {
    /// What they are stored as.
    pub fn kind(self) -> FeatureKind {
        match self {
            Self::Bytes(_) => FeatureKind::Bytes,
            Self::Numbers(_) => FeatureKind::Numbers,
        }
    }
}
