//! Builds expressions for candidates.

use crate::tree::{Expr, Kind, Name, Operator, Span};

pub(super) fn expr(kind: Kind) -> Expr {
    Expr::new(kind, Span::default())
}

pub(super) fn product(a: Expr, b: Expr) -> Expr {
    expr(Kind::Binary(Operator::Mul, Box::new(a), Box::new(b)))
}

pub(super) fn add(a: Expr, b: Expr) -> Expr {
    expr(Kind::Binary(Operator::Add, Box::new(a), Box::new(b)))
}

pub(super) fn subtract(a: Expr, b: Expr) -> Expr {
    expr(Kind::Binary(Operator::Sub, Box::new(a), Box::new(b)))
}

pub(super) fn quotient(a: Expr, b: Expr) -> Expr {
    expr(Kind::Binary(Operator::Div, Box::new(a), Box::new(b)))
}

pub(super) fn integer(value: f64) -> Expr {
    expr(Kind::Number { digits: value, decimals: 0 })
}

pub(super) fn named(name: &Name) -> Expr {
    expr(Kind::Name(name.clone()))
}

pub(super) fn derivative(of: &Name, by: &Name) -> Expr {
    expr(Kind::Derivative(Box::new(named(of)), vec![by.clone()]))
}

/// Returns the names of a first derivative of a name by a name.
pub(super) fn simple_derivative(expr: &Expr) -> Option<(&Name, &Name)> {
    match &expr.kind {
        Kind::Derivative(of, by) => match (&of.kind, by.as_slice()) {
            (Kind::Name(of) | Kind::Apply(of, _), [by]) => Some((of, by)),
            _ => None,
        },
        _ => None,
    }
}
