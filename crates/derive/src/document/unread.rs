//! Formulas that cannot be read, and what they may have said.
//!
//! A lost definition would make right claims look wrong, so every name that such a formula may
//! define or restrict is noted, and what depends on it is not decided.

use std::collections::BTreeSet;

use super::formulas::Formula;
use crate::error::ParseError;
use crate::lex::{Lexeme, Token, lex_what_is_known};
use crate::parse::{Form, Statement, is_index_letter};
use crate::tree::{Kind, Span};

/// A formula that is left out.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    pub(crate) error: ParseError,
    pub(crate) span: Span,
    /// The names that it may define or restrict, without their indices.
    pub(crate) names: BTreeSet<String>,
    /// Whether it belongs to the scope that this one begins with, and is reported there.
    pub(crate) inherited: bool,
}

impl Unread {
    /// Makes one from the text of a formula.
    pub(super) fn new(text: &str, formula: &Formula, error: ParseError) -> Self {
        let tokens = lex_what_is_known(text, formula.from, formula.to, formula.notation);
        let ends =
            |token: &Token| matches!(token, Token::Separator | Token::Row | Token::Op(',' | ';') | Token::Text(_));
        let mut names = BTreeSet::new();
        for statement in tokens.split(|lexeme| ends(&lexeme.token)) {
            let is_relation =
                |token: &Token| matches!(token, Token::Op('=') | Token::In | Token::Ne | Token::Relation(_));
            let relation = statement.iter().position(|lexeme| is_relation(&lexeme.token));
            let left = without_parameters(&statement[..relation.unwrap_or(statement.len())]);
            // A quotient, such as the derivative on the left side of a claim, defines nothing.
            let is_quotient =
                |token: &Token| matches!(token, Token::Frac | Token::Partial | Token::Nabla | Token::Op('/'));
            if left.iter().any(|lexeme| is_quotient(&lexeme.token)) {
                continue;
            }
            names.extend(left.iter().filter_map(|lexeme| match &lexeme.token {
                Token::Name(name) if !is_index_letter(name) => Some(name.clone()),
                Token::Function(crate::tree::Function::Sigmoid) => Some("σ".into()),
                _ => None,
            }));
        }
        let source = &text[formula.from..formula.to];
        let start = formula.from + source.len() - source.trim_start().len();
        Self { error, span: Span { start, end: start + source.trim().len() }, names, inherited: false }
    }

    /// Makes one from a statement whose types do not fit.
    pub(super) fn of_statement(statement: &Statement, error: ParseError) -> Self {
        let mut names = BTreeSet::new();
        let mut note = |head: &str| {
            names.insert(head.split(['_', '^', '\'']).next().unwrap_or(head).to_owned());
        };
        match &statement.form {
            Form::Chain(members) | Form::Order(members, _) => {
                match &members[0].kind {
                    Kind::Derivative(..) => {}
                    // The parameters of a function are not defined by it.
                    Kind::Apply(name, _) => note(&name.head),
                    _ => members[0].visit_names(&mut |name| note(&name.head)),
                }
            }
            Form::Member(members, _) => members.iter().for_each(|name| note(&name.head)),
            Form::Condition(_) | Form::Mention | Form::Skipped(_) => {}
        }
        Self { error, span: statement.span, names, inherited: false }
    }
}

/// Returns the left side of `f(x, y) = …` without its parameters, which it does not define.
fn without_parameters(left: &[Lexeme]) -> &[Lexeme] {
    let Some(open) = left.iter().position(|lexeme| lexeme.token == Token::Op('(')) else { return left };
    let is_list = |token: &Token| matches!(token, Token::Name(_) | Token::Accent(_) | Token::Op(',' | ')' | '&'));
    let is_parameters = open > 0 && left[open + 1..].iter().all(|lexeme| is_list(&lexeme.token));
    if is_parameters { &left[..open] } else { left }
}
