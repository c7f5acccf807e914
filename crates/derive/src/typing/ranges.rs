//! Ranges of indices, and their unification.

/// A class of equal ranges, before unification.
pub(crate) type Range = usize;

/// The range of the rows.
pub(crate) const ROWS: Range = 0;

/// Ranges that unification has found to be equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    pub(super) parents: Vec<Range>,
    /// Ranges of a fixed length, by any member of their class.
    pub(super) fixed: Vec<(Range, usize)>,
    /// The smallest allowed length, because of an index that is a number.
    pub(super) least: Vec<(Range, usize)>,
}

impl Ranges {
    pub(super) fn fresh(&mut self) -> Range {
        self.parents.push(self.parents.len());
        self.parents.len() - 1
    }

    /// Returns whether a range is one of these: others have been made since, for a claim.
    pub(crate) fn contains(&self, range: Range) -> bool {
        range < self.parents.len()
    }

    /// Returns the representative of a class.
    pub(crate) fn find(&self, mut range: Range) -> Range {
        while self.parents[range] != range {
            range = self.parents[range];
        }
        range
    }

    pub(super) fn unify(&mut self, a: Range, b: Range) {
        let (a, b) = (self.find(a), self.find(b));
        // The smaller number stays, so that the result does not depend on the order.
        self.parents[a.max(b)] = a.min(b);
    }

    /// Returns the fixed length of a class, if it has one.
    pub(crate) fn fixed(&self, range: Range) -> Option<usize> {
        self.fixed.iter().find(|(fixed, _)| self.find(*fixed) == self.find(range)).map(|(_, length)| *length)
    }

    /// Returns the smallest allowed length of a class.
    pub(crate) fn least(&self, range: Range) -> usize {
        let of_class = self.least.iter().filter(|(least, _)| self.find(*least) == self.find(range));
        of_class.map(|(_, length)| *length).max().unwrap_or(1)
    }

    /// Returns the representatives of all classes.
    pub(crate) fn classes(&self) -> Vec<Range> {
        (0..self.parents.len()).filter(|&range| self.parents[range] == range).collect()
    }
}
