//! Labelled rows, laid out as kernels read them.

use chainrule_core::Features;

use crate::isa;
use crate::patches::{BLOCK, Patches};

/// Labelled rows of bytes; a feature is `scale * byte + offset`.
///
/// They are kept in blocks of sixteen bytes, without those that are all 0.
#[derive(Clone, Debug)]
pub struct PackedRows {
    pub(crate) patches: Patches,
    targets: Targets,
    pub(crate) scale: f64,
    pub(crate) offset: f64,
    /// Row i's blocks are `starts[i]..starts[i + 1]`.
    starts: Vec<usize>,
    /// Which block of its row each is.
    places: Vec<u32>,
    blocks: Vec<[u8; BLOCK]>,
}

/// What rows are to be predicted as.
#[derive(Clone, Debug)]
enum Targets {
    /// Classes, and one more than the highest.
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
    /// Rows that are images of so many lines and columns of pixels; `[1, d]` where they are none.
    ///
    /// # Panics
    /// Where there is no feature, or the bytes are not a row for each label.
    pub fn new(bytes: &[u8], size: [usize; 2], labels: Vec<u32>, scale: f64, offset: f64) -> Self {
        let n_labels = labels.iter().max().map_or(0, |&label| label as usize + 1);
        Self::of(bytes, size, Targets::Classes(labels, n_labels), scale, offset)
    }

    /// The same of a chunk of rows, where there are kernels for what their features are stored as.
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

    /// The same rows with numbers as their targets, in place of classes.
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
        // All of a row's are written and those that are kept stay: which ones, no processor guesses
        // well enough.
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

    /// Rows, n.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        self.patches.n_features()
    }

    /// Each row's class; none where the targets are numbers.
    pub fn labels(&self) -> &[u32] {
        match &self.targets {
            Targets::Classes(labels, _) => labels,
            Targets::Numbers(_) => &[],
        }
    }

    /// A row's target: its number, or that of its class.
    pub(crate) fn target(&self, row: usize) -> f64 {
        match &self.targets {
            Targets::Classes(labels, _) => labels[row].into(),
            Targets::Numbers(targets) => targets[row],
        }
    }

    /// One more than the highest label, where the targets are classes.
    pub(crate) fn n_labels(&self) -> Option<usize> {
        match &self.targets {
            Targets::Classes(_, n_labels) => Some(*n_labels),
            Targets::Numbers(_) => None,
        }
    }

    /// The part of all blocks that is kept, and so read: 1 where no block is all 0.
    pub fn kept(&self) -> f64 {
        self.blocks.len() as f64 / (self.len() * self.patches.count()).max(1) as f64
    }

    /// The blocks of a row: which they are, and their bytes.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> (&[u32], &[[u8; BLOCK]]) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.places[range.clone()], &self.blocks[range])
    }

    /// The blocks of all rows, one after the other.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> &[[u8; BLOCK]] {
        &self.blocks
    }

    /// The first of a row's blocks among all.
    #[inline(always)]
    pub(crate) fn start(&self, row: usize) -> usize {
        self.starts[row]
    }

    /// Tells the processor that a row will be read.
    #[inline(always)]
    pub(crate) fn prefetch(&self, row: usize) {
        let (places, blocks) = self.row(row);
        isa::prefetch(places);
        isa::prefetch(blocks);
    }
}
