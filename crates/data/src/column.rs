//! A column of a table in memory.

use chainrule_core::MAX_ABS_VALUE;

use crate::cells::{Cell, TEXTS_FROM, Texts};

/// The rows of a block.
pub(crate) const BLOCK: usize = 1 << 10;
/// Columns of up to this many blocks store every number exactly.
const EXACT_BLOCKS: usize = 64;
/// A column is centred if its mean is larger than this many standard deviations. Rounding to `f32`
/// then changes a standardised number by less than 8 * 2^-24, or 5e-7.
const MAX_RELATIVE_MEAN: f64 = 8.0;

/// The cells of a column, as [stored numbers](Cell::to_stored) in blocks, with their texts.
///
/// A number takes four bytes if `f32` represents the numbers of its block exactly, as for small
/// integers, else eight. In a column of more than 65,536 rows, other numbers are rounded to `f32`
/// and take four bytes, too. Whole numbers and texts stay exact.
///
/// Rounding a number to `f32` loses what is small beside its mean, such as the hours in a column of
/// Unix seconds. So a column with a large mean is centred before it is rounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// All blocks but the last have [`BLOCK`] numbers.
    blocks: Vec<Block>,
    /// What to add to the numbers of centred blocks.
    centre: f64,
    /// The bytes of all blocks but the last.
    whole_bytes: u64,
    /// Whether numbers are rounded if there are many.
    is_narrowing: bool,
    /// The texts that occur.
    pub(crate) texts: Texts,
}

#[derive(Clone, Debug)]
enum Block {
    F32(Vec<f32>),
    F64(Vec<f64>),
    /// Numbers without their column's centre.
    Centred(Vec<f32>),
}

impl Block {
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

    fn push(&mut self, stored: f64) {
        match self {
            Self::F32(numbers) if is_exact(stored) => numbers.push(stored as f32),
            Self::F32(numbers) => {
                let mut wide = Vec::with_capacity(numbers.capacity());
                wide.extend(numbers.iter().copied().map(f64::from));
                wide.push(stored);
                *self = Self::F64(wide);
            }
            Self::F64(numbers) => numbers.push(stored),
            Self::Centred(_) => unreachable!("only whole blocks are centred"),
        }
    }

    /// Rounds a whole block to four bytes a number, unless it must stay exact.
    fn narrow(&mut self, centre: f64) {
        let Self::F64(wide) = self else { return };
        let must_be_exact =
            wide.iter().all(|&stored| !is_number(stored) || stored.fract() == 0.0);
        let mut narrow = Vec::with_capacity(BLOCK);
        for &stored in wide.iter() {
            let rounded = if is_number(stored) { (stored - centre) as f32 } else { stored as f32 };
            let back = uncentred(rounded, centre);
            if (back.to_bits() != stored.to_bits() && (must_be_exact || !is_number(stored))) || !fits(back, stored) {
                return;
            }
            narrow.push(rounded);
        }
        *self = if centre == 0.0 { Self::F32(narrow) } else { Self::Centred(narrow) };
    }
}

/// Returns whether `f32` represents a stored number exactly. Compares bits, so that -0 keeps its
/// sign.
fn is_exact(stored: f64) -> bool {
    f64::from(stored as f32).to_bits() == stored.to_bits()
}

fn is_number(stored: f64) -> bool {
    stored.abs() < TEXTS_FROM
}

/// Returns whether a rounded number keeps its limit, and a rounded cell its kind.
fn fits(rounded: f64, stored: f64) -> bool {
    !is_number(stored) || rounded.abs() <= MAX_ABS_VALUE
}

fn uncentred(stored: f32, centre: f64) -> f64 {
    let stored = f64::from(stored);
    if is_number(stored) { stored + centre } else { stored }
}

impl Column {
    /// Returns a column that rounds its numbers if it has many rows.
    pub(crate) fn narrowing() -> Self {
        Self { is_narrowing: true, ..Self::default() }
    }

    /// Returns the memory that the cells and their texts take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.whole_bytes + self.blocks.last().map_or(0, Block::bytes) + self.texts.bytes()
    }

    /// Appends a cell.
    pub(crate) fn push(&mut self, cell: Cell) {
        self.push_stored(cell.to_stored());
    }

    /// Appends a text.
    pub(crate) fn push_text(&mut self, text: &str) {
        let position = self.texts.position(text);
        self.push(Cell::Text(position));
    }

    /// Appends the cells of another column, which was read from the rows that follow.
    pub(crate) fn append(&mut self, part: &Self) {
        let positions: Vec<u32> = part.texts.iter().map(|text| self.texts.position(text)).collect();
        for stored in part.iter() {
            match Cell::of_stored(stored) {
                Cell::Text(position) => self.push(Cell::Text(positions[position as usize])),
                Cell::Empty | Cell::Number(_) => self.push_stored(stored),
            }
        }
    }

    fn push_stored(&mut self, stored: f64) {
        match self.blocks.last_mut() {
            Some(last) if last.len() < BLOCK => last.push(stored),
            _ => {
                self.whole_bytes += self.blocks.last().map_or(0, Block::bytes);
                let mut block = Block::F32(Vec::new());
                block.push(stored);
                self.blocks.push(block);
            }
        }
        if self.is_narrowing && self.blocks.last().is_some_and(|last| last.len() == BLOCK) {
            self.narrow();
        }
    }

    /// Rounds the cells to four bytes if there are many. All blocks are full.
    fn narrow(&mut self) {
        let n = self.blocks.len();
        if n == EXACT_BLOCKS {
            self.centre = self.find_centre();
            self.blocks.iter_mut().for_each(|block| block.narrow(self.centre));
            self.whole_bytes = self.blocks[..n - 1].iter().map(Block::bytes).sum();
        } else if n > EXACT_BLOCKS {
            self.blocks[n - 1].narrow(self.centre);
        }
    }

    /// Returns the mean if it is large beside the standard deviation, else 0.
    fn find_centre(&self) -> f64 {
        let numbers = || self.iter().filter(|&stored| is_number(stored));
        let count = numbers().count().max(1) as f64;
        let mean = numbers().sum::<f64>() / count;
        let deviation = (numbers().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt();
        if mean.abs() <= MAX_RELATIVE_MEAN * deviation {
            return 0.0;
        }
        // Whole numbers minus a whole number are exact. Another order of the rows has another mean
        // here, but hardly another multiple.
        let unit = deviation.log2().ceil().exp2();
        let centre = (mean / unit).round() * unit;
        if unit > 0.0 && centre.is_finite() { centre } else { mean }
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

    /// Iterates over all stored cells.
    fn iter(&self) -> impl Iterator<Item = f64> {
        self.blocks.iter().flat_map(|block| (0..block.len()).map(|index| block.get(index, self.centre)))
    }

    /// Frees a block of [`BLOCK`] rows. They must not be read again.
    pub(crate) fn free(&mut self, block: usize) {
        self.blocks[block] = Block::F32(Vec::new());
    }
}
