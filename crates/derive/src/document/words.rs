//! Names of several letters in LaTeX, where `MSE` is written like the product of M, S and E.

use std::collections::BTreeSet;

use super::formulas::Formula;
use super::functions::{begins_after, equals_after, parameters};
use crate::error::ParseError;
use crate::lex::{Lexeme, Notation, Token};
use crate::tree::Span;

type Tokens = Result<Vec<Lexeme>, ParseError>;

/// Words that can stand before a `=` that continues the line before.
const CONNECTIVES: [&str; 22] = [
    "so",
    "hence",
    "then",
    "thus",
    "therefore",
    "since",
    "because",
    "as",
    "or",
    "but",
    "also",
    "now",
    "finally",
    "where",
    "with",
    "and",
    "is",
    "that",
    "we",
    "get",
    "which",
    "gives",
];

/// Joins the letters of names: a word that is the whole left side of a statement where it stands
/// first, if not all of its letters stand elsewhere too, as those of the product `xw` do.
pub(super) fn join(formulas: &mut [(Formula, Tokens)]) {
    let mut words: BTreeSet<String> = BTreeSet::new();
    let mut runs: BTreeSet<String> = BTreeSet::new();
    for tokens in latex(formulas) {
        for run in all_runs(tokens) {
            let word: String = letters(&tokens[run.clone()]);
            let begins = run.start.checked_sub(1).is_none_or(|before| begins_after(&tokens[before].token));
            // Between a word and its `=`, there may be the `&` of an aligned formula, or
            // parameters.
            let mut after: Vec<&Token> = tokens[run.end..].iter().map(|lexeme| &lexeme.token).collect();
            after.retain(|token| **token != Token::Op('&'));
            let is_left = match after.first() {
                Some(Token::Op('(')) => parameters(&after, 0) && equals_after(&after, 0),
                next => next == Some(&&Token::Op('=')),
            };
            if begins && is_left && run.len() > 1 && !runs.contains(&word) {
                words.insert(word.clone());
            }
            runs.insert(word);
        }
    }
    let is_part = |run: &String| words.contains(run.strip_prefix('d').unwrap_or(run)) || words.contains(run);
    let elsewhere: BTreeSet<char> = runs.iter().filter(|run| !is_part(run)).flat_map(|run| run.chars()).collect();
    let names: BTreeSet<&String> =
        words.iter().filter(|word| !word.chars().all(|letter| elsewhere.contains(&letter))).collect();
    if names.is_empty() {
        return;
    }
    for (_, tokens) in formulas.iter_mut().filter(|(formula, _)| formula.notation == Notation::Latex) {
        let Ok(tokens) = tokens else { continue };
        for mut run in all_runs(tokens).into_iter().rev() {
            let word = letters(&tokens[run.clone()]);
            // The d of a derivative stays in front.
            let name = match word.strip_prefix('d').filter(|_| !names.contains(&word)) {
                Some(rest) => {
                    run.start += 1;
                    rest.to_owned()
                }
                None => word,
            };
            if names.contains(&name) {
                let span = Span { start: tokens[run.start].span.start, end: tokens[run.end - 1].span.end };
                tokens.splice(run, [Lexeme { token: Token::Name(name), span }]);
            }
        }
    }
}

/// Makes names of words in `\text{…}`: those that are the left side of a statement, like the MSE of
/// `\text{MSE} = …`.
pub(super) fn name_texts(formulas: &mut [(Formula, Tokens)]) {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for tokens in latex(formulas) {
        let without: Vec<&Token> =
            tokens.iter().map(|lexeme| &lexeme.token).filter(|token| **token != Token::Op('&')).collect();
        for (at, token) in without.iter().enumerate() {
            let Token::Text(word) = token else { continue };
            let is_name =
                word.chars().all(char::is_alphanumeric) && !CONNECTIVES.contains(&word.to_lowercase().as_str());
            let begins = at.checked_sub(1).is_none_or(|before| begins_after(without[before]));
            let is_left = match without.get(at + 1) {
                Some(Token::Op('(')) => parameters(&without, at + 1) && equals_after(&without, at + 1),
                next => next == Some(&&Token::Op('=')),
            };
            if is_name && begins && is_left {
                names.insert(word.clone());
            }
        }
    }
    for (_, tokens) in formulas {
        let Ok(tokens) = tokens else { continue };
        for at in 0..tokens.len() {
            let is_script = matches!(at.checked_sub(1).map(|before| &tokens[before].token), Some(Token::Op('_' | '{')))
                && at.checked_sub(2).is_none_or(|before| tokens[before].token == Token::Op('_'));
            if let Token::Text(word) = &tokens[at].token
                && names.contains(word)
                && !is_script
            {
                tokens[at].token = Token::Name(word.clone());
            }
        }
    }
}

fn latex(formulas: &[(Formula, Tokens)]) -> impl Iterator<Item = &[Lexeme]> {
    let is_latex = |(formula, _): &&(Formula, Tokens)| formula.notation == Notation::Latex;
    formulas.iter().filter(is_latex).filter_map(|(_, tokens)| tokens.as_deref().ok())
}

fn letters(run: &[Lexeme]) -> String {
    run.iter().map(|lexeme| if let Token::Name(letter) = &lexeme.token { letter.as_str() } else { "" }).collect()
}

/// Returns the places of all runs of letters that touch.
fn all_runs(tokens: &[Lexeme]) -> Vec<std::ops::Range<usize>> {
    let is_letter = |lexeme: &Lexeme| {
        matches!(&lexeme.token, Token::Name(name) if name.len() == 1) && lexeme.span.end == lexeme.span.start + 1
    };
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (place, lexeme) in tokens.iter().enumerate().filter(|(_, lexeme)| is_letter(lexeme)) {
        match runs.last_mut() {
            Some(run) if run.end == place && tokens[place - 1].span.end == lexeme.span.start => run.end += 1,
            _ => runs.push(place..place + 1),
        }
    }
    runs
}
