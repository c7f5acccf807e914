//! Labelled rows in the layout that the kernels read.

use chainrule_core::Features;

use crate::block_layout::BlockLayout;
use crate::isa;
use crate::lanes::LANES;

/// Labelled rows of bytes. A feature is `scale * byte + offset`.
///
/// The bytes are stored in blocks of sixteen. Blocks that are all 0 are omitted.
#[derive(Clone, Debug)]
pub struct PackedRows {
    pub(crate) layout: BlockLayout,
    targets: RowTargets,
    pub(crate) scale: f64,
    pub(crate) offset: f64,
    /// The blocks of row i are `blocks[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    /// The index of each block in the layout.
    block_indices: Vec<u32>,
    /// The blocks that are not all 0, row by row.
    blocks: Vec<[u8; LANES]>,
}

/// The targets of the rows.
#[derive(Clone, Debug)]
enum RowTargets {
    /// The class of each row, and the highest class plus one.
    Classes(Vec<u32>, usize),
    Numbers(Vec<f64>),
}

impl RowTargets {
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
    /// If there are no features, or if `bytes` does not have one byte for each label and feature.
    pub fn new(bytes: &[u8], size: [usize; 2], labels: Vec<u32>, scale: f64, offset: f64) -> Self {
        let n_labels = labels.iter().max().map_or(0, |&label| label as usize + 1);
        Self::pack(bytes, size, RowTargets::Classes(labels, n_labels), scale, offset)
    }

    /// Packs a chunk of rows. Returns `None` if the kernels do not support the type of its
    /// features.
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

    /// Packs rows whose targets are numbers instead of classes.
    ///
    /// # Panics
    /// As [`PackedRows::new`].
    pub fn with_numeric_targets(bytes: &[u8], size: [usize; 2], targets: Vec<f64>, scale: f64, offset: f64) -> Self {
        Self::pack(bytes, size, RowTargets::Numbers(targets), scale, offset)
    }

    fn pack(bytes: &[u8], [height, width]: [usize; 2], targets: RowTargets, scale: f64, offset: f64) -> Self {
        let layout = BlockLayout::new(height, width);
        assert!(layout.n_features() > 0, "rows need at least one feature");
        assert_eq!(bytes.len(), targets.len() * layout.n_features(), "expected one byte for each row and feature");
        let (mut starts, mut block_indices, mut blocks) =
            (Vec::with_capacity(targets.len() + 1), Vec::new(), Vec::new());
        let mut buffer = Vec::new();
        starts.push(0);
        // Copy every block of the row, but count only the blocks that are not all 0. The next block
        // overwrites a block that was not counted. A branch would be mispredicted too often.
        let (mut indices_of_row, mut blocks_of_row) = (vec![0; layout.n_blocks()], vec![[0; LANES]; layout.n_blocks()]);
        for row in bytes.chunks_exact(layout.n_features()) {
            let mut kept = 0;
            layout.for_each_block(row, &mut buffer, |index, block| {
                (indices_of_row[kept], blocks_of_row[kept]) = (index as u32, block);
                kept += usize::from(u128::from_ne_bytes(block) != 0);
            });
            block_indices.extend_from_slice(&indices_of_row[..kept]);
            blocks.extend_from_slice(&blocks_of_row[..kept]);
            starts.push(blocks.len());
        }
        Self { layout, targets, scale, offset, starts, block_indices, blocks }
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
        self.layout.n_features()
    }

    /// Returns the class of each row. It is empty if the targets are numbers.
    pub fn labels(&self) -> &[u32] {
        match &self.targets {
            RowTargets::Classes(labels, _) => labels,
            RowTargets::Numbers(_) => &[],
        }
    }

    /// Returns the target of a row: its number, or its class as a number.
    pub(crate) fn target(&self, row: usize) -> f64 {
        match &self.targets {
            RowTargets::Classes(labels, _) => labels[row].into(),
            RowTargets::Numbers(targets) => targets[row],
        }
    }

    /// Returns the highest label plus one, or `None` if the targets are numbers.
    pub(crate) fn n_labels(&self) -> Option<usize> {
        match &self.targets {
            RowTargets::Classes(_, n_labels) => Some(*n_labels),
            RowTargets::Numbers(_) => None,
        }
    }

    /// Returns the fraction of blocks that are stored. It is 1 if no block is all 0.
    pub fn stored_fraction(&self) -> f64 {
        self.blocks.len() as f64 / (self.len() * self.layout.n_blocks()).max(1) as f64
    }

    /// Returns the stored blocks of a row: their indices in the layout, and their bytes.
    #[inline(always)]
    pub(crate) fn blocks_of_row(&self, row: usize) -> (&[u32], &[[u8; LANES]]) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.block_indices[range.clone()], &self.blocks[range])
    }

    /// Returns the stored blocks of all rows, row by row.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> &[[u8; LANES]] {
        &self.blocks
    }

    /// Returns the index of a row's first block in [`blocks`](Self::blocks).
    #[inline(always)]
    pub(crate) fn first_block(&self, row: usize) -> usize {
        self.starts[row]
    }

    /// Prefetches a row.
    #[inline(always)]
    pub(crate) fn prefetch(&self, row: usize) {
        let (block_indices, blocks) = self.blocks_of_row(row);
        isa::prefetch(block_indices);
        isa::prefetch(blocks);
    }
}
