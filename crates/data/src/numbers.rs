use std::ops::Range;

/// The numbers of a table's rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    /// Features of a row, d.
    pub(crate) n_features: usize,
    /// `n * d` numbers, row by row.
    pub(crate) values: Values,
}

/// Numbers in a row, exactly, and in little more memory than their text took: block by block in
/// four bytes each where these are enough, as for small whole numbers, else in eight. Who takes
/// them apart frees each block when it is through with it.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// All but the last have [`BLOCK`] numbers.
    blocks: Vec<Block>,
    /// Bytes of all but the last.
    whole_bytes: u64,
}

/// Numbers of a block.
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

    fn get(&self, place: usize) -> f64 {
        match self {
            Self::F32(numbers) => numbers[place].into(),
            Self::F64(numbers) => numbers[place],
        }
    }

    fn push(&mut self, number: f64) {
        match self {
            // Bit for bit, so that -0 stays what it is.
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
    /// How many there are.
    pub fn len(&self) -> usize {
        self.blocks.last().map_or(0, |last| (self.blocks.len() - 1) * BLOCK + last.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        self.whole_bytes + self.blocks.last().map_or(0, Block::bytes)
    }

    /// Adds a number.
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

    /// The number at a place.
    ///
    /// # Panics
    /// Where there is none.
    pub fn get(&self, place: usize) -> f64 {
        self.blocks[place / BLOCK].get(place % BLOCK)
    }

    /// The numbers of a row, where each has d.
    ///
    /// # Panics
    /// Where `row` is past the end.
    pub fn row(&self, d: usize, row: usize) -> Vec<f64> {
        (row * d..(row + 1) * d).map(|place| self.get(place)).collect()
    }

    /// Puts the numbers at these places behind others.
    ///
    /// # Panics
    /// Where there are none.
    pub(crate) fn append_to(&self, places: Range<usize>, numbers: &mut Vec<f64>) {
        let Range { mut start, end } = places;
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

    /// All of them, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = f64> + Clone {
        self.blocks.iter().flat_map(|block| (0..block.len()).map(move |place| block.get(place)))
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

/// One after the other, each block being freed when its last number was taken.
impl IntoIterator for Values {
    type Item = f64;
    type IntoIter = Box<dyn Iterator<Item = f64>>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.blocks.into_iter().flat_map(|block| (0..block.len()).map(move |place| block.get(place))))
    }
}

/// The same numbers, in however many bytes.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
