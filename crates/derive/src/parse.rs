//! The parser: a formula's tokens become statements.
//!
//! Precedences, from the weakest: sum and difference, minus sign, product and quotient (from left
//! to right; a product needs no sign), power and subscript. The body of a sum, and what `d/dz`
//! differentiates, is the product that follows.

use std::collections::BTreeSet;

use crate::error::ParseError;
use crate::lex::{Lexeme, Notation, Token, accented};
use crate::tree::{Bound, Condition, Expr, Function, Index, Kind, Limit, Name, Operator, Span};

/// The maximum depth of an expression.
const MAX_DEPTH: usize = 60;
/// The maximum number of operators of one formula: it bounds the depth of the tree.
const MAX_OPERATORS: usize = 600;
const SUM: u8 = 10;
const SIGN: u8 = 15;
const PRODUCT: u8 = 20;
const FACTOR: u8 = 21;

/// A statement of a formula.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) form: Form,
    /// For which indices it is said.
    pub(crate) condition: Option<Condition>,
    /// The number of the equation.
    pub(crate) label: Option<String>,
    /// Whether it begins with `=` and continues the statement before it.
    pub(crate) continues: bool,
    pub(crate) span: Span,
}

/// What a statement says.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// `A = B = C`.
    Chain(Vec<Expr>),
    /// `y \in \{0, 1\}`.
    Member(Vec<Name>, Set),
    /// `0 < p < 1`: the members and the relations between them.
    Order(Vec<Expr>, Vec<String>),
    /// `j \ne k` alone.
    Condition(Condition),
    /// A formula without a relation: prose mentions it.
    Mention,
}

/// A set of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Set {
    Numbers(Vec<f64>),
    /// Real numbers, with the names of the sizes.
    Reals(Vec<String>),
    Interval(f64, f64),
}

pub(crate) struct Parser<'a> {
    tokens: Vec<Lexeme>,
    at: usize,
    end: usize,
    depth: usize,
    operators: usize,
    /// The number of open bars: there, a bar closes and does not open.
    bars: usize,
    notation: Notation,
    /// The names that the document defines as functions.
    functions: &'a BTreeSet<String>,
}

type Result<T> = std::result::Result<T, ParseError>;

impl<'a> Parser<'a> {
    pub(crate) fn new(tokens: Vec<Lexeme>, end: usize, notation: Notation, functions: &'a BTreeSet<String>) -> Self {
        // `&` only aligns, except between the values and the conditions of cases.
        let mut cases = 0;
        let tokens = tokens.into_iter().filter(|lexeme| {
            match &lexeme.token {
                Token::Begin(name) if name == "cases" => cases += 1,
                Token::End(name) if name == "cases" => cases -= 1,
                _ => {}
            }
            cases > 0 || lexeme.token != Token::Op('&')
        });
        Self { tokens: tokens.collect(), at: 0, end, depth: 0, operators: 0, bars: 0, notation, functions }
    }

    fn peek(&self) -> Option<&Token> {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> Option<&Token> {
        self.tokens.get(self.at + by).map(|lexeme| &lexeme.token)
    }

    fn is(&self, op: char) -> bool {
        self.peek() == Some(&Token::Op(op))
    }

    fn eat(&mut self, op: char) -> bool {
        let found = self.is(op);
        self.at += usize::from(found);
        found
    }

    /// The place of the next token, or the end.
    fn here(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |lexeme| lexeme.span.start)
    }

    /// The span from a place to the last token taken.
    fn since(&self, start: usize) -> Span {
        let last = self.at.checked_sub(1).and_then(|last| self.tokens.get(last));
        Span { start, end: last.map_or(start, |lexeme| lexeme.span.end).max(start) }
    }

    fn expected(&self, what: &str) -> ParseError {
        let found = match self.peek() {
            None => "the formula ends".to_owned(),
            Some(token) => format!("found {}", describe(token)),
        };
        ParseError::new(self.here(), format!("expected {what}, but {found}"))
    }

    fn expect(&mut self, op: char) -> Result<()> {
        if self.eat(op) { Ok(()) } else { Err(self.expected(&format!("`{op}`"))) }
    }

    /// Returns whether the next token touches the one before it.
    fn touches(&self) -> bool {
        self.at > 0
            && self.tokens.get(self.at).is_some_and(|next| next.span.start == self.tokens[self.at - 1].span.end)
    }

    /// Parses all statements of a formula.
    pub(crate) fn statements(mut self) -> Result<Vec<Statement>> {
        let mut statements: Vec<Statement> = Vec::new();
        loop {
            match self.peek() {
                None => return Ok(statements),
                Some(Token::Separator | Token::Row | Token::Text(_) | Token::Op(',' | ';' | ':')) => self.at += 1,
                Some(Token::Begin(name) | Token::End(name)) if name != "cases" => {
                    let aligned = ["align", "aligned", "equation", "gather", "gathered", "split", "eqnarray", "multline"];
                    if !aligned.contains(&name.trim_end_matches('*')) {
                        let message = format!("the environment `{name}` is not known; `aligned` and `cases` are");
                        return Err(ParseError::new(self.here(), message));
                    }
                    self.at += 1;
                }
                Some(Token::Tag(label)) => {
                    let label = label.clone();
                    self.at += 1;
                    if let Some(last) = statements.iter_mut().rev().find(|last| last.label.is_none()) {
                        last.label = Some(label);
                    }
                }
                Some(Token::If) => {
                    self.at += 1;
                    let condition = self.condition()?;
                    self.attach(&mut statements, condition);
                }
                Some(_) => {
                    let statement = self.statement()?;
                    if let (Form::Condition(condition), false) = (&statement.form, statements.is_empty()) {
                        let condition = condition.clone();
                        self.attach(&mut statements, condition);
                    } else {
                        statements.push(statement);
                    }
                }
            }
        }
    }

    /// Attaches a condition to the last statement.
    fn attach(&self, statements: &mut Vec<Statement>, condition: Condition) {
        match statements.last_mut() {
            Some(last) if last.condition.is_none() => last.condition = Some(condition),
            _ => {
                let form = Form::Condition(condition);
                let span = self.since(self.here());
                statements.push(Statement { form, condition: None, label: None, continues: false, span });
            }
        }
    }

    fn statement(&mut self) -> Result<Statement> {
        let start = self.here();
        let statement = |form, span| Statement { form, condition: None, label: None, continues: false, span };
        if let Some(condition) = self.condition_alone() {
            return Ok(statement(Form::Condition(condition), self.since(start)));
        }
        if let Some(names) = self.members() {
            let set = self.set()?;
            return Ok(statement(Form::Member(names, set), self.since(start)));
        }
        let mut members = Vec::new();
        let mut relations = Vec::new();
        let continues = self.eat('=');
        if !continues {
            members.push(self.expr(SUM)?);
        } else if self.ends_statement() {
            members.push(Expr::new(Kind::Missing, self.since(start)));
        } else {
            members.push(self.member()?);
        }
        let mut equal = continues;
        loop {
            // A formula broken over lines: the relation begins the next one.
            let before = self.at;
            if matches!(self.peek(), Some(Token::Row)) && matches!(self.ahead(1), Some(Token::Op('='))) {
                self.at += 1;
            }
            match self.peek() {
                Some(Token::Op('=')) => {
                    equal = true;
                    self.at += 1;
                    if self.ends_statement() || self.is('?') {
                        let at = self.here();
                        self.eat('?');
                        members.push(Expr::new(Kind::Missing, Span { start: at, end: at }));
                    } else {
                        members.push(self.member()?);
                    }
                }
                Some(Token::Relation(relation)) => {
                    relations.push(relation.clone());
                    self.at += 1;
                    members.push(self.expr(SUM)?);
                }
                Some(Token::Ne) => {
                    relations.push("!=".into());
                    self.at += 1;
                    members.push(self.expr(SUM)?);
                }
                _ => {
                    self.at = before;
                    break;
                }
            }
        }
        if !self.ends_statement() {
            return Err(self.expected("an operator, `=` or the end of the formula"));
        }
        let form = match (equal, relations.is_empty()) {
            (_, false) => Form::Order(members, relations),
            (true, true) => Form::Chain(members),
            (false, true) => Form::Mention,
        };
        Ok(Statement { form, condition: None, label: None, continues, span: self.since(start) })
    }

    fn ends_statement(&self) -> bool {
        match self.peek() {
            None => true,
            Some(Token::Separator | Token::Row | Token::Text(_) | Token::Tag(_) | Token::If | Token::End(_)) => true,
            Some(Token::Op(op)) => [',', ';', ':'].contains(op),
            _ => false,
        }
    }

    /// Parses a member of a chain: an expression, or values for cases.
    fn member(&mut self) -> Result<Expr> {
        let start = self.here();
        let first = self.expr(SUM)?;
        if self.peek() != Some(&Token::If) {
            return Ok(first);
        }
        // One case is a condition on the line; more are values for cases.
        let before = self.at;
        self.at += 1;
        let condition = self.condition()?;
        let mut cases = vec![(first, Some(condition))];
        loop {
            let after = self.at;
            while matches!(self.peek(), Some(Token::Op(',' | ';') | Token::Separator)) {
                self.at += 1;
            }
            if self.peek() == Some(&Token::Otherwise) {
                self.at += 1;
                cases.push((self.expr(SUM)?, None));
                break;
            }
            let value = match self.peek() {
                Some(_) => self.expr(SUM).ok(),
                None => None,
            };
            match (value, self.peek()) {
                (Some(value), Some(Token::If)) => {
                    self.at += 1;
                    cases.push((value, Some(self.condition()?)));
                }
                (Some(value), Some(Token::Otherwise)) => {
                    self.at += 1;
                    cases.push((value, None));
                    break;
                }
                _ => {
                    self.at = after;
                    break;
                }
            }
        }
        if cases.len() == 1 {
            self.at = before;
            return Ok(cases.remove(0).0);
        }
        Ok(Expr::new(Kind::Cases(cases), self.since(start)))
    }

    /// Parses an index of a condition: a letter or a number.
    fn condition_index(&mut self) -> Option<Index> {
        let index = match self.peek()? {
            Token::Name(letter) if letter.chars().count() == 1 => {
                let mut letter = letter.clone();
                self.at += 1;
                while self.eat('\'') {
                    letter.push('\'');
                }
                return Some(Index::Letter(letter));
            }
            Token::Number(digits) => Index::Number(digits.parse().ok()?),
            _ => return None,
        };
        self.at += 1;
        Some(index)
    }

    fn try_condition(&mut self) -> Option<Condition> {
        let before = self.at;
        let condition = (|| {
            let left = self.condition_index()?;
            let equal = match self.peek()? {
                Token::Op('=') => true,
                Token::Ne => false,
                _ => return None,
            };
            self.at += 1;
            if equal {
                self.eat('=');
            }
            Some(Condition { left, right: self.condition_index()?, equal })
        })();
        if condition.is_none() {
            self.at = before;
        }
        condition
    }

    fn condition(&mut self) -> Result<Condition> {
        let in_parentheses = self.eat('(');
        let condition =
            self.try_condition().ok_or_else(|| self.expected("a condition between two indices, like `j = k`"))?;
        if in_parentheses {
            self.expect(')')?;
        }
        Ok(condition)
    }

    /// Parses `j \ne k` or `(j = k)` if the statement is nothing else. `K = 2` is none: only the
    /// letters of indices are meant.
    fn condition_alone(&mut self) -> Option<Condition> {
        let before = self.at;
        let in_parentheses = self.eat('(');
        let condition = self.try_condition().filter(|condition| {
            let is_index = |index: &Index| matches!(index, Index::Letter(letter) if is_index_letter(letter));
            is_index(&condition.left) && (is_index(&condition.right) || !condition.equal)
        });
        let closed = !in_parentheses || self.eat(')');
        if condition.is_some() && closed && self.ends_statement() {
            return condition;
        }
        self.at = before;
        None
    }

    /// Parses the names before `\in`.
    fn members(&mut self) -> Option<Vec<Name>> {
        let before = self.at;
        let mut names = Vec::new();
        let found = loop {
            let Ok(Some(name)) = self.name() else { break false };
            names.push(name);
            match self.peek() {
                Some(Token::In) => {
                    self.at += 1;
                    break true;
                }
                Some(Token::Op(',')) => self.at += 1,
                _ => break false,
            }
        };
        if !found {
            self.at = before;
        }
        found.then_some(names)
    }

    fn set(&mut self) -> Result<Set> {
        let what = "a set: `{0, 1}`, `(0, 1)`, `\\mathbb R` or `\\mathbb R^{d}`";
        let plain_reals = matches!(self.peek(), Some(Token::Name(name)) if name == "R");
        if self.peek() == Some(&Token::Reals) || plain_reals {
            self.at += 1;
            let mut sizes = Vec::new();
            if self.eat('^') {
                let in_braces = self.eat('{') || self.eat('(');
                loop {
                    match self.peek() {
                        Some(Token::Name(name)) => sizes.push(name.clone()),
                        Some(Token::Number(digits)) => sizes.push(digits.clone()),
                        Some(Token::Mul) if in_braces => {}
                        _ => break,
                    }
                    self.at += 1;
                    if !in_braces {
                        break;
                    }
                }
                if in_braces && !(self.eat('}') || self.eat(')')) {
                    return Err(self.expected("`}` after the sizes"));
                }
            }
            return Ok(Set::Reals(sizes));
        }
        let close = match self.peek() {
            Some(Token::Op('⦃')) => '⦄',
            Some(Token::Op('{')) => '}',
            Some(Token::Op('(')) => ')',
            Some(Token::Op('[')) => ']',
            _ => return Err(self.expected(what)),
        };
        self.at += 1;
        let mut numbers = Vec::new();
        loop {
            let negative = self.eat('-');
            match self.peek() {
                Some(Token::Number(digits)) => {
                    let number: f64 = digits.parse().map_err(|_| self.expected("a number"))?;
                    numbers.push(if negative { -number } else { number });
                }
                _ => return Err(self.expected("a number")),
            }
            self.at += 1;
            if !self.eat(',') {
                break;
            }
        }
        if !(self.eat(close) || self.eat(')') || self.eat(']')) {
            return Err(self.expected(&format!("`{}`", if close == '⦄' { '}' } else { close })));
        }
        // {0, 1}^K: every entry.
        if self.eat('^') {
            self.script()?;
        }
        match (close, numbers.as_slice()) {
            ('⦄' | '}', _) => Ok(Set::Numbers(numbers)),
            (_, &[low, high]) if low < high => Ok(Set::Interval(low, high)),
            _ => Err(self.expected(what)),
        }
    }

    /// Parses an expression whose operators bind at least as strongly as `least`.
    fn expr(&mut self, least: u8) -> Result<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ParseError::new(self.here(), format!("the formula is nested more than {MAX_DEPTH} levels deep")));
        }
        let start = self.here();
        let mut left = self.prefix(least)?;
        loop {
            let (operator, strength, taken) = match self.peek() {
                Some(Token::Op('+')) => (Operator::Add, SUM, 1),
                Some(Token::Op('-')) => (Operator::Sub, SUM, 1),
                Some(Token::Mul) => (Operator::Mul, PRODUCT, 1),
                Some(Token::Hadamard) => (Operator::Hadamard, PRODUCT, 1),
                Some(Token::Op('/')) => (Operator::Div, PRODUCT, 1),
                Some(token) if self.begins_factor(token) => (Operator::Mul, PRODUCT, 0),
                _ => break,
            };
            if strength < least {
                break;
            }
            self.operators += 1;
            if self.operators > MAX_OPERATORS {
                let message = format!("a formula can have at most {MAX_OPERATORS} operators");
                return Err(ParseError::new(self.here(), message));
            }
            self.at += taken;
            let right = self.expr(strength + 1)?;
            left = Expr::new(Kind::Binary(operator, Box::new(left), Box::new(right)), self.since(start));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn begins_factor(&self, token: &Token) -> bool {
        match token {
            Token::Number(_) | Token::Name(_) | Token::Function(_) | Token::Sum | Token::Product | Token::Frac => true,
            Token::Sqrt | Token::Partial | Token::Nabla | Token::Accent(_) | Token::Ones => true,
            Token::Op(op) => ['(', '{', '[', '⦃'].contains(op) || (*op == '|' && self.bars == 0),
            Token::Norm => self.bars == 0,
            Token::Begin(name) => name == "cases",
            _ => false,
        }
    }

    fn prefix(&mut self, least: u8) -> Result<Expr> {
        let start = self.here();
        if self.eat('-') {
            let inner = self.expr(least.max(SIGN))?;
            return Ok(Expr::new(Kind::Neg(Box::new(inner)), self.since(start)));
        }
        if self.eat('+') {
            return self.expr(least.max(SIGN));
        }
        let primary = self.primary()?;
        self.postfix(primary, start)
    }

    /// Parses powers, transposes and subscripts after an expression.
    fn postfix(&mut self, mut expr: Expr, start: usize) -> Result<Expr> {
        loop {
            self.operators += usize::from(self.is('^') || self.is('_'));
            if self.operators > MAX_OPERATORS {
                return Err(ParseError::new(self.here(), format!("a formula can have at most {MAX_OPERATORS} operators")));
            }
            if self.is('^') {
                self.at += 1;
                if self.eat_transpose() {
                    expr = Expr::new(Kind::Call(Function::Transpose, vec![expr]), self.since(start));
                    continue;
                }
                let exponent = self.script()?;
                let euler = matches!(&expr.kind, Kind::Name(name) if name.head == "e" && name.indices.is_empty());
                let kind = if euler {
                    Kind::Call(Function::Exp, vec![exponent])
                } else {
                    Kind::Binary(Operator::Pow, Box::new(expr), Box::new(exponent))
                };
                expr = Expr::new(kind, self.since(start));
            } else if self.is('_') {
                let (indices, part) = self.subscripts()?;
                if part.is_some() || indices.is_empty() {
                    return Err(ParseError::new(self.here(), "expected an index: a letter or a number"));
                }
                expr = Expr::new(Kind::Entry(Box::new(expr), indices), self.since(start));
            } else {
                return Ok(expr);
            }
        }
    }

    /// Takes the transpose that follows a `^`.
    fn eat_transpose(&mut self) -> bool {
        let is_transpose = |token: Option<&Token>| match token {
            Some(Token::Transpose) => true,
            Some(Token::Name(name)) => name == "T",
            _ => false,
        };
        if is_transpose(self.peek()) {
            self.at += 1;
            return true;
        }
        let in_braces = self.is('{') && is_transpose(self.ahead(1)) && self.ahead(2) == Some(&Token::Op('}'));
        self.at += if in_braces { 3 } else { 0 };
        in_braces
    }

    /// Parses what follows `^`: a group or one token.
    fn script(&mut self) -> Result<Expr> {
        let start = self.here();
        if self.eat('{') {
            let inner = self.expr(SUM)?;
            self.expect('}')?;
            return Ok(inner);
        }
        if self.notation == Notation::Plain {
            if self.eat('-') {
                let inner = self.script()?;
                return Ok(Expr::new(Kind::Neg(Box::new(inner)), self.since(start)));
            }
            return self.primary();
        }
        match self.peek() {
            Some(Token::Number(digits)) if digits.len() > 1 => {
                let digits = digits.clone();
                Err(ParseError::new(start, format!("`^{digits}` raises only to the first digit; write `^{{{digits}}}`")))
            }
            Some(Token::Name(head)) => {
                let name = Name { head: head.clone(), indices: Vec::new(), row: None, span: self.tokens[self.at].span };
                self.at += 1;
                Ok(Expr::new(Kind::Name(name), self.since(start)))
            }
            _ => self.primary(),
        }
    }

    /// Parses an argument of `\frac`: a group or one digit or letter.
    fn argument(&mut self) -> Result<Expr> {
        let start = self.here();
        if let Some(Token::Number(digits)) = self.peek()
            && digits.len() > 1
            && digits.is_ascii()
        {
            // \frac12: the first digit only.
            let (first, rest) = (digits[..1].to_owned(), digits[1..].to_owned());
            let lexeme = &mut self.tokens[self.at];
            lexeme.token = Token::Number(rest);
            lexeme.span.start += 1;
            return number(&first, Span { start, end: start + 1 });
        }
        self.script()
    }

    fn primary(&mut self) -> Result<Expr> {
        let start = self.here();
        let Some(token) = self.peek().cloned() else {
            return Err(self.expected("a number, a name or `(`"));
        };
        match token {
            Token::Number(digits) => {
                self.at += 1;
                number(&digits, self.since(start))
            }
            Token::Partial => match self.slash_derivative()? {
                Some(derivative) => Ok(derivative),
                None => Err(self.expected("a derivative like `\\partial C / \\partial w_j`")),
            },
            Token::Name(_) | Token::Accent(_) => {
                if let Some(derivative) = self.slash_derivative()? {
                    return Ok(derivative);
                }
                let Some(name) = self.name()? else { return Err(self.expected("a name")) };
                self.named(name)
            }
            Token::Function(function) => self.call(function),
            Token::Op('(') => self.group('(', ')'),
            Token::Op('{') => self.group('{', '}'),
            Token::Op('⦃') => self.group('⦃', '⦄'),
            Token::Op('[') => {
                self.at += 1;
                if let Some(condition) = self.try_condition() {
                    self.expect(']')?;
                    return Ok(Expr::new(Kind::Indicator(condition), self.since(start)));
                }
                self.at -= 1;
                self.group('[', ']')
            }
            Token::Op('|') => self.between_bars(&Token::Op('|'), Function::Abs),
            Token::Norm => self.between_bars(&Token::Norm, Function::Norm),
            Token::Frac => self.fraction(),
            Token::Sqrt => {
                self.at += 1;
                if self.is('[') {
                    return Err(ParseError::new(self.here(), "only square roots are known; write a power"));
                }
                let inside = self.argument()?;
                Ok(Expr::new(Kind::Call(Function::Sqrt, vec![inside]), self.since(start)))
            }
            Token::Sum | Token::Product => self.sum(token == Token::Product),
            Token::Nabla => {
                self.at += 1;
                if !self.eat('_') {
                    return Err(self.expected("`_` and a name after `\\nabla`: `\\nabla_w C`"));
                }
                let in_braces = self.eat('{');
                let by = self.name()?.ok_or_else(|| self.expected("the name to differentiate by"))?;
                if in_braces {
                    self.expect('}')?;
                }
                let of = self.prefix(FACTOR)?;
                Ok(Expr::new(Kind::Derivative(Box::new(of), vec![by]), self.since(start)))
            }
            Token::Ones => {
                self.at += 1;
                // 1[j = k].
                let kind = match self.peek() {
                    Some(Token::Op('[' | '⦃')) => return self.primary(),
                    _ => Kind::Ones,
                };
                Ok(Expr::new(kind, self.since(start)))
            }
            Token::Begin(name) if name == "cases" => self.cases(),
            Token::Dots => Err(ParseError::new(start, "dots leave out what they mean; write a sum")),
            _ => Err(self.expected("a number, a name or `(`")),
        }
    }

    fn group(&mut self, open: char, close: char) -> Result<Expr> {
        self.expect(open)?;
        let bars = std::mem::take(&mut self.bars);
        let inner = self.expr(SUM)?;
        self.bars = bars;
        self.expect(close)?;
        Ok(inner)
    }

    fn between_bars(&mut self, bar: &Token, function: Function) -> Result<Expr> {
        let start = self.here();
        self.at += 1;
        self.bars += 1;
        let inner = self.expr(SUM)?;
        self.bars -= 1;
        if self.peek() != Some(bar) {
            return Err(self.expected("the closing bar"));
        }
        self.at += 1;
        Ok(Expr::new(Kind::Call(function, vec![inner]), self.since(start)))
    }

    fn call(&mut self, function: Function) -> Result<Expr> {
        let start = self.here();
        self.at += 1;
        let mut function = function;
        if function == Function::Sigmoid {
            if self.eat('\'') {
                function = Function::SigmoidSlope;
            } else if !self.is('(') {
                // Without an argument, σ is a name like any other.
                let span = self.since(start);
                let name = Name { head: "σ".into(), indices: Vec::new(), row: None, span };
                let name = self.scripts(name)?;
                return self.named(name);
            }
        }
        let power = if self.is('^') && !matches!(self.ahead(1), Some(Token::Transpose)) {
            self.at += 1;
            Some(self.script()?)
        } else {
            None
        };
        let mut arguments = Vec::new();
        if self.eat('(') {
            let bars = std::mem::take(&mut self.bars);
            loop {
                arguments.push(self.expr(SUM)?);
                if !self.eat(',') {
                    break;
                }
            }
            self.bars = bars;
            self.expect(')')?;
        } else {
            let at = self.here();
            let primary = self.primary()?;
            arguments.push(self.postfix(primary, at)?);
        }
        let wanted = if function == Function::Max { 2 } else { 1 };
        if arguments.len() != wanted {
            let message = format!("`{function}` takes {wanted} argument{}", if wanted == 1 { "" } else { "s" });
            return Err(ParseError::new(start, message));
        }
        let call = Expr::new(Kind::Call(function, arguments), self.since(start));
        Ok(match power {
            Some(power) => {
                Expr::new(Kind::Binary(Operator::Pow, Box::new(call), Box::new(power)), self.since(start))
            }
            None => call,
        })
    }

    /// Finishes an expression that begins with a name.
    fn named(&mut self, name: Name) -> Result<Expr> {
        let span = name.span;
        if let ("δ", [left, right], None) = (name.head.as_str(), name.indices.as_slice(), &name.row) {
            let condition = Condition { left: left.clone(), right: right.clone(), equal: true };
            return Ok(Expr::new(Kind::Indicator(condition), span));
        }
        if self.functions.contains(&name.head) && self.is('(') {
            self.at += 1;
            let mut arguments = Vec::new();
            loop {
                arguments.push(self.expr(SUM)?);
                if !self.eat(',') {
                    break;
                }
            }
            self.expect(')')?;
            return Ok(Expr::new(Kind::Apply(name, arguments), self.since(span.start)));
        }
        if name.head.chars().count() > 1 && name.indices.is_empty() && self.is('(') && self.touches() {
            let plain = name.head.chars().all(|c| c.is_ascii_alphabetic());
            if plain {
                let known = ["exp", "ln", "log", "sigma", "tanh", "softmax", "sqrt", "relu", "diag", "max", "norm"];
                let hint = crate::error::nearest(&name.head, known);
                let hint = hint.map(|hint| format!("; did you mean `\\{hint}`?")).unwrap_or_default();
                return Err(ParseError::new(span.start, format!("unknown function `{}`{hint}", name.head)));
            }
        }
        Ok(Expr::new(Kind::Name(name), span))
    }

    /// Parses a name with its indices, if one follows.
    fn name(&mut self) -> Result<Option<Name>> {
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
    fn scripts(&mut self, mut name: Name) -> Result<Name> {
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
                    if let Some(index) = self.condition_index() {
                        name.indices.push(index);
                    } else {
                        self.at += 1;
                    }
                }
            } else if self.is('\'') {
                self.at += 1;
                name.head.push('\'');
            } else if self.is('^') && name.row.is_none() {
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
    fn superscript(&self) -> Option<(usize, Option<Index>, Option<String>)> {
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
                    // A number counts layers: W^{(1)} is another name than W^{(2)}. In plain notation,
                    // x^(2) is a power.
                    Token::Number(digits) if braces == 1 => Some((taken, None, Some(format!("({digits})")))),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Returns whether a `[` opens a list of indices.
    fn is_index_list(&self) -> bool {
        let mut by = 1;
        loop {
            match self.ahead(by) {
                Some(Token::Name(letter)) if letter.chars().count() == 1 => {}
                Some(Token::Number(_) | Token::Op(',' | '\'')) => {}
                Some(Token::Op(']')) => return by > 1,
                _ => return false,
            }
            by += 1;
        }
    }

    /// Parses `_…`: the indices, and words that are a part of the name.
    fn subscripts(&mut self) -> Result<(Vec<Index>, Option<String>)> {
        self.expect('_')?;
        let mut indices = Vec::new();
        let mut part = None;
        let in_braces = self.eat('{');
        loop {
            match self.peek() {
                Some(Token::Name(letter)) if letter.chars().count() <= 2 => {
                    let mut letter = letter.clone();
                    self.at += 1;
                    while (in_braces || self.notation == Notation::Plain) && self.eat('\'') {
                        letter.push('\'');
                    }
                    indices.push(Index::Letter(letter));
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
                    return Err(ParseError::new(self.here(), "an index is a letter or a number; sums of them are not known"));
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

    fn sum(&mut self, product: bool) -> Result<Expr> {
        let start = self.here();
        self.at += 1;
        let mut bound: Vec<Bound> = Vec::new();
        let mut conditions = Vec::new();
        let mut to = None;
        loop {
            if self.is('_') && bound.is_empty() {
                self.at += 1;
                let close = if self.eat('{') {
                    Some('}')
                } else if self.eat('(') {
                    Some(')')
                } else {
                    None
                };
                loop {
                    let Some(Index::Letter(letter)) = self.condition_index() else {
                        return Err(self.expected("the letter that the sum is over"));
                    };
                    let new = !bound.iter().any(|bound| bound.letter == letter);
                    let mut from = None;
                    if close.is_some() && self.eat('=') {
                        match self.condition_index() {
                            Some(Index::Number(number @ (0 | 1))) => from = Some(number),
                            _ => return Err(self.expected("0 or 1, where the sum begins")),
                        }
                    } else if close.is_some() && self.peek() == Some(&Token::Ne) {
                        self.at += 1;
                        let right = self.condition_index().ok_or_else(|| self.expected("an index"))?;
                        conditions.push(Condition { left: Index::Letter(letter.clone()), right, equal: false });
                    }
                    if new {
                        bound.push(Bound { letter, from, to: None });
                    }
                    match close {
                        Some(close) if self.eat(close) => break,
                        Some(_) => {
                            if !self.eat(',') {
                                self.eat(':');
                            }
                        }
                        None if self.notation == Notation::Plain
                            && self.touches()
                            && matches!(self.peek(), Some(Token::Name(_))) => {}
                        None => break,
                    }
                }
            } else if self.is('^') && to.is_none() {
                self.at += 1;
                let at = self.here();
                let limit = self.script()?;
                to = Some(match &limit.kind {
                    Kind::Name(name) if name.indices.is_empty() => (Limit::Size(name.head.clone()), 1),
                    &Kind::Number { digits, decimals: 0 } if digits <= 64.0 => (Limit::Number(digits as i64), 1),
                    Kind::Binary(Operator::Sub, size, one) => match (&size.kind, &one.kind) {
                        (Kind::Name(name), &Kind::Number { digits: 1.0, decimals: 0 }) => {
                            (Limit::Size(name.head.clone()), 0)
                        }
                        _ => return Err(ParseError::new(at, "expected `K`, `K - 1` or a number as the last index")),
                    },
                    _ => return Err(ParseError::new(at, "expected `K`, `K - 1` or a number up to 64 as the last index")),
                });
            } else {
                break;
            }
        }
        let Some(first) = bound.first_mut() else {
            return Err(ParseError::new(start, "this sum does not say over which index; write `sum_k`"));
        };
        if let Some((limit, begins)) = to {
            if first.from.is_some_and(|from| from != begins && matches!(limit, Limit::Size(_))) {
                return Err(ParseError::new(start, "a sum goes from 1 to K or from 0 to K - 1"));
            }
            first.to = Some(limit);
        }
        let body = Box::new(self.expr(PRODUCT)?);
        Ok(Expr::new(Kind::Sum { product, bound, conditions, body }, self.since(start)))
    }

    fn cases(&mut self) -> Result<Expr> {
        let start = self.here();
        self.at += 1;
        let mut cases = Vec::new();
        loop {
            while matches!(self.peek(), Some(Token::Row | Token::Separator)) {
                self.at += 1;
            }
            if matches!(self.peek(), Some(Token::End(name)) if name == "cases") {
                self.at += 1;
                break;
            }
            let value = self.expr(SUM)?;
            while matches!(self.peek(), Some(Token::Op('&' | ',') | Token::Separator | Token::If | Token::Text(_))) {
                self.at += 1;
            }
            let condition = if self.peek() == Some(&Token::Otherwise) {
                self.at += 1;
                None
            } else {
                Some(self.condition()?)
            };
            while matches!(self.peek(), Some(Token::Op(',' | '&'))) {
                self.at += 1;
            }
            cases.push((value, condition));
            if self.peek().is_none() {
                return Err(self.expected("`\\end{cases}`"));
            }
        }
        if cases.is_empty() {
            return Err(ParseError::new(start, "there are no cases between `\\begin{cases}` and `\\end{cases}`"));
        }
        Ok(Expr::new(Kind::Cases(cases), self.since(start)))
    }

    /// Returns whether the token at a distance is the mark of a derivative, before a name.
    fn is_differential(&self, by: usize) -> bool {
        match self.ahead(by) {
            Some(Token::Partial) => true,
            Some(Token::Name(d)) if d == "d" => {
                let touches = self.at + by + 1 < self.tokens.len()
                    && self.tokens[self.at + by].span.end == self.tokens[self.at + by + 1].span.start;
                let next = self.ahead(by + 1);
                touches && matches!(next, Some(Token::Name(_) | Token::Accent(_) | Token::Op('^' | '/' | '}') | Token::Function(_)))
            }
            _ => false,
        }
    }

    /// The same below the bar, where `d x` may have a space.
    fn is_differential_below(&self, by: usize) -> bool {
        let spaced = self.ahead(by) == Some(&Token::Name("d".into()))
            && matches!(self.ahead(by + 1), Some(Token::Name(_) | Token::Accent(_)));
        spaced || self.is_differential(by)
    }

    fn fraction(&mut self) -> Result<Expr> {
        let start = self.here();
        self.at += 1;
        if self.is('{') && self.is_differential(1) && self.denominator_is_differential() {
            self.at += 2;
            let order = self.order()?;
            let of = if self.is('}') { None } else { Some(self.expr(PRODUCT)?) };
            self.expect('}')?;
            self.expect('{')?;
            let by = self.differentials(order)?;
            self.expect('}')?;
            let of = match of {
                Some(of) => of,
                None => self.expr(PRODUCT)?,
            };
            return Ok(Expr::new(Kind::Derivative(Box::new(of), by), self.since(start)));
        }
        if self.is('{') && self.ahead(1) == Some(&Token::Partial) {
            let message = "below `\\partial`, expected `\\partial` and the name to differentiate by";
            return Err(ParseError::new(start, message));
        }
        let above = self.argument()?;
        let below = self.argument()?;
        Ok(Expr::new(Kind::Binary(Operator::Div, Box::new(above), Box::new(below)), self.since(start)))
    }

    fn denominator_is_differential(&self) -> bool {
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

    /// Parses the order of a derivative after its mark: nothing or `^2`.
    fn order(&mut self) -> Result<usize> {
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
    fn differentials(&mut self, order: usize) -> Result<Vec<Name>> {
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
    fn slash_derivative(&mut self) -> Result<Option<Expr>> {
        if !self.is_differential(0) {
            return Ok(None);
        }
        let before = self.at;
        let start = self.here();
        let depth = self.depth;
        self.at += 1;
        // Once the denominator is read, it is a derivative, and an error is an error. Without this,
        // nested attempts would take a time exponential in their depth.
        let mut committed = self.tokens[before].token == Token::Partial;
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
                None => self.expr(PRODUCT)?,
            };
            Ok(Expr::new(Kind::Derivative(Box::new(of), by), self.since(start)))
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

/// Returns whether a letter is an index without being bound by a sum: i to n, perhaps with primes.
pub(crate) fn is_index_letter(letter: &str) -> bool {
    matches!(letter.trim_end_matches('\''), "i" | "j" | "k" | "l" | "m" | "n")
}

fn number(text: &str, span: Span) -> Result<Expr> {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let decimals = digits.find('.').map_or(0, |point| digits.len() - point - 1);
    let parsed = digits.replace('.', "").parse::<f64>().ok().zip(power.parse::<i32>().ok());
    let Some((digits, power)) = parsed.filter(|(digits, _)| *digits < 1e15) else {
        return Err(ParseError::new(span.start, format!("`{text}` has too many digits")));
    };
    let decimals = decimals as i32 - power;
    // A whole number has no decimals: 1e3 is 1000.
    let (digits, decimals) = if decimals < 0 { (digits * 10f64.powi(-decimals), 0) } else { (digits, decimals) };
    Ok(Expr::new(Kind::Number { digits, decimals }, span))
}

fn describe(token: &Token) -> String {
    match token {
        Token::Number(text) | Token::Name(text) | Token::Relation(text) => format!("`{text}`"),
        Token::Text(text) => format!("the words \"{text}\""),
        Token::Function(function) => format!("`{function}`"),
        Token::Op('⦃') => "`\\{`".into(),
        Token::Op('⦄') => "`\\}`".into(),
        Token::Op(op) => format!("`{op}`"),
        Token::Begin(name) => format!("`\\begin{{{name}}}`"),
        Token::End(name) => format!("`\\end{{{name}}}`"),
        Token::Separator | Token::Row => "the end of the line".into(),
        Token::If => "`if`".into(),
        Token::Otherwise => "`otherwise`".into(),
        Token::In => "`\\in`".into(),
        Token::Ne => "`\\ne`".into(),
        Token::Transpose => "`\\top`".into(),
        Token::Partial => "`\\partial`".into(),
        Token::Mul => "`\\cdot`".into(),
        Token::Norm => "`\\|`".into(),
        Token::Dots => "`\\dots`".into(),
        other => format!("`{}`", format!("{other:?}").to_lowercase()),
    }
}
