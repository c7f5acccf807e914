//! The syntax tree. Indices are indices, not parts of names, and every node knows its place.

use std::fmt;

/// A range of bytes of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) start: usize,
    /// The byte after the last.
    pub(crate) end: usize,
}

impl Span {
    /// Returns the smallest span that contains both.
    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// An index: the j of `w_j`, or the 1 of `z_1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Index {
    /// A letter, perhaps with primes.
    Letter(String),
    /// A number, as it is written: whether counting begins at 0 or 1 is found later.
    Number(i64),
}

/// A name with its indices: `w_{jk}`, `\hat y_k^{(n)}`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Name {
    /// The name without its indices, like `w`, `ŷ` or `λ`.
    pub(crate) head: String,
    /// The subscripts.
    pub(crate) indices: Vec<Index>,
    /// The superscript `(n)`, which selects a row.
    pub(crate) row: Option<Index>,
    /// The place in the document.
    pub(crate) span: Span,
}

/// An expression with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expr {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it is.
    pub(crate) span: Span,
}

/// The functions that the language knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// e to the power of x.
    Exp,
    /// The natural logarithm.
    Ln,
    /// The logistic function 1 / (1 + e^-x).
    Sigmoid,
    /// The derivative of the logistic function, σ'.
    SigmoidSlope,
    /// The hyperbolic tangent.
    Tanh,
    /// max(x, 0).
    Relu,
    /// The square root.
    Sqrt,
    /// The absolute value.
    Abs,
    /// e^x / sum e^x of a vector, or of each row of a matrix.
    Softmax,
    /// The diagonal matrix of a vector.
    Diag,
    /// The trace of a matrix.
    Trace,
    /// The Euclidean length of a vector or matrix.
    Norm,
    /// The transpose.
    Transpose,
    /// The larger of two numbers.
    Max,
}

/// The operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product, of matrices too.
    Mul,
    /// Quotient.
    Div,
    /// Power.
    Pow,
    /// Element by element.
    Hadamard,
}

/// A condition between two indices.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    /// The left index.
    pub(crate) left: Index,
    /// The right index.
    pub(crate) right: Index,
    /// Whether they are equal, or different.
    pub(crate) equal: bool,
}

/// A letter that a sum or product binds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bound {
    /// The letter.
    pub(crate) letter: String,
    /// The first value, if it is written: 0 or 1.
    pub(crate) from: Option<i64>,
    /// The last value, if it is written.
    pub(crate) to: Option<Limit>,
}

/// The upper limit of a sum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Limit {
    /// A named size, as in `K`, or `K - 1` after a lower limit of 0.
    Size(String),
    /// A number.
    Number(i64),
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A number: digits, and the power of ten that divides them.
    Number {
        /// All digits without the point.
        digits: f64,
        /// The number of digits after the point.
        decimals: i32,
    },
    /// A variable.
    Name(Name),
    /// A function of the document, `f(a)`.
    Apply(Name, Vec<Expr>),
    /// A minus sign.
    Neg(Box<Expr>),
    /// An operator with two operands.
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// A known function.
    Call(Function, Vec<Expr>),
    /// An entry of an expression, like `softmax(z)_k`.
    Entry(Box<Expr>, Vec<Index>),
    /// A sum, or a product.
    Sum {
        /// Whether it is a product.
        product: bool,
        /// The letters it binds.
        bound: Vec<Bound>,
        /// Which values are left out.
        conditions: Vec<Condition>,
        /// The term.
        body: Box<Expr>,
    },
    /// Values for cases. The last may have no condition.
    Cases(Vec<(Expr, Option<Condition>)>),
    /// 1 if the condition is true, otherwise 0: `δ_{jk}` and `[j = k]`.
    Indicator(Condition),
    /// A derivative by one or more names, the last one first.
    Derivative(Box<Expr>, Vec<Name>),
    /// A vector of ones, as long as its place requires.
    Ones,
    /// Nothing: the right side of a line that is still to be derived.
    Missing,
}

impl Expr {
    /// Makes an expression.
    pub(crate) fn new(kind: Kind, span: Span) -> Self {
        Self { kind, span }
    }

    /// Calls a function on the direct parts.
    pub(crate) fn for_each_part<'a>(&'a self, f: &mut dyn FnMut(&'a Expr)) {
        match &self.kind {
            Kind::Neg(a) | Kind::Entry(a, _) | Kind::Derivative(a, _) | Kind::Sum { body: a, .. } => f(a),
            Kind::Binary(_, a, b) => {
                f(a);
                f(b);
            }
            Kind::Call(_, all) | Kind::Apply(_, all) => all.iter().for_each(f),
            Kind::Cases(cases) => cases.iter().for_each(|(value, _)| f(value)),
            Kind::Number { .. } | Kind::Name(_) | Kind::Indicator(_) | Kind::Ones | Kind::Missing => {}
        }
    }

    /// Calls a function on this expression and on all below it.
    pub(crate) fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a Expr)) {
        f(self);
        self.for_each_part(&mut |part| part.visit(f));
    }

    /// Calls a function on every name, those of derivatives too.
    pub(crate) fn visit_names<'a>(&'a self, f: &mut dyn FnMut(&'a Name)) {
        self.visit(&mut |expr| match &expr.kind {
            Kind::Name(name) | Kind::Apply(name, _) => f(name),
            Kind::Derivative(_, by) => by.iter().for_each(&mut *f),
            _ => {}
        });
    }

    /// Returns a copy in which a function has changed every expression, the innermost first.
    #[must_use]
    pub(crate) fn map(&self, f: &dyn Fn(Expr) -> Expr) -> Self {
        let one = |a: &Expr| Box::new(a.map(f));
        let kind = match &self.kind {
            Kind::Neg(a) => Kind::Neg(one(a)),
            Kind::Entry(a, indices) => Kind::Entry(one(a), indices.clone()),
            Kind::Derivative(a, by) => Kind::Derivative(one(a), by.clone()),
            Kind::Sum { product, bound, conditions, body } => {
                Kind::Sum { product: *product, bound: bound.clone(), conditions: conditions.clone(), body: one(body) }
            }
            Kind::Binary(operator, a, b) => Kind::Binary(*operator, one(a), one(b)),
            Kind::Call(function, all) => Kind::Call(*function, all.iter().map(|a| a.map(f)).collect()),
            Kind::Apply(name, all) => Kind::Apply(name.clone(), all.iter().map(|a| a.map(f)).collect()),
            Kind::Cases(cases) => Kind::Cases(cases.iter().map(|(a, when)| (a.map(f), when.clone())).collect()),
            kind => kind.clone(),
        };
        f(Expr::new(kind, self.span))
    }

    /// Returns a copy in which a function has changed every name.
    #[must_use]
    pub(crate) fn map_names(&self, f: &dyn Fn(&mut Name)) -> Self {
        self.map(&|mut expr| {
            match &mut expr.kind {
                Kind::Name(name) | Kind::Apply(name, _) => f(name),
                Kind::Derivative(_, by) => by.iter_mut().for_each(f),
                _ => {}
            }
            expr
        })
    }

    /// Returns a copy with other indices: those of names, entries and conditions.
    #[must_use]
    pub(crate) fn map_indices(&self, f: &dyn Fn(&Index) -> Index) -> Self {
        let condition = |c: &Condition| Condition { left: f(&c.left), right: f(&c.right), equal: c.equal };
        self.map_names(&|name| {
            name.indices.iter_mut().for_each(|index| *index = f(index));
        })
        .map(&|mut expr| {
            match &mut expr.kind {
                Kind::Entry(_, indices) => indices.iter_mut().for_each(|index| *index = f(index)),
                Kind::Indicator(when) => *when = condition(when),
                Kind::Sum { conditions, bound, .. } => {
                    conditions.iter_mut().for_each(|c| *c = condition(c));
                    for bound in bound {
                        if let Index::Letter(letter) = f(&Index::Letter(bound.letter.clone())) {
                            bound.letter = letter;
                        }
                    }
                }
                Kind::Cases(cases) => cases.iter_mut().flat_map(|(_, when)| when).for_each(|c| *c = condition(c)),
                _ => {}
            }
            expr
        })
    }

    /// Returns whether an expression is simple enough to need no parentheses as a factor.
    fn is_factor(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Neg(_) | Kind::Binary(Operator::Add | Operator::Sub, ..) | Kind::Sum { .. } | Kind::Cases(_)
        )
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Letter(letter) => f.write_str(letter),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

fn subscripts(indices: &[Index]) -> String {
    let all: Vec<String> = indices.iter().map(ToString::to_string).collect();
    match all.len() {
        0 => String::new(),
        1 => format!("_{}", all[0]),
        _ => format!("_{{{}}}", all.concat()),
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.head, subscripts(&self.indices))?;
        self.row.as_ref().map_or(Ok(()), |row| write!(f, "^({row})"))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.left, if self.equal { "=" } else { "≠" }, self.right)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exp => "exp",
            Self::Ln => "ln",
            Self::Sigmoid => "σ",
            Self::SigmoidSlope => "σ'",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::Sqrt => "sqrt",
            Self::Abs => "abs",
            Self::Softmax => "softmax",
            Self::Diag => "diag",
            Self::Trace => "tr",
            Self::Norm => "norm",
            Self::Transpose => "transpose",
            Self::Max => "max",
        })
    }
}

/// Prints an expression in plain notation, which the parser reads back.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let factor = |a: &Expr| if a.is_factor() { a.to_string() } else { format!("({a})") };
        match &self.kind {
            Kind::Number { digits, decimals } => write!(f, "{}", digits / 10f64.powi(*decimals)),
            Kind::Name(name) => write!(f, "{name}"),
            Kind::Apply(name, all) => write!(f, "{name}({})", join(all)),
            Kind::Neg(a) => write!(f, "-{}", factor(a)),
            Kind::Binary(Operator::Add, a, b) => write!(f, "{a} + {b}"),
            Kind::Binary(Operator::Sub, a, b) => {
                let is_sum = matches!(b.kind, Kind::Binary(Operator::Add | Operator::Sub, ..) | Kind::Neg(_));
                if is_sum { write!(f, "{a} - ({b})") } else { write!(f, "{a} - {b}") }
            }
            Kind::Binary(Operator::Mul, a, b) => {
                let is_product = matches!(b.kind, Kind::Binary(Operator::Div, ..));
                if is_product { write!(f, "{} ({b})", factor(a)) } else { write!(f, "{} {}", factor(a), factor(b)) }
            }
            Kind::Binary(Operator::Hadamard, a, b) => write!(f, "{} ∘ {}", factor(a), factor(b)),
            Kind::Binary(Operator::Div, a, b) => {
                let is_product = matches!(b.kind, Kind::Binary(Operator::Div | Operator::Mul, ..));
                let below = if is_product { format!("({b})") } else { factor(b) };
                write!(f, "{}/{below}", factor(a))
            }
            Kind::Binary(Operator::Pow, a, b) => match a.kind {
                Kind::Name(_) | Kind::Number { .. } => write!(f, "{a}^({b})"),
                _ => write!(f, "({a})^({b})"),
            },
            Kind::Call(Function::Transpose, all) => match all[0].kind {
                Kind::Name(_) => write!(f, "{}ᵀ", all[0]),
                _ => write!(f, "({})ᵀ", all[0]),
            },
            Kind::Call(function, all) => write!(f, "{function}({})", join(all)),
            Kind::Entry(a, indices) => write!(f, "({a}){}", subscripts(indices)),
            Kind::Sum { product, bound, conditions, body } => {
                let letters = bound.iter().map(|bound| match bound.from.or(bound.to.as_ref().map(|_| 1)) {
                    Some(from) => format!("{}={from}", bound.letter),
                    None => bound.letter.clone(),
                });
                let conditions = conditions.iter().map(ToString::to_string);
                let below: Vec<String> = letters.chain(conditions).collect();
                write!(f, "{}_{{{}}}", if *product { "∏" } else { "∑" }, below.join(", "))?;
                match bound.first().and_then(|first| Some((first.from, first.to.as_ref()?))) {
                    Some((Some(0), Limit::Size(size))) => write!(f, "^{{{size} - 1}}")?,
                    Some((_, Limit::Size(size))) => write!(f, "^{{{size}}}")?,
                    Some((_, Limit::Number(last))) => write!(f, "^{{{last}}}")?,
                    None => {}
                }
                write!(f, " {}", factor(body))
            }
            Kind::Cases(cases) => {
                let all: Vec<String> = cases
                    .iter()
                    .map(|(value, when)| match when {
                        Some(when) => format!("{value} if {when}"),
                        None => format!("{value} otherwise"),
                    })
                    .collect();
                f.write_str(&all.join(", "))
            }
            Kind::Indicator(when) => write!(f, "[{when}]"),
            Kind::Derivative(a, by) => {
                let below: Vec<String> = by.iter().map(|name| format!("∂{name}")).collect();
                let order = if by.len() > 1 { format!("^{}", by.len()) } else { String::new() };
                match a.kind {
                    Kind::Name(_) => write!(f, "∂{order}{a}/{}", below.join(" ")),
                    // In parentheses, because it would differentiate the factors that follow too.
                    _ => write!(f, "(∂{order}/{} ({a}))", below.join(" ")),
                }
            }
            Kind::Ones => f.write_str("𝟏"),
            Kind::Missing => f.write_str("?"),
        }
    }
}

fn join(all: &[Expr]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
