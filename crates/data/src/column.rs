//! A column of a table in memory.

use chainrule_core::MAX_ABS_VALUE;

use crate::cells::{Cell, TEXTS_FROM, Texts};

/// The rows of a block.
pub(crate) const BLOCK: usize = 1 << 10;
/// Columns of up to this many blocks, 65,536 rows, store every number exactly.
const EXACT_BLOCKS: usize = 64;
/// A column is centred if its mean is larger than this many standard deviations. Rounding to `f32`
/// then changes a standardised number by less than 8 * 2^-24, or 5e-7.
const MAX_RELATIVE_MEAN: f64 = 8.0;

/// The cells of a column, as [stored numbers](Cell::to_stored) in blocks, with their texts.
///
/// A number takes four bytes if `f32` represents the numbers of its block exactly, as for small
/// integers, else eight. In a long column, other numbers are rounded to `f32` and take four bytes,
/// too. Whole numbers and texts stay exact.
///
/// Rounding a number to `f32` loses what is small beside its mean, such as the hours in a column of
/// Unix seconds. So a column with a large mean is centred before it is rounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// Blocks of [`BLOCK`] cells, and the last of at most so many.
    blocks: Vec<Block>,
    /// The cells that follow, fewer than [`BLOCK`].
    open: Vec<f64>,
    /// What to add to the numbers of centred blocks.
    centre: f64,
    /// The bytes of the blocks.
    bytes: u64,
    /// The texts that occur.
    pub(crate) texts: Texts,
}

/// Rows of numbers from memory, stored exactly.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    columns: Vec<Column>,
    n: usize,
}

impl Numbers {
    /// Appends a row `[d]`.
    ///
    /// # Panics
    /// Panics if the first row has another length.
    pub fn push(&mut self, row: impl IntoIterator<Item = f64>) {
        let mut count = 0;
        for (j, number) in row.into_iter().enumerate() {
            if self.n == 0 {
                self.columns.push(Column::default());
            }
            self.columns[j].push_exact(number);
            count += 1;
        }
        assert_eq!(count, self.columns.len(), "numbers in row {}", self.n);
        self.n += 1;
    }

    /// Returns the number of rows, and the columns.
    pub(crate) fn finish(mut self) -> (usize, Vec<Column>) {
        self.columns.iter_mut().for_each(Column::close);
        (self.n, self.columns)
    }
}

/// A part of a column, as it was read.
#[derive(Debug, Default)]
pub(crate) struct ColumnPart {
    stored: Vec<f64>,
    texts: Texts,
}

#[derive(Clone, Debug)]
enum Block {
    F32(Vec<f32>),
    F64(Vec<f64>),
    /// Numbers without their column's centre.
    Centred(Vec<f32>),
}

impl Block {
    /// Stores these cells exactly.
    fn exact(stored: &[f64]) -> Self {
        // Compare bits, so that -0 keeps its sign.
        let is_exact = |&stored: &f64| f64::from(stored as f32).to_bits() == stored.to_bits();
        if stored.iter().all(is_exact) {
            Self::F32(stored.iter().map(|&stored| stored as f32).collect())
        } else {
            Self::F64(stored.to_vec())
        }
    }

    /// Stores these cells in four bytes each, unless they must stay exact.
    fn narrow(stored: &[f64], centre: f64) -> Self {
        let exact = match Self::exact(stored) {
            Self::F64(stored) => stored,
            narrow => return narrow,
        };
        let are_whole = exact.iter().all(|&stored| !is_number(stored) || stored.fract() == 0.0);
        let mut narrow = Vec::with_capacity(exact.len());
        for &stored in &exact {
            let rounded = if is_number(stored) { (stored - centre) as f32 } else { stored as f32 };
            let back = uncentred(rounded, centre);
            let must_be_exact = are_whole || !is_number(stored);
            if must_be_exact && back != stored || is_number(stored) && back.abs() > MAX_ABS_VALUE {
                return Self::F64(exact);
            }
            narrow.push(rounded);
        }
        if centre == 0.0 { Self::F32(narrow) } else { Self::Centred(narrow) }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(numbers) | Self::Centred(numbers) => numbers.len(),
            Self::F64(numbers) => numbers.len(),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::F32(numbers) | Self::Centred(numbers) => size_of_val(&numbers[..]) as u64,
            Self::F64(numbers) => size_of_val(&numbers[..]) as u64,
        }
    }

    fn get(&self, index: usize, centre: f64) -> f64 {
        match self {
            Self::F32(numbers) => numbers[index].into(),
            Self::F64(numbers) => numbers[index],
            Self::Centred(numbers) => uncentred(numbers[index], centre),
        }
    }
}

fn is_number(stored: f64) -> bool {
    stored.abs() < TEXTS_FROM
}

fn uncentred(stored: f32, centre: f64) -> f64 {
    let stored = f64::from(stored);
    if is_number(stored) { stored + centre } else { stored }
}

impl ColumnPart {
    /// Appends a cell that is no text.
    pub(crate) fn push(&mut self, cell: Cell) {
        self.stored.push(cell.to_stored());
    }

    /// Appends a text.
    pub(crate) fn push_text(&mut self, text: &str) {
        self.stored.push(Cell::Text(self.texts.position(text)).to_stored());
    }
}

impl Column {
    /// Appends a number and keeps it exact.
    fn push_exact(&mut self, number: f64) {
        self.open.push(number);
        if self.open.len() == BLOCK {
            self.add(Block::exact(&self.open));
            self.open.clear();
        }
    }

    /// Appends the cells of a part, rounded if there are many.
    pub(crate) fn append(&mut self, mut part: ColumnPart) {
        if part.texts.len() > 0 {
            let positions: Vec<u32> = part.texts.iter().map(|text| self.texts.position(text)).collect();
            for stored in &mut part.stored {
                if let Cell::Text(own) = Cell::of_stored(*stored) {
                    *stored = Cell::Text(positions[own as usize]).to_stored();
                }
            }
        }
        let mut rest = &part.stored[..];
        while !rest.is_empty() {
            let (taken, left) = rest.split_at(rest.len().min(BLOCK - self.open.len()));
            self.open.extend_from_slice(taken);
            rest = left;
            if self.open.len() == BLOCK {
                self.close_and_round();
            }
        }
    }

    /// Stores the last cells. No cell may follow.
    pub(crate) fn close(&mut self) {
        if !self.open.is_empty() {
            self.add(Block::exact(&self.open));
        }
        self.open = Vec::new();
    }

    fn close_and_round(&mut self) {
        let n = self.blocks.len();
        let block = match n {
            _ if n < EXACT_BLOCKS => Block::exact(&self.open),
            EXACT_BLOCKS => {
                // Now the column is long.
                self.centre = self.find_centre();
                self.bytes = 0;
                for block in std::mem::take(&mut self.blocks) {
                    let block = if let Block::F64(wide) = block { Block::narrow(&wide, self.centre) } else { block };
                    self.add(block);
                }
                Block::narrow(&self.open, self.centre)
            }
            _ => Block::narrow(&self.open, self.centre),
        };
        self.add(block);
        self.open.clear();
    }

    fn add(&mut self, block: Block) {
        self.bytes += block.bytes();
        self.blocks.push(block);
    }

    /// Returns the mean if it is large beside the standard deviation, else 0.
    fn find_centre(&self) -> f64 {
        let cells = || self.blocks.iter().flat_map(|block| (0..block.len()).map(|index| block.get(index, 0.0)));
        let numbers = || cells().filter(|&stored| is_number(stored));
        let count = numbers().count().max(1) as f64;
        let mean = numbers().sum::<f64>() / count;
        let deviation = (numbers().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt();
        if mean.abs() <= MAX_RELATIVE_MEAN * deviation {
            return 0.0;
        }
        // In another order of the rows the mean is another one here, but hardly its multiple.
        let unit = deviation.log2().ceil().exp2();
        let centre = (mean / unit).round() * unit;
        if unit > 0.0 && centre.is_finite() { centre } else { mean }
    }

    /// Returns the memory that the cells and their texts take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes + size_of_val(&self.open[..]) as u64 + self.texts.bytes()
    }

    /// Returns the stored cell of a row.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub(crate) fn get(&self, row: usize) -> f64 {
        self.blocks[row / BLOCK].get(row % BLOCK, self.centre)
    }

    /// Returns the cell of a row.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub(crate) fn cell(&self, row: usize) -> Cell {
        Cell::of_stored(self.get(row))
    }

    /// Frees a block of [`BLOCK`] rows. They must not be read again.
    pub(crate) fn free(&mut self, block: usize) {
        self.blocks[block] = Block::F32(Vec::new());
    }
}
