//! The lines of a table's rows.

/// The line of each row. Rows on consecutive lines take no memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowLines {
    /// The first row of each run of consecutive lines, and its line.
    runs: Vec<(u32, u32)>,
    n: usize,
}

impl RowLines {
    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.n
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n == 0
    }

    pub(crate) fn push(&mut self, line: u32) {
        let next = self.runs.last().map(|&(row, first)| u64::from(first) + self.n as u64 - u64::from(row));
        if next != Some(line.into()) {
            self.runs.push((self.n as u32, line));
        }
        self.n += 1;
    }

    pub(crate) fn get(&self, row: usize) -> Option<u32> {
        if row >= self.n {
            return None;
        }
        let run = self.runs.partition_point(|&(first, _)| first as usize <= row).checked_sub(1)?;
        let (first, line) = self.runs[run];
        Some(line + (row as u32 - first))
    }

    /// Returns the line of the last row.
    pub(crate) fn last(&self) -> Option<u32> {
        self.get(self.n.checked_sub(1)?)
    }

    /// Appends the lines of the rows that follow.
    pub(crate) fn append(&mut self, others: &Self) {
        (0..others.n).filter_map(|row| others.get(row)).for_each(|line| self.push(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_in_runs() {
        let all = [2, 3, 4, 6, 7, 7, 2, 3, 100, u32::MAX - 1, u32::MAX];
        for middle in 0..all.len() {
            let [mut lines, mut others] = [RowLines::default(), RowLines::default()];
            all[..middle].iter().for_each(|&line| lines.push(line));
            all[middle..].iter().for_each(|&line| others.push(line));
            lines.append(&others);
            assert_eq!((0..all.len() + 1).map_while(|row| lines.get(row)).collect::<Vec<_>>(), all);
            assert_eq!((lines.len(), lines.runs.len()), (all.len(), 6));
        }
    }
}
