//! Evaluates expressions at a point.
//!
//! A derivative `∂C/∂z_k` evaluates C by its definitions, with z as a free variable that has its
//! current value. So z may itself be defined, and what z depends on stays as it is.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Div;
use std::rc::Rc;

use crate::number::Number;
use crate::point::Point;
use crate::real::Real;
use crate::tree::{Condition, Expr, Function, Index, Kind, Name, Operator, Span};
use crate::typing::{Model, Typing};
use crate::value::{EvaluationError, Result, Value, meaningless, multiply, shape, sides, sum_of_squares, zip};

/// What an evaluation needs to know, whatever its numbers are.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) model: &'a Model,
    pub(crate) typing: &'a Typing,
    pub(crate) point: &'a Point,
    /// The item in which the expression stands: later definitions of a name do not count.
    pub(crate) item: usize,
    /// The number of operations that are left.
    pub(crate) budget: &'a Cell<u64>,
}

/// A value that replaces a name's definition or its value at the point.
struct Override<N> {
    head: String,
    /// The row in which it does; none means in all.
    row: Option<usize>,
    value: Rc<Value<N>>,
}

/// What the indices of a name select.
enum Place {
    /// All entries: there are no indices.
    Whole,
    Entry(usize),
    /// Nothing: an index like i + 1 is past the last value.
    Outside,
}

impl Place {
    fn of<N: Number>(&self, value: &Value<N>) -> Value<N> {
        match self {
            Self::Whole => value.clone(),
            Self::Entry(entry) => Value::scalar(value.entries[*entry].clone()),
            Self::Outside => Value::scalar(N::constant(Real::UNDEFINED)),
        }
    }
}

/// Evaluates expressions with numbers of type `N`.
pub(crate) struct Evaluator<'a, N> {
    context: Context<'a>,
    row: usize,
    letters: Vec<(String, usize)>,
    overrides: Vec<Override<N>>,
    /// The values of definitions, by definition and row, under the current overrides.
    cache: HashMap<(usize, usize), Rc<Value<N>>>,
    inside: Vec<usize>,
    level: usize,
    depth: usize,
    /// The first operation that was not defined.
    undefined: RefCell<Option<(String, Span)>>,
}

impl<'a, N: Number> Evaluator<'a, N> {
    pub(crate) fn new(context: Context<'a>, letters: &[(String, usize)]) -> Self {
        let row = 0;
        Self {
            context,
            row,
            letters: letters.to_vec(),
            overrides: Vec::new(),
            cache: HashMap::new(),
            inside: Vec::new(),
            level: 0,
            depth: 0,
            undefined: RefCell::new(None),
        }
    }

    /// Returns the first operation that was not defined, if the last evaluation had one.
    pub(crate) fn undefined(&self) -> Option<(String, Span)> {
        self.undefined.borrow().clone()
    }

    /// Evaluates `of` with another number in the place of a name's entry: of the one that its
    /// indices select, or of `input` if it has none.
    pub(crate) fn replaced(
        &mut self,
        of: &Expr,
        name: &Name,
        input: usize,
        replace: impl FnOnce(&N) -> N,
    ) -> Result<Value<N>> {
        let row = self.row_of(name)?;
        let mut value = (*self.whole(name, row)?).clone();
        let entry = match self.place(name, &value)? {
            Place::Whole => input,
            Place::Entry(entry) => entry,
            Place::Outside => return meaningless("an index past the first or last"),
        };
        value.entries[entry] = replace(&value.entries[entry]);
        self.with_override(&name.head, self.row_of_override(name, row), value, |this| this.evaluate(of))
    }

    fn length(&self, range: usize) -> usize {
        self.context.point.length(&self.context.typing.ranges, range)
    }

    /// Returns the place that an index selects, from 0. It may be outside of the range.
    fn index(&mut self, index: &Index) -> Result<usize> {
        let place = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        match index {
            Index::Number(number) => Ok(place(number - self.context.model.base)),
            Index::Letter(letter) => self.letter(letter),
            Index::Offset(letter, by) => Ok(place(self.letter(letter)? as i64 + by)),
            Index::Value(name) => {
                let row = self.row_of(name)?;
                let value = self.whole(name, row)?;
                let entry = match self.place(name, &value)? {
                    Place::Entry(entry) => value.entries[entry].real(),
                    _ if value.is_scalar() => value.entries[0].real(),
                    _ => return meaningless(format!("`{name}` is an index, so it must be a number")),
                };
                let number = entry.as_integer(1e9);
                Ok(number.map_or(usize::MAX, |number| place(i64::from(number) - self.context.model.base)))
            }
        }
    }

    fn letter(&self, letter: &str) -> Result<usize> {
        match self.letters.iter().rev().find(|(known, _)| known == letter) {
            Some((_, value)) => Ok(*value),
            None => meaningless(format!("the index `{letter}` is not bound here")),
        }
    }

    fn holds(&mut self, condition: &Condition) -> Result<bool> {
        Ok((self.index(&condition.left)? == self.index(&condition.right)?) == condition.equal)
    }

    fn row_of(&mut self, name: &Name) -> Result<usize> {
        name.row.as_ref().map_or(Ok(self.row), |row| self.index(row))
    }

    /// A name with another value in each row is replaced in one row only.
    fn row_of_override(&self, name: &Name, row: usize) -> Option<usize> {
        let model = self.context.model;
        let depends =
            model.has_rows && (name.row.is_some() || model.by_row.contains(&name.head) || !model.is_input(&name.head));
        depends.then_some(row)
    }

    fn with_override<T>(
        &mut self,
        head: &str,
        row: Option<usize>,
        value: Value<N>,
        f: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.overrides.push(Override { head: head.to_owned(), row, value: Rc::new(value) });
        let cache = std::mem::take(&mut self.cache);
        let result = f(self);
        self.cache = cache;
        self.overrides.pop();
        result
    }

    /// Returns all entries of a name in a row.
    fn whole(&mut self, name: &Name, row: usize) -> Result<Rc<Value<N>>> {
        let replaced =
            self.overrides.iter().rev().find(|o| o.head == name.head && o.row.is_none_or(|only| only == row));
        if let Some(replaced) = replaced {
            return Ok(Rc::clone(&replaced.value));
        }
        let model = self.context.model;
        let inside = self.inside.last().copied();
        if let Some(place) = model.resolve(&name.head, name.row.is_some(), self.context.item, inside) {
            return self.defined(place, row);
        }
        if let Some(&range) = model.sizes.get(&name.head) {
            let length = self.length(range);
            return Ok(Rc::new(Value::scalar(N::constant(Real::new(length as f64)))));
        }
        match name.head.as_str() {
            "e" => return Ok(Rc::new(Value::scalar(N::constant(Real::ONE.exp())))),
            "π" => return Ok(Rc::new(Value::scalar(N::constant(Real::PI)))),
            _ => {}
        }
        match self.context.point.value(&name.head, row) {
            Some(value) => {
                let entries = value.entries.iter().map(|&entry| N::constant(entry)).collect();
                Ok(Rc::new(Value { rows: value.rows, columns: value.columns, entries }))
            }
            None => meaningless(format!("`{}` has no value here", name.head)),
        }
    }

    /// Evaluates a definition for all of its indices.
    fn defined(&mut self, place: usize, row: usize) -> Result<Rc<Value<N>>> {
        if let Some(value) = self.cache.get(&(place, row)) {
            return Ok(Rc::clone(value));
        }
        if self.inside.contains(&place) {
            return meaningless(format!("`{}` is defined by itself", self.context.model.definitions[place].name.head));
        }
        let definition = &self.context.model.definitions[place];
        let name = &definition.name;
        let letters = std::mem::take(&mut self.letters);
        let row_before = std::mem::replace(&mut self.row, row);
        self.inside.push(place);
        if let Some(Index::Letter(letter)) = &name.row {
            self.letters.push((letter.clone(), row));
        }
        let value = if name.indices.is_empty() {
            self.evaluate(&definition.body)
        } else {
            let slots = &self.context.model.slots[&name.head];
            let lengths: Vec<usize> = slots.iter().map(|&slot| self.length(slot)).collect();
            let count = lengths.iter().fold(1, |count: usize, &length| count.saturating_mul(length));
            let mut entries = Vec::new();
            let mut error = None;
            for entry in 0..count {
                let known = self.letters.len();
                // The last index counts fastest.
                let mut stride = count;
                for (index, length) in name.indices.iter().zip(&lengths) {
                    stride /= length;
                    if let Index::Letter(letter) = index {
                        self.letters.push((letter.clone(), entry / stride % length));
                    }
                }
                match self.scalar(&definition.body) {
                    Ok(entry) => entries.push(entry),
                    Err(found) => error = Some(found),
                }
                self.letters.truncate(known);
                if error.is_some() {
                    break;
                }
            }
            let (rows, columns) = sides(&lengths);
            match error {
                Some(error) => Err(error),
                None => Ok(Value { rows, columns, entries }),
            }
        };
        self.inside.pop();
        self.row = row_before;
        self.letters = letters;
        let value = Rc::new(value?);
        self.cache.insert((place, row), Rc::clone(&value));
        Ok(value)
    }

    /// Returns the place that a name's indices select.
    fn place(&mut self, name: &Name, value: &Value<N>) -> Result<Place> {
        if name.indices.is_empty() {
            return Ok(Place::Whole);
        }
        let slots = self.context.model.slots.get(&name.head).map_or(&[][..], Vec::as_slice);
        if slots.len() > 2 && slots.len() == name.indices.len() {
            let lengths: Vec<usize> = slots.iter().map(|&slot| self.length(slot)).collect();
            return self.select(&name.indices, &lengths, name.span);
        }
        self.select(&name.indices, &[value.rows, value.columns], name.span)
    }

    /// Returns the place in values of these lengths, of which the last counts fastest.
    fn select(&mut self, indices: &[Index], lengths: &[usize], span: Span) -> Result<Place> {
        let lengths = match (indices, lengths) {
            ([_], [1, length] | [length, 1]) => &[*length],
            _ if indices.len() == lengths.len() => lengths,
            _ => return meaningless("the indices do not fit the name or expression they belong to"),
        };
        let mut place = 0;
        for (index, &length) in indices.iter().zip(lengths) {
            let at = self.index(index)?;
            if at >= length {
                self.note_undefined(&format!("the index `{index}` past the first or last"), span);
                return Ok(Place::Outside);
            }
            place = place * length + at;
        }
        Ok(Place::Entry(place))
    }

    fn scalar(&mut self, expr: &Expr) -> Result<N> {
        let value = self.evaluate(expr)?;
        if value.is_scalar() {
            return Ok(value.entries.into_iter().next().unwrap_or_else(|| N::constant(Real::UNDEFINED)));
        }
        meaningless(format!("`{expr}` is not a number but {}", shape(&value)))
    }

    fn note_undefined(&self, what: &str, span: Span) {
        let mut undefined = self.undefined.borrow_mut();
        if undefined.is_none() {
            *undefined = Some((what.to_owned(), span));
        }
    }

    /// Evaluates an expression.
    pub(crate) fn evaluate(&mut self, expr: &Expr) -> Result<Value<N>> {
        let left = self.context.budget.get();
        if left == 0 {
            return Err(EvaluationError::TooLarge);
        }
        self.context.budget.set(left - 1);
        self.depth += 1;
        if self.depth > 300 {
            return meaningless("the definitions are nested too deep");
        }
        let value = self.evaluate_kind(expr);
        self.depth -= 1;
        value
    }

    fn evaluate_kind(&mut self, expr: &Expr) -> Result<Value<N>> {
        match &expr.kind {
            Kind::Number { digits, decimals } => {
                let value = Real::new(*digits);
                let value = if *decimals == 0 { value } else { value.div(Real::new(10f64.powi(*decimals))) };
                Ok(Value::scalar(N::constant(value)))
            }
            Kind::Missing => meaningless("the right side is missing"),
            Kind::Name(name) => {
                let row = self.row_of(name)?;
                let value = self.whole(name, row)?;
                Ok(self.place(name, &value)?.of(&value))
            }
            Kind::Apply(name, arguments) => self.apply(name, arguments),
            Kind::Neg(a) => Ok(self.evaluate(a)?.map(N::neg)),
            Kind::Binary(operator, a, b) => self.binary(*operator, a, b, expr.span),
            Kind::Call(Function::Choose, all) => self.choose(all, expr.span),
            Kind::Call(function, all) => self.call(*function, all, expr.span),
            Kind::Entry(a, indices) => {
                let value = self.evaluate(a)?;
                Ok(self.select(indices, &[value.rows, value.columns], expr.span)?.of(&value))
            }
            Kind::Sum { product, bound, conditions, body } => {
                let ranges = self.context.typing.sums.get(&expr.span).cloned().unwrap_or_default();
                if ranges.len() != bound.len() {
                    return meaningless("the range of this sum is not known");
                }
                let base = self.context.model.base;
                let values: Vec<_> =
                    bound.iter().zip(&ranges).map(|(bound, &range)| bound.values(base, self.length(range))).collect();
                let lengths: Vec<usize> = values.iter().map(ExactSizeIterator::len).collect();
                let known = self.letters.len();
                let mut total: Option<Value<N>> = None;
                let terms: usize = lengths.iter().fold(1, |product, &length| product.saturating_mul(length));
                for term in 0..terms {
                    let mut rest = term;
                    for ((bound, length), values) in bound.iter().zip(&lengths).zip(&values) {
                        self.letters.push((bound.letter.clone(), values.start + rest % length));
                        rest /= length;
                    }
                    let mut counts = true;
                    for condition in conditions {
                        counts &= self.holds(condition)?;
                    }
                    if counts {
                        let value = self.evaluate(body)?;
                        total = Some(match total {
                            None => value,
                            Some(total) if *product => zip(&total, &value, N::mul)?,
                            Some(total) => zip(&total, &value, N::add)?,
                        });
                    } else if self.context.budget.get() == 0 {
                        return Err(EvaluationError::TooLarge);
                    } else {
                        self.context.budget.set(self.context.budget.get() - 1);
                    }
                    self.letters.truncate(known);
                }
                let empty = if *product { Real::ONE } else { Real::ZERO };
                Ok(total.unwrap_or_else(|| Value::scalar(N::constant(empty))))
            }
            Kind::Cases(cases) => {
                for (value, condition) in cases {
                    let holds = match condition {
                        Some(condition) => self.holds(condition)?,
                        None => true,
                    };
                    if holds {
                        return self.evaluate(value);
                    }
                }
                meaningless("no case applies to some indices")
            }
            Kind::Indicator(condition) => {
                let one = if self.holds(condition)? { Real::ONE } else { Real::ZERO };
                Ok(Value::scalar(N::constant(one)))
            }
            Kind::Derivative(of, by) => self.derivative(of, by),
            Kind::Along(of, by, direction) => self.along(of, by, direction),
            Kind::Ones => {
                let length = self.context.typing.ones.get(&expr.span).map_or(1, |&range| self.length(range));
                Ok(Value { rows: length, columns: 1, entries: vec![N::constant(Real::ONE); length] })
            }
        }
    }

    fn apply(&mut self, name: &Name, arguments: &[Expr]) -> Result<Value<N>> {
        let row = self.row_of(name)?;
        let inside = self.inside.last().copied();
        let place = self.context.model.resolve(&name.head, name.row.is_some(), self.context.item, inside);
        let Some(place) = place else {
            return meaningless(format!("the function `{}` is not defined before this place", name.head));
        };
        let parameters = &self.context.model.definitions[place].parameters;
        if parameters.len() != arguments.len() {
            return meaningless(format!("`{}` takes {} arguments", name.head, parameters.len()));
        }
        let values = arguments.iter().map(|argument| self.evaluate(argument)).collect::<Result<Vec<_>>>()?;
        // An argument that is the parameter itself changes nothing, and keeps what depends on it.
        let pairs = parameters.iter().zip(arguments).zip(values);
        let changed = pairs.filter(|((parameter, argument), _)| match &argument.kind {
            Kind::Name(name) => name.head != parameter.head || name.row.is_some(),
            _ => true,
        });
        let count = self.overrides.len();
        for ((parameter, _), value) in changed {
            self.overrides.push(Override { head: parameter.head.clone(), row: None, value: Rc::new(value) });
        }
        let is_changed = self.overrides.len() > count;
        let cache = if is_changed { std::mem::take(&mut self.cache) } else { HashMap::new() };
        let value = self.defined(place, row);
        self.overrides.truncate(count);
        if is_changed {
            self.cache = cache;
        }
        let value = value?;
        Ok(self.place(name, &value)?.of(&value))
    }

    fn binary(&mut self, operator: Operator, a: &Expr, b: &Expr, span: Span) -> Result<Value<N>> {
        // The square of a norm is smooth at zero, and the norm is not.
        if let (Operator::Pow, Kind::Call(Function::Norm, all), Kind::Number { digits: 2.0, decimals: 0 }) =
            (operator, &a.kind, &b.kind)
        {
            return Ok(Value::scalar(sum_of_squares(&self.evaluate(&all[0])?)));
        }
        let left = self.evaluate(a)?;
        let right = self.evaluate(b)?;
        match operator {
            Operator::Add => zip(&left, &right, N::add),
            Operator::Sub => zip(&left, &right, N::sub),
            Operator::Hadamard => zip(&left, &right, N::mul),
            Operator::Mul if left.is_scalar() => Ok(right.map(|entry| left.entries[0].mul(entry))),
            Operator::Mul if right.is_scalar() => Ok(left.map(|entry| entry.mul(&right.entries[0]))),
            Operator::Mul => multiply(&left, &right),
            Operator::Div => {
                if !right.is_scalar() {
                    return meaningless("a vector or matrix cannot be a divisor");
                }
                if !right.entries[0].real().is_nonzero() {
                    self.note_undefined("a division by zero", span);
                }
                Ok(left.map(|entry| entry.div(&right.entries[0])))
            }
            Operator::Pow => {
                if !left.is_scalar() || !right.is_scalar() {
                    return meaningless("a vector or matrix cannot be raised to a power");
                }
                let power = left.entries[0].pow(&right.entries[0]);
                if !power.real().is_defined() {
                    self.note_undefined("a power that is not defined or too large", span);
                }
                Ok(Value::scalar(power))
            }
        }
    }

    /// Evaluates the case that applies, and no other: it may not be defined.
    fn choose(&mut self, all: &[Expr], span: Span) -> Result<Value<N>> {
        let test = self.evaluate(&all[0])?;
        let mut case = |test: &N| {
            let test = test.real();
            let applies = if test.is_nonzero() { all.get(if test.value() > 0.0 { 1 } else { 2 }) } else { None };
            if let Some(case) = applies {
                return self.evaluate(case);
            }
            let what = if test.is_nonzero() { "no case that applies" } else { "a condition that changes there" };
            self.note_undefined(what, span);
            Ok(self.evaluate(&all[1])?.map(|_| N::constant(Real::UNDEFINED)))
        };
        if test.is_scalar() {
            return case(&test.entries[0]);
        }
        let values = test.entries.iter().map(case).collect::<Result<Vec<_>>>()?;
        let entries = values.into_iter().flat_map(|value| value.entries).collect();
        Ok(Value { rows: test.rows, columns: test.columns, entries })
    }

    fn call(&mut self, function: Function, all: &[Expr], span: Span) -> Result<Value<N>> {
        let a = self.evaluate(&all[0])?;
        let one = N::constant(Real::ONE);
        let zero = N::constant(Real::ZERO);
        let value = match function {
            Function::Exp => a.map(N::exp),
            Function::Ln => a.map(N::ln),
            Function::Sigmoid => a.map(N::sigmoid),
            Function::SigmoidSlope => a.map(|z| {
                let s = z.sigmoid();
                s.mul(&one.sub(&s))
            }),
            Function::Tanh => a.map(N::tanh),
            Function::Relu => a.map(|z| z.max(&zero)),
            Function::Abs => a.map(|z| z.max(&z.neg())),
            Function::Sqrt => a.map(N::sqrt),
            Function::Max => {
                let b = self.evaluate(&all[1])?;
                zip(&a, &b, N::max)?
            }
            Function::Choose => return self.choose(all, span),
            Function::Transpose => a.transposed(),
            Function::Norm => Value::scalar(sum_of_squares(&a).sqrt()),
            Function::Trace => {
                let diagonal = (0..a.rows.min(a.columns)).map(|k| &a.entries[k * a.columns + k]);
                Value::scalar(diagonal.fold(zero, |sum, entry| sum.add(entry)))
            }
            Function::Diag => {
                let n = a.entries.len();
                let mut entries = vec![zero; n * n];
                for (k, entry) in a.entries.iter().enumerate() {
                    entries[k * n + k] = entry.clone();
                }
                Value { rows: n, columns: n, entries }
            }
            Function::Softmax => {
                // A vector as a whole, and a matrix row by row.
                let width = if a.columns == 1 { a.rows } else { a.columns };
                let mut entries = Vec::with_capacity(a.entries.len());
                for row in a.entries.chunks(width) {
                    let exp: Vec<N> = row.iter().map(N::exp).collect();
                    let sum = exp.iter().skip(1).fold(exp[0].clone(), |sum, entry| sum.add(entry));
                    entries.extend(exp.iter().map(|entry| entry.div(&sum)));
                }
                Value { rows: a.rows, columns: a.columns, entries }
            }
        };
        if value.entries.iter().any(|entry| !entry.real().is_defined()) {
            let what = match function {
                Function::Ln => "the logarithm of a number that is not positive",
                Function::Sqrt => "the root of a negative number",
                Function::Relu | Function::Abs | Function::Max => "a kink, where the derivative does not exist",
                _ => "a value that is too large",
            };
            self.note_undefined(what, span);
        }
        Ok(value)
    }

    fn derivative(&mut self, of: &Expr, by: &[Name]) -> Result<Value<N>> {
        let Some((name, rest)) = by.split_first() else { return self.evaluate(of) };
        let row = self.row_of(name)?;
        let base = self.whole(name, row)?;
        let entries = match self.place(name, &base)? {
            Place::Entry(place) => place..place + 1,
            Place::Whole => 0..base.entries.len(),
            Place::Outside => return Ok(Value::scalar(N::constant(Real::UNDEFINED))),
        };
        let is_whole = name.indices.is_empty();
        let level = self.level;
        self.level += 1;
        let mut slopes: Vec<Value<N>> = Vec::new();
        for place in entries {
            let mut value = (*base).clone();
            let Some(perturbed) = value.entries[place].perturb(level) else {
                return meaningless("more than two derivatives are nested");
            };
            value.entries[place] = perturbed;
            let only = self.row_of_override(name, row);
            let result = self.with_override(&name.head, only, value, |this| {
                if rest.is_empty() { this.evaluate(of) } else { this.derivative(of, rest) }
            })?;
            let undefined = N::constant(Real::UNDEFINED);
            slopes.push(result.map(|entry| entry.slope(level).unwrap_or_else(|| undefined.clone())));
        }
        self.level = level;
        if slopes.len() == 1 && (!is_whole || base.is_scalar()) {
            return Ok(slopes.remove(0));
        }
        if slopes.iter().all(Value::is_scalar) {
            let entries = slopes.into_iter().flat_map(|slope| slope.entries).collect();
            return Ok(Value { rows: base.rows, columns: base.columns, entries });
        }
        if base.columns != 1 || slopes.iter().any(|slope| slope.columns != 1) {
            return meaningless("this derivative has too many indices; write it with indices");
        }
        // A Jacobian: a row for each entry of what is differentiated.
        let rows = slopes[0].rows;
        let entries = (0..rows).flat_map(|row| slopes.iter().map(move |slope| slope.entries[row].clone()));
        Ok(Value { rows, columns: slopes.len(), entries: entries.collect() })
    }

    /// The derivative along a direction: all entries move at once.
    fn along(&mut self, of: &Expr, name: &Name, direction: &Expr) -> Result<Value<N>> {
        let direction = self.evaluate(direction)?;
        let row = self.row_of(name)?;
        let base = self.whole(name, row)?;
        let level = self.level;
        let Some(unit) = N::constant(Real::ZERO).perturb(level) else {
            return meaningless("more than two derivatives are nested");
        };
        let value = match self.place(name, &base)? {
            Place::Whole => zip(&base, &direction, |base, direction| base.add(&unit.mul(direction)))?,
            Place::Entry(place) => {
                let mut value = (*base).clone();
                value.entries[place] = value.entries[place].add(&unit.mul(&direction.entries[0]));
                value
            }
            Place::Outside => return Ok(Value::scalar(N::constant(Real::UNDEFINED))),
        };
        self.level += 1;
        let only = self.row_of_override(name, row);
        let result = self.with_override(&name.head, only, value, |this| this.evaluate(of));
        self.level = level;
        let undefined = N::constant(Real::UNDEFINED);
        Ok(result?.map(|entry| entry.slope(level).unwrap_or_else(|| undefined.clone())))
    }

    /// Sets the row of names without a superscript. Where `n` counts something else than rows, it
    /// may be past the last one; names without rows have one value in all of them.
    pub(crate) fn set_row(&mut self, row: usize) {
        self.row = row;
    }
}
