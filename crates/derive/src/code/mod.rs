//! Derivations as Rust code: each definition and each derivative that holds is a function on Burn
//! tensors, with a test that compares it with autodiff.
//!
//! - `names` finds identifiers, and `scope` the axes of each name's tensor.
//! - `tensor` writes expressions.
//! - `gradient_test` writes the tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::source;
use crate::document::{Document, Item, Part, Role};
use crate::report::{Report, Verdict};
use crate::tree::{Index, Kind, Name};
use crate::typing::{Model, Range, Typing};
use gradient_test::{Derivative, GradientTest, TestValues};
use names::{Names, identifier};
use scope::Symbols;
use tensor::{Axis, Body, Builder, Helper, Result};

mod gradient_test;
mod names;
mod scope;
mod tensor;

/// A derivation as Rust code.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// The source of a module that needs `burn`, and `chainrule-gradcheck` for its tests.
    pub text: String,
    /// The number of claims that became functions.
    pub claims: usize,
    /// The claims and definitions that have no code.
    pub left_out: Vec<LeftOut>,
}

/// What has no code.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// The line of the document, from 1.
    pub line: usize,
    /// The left side in plain notation.
    pub left: String,
    /// Why, as a sentence without a full stop.
    pub reason: String,
}

/// A name: an input, or what a definition says it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    head: String,
    /// The definition.
    place: Option<usize>,
}

/// A function of the generated code.
struct Function {
    name: String,
    /// What it computes, as a sentence.
    summary: String,
    /// The equation as it is written.
    equation: String,
    body: Body,
    /// The ranges of the result's axes.
    ranges: Vec<Range>,
}

/// Writes a derivation as Rust code. `title` names the file. `report` is the result of its check:
/// only claims of which each step holds become code.
pub fn code(document: &Document, report: &Report, title: &str) -> Code {
    let mut names = Names::new();
    let mut left_out = Vec::new();
    let mut claims = 0;
    let (mut functions, mut tests) = (String::new(), String::new());
    let (mut helpers, mut draws) = (BTreeSet::new(), BTreeSet::new());
    for part in &document.parts {
        // The types of what was read fit.
        let Ok(mut model) = Model::new(part) else { continue };
        let items = part.items.iter().enumerate().filter(|(_, item)| matches!(item.role, Role::Claim));
        let items: Vec<(usize, &Item)> = items.filter(|(_, item)| !item.inherited).collect();
        let last = |item: &Item| item.members.last().cloned();
        let typings: Vec<Option<Typing>> =
            items.iter().map(|(_, item)| Some(model.typing(&[&item.members[0], &last(item)?], &[]).ok()?.0)).collect();
        let symbols = Symbols::new(part, &model, &mut names);
        let mut scope = Scope { part, report, symbols: &symbols, definitions: BTreeMap::new() };
        let mut written = Vec::new();
        for ((place, item), typing) in items.iter().zip(&typings) {
            let claim = match typing {
                Some(typing) => scope.claim(*place, item, typing, &mut names).map(|claim| (claim, typing)),
                None => Err("its types do not fit".into()),
            };
            match claim {
                Ok(claim) => written.push(claim),
                Err(reason) => left_out.push(LeftOut {
                    line: part.line(item.span.start),
                    left: item.members[0].to_string(),
                    reason,
                }),
            }
        }
        for (place, definition) in model.definitions.iter().enumerate() {
            // A function's body is written at its calls.
            let is_own = !part.items[definition.item].inherited && definition.parameters.is_empty();
            if is_own && let Err(reason) = scope.define(place, usize::MAX, &mut BTreeSet::new()) {
                let line = part.line(definition.name.span.start);
                left_out.push(LeftOut { line, left: definition.name.to_string(), reason });
            }
        }
        for function in scope.definitions.values() {
            helpers.extend(&function.body.helpers);
            functions += &function.to_rust(&symbols, &model.typing);
        }
        for (claim, typing) in &written {
            claims += 1;
            for function in claim.of.iter().chain([&claim.function]) {
                helpers.extend(&function.body.helpers);
                functions += &function.to_rust(&symbols, typing);
            }
            draws.extend(claim.test.draws.iter().copied());
            tests += &claim.test.text;
        }
    }
    left_out.sort_by_key(|left_out| left_out.line);
    let mut text = header(title, &helpers);
    text += &functions;
    if claims > 0 {
        text += &gradient_test::module(&tests, &draws);
    }
    if !left_out.is_empty() {
        text += "\n// Left out:\n";
        for left_out in &left_out {
            let line = format!("line {}, {}: {}", left_out.line, left_out.left, left_out.reason);
            text += &wrapped(&line, "// - ", "//   ");
        }
    }
    Code { text, claims, left_out }
}

/// The functions of a scope.
struct Scope<'a> {
    part: &'a Part,
    report: &'a Report,
    symbols: &'a Symbols<'a>,
    definitions: BTreeMap<usize, Function>,
}

/// A claim as code.
struct Claim {
    /// What is differentiated, where it is no name.
    of: Option<Function>,
    function: Function,
    test: GradientTest,
}

/// One side of a derivative: its axes.
struct Side {
    axes: Vec<Axis>,
    /// The axes without letters: those of a vector or matrix.
    whole: Vec<Axis>,
}

impl Scope<'_> {
    /// Writes a claim `∂A/∂v = …` as a function and a test.
    fn claim(&mut self, place: usize, item: &Item, typing: &Typing, names: &mut Names) -> Result<Claim> {
        self.must_hold(item)?;
        let last = item.members.last().ok_or("it has no right side")?;
        let left = &item.members[0];
        let (of, by) = match &left.kind {
            Kind::Derivative(of, by) => match by.as_slice() {
                [by] => (of.as_ref(), by),
                _ => return Err("it is a second derivative".into()),
            },
            _ => return Err("its left side is no derivative".into()),
        };
        if let Some(condition) = &item.condition {
            return Err(format!("it is for {condition} only"));
        }
        if last.is_number(0.0) {
            return Err("it is zero everywhere".into());
        }
        if let [sizes, ..] = self.symbols.model.merged_sizes(typing).as_slice() {
            return Err(format!("it holds only where {sizes}"));
        }
        let mut builder = Builder::new(self.symbols, typing, place, None);
        for (letter, range) in &typing.free {
            builder.letter_axis(letter, *range);
        }
        let resolve = |name: &Name| {
            let place = self.symbols.model.resolve(&name.head, name.row.is_some(), place, None);
            Key { head: name.head.clone(), place }
        };
        let by_key = resolve(by);
        if by_key.place.is_none() && self.symbols.model.sizes.contains_key(&by.head) {
            return Err(format!("{} is a number of entries", by.head));
        }
        let by_side = self.side(&mut builder, by, &by_key, place)?;
        // The function that is differentiated.
        let (target, of_side, of_name) = match &of.kind {
            Kind::Name(name) => {
                let key = resolve(name);
                let side = self.side(&mut builder, name, &key, place)?;
                (Some(key.clone()), side, self.symbols.identifier(&key))
            }
            _ => {
                let axes = builder.axes_of(of)?;
                (None, Side { axes, whole: Vec::new() }, short(&identifier(&of.to_string())))
            }
        };
        if target.as_ref() == Some(&by_key) {
            return Err("it is the derivative of a name by itself".into());
        }
        let mut wanted = of_side.axes.clone();
        wanted.extend(by_side.axes.iter().filter(|axis| !of_side.axes.contains(axis)));
        let wholes: Vec<Axis> = of_side.whole.iter().chain(&by_side.whole).copied().collect();
        if wholes.len() > 2 {
            return Err("it has more than two indices, which are not written".into());
        }
        let whole = [wholes.first().copied(), wholes.get(1).copied()];
        let ranges = |axes: &[Axis]| -> Vec<Range> { axes.iter().map(|&axis| builder.range_of(axis)).collect() };
        let of_function = if target.is_some() {
            None
        } else {
            let mut of_builder = builder.clone();
            of_builder.expects(of_side.axes.clone());
            let body = of_builder.finish(of, [None, None], &[])?;
            Some((body, ranges(&of_side.axes)))
        };
        let mut right = builder.clone();
        right.expects(wanted.clone());
        let mut shapes = vec![by_key.clone()];
        shapes.extend(target.clone());
        let body = right.finish(last, whole, &shapes)?;
        let mut needed: Vec<Key> = body.arguments.iter().map(|argument| argument.key.clone()).collect();
        match (&target, &of_function) {
            (Some(key), _) => needed.push(key.clone()),
            (None, Some((body, _))) => needed.extend(body.arguments.iter().map(|argument| argument.key.clone())),
            (None, None) => {}
        }
        needed.push(by_key.clone());
        self.define_all(&needed, place, &mut BTreeSet::new())?;
        let letters: Vec<String> = wanted.iter().map(|&axis| builder.letter_of(axis).to_owned()).collect();
        let derivative = Derivative {
            item: place,
            typing,
            left,
            last,
            by: &by_key,
            target: target.as_ref(),
            of_body: of_function.as_ref().map(|(body, _)| body),
            body: &body,
            of_axes: &of_side.axes,
            by_axes: &by_side.axes,
            ranges: &ranges(&wanted),
            of_ranges: &ranges(&of_side.axes),
            letters: &letters,
        };
        let values = TestValues::new(self, &derivative)?;
        // Nothing can fail from here, so each name is used.
        let of_name = if target.is_some() { of_name } else { names.take(&[of_name]) };
        let name = names.take(&[format!("d_{of_name}_d_{}", self.symbols.identifier(&by_key))]);
        let test = values.to_test(self, &derivative, &name, &of_name);
        let of = of_function.map(|(body, ranges)| Function {
            name: of_name,
            summary: "What is differentiated:".into(),
            equation: source(self.part, of.span),
            body,
            ranges,
        });
        let equation = format!("{} = {}", source(self.part, left.span), source(self.part, last.span));
        let mut summary = format!("The derivative {}", in_code(&left.to_string()));
        let assumptions: Vec<String> = self.assumptions(item).iter().map(|assumption| in_code(assumption)).collect();
        if !assumptions.is_empty() {
            summary += &format!(", where {}", assumptions.join(" and "));
        }
        summary.push(':');
        let function = Function { name, summary, equation, body, ranges: ranges(&wanted) };
        Ok(Claim { of, function, test })
    }

    /// Returns why a claim is no code: a step that does not hold.
    fn must_hold(&self, item: &Item) -> Result<()> {
        let lines = &self.report.lines;
        let line = lines.iter().find(|line| line.start == item.span.start).ok_or("it was not checked")?;
        if line.steps.is_empty() {
            return Err("it was not checked".into());
        }
        for step in &line.steps {
            match &step.verdict {
                Verdict::Holds | Verdict::HoldsUnder { .. } => {}
                Verdict::Wrong { .. } => return Err("it has a wrong step".into()),
                Verdict::Missing => return Err("it is still to be derived".into()),
                Verdict::Undecided { .. } => return Err("it is not decided whether it holds".into()),
                verdict => return Err(verdict.name().to_owned()),
            }
        }
        Ok(())
    }

    fn assumptions(&self, item: &Item) -> Vec<String> {
        let line = self.report.lines.iter().find(|line| line.start == item.span.start);
        let mut all: Vec<String> = Vec::new();
        for step in line.map_or(&[][..], |line| line.steps.as_slice()) {
            if let Verdict::HoldsUnder { assumptions } = &step.verdict {
                let is_new = |assumption: &&String| !all.contains(*assumption);
                let new: Vec<String> = assumptions.iter().filter(is_new).cloned().collect();
                all.extend(new);
            }
        }
        all
    }

    /// Finds the axes of a name of a left side.
    fn side(&self, builder: &mut Builder<'_>, name: &Name, key: &Key, item: usize) -> Result<Side> {
        let slots = self.symbols.model.slots.get(&name.head).map_or(&[][..], Vec::as_slice);
        let (mut axes, mut whole) = (Vec::new(), Vec::new());
        if self.symbols.has_row(key, item) {
            axes.push(match &name.row {
                None => builder.row_axis(),
                Some(Index::Letter(letter)) => builder.letter(letter)?,
                Some(_) => return Err(format!("{name} is one row of all")),
            });
        }
        if name.indices.is_empty() {
            whole = slots.iter().zip(["i", "j"]).map(|(&range, letter)| builder.axis(letter, range)).collect();
            axes.extend(&whole);
        }
        for index in &name.indices {
            match index {
                Index::Letter(letter) => axes.push(builder.letter(letter)?),
                _ => return Err(format!("{name} has the index {index}, which is no letter")),
            }
        }
        let distinct: BTreeSet<&Axis> = axes.iter().collect();
        if distinct.len() < axes.len() {
            return Err(format!("{name} has the same index twice"));
        }
        Ok(Side { axes, whole })
    }

    /// Writes the functions of definitions, and of those that they need.
    fn define_all(&mut self, keys: &[Key], item: usize, seen: &mut BTreeSet<usize>) -> Result<()> {
        for (key, place) in keys.iter().filter_map(|key| Some((key, key.place?))) {
            self.define(place, item, seen).map_err(|reason| {
                let line = self.part.line(self.symbols.model.definitions[place].name.span.start);
                format!("the definition of {} on line {line} has no code: {reason}", key.head)
            })?;
        }
        Ok(())
    }

    fn define(&mut self, place: usize, item: usize, seen: &mut BTreeSet<usize>) -> Result<()> {
        if !seen.insert(place) {
            return Ok(());
        }
        let definition = &self.symbols.model.definitions[place];
        let name = &definition.name;
        let key = Key { head: name.head.clone(), place: Some(place) };
        let body = self.definition(&key, place, item)?;
        let needed: Vec<Key> = body.arguments.iter().map(|argument| argument.key.clone()).collect();
        match self.definitions.get(&place) {
            // For the definitions that no claim uses, the place does not matter.
            Some(_) if item == usize::MAX => return Ok(()),
            Some(known) if known.body != body => {
                return Err(format!("a name in the definition of {} means something else here", name.head));
            }
            Some(_) => {}
            None => {
                let function = Function {
                    name: self.symbols.identifier(&key),
                    summary: format!("The definition of {}:", in_code(&name.to_string())),
                    equation: format!("{} = {}", source(self.part, name.span), source(self.part, definition.body.span)),
                    body,
                    ranges: self.symbols.ranges(&key, item),
                };
                self.definitions.insert(place, function);
            }
        }
        self.define_all(&needed, item, seen)
    }

    fn definition(&self, key: &Key, place: usize, item: usize) -> Result<Body> {
        let model = self.symbols.model;
        let definition = &model.definitions[place];
        if !definition.parameters.is_empty() {
            return Err("it is a function".into());
        }
        let mut builder = Builder::new(self.symbols, &model.typing, item, Some(place));
        let (mut wanted, mut whole) = (Vec::new(), [None, None]);
        if self.symbols.has_row(key, item) {
            let letter = match &definition.name.row {
                Some(Index::Letter(letter)) => Some(builder.letter_axis(letter, crate::typing::ROWS)),
                _ => None,
            };
            let row = letter.unwrap_or_else(|| builder.axis("n", crate::typing::ROWS));
            builder.set_row(row);
            wanted.push(row);
        }
        let slots = model.slots.get(&key.head).cloned().unwrap_or_default();
        if definition.name.indices.is_empty() {
            for (own, range) in whole.iter_mut().zip(&slots) {
                let axis = builder.axis("i", *range);
                *own = Some(axis);
                wanted.push(axis);
            }
        }
        for (index, range) in definition.name.indices.iter().zip(&slots) {
            if let Index::Letter(letter) = index {
                wanted.push(builder.letter_axis(letter, *range));
            }
        }
        builder.expects(wanted);
        builder.finish(&definition.body, whole, &[])
    }
}

impl Function {
    fn to_rust(&self, symbols: &Symbols<'_>, typing: &Typing) -> String {
        let mut text = format!("\n{}///\n/// ```text\n", wrapped(&self.summary, "/// ", "/// "));
        text += &wrapped(&self.equation, "/// ", "///     ");
        text += "/// ```\n///\n/// # Shapes\n///\n";
        let arguments = &self.body.arguments;
        for argument in arguments {
            text += &format!("/// - `{}`: `{}`\n", argument.name, symbols.shape(&argument.ranges, typing));
        }
        text += &format!("/// - result: `{}`\n", symbols.shape(&self.ranges, typing));
        if arguments.len() > 7 {
            text += "#[allow(clippy::too_many_arguments, reason = \"one for each name of the formula\")]\n";
        }
        let rank = |ranges: &[Range]| ranges.len().max(1);
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| {
                let mark = if argument.is_borrowed { "&" } else { "" };
                format!("{}: {mark}Tensor<{}>", argument.name, rank(&argument.ranges))
            })
            .collect();
        let end = format!(") -> Tensor<{}> {{\n", rank(&self.ranges));
        let line = format!("pub fn {}({}{end}", self.name, arguments.join(", "));
        text += &if line.trim_end().chars().count() <= MAX_WIDTH {
            line
        } else {
            let arguments: String = arguments.iter().map(|argument| format!("    {argument},\n")).collect();
            format!("pub fn {}(\n{arguments}{end}", self.name)
        };
        for line in &self.body.lines {
            text += &format!("    {line}\n");
        }
        text + "}\n"
    }
}

/// The width at which rustfmt breaks a signature, with the settings of this project.
const MAX_WIDTH: usize = 120;

fn header(title: &str, helpers: &BTreeSet<Helper>) -> String {
    let title = title.replace(char::is_control, "�");
    let mut text = wrapped(&format!("The definitions and derivatives of {}.", in_code(&title)), "//! ", "//! ");
    text += concat!(
        "//!\n",
        "//! `chainrule derive` checked each derivative; the tests compare it with autodiff. The letters in\n",
        "//! shapes are lengths: `N` is the number of rows, and an index the number of its values. A name\n",
        "//! that has another value in each row has the rows as its first axis.\n\n",
    );
    let needs = |helper: Helper| helpers.contains(&helper);
    let activations: Vec<&str> = [(Helper::Relu, "relu"), (Helper::Softmax, "softmax")]
        .into_iter()
        .filter(|(helper, _)| needs(*helper))
        .map(|(_, name)| name)
        .collect();
    let activations = match activations.as_slice() {
        [] => String::new(),
        [one] => format!("use burn::tensor::activation::{one};\n"),
        all => format!("use burn::tensor::activation::{{{}}};\n", all.join(", ")),
    };
    // In the order of rustfmt.
    text += &if needs(Helper::Delta) {
        format!("{activations}use burn::tensor::{{FloatDType, Tensor}};\n")
    } else {
        format!("use burn::tensor::Tensor;\n{activations}")
    };
    if needs(Helper::Delta) {
        text += "\n/// The Kronecker delta `[size, size]`, of the type and device of a tensor.\n\
                 fn delta<const D: usize>(size: usize, like: &Tensor<D>) -> Tensor<2> {\n    \
                     Tensor::<2>::eye(size, &like.device()).cast(FloatDType::from(like.dtype()))\n}\n";
    }
    if needs(Helper::Sigmoid) {
        text += "\n/// The logistic function. That of Burn computes in f32 on some backends.\n\
                 fn sigmoid<const D: usize>(value: Tensor<D>) -> Tensor<D> {\n    \
                     (value * 0.5).tanh() * 0.5 + 0.5\n}\n";
    }
    if needs(Helper::IsPositive) {
        text += "\n/// 1 where an entry is positive, and 0 elsewhere.\n\
                 fn is_positive<const D: usize>(value: Tensor<D>) -> Tensor<D> {\n    \
                     let zeros = value.zeros_like();\n    \
                     zeros.mask_fill(value.greater_scalar(0.0), 1.0)\n}\n";
    }
    text
}

/// Wraps a comment at 100 columns, at spaces only.
fn wrapped(text: &str, first: &str, next: &str) -> String {
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > 100 {
            lines += line.trim_end();
            lines.push('\n');
            line = next.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines += line.trim_end();
    lines + "\n"
}

/// Shows a text as code in Markdown.
fn in_code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'"))
}

/// Shortens an identifier.
fn short(identifier: &str) -> String {
    let text: String = identifier.chars().take(32).collect();
    text.trim_end_matches('_').to_owned()
}
