//! A column of a table, in memory or partly in a file.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use chainrule_core::{MAX_ABS_VALUE, MISSING};

use crate::DataError;
use crate::cells::{Cell, TEXTS_FROM, Texts};
use crate::scratch::Scratch;

/// The rows of a block.
pub(crate) const BLOCK: usize = 1 << 10;
/// Columns of up to this many blocks, 65,536 rows, store every number exactly, and so do columns of
/// rows to predict.
const EXACT_BLOCKS: usize = 64;
/// A column is centred if its mean is larger than this many standard deviations. Rounding to `f32`
/// then changes a standardised number by less than 8 * 2^-24, or 5e-7.
const MAX_RELATIVE_MEAN: f64 = 8.0;

/// The cells of a column, as [stored numbers](Cell::to_stored) in blocks, with their texts.
///
/// A number takes four bytes if `f32` represents the numbers of its block exactly, as for small
/// integers, else eight. In a long column, other numbers are rounded to `f32` and take four bytes,
/// too. Blocks of whole numbers or of tiny ones stay exact, and so do texts, and the numbers beside
/// them, which may be levels of a category.
///
/// Rounding a number to `f32` loses what is small beside its mean, such as the hours in a column of
/// Unix seconds. So a column with a large mean is centred before it is rounded.
///
/// Of a table that does not fit in memory, the first blocks are in a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// The first blocks, if they are in a file. Each has [`BLOCK`] cells.
    in_file: Option<BlocksInFile>,
    /// The other blocks. All but the last have [`BLOCK`] cells.
    blocks: Vec<Block>,
    /// What to add to the numbers of centred blocks.
    centre: f64,
    /// Whether some numbers were rounded.
    is_rounded: bool,
    /// Whether numbers are never rounded.
    is_exact: bool,
    /// The bytes of all blocks in memory but the last.
    whole_bytes: u64,
    /// The texts that occur, if any.
    texts: Option<Box<Texts>>,
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
    pub(crate) fn finish(self) -> (usize, Vec<Column>) {
        (self.n, self.columns)
    }
}

/// Whole blocks of a column in a file.
#[derive(Clone, Debug)]
struct BlocksInFile {
    scratch: Arc<Scratch>,
    /// Where each block begins in the file, times 4, plus its type. Eight bytes a block, because a
    /// long table has millions.
    places: Vec<u64>,
}

impl BlocksInFile {
    fn new(scratch: &Arc<Scratch>) -> Self {
        Self { scratch: Arc::clone(scratch), places: Vec::new() }
    }

    /// Returns a block.
    fn load(&self, block: usize) -> Block {
        let (start, kind) = (self.places[block] / 4, self.places[block] % 4);
        let mut bytes = vec![0; BLOCK * if kind == 1 { size_of::<f64>() } else { size_of::<f32>() }];
        self.scratch.read_or_note(start, &mut bytes);
        let narrow = || bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        match kind {
            0 => Block::F32(narrow()),
            1 => Block::F64(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()),
            _ => Block::Centred(narrow()),
        }
    }
}

/// Reads the cells of a column, row by row. It keeps the last block that it read from the file, so
/// rows in their order are read fastest.
#[derive(Debug)]
pub(crate) struct CellReader<'a> {
    column: &'a Column,
    /// A block that was read from the file, and its number.
    loaded: Option<(usize, Block)>,
}

impl CellReader<'_> {
    /// Returns the stored cell of a row.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub(crate) fn get(&mut self, row: usize) -> f64 {
        let (block, index, centre) = (row / BLOCK, row % BLOCK, self.column.centre);
        match self.column.block(block) {
            Ok(block) => block.get(index, centre),
            Err(blocks) => {
                if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != block) {
                    self.loaded = Some((block, blocks.load(block)));
                }
                self.loaded.as_ref().expect("it was loaded").1.get(index, centre)
            }
        }
    }

    /// Returns the cell of a row.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub(crate) fn cell(&mut self, row: usize) -> Cell {
        Cell::of_stored(self.get(row))
    }
}

/// A part of a column, as it was read.
#[derive(Debug, Default)]
pub(crate) struct ColumnPart {
    stored: Vec<f64>,
    texts: Option<Box<Texts>>,
}

#[derive(Clone, Debug)]
enum Block {
    F32(Vec<f32>),
    F64(Vec<f64>),
    /// Numbers without their column's centre.
    Centred(Vec<f32>),
}

impl Block {
    /// Appends cells and keeps them exact.
    fn extend(&mut self, stored: &[f64]) {
        // Compare bits, so that -0 keeps its sign.
        let is_exact = |&stored: &f64| f64::from(stored as f32).to_bits() == stored.to_bits();
        match self {
            Self::F32(numbers) if stored.iter().all(is_exact) => {
                numbers.extend(stored.iter().map(|&stored| stored as f32));
            }
            Self::F32(numbers) => {
                let mut wide = Vec::with_capacity(numbers.len() + stored.len());
                wide.extend(numbers.iter().copied().map(f64::from));
                wide.extend_from_slice(stored);
                *self = Self::F64(wide);
            }
            Self::F64(numbers) => numbers.extend_from_slice(stored),
            Self::Centred(_) => unreachable!("only whole blocks are centred"),
        }
    }

    /// Rounds the cells to four bytes each, unless they must stay exact. Returns whether it did.
    fn narrow(&mut self, centre: f64) -> bool {
        let Self::F64(exact) = self else { return false };
        let are_whole = exact.iter().all(|&stored| !is_number(stored) || stored.fract() == 0.0);
        // f32 rounds tiny numbers more coarsely, or to 0. They matter if all are tiny.
        let distances = exact.iter().filter(|&&stored| is_number(stored)).map(|stored| (stored - centre).abs());
        let largest = distances.fold(0.0, f64::max);
        if largest > 0.0 && largest < f64::from(f32::MIN_POSITIVE) {
            return false;
        }
        let mut narrow = Vec::with_capacity(exact.len());
        for &stored in exact.iter() {
            let rounded = if is_number(stored) { (stored - centre) as f32 } else { stored as f32 };
            let back = uncentred(rounded, centre);
            let must_be_exact = are_whole || !is_number(stored);
            if must_be_exact && back != stored || is_number(stored) && back.abs() > MAX_ABS_VALUE {
                return false;
            }
            narrow.push(rounded);
        }
        *self = if centre == 0.0 { Self::F32(narrow) } else { Self::Centred(narrow) };
        true
    }

    /// Appends the cells to the bytes of a file. Returns the number of their type.
    fn write(&self, bytes: &mut Vec<u8>) -> u64 {
        match self {
            Self::F32(numbers) | Self::Centred(numbers) => {
                bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            }
            Self::F64(numbers) => bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes())),
        }
        match self {
            Self::F32(_) => 0,
            Self::F64(_) => 1,
            Self::Centred(_) => 2,
        }
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

    /// Appends the stored cells of consecutive rows.
    fn append_to(&self, rows: Range<usize>, centre: f64, numbers: &mut Vec<f64>) {
        match self {
            Self::F32(cells) => numbers.extend(cells[rows].iter().map(|&cell| f64::from(cell))),
            Self::F64(cells) => numbers.extend_from_slice(&cells[rows]),
            Self::Centred(cells) => numbers.extend(cells[rows].iter().map(|&cell| uncentred(cell, centre))),
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
    /// Creates a part with space for so many cells.
    pub(crate) fn with_capacity(n: usize) -> Self {
        Self { stored: Vec::with_capacity(n), texts: None }
    }

    /// Returns the number of cells.
    pub(crate) fn len(&self) -> usize {
        self.stored.len()
    }

    /// Appends a cell that is no text.
    pub(crate) fn push(&mut self, cell: Cell) {
        self.stored.push(cell.to_stored());
    }

    /// Appends a text.
    pub(crate) fn push_text(&mut self, text: &str) {
        let position = self.texts.get_or_insert_default().position(text);
        self.stored.push(Cell::Text(position).to_stored());
    }
}

impl Column {
    /// Creates an empty column.
    pub(crate) fn new(is_exact: bool) -> Self {
        Self { is_exact, ..Self::default() }
    }

    /// Appends a number and keeps it exact.
    fn push_exact(&mut self, number: f64) {
        self.with_space().extend(&[number]);
    }

    /// Appends the cells of a part, rounded if there are many and they need not be exact.
    pub(crate) fn append(&mut self, mut part: ColumnPart) {
        if let Some(of_part) = &part.texts {
            let texts = self.texts.get_or_insert_default();
            let positions: Vec<u32> = of_part.iter().map(|text| texts.position(text)).collect();
            for stored in &mut part.stored {
                if let Cell::Text(own) = Cell::of_stored(*stored) {
                    *stored = Cell::Text(positions[own as usize]).to_stored();
                }
            }
        }
        let mut rest = &part.stored[..];
        while !rest.is_empty() {
            let last = self.with_space();
            let (taken, left) = rest.split_at(rest.len().min(BLOCK - last.len()));
            last.extend(taken);
            rest = left;
            if last.len() == BLOCK {
                self.round();
            }
        }
    }

    /// Returns the last block, which has space for a cell.
    fn with_space(&mut self) -> &mut Block {
        if self.blocks.last().is_none_or(|last| last.len() == BLOCK) {
            self.whole_bytes += self.blocks.last().map_or(0, Block::bytes);
            if self.blocks.is_empty() {
                self.blocks.reserve_exact(1);
            }
            self.blocks.push(Block::F32(Vec::new()));
        }
        self.blocks.last_mut().expect("a block was added")
    }

    /// Rounds the cells of full blocks if there are many.
    fn round(&mut self) {
        let (n, n_in_memory) = (self.n_in_file() + self.blocks.len(), self.blocks.len());
        if self.is_exact || n <= EXACT_BLOCKS || self.texts().iter().any(|text| !MISSING.contains(&text)) {
            return;
        }
        if n == EXACT_BLOCKS + 1 {
            // Now the column is long.
            self.centre = self.find_centre();
            for block in &mut self.blocks {
                self.is_rounded |= block.narrow(self.centre);
            }
            self.round_in_file();
            self.whole_bytes = self.blocks[..n_in_memory - 1].iter().map(Block::bytes).sum();
        } else {
            self.is_rounded |= self.blocks[n_in_memory - 1].narrow(self.centre);
        }
    }

    /// Rounds the cells of the blocks in the file.
    fn round_in_file(&mut self) {
        let Some(in_file) = &mut self.in_file else { return };
        let mut bytes = Vec::new();
        for i in 0..in_file.places.len() {
            let mut block = in_file.load(i);
            if block.narrow(self.centre) {
                self.is_rounded = true;
                bytes.clear();
                let kind = block.write(&mut bytes);
                in_file.places[i] = 4 * in_file.scratch.append_or_note(&bytes) + kind;
            }
        }
    }

    /// Returns the number of blocks in the file.
    fn n_in_file(&self) -> usize {
        self.in_file.as_ref().map_or(0, |blocks| blocks.places.len())
    }

    /// Returns a block in memory, or the blocks in the file, which have it.
    fn block(&self, index: usize) -> Result<&Block, &BlocksInFile> {
        match &self.in_file {
            Some(blocks) if index < blocks.places.len() => Err(blocks),
            _ => Ok(&self.blocks[index - self.n_in_file()]),
        }
    }

    /// Returns the number of whole blocks in memory. They may be written to a file.
    fn n_whole(&self) -> usize {
        self.blocks.iter().take_while(|block| block.len() == BLOCK).count()
    }

    /// Writes the whole blocks of a table's columns to a file, and frees them. The blocks of the
    /// same rows are side by side.
    pub(crate) fn move_to_file(columns: &mut [Self], scratch: &Arc<Scratch>) -> Result<(), DataError> {
        let n_whole = columns.iter().map(Self::n_whole).min().unwrap_or_default();
        let mut bytes = Vec::new();
        for i in 0..n_whole {
            bytes.clear();
            let first: Vec<u64> = columns
                .iter()
                .map(|column| {
                    let start = bytes.len() as u64;
                    4 * start + column.blocks[i].write(&mut bytes)
                })
                .collect();
            let start = scratch.append(&bytes)?;
            for (column, first) in columns.iter_mut().zip(first) {
                let in_file = column.in_file.get_or_insert_with(|| BlocksInFile::new(scratch));
                in_file.places.push(4 * start + first);
                column.blocks[i] = Block::F32(Vec::new());
            }
        }
        for column in columns {
            column.blocks.drain(..n_whole);
            let n = column.blocks.len();
            column.whole_bytes = column.blocks[..n.saturating_sub(1)].iter().map(Block::bytes).sum();
        }
        Ok(())
    }

    /// Returns the numbers that a cell of this number may hold: itself, or rounded in two ways.
    pub(crate) fn stored_forms(&self, number: f64) -> impl Iterator<Item = f64> + use<> {
        let is_rounded = self.is_rounded;
        let rounded = [f64::from(number as f32), uncentred((number - self.centre) as f32, self.centre)];
        std::iter::once(number).chain(rounded.into_iter().filter(move |_| is_rounded))
    }

    /// Returns whether some numbers were rounded to `f32`. Others may be exact.
    pub(crate) fn is_rounded(&self) -> bool {
        self.is_rounded
    }

    /// Returns the mean if it is large beside the standard deviation, else 0.
    fn find_centre(&self) -> f64 {
        let numbers = || {
            let mut cells = self.reader();
            (0..EXACT_BLOCKS * BLOCK).map(move |row| cells.get(row)).filter(|&stored| is_number(stored))
        };
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

    /// Returns the stored cell of a row.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub(crate) fn get(&self, row: usize) -> f64 {
        self.reader().get(row)
    }

    /// Returns a reader of the cells.
    pub(crate) fn reader(&self) -> CellReader<'_> {
        CellReader { column: self, loaded: None }
    }

    /// Returns the memory that the cells and their texts take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let texts = self.texts.as_ref().map_or(0, |texts| texts.bytes());
        self.whole_bytes + self.blocks.last().map_or(0, Block::bytes) + texts
    }

    /// Returns the texts that occur.
    pub(crate) fn texts(&self) -> &Texts {
        static NONE: LazyLock<Texts> = LazyLock::new(Texts::default);
        self.texts.as_deref().unwrap_or(&NONE)
    }

    /// Appends the stored cells of consecutive rows.
    ///
    /// # Panics
    /// Panics if a row is past the end.
    pub(crate) fn append_to(&self, rows: Range<usize>, numbers: &mut Vec<f64>) {
        let mut first = rows.start;
        while first < rows.end {
            let start = first % BLOCK;
            let in_block = start..BLOCK.min(start + rows.end - first);
            first += in_block.len();
            let index = (first - 1) / BLOCK;
            match self.block(index) {
                Ok(block) => block.append_to(in_block, self.centre, numbers),
                Err(blocks) => blocks.load(index).append_to(in_block, self.centre, numbers),
            }
        }
    }

    /// Frees a block of [`BLOCK`] rows. They must not be read again.
    pub(crate) fn free(&mut self, block: usize) {
        if let Some(block) = block.checked_sub(self.n_in_file()) {
            self.blocks[block] = Block::F32(Vec::new());
        }
    }
}
