//! The parameter of a function and a vector with the same letter: `f(x) = 1/(1 + e^{-x})` on a page
//! with `x_j`.

use std::collections::BTreeSet;

use crate::parse::{Form, Statement};
use crate::tree::{Expr, Kind};

/// An invisible character that tells a parameter from the letter elsewhere.
const PARAMETER: char = '\u{2060}';

/// Renames letters that have indices elsewhere in statements about `f(x)`, where they have none.
/// Returns whether there is one.
pub(super) fn rename(statements: &mut [Statement]) -> bool {
    let mut indexed: BTreeSet<String> = BTreeSet::new();
    for member in statements.iter().flat_map(members) {
        member.visit_names(&mut |name| {
            if !name.indices.is_empty() || name.row.is_some() {
                indexed.insert(name.head.clone());
            }
        });
    }
    let mut is_changed = false;
    for statement in statements {
        let Some((left, others)) = members(statement).split_first() else { continue };
        let mut parameters = arguments(left);
        parameters.retain(|head| indexed.contains(head));
        let mut used: BTreeSet<String> = BTreeSet::new();
        for member in members(statement) {
            member.visit_names(&mut |name| {
                if !name.indices.is_empty() || name.row.is_some() {
                    parameters.remove(&name.head);
                }
            });
        }
        others.iter().for_each(|other| other.visit_names(&mut |name| _ = used.insert(name.head.clone())));
        parameters.retain(|head| used.contains(head));
        if parameters.is_empty() {
            continue;
        }
        is_changed = true;
        if let Form::Chain(members) = &mut statement.form {
            for member in members {
                *member = member.map_names(&|name| {
                    if parameters.contains(&name.head) {
                        name.head.push(PARAMETER);
                    }
                });
            }
        }
    }
    is_changed
}

fn members(statement: &Statement) -> &[Expr] {
    match &statement.form {
        Form::Chain(members) => members,
        _ => &[],
    }
}

/// Returns the names that functions on a left side are applied to.
fn arguments(left: &Expr) -> BTreeSet<String> {
    let mut heads = BTreeSet::new();
    left.visit(&mut |part| {
        if let Kind::Apply(_, all) = &part.kind {
            for argument in all {
                if let Kind::Name(name) = &argument.kind {
                    heads.insert(name.head.clone());
                }
            }
        }
    });
    heads
}
