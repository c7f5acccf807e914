//! Tests of the generated code: a derivative is compared with autodiff of the definitions.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::tensor::{Axis, Body, Result};
use super::{Key, Scope};
use crate::check::inputs;
use crate::document::{Assumption, Role};
use crate::point::Point;
use crate::real::Real;
use crate::samples::Setting;
use crate::tree::Expr;
use crate::typing::{ROWS, Range, Typing};
use crate::value::{Value, sides};

/// The derivative of A by v that a test is about.
pub(super) struct Derivative<'a> {
    pub(super) item: usize,
    pub(super) typing: &'a Typing,
    pub(super) left: &'a Expr,
    pub(super) last: &'a Expr,
    pub(super) by: &'a Key,
    /// A, if it is a name.
    pub(super) target: Option<&'a Key>,
    /// The function that computes A, if it is no name.
    pub(super) of_body: Option<&'a Body>,
    /// The function that computes the derivative.
    pub(super) body: &'a Body,
    pub(super) of_axes: &'a [Axis],
    pub(super) by_axes: &'a [Axis],
    /// The ranges of the derivative's axes: those of A, then those of v that A does not have.
    pub(super) ranges: &'a [Range],
    pub(super) of_ranges: &'a [Range],
    pub(super) letters: &'a [String],
}

/// A test.
pub(super) struct GradientTest {
    pub(super) text: String,
    /// The functions that draw its values.
    pub(super) draws: BTreeSet<&'static str>,
}

/// How the values of an input are drawn.
#[derive(Clone, Debug, PartialEq)]
enum Draw {
    Between(f64, f64),
    OneOf(Vec<f64>),
    OneHot,
    Shares,
}

/// The values that are tried where nothing is assumed.
const DRAWS: [Draw; 3] = [Draw::Between(-1.5, 1.5), Draw::Between(0.25, 2.0), Draw::Between(0.1, 0.9)];

/// The maximum number of values in a test.
const MAX_ENTRIES: usize = 10_000;

/// The values of a test.
pub(super) struct TestValues {
    lengths: BTreeMap<Range, usize>,
    inputs: Vec<(Key, Draw)>,
}

/// A number between 0 and 1: the generated code has the same function.
fn part(seed: usize, place: usize) -> f64 {
    ((place + 1) as f64 * 0.618 + seed as f64 * 0.271).fract()
}

impl Draw {
    fn values(&self, seed: usize, last: usize, count: usize) -> Vec<f64> {
        let part = |place| part(seed, place);
        match self {
            Self::Between(low, high) => (0..count).map(|place| low + (high - low) * part(place)).collect(),
            Self::OneOf(values) => {
                (0..count).map(|place| values[(part(place) * values.len() as f64) as usize]).collect()
            }
            Self::OneHot => {
                (0..count).map(|place| f64::from(u8::from(place % last == (seed + place / last) % last))).collect()
            }
            Self::Shares => {
                let sum = |place: usize| (0..last).map(|k| 1.0 + part(place / last * last + k)).sum::<f64>();
                (0..count).map(|place| (1.0 + part(place)) / sum(place)).collect()
            }
        }
    }

    fn helper(&self) -> &'static str {
        match self {
            Self::Between(..) => "between",
            Self::OneOf(_) => "one_of",
            Self::OneHot => "one_hot",
            Self::Shares => "shares",
        }
    }

    fn call(&self, seed: usize, dims: &[usize]) -> String {
        let dims = array(dims);
        match self {
            Self::Between(low, high) => format!("between({low:?}, {high:?}, {seed}, {dims})"),
            Self::OneOf(values) => format!("one_of(&{values:?}, {seed}, {dims})"),
            Self::OneHot | Self::Shares => format!("{}({seed}, {dims})", self.helper()),
        }
    }
}

fn array(dims: &[usize]) -> String {
    let dims = if dims.is_empty() { &[1][..] } else { dims };
    let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
    format!("[{}]", dims.join(", "))
}

impl TestValues {
    /// Finds values for the inputs at which both sides are defined.
    pub(super) fn new(scope: &Scope<'_>, derivative: &Derivative<'_>) -> Result<Self> {
        let model = scope.symbols.model;
        let exprs = [derivative.left, derivative.last];
        let heads = inputs(model, &exprs);
        if let Some(label) = heads.iter().find(|head| model.labels.contains_key(*head)) {
            return Err(format!("{label} is an index"));
        }
        let assumptions: Vec<&Assumption> = scope
            .part
            .items
            .iter()
            .filter_map(|item| match &item.role {
                Role::Assumption(assumption) => Some(assumption),
                _ => None,
            })
            .collect();
        let lengths = lengths(scope, derivative, &heads, &assumptions);
        let length = |range: Range| lengths.get(&derivative.typing.ranges.find(range)).copied().unwrap_or(2);
        let dims = |head: &str| -> Vec<usize> {
            model.slots.get(head).into_iter().flatten().map(|&range| length(range)).collect()
        };
        let entries = |head: &String| dims(head).iter().fold(length(ROWS), |all, &length| all.saturating_mul(length));
        if heads.iter().map(entries).fold(0, usize::saturating_add) > MAX_ENTRIES {
            return Err("its tensors are too large for a test".into());
        }
        let budget = Cell::new(1_000_000);
        let setting = Setting {
            model,
            typing: derivative.typing,
            item: derivative.item,
            condition: None,
            inputs: &heads,
            seed: 0,
            budget: &budget,
        };
        let assumed: Vec<Option<Draw>> = heads.iter().map(|head| assumed(head, &assumptions)).collect();
        for attempt in 0..2 * DRAWS.len() {
            let mut values = BTreeMap::new();
            let mut drawn = Vec::new();
            for (seed, (head, assumed)) in heads.iter().zip(&assumed).enumerate() {
                // First all names alike, then different ones.
                let place = if attempt < DRAWS.len() { attempt } else { attempt + seed };
                let draw = assumed.clone().unwrap_or_else(|| DRAWS[place % DRAWS.len()].clone());
                let dims = dims(head);
                let rows = if model.by_row.contains(head) { length(ROWS) } else { 1 };
                let count: usize = dims.iter().product::<usize>().max(1);
                let last = dims.last().copied().unwrap_or(1).max(1);
                let entries = draw.values(seed + 1, last, rows * count);
                let (height, width) = sides(&dims);
                let each = entries.chunks(count).map(|row| Value {
                    rows: height,
                    columns: width,
                    entries: row.iter().map(|&entry| Real::new(entry)).collect(),
                });
                values.insert(head.clone(), each.collect());
                drawn.push((Key { head: head.clone(), place: None }, draw));
            }
            let point = Point::new(lengths.clone(), values);
            let is_defined = |expr: &Expr| {
                setting.combinations(&point, attempt).iter().all(|letters| {
                    let value = setting.value(expr, &point, letters);
                    value.is_ok_and(|(value, _)| value.is_some())
                })
            };
            if exprs.iter().all(|expr| is_defined(expr)) {
                return Ok(Self { lengths, inputs: drawn });
            }
        }
        Err("no values were found for a test, at which both sides are defined".into())
    }

    fn dims(&self, ranges: &[Range], typing: &Typing) -> Vec<usize> {
        ranges.iter().map(|range| self.lengths.get(&typing.ranges.find(*range)).copied().unwrap_or(2)).collect()
    }

    /// Writes the test of a function.
    pub(super) fn to_test(
        &self,
        scope: &Scope<'_>,
        derivative: &Derivative<'_>,
        name: &str,
        of_name: &str,
    ) -> GradientTest {
        let item = derivative.item;
        let symbols = scope.symbols;
        let typing = derivative.typing;
        let identifier = |key: &Key| symbols.identifier(key);
        let mut order = Vec::new();
        let of_arguments: Vec<Key> = match (derivative.target, derivative.of_body) {
            (Some(key), _) => vec![key.clone()],
            (None, Some(body)) => keys(body),
            (None, None) => Vec::new(),
        };
        // What the derivative is computed from, and what stays as it is while v changes.
        let (mut changing, mut seen) = (Vec::new(), BTreeSet::new());
        for key in &of_arguments {
            changed_by(scope, derivative.by, key, &mut changing, &mut seen);
        }
        for key in keys(derivative.body).iter().chain([derivative.by]) {
            visit(scope, key, &mut order);
        }
        for key in &changing {
            for argument in arguments(scope, key).iter().filter(|argument| !changing.contains(argument)) {
                visit(scope, argument, &mut order);
            }
        }
        for argument in of_arguments.iter().filter(|argument| !changing.contains(argument)) {
            if derivative.target.is_none() {
                visit(scope, argument, &mut order);
            }
        }
        let mut text = format!("\n    #[test]\n    fn {name}_is_that_of_autodiff() {{\n");
        let mut draws = BTreeSet::new();
        for key in &order {
            let value = match (key.place, self.inputs.iter().position(|(input, _)| input == key)) {
                (Some(place), _) => call(&identifier(key), &scope.definitions[&place].body),
                (None, Some(place)) => {
                    let draw = &self.inputs[place].1;
                    draws.insert(draw.helper());
                    draw.call(place + 1, &self.dims(&symbols.ranges(key, item), typing))
                }
                // A name of which only the shape is used.
                (None, None) => {
                    draws.insert("between");
                    DRAWS[0].call(self.inputs.len() + 1, &self.dims(&symbols.ranges(key, item), typing))
                }
            };
            push(&mut text, 8, &format!("let {} = {value};", identifier(key)));
        }
        let by = identifier(derivative.by);
        let is_shared = |axis: &Axis| derivative.of_axes.contains(axis) && derivative.by_axes.contains(axis);
        let of_dims = self.dims(derivative.of_ranges, typing);
        let by_dims = self.dims(&symbols.ranges(derivative.by, item), typing);
        push(&mut text, 8, &format!("let by_hand = {};", call(name, derivative.body)));
        let with_one = |dims: &[usize], axes: &[Axis]| -> Vec<usize> {
            dims.iter().zip(axes).map(|(&length, axis)| if is_shared(axis) { 1 } else { length }).collect()
        };
        if !of_dims.is_empty() {
            draws.insert("between");
            let weights = DRAWS[1].call(self.inputs.len() + 2, &with_one(&of_dims, derivative.of_axes));
            push(&mut text, 8, &format!("let weights = {weights};"));
        }
        // An index that A and v share has one value at a time.
        let shared: Vec<(usize, &Axis)> =
            derivative.of_axes.iter().enumerate().filter(|(_, axis)| is_shared(axis)).collect();
        let mut indent = 8;
        let mut taken = symbols.names.clone();
        let mut variables: BTreeMap<Axis, String> = BTreeMap::new();
        for (place, axis) in &shared {
            let letter = super::names::identifier(&derivative.letters[*place]);
            let variable = taken.take(&[letter]);
            push(&mut text, indent, &format!("for {variable} in 0..{} {{", of_dims[*place]));
            variables.insert(**axis, variable);
            indent += 4;
        }
        let narrowed = |axes: &[Axis]| -> String {
            let at = |(place, axis): (usize, &Axis)| {
                variables.get(axis).map(|variable| format!(".narrow({place}, {variable}, 1)"))
            };
            axes.iter().enumerate().filter_map(at).collect()
        };
        let rank = by_dims.len().max(1);
        if !shared.is_empty() {
            push(&mut text, indent, &format!("let moved = {by}.clone(){};", narrowed(derivative.by_axes)));
            push(&mut text, indent, &format!("let by_hand = by_hand.clone(){};", narrowed(derivative.of_axes)));
        }
        let moved = if shared.is_empty() { by.as_str() } else { "moved" };
        push(&mut text, indent, &format!("let loss = |{moved}: &Param<Tensor<{rank}>>| {{"));
        if shared.is_empty() {
            push(&mut text, indent + 4, &format!("let {by} = {by}.val();"));
        } else {
            let at = derivative.by_axes.iter().zip(&by_dims).map(|(axis, length)| match variables.get(axis) {
                Some(variable) => format!("{variable}..{variable} + 1"),
                None => format!("0..{length}"),
            });
            let at: Vec<String> = at.collect();
            let at = if at.len() == 1 { at.concat() } else { format!("[{}]", at.join(", ")) };
            let all = format!("let {by} = {by}.clone().slice_assign({at}, moved.val());");
            push(&mut text, indent + 4, &all);
        }
        for key in changing.iter().filter(|key| *key != derivative.by && Some(*key) != derivative.target) {
            if let Some(function) = key.place.and_then(|place| scope.definitions.get(&place)) {
                let value = call(&identifier(key), &function.body);
                push(&mut text, indent + 4, &format!("let {} = {value};", identifier(key)));
            }
        }
        let of_body = derivative
            .of_body
            .or(derivative.target.and_then(|key| scope.definitions.get(&key.place?)).map(|function| &function.body));
        let output = of_body.map_or_else(|| of_name.to_owned(), |body| call(of_name, body));
        if of_dims.is_empty() {
            push(&mut text, indent + 4, &output);
        } else {
            let slice = narrowed(derivative.of_axes);
            push(&mut text, indent + 4, &format!("let output = {output}{slice};"));
            push(&mut text, indent + 4, "(output * weights.clone()).sum()");
        }
        push(&mut text, indent, "};");
        if !of_dims.is_empty() {
            let all = self.dims(derivative.ranges, typing);
            let mut weight_dims = with_one(&of_dims, derivative.of_axes);
            weight_dims.resize(all.len(), 1);
            if all.len() > of_dims.len() {
                let reshaped = format!("let factors = weights.clone().reshape({});", array(&weight_dims));
                push(&mut text, indent, &reshaped);
            } else {
                push(&mut text, indent, "let factors = weights.clone();");
            }
            let places: Vec<String> = (0..of_dims.len())
                .filter(|&place| !is_shared(&derivative.of_axes[place]))
                .map(|place| place.to_string())
                .collect();
            if places.is_empty() {
                push(&mut text, indent, "let by_hand = by_hand * factors;");
            } else {
                let sum = format!("let by_hand = (by_hand * factors).sum_dims(&[{}]);", places.join(", "));
                push(&mut text, indent, &sum);
            }
            if all.len() != rank || !places.is_empty() {
                let dims = array(&with_one(&by_dims, derivative.by_axes));
                push(&mut text, indent, &format!("let by_hand = by_hand.reshape({dims});"));
            }
        }
        let at = if shared.is_empty() { format!("{by}.clone()") } else { "moved".to_owned() };
        push(&mut text, indent, &format!("agrees({at}, by_hand, loss);"));
        for _ in &shared {
            indent -= 4;
            push(&mut text, indent, "}");
        }
        text += "    }\n";
        if draws.contains("one_of") || draws.contains("between") || draws.contains("shares") {
            draws.insert("part");
        }
        GradientTest { text, draws }
    }
}

fn push(text: &mut String, indent: usize, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:indent$}{line}", "");
}

/// Finds a length for each range, of which those that a test uses differ as far as possible.
fn lengths(
    scope: &Scope<'_>,
    derivative: &Derivative<'_>,
    heads: &[String],
    assumptions: &[&Assumption],
) -> BTreeMap<Range, usize> {
    let model = scope.symbols.model;
    let ranges = &derivative.typing.ranges;
    let mut lengths: BTreeMap<Range, usize> = BTreeMap::new();
    let used = heads.iter().flat_map(|head| model.slots.get(head).into_iter().flatten().copied());
    let rows = model.has_rows.then_some(ROWS);
    for range in rows.into_iter().chain(used).chain(ranges.classes()) {
        let class = ranges.find(range);
        let assumed = assumptions.iter().find_map(|assumption| match assumption {
            Assumption::Size(name, length) => {
                let sized = model.sizes.get(name).is_some_and(|&sized| ranges.find(sized) == class);
                sized.then_some(*length)
            }
            _ => None,
        });
        let length = [4, 3, 2, 5][lengths.len() % 4].max(ranges.least(class));
        let length = assumed.or(ranges.fixed(class)).unwrap_or(length);
        lengths.entry(class).or_insert(length);
    }
    lengths
}

/// Returns how values are drawn that satisfy the assumptions about a name.
fn assumed(head: &str, assumptions: &[&Assumption]) -> Option<Draw> {
    let mut found = None;
    let mut sums_to_one = false;
    for assumption in assumptions {
        match assumption {
            Assumption::OneOf(name, values) if name == head && !values.is_empty() => {
                found = Some(Draw::OneOf(values.clone()));
            }
            Assumption::Between(name, low, high) if name == head => {
                found = Some(match (low.is_finite(), high.is_finite()) {
                    (true, true) => Draw::Between(low + 0.125 * (high - low), high - 0.125 * (high - low)),
                    (true, false) => Draw::Between(low + 0.25, low + 2.0),
                    (false, true) => Draw::Between(high - 2.0, high - 0.25),
                    (false, false) => DRAWS[0].clone(),
                });
            }
            Assumption::SumOne(name) if name == head => sums_to_one = true,
            _ => {}
        }
    }
    match found {
        Some(Draw::OneOf(values)) if sums_to_one && values.contains(&0.0) && values.contains(&1.0) => {
            Some(Draw::OneHot)
        }
        _ if sums_to_one => Some(Draw::Shares),
        other => other,
    }
}

fn keys(body: &Body) -> Vec<Key> {
    body.arguments.iter().map(|argument| argument.key.clone()).collect()
}

/// Returns what a name is computed from.
fn arguments(scope: &Scope<'_>, key: &Key) -> Vec<Key> {
    let function = key.place.and_then(|place| scope.definitions.get(&place));
    function.map_or_else(Vec::new, |function| keys(&function.body))
}

/// Adds a name to those that are computed, after all that it needs.
fn visit(scope: &Scope<'_>, key: &Key, order: &mut Vec<Key>) {
    if order.contains(key) {
        return;
    }
    for argument in arguments(scope, key) {
        visit(scope, &argument, order);
    }
    order.push(key.clone());
}

/// Adds the names that change with v, each after those that it needs. Returns whether a name does.
fn changed_by(scope: &Scope<'_>, by: &Key, key: &Key, changing: &mut Vec<Key>, seen: &mut BTreeSet<Key>) -> bool {
    if !seen.insert(key.clone()) {
        return changing.contains(key);
    }
    let mut changes = key == by;
    if !changes {
        for argument in arguments(scope, key) {
            changes |= changed_by(scope, by, &argument, changing, seen);
        }
    }
    if changes {
        changing.push(key.clone());
    }
    changes
}

/// Calls a function of the module with tensors that have the names of its arguments.
fn call(name: &str, body: &Body) -> String {
    let arguments: Vec<String> = body
        .arguments
        .iter()
        .map(|argument| match argument.is_borrowed {
            true => format!("&{}", argument.name),
            false => format!("{}.clone()", argument.name),
        })
        .collect();
    format!("super::{name}({})", arguments.join(", "))
}

/// Writes the module of the tests.
pub(super) fn module(tests: &str, draws: &BTreeSet<&'static str>) -> String {
    let mut text = String::from(
        "
#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::optim::GradientsParams;
    use burn::tensor::{DType, Device, Tensor, TensorData};
    use chainrule_gradcheck::{Options, compare};

    fn tensor<const D: usize>(value: impl Fn(usize) -> f64, dims: [usize; D]) -> Tensor<D> {
        let values: Vec<f64> = (0..dims.iter().product()).map(value).collect();
        Tensor::from_data(TensorData::new(values, dims), (&Device::default(), DType::F64))
    }
",
    );
    for (name, helper) in [
        (
            "part",
            "
    /// A number between 0 and 1.
    fn part(seed: usize, place: usize) -> f64 {
        ((place + 1) as f64 * 0.618 + seed as f64 * 0.271).fract()
    }
",
        ),
        (
            "between",
            "
    fn between<const D: usize>(low: f64, high: f64, seed: usize, dims: [usize; D]) -> Tensor<D> {
        tensor(|place| low + (high - low) * part(seed, place), dims)
    }
",
        ),
        (
            "one_of",
            "
    fn one_of<const D: usize>(values: &[f64], seed: usize, dims: [usize; D]) -> Tensor<D> {
        let count = values.len() as f64;
        tensor(|place| values[(part(seed, place) * count) as usize], dims)
    }
",
        ),
        (
            "one_hot",
            "
    fn one_hot<const D: usize>(seed: usize, dims: [usize; D]) -> Tensor<D> {
        let last = dims[D - 1];
        let is_one = |place: usize| place % last == (seed + place / last) % last;
        tensor(|place| f64::from(u8::from(is_one(place))), dims)
    }
",
        ),
        (
            "shares",
            "
    /// Positive numbers whose sum over the last axis is one.
    fn shares<const D: usize>(seed: usize, dims: [usize; D]) -> Tensor<D> {
        let values = tensor(|place| 1.0 + part(seed, place), dims);
        let sums = values.clone().sum_dim(D - 1);
        values / sums
    }
",
        ),
    ] {
        if draws.contains(name) {
            text += helper;
        }
    }
    text += "
    /// Compares a derivative with autodiff, and with finite differences.
    fn agrees<const D: usize, F>(at: Tensor<D>, by_hand: Tensor<D>, loss: F)
    where
        F: Fn(&Param<Tensor<D>>) -> Tensor<1>,
    {
        let at = Param::from_tensor(at);
        let mut gradients = GradientsParams::new();
        gradients.register(at.id, by_hand);
        compare(&at, loss, &[(\"by hand\", gradients)], &Options::default()).assert_pass();
    }
";
    text += tests;
    text + "}\n"
}
