use crate::Loss;

/// How a problem is cut into cubes and units, known when its kernels are compiled.
///
/// Rows are bytes, four in a word. Classes are cut into tiles of equal width, so that the sums of a
/// tile fit a unit's registers; of the last tile's columns some may be beyond the last class: their
/// weights stay 0 and nobody asks for their probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TilePlan {
    pub(super) loss: Loss,
    /// Features, d.
    pub(super) features: usize,
    /// Words a row.
    pub(super) words: usize,
    /// Columns of weights, k.
    pub(super) classes: usize,
    /// Columns a tile.
    pub(super) tile: usize,
    /// Tiles.
    pub(super) tiles: usize,
    /// Rows that a cube goes forward with at once.
    pub(super) rows: usize,
    /// Units of such a cube, a power of two.
    pub(super) units: usize,
    /// Units side by side of a cube that goes backward.
    pub(super) across: usize,
    /// Words that such a unit has.
    pub(super) wide: usize,
    /// Parts that such a cube cuts the batch into.
    pub(super) down: usize,
}

/// Columns that a unit has sums for; with [`ROWS`] of them, 96 sums.
const WIDEST_TILE: usize = 12;

const ROWS: usize = 8;

impl TilePlan {
    /// `plane` is how many units the device runs in step: a hint, on which no result depends.
    pub(super) fn new(loss: Loss, features: usize, classes: usize, plane: usize) -> Self {
        let tiles = classes.div_ceil(WIDEST_TILE);
        // A processor that plays GPU has vectors of 4 to 16 numbers, and each barrier of more units
        // than that costs it a change of stacks.
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

    /// Numbers of a tile's row of residuals: its columns, filled up to vectors of four.
    pub(super) fn padded(&self) -> usize {
        self.tile.next_multiple_of(4)
    }

    /// Numbers of a tile's parameters: four features a word, and as much again, of which the first
    /// row is the bias.
    pub(super) fn of_tile(&self) -> usize {
        (self.words + 1) * 4 * self.tile
    }

    /// Numbers of all parameters.
    pub(super) fn parameters(&self) -> usize {
        self.tiles * self.of_tile()
    }

    /// Where W[feature, class] is among them; b's is that of feature `4 * words`.
    pub(super) fn place(&self, feature: usize, class: usize) -> usize {
        (class / self.tile) * self.of_tile() + feature * self.tile + class % self.tile
    }
}
