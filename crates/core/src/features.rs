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

/// The code of a category that has no level in a row.
pub const NO_LEVEL: u32 = u32::MAX;

/// Which features of a table's row are numbers, which are the levels of a category, and which are
/// sparse.
///
/// A category has one level in each row, or none. So a row is stored as its numbers, one code for
/// each category, and its sparse features that are not 0, whatever the number of features.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureLayout {
    /// The number of features, d.
    pub n_features: usize,
    /// The feature of each number.
    pub numbers: Vec<usize>,
    /// The feature of each level, for each category.
    pub categories: Vec<Vec<usize>>,
    /// The features that a row lists only where they are not 0.
    pub sparse: Vec<usize>,
}

impl FeatureLayout {
    /// Returns the layout of rows of d numbers.
    pub fn of_numbers(d: usize) -> Self {
        Self { n_features: d, numbers: (0..d).collect(), ..Self::default() }
    }
}
