use crate::Loss;

/// How a problem is divided into cubes and units. It is known when the kernels are compiled.
///
/// Rows are bytes, four per word. Classes are divided into tiles of equal width, so that the sums
/// of a tile fit the registers of a unit. The last tile may have columns past the last class. Their
/// weights stay 0, and their probabilities are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TilePlan {
    pub(super) loss: Loss,
    /// Number of features, d.
    pub(super) features: usize,
    /// Words per row.
    pub(super) words: usize,
    /// Number of columns of W, k.
    pub(super) classes: usize,
    /// Columns per tile.
    pub(super) tile: usize,
    /// Number of tiles.
    pub(super) tiles: usize,
    /// Rows per cube of the forward kernel.
    pub(super) rows: usize,
    /// Units per cube of the forward kernel, a power of two.
    pub(super) units: usize,
    /// Units along the features in a cube of the backward kernel.
    pub(super) across: usize,
    /// Words per unit of the backward kernel.
    pub(super) wide: usize,
    /// Parts that a cube of the backward kernel divides the batch into.
    pub(super) down: usize,
}

/// Maximum number of columns per tile. With [`ROWS`] rows, a unit has at most 96 sums.
const WIDEST_TILE: usize = 12;

const ROWS: usize = 8;

impl TilePlan {
    /// `plane` is the number of units that the device runs in lockstep. It is a hint for speed. It
    /// also sets the order of summation, so another value may change the rounding.
    pub(super) fn new(loss: Loss, features: usize, classes: usize, plane: usize) -> Self {
        let tiles = classes.div_ceil(WIDEST_TILE);
        // A CPU that emulates a GPU has vectors of 4 to 16 numbers. With more units than that, each
        // barrier costs it a stack switch.
        let plane = plane.clamp(8, 32).next_power_of_two();
        Self {
            loss,
            features,
            words: features.div_ceil(4),
            classes,
            tile: classes.div_ceil(tiles),
            tiles,
            rows: ROWS,
            units: plane,
            across: plane.min(16),
            wide: if plane > 8 { 1 } else { 2 },
            down: if plane > 8 { 4 } else { 1 },
        }
    }

    /// Numbers per row of residuals of a tile: its columns, padded to vectors of four.
    pub(super) fn padded(&self) -> usize {
        self.tile.next_multiple_of(4)
    }

    /// Number of parameters of a tile. Each column has four features per word, and one more word.
    /// The first feature of that word is the bias.
    pub(super) fn of_tile(&self) -> usize {
        (self.words + 1) * 4 * self.tile
    }

    /// Number of all parameters, with the padding.
    pub(super) fn parameters(&self) -> usize {
        self.tiles * self.of_tile()
    }

    /// Returns the index of `W[feature, class]` among the parameters. `b[class]` is that of feature
    /// `4 * words`.
    pub(super) fn place(&self, feature: usize, class: usize) -> usize {
        (class / self.tile) * self.of_tile() + feature * self.tile + class % self.tile
    }
}
