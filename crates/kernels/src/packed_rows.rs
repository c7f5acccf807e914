//! Labelled rows in the layout that the kernels read.

use chainrule_core::Features;

use crate::bytes::rows::ByteRows;
use crate::table::rows::{TableBuilder, TableRows};

/// Labelled rows: bytes, such as images, or rows of a table.
#[derive(Clone, Debug)]
pub struct PackedRows {
    pub(crate) targets: Targets,
    pub(crate) store: Store,
}

/// The rows, in the layout of their kernel.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    Bytes(ByteRows),
    Table(Box<TableRows>),
}

/// The targets of the rows, and the weights of their losses.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    values: TargetValues,
    /// The weight of each row. Without weights, it is 1.
    weights: Option<Vec<f64>>,
}

#[derive(Clone, Debug)]
enum TargetValues {
    /// The class of each row, and the highest class plus one.
    Classes(Vec<u32>, usize),
    Numbers(Vec<f64>),
}

impl Targets {
    pub(crate) fn of_classes(labels: Vec<u32>) -> Self {
        let n_labels = labels.iter().max().map_or(0, |&label| label as usize + 1);
        Self { values: TargetValues::Classes(labels, n_labels), weights: None }
    }

    fn len(&self) -> usize {
        match &self.values {
            TargetValues::Classes(labels, _) => labels.len(),
            TargetValues::Numbers(targets) => targets.len(),
        }
    }

    /// Returns the class of each row. It is empty if the targets are numbers.
    pub(crate) fn labels(&self) -> &[u32] {
        match &self.values {
            TargetValues::Classes(labels, _) => labels,
            TargetValues::Numbers(_) => &[],
        }
    }

    /// Returns the target of a row: its number, or its class as a number.
    pub(crate) fn target(&self, row: usize) -> f64 {
        match &self.values {
            TargetValues::Classes(labels, _) => labels[row].into(),
            TargetValues::Numbers(targets) => targets[row],
        }
    }

    /// Returns the weight of each row, if the rows have weights.
    pub(crate) fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }
}

impl PackedRows {
    /// Packs `bytes`, with one row per label. A feature is `scale * byte + offset`. `size` is the
    /// height and width of the images in pixels; it is `[1, d]` for rows that are not images.
    ///
    /// # Panics
    /// If there are no features, or if `bytes` does not have one byte for each label and feature.
    pub fn new(bytes: &[u8], size: [usize; 2], labels: Vec<u32>, scale: f64, offset: f64) -> Self {
        let rows = ByteRows::pack(bytes, size, labels.len(), scale, offset);
        Self { targets: Targets::of_classes(labels), store: Store::Bytes(rows) }
    }

    /// Packs a chunk of rows of bytes. Returns `None` if the features are not bytes: see
    /// [`PackedRows::of_table`].
    ///
    /// # Panics
    /// As [`PackedRows::new`].
    pub fn from_features(
        features: Features<'_>,
        size: [usize; 2],
        labels: Vec<u32>,
        scale: f64,
        offset: f64,
    ) -> Option<Self> {
        match features {
            Features::Bytes(bytes) => Some(Self::new(bytes, size, labels, scale, offset)),
            Features::Numbers(_) => None,
        }
    }

    /// Packs rows of bytes whose targets are numbers instead of classes.
    ///
    /// # Panics
    /// As [`PackedRows::new`].
    pub fn with_numeric_targets(bytes: &[u8], size: [usize; 2], targets: Vec<f64>, scale: f64, offset: f64) -> Self {
        let rows = ByteRows::pack(bytes, size, targets.len(), scale, offset);
        let targets = Targets { values: TargetValues::Numbers(targets), weights: None };
        Self { targets, store: Store::Bytes(rows) }
    }

    /// Packs the rows of a table. Each label is a class.
    ///
    /// # Panics
    /// If the numbers of rows and labels differ.
    pub fn of_table(table: TableBuilder, labels: Vec<u32>) -> Self {
        let rows = Box::new(table.finish());
        assert_eq!(rows.len(), labels.len(), "rows and labels of a table");
        Self { targets: Targets::of_classes(labels), store: Store::Table(rows) }
    }

    /// Sets the weight of each row. It multiplies the row's loss, its gradient and its part of the
    /// Hessian, besides the weight of its class. Means are over the number of rows.
    ///
    /// # Panics
    /// If there is not one weight for each row, or if a weight is negative or not finite.
    #[must_use]
    pub fn with_weights(mut self, weights: Vec<f64>) -> Self {
        assert_eq!(weights.len(), self.len(), "weights and rows");
        assert!(weights.iter().all(|&weight| weight >= 0.0 && weight.is_finite()), "weights of 0 or more");
        self.targets.weights = Some(weights);
        self
    }

    /// Returns the weight of each row, if the rows have weights.
    pub fn weights(&self) -> Option<&[f64]> {
        self.targets.weights()
    }

    /// Number of rows, n.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of features, d.
    pub fn n_features(&self) -> usize {
        match &self.store {
            Store::Bytes(rows) => rows.layout.n_features(),
            Store::Table(rows) => rows.layout().n_features,
        }
    }

    /// Returns the class of each row. It is empty if the targets are numbers.
    pub fn labels(&self) -> &[u32] {
        self.targets.labels()
    }

    /// Returns the highest label plus one, or `None` if the targets are numbers.
    pub(crate) fn n_labels(&self) -> Option<usize> {
        match &self.targets.values {
            TargetValues::Classes(_, n_labels) => Some(*n_labels),
            TargetValues::Numbers(_) => None,
        }
    }

    /// Returns the feature of the most frequent level of each category that has a level in every
    /// row. The features of such a category sum to a constant.
    pub fn reference_levels(&self) -> Vec<usize> {
        match &self.store {
            Store::Bytes(_) => Vec::new(),
            Store::Table(rows) => rows.reference_levels(),
        }
    }

    /// Returns the fraction of the blocks of bytes that are stored, because they are not all 0, or
    /// `None` for a table.
    pub fn stored_fraction(&self) -> Option<f64> {
        match &self.store {
            Store::Bytes(rows) => Some(rows.stored_fraction()),
            Store::Table(_) => None,
        }
    }
}
