//! Which names are functions: `f(u)` is a value of f only if the document says what `f(u)` is.

use std::collections::BTreeSet;

use crate::lex::{Lexeme, Token};
use crate::tree::Function;

/// The names that the document uses as functions, without their subscripts.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    /// Defined by `f(x) = …`. σ is one where it is not a name.
    pub(crate) defined: BTreeSet<String>,
    /// Those that a left side like `f(x + 1) = …` applies, that are never written without
    /// parentheses, and that nothing defines. They are no factors.
    pub(crate) undefined: BTreeSet<String>,
}

impl Functions {
    pub(super) fn find<'a>(formulas: impl Iterator<Item = &'a [Lexeme]>) -> Self {
        let mut functions = Self::default();
        let mut alone: BTreeSet<&str> = BTreeSet::new();
        let (mut is_sigma_applied, mut is_sigma_defined) = (false, false);
        for formula in formulas {
            let tokens: Vec<&Token> =
                formula.iter().map(|lexeme| &lexeme.token).filter(|token| **token != Token::Op('&')).collect();
            for (at, &token) in tokens.iter().enumerate() {
                let begins = at == 0 || begins_after(tokens[at - 1]);
                let (after, primes) = after_scripts(&tokens, at + 1);
                let is_applied = tokens.get(after) == Some(&&Token::Op('('));
                if *token == Token::Function(Function::Sigmoid) {
                    is_sigma_applied |= is_applied;
                    is_sigma_defined |= begins && !is_applied && !is_power_applied(&tokens, after);
                }
                let Token::Name(head) = token else { continue };
                if !is_applied {
                    alone.insert(head);
                } else if begins && equals_after(&tokens, after) {
                    let set = match parameters(&tokens, after) {
                        true => &mut functions.defined,
                        false => &mut functions.undefined,
                    };
                    set.insert(format!("{head}{}", "'".repeat(primes)));
                }
            }
        }
        if is_sigma_applied && !is_sigma_defined {
            functions.defined.insert("σ".to_owned());
        }
        let Self { defined, undefined } = &mut functions;
        undefined.retain(|head| !defined.contains(head) && !alone.contains(head.trim_end_matches('\'')));
        functions
    }
}

/// Returns whether a statement can begin after a token.
pub(super) fn begins_after(token: &Token) -> bool {
    matches!(token, Token::Separator | Token::Row | Token::Op(',' | ';' | '&') | Token::Text(_) | Token::Begin(_))
}

/// Returns the place after the subscripts and primes of a name, and the number of primes.
fn after_scripts(tokens: &[&Token], mut at: usize) -> (usize, usize) {
    let mut primes = 0;
    loop {
        match (tokens.get(at), tokens.get(at + 1)) {
            (Some(Token::Op('\'')), _) => {
                primes += 1;
                at += 1;
            }
            (Some(Token::Op('_')), Some(Token::Op('{'))) => {
                let length = tokens[at..].iter().position(|token| **token == Token::Op('}'));
                at += length.map_or(1, |length| length + 1);
            }
            (Some(Token::Op('_')), _) => at += 2,
            _ => return (at, primes),
        }
    }
}

/// Returns whether a power and then parentheses follow, as in `\sigma^2(z)`.
fn is_power_applied(tokens: &[&Token], at: usize) -> bool {
    let after = match (tokens.get(at), tokens.get(at + 1)) {
        (Some(Token::Op('^')), Some(Token::Op('{'))) => {
            tokens[at..].iter().position(|token| **token == Token::Op('}')).map(|length| at + length + 1)
        }
        (Some(Token::Op('^')), Some(_)) => Some(at + 2),
        _ => None,
    };
    after.is_some_and(|after| tokens.get(after) == Some(&&Token::Op('(')))
}

/// Returns whether the parentheses at a place contain names only.
pub(super) fn parameters(tokens: &[&Token], open: usize) -> bool {
    let mut is_name = false;
    for token in &tokens[open + 1..] {
        match token {
            Token::Op(')') => return is_name,
            Token::Op(',') if is_name => is_name = false,
            Token::Accent(_) if !is_name => {}
            Token::Name(_) if !is_name => is_name = true,
            _ => return false,
        }
    }
    false
}

/// Returns whether a `=` follows the parentheses at a place.
pub(super) fn equals_after(tokens: &[&Token], open: usize) -> bool {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Op('(') => depth += 1,
            Token::Op(')') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return tokens.get(at + 1) == Some(&&Token::Op('='));
        }
    }
    false
}
