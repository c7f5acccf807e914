//! The labels of a table's rows.

/// A small number for each row, such as the position of its label. Up to 256 different ones take a
/// byte each, more take two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowCodes {
    Bytes(Vec<u8>),
    Wide(Vec<u16>),
}

impl Default for RowCodes {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl RowCodes {
    pub(crate) fn push(&mut self, code: u16) {
        match (&mut *self, u8::try_from(code)) {
            (Self::Bytes(codes), Ok(code)) => codes.push(code),
            (Self::Bytes(codes), Err(_)) => {
                let mut wide: Vec<u16> = codes.iter().copied().map(u16::from).collect();
                wide.push(code);
                *self = Self::Wide(wide);
            }
            (Self::Wide(codes), _) => codes.push(code),
        }
    }

    /// Returns the code of a row.
    ///
    /// # Panics
    /// Panics if `row` is past the end.
    pub(crate) fn get(&self, row: usize) -> u16 {
        match self {
            Self::Bytes(codes) => codes[row].into(),
            Self::Wide(codes) => codes[row],
        }
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(codes) => codes.len(),
            Self::Wide(codes) => codes.len(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Returns the memory that the codes take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(codes) => codes.len() as u64,
            Self::Wide(codes) => 2 * codes.len() as u64,
        }
    }
}

impl FromIterator<u16> for RowCodes {
    fn from_iter<I: IntoIterator<Item = u16>>(codes: I) -> Self {
        let mut of_rows = Self::default();
        codes.into_iter().for_each(|code| of_rows.push(code));
        of_rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_any_size_are_kept() {
        let codes: Vec<u16> = (0..1000).map(|i| i % 300).chain([0, u16::MAX, 255, 256]).collect();
        for n in [0, 1, 256, 257, codes.len()] {
            let kept: RowCodes = codes[..n].iter().copied().collect();
            assert_eq!(kept.iter().collect::<Vec<_>>(), codes[..n]);
            assert_eq!(kept.bytes(), if n <= 256 { n as u64 } else { 2 * n as u64 });
        }
    }
}
