use std::ops::Range;

/// A compact sequence of exact numbers.
///
/// Numbers are stored in blocks. A block uses four bytes per number if f32 represents all of them
/// exactly, as for small integers, else eight. The consuming iterator frees each block after its
/// last number.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// All blocks but the last have [`BLOCK`] numbers.
    blocks: Vec<Block>,
    /// The bytes of all blocks but the last.
    whole_bytes: u64,
}

/// The numbers per block.
const BLOCK: usize = 1 << 14;

#[derive(Clone, Debug)]
enum Block {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Block {
    fn len(&self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::F64(numbers) => numbers.len(),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::F32(numbers) => size_of_val(&numbers[..]) as u64,
            Self::F64(numbers) => size_of_val(&numbers[..]) as u64,
        }
    }

    fn get(&self, index: usize) -> f64 {
        match self {
            Self::F32(numbers) => numbers[index].into(),
            Self::F64(numbers) => numbers[index],
        }
    }

    fn push(&mut self, number: f64) {
        match self {
            // Compare bits, so that -0 keeps its sign.
            Self::F32(numbers) if f64::from(number as f32).to_bits() == number.to_bits() => numbers.push(number as f32),
            Self::F32(numbers) => {
                let mut wide = Vec::with_capacity(numbers.capacity());
                wide.extend(numbers.iter().copied().map(f64::from));
                wide.push(number);
                *self = Self::F64(wide);
            }
            Self::F64(numbers) => numbers.push(number),
        }
    }
}

impl Values {
    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK + last.len())
    }

    /// Returns whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Returns the memory that the values take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.whole_bytes + self.blocks.last().map_or(0, Block::bytes)
    }

    /// Appends a number.
    pub fn push(&mut self, number: f64) {
        match self.blocks.last_mut() {
            Some(last) if last.len() < BLOCK => last.push(number),
            last => {
                self.whole_bytes += last.map_or(0, |last| last.bytes());
                let mut block = Block::F32(Vec::new());
                block.push(number);
                self.blocks.push(block);
            }
        }
    }

    /// Returns the number at an index.
    ///
    /// # Panics
    /// Panics if `index` is past the end.
    pub fn get(&self, index: usize) -> f64 {
        self.blocks[index / BLOCK].get(index % BLOCK)
    }

    /// Returns the numbers of a row of d numbers.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub fn row(&self, d: usize, row: usize) -> Vec<f64> {
        (row * d..(row + 1) * d).map(|index| self.get(index)).collect()
    }

    /// Appends the numbers at these indices to `numbers`.
    ///
    /// # Panics
    /// Panics if `indices` goes past the end.
    pub(crate) fn append_to(&self, indices: Range<usize>, numbers: &mut Vec<f64>) {
        let Range { mut start, end } = indices;
        while start < end {
            let (block, from) = (&self.blocks[start / BLOCK], start % BLOCK);
            let to = BLOCK.min(from + end - start);
            match block {
                Block::F32(block) => numbers.extend(block[from..to].iter().copied().map(f64::from)),
                Block::F64(block) => numbers.extend_from_slice(&block[from..to]),
            }
            start += to - from;
        }
    }

    /// Iterates over all numbers.
    pub fn iter(&self) -> impl Iterator<Item = f64> + Clone {
        self.blocks.iter().flat_map(|block| (0..block.len()).map(move |index| block.get(index)))
    }
}

impl FromIterator<f64> for Values {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        let mut values = Self::default();
        numbers.into_iter().for_each(|number| values.push(number));
        values
    }
}

impl From<Vec<f64>> for Values {
    fn from(numbers: Vec<f64>) -> Self {
        numbers.into_iter().collect()
    }
}

/// Iterates over the numbers and frees each block after its last number.
impl IntoIterator for Values {
    type Item = f64;
    type IntoIter = Box<dyn Iterator<Item = f64>>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.blocks.into_iter().flat_map(|block| (0..block.len()).map(move |index| block.get(index))))
    }
}

/// Compares the numbers, whatever their storage.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
