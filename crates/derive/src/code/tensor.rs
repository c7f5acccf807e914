//! Expressions as Rust code on tensors with named axes.
//!
//! Every index is an axis. Products are aligned and broadcast, and a sum removes its axes. Vectors
//! and matrices without indices have axes too: those of their rows and columns.

use std::collections::BTreeSet;

use super::Key;
use super::names::{Names, identifier};
use super::scope::Symbols;
use crate::tree::{Condition, Expr, Function, Index, Kind, Name, Operator};
use crate::typing::{ROWS, Range, Typing};

/// Why an expression has no code, as part of a sentence.
pub(super) type Result<T> = std::result::Result<T, String>;

/// An axis of the function that is written, by its place in [`Builder::axes`].
pub(super) type Axis = usize;

/// The longest text that stays a part of a larger expression.
const MAX_PART: usize = 36;

/// How strongly a text holds together.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Level {
    Sum,
    Product,
    Unary,
    Atom,
}

/// An expression as code.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    text: String,
    level: Level,
    /// Whether it is an `f64` and no tensor.
    is_number: bool,
    /// The axes of the tensor. Without any, it has the shape `[1]`.
    axes: Vec<Axis>,
    /// The axis of the rows, if it is a vector or matrix. It may be constant along it.
    rows: Option<Axis>,
    columns: Option<Axis>,
}

impl Tensor {
    fn new(text: impl Into<String>, level: Level, axes: Vec<Axis>) -> Self {
        Self { text: text.into(), level, is_number: false, axes, rows: None, columns: None }
    }

    fn number(text: impl Into<String>, level: Level) -> Self {
        Self { is_number: true, ..Self::new(text, level, Vec::new()) }
    }

    fn is_whole(&self) -> bool {
        self.rows.is_some() || self.columns.is_some()
    }

    /// Returns the text in parentheses, if it does not hold together as strongly.
    fn at_least(&self, level: Level) -> String {
        if self.level < level { format!("({})", self.text) } else { self.text.clone() }
    }

    /// Calls a method.
    fn method(&self, call: &str) -> Self {
        let text = self.at_least(Level::Atom);
        let text = if self.is_number { with_marked_literal(&text) } else { text };
        let text = format!("{}.{call}", typed(&text));
        Self { text, level: Level::Atom, ..self.clone() }
    }

    fn renamed(mut self, from: Axis, to: Axis) -> Result<Self> {
        if from != to && self.axes.contains(&to) {
            return Err("it needs the diagonal of a tensor".into());
        }
        let rename = |axis: &mut Axis| {
            if *axis == from {
                *axis = to;
            }
        };
        self.axes.iter_mut().chain(&mut self.rows).chain(&mut self.columns).for_each(rename);
        Ok(self)
    }
}

/// An argument of a function.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Argument {
    pub(super) key: Key,
    pub(super) name: String,
    /// The ranges of its axes.
    pub(super) ranges: Vec<Range>,
    /// Whether only its shape is used.
    pub(super) is_borrowed: bool,
}

/// What the functions of a file need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Helper {
    Delta,
    IsPositive,
    Relu,
    Sigmoid,
    Softmax,
}

/// The body of a function.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Body {
    pub(super) arguments: Vec<Argument>,
    /// The lines without indentation, the result last.
    pub(super) lines: Vec<String>,
    pub(super) helpers: BTreeSet<Helper>,
}

/// Writes the body of one function.
#[derive(Clone)]
pub(super) struct Builder<'a> {
    symbols: &'a Symbols<'a>,
    typing: &'a Typing,
    /// The item in which the expression stands.
    item: usize,
    /// The definition whose body it is.
    inside: Option<usize>,
    /// The range of each axis, with a letter for it.
    axes: Vec<(String, Range)>,
    letters: Vec<(String, Axis)>,
    row: Option<Axis>,
    parameters: Vec<(String, Tensor)>,
    /// Functions whose bodies are written at their calls.
    calls: Vec<usize>,
    arguments: Vec<Argument>,
    names: Names,
    /// The ranges whose lengths are needed, with the names of the variables.
    sizes: Vec<(Range, String)>,
    deltas: Vec<(Axis, Axis, String)>,
    lines: Vec<String>,
    helpers: BTreeSet<Helper>,
    /// The axes of the result.
    wanted: Vec<Axis>,
    depth: usize,
    /// The number of expressions, which bounds the time.
    expressions: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(symbols: &'a Symbols<'a>, typing: &'a Typing, item: usize, inside: Option<usize>) -> Self {
        Self {
            symbols,
            typing,
            item,
            inside,
            axes: Vec::new(),
            letters: Vec::new(),
            row: None,
            parameters: Vec::new(),
            calls: Vec::new(),
            arguments: Vec::new(),
            names: symbols.names.clone(),
            sizes: Vec::new(),
            deltas: Vec::new(),
            lines: Vec::new(),
            helpers: BTreeSet::new(),
            wanted: Vec::new(),
            depth: 0,
            expressions: 0,
        }
    }

    /// Makes an axis for a letter. A letter that is known keeps its axis.
    pub(super) fn letter_axis(&mut self, letter: &str, range: Range) -> Axis {
        if let Some((_, axis)) = self.letters.iter().find(|(known, _)| known == letter) {
            return *axis;
        }
        let axis = self.axis(letter, range);
        self.letters.push((letter.to_owned(), axis));
        axis
    }

    pub(super) fn axis(&mut self, letter: &str, range: Range) -> Axis {
        self.axes.push((letter.to_owned(), range));
        self.axes.len() - 1
    }

    /// The axis of the row that names without a superscript belong to.
    pub(super) fn row_axis(&mut self) -> Axis {
        if let Some(row) = self.row {
            return row;
        }
        // A statement about row n is about this n everywhere.
        let is_rows = |axis: Axis| self.typing.ranges.find(self.axes[axis].1) == self.typing.ranges.find(ROWS);
        let n = self.letters.iter().find(|(letter, axis)| letter == "n" && is_rows(*axis)).map(|(_, axis)| *axis);
        let row = n.unwrap_or_else(|| self.axis("n", ROWS));
        self.row = Some(row);
        row
    }

    pub(super) fn set_row(&mut self, row: Axis) {
        self.row = Some(row);
    }

    pub(super) fn letter_of(&self, axis: Axis) -> &str {
        &self.axes[axis].0
    }

    pub(super) fn range_of(&self, axis: Axis) -> Range {
        self.axes[axis].1
    }

    pub(super) fn expects(&mut self, wanted: Vec<Axis>) {
        self.wanted = wanted;
    }

    /// Writes an expression as a function's result with the expected axes. Vectors and matrices
    /// have those of `whole`. `shapes` are names whose tensors have the shape where no argument
    /// has.
    pub(super) fn finish(mut self, expr: &Expr, whole: [Option<Axis>; 2], shapes: &[Key]) -> Result<Body> {
        let mut value = self.compile(expr)?;
        if value.rows.is_some() != whole[0].is_some() || value.columns.is_some() != whole[1].is_some() {
            return Err("its two sides have different shapes".into());
        }
        for (own, wanted) in [(value.rows, whole[0]), (value.columns, whole[1])] {
            if let (Some(own), Some(wanted)) = (own, wanted) {
                value = value.renamed(own, wanted)?;
            }
        }
        let wanted = std::mem::take(&mut self.wanted);
        if value.axes.iter().any(|axis| !wanted.contains(axis)) {
            return Err("an index of its right side is not on its left side".into());
        }
        let mut constant = false;
        let text = if value.is_number {
            constant = true;
            let sizes: Vec<String> = wanted.iter().map(|&axis| self.size(self.axes[axis].1)).collect();
            let sizes = if sizes.is_empty() { "1".into() } else { sizes.join(", ") };
            format!("Tensor::full([{sizes}], {}, (&LIKE.device(), LIKE.dtype()))", value.text)
        } else if value.axes.len() == wanted.len() {
            self.aligned(&value, &wanted).text
        } else {
            let sizes: Vec<String> = wanted.iter().map(|&axis| self.size(self.axes[axis].1)).collect();
            self.aligned(&value, &wanted).method(&format!("expand([{}])", sizes.join(", "))).text
        };
        self.add_shapes(shapes, constant)?;
        // A variable that is only returned is none.
        let only = self.lines.last().and_then(|line| {
            let (name, value) = line.strip_prefix("let ")?.strip_suffix(';')?.split_once(" = ")?;
            (mark(name) == text).then(|| value.to_owned())
        });
        let text = match only {
            Some(value) => {
                self.lines.pop();
                value
            }
            None => text,
        };
        let is_used = |name: &str| self.lines.iter().chain([&text]).any(|line| line.contains(&mark(name)));
        for argument in &mut self.arguments {
            argument.is_borrowed = !is_used(&argument.name);
        }
        let mut lines = self.prelude()?;
        let like = self.arguments.first().map(|argument| argument.name.clone()).unwrap_or_default();
        lines.append(&mut self.lines);
        lines.push(text.replace("LIKE", &like));
        move_last_uses(&mut lines);
        Ok(Body { arguments: self.arguments, lines, helpers: self.helpers })
    }

    /// Returns the axes of an expression that is a number, that of the rows first.
    pub(super) fn axes_of(&mut self, expr: &Expr) -> Result<Vec<Axis>> {
        let mut draft = self.clone();
        draft.compile(expr)?;
        if draft.row.is_some() {
            self.row_axis();
        }
        let value = self.clone().compile(expr)?;
        if value.is_whole() {
            return Err("it is the derivative of a vector that has no name".into());
        }
        let mut axes = value.axes;
        axes.sort_by_key(|axis| Some(*axis) != self.row);
        Ok(axes)
    }

    /// Adds arguments whose shape, device or type is needed.
    fn add_shapes(&mut self, shapes: &[Key], constant: bool) -> Result<()> {
        let find = |range: Range| self.typing.ranges.find(range);
        let missing: Vec<Range> = self.sizes.iter().map(|(range, _)| find(*range)).collect();
        let has = |ranges: &[Range], range: Range| ranges.iter().any(|own| find(*own) == range);
        let needs_any = constant || !self.deltas.is_empty() || !missing.is_empty();
        let mut added = Vec::new();
        for range in missing {
            let all = self.arguments.iter().chain(&added);
            if all.into_iter().any(|argument: &Argument| has(&argument.ranges, range)) {
                continue;
            }
            let fitting = shapes.iter().find(|key| has(&self.symbols.ranges(key, self.item), range));
            let Some(key) = fitting else {
                return Err("nothing that it depends on has the length of one of its indices".into());
            };
            added.push(self.symbols.argument(key, self.item));
        }
        if needs_any && self.arguments.is_empty() && added.is_empty() {
            match shapes.first() {
                Some(key) => added.push(self.symbols.argument(key, self.item)),
                None => return Err("it depends on nothing".into()),
            }
        }
        self.arguments.extend(added);
        Ok(())
    }

    /// Returns the lines that find the sizes, and make the Kronecker deltas.
    fn prelude(&self) -> Result<Vec<String>> {
        let find = |range: Range| self.typing.ranges.find(range);
        let mut lines = Vec::new();
        for (range, name) in &self.sizes {
            let places = self.arguments.iter().map(|argument| {
                let place = argument.ranges.iter().position(|own| find(*own) == find(*range));
                place.map(|place| (argument, place))
            });
            let (argument, place) = places.flatten().next().ok_or("a length is not known")?;
            lines.push(format!("let {name} = {}.dims()[{place}];", argument.name));
        }
        for (left, _, name) in &self.deltas {
            let range = find(self.axes[*left].1);
            let size = self.sizes.iter().find(|(known, _)| find(*known) == range).map(|(_, size)| size.as_str());
            let like = self.arguments.first().ok_or("it depends on nothing")?;
            let mark = if like.is_borrowed { "" } else { "&" };
            lines.push(format!("let {name} = delta({}, {mark}{});", size.unwrap_or_default(), like.name));
        }
        Ok(lines)
    }

    /// Returns the variable with the length of a range.
    fn size(&mut self, range: Range) -> String {
        let class = self.typing.ranges.find(range);
        if let Some((_, name)) = self.sizes.iter().find(|(known, _)| self.typing.ranges.find(*known) == class) {
            return name.clone();
        }
        let label = self.symbols.label(range, self.typing);
        let name = self.names.take(&[format!("size_{}", identifier(&label))]);
        self.sizes.push((range, name.clone()));
        name
    }

    /// Puts a value into a variable.
    fn hoist(&mut self, value: Tensor, name: &str) -> Tensor {
        let name = self.names.take(&[name.to_owned()]);
        self.lines.push(format!("let {name} = {};", typed(&value.text)));
        Tensor { text: mark(&name), level: Level::Atom, ..value }
    }

    /// Puts a long value into a variable.
    fn short(&mut self, value: Tensor) -> Tensor {
        if visible(&value.text) > MAX_PART && !value.is_number { self.hoist(value, "term") } else { value }
    }

    /// Brings a tensor's axes into an order, and adds axes of length 1.
    fn aligned(&mut self, value: &Tensor, order: &[Axis]) -> Tensor {
        if value.is_number || value.axes == order || (value.axes.is_empty() && order.len() <= 1) {
            return value.clone();
        }
        let mut value = self.short(value.clone());
        let sorted: Vec<Axis> = order.iter().copied().filter(|axis| value.axes.contains(axis)).collect();
        if sorted != value.axes {
            let places: Vec<String> = sorted
                .iter()
                .map(|axis| value.axes.iter().position(|own| own == axis).unwrap_or_default().to_string())
                .collect();
            value = match places.len() {
                2 => value.method("transpose()"),
                _ => value.method(&format!("permute([{}])", places.join(", "))),
            };
            value.axes = sorted;
        }
        let missing: Vec<usize> =
            order.iter().enumerate().filter(|(_, axis)| !value.axes.contains(axis)).map(|(place, _)| place).collect();
        let rank = order.len();
        let are_first = missing.iter().enumerate().all(|(place, at)| place == *at);
        let call = match missing.as_slice() {
            [] => return value,
            _ if value.axes.is_empty() || are_first => format!("unsqueeze::<{rank}>()"),
            [place] => format!("unsqueeze_dim::<{rank}>({place})"),
            all => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                format!("unsqueeze_dims::<{rank}>(&[{}])", all.join(", "))
            }
        };
        let mut value = value.method(&call);
        value.axes = order.to_vec();
        value
    }

    /// Returns the order of axes for two tensors.
    fn union(&self, a: &Tensor, b: &Tensor) -> Vec<Axis> {
        let contains = |a: &Tensor, b: &Tensor| b.axes.iter().all(|axis| a.axes.contains(axis));
        if contains(a, b) {
            return a.axes.clone();
        }
        if contains(b, a) {
            return b.axes.clone();
        }
        // In the order of the result, as far as it has the axes.
        let mut all: Vec<Axis> = a.axes.clone();
        all.extend(b.axes.iter().filter(|axis| !a.axes.contains(axis)));
        all.sort_by_key(|axis| self.wanted.iter().position(|wanted| wanted == axis).unwrap_or(usize::MAX));
        all
    }

    /// Combines two values entry by entry. `sign` is an operator of Rust.
    fn zip(&mut self, sign: &str, a: Tensor, b: Tensor) -> Result<Tensor> {
        // Burn's autodiff divides by a number in f32, and multiplies in the type of the tensor.
        let (sign, b) = if sign == "/" && b.is_number && !a.is_number {
            ("*", Tensor::number(format!("1.0 / {}", b.at_least(Level::Unary)), Level::Product))
        } else {
            (sign, b)
        };
        let (a, mut b) = (self.short(a), self.short(b));
        for (own, other) in [(a.rows, b.rows), (a.columns, b.columns)] {
            if let (Some(own), Some(other)) = (own, other) {
                b = b.renamed(other, own)?;
            }
        }
        let (rows, columns) = (a.rows.or(b.rows), a.columns.or(b.columns));
        let is_number = a.is_number && b.is_number;
        let axes = if is_number { Vec::new() } else { self.union(&a, &b) };
        let (a, b) = (self.aligned(&a, &axes), self.aligned(&b, &axes));
        let (level, right) = match sign {
            "+" | "-" => (Level::Sum, Level::Product),
            _ => (Level::Product, Level::Unary),
        };
        let right = if b.text.starts_with('-') { Level::Atom } else { right };
        let left = a.at_least(level);
        let left = if a.is_number && !is_number { with_marked_literal(&left) } else { left };
        let text = format!("{left} {sign} {}", b.at_least(right));
        Ok(Tensor { text, level, is_number, axes, rows, columns })
    }

    fn negated(&mut self, value: Tensor) -> Tensor {
        let value = self.short(value);
        let (text, level) = match value.level {
            _ if value.text.starts_with('-') => (format!("-({})", value.text), Level::Unary),
            Level::Product => (format!("-{}", value.text), Level::Product),
            _ => (format!("-{}", value.at_least(Level::Unary)), Level::Unary),
        };
        Tensor { text, level, ..value }
    }

    fn product(&mut self, factors: Vec<Tensor>) -> Result<Tensor> {
        let mut factors = factors.into_iter();
        let mut product = factors.next().unwrap_or_else(|| Tensor::number("1.0", Level::Atom));
        for factor in factors {
            product = self.zip("*", product, factor)?;
        }
        Ok(product)
    }

    /// Sums a product over axes: a product of two matrices, where it is one.
    fn sum(&mut self, axes: &[Axis], factors: Vec<Tensor>) -> Result<Tensor> {
        let is_inner = |factor: &Tensor| factor.axes.iter().any(|axis| axes.contains(axis));
        let (mut inner, mut outer): (Vec<Tensor>, Vec<Tensor>) = factors.into_iter().partition(is_inner);
        for axis in axes.iter().filter(|axis| !inner.iter().any(|factor| factor.axes.contains(axis))) {
            // All terms are equal.
            let size = self.size(self.axes[*axis].1);
            outer.push(Tensor::number(format!("{size} as f64"), Level::Unary));
        }
        if !inner.is_empty() {
            // Factors with the axes of another are one with it.
            while inner.len() > 2 {
                let contains = |a: &Tensor, b: &Tensor| b.axes.iter().all(|axis| a.axes.contains(axis));
                let pairs = (0..inner.len()).flat_map(|a| (0..inner.len()).map(move |b| (a, b)));
                let pair = pairs.filter(|(a, b)| a != b).find(|(a, b)| contains(&inner[*a], &inner[*b]));
                let (a, b) = pair.unwrap_or((0, 1));
                let (first, last) = (a.min(b), a.max(b));
                let second = inner.remove(last);
                let joined = self.zip("*", inner[first].clone(), second)?;
                inner[first] = joined;
            }
            let matrix = match (inner.as_slice(), axes) {
                ([a, b], [axis]) => self.matrix_product(&a.clone(), &b.clone(), *axis),
                _ => None,
            };
            let total = match matrix {
                Some(total) => total,
                None => {
                    let product = self.product(inner)?;
                    self.reduced(product, axes)
                }
            };
            outer.push(total);
        }
        // Numbers come last: they scale what is smaller.
        outer.sort_by_key(|factor| factor.is_number);
        self.product(outer)
    }

    /// Returns the product of two matrices, or of a matrix and a vector, that sums over an axis.
    fn matrix_product(&mut self, a: &Tensor, b: &Tensor, axis: Axis) -> Option<Tensor> {
        let rest = |value: &Tensor| -> Vec<Axis> { value.axes.iter().copied().filter(|own| *own != axis).collect() };
        let has_axis = a.axes.contains(&axis) && b.axes.contains(&axis);
        match (has_axis, rest(a).as_slice(), rest(b).as_slice()) {
            (true, [left], [right]) if left != right => {
                let place = |axis: &Axis| self.wanted.iter().position(|wanted| wanted == axis);
                if place(right) < place(left) && place(right).is_some() {
                    return self.matrix_product(b, a, axis);
                }
                let (a, b) = (self.aligned(a, &[*left, axis]), self.aligned(b, &[axis, *right]));
                let b = self.short(b);
                let text = format!("{}.matmul({})", typed(&self.short(a).at_least(Level::Atom)), b.text);
                Some(Tensor::new(text, Level::Atom, vec![*left, *right]))
            }
            (true, [left], []) => {
                let (a, b) = (self.aligned(a, &[*left, axis]), self.short(b.clone()));
                let b = b.method("unsqueeze_dim::<2>(1)");
                let a = typed(&self.short(a).at_least(Level::Atom));
                let text = format!("{a}.matmul({}).squeeze_dim::<1>(1)", b.text);
                let product = Tensor::new(text, Level::Atom, vec![*left]);
                Some(self.hoist_long(product, axis))
            }
            (true, [], [_]) => self.matrix_product(b, a, axis),
            _ => None,
        }
    }

    fn hoist_long(&mut self, value: Tensor, axis: Axis) -> Tensor {
        if visible(&value.text) <= MAX_PART {
            return value;
        }
        let name = format!("sum_{}", identifier(&self.axes[axis].0));
        self.hoist(value, &name)
    }

    /// Sums over axes that a tensor has.
    fn reduced(&mut self, value: Tensor, axes: &[Axis]) -> Tensor {
        let value = self.short(value);
        if value.axes.iter().all(|axis| axes.contains(axis)) {
            let sum = value.method("sum()");
            return Tensor { axes: Vec::new(), ..sum };
        }
        let mut sum = value;
        while let Some(place) = sum.axes.iter().position(|axis| axes.contains(axis)) {
            let rank = sum.axes.len() - 1;
            sum = sum.method(&format!("sum_dim({place}).squeeze_dim::<{rank}>({place})"));
            sum.axes.remove(place);
        }
        sum
    }

    /// The Kronecker delta of two axes, or one minus it.
    fn mask(&mut self, condition: &Condition) -> Result<Tensor> {
        let (Index::Letter(left), Index::Letter(right)) = (&condition.left, &condition.right) else {
            return Err(format!("the condition {condition} is not about two letters"));
        };
        let (left, right) = (self.letter(left)?, self.letter(right)?);
        let delta = self.delta(left, right)?;
        if condition.equal { Ok(delta) } else { self.zip("-", Tensor::number("1.0", Level::Atom), delta) }
    }

    fn delta(&mut self, left: Axis, right: Axis) -> Result<Tensor> {
        if left == right {
            return Err("a condition compares an index with itself".into());
        }
        // It is symmetric.
        let (left, right) = (left.min(right), left.max(right));
        let known = self.deltas.iter().find(|(a, b, _)| (*a, *b) == (left, right)).map(|(_, _, name)| name.clone());
        let name = match known {
            Some(name) => name,
            None => {
                self.size(self.axes[left].1);
                self.helpers.insert(Helper::Delta);
                let letters = format!("{}_{}", identifier(&self.axes[left].0), identifier(&self.axes[right].0));
                let name = self.names.take(&[format!("delta_{letters}")]);
                self.deltas.push((left, right, name.clone()));
                name
            }
        };
        Ok(Tensor::new(mark(&name), Level::Atom, vec![left, right]))
    }

    pub(super) fn letter(&self, letter: &str) -> Result<Axis> {
        let found = self.letters.iter().rev().find(|(known, _)| known == letter);
        found.map(|(_, axis)| *axis).ok_or_else(|| format!("the index {letter} is not bound"))
    }

    /// Returns the factors of a product of numbers, which has no vectors.
    fn factors(&mut self, expr: &Expr) -> Result<Vec<Tensor>> {
        match &expr.kind {
            Kind::Binary(Operator::Mul, a, b) => {
                let (mut left, right) = (self.factors(a)?, self.factors(b)?);
                let is_whole = |all: &[Tensor]| all.iter().any(Tensor::is_whole);
                if is_whole(&left) && is_whole(&right) {
                    let (left, right) = (self.product(left)?, self.product(right)?);
                    return Ok(vec![self.matrix(left, right)?]);
                }
                left.extend(right);
                Ok(left)
            }
            _ => Ok(vec![self.compile(expr)?]),
        }
    }

    /// The product of two vectors or matrices.
    fn matrix(&mut self, left: Tensor, right: Tensor) -> Result<Tensor> {
        let (rows, columns) = (left.rows, right.columns);
        let product = match (left.columns, right.rows) {
            (Some(axis), Some(other)) => {
                let right = right.renamed(other, axis)?;
                self.sum(&[axis], vec![left, right])?
            }
            (None, None) => self.zip("*", left, right)?,
            _ => return Err("a product of vectors needs a transpose".into()),
        };
        Ok(Tensor { rows, columns, ..product })
    }

    fn compile(&mut self, expr: &Expr) -> Result<Tensor> {
        self.depth += 1;
        self.expressions += 1;
        if self.depth > 200 || self.expressions > 10_000 {
            return Err("it is nested too deep, or too long".into());
        }
        let value = self.compile_kind(expr);
        self.depth -= 1;
        value
    }

    fn compile_kind(&mut self, expr: &Expr) -> Result<Tensor> {
        match &expr.kind {
            Kind::Number { digits, decimals } => {
                let value = digits / 10f64.powi(*decimals);
                if value.is_finite() {
                    Ok(Tensor::number(format!("{value:?}"), Level::Atom))
                } else {
                    Err("it has a number that is too large".into())
                }
            }
            Kind::Missing => Err("its right side is missing".into()),
            Kind::Name(name) => self.name(name),
            Kind::Apply(name, arguments) => self.apply(name, arguments),
            Kind::Neg(a) => {
                let value = self.compile(a)?;
                Ok(self.negated(value))
            }
            Kind::Binary(Operator::Mul, ..) => {
                let factors = self.factors(expr)?;
                self.product(factors)
            }
            Kind::Binary(operator, a, b) => self.binary(*operator, a, b),
            Kind::Call(function, all) => self.call(*function, all),
            Kind::Entry(a, indices) => self.entry(a, indices),
            Kind::Sum { product: true, .. } => Err("it is a product over an index".into()),
            Kind::Sum { bound, conditions, body, .. } => {
                let ranges = self.typing.sums.get(&expr.span).cloned().unwrap_or_default();
                if ranges.len() != bound.len() {
                    return Err("the range of a sum is not known".into());
                }
                let before = self.letters.len();
                let mut axes = Vec::new();
                for (bound, &range) in bound.iter().zip(&ranges) {
                    let length = self.typing.ranges.fixed(range).unwrap_or(16);
                    if bound.values(self.symbols.model.base, length) != (0..length) {
                        return Err(format!("a sum over {} leaves out values", bound.letter));
                    }
                    let axis = self.axis(&bound.letter, range);
                    self.letters.push((bound.letter.clone(), axis));
                    axes.push(axis);
                }
                let (negative, body) = match &body.kind {
                    Kind::Neg(body) => (true, body),
                    _ => (false, body),
                };
                let mut factors = self.factors(body)?;
                for condition in conditions {
                    factors.push(self.mask(condition)?);
                }
                self.letters.truncate(before);
                let sum = self.sum(&axes, factors)?;
                Ok(if negative { self.negated(sum) } else { sum })
            }
            Kind::Cases(cases) => self.cases(cases),
            Kind::Indicator(condition) => self.mask(condition),
            Kind::Derivative(..) | Kind::Along(..) => Err("its last member has derivatives".into()),
            Kind::Ones => {
                let range = *self.typing.ones.get(&expr.span).ok_or("the length of a vector of ones is not known")?;
                let rows = self.axis("i", range);
                Ok(Tensor { rows: Some(rows), ..Tensor::number("1.0", Level::Atom) })
            }
        }
    }

    fn cases(&mut self, cases: &[(Expr, Option<Condition>)]) -> Result<Tensor> {
        let [(yes, Some(first)), (no, second)] = cases else {
            return Err("its cases are not a condition and its opposite".into());
        };
        let is_opposite = |second: &Condition| {
            let same = (&first.left, &first.right) == (&second.left, &second.right)
                || (&first.left, &first.right) == (&second.right, &second.left);
            same && first.equal != second.equal
        };
        if !second.as_ref().is_none_or(is_opposite) {
            return Err("its cases are not a condition and its opposite".into());
        }
        let opposite = Condition { equal: !first.equal, ..first.clone() };
        let mut total = None;
        for (value, condition) in [(yes, first), (no, &opposite)] {
            if value.is_number(0.0) {
                continue;
            }
            let value = self.compile(value)?;
            let mask = self.mask(condition)?;
            let term = self.zip("*", value, mask)?;
            total = Some(match total {
                None => term,
                Some(total) => self.zip("+", total, term)?,
            });
        }
        total.ok_or_else(|| "all of its cases are zero".into())
    }

    fn name(&mut self, name: &Name) -> Result<Tensor> {
        if let Some((_, value)) = self.parameters.iter().rev().find(|(head, _)| *head == name.head) {
            return if name.indices.is_empty() && name.row.is_none() {
                Ok(value.clone())
            } else {
                Err("an argument of a function has indices".into())
            };
        }
        let place = self.symbols.model.resolve(&name.head, name.row.is_some(), self.item, self.inside);
        if place.is_none() {
            if let Some(&range) = self.symbols.model.sizes.get(&name.head) {
                let size = self.size(range);
                return Ok(Tensor::number(format!("{size} as f64"), Level::Unary));
            }
            match name.head.as_str() {
                "e" => return Ok(Tensor::number("std::f64::consts::E", Level::Atom)),
                "π" => return Ok(Tensor::number("std::f64::consts::PI", Level::Atom)),
                _ => {}
            }
        }
        let key = Key { head: name.head.clone(), place };
        let argument = Argument { is_borrowed: false, ..self.symbols.argument(&key, self.item) };
        let mut axes = Vec::new();
        if self.symbols.has_row(&key, self.item) {
            axes.push(Some(match &name.row {
                None => self.row_axis(),
                Some(Index::Letter(letter)) => self.letter(letter)?,
                Some(_) => return Err(format!("{name} is one row of all")),
            }));
        }
        let slots = argument.ranges[axes.len()..].to_vec();
        let (mut rows, mut columns) = (None, None);
        let mut numbers = Vec::new();
        if name.indices.is_empty() {
            let whole: Vec<Axis> = slots.iter().map(|&range| self.axis("i", range)).collect();
            (rows, columns) = match whole.as_slice() {
                [] => (None, None),
                [row] => (Some(*row), None),
                [row, column] => (Some(*row), Some(*column)),
                _ => return Err(format!("{name} has more than two indices, which are not written")),
            };
            axes.extend(whole.into_iter().map(Some));
        } else {
            for index in &name.indices {
                match index {
                    Index::Letter(letter) => axes.push(Some(self.letter(letter)?)),
                    Index::Number(number) => {
                        numbers.push((axes.len(), number - self.symbols.model.base));
                        axes.push(None);
                    }
                    Index::Offset(..) | Index::Value(_) => {
                        return Err(format!("it has the index {index}, which is no letter"));
                    }
                }
            }
        }
        let mut value = Tensor::new(mark(&argument.name), Level::Atom, Vec::new());
        // From the last, so that the other places stay.
        for (place, at) in numbers.into_iter().rev() {
            value = value.method(&format!("narrow({place}, {at}, 1)"));
            if axes.len() > 1 {
                value = value.method(&format!("squeeze_dim::<{}>({place})", axes.len() - 1));
            }
            axes.remove(place);
        }
        let axes: Vec<Axis> = axes.into_iter().flatten().collect();
        let distinct: BTreeSet<&Axis> = axes.iter().collect();
        if distinct.len() < axes.len() {
            return Err(format!("{name} has the same index twice"));
        }
        if !self.arguments.iter().any(|known| known.key == key) {
            self.arguments.push(argument);
        }
        Ok(Tensor { axes, rows, columns, ..value })
    }

    /// Writes the body of a function of the document, with its arguments in it.
    fn apply(&mut self, name: &Name, arguments: &[Expr]) -> Result<Tensor> {
        let place = self.symbols.model.resolve(&name.head, name.row.is_some(), self.item, self.inside);
        let place = place.ok_or_else(|| format!("the function {} is not defined", name.head))?;
        let definition = &self.symbols.model.definitions[place];
        let are_numbers = definition.parameters.iter().all(|parameter| {
            parameter.indices.is_empty() && self.symbols.model.slots.get(&parameter.head).is_none_or(Vec::is_empty)
        });
        let is_plain = name.indices.is_empty() && name.row.is_none() && are_numbers;
        if !is_plain || definition.parameters.len() != arguments.len() || self.calls.contains(&place) {
            return Err(format!("{name} is a function of more than numbers"));
        }
        let mut values = Vec::new();
        for (parameter, argument) in definition.parameters.iter().zip(arguments) {
            let value = self.compile(argument)?;
            if value.is_whole() {
                return Err(format!("{name} is a function of a vector"));
            }
            let value = if value.is_number { value } else { self.hoist(value, &identifier(&parameter.head)) };
            values.push((parameter.head.clone(), value));
        }
        let before = self.parameters.len();
        self.parameters.extend(values);
        self.calls.push(place);
        let inside = self.inside.replace(place);
        let value = self.compile(&definition.body);
        self.inside = inside;
        self.calls.pop();
        self.parameters.truncate(before);
        value
    }

    fn binary(&mut self, operator: Operator, a: &Expr, b: &Expr) -> Result<Tensor> {
        // The square of a norm is smooth at zero, and the norm is not.
        if let (Operator::Pow, Kind::Call(Function::Norm, all)) = (operator, &a.kind)
            && b.is_number(2.0)
        {
            return self.sum_of_squares(&all[0]);
        }
        let left = self.compile(a)?;
        if operator == Operator::Pow {
            return self.power(left, b);
        }
        let right = self.compile(b)?;
        match operator {
            Operator::Add | Operator::Sub if right.text.starts_with('-') && !right.is_number => {
                // a + -b is a - b.
                let sign = if operator == Operator::Add { "-" } else { "+" };
                let right = match right.level {
                    Level::Product | Level::Unary => right,
                    _ => self.hoist(right, "term"),
                };
                if let Some(text) = right.text.strip_prefix('-') {
                    let level = if right.level == Level::Product { Level::Product } else { Level::Atom };
                    let right = Tensor { text: text.to_owned(), level, ..right };
                    return self.zip(sign, left, right);
                }
                self.zip(if operator == Operator::Add { "+" } else { "-" }, left, right)
            }
            Operator::Add => self.zip("+", left, right),
            Operator::Sub => self.zip("-", left, right),
            Operator::Hadamard | Operator::Mul => self.zip("*", left, right),
            Operator::Div | Operator::Pow => self.zip("/", left, right),
        }
    }

    fn power(&mut self, base: Tensor, exponent: &Expr) -> Result<Tensor> {
        let base = self.short(base);
        if exponent.is_number(2.0) && !base.is_number {
            return Ok(base.method("square()"));
        }
        let exponent = self.compile(exponent)?;
        match (base.is_number, exponent.is_number) {
            (true, true) => Ok(base.method(&format!("powf({})", exponent.text))),
            (false, true) => {
                let whole = exponent.text.strip_suffix(".0");
                let whole = whole.filter(|digits| digits.len() < 4 && digits.chars().all(|c| c.is_ascii_digit()));
                Ok(match whole {
                    Some(digits) => base.method(&format!("powi_scalar({digits})")),
                    None => base.method(&format!("powf_scalar({})", exponent.text)),
                })
            }
            (true, false) if base.text == "std::f64::consts::E" => Ok(self.short(exponent).method("exp()")),
            (true, false) => {
                let scaled = self.zip("*", exponent, base.method("ln()"))?;
                Ok(scaled.method("exp()"))
            }
            (false, false) => {
                let logarithm = base.method("log()");
                let product = self.zip("*", exponent, logarithm)?;
                Ok(product.method("exp()"))
            }
        }
    }

    fn sum_of_squares(&mut self, of: &Expr) -> Result<Tensor> {
        let value = self.compile(of)?;
        let axes: Vec<Axis> = value.rows.into_iter().chain(value.columns).collect();
        let square = if value.is_number { value.method("powi(2)") } else { self.short(value).method("square()") };
        let sum = self.sum(&axes, vec![Tensor { rows: None, columns: None, ..square }])?;
        Ok(Tensor { rows: None, columns: None, ..sum })
    }

    fn entry(&mut self, of: &Expr, indices: &[Index]) -> Result<Tensor> {
        let value = self.compile(of)?;
        let mut axes = Vec::new();
        for index in indices {
            match index {
                Index::Letter(letter) => axes.push(self.letter(letter)?),
                _ => return Err(format!("it has the index {index}, which is no letter")),
            }
        }
        let value = match (value.rows, value.columns, axes.as_slice()) {
            (Some(own), None, [axis]) | (None, Some(own), [axis]) => value.renamed(own, *axis)?,
            (Some(rows), Some(columns), [row, column]) if row != column => {
                value.renamed(rows, *row)?.renamed(columns, *column)?
            }
            _ => return Err("it needs the diagonal of a tensor".into()),
        };
        Ok(Tensor { rows: None, columns: None, ..value })
    }

    fn call(&mut self, function: Function, all: &[Expr]) -> Result<Tensor> {
        if function == Function::Choose {
            return self.choose(all);
        }
        let value = self.compile(&all[0])?;
        let value = self.short(value);
        let is_number = value.is_number;
        let activation =
            |name: &str, value: Tensor| Tensor { text: format!("{name}({})", value.text), level: Level::Atom, ..value };
        Ok(match function {
            Function::Transpose => Tensor { rows: value.columns, columns: value.rows, ..value },
            Function::Exp => value.method("exp()"),
            Function::Ln => value.method(if is_number { "ln()" } else { "log()" }),
            Function::Tanh => value.method("tanh()"),
            Function::Sqrt => value.method("sqrt()"),
            Function::Abs => value.method("abs()"),
            Function::Norm => self.sum_of_squares(&all[0])?.method("sqrt()"),
            _ if is_number && function != Function::Max => {
                return Err(format!("{function} of a constant has no code"));
            }
            Function::Sigmoid => {
                self.helpers.insert(Helper::Sigmoid);
                activation("sigmoid", value)
            }
            Function::SigmoidSlope => {
                self.helpers.insert(Helper::Sigmoid);
                let value = activation("sigmoid", value);
                let value = self.hoist(value, "value");
                let rest = self.zip("-", Tensor::number("1.0", Level::Atom), value.clone())?;
                self.zip("*", value, rest)?
            }
            Function::Relu => {
                self.helpers.insert(Helper::Relu);
                activation("relu", value)
            }
            Function::Max => {
                let other = self.compile(&all[1])?;
                match (value.is_number, other.is_number) {
                    (true, true) => value.method(&format!("max({})", other.text)),
                    (false, true) => value.method(&format!("clamp_min({})", other.text)),
                    (true, false) => self.short(other).method(&format!("clamp_min({})", value.text)),
                    (false, false) => return Err("it is the maximum of two variables".into()),
                }
            }
            Function::Softmax => {
                self.helpers.insert(Helper::Softmax);
                let axis = value.columns.or(value.rows);
                let place = value.axes.iter().position(|own| Some(*own) == axis);
                let place = place.ok_or("it is the softmax of a constant")?;
                Tensor { text: format!("softmax({}, {place})", value.text), level: Level::Atom, ..value }
            }
            Function::Diag => {
                let rows = value.rows.ok_or("diag takes a vector")?;
                let columns = self.axis("j", self.axes[rows].1);
                let delta = self.delta(rows, columns)?;
                let product = self.zip("*", value, delta)?;
                Tensor { rows: Some(rows), columns: Some(columns), ..product }
            }
            Function::Trace => {
                let (Some(rows), Some(columns)) = (value.rows, value.columns) else {
                    return Err("the trace is of a matrix".into());
                };
                let delta = self.delta(rows, columns)?;
                let sum = self.sum(&[rows, columns], vec![value, delta])?;
                Tensor { rows: None, columns: None, ..sum }
            }
            Function::Choose => return Err("a condition has no code".into()),
        })
    }

    /// Chooses by a condition about numbers.
    fn choose(&mut self, all: &[Expr]) -> Result<Tensor> {
        let [test, yes, no] = all else { return Err("it has no value where no case applies".into()) };
        let test = self.compile(test)?;
        if test.is_number {
            return Err("a condition is about a constant".into());
        }
        self.helpers.insert(Helper::IsPositive);
        let test = self.short(test);
        let mask = Tensor { text: format!("is_positive({})", test.text), level: Level::Atom, ..test };
        let one = |value: &Expr| value.is_number(1.0);
        if one(yes) && no.is_number(0.0) {
            return Ok(mask);
        }
        let mask = self.hoist(mask, "positive");
        let (yes, no) = (self.compile(yes)?, self.compile(no)?);
        let rest = self.zip("-", Tensor::number("1.0", Level::Atom), mask.clone())?;
        let (yes, no) = (self.zip("*", mask, yes)?, self.zip("*", rest, no)?);
        self.zip("+", yes, no)
    }
}

/// Marks the use of a tensor, which its last use moves.
fn mark(name: &str) -> String {
    format!("\u{1}{name}\u{2}")
}

/// Marks a literal before an operator. Its type is not known before the end of the function, but a
/// method needs the type of what it is called on.
const LITERAL: char = '\u{3}';

/// Marks the literal with which a text begins.
fn with_marked_literal(text: &str) -> String {
    let rest = text.trim_start_matches(['-', '(']);
    let digits = |text: &'static str| move |c: char| c.is_ascii_digit() || text.contains(c);
    let after = rest.trim_start_matches(digits("."));
    let after = after.strip_prefix('e').map_or(after, |power| power.trim_start_matches(digits("-")));
    let start = text.len() - rest.len();
    let end = text.len() - after.len();
    if end > start { format!("{}{LITERAL}{after}", &text[..end]) } else { text.to_owned() }
}

/// Gives the literals of a text a type.
fn typed(text: &str) -> String {
    text.replace(LITERAL, "_f64")
}

/// The length of a text, if all of its tensors are cloned.
fn visible(text: &str) -> usize {
    text.chars().count() + 6 * text.matches('\u{1}').count()
}

/// Clones tensors but for their last uses.
fn move_last_uses(lines: &mut [String]) {
    let mut moved: BTreeSet<String> = BTreeSet::new();
    for line in lines.iter_mut().rev() {
        *line = line.replace(LITERAL, "");
        while let Some(start) = line.rfind('\u{1}') {
            let end = line[start..].find('\u{2}').map_or(line.len(), |end| start + end);
            let name = line[start + 1..end].to_owned();
            let text = if moved.insert(name.clone()) { name } else { format!("{name}.clone()") };
            line.replace_range(start..(end + 1).min(line.len()), &text);
        }
    }
}
