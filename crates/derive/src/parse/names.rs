//! Names with their subscripts and superscripts.

use super::{MAX_DEPTH, Parser, Result, is_index_letter};
use crate::error::ParseError;
use crate::lex::{Notation, Token};
use crate::tree::{Function, Index, Name, Span};
use crate::words::accented;

impl Parser<'_> {
    /// Parses a name with its indices, if one follows.
    pub(super) fn name(&mut self) -> Result<Option<Name>> {
        let start = self.here();
        let head = match self.peek() {
            Some(Token::Name(head)) => {
                let head = head.clone();
                self.at += 1;
                head
            }
            Some(Token::Function(Function::Sigmoid)) if self.ahead(1) != Some(&Token::Op('(')) => {
                self.at += 1;
                "σ".to_owned()
            }
            Some(&Token::Accent(accent)) => {
                self.at += 1;
                let in_braces = self.eat('{');
                let Some(Token::Name(letter)) = self.peek() else {
                    return Err(self.expected("a letter below the accent"));
                };
                let head = accented(letter, accent);
                self.at += 1;
                if in_braces {
                    self.expect('}')?;
                }
                head
            }
            _ => return Ok(None),
        };
        let name = Name { head, indices: Vec::new(), row: None, span: self.since(start) };
        self.scripts(name).map(Some)
    }

    /// Parses the subscripts and the superscripts that belong to a name.
    pub(super) fn scripts(&mut self, mut name: Name) -> Result<Name> {
        let start = name.span.start;
        loop {
            if self.is('_') {
                let (indices, part) = self.subscripts()?;
                name.indices.extend(indices);
                if let Some(part) = part {
                    name.head = format!("{}_{part}", name.head);
                }
            } else if self.is('[') && self.touches() && self.is_index_list() {
                self.at += 1;
                while !self.eat(']') {
                    if !self.eat(',') {
                        let index = self.condition_index();
                        name.indices.push(index.ok_or_else(|| self.expected("an index, or `]`"))?);
                    }
                }
            } else if self.is('\'') {
                self.at += 1;
                name.head.push('\'');
            } else if self.is('^') && name.row.is_none() {
                self.check_layer(&name)?;
                let Some((taken, row, part)) = self.superscript() else { break };
                self.at += taken;
                if let Some(part) = part {
                    name.head = format!("{}^{part}", name.head);
                }
                name.row = row;
            } else {
                break;
            }
        }
        name.span = self.since(start);
        Ok(name)
    }

    /// Returns what a superscript of a name is, unless it is a power: the number of its tokens, the
    /// row, and the part of the name.
    pub(super) fn superscript(&self) -> Option<(usize, Option<Index>, Option<String>)> {
        let braces = usize::from(self.ahead(1) == Some(&Token::Op('{')));
        let inside = self.ahead(1 + braces)?;
        let closes = |at: usize| braces == 0 || self.ahead(at) == Some(&Token::Op('}'));
        match inside {
            // y^n is row n; a power has another letter, or parentheses around its base.
            Token::Name(letter) if letter == "n" && closes(2 + braces) => {
                Some((2 + 2 * braces, Some(Index::Letter("n".into())), None))
            }
            Token::Mul if closes(2 + braces) => Some((2 + 2 * braces, None, Some("*".into()))),
            Token::Op('\'') if closes(2 + braces) => Some((2 + 2 * braces, None, Some("'".into()))),
            Token::Op('(') if self.ahead(3 + braces) == Some(&Token::Op(')')) && closes(4 + braces) => {
                let taken = 4 + 2 * braces;
                match self.ahead(2 + braces)? {
                    Token::Name(letter) if is_index_letter(letter) => {
                        Some((taken, Some(Index::Letter(letter.clone())), None))
                    }
                    // So does a capital letter: a^{(L)} is the last layer's.
                    Token::Name(letter) if braces == 1 && is_capital(letter) => {
                        Some((taken, None, Some(format!("({letter})"))))
                    }
                    // A number counts layers: W^{(1)} is another name than W^{(2)}. In plain
                    // notation, x^(2) is a power.
                    Token::Number(digits) if braces == 1 => Some((taken, None, Some(format!("({digits})")))),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Refuses `h^{(t)}` and `a^{(l-1)}`: they count layers or times, whose values are not known,
    /// and are no powers.
    fn check_layer(&self, name: &Name) -> Result<()> {
        let (Some(Token::Op('{')), Some(Token::Op('('))) = (self.ahead(1), self.ahead(2)) else { return Ok(()) };
        let Some(Token::Name(letter)) = self.ahead(3) else { return Ok(()) };
        let is_offset = matches!(
            (self.ahead(4), self.ahead(5)),
            (Some(Token::Op('+' | '-')), Some(Token::Number(_) | Token::Name(_)))
        );
        let close = if is_offset { 6 } else { 4 };
        let closes = self.ahead(close) == Some(&Token::Op(')')) && self.ahead(close + 1) == Some(&Token::Op('}'));
        if !closes || name.head == "e" || (!is_offset && (is_index_letter(letter) || is_capital(letter))) {
            return Ok(());
        }
        let head = &name.head;
        let message = format!(
            "this superscript of `{head}` counts layers or times; number them, like `{head}^{{(1)}}` and \
             `{head}^{{(2)}}`, or write a power without its parentheses"
        );
        Err(ParseError::new(self.tokens[self.at + 2].span.start, message))
    }

    /// Returns whether a `[` opens a list of indices.
    pub(super) fn is_index_list(&self) -> bool {
        let mut by = 1;
        loop {
            match self.ahead(by) {
                Some(Token::Name(letter)) if letter.chars().count() == 1 => {}
                Some(Token::Number(_) | Token::Op(',' | '\'' | '+' | '-')) => {}
                Some(Token::Op(']')) => return by > 1,
                _ => return false,
            }
            by += 1;
        }
    }

    fn peek_accent(&self) -> bool {
        matches!(self.peek(), Some(Token::Accent(_)))
    }

    /// Finishes an index that begins with a letter: `i`, `i+1` or `i-1`.
    pub(super) fn offset(&mut self, letter: String) -> Index {
        let sign = match self.peek() {
            Some(Token::Op('+')) => 1,
            Some(Token::Op('-')) => -1,
            _ => return Index::Letter(letter),
        };
        let Some(Token::Number(digits)) = self.ahead(1) else { return Index::Letter(letter) };
        match digits.parse::<i64>() {
            Ok(number @ 1..=9) => {
                self.at += 2;
                Index::Offset(letter, sign * number)
            }
            _ => Index::Letter(letter),
        }
    }

    /// Parses an index that is the value of a name: the `c^{(n)}` of `\omega_{c^{(n)}}`.
    pub(super) fn index_value(&mut self) -> Result<Index> {
        let start = self.here();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ParseError::new(start, format!("the indices are nested more than {MAX_DEPTH} levels deep")));
        }
        let mut name = self.name()?.ok_or_else(|| self.expected("an index: a letter or a number"))?;
        self.depth -= 1;
        if is_index_letter(&name.head) {
            let message = format!("`{}` is an index itself; take another letter for this one", name.head);
            return Err(ParseError::new(start, message));
        }
        name.span = Span::default();
        Ok(Index::Value(Box::new(name)))
    }

    /// Parses `_…`: the indices, and words that are a part of the name.
    pub(super) fn subscripts(&mut self) -> Result<(Vec<Index>, Option<String>)> {
        self.expect('_')?;
        let mut indices = Vec::new();
        let mut part = None;
        let in_braces = self.eat('{');
        loop {
            match self.peek() {
                Some(Token::Name(_) | Token::Accent(_))
                    if in_braces && (self.peek_accent() || matches!(self.ahead(1), Some(Token::Op('^' | '_')))) =>
                {
                    indices.push(self.index_value()?);
                }
                Some(Token::Name(letter)) if letter.chars().count() <= 2 => {
                    let mut letter = letter.clone();
                    self.at += 1;
                    while (in_braces || self.notation == Notation::Plain) && self.eat('\'') {
                        letter.push('\'');
                    }
                    indices.push(if in_braces { self.offset(letter) } else { Index::Letter(letter) });
                }
                Some(Token::Name(word) | Token::Text(word)) => {
                    part = Some(word.clone());
                    self.at += 1;
                }
                Some(Token::Number(digits)) => {
                    let number = digits.parse().map_err(|_| self.expected("a whole number as index"))?;
                    self.at += 1;
                    indices.push(Index::Number(number));
                }
                Some(Token::Op(',')) if in_braces => self.at += 1,
                Some(Token::Op('+' | '-')) if in_braces => {
                    let message = "an index is a letter, a letter plus or minus a number, or a number";
                    return Err(ParseError::new(self.here(), message));
                }
                _ if in_braces => return Err(self.expected("an index: a letter or a number")),
                _ => break,
            }
            if in_braces {
                if self.eat('}') {
                    break;
                }
            } else if !self.touches() || part.is_some() {
                break;
            } else if self.notation == Notation::Latex
                && !matches!(self.peek(), Some(Token::Name(letter)) if is_index_letter(letter))
            {
                // `w_jN` is w_j times N, but an index like k is never a factor: `w_jk` has two.
                break;
            }
        }
        if indices.is_empty() && part.is_none() {
            return Err(self.expected("an index: a letter or a number"));
        }
        Ok((indices, part))
    }
}

fn is_capital(letter: &str) -> bool {
    letter.len() == 1 && letter.chars().all(|c| c.is_ascii_uppercase())
}
