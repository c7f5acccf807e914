//! Types: how many indices a name has, and which indices run over the same range.
//!
//! Ranges are found by unification: in `\sum_j x_j w_{jk}`, the index of x and the first of w have
//! one range. Definitions decide first. Each claim then adds its own to a copy, so that a claim
//! that mixes up two indices changes nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::document::{Assumption, Definition, Part, Role};
use crate::error::{ParseError, nearest};
use crate::tree::{Condition, Expr, Function, Index, Kind, Operator, Span};

mod ranges;
mod scope;

pub(crate) use ranges::{ROWS, Range, Ranges};
use scope::Scope;
pub(crate) use scope::{Shape, free_letters};

/// The maximum number of indices of a name.
const MAX_INDICES: usize = 5;

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
    /// The names whose values are indices, each with the range of this index.
    pub(crate) labels: BTreeMap<String, Range>,
    /// The names that have another value in each row.
    pub(crate) by_row: BTreeSet<String>,
    /// Whether rows occur at all.
    pub(crate) has_rows: bool,
    pub(crate) base: i64,
    /// The types of all definitions.
    pub(crate) typing: Typing,
}

type Result<T> = std::result::Result<T, ParseError>;

impl Model {
    /// Finds the types of a document's definitions.
    pub(crate) fn new(document: &Part) -> Result<Self> {
        let mut ranges = Ranges::default();
        ranges.fresh();
        let typing = Typing { ranges, sums: HashMap::new(), ones: HashMap::new(), free: Vec::new() };
        let mut model = Self {
            definitions: document.definitions.clone(),
            ranks: BTreeMap::new(),
            slots: BTreeMap::new(),
            sizes: BTreeMap::new(),
            labels: BTreeMap::new(),
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
        for member in document.items.iter().flat_map(|item| &item.members) {
            member.visit_indices(&mut |index| {
                if let Index::Value(name) = index
                    && !model.labels.contains_key(&name.head)
                {
                    model.labels.insert(name.head.clone(), model.typing.ranges.fresh());
                }
            });
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
            // A product that is read as one unknown name has the wrong type, too.
            scope.definition(&definition).map_err(|error| model.unknown_name(document).unwrap_or(error))?;
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
            definition.name.head == head
                && !(has_row && definition.is_batch)
                && own.is_none_or(|own| *place < own || self.definitions[own].is_batch)
        });
        let mut candidates: Vec<usize> = candidates.map(|(place, _)| place).collect();
        // In `C = (1/N) sum_n C^(n)`, C is the mean, however C^(n) is defined.
        if candidates.iter().any(|&place| self.definitions[place].is_batch) {
            candidates.retain(|&place| self.definitions[place].name.row.is_none());
        }
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

    /// Rows occur if a superscript selects one. Then x, y and all names with such a superscript
    /// have another value in each row, and so has what they define.
    fn find_rows(&mut self, document: &Part) {
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

    fn find_ranks(&mut self, document: &Part) -> Result<()> {
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
                    if let Kind::Call(Function::Transpose | Function::Norm | Function::Diag | Function::Softmax, all) =
                        &expr.kind
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
                return Err(ParseError::new(
                    *at,
                    format!("`{head}` has {second} index(es) here and {first} elsewhere"),
                ));
            }
            // A name that is defined as a whole has the shape of its body, whatever claims say.
            let is_whole = defining.is_empty() && !self.is_input(head);
            let found = if defining.is_empty() { indexed(counts) } else { defining };
            let declared = document.shapes.get(head);
            match found.first() {
                Some((count, at)) if *count > MAX_INDICES => {
                    return Err(ParseError::new(
                        *at,
                        format!("`{head}` has {count} indices; at most {MAX_INDICES} can be checked"),
                    ));
                }
                _ if is_whole => {}
                _ if declared.is_some() => {
                    self.ranks.insert(head.clone(), declared.map_or(0, Vec::len).min(MAX_INDICES));
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
            Kind::Neg(a) | Kind::Sum { body: a, .. } | Kind::Along(a, ..) => of(a),
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
            Kind::Call(Function::Choose, all) => {
                let (test, value) = (of(&all[0]), of(&all[1]));
                (test.0.max(value.0), test.1.max(value.1))
            }
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

    pub(super) fn size(&mut self, typing: &mut Typing, name: &str) -> Range {
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

    /// Finds a name of more than one letter that is neither defined nor declared.
    fn unknown_name(&self, document: &Part) -> Option<ParseError> {
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
        error
    }

    /// Checks that every name of more than one letter is known, and that no name defines itself.
    fn check_names(&self, document: &Part) -> Result<()> {
        if let Some(error) = self.unknown_name(document) {
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
            let names: Vec<String> =
                path.iter().map(|&place| format!("`{}`", self.definitions[place].name.head)).collect();
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
