//! The order in which the features of a row are stored: in blocks of sixteen.

use crate::lanes::LANES;

/// Height and width of a block of an image, in pixels.
const BLOCK_SIDE: usize = 4;

/// The grouping of a row's features into blocks. Incomplete blocks are padded with zeros: those at
/// the right and bottom edges of an image, and the last block of a row that is not an image.
///
/// In images, a block is a square. Neighbouring pixels are mostly all ink or all background,
/// vertically as well as horizontally. So square blocks are all 0 more often than blocks of one
/// line, and fewer of them must be read. In MNIST, 38 % of the blocks of 4 by 4 pixels have ink,
/// and 58 % of the blocks of 16 by 1 pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockLayout {
    height: usize,
    width: usize,
    /// Height and width of a block.
    block_shape: [usize; 2],
}

impl BlockLayout {
    /// Groups the pixels of an image into blocks of 4 by 4 pixels. If the height or width is less
    /// than 4, a block is sixteen successive features. Rows that are not images have height 1.
    pub(crate) fn new(height: usize, width: usize) -> Self {
        if height >= BLOCK_SIDE && width >= BLOCK_SIDE {
            Self { height, width, block_shape: [BLOCK_SIDE, BLOCK_SIDE] }
        } else {
            Self { height: 1, width: height * width, block_shape: [1, LANES] }
        }
    }

    /// Number of features of a row, d.
    pub(crate) fn n_features(self) -> usize {
        self.height * self.width
    }

    /// Number of blocks of a row.
    pub(crate) fn n_blocks(self) -> usize {
        self.height.div_ceil(self.block_shape[0]) * self.n_block_columns()
    }

    /// Number of blocks across the width of an image.
    fn n_block_columns(self) -> usize {
        self.width.div_ceil(self.block_shape[1])
    }

    /// Returns the index of a feature's block, and the lane of the feature in its block.
    pub(crate) fn position(self, feature: usize) -> (usize, usize) {
        let (y, x) = (feature / self.width, feature % self.width);
        let [block_height, block_width] = self.block_shape;
        let block = y / block_height * self.n_block_columns() + x / block_width;
        (block, y % block_height * block_width + x % block_width)
    }

    /// Calls `visit` with the index and the bytes of each block of a row, in order. `buffer` is
    /// used if the row must be padded.
    ///
    /// # Shapes
    /// - row `[n_features]`
    pub(crate) fn for_each_block(self, row: &[u8], buffer: &mut Vec<u8>, mut visit: impl FnMut(usize, [u8; LANES])) {
        let [block_height, block_width] = self.block_shape;
        let n_columns = self.n_block_columns();
        let width = n_columns * block_width; // padded to whole blocks
        let padded = if self.width == width && self.height.is_multiple_of(block_height) {
            row
        } else {
            buffer.clear();
            for line in row.chunks_exact(self.width) {
                buffer.extend_from_slice(line);
                buffer.resize(buffer.len().next_multiple_of(width), 0);
            }
            buffer.resize(self.n_blocks() * LANES, 0);
            buffer
        };
        for (block_row, lines) in padded.chunks_exact(block_height * width).enumerate() {
            let first = block_row * n_columns;
            if block_height == 1 {
                lines.as_chunks().0.iter().enumerate().for_each(|(column, &block)| visit(first + column, block));
                continue;
            }
            // The chunks have a constant length, so the compiler copies four bytes at once.
            let lines: [&[[u8; BLOCK_SIDE]]; BLOCK_SIDE] =
                std::array::from_fn(|i| &lines[i * width..][..width].as_chunks().0[..n_columns]);
            for column in 0..n_columns {
                let mut block = [0; LANES];
                for (part, line) in block.as_chunks_mut().0.iter_mut().zip(lines) {
                    *part = line[column];
                }
                visit(first + column, block);
            }
        }
    }
}
