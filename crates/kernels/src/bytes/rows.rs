//! Rows of bytes, in the blocks that the kernels read.

use crate::bytes::layout::BlockLayout;
use crate::isa;
use crate::lanes::LANES;

/// Rows of bytes. A feature is `scale * byte + offset`.
///
/// The bytes are stored in blocks of sixteen. Blocks that are all 0 are omitted.
#[derive(Clone, Debug)]
pub(crate) struct ByteRows {
    pub(crate) layout: BlockLayout,
    pub(crate) scale: f64,
    pub(crate) offset: f64,
    /// The blocks of row i are `blocks[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    /// The index of each block in the layout.
    block_indices: Vec<u32>,
    /// The blocks that are not all 0, row by row.
    blocks: Vec<[u8; LANES]>,
}

impl ByteRows {
    /// Packs n rows. `size` is the height and width of the images in pixels; it is `[1, d]` for
    /// rows that are not images.
    ///
    /// # Panics
    /// If there are no features, or if `bytes` does not have n rows.
    pub(crate) fn pack(bytes: &[u8], [height, width]: [usize; 2], n: usize, scale: f64, offset: f64) -> Self {
        let layout = BlockLayout::new(height, width);
        assert!(layout.n_features() > 0, "rows need at least one feature");
        assert_eq!(bytes.len(), n * layout.n_features(), "expected one byte for each row and feature");
        let (mut starts, mut block_indices, mut blocks) = (Vec::with_capacity(n + 1), Vec::new(), Vec::new());
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
        Self { layout, scale, offset, starts, block_indices, blocks }
    }

    /// Returns the fraction of blocks that are stored. It is 1 if no block is all 0.
    pub(crate) fn stored_fraction(&self) -> f64 {
        let n = self.starts.len() - 1;
        self.blocks.len() as f64 / (n * self.layout.n_blocks()).max(1) as f64
    }

    /// Returns the Euclidean norm of a row's features `a p + c`.
    pub(crate) fn norm(&self, row: usize) -> f64 {
        let (mut sum, mut squares) = (0, 0);
        for &byte in self.blocks_of_row(row).1.as_flattened() {
            sum += u64::from(byte);
            squares += u64::from(byte).pow(2);
        }
        let (a, c, d) = (self.scale, self.offset, self.layout.n_features() as f64);
        (a * a * squares as f64 + 2.0 * a * c * sum as f64 + c * c * d).max(0.0).sqrt()
    }

    /// Returns the norm of the features of a row of zeros.
    pub(crate) fn offset_norm(&self) -> f64 {
        self.offset.abs() * (self.layout.n_features() as f64).sqrt()
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
