//! Types: how many indices a name has, and which indices run over the same range.
//!
//! Ranges are found by unification: in `\sum_j x_j w_{jk}`, the index of x and the first of w have
//! one range. Definitions decide first. Each claim then adds its own to a copy, so that a claim
//! that mixes up two indices changes nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::document::{Assumption, Definition, Document, Role};
use crate::error::{ParseError, nearest};
use crate::parse::is_index_letter;
use crate::tree::{Bound, Condition, Expr, Function, Index, Kind, Limit, Name, Operator, Span};

/// A class of equal ranges, before unification.
pub(crate) type Range = usize;

/// The range of the rows.
pub(crate) const ROWS: Range = 0;

/// Ranges that unification has found to be equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    parents: Vec<Range>,
    /// Ranges of a fixed length, by any member of their class.
    fixed: Vec<(Range, usize)>,
    /// The smallest allowed length, because of an index that is a number.
    least: Vec<(Range, usize)>,
}

impl Ranges {
    fn fresh(&mut self) -> Range {
        self.parents.push(self.parents.len());
        self.parents.len() - 1
    }

    /// Returns the representative of a class.
    pub(crate) fn find(&self, mut range: Range) -> Range {
        while self.parents[range] != range {
            range = self.parents[range];
        }
        range
    }

    fn unify(&mut self, a: Range, b: Range) {
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

/// What an expression needs to be evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Typing {
    pub(crate) ranges: Ranges,
    /// The ranges of the letters that the sum at a place binds.
    pub(crate) sums: HashMap<Span, Vec<Range>>,
    /// The lengths of vectors of ones.
    pub(crate) ones: HashMap<Span, Range>,
    /// The free letters with their ranges.
    pub(crate) free: Vec<(String, Range)>,
}

/// The names of a document: their definitions, indices and ranges.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) definitions: Vec<Definition>,
    /// The number of indices of each name.
    pub(crate) ranks: BTreeMap<String, usize>,
    /// The range of each index of each name.
    pub(crate) slots: BTreeMap<String, Vec<Range>>,
    /// The names of sizes.
    pub(crate) sizes: BTreeMap<String, Range>,
    /// The names that have another value in each row.
    pub(crate) by_row: BTreeSet<String>,
    /// Whether rows occur at all.
    pub(crate) has_rows: bool,
    pub(crate) base: i64,
    /// The types of all definitions.
    pub(crate) typing: Typing,
}

impl std::hash::Hash for Span {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.start, self.end).hash(state);
    }
}

type Result<T> = std::result::Result<T, ParseError>;

impl Model {
    /// Finds the types of a document's definitions.
    pub(crate) fn new(document: &Document) -> Result<Self> {
        let mut ranges = Ranges::default();
        ranges.fresh();
        let typing = Typing { ranges, sums: HashMap::new(), ones: HashMap::new(), free: Vec::new() };
        let mut model = Self {
            definitions: document.definitions.clone(),
            ranks: BTreeMap::new(),
            slots: BTreeMap::new(),
            sizes: BTreeMap::new(),
            by_row: BTreeSet::new(),
            has_rows: false,
            base: document.base,
            typing,
        };
        model.find_rows(document);
        model.find_ranks(document)?;
        let heads: Vec<(String, usize)> = model.ranks.iter().map(|(head, rank)| (head.clone(), *rank)).collect();
        for (head, rank) in heads {
            let slots = (0..rank).map(|_| model.typing.ranges.fresh()).collect();
            model.slots.insert(head, slots);
        }
        if model.has_rows {
            model.sizes.insert("N".into(), ROWS);
        }
        for (head, sizes) in &document.shapes {
            for (slot, size) in sizes.iter().enumerate() {
                let range = model.slots.get(head).and_then(|slots| slots.get(slot)).copied();
                let mut typing = model.typing.clone();
                let size = model.size(&mut typing, size);
                if let Some(range) = range {
                    typing.ranges.unify(range, size);
                }
                model.typing = typing;
            }
        }
        for definition in model.definitions.clone() {
            let mut typing = model.typing.clone();
            typing.free.clear();
            let mut scope = Scope { model: &mut model, typing: &mut typing, bound: Vec::new(), depth: 0 };
            scope.definition(&definition)?;
            model.typing = typing;
        }
        model.typing.free.clear();
        model.check_names(document)?;
        Ok(model)
    }

    /// Finds the types of expressions that stand side by side, and their shapes.
    pub(crate) fn typing(&mut self, exprs: &[&Expr], conditions: &[&Condition]) -> Result<(Typing, Vec<Shape>)> {
        let mut typing = self.typing.clone();
        let mut scope = Scope { model: self, typing: &mut typing, bound: Vec::new(), depth: 0 };
        let shapes = exprs.iter().map(|expr| scope.shape(expr)).collect::<Result<Vec<Shape>>>()?;
        for condition in conditions {
            scope.condition(condition, Span::default())?;
        }
        Ok((typing, shapes))
    }

    /// Returns the definition that a name refers to in an item, or inside of another definition.
    pub(crate) fn resolve(&self, head: &str, has_row: bool, item: usize, inside: Option<usize>) -> Option<usize> {
        let own = inside.filter(|&inside| self.definitions[inside].name.head == head);
        let candidates = self.definitions.iter().enumerate().filter(|(place, definition)| {
            definition.name.head == head && !(has_row && definition.is_batch) && own.is_none_or(|own| *place < own)
        });
        let candidates: Vec<usize> = candidates.map(|(place, _)| place).collect();
        let before = candidates.iter().rev().find(|&&place| self.definitions[place].item <= item);
        before.or(candidates.first()).copied()
    }

    /// Returns the pairs of sizes with different names that a claim makes equal: `K = N`.
    pub(crate) fn merged_sizes(&self, typing: &Typing) -> Vec<String> {
        let sizes: Vec<(&String, &Range)> = self.sizes.iter().collect();
        let mut merged = Vec::new();
        for (place, &(first, &a)) in sizes.iter().enumerate() {
            for &(second, &b) in &sizes[place + 1..] {
                let before = &self.typing.ranges;
                let known = a < before.parents.len() && b < before.parents.len();
                if known && before.find(a) != before.find(b) && typing.ranges.find(a) == typing.ranges.find(b) {
                    merged.push(format!("{first} = {second}"));
                }
            }
        }
        merged
    }

    /// Returns whether nothing defines a name.
    pub(crate) fn is_input(&self, head: &str) -> bool {
        !self.definitions.iter().any(|definition| definition.name.head == head)
    }

    /// Rows occur if a superscript selects one. Then x, y and all names with such a superscript have
    /// another value in each row, and so has what they define.
    fn find_rows(&mut self, document: &Document) {
        let mut with_row = BTreeSet::new();
        let mut in_definitions = BTreeSet::new();
        for item in &document.items {
            for (place, member) in item.members.iter().enumerate() {
                member.visit_names(&mut |name| {
                    if name.row.is_some() {
                        with_row.insert(name.head.clone());
                        if matches!(item.role, Role::Definition) && place < 2 {
                            in_definitions.insert(name.head.clone());
                        }
                    }
                });
            }
        }
        self.has_rows = !with_row.is_empty();
        if self.has_rows {
            self.by_row.extend(["x".to_owned(), "y".to_owned()]);
            self.by_row.extend(in_definitions);
        }
    }

    fn find_ranks(&mut self, document: &Document) -> Result<()> {
        // The first place where each name has each number of indices: in definitions, and anywhere.
        // Definitions decide. A claim that disagrees is judged as a claim.
        type Uses = BTreeMap<String, BTreeMap<usize, usize>>;
        let mut in_definitions = Uses::new();
        let mut anywhere = Uses::new();
        let mut vectors: BTreeSet<String> = BTreeSet::new();
        for item in &document.items {
            for (place, member) in item.members.iter().enumerate() {
                let defines = matches!(item.role, Role::Definition) && place < 2;
                member.visit_names(&mut |name| {
                    for uses in [&mut anywhere, &mut in_definitions].into_iter().take(1 + usize::from(defines)) {
                        let counts = uses.entry(name.head.clone()).or_default();
                        counts.entry(name.indices.len()).or_insert(name.span.start);
                    }
                });
                member.visit(&mut |expr| {
                    if let Kind::Call(Function::Transpose | Function::Norm | Function::Diag | Function::Softmax, all) = &expr.kind
                        && let Kind::Name(name) = &all[0].kind
                    {
                        vectors.insert(name.head.clone());
                    }
                });
            }
        }
        for (head, counts) in &anywhere {
            let indexed = |counts: &BTreeMap<usize, usize>| -> Vec<(usize, usize)> {
                counts.iter().filter(|(count, _)| **count > 0).map(|(count, at)| (*count, *at)).collect()
            };
            let defining = in_definitions.get(head).map(indexed).unwrap_or_default();
            if let [(first, _), (second, at), ..] = defining.as_slice() {
                return Err(ParseError::new(*at, format!("`{head}` has {second} index(es) here and {first} elsewhere")));
            }
            // A name that is defined as a whole has the shape of its body, whatever claims say.
            let is_whole = defining.is_empty() && !self.is_input(head);
            let found = if defining.is_empty() { indexed(counts) } else { defining };
            let declared = document.shapes.get(head);
            match found.first() {
                Some((count, at)) if *count > 2 => {
                    return Err(ParseError::new(*at, format!("`{head}` has {count} indices; at most 2 can be checked")));
                }
                _ if is_whole => {}
                _ if declared.is_some() => {
                    self.ranks.insert(head.clone(), declared.map_or(0, Vec::len).min(2));
                }
                Some((count, _)) => {
                    self.ranks.insert(head.clone(), *count);
                }
                None => {
                    let is_upper = head.chars().next().is_some_and(char::is_uppercase);
                    let rank = if vectors.contains(head) { 1 + usize::from(is_upper) } else { 0 };
                    self.ranks.insert(head.clone(), rank);
                }
            }
        }
        // A name that is defined without indices has the shape of its body.
        for head in anywhere.keys() {
            let mut ranks = std::mem::take(&mut self.ranks);
            self.rank_of(head, &mut ranks, 0);
            self.ranks = ranks;
        }
        Ok(())
    }

    /// Returns the number of indices of a name, and notes it.
    fn rank_of(&self, head: &str, ranks: &mut BTreeMap<String, usize>, depth: usize) -> usize {
        if let Some(&rank) = ranks.get(head) {
            return rank;
        }
        // A name that is defined by itself is found later.
        ranks.insert(head.to_owned(), 0);
        let definition = self.definitions.iter().find(|definition| definition.name.head == head);
        let (rows, columns) = definition.map_or((0, 0), |definition| self.sides(&definition.body, ranks, depth));
        ranks.insert(head.to_owned(), rows + columns);
        rows + columns
    }

    /// Returns how many of an expression's rows and columns are ranges: 0 or 1 each. Vectors are
    /// columns, and their transposes are rows.
    fn sides(&self, expr: &Expr, ranks: &mut BTreeMap<String, usize>, depth: usize) -> (usize, usize) {
        if depth > 400 {
            return (0, 0);
        }
        let mut of = |expr: &Expr| self.sides(expr, ranks, depth + 1);
        let by_rank = |rank: usize| match rank {
            0 => (0, 0),
            1 => (1, 0),
            _ => (1, 1),
        };
        match &expr.kind {
            Kind::Name(name) | Kind::Apply(name, _) if name.indices.is_empty() => {
                by_rank(self.rank_of(&name.head, ranks, depth + 1))
            }
            Kind::Neg(a) | Kind::Sum { body: a, .. } => of(a),
            Kind::Binary(Operator::Mul, a, b) => match (of(a), of(b)) {
                ((0, 0), b) => b,
                (a, (0, 0)) => a,
                (a, b) => (a.0, b.1),
            },
            Kind::Binary(_, a, b) => {
                let (a, b) = (of(a), of(b));
                (a.0.max(b.0), a.1.max(b.1))
            }
            Kind::Call(Function::Transpose, all) => {
                let (rows, columns) = of(&all[0]);
                (columns, rows)
            }
            Kind::Call(Function::Diag, _) => (1, 1),
            Kind::Call(Function::Norm | Function::Trace, _) => (0, 0),
            Kind::Call(_, all) => of(&all[0]),
            Kind::Cases(cases) => of(&cases[0].0),
            Kind::Derivative(a, by) => match (of(a), by.as_slice()) {
                ((0, 0), [by]) if by.indices.is_empty() => by_rank(self.rank_of(&by.head, ranks, depth + 1)),
                (a, _) => a,
            },
            Kind::Ones => (1, 0),
            _ => (0, 0),
        }
    }

    fn size(&mut self, typing: &mut Typing, name: &str) -> Range {
        if let Ok(length) = name.parse::<usize>() {
            let range = typing.ranges.fresh();
            typing.ranges.fixed.push((range, length));
            return range;
        }
        if let Some(&range) = self.sizes.get(name) {
            return range;
        }
        // The range is made in the types of the document too, so that its number stays free.
        let range = typing.ranges.fresh();
        while self.typing.ranges.parents.len() <= range {
            self.typing.ranges.fresh();
        }
        self.sizes.insert(name.to_owned(), range);
        range
    }

    /// Checks that every name of more than one letter is defined or declared, and that no name
    /// defines itself.
    fn check_names(&self, document: &Document) -> Result<()> {
        let declared: BTreeSet<&str> = document
            .items
            .iter()
            .filter_map(|item| match &item.role {
                Role::Assumption(Assumption::OneOf(head, _) | Assumption::Between(head, ..)) => Some(head.as_str()),
                _ => None,
            })
            .chain(document.shapes.keys().map(String::as_str))
            .collect();
        let mut error = None;
        let is_word = |head: &str| head.chars().count() > 1 && head.chars().all(|c| c.is_ascii_alphabetic());
        for member in document.items.iter().flat_map(|item| &item.members) {
            member.visit_names(&mut |name| {
                let known = !self.is_input(&name.head) || declared.contains(name.head.as_str());
                if !known && is_word(&name.head) && !self.sizes.contains_key(&name.head) && error.is_none() {
                    let names = self.definitions.iter().map(|definition| definition.name.head.as_str());
                    let names = names.chain(declared.iter().copied()).chain(["sigma", "lambda", "softmax", "exp"]);
                    let hint = match nearest(&name.head, names) {
                        Some(hint) => format!("did you mean `{hint}`?"),
                        None => {
                            let letters: Vec<String> = name.head.chars().map(String::from).collect();
                            format!("define it, or write a product as `{}`", letters.join(" "))
                        }
                    };
                    error = Some(ParseError::new(name.span.start, format!("unknown name `{}`; {hint}", name.head)));
                }
            });
        }
        if let Some(error) = error {
            return Err(error);
        }
        for place in 0..self.definitions.len() {
            let mut path = Vec::new();
            let mut done = BTreeSet::new();
            if let Some(circle) = self.circle(place, &mut path, &mut done) {
                let definition = &self.definitions[place];
                let message = format!("`{}` is defined by itself, through {circle}", definition.name.head);
                return Err(ParseError::new(definition.name.span.start, message));
            }
        }
        Ok(())
    }

    fn circle(&self, place: usize, path: &mut Vec<usize>, done: &mut BTreeSet<usize>) -> Option<String> {
        if path.contains(&place) {
            let names: Vec<String> = path.iter().map(|&place| format!("`{}`", self.definitions[place].name.head)).collect();
            return Some(names.join(", "));
        }
        if done.contains(&place) || path.len() > 100 {
            return None;
        }
        path.push(place);
        let mut next = BTreeSet::new();
        let definition = &self.definitions[place];
        definition.body.visit_names(&mut |name| {
            let is_parameter = definition.parameters.iter().any(|parameter| parameter.head == name.head);
            if !is_parameter {
                next.extend(self.resolve(&name.head, name.row.is_some(), definition.item, Some(place)));
            }
        });
        for next in next {
            if let Some(circle) = self.circle(next, path, done) {
                return Some(circle);
            }
        }
        path.pop();
        done.insert(place);
        None
    }
}

/// The letters in scope while types are found.
struct Scope<'a> {
    model: &'a mut Model,
    typing: &'a mut Typing,
    bound: Vec<(String, Range)>,
    depth: usize,
}

impl Scope<'_> {
    fn definition(&mut self, definition: &Definition) -> Result<()> {
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
            let own = if slots.len() == 1 && shape.0 == Side::One { Shape(Side::One, Side::Range(slots[0])) } else { own };
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
        }
        Ok(())
    }

    fn condition(&mut self, condition: &Condition, span: Span) -> Result<()> {
        let range = match (&condition.left, &condition.right) {
            (Index::Letter(letter), _) | (_, Index::Letter(letter)) => self.letter(letter),
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
                [rows, columns, ..] => Shape(Side::Range(*rows), Side::Range(*columns)),
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

    fn shape(&mut self, expr: &Expr) -> Result<Shape> {
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
                    _ => return Err(ParseError::new(span.start, "these are not as many indices as the expression has")),
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
                            let message = "a derivative of a matrix, or by one, has too many indices; write it with indices";
                            return Err(ParseError::new(span.start, message));
                        }
                    };
                }
                Ok(shape)
            }
        }
    }

    fn bind(&mut self, bound: &[Bound]) -> Vec<Range> {
        let mut ranges = Vec::new();
        for bound in bound {
            let range = match &bound.to {
                Some(Limit::Size(size)) => self.model.size(self.typing, size),
                Some(Limit::Number(last)) => {
                    let range = self.typing.ranges.fresh();
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
            if let Index::Letter(letter) = index
                && !bound.contains(letter)
            {
                free.insert(letter.clone());
            }
        };
        match &expr.kind {
            Kind::Name(name) | Kind::Apply(name, _) => name.indices.iter().chain(&name.row).for_each(&mut note),
            Kind::Entry(_, indices) => indices.iter().for_each(&mut note),
            Kind::Derivative(_, by) => by.iter().flat_map(|name| name.indices.iter().chain(&name.row)).for_each(&mut note),
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
                if let Index::Letter(letter) = index
                    && !bound.contains(letter)
                {
                    free.insert(letter.clone());
                }
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
