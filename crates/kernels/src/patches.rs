//! Where features lie: in blocks of sixteen, which are left out where all of a row's bytes in them
//! are 0.

/// Features of a block.
pub(crate) const BLOCK: usize = 16;

/// Height and width of a patch of an image.
const PATCH: usize = 4;

/// How the features of a row are gathered into blocks.
///
/// What is near in an image is ink or background together, above and below as much as left and
/// right: of MNIST's blocks of four by four pixels 38 % have any ink, of those of sixteen by one 58
/// %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patches {
    height: usize,
    width: usize,
    /// Of a block.
    patch: [usize; 2],
}

impl Patches {
    /// Images of this height and width in patches of four by four; what is no image, or a small
    /// one, in line.
    pub(crate) fn new(height: usize, width: usize) -> Self {
        if height >= PATCH && width >= PATCH {
            Self { height, width, patch: [PATCH, PATCH] }
        } else {
            Self { height: 1, width: height * width, patch: [1, BLOCK] }
        }
    }

    /// Features of a row, d.
    pub(crate) fn n_features(self) -> usize {
        self.height * self.width
    }

    /// Blocks of a row.
    pub(crate) fn count(self) -> usize {
        self.height.div_ceil(self.patch[0]) * self.blocks_across()
    }

    fn blocks_across(self) -> usize {
        self.width.div_ceil(self.patch[1])
    }

    /// The block of a feature, and its place in it.
    pub(crate) fn place(self, feature: usize) -> (usize, usize) {
        let (y, x) = (feature / self.width, feature % self.width);
        let [high, wide] = self.patch;
        (y / high * self.blocks_across() + x / wide, y % high * wide + x % wide)
    }

    /// Width of a row whose blocks are whole, filled up with zeros.
    fn whole_width(self) -> usize {
        self.blocks_across() * self.patch[1]
    }

    /// Calls `with` for each block of a row of `n_features` bytes, in order.
    pub(crate) fn blocks(self, row: &[u8], buffer: &mut Vec<u8>, mut with: impl FnMut(usize, [u8; BLOCK])) {
        let high = self.patch[0];
        let (across, width) = (self.blocks_across(), self.whole_width());
        let whole = if self.width == width && self.height.is_multiple_of(high) {
            row
        } else {
            buffer.clear();
            for line in row.chunks_exact(self.width) {
                buffer.extend_from_slice(line);
                buffer.resize(buffer.len().next_multiple_of(width), 0);
            }
            buffer.resize(self.count() * BLOCK, 0);
            buffer
        };
        for (down, lines) in whole.chunks_exact(high * width).enumerate() {
            let first = down * across;
            if high == 1 {
                lines.as_chunks().0.iter().enumerate().for_each(|(right, &block)| with(first + right, block));
                continue;
            }
            // Of a length that the compiler knows, so that four bytes are one move.
            let lines: [&[[u8; PATCH]]; PATCH] =
                std::array::from_fn(|i| &lines[i * width..][..width].as_chunks().0[..across]);
            for right in 0..across {
                let mut block = [0; BLOCK];
                for (part, line) in block.as_chunks_mut().0.iter_mut().zip(lines) {
                    *part = line[right];
                }
                with(first + right, block);
            }
        }
    }
}
