use burn::tensor::DType;

use crate::{Loss, StepProblem};

/// How the device stores the features of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Storage {
    /// A word is a `u32` of four bytes.
    Bytes,
    /// A word is a vector of four f32.
    F32,
    /// A word is a vector of four f64.
    F64,
}

impl Storage {
    /// Returns the type of an element of a word.
    pub(super) fn dtype(self) -> DType {
        match self {
            Storage::Bytes => DType::U32,
            Storage::F32 => DType::F32,
            Storage::F64 => DType::F64,
        }
    }

    /// Returns the number of elements of a word.
    pub(super) fn elements_per_word(self) -> usize {
        match self {
            Storage::Bytes => 1,
            Storage::F32 | Storage::F64 => 4,
        }
    }
}

/// The division of a problem into cubes and units. It is a compile-time constant of the kernels.
///
/// A row consists of words of four features. The columns of W are divided into tiles of equal
/// width. The sums of a tile fit the registers of a unit. The last tile may be padded with columns
/// past the last class. The weights of the padding stay 0, and its probabilities are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TilePlan {
    pub(super) loss: Loss,
    pub(super) storage: Storage,
    /// Number of features, d.
    pub(super) n_features: usize,
    /// Number of words per row.
    pub(super) words_per_row: usize,
    /// Number of columns of W, k.
    pub(super) n_columns: usize,
    /// Number of columns per tile.
    pub(super) tile_width: usize,
    /// Number of tiles.
    pub(super) n_tiles: usize,
    /// Number of rows per cube of the forward kernel.
    pub(super) rows_per_cube: usize,
    /// Number of units per cube of the forward kernel, a power of two.
    pub(super) units_per_cube: usize,
    /// Number of units along the features, in a cube of the backward kernel.
    pub(super) units_across: usize,
    /// Number of words per unit of the backward kernel.
    pub(super) words_per_unit: usize,
    /// Number of parts of the batch. In the backward kernel, the units of a cube divide the batch
    /// into these parts.
    pub(super) batch_parts: usize,
}

/// Maximum number of columns per tile. With [`ROWS_PER_CUBE`] rows, a unit has at most 96 sums.
const MAX_TILE_WIDTH: usize = 12;

/// Number of rows per cube of the forward kernel.
const ROWS_PER_CUBE: usize = 8;

impl TilePlan {
    /// Creates the plan for a device. `plane_size` is the number of units that the device runs in
    /// lockstep. It affects the speed. It also sets the order of summation, so another value may
    /// change the rounding.
    pub(super) fn new(problem: &StepProblem, storage: Storage, plane_size: usize) -> Self {
        let &StepProblem { loss, n_features, n_columns, .. } = problem;
        let n_tiles = n_columns.div_ceil(MAX_TILE_WIDTH);
        // A CPU that emulates a GPU has vectors of 4 to 16 numbers. If a cube has more units than
        // that, each barrier costs a stack switch.
        let plane_size = plane_size.clamp(8, 32).next_power_of_two();
        Self {
            loss,
            storage,
            n_features,
            words_per_row: n_features.div_ceil(4),
            n_columns,
            tile_width: n_columns.div_ceil(n_tiles),
            n_tiles,
            rows_per_cube: ROWS_PER_CUBE,
            units_per_cube: plane_size,
            units_across: plane_size.min(16),
            words_per_unit: if plane_size > 8 { 1 } else { 2 },
            batch_parts: if plane_size > 8 { 4 } else { 1 },
        }
    }

    /// Number of columns per tile in the residuals, padded to vectors of four.
    pub(super) fn padded_tile_width(&self) -> usize {
        self.tile_width.next_multiple_of(4)
    }

    /// Number of parameters per tile. Each column has four weights per word of a row, and four more
    /// for an extra word. The first weight of the extra word is the bias.
    pub(super) fn parameters_per_tile(&self) -> usize {
        (self.words_per_row + 1) * 4 * self.tile_width
    }

    /// Number of parameters, including the padding.
    pub(super) fn n_parameters(&self) -> usize {
        self.n_tiles * self.parameters_per_tile()
    }

    /// Returns the index of `W[feature, class]` among the parameters. The bias `b[class]` has the
    /// index of feature `4 * words_per_row`.
    pub(super) fn parameter_index(&self, feature: usize, class: usize) -> usize {
        (class / self.tile_width) * self.parameters_per_tile() + feature * self.tile_width + class % self.tile_width
    }
}
