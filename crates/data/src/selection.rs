use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::{DataError, Images, Split};

/// Rows of some images and the position of each one's class among a run's classes, before any pixel is copied.
#[derive(Clone, Debug)]
pub struct Selection {
    images: Arc<Images>,
    rows: Chosen,
    /// Of each label, where it is one of the classes.
    positions: Arc<[Option<u8>; 256]>,
}

/// Which images.
#[derive(Clone, Debug)]
enum Chosen {
    /// All of a range.
    All(Range<usize>),
    /// These, in the file's order; there are fewer than 2^32, as an IDX header counts them.
    Some(Arc<[u32]>),
}

impl Selection {
    /// The images of `range` whose label is one of `classes`, in their order; a class may have no label among these images.
    pub(crate) fn new(
        images: &Arc<Images>,
        range: Range<usize>,
        classes: impl IntoIterator<Item = Option<u8>>,
    ) -> Self {
        let mut positions = [None; 256];
        for (position, class) in (0..=u8::MAX).zip(classes) {
            if let Some(label) = class {
                positions[usize::from(label)] = Some(position);
            }
        }
        let labels = &images.labels()[range.clone()];
        let is_chosen = |label: u8| positions[usize::from(label)].is_some();
        let rows = if labels.iter().all(|&label| is_chosen(label)) {
            Chosen::All(range)
        } else {
            Chosen::Some(range.filter(|&row| is_chosen(images.labels()[row])).map(|row| row as u32).collect())
        };
        Self { images: Arc::clone(images), rows, positions: Arc::new(positions) }
    }

    /// The position of a class that has no row.
    pub(crate) fn empty_class(&self) -> Option<usize> {
        let mut seen = [false; 256];
        (0..self.len()).for_each(|row| seen[usize::from(self.label(row))] = true);
        self.positions.iter().flatten().map(|&position| usize::from(position)).filter(|&position| !seen[position]).min()
    }

    /// Rows.
    pub fn len(&self) -> usize {
        match &self.rows {
            Chosen::All(range) => range.len(),
            Chosen::Some(rows) => rows.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pixel rows and columns of an image.
    pub fn size(&self) -> [usize; 2] {
        let (height, width) = self.images.size();
        [height, width]
    }

    /// Features of a row, d: an image's pixels.
    pub fn n_features(&self) -> usize {
        let [height, width] = self.size();
        height * width
    }

    /// Bytes of all rows' pixels.
    pub fn bytes(&self) -> u64 {
        self.len() as u64 * self.n_features() as u64
    }

    /// The file that the images stay in, where they do.
    pub fn file(&self) -> Option<&Path> {
        self.images.file()
    }

    /// The position of a row's class.
    ///
    /// # Panics
    /// Where `row` is past the end.
    pub fn label(&self, row: usize) -> u8 {
        let label = self.images.labels()[self.image(row)];
        self.positions[usize::from(label)].expect("rows of other classes are not chosen")
    }

    /// The pixels of these rows, one after the other, in `room`, which becomes as large as they need. Rows that follow each other in the file are
    /// read at once.
    ///
    /// # Errors
    /// Where the images stay in their file and that cannot be read any more.
    ///
    /// # Panics
    /// Where a row is past the end.
    pub fn read_rows<'a>(
        &self,
        rows: impl ExactSizeIterator<Item = usize>,
        room: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], DataError> {
        let size = self.n_features();
        room.resize(rows.len() * size, 0);
        let mut rest = &mut room[..];
        let mut images = rows.map(|row| self.image(row)).peekable();
        while let Some(first) = images.next() {
            let mut count = 1;
            while images.next_if_eq(&(first + count)).is_some() {
                count += 1;
            }
            let (next, after) = rest.split_at_mut(count * size);
            self.images.read_pixels(first, next)?;
            rest = after;
        }
        Ok(room)
    }

    /// All rows, in memory.
    ///
    /// # Errors
    /// Where the images stay in their file and that cannot be read any more.
    pub fn read(&self) -> Result<Split, DataError> {
        let mut pixels = Vec::new();
        self.read_rows(0..self.len(), &mut pixels)?;
        Ok(Split { size: self.size(), pixels, labels: (0..self.len()).map(|row| self.label(row)).collect() })
    }

    /// The number in the file of a row's image, from 0.
    ///
    /// # Panics
    /// Where `row` is past the end.
    pub fn image(&self, row: usize) -> usize {
        match &self.rows {
            Chosen::All(range) => {
                assert!(row < range.len(), "row {row} of {}", range.len());
                range.start + row
            }
            Chosen::Some(rows) => rows[row] as usize,
        }
    }
}
