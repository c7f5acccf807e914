//! Matrices of numbers, and why an expression may have none.

use crate::number::Number;
use crate::real::Real;

/// A matrix of numbers. A vector has one column, and a scalar one entry.
#[derive(Clone, Debug)]
pub(crate) struct Value<N> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Row by row.
    pub(crate) entries: Vec<N>,
}

impl<N: Clone> Value<N> {
    pub(crate) fn scalar(entry: N) -> Self {
        Self { rows: 1, columns: 1, entries: vec![entry] }
    }

    pub(crate) fn map(&self, f: impl Fn(&N) -> N) -> Self {
        Self { rows: self.rows, columns: self.columns, entries: self.entries.iter().map(f).collect() }
    }

    pub(crate) fn is_scalar(&self) -> bool {
        self.entries.len() == 1
    }

    pub(crate) fn transposed(&self) -> Self {
        let at = |row: usize, column: usize| self.entries[column * self.columns + row].clone();
        let entries = (0..self.columns).flat_map(|row| (0..self.rows).map(move |column| (row, column)));
        Self { rows: self.columns, columns: self.rows, entries: entries.map(|(row, column)| at(row, column)).collect() }
    }
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum EvaluationError {
    /// It takes too many operations.
    TooLarge,
    /// It has no meaning: one sentence without a full stop.
    Meaningless(String),
}

pub(crate) type Result<T> = std::result::Result<T, EvaluationError>;

pub(crate) fn meaningless<T>(message: impl Into<String>) -> Result<T> {
    Err(EvaluationError::Meaningless(message.into()))
}

pub(crate) fn shape<N>(value: &Value<N>) -> String {
    match (value.rows, value.columns) {
        (1, 1) => "a number".into(),
        (rows, 1) => format!("a vector of {rows}"),
        (rows, columns) => format!("{rows} × {columns}"),
    }
}

/// Returns the rows and columns of values with indices of these lengths. Values with more than two
/// indices are a list of all entries.
pub(crate) fn sides(lengths: &[usize]) -> (usize, usize) {
    match *lengths {
        [] => (1, 1),
        [rows] => (rows, 1),
        [rows, columns] => (rows, columns),
        _ => (lengths.iter().fold(1, |count: usize, &length| count.saturating_mul(length)), 1),
    }
}

pub(crate) fn zip<N: Number>(a: &Value<N>, b: &Value<N>, f: impl Fn(&N, &N) -> N) -> Result<Value<N>> {
    if (a.rows, a.columns) != (b.rows, b.columns) {
        return meaningless(format!("{} meets {}", shape(a), shape(b)));
    }
    let entries = a.entries.iter().zip(&b.entries).map(|(a, b)| f(a, b)).collect();
    Ok(Value { rows: a.rows, columns: a.columns, entries })
}

pub(crate) fn multiply<N: Number>(a: &Value<N>, b: &Value<N>) -> Result<Value<N>> {
    if a.columns != b.rows {
        return meaningless(format!("a product of {} and {}", shape(a), shape(b)));
    }
    let mut entries = Vec::with_capacity(a.rows * b.columns);
    for row in 0..a.rows {
        for column in 0..b.columns {
            let product = |k: usize| a.entries[row * a.columns + k].mul(&b.entries[k * b.columns + column]);
            entries.push((1..a.columns).fold(product(0), |sum, k| sum.add(&product(k))));
        }
    }
    Ok(Value { rows: a.rows, columns: b.columns, entries })
}

pub(crate) fn sum_of_squares<N: Number>(a: &Value<N>) -> N {
    a.entries.iter().fold(N::constant(Real::ZERO), |sum, entry| sum.add(&entry.powi(2)))
}
