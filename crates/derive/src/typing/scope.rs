//! The shapes of expressions, and which indices run over the same range.

use std::collections::BTreeSet;

use super::{Model, ROWS, Range, Result, Typing};
use crate::document::Definition;
use crate::error::ParseError;
use crate::parse::is_index_letter;
use crate::tree::{Bound, Condition, Expr, Function, Index, Kind, Limit, Name, Operator, Span};

/// One side of a shape: a single row or column, or a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    One,
    Range(Range),
}

/// A shape: rows and columns. A vector is a column, and a scalar has one row and one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape(pub(crate) Side, pub(crate) Side);

const SCALAR: Shape = Shape(Side::One, Side::One);

/// The letters in scope while types are found.
pub(super) struct Scope<'a> {
    pub(super) model: &'a mut Model,
    pub(super) typing: &'a mut Typing,
    pub(super) bound: Vec<(String, Range)>,
    pub(super) depth: usize,
}

impl Scope<'_> {
    pub(super) fn definition(&mut self, definition: &Definition) -> Result<()> {
        let name = &definition.name;
        self.row(name)?;
        self.shape_of_name(name)?;
        let shape = self.shape(&definition.body)?;
        if name.indices.is_empty() {
            let slots = self.model.slots.get(&name.head).cloned().unwrap_or_default();
            let own = match slots.as_slice() {
                [] => SCALAR,
                [rows] => Shape(Side::Range(*rows), Side::One),
                [rows, columns, ..] => Shape(Side::Range(*rows), Side::Range(*columns)),
            };
            let own =
                if slots.len() == 1 && shape.0 == Side::One { Shape(Side::One, Side::Range(slots[0])) } else { own };
            self.same(own, shape, definition.body.span)?;
        }
        let used: BTreeSet<String> = self.typing.free.iter().map(|(letter, _)| letter.clone()).collect();
        let own = |letter: &String| {
            let index = Index::Letter(letter.clone());
            name.indices.contains(&index) || name.row.as_ref() == Some(&index)
        };
        if let Some(stray) = used.iter().find(|letter| !own(letter)) {
            let message = format!(
                "the index `{stray}` of this definition of `{}` is neither on its left side nor bound by a sum",
                name.head
            );
            return Err(ParseError::new(definition.body.span.start, message));
        }
        Ok(())
    }

    /// Returns the range of a letter. A letter that no sum binds is free.
    fn letter(&mut self, letter: &str) -> Range {
        if let Some((_, range)) = self.bound.iter().rev().find(|(bound, _)| bound == letter) {
            return *range;
        }
        if let Some((_, range)) = self.typing.free.iter().find(|(free, _)| free == letter) {
            return *range;
        }
        let range = self.typing.ranges.fresh();
        self.typing.free.push((letter.to_owned(), range));
        range
    }

    /// Says that an index runs over a range.
    fn index(&mut self, index: &Index, range: Range, span: Span) -> Result<()> {
        match index {
            Index::Letter(letter) => {
                let own = self.letter(letter);
                self.typing.ranges.unify(own, range);
            }
            Index::Number(number) => {
                let least = number - self.model.base + 1;
                if !(1..=16).contains(&least) {
                    return Err(ParseError::new(span.start, format!("the index {number} is not between 0 and 16")));
                }
                self.typing.ranges.least.push((range, (least as usize).max(2)));
            }
            Index::Offset(letter, by) => {
                let own = self.letter(letter);
                self.typing.ranges.unify(own, range);
                // Some values of the letter are such that both are in the range.
                self.typing.ranges.least.push((range, by.unsigned_abs() as usize + 2));
            }
            Index::Value(name) => {
                self.row(name)?;
                if self.shape_of_name(name)? != SCALAR {
                    let message = format!("`{name}` is an index here, so it must be a number");
                    return Err(ParseError::new(span.start, message));
                }
                if let Some(&label) = self.model.labels.get(&name.head) {
                    self.typing.ranges.unify(label, range);
                }
            }
        }
        Ok(())
    }

    pub(super) fn condition(&mut self, condition: &Condition, span: Span) -> Result<()> {
        let range = match (&condition.left, &condition.right) {
            (Index::Letter(letter) | Index::Offset(letter, _), _)
            | (_, Index::Letter(letter) | Index::Offset(letter, _)) => self.letter(letter),
            (Index::Value(name), _) | (_, Index::Value(name)) if self.model.labels.contains_key(&name.head) => {
                self.model.labels[&name.head]
            }
            _ => return Err(ParseError::new(span.start, "a condition needs an index that is a letter")),
        };
        self.index(&condition.left, range, span)?;
        self.index(&condition.right, range, span)
    }

    fn row(&mut self, name: &Name) -> Result<()> {
        match &name.row {
            Some(row) => self.index(row, ROWS, name.span),
            None => Ok(()),
        }
    }

    fn shape_of_name(&mut self, name: &Name) -> Result<Shape> {
        let slots = match self.model.slots.get(&name.head) {
            Some(slots) => slots.clone(),
            None => {
                // A name that only a candidate of the diagnosis uses.
                let slots: Vec<Range> = name.indices.iter().map(|_| self.typing.ranges.fresh()).collect();
                slots
            }
        };
        if name.indices.is_empty() {
            return Ok(match slots.as_slice() {
                [] => SCALAR,
                [rows] => Shape(Side::Range(*rows), Side::One),
                [rows, columns] => Shape(Side::Range(*rows), Side::Range(*columns)),
                _ => {
                    let message = format!("`{}` has {} indices; write all of them here", name.head, slots.len());
                    return Err(ParseError::new(name.span.start, message));
                }
            });
        }
        if name.indices.len() != slots.len() {
            let count = |n: usize| match n {
                0 => "no index".to_owned(),
                1 => "1 index".to_owned(),
                n => format!("{n} indices"),
            };
            let (here, elsewhere) = (count(name.indices.len()), count(slots.len()));
            let message = format!("`{}` has {here} here and {elsewhere} elsewhere", name.head);
            return Err(ParseError::new(name.span.start, message));
        }
        for (index, slot) in name.indices.iter().zip(slots) {
            self.index(index, slot, name.span)?;
        }
        Ok(SCALAR)
    }

    fn same_side(&mut self, a: Side, b: Side, span: Span) -> Result<()> {
        match (a, b) {
            (Side::One, Side::One) => Ok(()),
            (Side::Range(a), Side::Range(b)) => {
                self.typing.ranges.unify(a, b);
                Ok(())
            }
            _ => {
                let message = "a number meets a vector here, or a vector a matrix; \
                               say what is a vector, like `b \\in \\mathbb R^K`, or write indices";
                Err(ParseError::new(span.start, message))
            }
        }
    }

    fn same(&mut self, a: Shape, b: Shape, span: Span) -> Result<()> {
        self.same_side(a.0, b.0, span)?;
        self.same_side(a.1, b.1, span)
    }

    pub(super) fn shape(&mut self, expr: &Expr) -> Result<Shape> {
        self.depth += 1;
        let shape = self.shape_inner(expr);
        self.depth -= 1;
        shape
    }

    fn shape_inner(&mut self, expr: &Expr) -> Result<Shape> {
        let span = expr.span;
        match &expr.kind {
            Kind::Number { .. } | Kind::Missing => Ok(SCALAR),
            Kind::Ones => {
                let range = self.typing.ranges.fresh();
                self.typing.ones.insert(span, range);
                Ok(Shape(Side::Range(range), Side::One))
            }
            Kind::Name(name) => {
                self.row(name)?;
                if name.row.is_some() && self.model.is_input(&name.head) && !self.model.by_row.contains(&name.head) {
                    let message = format!("`{}` has no rows, so it cannot have the superscript of one", name.head);
                    return Err(ParseError::new(name.span.start, message));
                }
                self.shape_of_name(name)
            }
            Kind::Apply(name, arguments) => {
                self.row(name)?;
                for argument in arguments {
                    self.shape(argument)?;
                }
                self.shape_of_name(name)
            }
            Kind::Neg(a) => self.shape(a),
            Kind::Binary(operator, a, b) => {
                let (left, right) = (self.shape(a)?, self.shape(b)?);
                match operator {
                    Operator::Add | Operator::Sub | Operator::Hadamard => {
                        self.same(left, right, span)?;
                        Ok(left)
                    }
                    Operator::Mul if left == SCALAR => Ok(right),
                    Operator::Mul if right == SCALAR => Ok(left),
                    Operator::Mul => {
                        if left.1 != right.0 && (left.1 == Side::One || right.0 == Side::One) {
                            let message = "this product of vectors needs a transpose: write `x^\\top w`, `x w^\\top` or `x \\circ w`";
                            return Err(ParseError::new(span.start, message));
                        }
                        self.same_side(left.1, right.0, span)?;
                        Ok(Shape(left.0, right.1))
                    }
                    Operator::Div | Operator::Pow => {
                        if right != SCALAR || (*operator == Operator::Pow && left != SCALAR) {
                            let what = if *operator == Operator::Pow { "raised to a power" } else { "a divisor" };
                            return Err(ParseError::new(b.span.start, format!("a vector or matrix cannot be {what}")));
                        }
                        Ok(left)
                    }
                }
            }
            Kind::Call(function, all) => {
                let first = self.shape(&all[0])?;
                match function {
                    Function::Transpose => Ok(Shape(first.1, first.0)),
                    Function::Norm => Ok(SCALAR),
                    Function::Trace => {
                        self.same_side(first.0, first.1, span)?;
                        Ok(SCALAR)
                    }
                    Function::Diag => match first {
                        Shape(Side::Range(range), Side::One) => Ok(Shape(Side::Range(range), Side::Range(range))),
                        _ => Err(ParseError::new(span.start, "`diag` takes a vector")),
                    },
                    Function::Softmax if first == SCALAR => {
                        Err(ParseError::new(span.start, "`softmax` takes a vector or a matrix"))
                    }
                    Function::Choose => {
                        let value = self.shape(&all[1])?;
                        if let Some(other) = all.get(2) {
                            let other = self.shape(other)?;
                            self.same(value, other, span)?;
                        }
                        // A vector chooses entry by entry between two numbers.
                        if first == SCALAR || value == SCALAR {
                            return Ok(if first == SCALAR { value } else { first });
                        }
                        Err(ParseError::new(span.start, "a condition about a vector chooses between numbers only"))
                    }
                    Function::Max => {
                        let second = self.shape(&all[1])?;
                        self.same(first, second, span)?;
                        Ok(first)
                    }
                    _ => Ok(first),
                }
            }
            Kind::Entry(a, indices) => {
                let shape = self.shape(a)?;
                match (shape, indices.as_slice()) {
                    (Shape(Side::Range(range), Side::One) | Shape(Side::One, Side::Range(range)), [index]) => {
                        self.index(index, range, span)?;
                    }
                    (Shape(Side::Range(rows), Side::Range(columns)), [row, column]) => {
                        self.index(row, rows, span)?;
                        self.index(column, columns, span)?;
                    }
                    _ => {
                        return Err(ParseError::new(span.start, "these are not as many indices as the expression has"));
                    }
                }
                Ok(SCALAR)
            }
            Kind::Sum { bound, conditions, body, .. } => {
                let before = self.bound.len();
                let ranges = self.bind(bound);
                for condition in conditions {
                    self.condition(condition, span)?;
                }
                let shape = self.shape(body);
                self.bound.truncate(before);
                for (bound, range) in bound.iter().zip(&ranges) {
                    // A range that nothing else has could be anything.
                    let class = self.typing.ranges.find(*range);
                    let all = 0..self.typing.ranges.parents.len();
                    let is_known = bound.to.is_some()
                        || all.into_iter().any(|other| other != *range && self.typing.ranges.find(other) == class);
                    if !is_known {
                        let letter = &bound.letter;
                        let message = format!(
                            "nothing says over what `{letter}` runs in this sum; write its last value, like `\\sum_{{{letter}=1}}^K`"
                        );
                        return Err(ParseError::new(span.start, message));
                    }
                }
                self.typing.sums.insert(span, ranges);
                shape
            }
            Kind::Cases(cases) => {
                let mut first = None;
                for (value, condition) in cases {
                    let shape = self.shape(value)?;
                    if let Some(condition) = condition {
                        self.condition(condition, span)?;
                    }
                    match first {
                        None => first = Some(shape),
                        Some(first) => self.same(first, shape, span)?,
                    }
                }
                Ok(first.unwrap_or(SCALAR))
            }
            Kind::Indicator(condition) => {
                self.condition(condition, span)?;
                Ok(SCALAR)
            }
            Kind::Along(of, by, direction) => {
                self.direction(by, direction)?;
                self.shape(of)
            }
            Kind::Derivative(of, by) => {
                let mut shape = self.shape(of)?;
                for name in by {
                    self.row(name)?;
                    let by = self.shape_of_name(name)?;
                    shape = match (shape, by) {
                        (shape, SCALAR) => shape,
                        (SCALAR, by) => by,
                        (Shape(rows, Side::One), Shape(columns, Side::One)) => Shape(rows, columns),
                        _ => {
                            let message =
                                "a derivative of a matrix, or by one, has too many indices; write it with indices";
                            return Err(ParseError::new(span.start, message));
                        }
                    };
                }
                Ok(shape)
            }
        }
    }

    /// A direction has the shape of the name that it changes.
    fn direction(&mut self, by: &Name, direction: &Expr) -> Result<()> {
        self.row(by)?;
        let (by, shape) = (self.shape_of_name(by)?, self.shape(direction)?);
        self.same(by, shape, direction.span)
    }

    fn bind(&mut self, bound: &[Bound]) -> Vec<Range> {
        let mut ranges = Vec::new();
        for bound in bound {
            let range = match &bound.to {
                Some(Limit::Size(size)) => self.model.size(self.typing, size),
                Some(Limit::Number(last)) => {
                    let range = self.typing.ranges.fresh();
                    if bound.from.is_some_and(|from| from > 1) {
                        let least = usize::try_from(last - self.model.base + 1).unwrap_or(1);
                        self.typing.ranges.least.push((range, least));
                        ranges.push(range);
                        self.bound.push((bound.letter.clone(), range));
                        continue;
                    }
                    let length = last - bound.from.unwrap_or(1) + 1;
                    self.typing.ranges.fixed.push((range, usize::try_from(length).unwrap_or(0)));
                    range
                }
                None => self.typing.ranges.fresh(),
            };
            ranges.push(range);
            self.bound.push((bound.letter.clone(), range));
        }
        ranges
    }
}
/// Returns the letters that are free in an expression.
pub(crate) fn free_letters(expr: &Expr) -> BTreeSet<String> {
    fn collect(expr: &Expr, bound: &mut Vec<String>, free: &mut BTreeSet<String>) {
        let mut note = |index: &Index| {
            index.for_each_letter(&mut |letter| {
                if !bound.iter().any(|bound| bound == letter) {
                    free.insert(letter.to_owned());
                }
            });
        };
        match &expr.kind {
            Kind::Name(name) | Kind::Apply(name, _) => name.indices.iter().chain(&name.row).for_each(&mut note),
            Kind::Entry(_, indices) => indices.iter().for_each(&mut note),
            Kind::Derivative(_, by) => {
                by.iter().flat_map(|name| name.indices.iter().chain(&name.row)).for_each(&mut note);
            }
            Kind::Along(_, by, _) => by.indices.iter().chain(&by.row).for_each(&mut note),
            Kind::Indicator(condition) => [&condition.left, &condition.right].into_iter().for_each(&mut note),
            Kind::Cases(cases) => cases
                .iter()
                .filter_map(|(_, condition)| condition.as_ref())
                .flat_map(|condition| [&condition.left, &condition.right])
                .for_each(&mut note),
            _ => {}
        }
        let before = bound.len();
        if let Kind::Sum { bound: letters, conditions, .. } = &expr.kind {
            bound.extend(letters.iter().map(|bound| bound.letter.clone()));
            for index in conditions.iter().flat_map(|condition| [&condition.left, &condition.right]) {
                index.for_each_letter(&mut |letter| {
                    if !bound.iter().any(|bound| bound == letter) {
                        free.insert(letter.to_owned());
                    }
                });
            }
        }
        expr.for_each_part(&mut |part| collect(part, bound, free));
        bound.truncate(before);
    }
    let mut free = BTreeSet::new();
    collect(expr, &mut Vec::new(), &mut free);
    free.retain(|letter| is_index_letter(letter) || !letter.is_empty());
    free
}
