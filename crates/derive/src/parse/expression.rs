//! Expressions: operators, functions, sums and cases.

use super::{FACTOR, MAX_DEPTH, MAX_OPERATORS, PRODUCT, Parser, Result, SIGN, SUM};
use crate::error::ParseError;
use crate::lex::{Lexeme, Notation, Token};
use crate::tree::{Bound, Condition, Expr, Function, Index, Kind, Limit, Name, Operator, Span};

impl Parser<'_> {
    /// Parses an expression whose operators bind at least as strongly as `least`.
    pub(super) fn expr(&mut self, least: u8) -> Result<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ParseError::new(
                self.here(),
                format!("the formula is nested more than {MAX_DEPTH} levels deep"),
            ));
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

    pub(super) fn begins_factor(&self, token: &Token) -> bool {
        match token {
            Token::Number(_) | Token::Name(_) | Token::Function(_) | Token::Sum | Token::Product | Token::Frac => true,
            Token::Sqrt | Token::Partial | Token::Nabla | Token::Accent(_) | Token::Ones | Token::Brace => true,
            Token::Op(op) => ['(', '{', '[', '⦃'].contains(op) || (*op == '|' && self.bars == 0),
            Token::Norm => self.bars == 0,
            Token::Begin(name) => name == "cases",
            _ => false,
        }
    }

    pub(super) fn prefix(&mut self, least: u8) -> Result<Expr> {
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
    pub(super) fn postfix(&mut self, mut expr: Expr, start: usize) -> Result<Expr> {
        loop {
            self.operators += usize::from(self.is('^') || self.is('_'));
            if self.operators > MAX_OPERATORS {
                return Err(ParseError::new(
                    self.here(),
                    format!("a formula can have at most {MAX_OPERATORS} operators"),
                ));
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
    pub(super) fn eat_transpose(&mut self) -> bool {
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
    pub(super) fn script(&mut self) -> Result<Expr> {
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
                Err(ParseError::new(
                    start,
                    format!("`^{digits}` raises only to the first digit; write `^{{{digits}}}`"),
                ))
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
    pub(super) fn argument(&mut self) -> Result<Expr> {
        let start = self.here();
        if let Some(Token::Number(digits)) = self.peek()
            && digits.len() > 1
            && digits.is_ascii()
        {
            // \frac12: the first digit only.
            let (first, rest) = (digits[..1].to_owned(), digits[1..].to_owned());
            let Span { end, .. } = self.tokens[self.at].span;
            let split = [(first, Span { start, end: start + 1 }), (rest, Span { start: start + 1, end })];
            let split = split.map(|(digits, span)| Lexeme { token: Token::Number(digits), span });
            self.tokens.splice(self.at..=self.at, split);
        }
        self.script()
    }

    pub(super) fn primary(&mut self) -> Result<Expr> {
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
            Token::Op('⦃') if self.is_test(0) => self.indicator('⦃', '⦄', start),
            Token::Op('[') if self.is_test(0) => self.indicator('[', ']', start),
            Token::Op('⦃') => self.group('⦃', '⦄'),
            Token::Op('[') => self.group('[', ']'),
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
            Token::Brace => {
                self.at += 1;
                let inner = self.group('{', '}')?;
                if self.is('_') || self.is('^') {
                    self.at += 1;
                    self.skip_group();
                }
                Ok(inner)
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
                let of = self.operand_of_nabla()?;
                Ok(Expr::new(Kind::Derivative(Box::new(of), vec![by]), self.since(start)))
            }
            Token::Ones => {
                self.at += 1;
                // 1[j = k], and 1_{j = k}.
                let below = usize::from(self.is('_'));
                if self.is_test(below) {
                    self.at += below;
                    let (open, close) = match self.peek() {
                        Some(Token::Op('{')) => ('{', '}'),
                        Some(Token::Op('(')) => ('(', ')'),
                        Some(Token::Op('⦃')) => ('⦃', '⦄'),
                        _ => ('[', ']'),
                    };
                    return self.indicator(open, close, start);
                }
                Ok(Expr::new(Kind::Ones, self.since(start)))
            }
            Token::Begin(name) if name == "cases" => self.cases(),
            Token::Dots => Err(ParseError::new(start, "dots leave out what they mean; write a sum")),
            _ => Err(self.expected("a number, a name or `(`")),
        }
    }

    /// Parses what a gradient is of. In `\nabla_w C \odot s` it is C, and in `\nabla_w \frac12 r^2`
    /// all of the product. `\nabla_w a b` can mean both.
    fn operand_of_nabla(&mut self) -> Result<Expr> {
        let before = self.at;
        let first = self.prefix(FACTOR)?;
        let goes_on = self.peek().is_some_and(|token| self.begins_factor(token));
        let is_group = matches!(self.tokens[before].token, Token::Op('(' | '[' | '{' | '⦃'));
        match first.kind {
            _ if !goes_on || is_group => Ok(first),
            Kind::Name(_) | Kind::Apply(..) => {
                let message = "does the gradient end before this factor? Write parentheses around what it is of";
                Err(ParseError::new(self.here(), message))
            }
            _ => {
                self.at = before;
                self.expr(PRODUCT)
            }
        }
    }

    /// Skips a token, or all that is between braces.
    fn skip_group(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.peek() {
            depth += i32::from(*token == Token::Op('{')) - i32::from(*token == Token::Op('}'));
            self.at += 1;
            if depth <= 0 {
                break;
            }
        }
    }

    pub(super) fn group(&mut self, open: char, close: char) -> Result<Expr> {
        self.expect(open)?;
        let bars = std::mem::take(&mut self.bars);
        let inner = self.expr(SUM)?;
        self.bars = bars;
        self.expect(close)?;
        Ok(inner)
    }

    pub(super) fn between_bars(&mut self, bar: &Token, function: Function) -> Result<Expr> {
        let start = self.here();
        self.at += 1;
        self.bars += 1;
        let inner = self.expr(SUM)?;
        self.bars -= 1;
        if self.peek() != Some(bar) {
            return Err(self.expected("the closing bar"));
        }
        self.at += 1;
        // ‖w‖^2_2 is written like ‖w‖_2^2.
        if function == Function::Norm && self.is('^') {
            let power = 2 + 2 * usize::from(self.ahead(1) == Some(&Token::Op('{')));
            if self.ahead(power) == Some(&Token::Op('_')) {
                let below = 2 + 2 * usize::from(self.ahead(power + 1) == Some(&Token::Op('{')));
                let end = (self.at + power + below).min(self.tokens.len());
                let last = self.tokens[end - 1].span.end;
                self.tokens[self.at..end].rotate_left(power);
                // Both end where they ended before.
                self.tokens[end - 1].span.end = last;
            }
        }
        // ‖w‖_2 is the norm of a vector, and ‖W‖_F that of a matrix.
        if function == Function::Norm && self.is('_') {
            let braces = usize::from(self.ahead(1) == Some(&Token::Op('{')));
            match self.ahead(1 + braces) {
                Some(Token::Number(digits)) if digits == "2" => {}
                Some(Token::Name(name)) if name == "F" => {}
                _ => {
                    return Err(ParseError::new(
                        self.here(),
                        "only the Euclidean norm `\\|w\\|_2` is known; write a sum",
                    ));
                }
            }
            self.at += 2 + 2 * braces;
        }
        Ok(Expr::new(Kind::Call(function, vec![inner]), self.since(start)))
    }

    pub(super) fn call(&mut self, function: Function) -> Result<Expr> {
        let start = self.here();
        self.at += 1;
        let mut function = function;
        if function == Function::Sigmoid {
            // In a file where σ is no function, `\sigma^2 (x - m)` is a product.
            let is_function = self.functions.defined.contains("σ");
            if self.eat('\'') {
                function = Function::SigmoidSlope;
                if !self.peek().is_some_and(|next| self.begins_factor(next)) {
                    return Err(self.expected("the argument of `\\sigma'`, as in `\\sigma'(z)`"));
                }
            } else if !(self.is('(') || is_function && self.is_power_of_call()) {
                if !is_function || self.is('_') {
                    // Without an argument, σ is a name like any other.
                    let span = self.since(start);
                    let name = Name { head: "σ".into(), indices: Vec::new(), row: None, span };
                    let name = self.scripts(name)?;
                    return self.named(name);
                }
                let message = "`\\sigma` is a function here; write its argument, like `\\sigma(z)`, or give this value \
                               a name of its own";
                return Err(ParseError::new(start, message));
            }
        }
        let power = if self.is('^') && !matches!(self.ahead(1), Some(Token::Transpose)) {
            self.at += 1;
            let at = self.here();
            let power = self.script()?;
            if matches!(&power.kind, Kind::Neg(one) if one.is_number(1.0)) {
                let message = format!(
                    "`{function}^{{-1}}` can be the inverse function or 1/{function}; write a quotient, or give the \
                     inverse a name"
                );
                return Err(ParseError::new(at, message));
            }
            Some(power)
        } else {
            None
        };
        let mut arguments = Vec::new();
        // \max\{0, z\}.
        let close = match self.peek() {
            Some(Token::Op('(')) => Some(')'),
            Some(Token::Op('⦃')) if function == Function::Max => Some('⦄'),
            Some(Token::Op('[')) if function == Function::Max => Some(']'),
            _ => None,
        };
        if let Some(close) = close {
            self.at += 1;
            let bars = std::mem::take(&mut self.bars);
            loop {
                arguments.push(self.expr(SUM)?);
                if !self.eat(',') {
                    break;
                }
            }
            self.bars = bars;
            self.expect(close)?;
        } else {
            let at = self.here();
            let primary = self.primary()?;
            arguments.push(self.postfix(primary, at)?);
        }
        if function == Function::Choose {
            // The sign of a number.
            let one = Expr::new(Kind::Number { digits: 1.0, decimals: 0 }, self.since(start));
            arguments.truncate(1);
            arguments.extend([one.clone(), Expr::new(Kind::Neg(Box::new(one)), self.since(start))]);
        }
        let wanted = match function {
            Function::Choose => 3,
            Function::Max => 2,
            _ => 1,
        };
        if arguments.len() != wanted {
            let message = format!("`{function}` takes {wanted} argument{}", if wanted == 1 { "" } else { "s" });
            return Err(ParseError::new(start, message));
        }
        let call = Expr::new(Kind::Call(function, arguments), self.since(start));
        Ok(match power {
            Some(power) => Expr::new(Kind::Binary(Operator::Pow, Box::new(call), Box::new(power)), self.since(start)),
            None => call,
        })
    }

    /// Returns whether a power and an argument follow, as in `\sigma^2(z)`.
    fn is_power_of_call(&self) -> bool {
        if !self.is('^') {
            return false;
        }
        let mut depth = 0;
        for by in 1.. {
            match self.ahead(by) {
                Some(Token::Op('{')) => depth += 1,
                Some(Token::Op('}')) => depth -= 1,
                Some(_) => {}
                None => return false,
            }
            if depth == 0 {
                return self.ahead(by + 1) == Some(&Token::Op('('));
            }
        }
        false
    }

    /// Finishes an expression that begins with a name.
    pub(super) fn named(&mut self, name: Name) -> Result<Expr> {
        let span = name.span;
        if let ("δ", [left, right], None) = (name.head.as_str(), name.indices.as_slice(), &name.row) {
            let condition = Condition { left: left.clone(), right: right.clone(), equal: true };
            return Ok(Expr::new(Kind::Indicator(condition), span));
        }
        let function = name.head.trim_end_matches('\'').to_owned();
        let is_defined = |head: &str| self.functions.defined.contains(head);
        if self.is('(') && (is_defined(&name.head) || is_defined(&function)) {
            let is_slope = is_defined(&function) && name.head != function;
            self.at += 1;
            let mut arguments = Vec::new();
            loop {
                arguments.push(self.expr(SUM)?);
                if !self.eat(',') {
                    break;
                }
            }
            self.expect(')')?;
            if !is_slope {
                return Ok(Expr::new(Kind::Apply(name, arguments), self.since(span.start)));
            }
            // f'(z) is the derivative of f(z) by z.
            let order = name.head.len() - function.len();
            let ([Expr { kind: Kind::Name(by), .. }], 1..=2) = (arguments.as_slice(), order) else {
                let message = format!("`{}` needs one name between its parentheses, like `{function}'(z)`", name.head);
                return Err(ParseError::new(span.start, message));
            };
            let by = vec![by.clone(); order];
            let value = Kind::Apply(Name { head: function, ..name }, arguments);
            let value = Box::new(Expr::new(value, self.since(span.start)));
            return Ok(Expr::new(Kind::Derivative(value, by), self.since(span.start)));
        }
        if self.is('(') && self.functions.undefined.contains(&name.head) {
            let message = format!("`{0}` looks like a function that nothing defines; define `{0}(t)`", name.head);
            return Err(ParseError::new(span.start, message));
        }
        let word = name.head.trim_end_matches(|c: char| c.is_ascii_digit());
        if word.chars().count() > 1 && name.indices.is_empty() && self.is('(') && self.touches() {
            let plain = word.chars().all(|c| c.is_ascii_alphabetic());
            if plain {
                let known = ["exp", "ln", "log", "sigma", "tanh", "softmax", "sqrt", "relu", "diag", "max", "norm"];
                let hint = crate::error::nearest(&name.head, known);
                let hint = hint.map(|hint| format!("; did you mean `\\{hint}`?")).unwrap_or_default();
                return Err(ParseError::new(span.start, format!("unknown function `{}`{hint}", name.head)));
            }
        }
        Ok(Expr::new(Kind::Name(name), span))
    }

    pub(super) fn sum(&mut self, product: bool) -> Result<Expr> {
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
                            Some(Index::Number(number @ 0..=9)) => from = Some(number),
                            _ => return Err(self.expected("a number up to 9, where the sum begins")),
                        }
                    } else if close.is_some() && self.peek() == Some(&Token::Ne) {
                        self.at += 1;
                        let right = self.condition_index().ok_or_else(|| self.expected("an index"))?;
                        conditions.push(Condition { left: Index::Letter(letter.clone()), right, equal: false });
                    }
                    if new {
                        bound.push(Bound { letter, from, to: None, less: 0 });
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
                    Kind::Name(name) if name.indices.is_empty() => (Limit::Size(name.head.clone()), 0),
                    &Kind::Number { digits, decimals: 0 } if digits <= 64.0 => (Limit::Number(digits as i64), 0),
                    Kind::Binary(Operator::Sub, size, less) => match (&size.kind, &less.kind) {
                        (Kind::Name(name), &Kind::Number { digits: less @ 1.0..=9.0, decimals: 0 }) => {
                            (Limit::Size(name.head.clone()), less as i64)
                        }
                        _ => return Err(ParseError::new(at, "expected `K`, `K - 1` or a number as the last index")),
                    },
                    _ => {
                        return Err(ParseError::new(
                            at,
                            "expected `K`, `K - 1` or a number up to 64 as the last index",
                        ));
                    }
                });
            } else {
                break;
            }
        }
        let Some(first) = bound.first_mut() else {
            return Err(ParseError::new(start, "this sum does not say over which index; write `sum_k`"));
        };
        if let Some((limit, less)) = to {
            if first.from == Some(0) && less == 0 && matches!(limit, Limit::Size(_)) {
                return Err(ParseError::new(start, "a sum goes from 1 to K or from 0 to K - 1"));
            }
            (first.to, first.less) = (Some(limit), less);
        }
        let body = Box::new(self.expr(PRODUCT)?);
        Ok(Expr::new(Kind::Sum { product, bound, conditions, body }, self.since(start)))
    }

    pub(super) fn cases(&mut self) -> Result<Expr> {
        let start = self.here();
        self.at += 1;
        let mut cases: Vec<(Expr, Option<Test>)> = Vec::new();
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
                Some(self.test()?)
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
        Ok(self.choice(cases, start))
    }

    /// Returns whether the bracket at a distance opens a condition, such as `j = k` or `a_h > 0`.
    pub(super) fn is_test(&self, by: usize) -> bool {
        let Some(Token::Op('[' | '(' | '{' | '⦃')) = self.ahead(by) else { return false };
        let mut depth = 0;
        for by in by.. {
            match self.ahead(by) {
                Some(Token::Op('[' | '(' | '{' | '⦃')) => depth += 1,
                Some(Token::Op(']' | ')' | '}' | '⦄')) => depth -= 1,
                Some(Token::Op('=') | Token::Ne | Token::Relation(_)) if depth == 1 => return true,
                Some(_) => {}
                None => return false,
            }
            if depth == 0 {
                return false;
            }
        }
        false
    }

    /// Parses a condition in brackets: one where it holds, and zero elsewhere.
    fn indicator(&mut self, open: char, close: char, start: usize) -> Result<Expr> {
        self.expect(open)?;
        let bars = std::mem::take(&mut self.bars);
        let test = self.test()?;
        self.bars = bars;
        self.expect(close)?;
        let span = self.since(start);
        let number = |digits| Expr::new(Kind::Number { digits, decimals: 0 }, span);
        match test {
            Test::Indices(condition) => Ok(Expr::new(Kind::Indicator(condition), span)),
            Test::Positive(_) => Ok(self.choice(vec![(number(1.0), Some(test)), (number(0.0), None)], start)),
        }
    }

    /// Parses a condition about indices, or an inequality of numbers.
    pub(super) fn test(&mut self) -> Result<Test> {
        let before = self.at;
        let in_parentheses = self.is('(') && self.is_test(0);
        self.at += usize::from(in_parentheses);
        let test = match self.try_condition() {
            Some(condition) => Test::Indices(condition),
            None => self.inequality().map_err(|error| match self.tokens.get(before) {
                // What follows is no expression.
                Some(first) if error.at == first.span.start => self.expected("a condition like `j = k` or `z > 0`"),
                _ => error,
            })?,
        };
        if in_parentheses {
            self.expect(')')?;
        }
        Ok(test)
    }

    /// Parses `a < b < c`: differences that are positive where it holds.
    fn inequality(&mut self) -> Result<Test> {
        let start = self.here();
        let mut left = self.expr(SUM)?;
        let mut positive = Vec::new();
        while let Some(Token::Relation(relation)) = self.peek() {
            let is_less = match relation.as_str() {
                "<" | "<=" | "≤" => true,
                ">" | ">=" | "≥" => false,
                _ => break,
            };
            self.at += 1;
            let right = self.expr(SUM)?;
            let (large, small) = if is_less { (&right, &left) } else { (&left, &right) };
            let difference = match small.is_number(0.0) {
                true => large.clone(),
                false => {
                    let (large, small) = (Box::new(large.clone()), Box::new(small.clone()));
                    Expr::new(Kind::Binary(Operator::Sub, large, small), self.since(start))
                }
            };
            positive.push(difference);
            left = right;
        }
        if positive.is_empty() {
            return Err(self.expected("a condition like `j = k` or `z > 0`"));
        }
        Ok(Test::Positive(positive))
    }

    /// Writes values for cases: the first whose condition holds.
    pub(super) fn choice(&self, cases: Vec<(Expr, Option<Test>)>, start: usize) -> Expr {
        let span = self.since(start);
        let mut rest: Option<Expr> = None;
        for (value, test) in cases.into_iter().rev() {
            rest = Some(match (test, rest) {
                (None, _) => value,
                (Some(Test::Indices(condition)), rest) => {
                    let mut cases = vec![(value, Some(condition))];
                    match rest {
                        Some(Expr { kind: Kind::Cases(more), .. }) => cases.extend(more),
                        Some(rest) => cases.push((rest, None)),
                        None => {}
                    }
                    Expr::new(Kind::Cases(cases), span)
                }
                (Some(Test::Positive(tests)), rest) => tests.into_iter().rev().fold(value, |value, test| {
                    let arguments = [test, value].into_iter().chain(rest.clone());
                    Expr::new(Kind::Call(Function::Choose, arguments.collect()), span)
                }),
            });
        }
        rest.unwrap_or_else(|| Expr::new(Kind::Missing, span))
    }
}

/// When a value applies.
pub(super) enum Test {
    Indices(Condition),
    /// All of these are positive.
    Positive(Vec<Expr>),
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
