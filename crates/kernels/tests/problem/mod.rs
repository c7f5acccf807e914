//! Random rows and parameters for the tests of the kernels, here and in the workspace's `tests`.

use std::sync::Arc;

use chainrule_core::{Link, LinkKind};
use chainrule_kernels::{Float, FusedModel, Isa, PackedRows};

/// Rows, labels and parameters.
pub(crate) struct Problem {
    pub(crate) bytes: Vec<u8>,
    pub(crate) labels: Vec<u32>,
    pub(crate) weight: Vec<f64>,
    pub(crate) bias: Vec<f64>,
    /// `[n, d, k]`: rows, features, columns.
    pub(crate) shape: [usize; 3],
}

pub(crate) const SCALE: f64 = 2.0 / 255.0;
pub(crate) const OFFSET: f64 = -1.0;

impl Problem {
    pub(crate) fn new([n, d, k]: [usize; 3]) -> Self {
        let n_classes = k.max(2);
        let labels = random_numbers(3, n).iter().map(|x| ((x + 1.0) * 1e6) as u32 % n_classes as u32).collect();
        // Every third run of 40 bytes is all 0. Half of the other bytes are 0.
        let byte = |(i, x): (usize, &f64)| if (i / 40).is_multiple_of(3) { 0 } else { (255.0 * x).max(0.0) as u8 };
        Self {
            bytes: random_numbers(1, n * d).iter().enumerate().map(byte).collect(),
            labels,
            weight: random_numbers(5, d * k),
            bias: random_numbers(7, k),
            shape: [n, d, k],
        }
    }

    pub(crate) fn link(&self) -> Arc<dyn Link> {
        let [_, _, k] = self.shape;
        if k == 1 { LinkKind::Logistic } else { LinkKind::Softmax }.link(k)
    }

    /// Packs the rows as images of a height and width.
    pub(crate) fn images(&self, size: [usize; 2]) -> PackedRows {
        PackedRows::new(&self.bytes, size, self.labels.clone(), SCALE, OFFSET)
    }

    /// Creates a model with the parameters.
    pub(crate) fn fused(&self, float: Float, threads: usize, isa: Isa) -> FusedModel {
        let mut fused = FusedModel::new(self.link(), self.shape[1], float, threads, isa);
        fused.set(&self.weight, &self.bias);
        fused
    }
}

/// Returns pseudorandom numbers from -1 to 1, the same on every platform. The generator is
/// `SplitMix64`, by Steele, Lea and Flood, 2014.
pub(crate) fn random_numbers(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) >> 11
    };
    (0..count).map(|_| next() as f64 / (1u64 << 52) as f64 - 1.0).collect()
}

/// Returns the largest difference, relative to the largest expected number.
pub(crate) fn relative_error(computed: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(computed.len(), expected.len());
    let largest = expected.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    let differences = computed.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |a: f64, b| if b <= a { a } else { b }) / largest.max(f64::MIN_POSITIVE)
}
