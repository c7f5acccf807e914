//! The syntax tree. Indices are indices, not parts of names, and every node knows its place.

use std::fmt;

/// A range of bytes of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// A letter plus a number: `i+1`.
    Offset(String, i64),
    /// The value of a name, which is an index itself: the class of a row in `\omega_{c^{(n)}}`.
    /// Its span is empty, so that equal indices are equal wherever they stand.
    Value(Box<Name>),
}

impl Index {
    /// Calls a function on every letter, those of names too.
    pub(crate) fn for_each_letter<'a>(&'a self, f: &mut dyn FnMut(&'a str)) {
        match self {
            Self::Letter(letter) | Self::Offset(letter, _) => f(letter),
            Self::Number(_) => {}
            Self::Value(name) => name.indices.iter().chain(&name.row).for_each(|index| index.for_each_letter(f)),
        }
    }

    /// Calls a function on the names whose values are indices here.
    fn visit_names<'a>(&'a self, f: &mut dyn FnMut(&'a Name)) {
        if let Self::Value(name) = self {
            f(name);
            name.visit_indices(f);
        }
    }

    /// Returns a copy with other names.
    fn map_names(&self, f: &dyn Fn(&mut Name)) -> Self {
        match self {
            Self::Value(name) => Self::Value(Box::new(name.mapped(f))),
            other => other.clone(),
        }
    }

    /// Returns a copy with other letters and numbers.
    fn mapped(&self, f: &dyn Fn(&Self) -> Self) -> Self {
        match self {
            Self::Value(name) => {
                let mut name = name.clone();
                name.indices.iter_mut().for_each(|index| *index = index.mapped(f));
                Self::Value(name)
            }
            Self::Offset(letter, by) => match f(&Self::Letter(letter.clone())) {
                Self::Letter(letter) => Self::Offset(letter, *by),
                Self::Number(number) => Self::Number(number + by),
                _ => self.clone(),
            },
            other => f(other),
        }
    }
}

/// A name with its indices: `w_{jk}`, `\hat y_k^{(n)}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

impl Name {
    /// Calls a function on the names in the indices.
    fn visit_indices<'a>(&'a self, f: &mut dyn FnMut(&'a Self)) {
        self.indices.iter().chain(&self.row).for_each(|index| index.visit_names(f));
    }

    /// Returns a copy that a function has changed, and the names in the indices too.
    fn mapped(&self, f: &dyn Fn(&mut Self)) -> Self {
        let mut name = self.clone();
        name.indices.iter_mut().chain(&mut name.row).for_each(|index| *index = index.map_names(f));
        f(&mut name);
        name
    }
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
    /// The second argument where the first is positive, and the third where it is negative. Without
    /// a third, it is not defined there.
    Choose,
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
    /// The first value, if it is written.
    pub(crate) from: Option<i64>,
    /// The last value, if it is written.
    pub(crate) to: Option<Limit>,
    /// How many of the last values are left out: 1 in a sum from 1 to d - 1.
    pub(crate) less: i64,
}

impl Bound {
    /// Returns which of a range's values the letter takes: the first, and the one after the last.
    /// Counting begins at `base`. There are none if the written limits are not in the range.
    pub(crate) fn values(&self, base: i64, length: usize) -> std::ops::Range<usize> {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let (first, after) = match (self.from, &self.to) {
            (None | Some(0 | 1), None) => (0, length),
            (Some(from), None) => (from - base, length),
            // From 1 to K and from 0 to K - 1 are all values, however the document counts.
            (None | Some(1), Some(Limit::Size(_))) if self.less == 0 => (0, length),
            (Some(0), Some(Limit::Size(_))) if self.less == 1 => (0, length),
            (from, Some(Limit::Size(_))) => (from.unwrap_or(base) - base, length - self.less - base + 1),
            (None | Some(0 | 1), Some(Limit::Number(_))) => (0, length),
            (Some(from), Some(Limit::Number(last))) => (from - base, last - base + 1),
        };
        let place = |at: i64| usize::try_from(at.clamp(0, length)).unwrap_or(0);
        place(first)..place(after).max(place(first))
    }
}

/// The upper limit of a sum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Limit {
    /// A named size, as in `K`.
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
    /// A derivative along a direction: `\frac{\partial C}{\partial W}[V]`, the sum over all
    /// entries of the derivative by an entry of W times the entry of V.
    Along(Box<Expr>, Name, Box<Expr>),
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
            Kind::Binary(_, a, b) | Kind::Along(a, _, b) => {
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

    /// Calls a function on every name, those of derivatives and in indices too.
    pub(crate) fn visit_names<'a>(&'a self, f: &mut dyn FnMut(&'a Name)) {
        self.visit(&mut |expr| match &expr.kind {
            Kind::Name(name) | Kind::Apply(name, _) => {
                f(name);
                name.visit_indices(f);
            }
            Kind::Derivative(_, by) => by.iter().for_each(|name| {
                f(name);
                name.visit_indices(f);
            }),
            Kind::Along(_, by, _) => {
                f(by);
                by.visit_indices(f);
            }
            _ => expr.for_each_index(&mut |index| index.visit_names(f)),
        });
    }

    /// Calls a function on the indices of this expression, but not on those of its names and parts.
    fn for_each_index<'a>(&'a self, f: &mut dyn FnMut(&'a Index)) {
        let mut condition = |condition: &'a Condition| {
            f(&condition.left);
            f(&condition.right);
        };
        match &self.kind {
            Kind::Indicator(when) => condition(when),
            Kind::Sum { conditions, .. } => conditions.iter().for_each(condition),
            Kind::Cases(cases) => cases.iter().filter_map(|(_, when)| when.as_ref()).for_each(condition),
            Kind::Entry(_, indices) => indices.iter().for_each(f),
            _ => {}
        }
    }

    /// Calls a function on every index, those of names too.
    pub(crate) fn visit_indices<'a>(&'a self, f: &mut dyn FnMut(&'a Index)) {
        self.visit_names(&mut |name| name.indices.iter().chain(&name.row).for_each(&mut *f));
        self.visit(&mut |expr| expr.for_each_index(f));
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
            Kind::Along(a, by, direction) => Kind::Along(one(a), by.clone(), one(direction)),
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
        let condition = |c: &mut Condition| {
            c.left = c.left.map_names(f);
            c.right = c.right.map_names(f);
        };
        self.map(&|mut expr| {
            match &mut expr.kind {
                Kind::Name(name) | Kind::Apply(name, _) => *name = name.mapped(f),
                Kind::Derivative(_, by) => by.iter_mut().for_each(|name| *name = name.mapped(f)),
                Kind::Along(_, by, _) => *by = by.mapped(f),
                Kind::Indicator(when) => condition(when),
                Kind::Sum { conditions, .. } => conditions.iter_mut().for_each(condition),
                Kind::Cases(cases) => cases.iter_mut().filter_map(|(_, when)| when.as_mut()).for_each(condition),
                Kind::Entry(_, indices) => indices.iter_mut().for_each(|index| *index = index.map_names(f)),
                _ => {}
            }
            expr
        })
    }

    /// Returns a copy with other indices: those of names, entries and conditions.
    #[must_use]
    pub(crate) fn map_indices(&self, f: &dyn Fn(&Index) -> Index) -> Self {
        let condition = |c: &Condition| Condition { left: c.left.mapped(f), right: c.right.mapped(f), equal: c.equal };
        let name = |name: &mut Name| name.indices.iter_mut().for_each(|index| *index = index.mapped(f));
        self.map(&|mut expr| {
            match &mut expr.kind {
                Kind::Name(found) | Kind::Apply(found, _) => name(found),
                Kind::Derivative(_, by) => by.iter_mut().for_each(name),
                Kind::Along(_, by, _) => name(by),
                Kind::Entry(_, indices) => indices.iter_mut().for_each(|index| *index = index.mapped(f)),
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
        match &self.kind {
            Kind::Neg(_) | Kind::Binary(Operator::Add | Operator::Sub, ..) | Kind::Sum { .. } | Kind::Cases(_) => false,
            Kind::Call(Function::Choose, _) => self.to_string().starts_with('['),
            _ => true,
        }
    }

    /// Returns whether it is this whole number.
    pub(crate) fn is_number(&self, number: f64) -> bool {
        matches!(self.kind, Kind::Number { digits, decimals: 0 } if digits == number)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Letter(letter) => f.write_str(letter),
            Self::Number(number) => write!(f, "{number}"),
            Self::Offset(letter, by) => write!(f, "{letter}{by:+}"),
            Self::Value(name) => write!(f, "{name}"),
        }
    }
}

fn subscripts(indices: &[Index]) -> String {
    let all: Vec<String> = indices.iter().map(ToString::to_string).collect();
    match all.len() {
        0 => String::new(),
        1 if matches!(indices[0], Index::Letter(_) | Index::Number(0..)) => format!("_{}", all[0]),
        _ if indices.iter().all(|index| matches!(index, Index::Letter(_))) => format!("_{{{}}}", all.concat()),
        _ => format!("_{{{}}}", all.join(", ")),
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
            Self::Choose => "choose",
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
            Kind::Call(Function::Choose, all) => match all.as_slice() {
                [test, one, zero] if one.is_number(1.0) && zero.is_number(0.0) => write!(f, "[{test} > 0]"),
                [test, yes, no] => write!(f, "{yes} if {test} > 0, {no} otherwise"),
                _ => write!(f, "{} if {} > 0", all[1], all[0]),
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
                match bound.first().and_then(|first| Some((first.less, first.to.as_ref()?))) {
                    Some((0, Limit::Size(size))) => write!(f, "^{{{size}}}")?,
                    Some((less, Limit::Size(size))) => write!(f, "^{{{size} - {less}}}")?,
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
            Kind::Along(a, by, direction) => match a.kind {
                Kind::Name(_) => write!(f, "∂{a}/∂{by}[{direction}]"),
                _ => write!(f, "(∂/∂{by} ({a}))[{direction}]"),
            },
            Kind::Ones => f.write_str("𝟏"),
            Kind::Missing => f.write_str("?"),
        }
    }
}

fn join(all: &[Expr]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
