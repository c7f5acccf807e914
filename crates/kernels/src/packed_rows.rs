//! Labelled rows in the layout that the kernels read.

use chainrule_core::Features;

use crate::isa;
use crate::patches::{BLOCK, Patches};

/// Labelled rows of bytes. A feature is `scale * byte + offset`.
///
/// The bytes are stored in blocks of sixteen. Blocks that are all 0 are omitted.
#[derive(Clone, Debug)]
pub struct PackedRows {
    pub(crate) patches: Patches,
    targets: Targets,
    pub(crate) scale: f64,
    pub(crate) offset: f64,
    /// The blocks of row i are `starts[i]..starts[i + 1]`.
    starts: Vec<usize>,
    /// The position of each block in its row.
    places: Vec<u32>,
    blocks: Vec<[u8; BLOCK]>,
}

/// The targets of the rows.
#[derive(Clone, Debug)]
enum Targets {
    /// Classes, and the highest class plus one.
    Classes(Vec<u32>, usize),
    Numbers(Vec<f64>),
}

impl Targets {
    fn len(&self) -> usize {
        match self {
            Self::Classes(labels, _) => labels.len(),
            Self::Numbers(targets) => targets.len(),
        }
    }
}

impl PackedRows {
    /// Packs `bytes`, with one row per label. `size` is the height and width of the images in
    /// pixels; it is `[1, d]` for rows that are not images.
    ///
    /// # Panics
    /// If there is no feature, or if the bytes do not make one row per label.
    pub fn new(bytes: &[u8], size: [usize; 2], labels: Vec<u32>, scale: f64, offset: f64) -> Self {
        let n_labels = labels.iter().max().map_or(0, |&label| label as usize + 1);
        Self::of(bytes, size, Targets::Classes(labels, n_labels), scale, offset)
    }

    /// Packs a chunk of rows. Returns `None` if the kernels do not support the type of its
    /// features.
    ///
    /// # Panics
    /// As [`PackedRows::new`].
    pub fn of_features(
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

    /// Packs rows whose targets are numbers instead of classes.
    ///
    /// # Panics
    /// As [`PackedRows::new`].
    pub fn with_numbers(bytes: &[u8], size: [usize; 2], targets: Vec<f64>, scale: f64, offset: f64) -> Self {
        Self::of(bytes, size, Targets::Numbers(targets), scale, offset)
    }

    fn of(bytes: &[u8], [height, width]: [usize; 2], targets: Targets, scale: f64, offset: f64) -> Self {
        let patches = Patches::new(height, width);
        assert!(patches.n_features() > 0, "a feature at least");
        assert_eq!(bytes.len(), targets.len() * patches.n_features(), "a byte for each row and feature");
        let (mut starts, mut places, mut blocks) = (Vec::with_capacity(targets.len() + 1), Vec::new(), Vec::new());
        let mut buffer = Vec::new();
        starts.push(0);
        // Write every block of a row, but advance only past those to keep. A branch would be
        // mispredicted too often.
        let (mut places_of_row, mut blocks_of_row) = (vec![0; patches.count()], vec![[0; BLOCK]; patches.count()]);
        for row in bytes.chunks_exact(patches.n_features()) {
            let mut kept = 0;
            patches.blocks(row, &mut buffer, |place, block| {
                (places_of_row[kept], blocks_of_row[kept]) = (place as u32, block);
                kept += usize::from(u128::from_ne_bytes(block) != 0);
            });
            places.extend_from_slice(&places_of_row[..kept]);
            blocks.extend_from_slice(&blocks_of_row[..kept]);
            starts.push(blocks.len());
        }
        Self { patches, targets, scale, offset, starts, places, blocks }
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
        self.patches.n_features()
    }

    /// Returns the class of each row. It is empty if the targets are numbers.
    pub fn labels(&self) -> &[u32] {
        match &self.targets {
            Targets::Classes(labels, _) => labels,
            Targets::Numbers(_) => &[],
        }
    }

    /// Returns the target of a row: its number, or its class as a number.
    pub(crate) fn target(&self, row: usize) -> f64 {
        match &self.targets {
            Targets::Classes(labels, _) => labels[row].into(),
            Targets::Numbers(targets) => targets[row],
        }
    }

    /// Returns the highest label plus one, or `None` if the targets are numbers.
    pub(crate) fn n_labels(&self) -> Option<usize> {
        match &self.targets {
            Targets::Classes(_, n_labels) => Some(*n_labels),
            Targets::Numbers(_) => None,
        }
    }

    /// Returns the fraction of blocks that is kept and so read. It is 1 if no block is all 0.
    pub fn kept(&self) -> f64 {
        self.blocks.len() as f64 / (self.len() * self.patches.count()).max(1) as f64
    }

    /// Returns the blocks of a row: their positions and their bytes.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> (&[u32], &[[u8; BLOCK]]) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.places[range.clone()], &self.blocks[range])
    }

    /// Returns the blocks of all rows, one row after the other.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> &[[u8; BLOCK]] {
        &self.blocks
    }

    /// Returns the index of a row's first block among all blocks.
    #[inline(always)]
    pub(crate) fn start(&self, row: usize) -> usize {
        self.starts[row]
    }

    /// Prefetches a row.
    #[inline(always)]
    pub(crate) fn prefetch(&self, row: usize) {
        let (places, blocks) = self.row(row);
        isa::prefetch(places);
        isa::prefetch(blocks);
    }
}
