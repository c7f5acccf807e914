//! Formulas that can be read in two ways. They are refused: a guess could make a right step look
//! wrong.

use std::collections::BTreeSet;

use super::{Assumption, Item, Part, Role};
use crate::error::ParseError;
use crate::tree::{Expr, Function, Index, Kind, Name, Operator};
use crate::typing::Model;

/// Finds the first formula with two meanings.
pub(super) fn check(part: &Part, model: &Model) -> Result<(), ParseError> {
    for item in &part.items {
        match item.role {
            Role::Claim => implicit_definition(part, model, item)?,
            Role::Definition => prime_of_a_value(part, item)?,
            _ => {}
        }
        index_as_number(model, item)?;
        for member in &item.members {
            let mut error = None;
            member.visit_names(&mut |name| error = error.take().or_else(|| entry_by_a_name(part, name)));
            error.map_or(Ok(()), Err)?;
        }
    }
    gradient_of_entries(part, model)
}

/// Refuses `y' = …` where `y = …` is defined: it may be a derivative of y, and then it is a claim.
/// `y' = y + …` is another value.
fn prime_of_a_value(part: &Part, item: &Item) -> Result<(), ParseError> {
    let [Expr { kind: Kind::Name(left), .. }, others @ ..] = item.members.as_slice() else { return Ok(()) };
    let head = left.head.trim_end_matches('\'');
    let is_defined = || part.definitions.iter().any(|definition| definition.name.head == head);
    let mut is_used = false;
    others.iter().for_each(|other| other.visit_names(&mut |name| is_used |= name.head == head));
    if head == left.head || is_used || !is_defined() {
        return Ok(());
    }
    let message = format!("is `{}` a derivative? Write by what, like `d{head}/dx`, or take another letter", left.head);
    Err(ParseError::new(left.span.start, message))
}

/// Refuses `\sigma^2 = …` and `\ln p = …` where nothing else says what σ and p are. They are no
/// equations about free names, but define a name by something else than itself.
fn implicit_definition(part: &Part, model: &Model, item: &Item) -> Result<(), ParseError> {
    let [left, others @ ..] = item.members.as_slice() else { return Ok(()) };
    let Some(name) = wrapped(left) else { return Ok(()) };
    let head = name.head.as_str();
    let is_assumed = part.items.iter().any(|item| match &item.role {
        Role::Assumption(Assumption::OneOf(known, _) | Assumption::SumOne(known)) => known == head,
        _ => false,
    });
    let mut is_known = is_assumed || !model.is_input(head) || model.sizes.contains_key(head) || is_constant(head);
    for other in others {
        is_known |= other.kind == Kind::Missing;
        other.visit_names(&mut |name| is_known |= name.head == head);
    }
    if is_known {
        return Ok(());
    }
    let message = format!("nothing defines `{head}`; write `{head} = …`, or give this left side a name of its own");
    Err(ParseError::new(left.span.start, message))
}

/// Returns the name in a power, a logarithm or another function that can be inverted, or in a
/// multiple of one: the σ of `2 \sigma^2`, and the p of `-\ln p`.
fn wrapped(expr: &Expr) -> Option<&Name> {
    let is_number = |expr: &Expr| matches!(expr.kind, Kind::Number { .. });
    let mut inner = expr;
    while let Kind::Neg(part) = &inner.kind {
        inner = part;
    }
    loop {
        inner = match &inner.kind {
            Kind::Binary(Operator::Pow | Operator::Div, part, number) if is_number(number) => part,
            Kind::Binary(Operator::Mul | Operator::Div, number, part) if is_number(number) => part,
            Kind::Call(Function::Ln | Function::Exp | Function::Sqrt | Function::Sigmoid | Function::Tanh, all) => {
                &all[0]
            }
            Kind::Name(name) => return (inner != expr).then_some(name),
            _ => return None,
        };
    }
}

fn is_constant(head: &str) -> bool {
    matches!(head, "e" | "π")
}

/// Refuses `\sum_k k a_k` and `\frac{d}{dx} x^n = n x^{n-1}`: the value of an index is not that of
/// a name, and a superscript n is a row.
fn index_as_number(model: &Model, item: &Item) -> Result<(), ParseError> {
    let mut letters: BTreeSet<&str> = BTreeSet::new();
    for member in &item.members {
        member.visit(&mut |expr| {
            if let Kind::Sum { bound, .. } = &expr.kind {
                letters.extend(bound.iter().map(|bound| bound.letter.as_str()));
            }
        });
        member.visit_indices(&mut |index| index.for_each_letter(&mut |letter| _ = letters.insert(letter)));
    }
    let mut error = None;
    for member in &item.members {
        member.visit(&mut |expr| {
            let Kind::Name(Name { head, indices, row: None, span }) = &expr.kind else { return };
            if error.is_none() && indices.is_empty() && letters.contains(head.as_str()) && model.is_input(head) {
                let power = format!("; a superscript `{head}` is a row, so write a power with another letter");
                let hint = if head == "n" { power.as_str() } else { "" };
                let message =
                    format!("`{head}` is an index in this formula, and the value of an index is not known{hint}");
                error = Some(ParseError::new(span.start, message));
            }
        });
    }
    error.map_or(Ok(()), Err)
}

/// Refuses `p_c` where `p_k` is defined: c is no index, so `p_c` would be a name of its own.
fn entry_by_a_name(part: &Part, name: &Name) -> Option<ParseError> {
    let (head, below) = name.head.split_once('_')?;
    let is_letter = below.chars().count() == 1 && below.chars().all(char::is_alphabetic);
    let is_defined = |head: &str| part.definitions.iter().find(|definition| definition.name.head == head);
    let is_vector = is_defined(head).is_some_and(|definition| !definition.name.indices.is_empty());
    (is_letter && is_vector && is_defined(&name.head).is_none()).then(|| {
        let message = format!(
            "is this an entry of `{head}`? Indices are the letters i to n and those of sums; write the class of a row \
             as `{head}_{{{below}^{{(n)}}}}`"
        );
        ParseError::new(name.span.start, message)
    })
}

/// Refuses a gradient by `w` where only `w_1` and `w_2` occur, which are names of their own.
fn gradient_of_entries(part: &Part, model: &Model) -> Result<(), ParseError> {
    let members = || part.items.iter().flat_map(|item| &item.members);
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut entries: BTreeSet<&str> = BTreeSet::new();
    for member in members() {
        member.visit(&mut |expr| {
            if let Kind::Name(name) = &expr.kind {
                used.insert(&name.head);
                let number = name.head.rsplit_once('_').filter(|(_, number)| number.parse::<u32>().is_ok());
                entries.extend(number.map(|(head, _)| head));
            }
        });
    }
    let mut error = None;
    for member in members() {
        member.visit(&mut |expr| {
            let Kind::Derivative(_, by) = &expr.kind else { return };
            for Name { head, indices, span, .. } in by {
                let head = head.as_str();
                let is_free = indices.is_empty() && model.is_input(head) && !part.shapes.contains_key(head);
                if error.is_none() && is_free && entries.contains(head) && !used.contains(head) {
                    let message = format!(
                        "`{head}` is not the vector of `{head}_1`, `{head}_2`, …; use an index, like `{head}_j`"
                    );
                    error = Some(ParseError::new(span.start, message));
                }
            }
        });
    }
    error.map_or(Ok(()), Err)
}

/// Makes the letters of conditions values where they are written so elsewhere: the c of `[k = c]`
/// beside `p_{c^{(n)}}`.
pub(super) fn find_labels(items: &mut [Item]) {
    let mut labels: BTreeSet<String> = BTreeSet::new();
    for member in items.iter().flat_map(|item| &item.members) {
        member.visit_indices(&mut |index| {
            if let Index::Value(name) = index
                && name.indices.is_empty()
            {
                labels.insert(name.head.clone());
            }
        });
    }
    if labels.is_empty() {
        return;
    }
    for item in items {
        let mut bound: BTreeSet<String> = BTreeSet::new();
        for member in &item.members {
            member.visit(&mut |expr| {
                if let Kind::Sum { bound: letters, .. } = &expr.kind {
                    bound.extend(letters.iter().map(|bound| bound.letter.clone()));
                }
            });
        }
        let change = |index: &Index| match index {
            Index::Letter(letter) if labels.contains(letter) && !bound.contains(letter) => {
                let name =
                    Name { head: letter.clone(), indices: Vec::new(), row: None, span: crate::tree::Span::default() };
                Index::Value(Box::new(name))
            }
            other => other.clone(),
        };
        item.members.iter_mut().for_each(|member| *member = member.map_indices(&change));
    }
}
