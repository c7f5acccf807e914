//! The parser: a formula's tokens become statements.
//!
//! Precedences, from the weakest: sum and difference, minus sign, product and quotient (from left
//! to right; a product needs no sign), power and subscript. The body of a sum, and what `d/dz`
//! differentiates, is the product that follows.

use crate::document::Functions;
use crate::error::ParseError;
use crate::lex::{Lexeme, Notation, Token};
use crate::tree::{Condition, Expr, Index, Kind, Name, Span};

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
    /// A formula that a comment says not to check, with the reason.
    Skipped(String),
}

/// A set of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Set {
    Numbers(Vec<f64>),
    /// Real numbers, with the names of the sizes.
    Reals(Vec<String>),
    Interval(f64, f64),
}

mod derivative;
mod expression;
mod names;

pub(crate) struct Parser<'a> {
    tokens: Vec<Lexeme>,
    at: usize,
    end: usize,
    depth: usize,
    operators: usize,
    /// The number of open bars: there, a bar closes and does not open.
    bars: usize,
    notation: Notation,
    /// The names that the document uses as functions.
    functions: &'a Functions,
}

type Result<T> = std::result::Result<T, ParseError>;

impl<'a> Parser<'a> {
    pub(crate) fn new(tokens: Vec<Lexeme>, end: usize, notation: Notation, functions: &'a Functions) -> Self {
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
        self.at > 0 && self.tokens.get(self.at).is_some_and(|next| next.span.start == self.tokens[self.at - 1].span.end)
    }

    /// Parses all statements of a formula.
    pub(crate) fn statements(mut self) -> Result<Vec<Statement>> {
        let mut statements: Vec<Statement> = Vec::new();
        loop {
            match self.peek() {
                None => return Ok(statements),
                Some(Token::Separator | Token::Row | Token::Text(_) | Token::Op(',' | ';' | ':')) => self.at += 1,
                Some(Token::Begin(name) | Token::End(name)) if name != "cases" => {
                    let aligned =
                        ["align", "aligned", "equation", "gather", "gathered", "split", "eqnarray", "multline"];
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
                // An expression in a set, like p - y \in R^N, says something, but no equation.
                Some(Token::In) => {
                    relations.push("in".into());
                    self.at += 1;
                    self.set()?;
                    break;
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
        let mut cases = vec![(first, Some(self.test()?))];
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
                    cases.push((value, Some(self.test()?)));
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
        Ok(self.choice(cases, start))
    }

    /// Parses an index of a condition: a letter, perhaps plus a number, the value of a name, or a
    /// number.
    fn condition_index(&mut self) -> Option<Index> {
        let index = match self.peek()? {
            Token::Name(letter) if letter.chars().count() == 1 => {
                if matches!(self.ahead(1), Some(Token::Op('^' | '_'))) {
                    return self.index_value().ok();
                }
                let mut letter = letter.clone();
                self.at += 1;
                while self.eat('\'') {
                    letter.push('\'');
                }
                return Some(self.offset(letter));
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
            self.eat('+');
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
}

/// Returns whether a letter is an index without being bound by a sum: i to n, perhaps with primes.
pub(crate) fn is_index_letter(letter: &str) -> bool {
    matches!(letter.trim_end_matches('\''), "i" | "j" | "k" | "l" | "m" | "n")
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
