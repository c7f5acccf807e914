//! Whether a step follows from a wrong one.

use super::Diagnosis;
use super::build::{derivative, product, simple_derivative};
use crate::tree::{Bound, Expr, Index, Kind, Name, Span};

/// A step that was found wrong.
#[derive(Clone, Debug)]
pub(crate) struct WrongClaim {
    pub(crate) line: usize,
    pub(crate) left: Expr,
    pub(crate) right: Expr,
}

impl Diagnosis<'_> {
    /// Returns the line of the wrong step that a step follows from, if it would be right if that
    /// step were.
    pub(crate) fn follows(&self, wrong: &[WrongClaim], before: usize, place: usize) -> Option<usize> {
        for claim in wrong {
            let (Some((of, by)), Some(_)) = (claim.derivative(), Some(())) else { continue };
            // The step uses the wrong result by name: dC/dz = dC/dp dp/dz = …
            let used = std::cell::Cell::new(false);
            let replaced = self.exprs[before].map(&|part| match simple_derivative(&part) {
                Some((a, b)) if a.head == of.head && b.head == by.head && before > 0 => {
                    used.set(true);
                    claim.instantiate(a, b)
                }
                _ => part,
            });
            if used.get() && self.equals(&replaced, place) {
                return Some(claim.line);
            }
            // The step is a later result: dC/dw = dC/dz dz/dw, with the wrong dC/dz.
            if let Some((target, variable)) = simple_derivative(self.exprs[0])
                && self.equals(&claim.consequence(target, variable), place)
            {
                return Some(claim.line);
            }
        }
        None
    }
}

impl WrongClaim {
    fn derivative(&self) -> Option<(&Name, &Name)> {
        simple_derivative(&self.left)
    }

    /// Returns the wrong right side with the indices of another place.
    fn instantiate(&self, of: &Name, by: &Name) -> Expr {
        let Some((own_of, own_by)) = self.derivative() else { return self.right.clone() };
        let own = own_of.indices.iter().chain(&own_of.row).chain(&own_by.indices).chain(&own_by.row);
        let new = of.indices.iter().chain(&of.row).chain(&by.indices).chain(&by.row);
        let pairs: Vec<(Index, Index)> = own.cloned().zip(new.cloned()).collect();
        let change = |index: &Index| {
            pairs.iter().find(|(own, _)| own == index).map_or_else(|| index.clone(), |(_, new)| new.clone())
        };
        let row = self.right.map_names(&|name| {
            if let Some(row) = &mut name.row {
                *row = change(row);
            }
        });
        row.map_indices(&change)
    }

    /// Returns what ∂T/∂V would be if this wrong claim about ∂A/∂B were right:
    /// the sum over the indices of A and B of ∂T/∂A (wrong) ∂B/∂V.
    fn consequence(&self, target: &Name, variable: &Name) -> Expr {
        let Some((of, by)) = self.derivative() else { return self.right.clone() };
        let mut bound: Vec<Bound> = Vec::new();
        let mut fresh = |name: &Name, prefix: &str| {
            let mut name = name.clone();
            for (place, index) in name.indices.iter_mut().enumerate() {
                let letter = format!("{prefix}{place}");
                bound.push(Bound { letter: letter.clone(), from: None, to: None, less: 0 });
                *index = Index::Letter(letter);
            }
            name
        };
        let same_target = target.head == of.head && target.indices.len() == of.indices.len();
        let same_variable = variable.head == by.head && variable.indices.len() == by.indices.len();
        let outer = if same_target { target.clone() } else { fresh(of, "outer") };
        let inner = if same_variable { variable.clone() } else { fresh(by, "inner") };
        let mut term = self.instantiate(&outer, &inner);
        if !same_target {
            term = product(derivative(target, &outer), term);
        }
        if !same_variable {
            term = product(term, derivative(&inner, variable));
        }
        if bound.is_empty() {
            return term;
        }
        // Its place only identifies the sum.
        let span = Span { start: usize::MAX - 1, end: usize::MAX };
        Expr::new(Kind::Sum { product: false, bound, conditions: Vec::new(), body: Box::new(term) }, span)
    }
}
