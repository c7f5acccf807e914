//! Derivatives: `\frac{\partial C}{\partial w_j}`, `dC/dw_j` and `d/dz …`.

use super::{PRODUCT, Parser, Result};
use crate::error::ParseError;
use crate::lex::Token;
use crate::tree::{Expr, Function, Kind, Name, Operator};

impl Parser<'_> {
    /// Returns whether the token at a distance is the mark of a derivative, before a name.
    pub(super) fn is_differential(&self, by: usize) -> bool {
        match self.ahead(by) {
            Some(Token::Partial) => true,
            Some(Token::Name(d)) if d == "d" => {
                let touches = self.at + by + 1 < self.tokens.len()
                    && self.tokens[self.at + by].span.end == self.tokens[self.at + by + 1].span.start;
                let is_begun = match self.ahead(by + 1) {
                    Some(Token::Name(_) | Token::Accent(_) | Token::Function(_)) => true,
                    Some(Token::Op('^' | '/' | '}')) => true,
                    Some(Token::Op('(')) => self.is_group_over_differential(by + 1),
                    _ => false,
                };
                touches && is_begun
            }
            _ => false,
        }
    }

    /// Returns whether the parentheses that open at a distance are followed by `/d`: d(p^2)/dw.
    fn is_group_over_differential(&self, by: usize) -> bool {
        let mut depth = 0;
        for by in by.. {
            match self.ahead(by) {
                Some(Token::Op('(')) => depth += 1,
                Some(Token::Op(')')) => depth -= 1,
                Some(_) => {}
                None => return false,
            }
            if depth == 0 {
                return self.ahead(by + 1) == Some(&Token::Op('/')) && self.is_differential_below(by + 2);
            }
        }
        false
    }

    /// The same below the bar, where `d x` may have a space.
    pub(super) fn is_differential_below(&self, by: usize) -> bool {
        let spaced = self.ahead(by) == Some(&Token::Name("d".into()))
            && matches!(self.ahead(by + 1), Some(Token::Name(_) | Token::Accent(_)));
        spaced || self.is_differential(by)
    }

    pub(super) fn fraction(&mut self) -> Result<Expr> {
        let start = self.here();
        self.at += 1;
        if self.is('{') && self.is_differential_below(1) && self.denominator_is_differential() {
            self.at += 2;
            let order = self.order()?;
            // Above the bar, σ is the function without its argument.
            let is_sigma = self.peek() == Some(&Token::Function(Function::Sigmoid));
            let of = match self.ahead(1) {
                _ if self.is('}') => None,
                Some(Token::Op('}')) if is_sigma => {
                    let name = self.name()?.ok_or_else(|| self.expected("a name"))?;
                    Some(Expr::new(Kind::Name(name.clone()), name.span))
                }
                _ => Some(self.expr(PRODUCT)?),
            };
            self.expect('}')?;
            self.expect('{')?;
            let by = self.differentials(order)?;
            if order == 1 && self.is('^') {
                let message = format!("a derivative is by a name; give this power of `{}` its own, like `v`", by[0]);
                return Err(ParseError::new(self.here(), message));
            }
            self.expect('}')?;
            let of = match of {
                Some(of) => of,
                None => self.operand()?,
            };
            return self.derivative(of, by, start);
        }
        if self.is('{') && self.ahead(1) == Some(&Token::Partial) {
            let message = "below `\\partial`, expected `\\partial` and the name to differentiate by";
            return Err(ParseError::new(start, message));
        }
        let is_delta = |by: usize| {
            self.ahead(by) == Some(&Token::Op('{'))
                && self.ahead(by + 1) == Some(&Token::Name("δ".into()))
                && matches!(self.ahead(by + 2), Some(Token::Name(_) | Token::Accent(_)))
        };
        if is_delta(0) && (3..8).any(|by| self.ahead(by) == Some(&Token::Op('}')) && is_delta(by + 1)) {
            return Err(ParseError::new(start, "a derivative is written with `\\partial` or `d`, not with `\\delta`"));
        }
        let above = self.argument()?;
        let below = self.argument()?;
        Ok(Expr::new(Kind::Binary(Operator::Div, Box::new(above), Box::new(below)), self.since(start)))
    }

    pub(super) fn denominator_is_differential(&self) -> bool {
        let mut depth = 0;
        for by in 0.. {
            match self.ahead(by) {
                Some(Token::Op('{')) => depth += 1,
                Some(Token::Op('}')) => {
                    depth -= 1;
                    if depth == 0 {
                        return self.ahead(by + 1) == Some(&Token::Op('{')) && self.is_differential_below(by + 2);
                    }
                }
                Some(_) => {}
                None => break,
            }
        }
        false
    }

    /// Parses what `d/dz` differentiates: the product that follows, or only the parentheses that
    /// follow if a direction is after them.
    fn operand(&mut self) -> Result<Expr> {
        let mut depth = 0;
        for by in 0.. {
            match self.ahead(by) {
                Some(Token::Op('(')) => depth += 1,
                Some(Token::Op(')')) => depth -= 1,
                Some(_) => {}
                None => break,
            }
            if depth == 0 {
                if by > 0 && self.ahead(by + 1) == Some(&Token::Op('[')) {
                    return self.group('(', ')');
                }
                break;
            }
        }
        self.expr(PRODUCT)
    }

    /// Finishes a derivative, which may have a direction: `[V]`. `[j = k]` is a factor.
    fn derivative(&mut self, mut of: Expr, mut by: Vec<Name>, start: usize) -> Result<Expr> {
        // Where σ is the function, ∂σ/∂t is the derivative of σ(t).
        if let Kind::Name(Name { head, indices, row: None, .. }) = &of.kind
            && head == "σ"
            && indices.is_empty()
            && self.functions.defined.contains(head)
        {
            let argument = Expr::new(Kind::Name(by[0].clone()), of.span);
            of = Expr::new(Kind::Call(Function::Sigmoid, vec![argument]), of.span);
        }
        if by.len() == 1 && self.is('[') && !self.is_test(0) {
            let direction = self.group('[', ']')?;
            let kind = Kind::Along(Box::new(of), by.remove(0), Box::new(direction));
            return Ok(Expr::new(kind, self.since(start)));
        }
        Ok(Expr::new(Kind::Derivative(Box::new(of), by), self.since(start)))
    }

    /// Parses the order of a derivative after its mark: nothing or `^2`.
    pub(super) fn order(&mut self) -> Result<usize> {
        if !self.is('^') {
            return Ok(1);
        }
        self.at += 1;
        let at = self.here();
        match self.script()?.kind {
            Kind::Number { digits: 2.0, decimals: 0 } => Ok(2),
            _ => Err(ParseError::new(at, "only first and second derivatives are known")),
        }
    }

    /// Parses the names of a denominator: `∂w_j`, `∂w_j ∂w_k` or `∂w^2`.
    pub(super) fn differentials(&mut self, order: usize) -> Result<Vec<Name>> {
        let at = self.here();
        let mut by = Vec::new();
        while by.len() < order {
            if !self.is_differential_below(0) {
                return Err(self.expected("`\\partial` or `d` and the name to differentiate by"));
            }
            self.at += 1;
            let name = self.name()?.ok_or_else(|| self.expected("the name to differentiate by"))?;
            if order == 2 && by.is_empty() && self.eat('^') {
                self.script()?;
                by.push(name.clone());
            }
            by.push(name);
        }
        if by.len() != order {
            return Err(ParseError::new(at, format!("this is not a derivative of order {order}")));
        }
        Ok(by)
    }

    /// Parses `\partial C / \partial w_j` or `dC/dw_j` or `d/dz …`, if one follows.
    pub(super) fn slash_derivative(&mut self) -> Result<Option<Expr>> {
        // `d C / d w`, as typewriters have it.
        let is_spaced = self.is_differential_below(0)
            && matches!(self.ahead(1), Some(Token::Name(_)))
            && self.ahead(2) == Some(&Token::Op('/'))
            && self.is_differential_below(3);
        if !self.is_differential(0) && !is_spaced {
            return Ok(None);
        }
        let before = self.at;
        let start = self.here();
        let depth = self.depth;
        self.at += 1;
        // Once the denominator is read, it is a derivative, and an error is an error. Without this,
        // nested attempts would take a time exponential in their depth.
        let mut committed = self.tokens[before].token == Token::Partial || self.is('(');
        let parsed = (|| {
            let order = self.order()?;
            let of = if self.is('/') {
                None
            } else if self.is('(') {
                Some(self.group('(', ')')?)
            } else {
                let name = self.name()?.ok_or_else(|| self.expected("a name"))?;
                Some(self.named(name)?)
            };
            self.expect('/')?;
            let by = self.differentials(order)?;
            committed = true;
            let of = match of {
                Some(of) => of,
                None => self.operand()?,
            };
            self.derivative(of, by, start)
        })();
        match parsed {
            Ok(derivative) => Ok(Some(derivative)),
            // The d of `d x` may be a name. What begins with ∂ is a derivative.
            Err(error) if committed => Err(error),
            Err(error) => {
                self.at = before;
                self.depth = depth;
                match self.ahead(1) {
                    // `dx` that is no derivative may be a product, or a mistake.
                    Some(Token::Name(name)) => {
                        let what = format!("`d{name}` is no derivative; write a product of d and {name} as `d {name}`");
                        Err(ParseError::new(error.at.min(self.here()), what))
                    }
                    _ => Ok(None),
                }
            }
        }
    }
}
