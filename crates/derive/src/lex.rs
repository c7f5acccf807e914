//! Two lexers, for LaTeX and for plain notation, that write the same tokens.
//!
//! They differ in one thing: `xw` is the product of x and w in LaTeX, and one name in plain
//! notation. Commands and plain words can be mixed in both.

use crate::error::{ParseError, nearest};
use crate::tree::{Function, Span};
use crate::words::{ACCENTS, FUNCTIONS, GREEK, IGNORED, OTHERS, known_word, styled};

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// Digits with at most one point.
    Number(String),
    /// A name without its indices. Whether it is the d of a derivative is found by the parser.
    Name(String),
    Function(Function),
    /// An operator or a delimiter of one character.
    Op(char),
    Ne,
    /// An inequality, or another relation that is not checked.
    Relation(String),
    In,
    Sum,
    Product,
    Frac,
    Sqrt,
    Partial,
    Nabla,
    Transpose,
    /// An accent, as the combining character that follows the letter.
    Accent(char),
    Mul,
    Hadamard,
    /// A brace below or above a formula, with a label.
    Brace,
    /// A double bar.
    Norm,
    /// `\quad`, or a line's end: the end of a statement.
    Separator,
    /// `\\`: the end of a row of cases or of an aligned formula.
    Row,
    Begin(String),
    End(String),
    If,
    Otherwise,
    /// The real numbers.
    Reals,
    Ones,
    Dots,
    Tag(String),
    /// Words in a formula.
    Text(String),
}

/// A token with its place.
#[derive(Clone, Debug)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) span: Span,
}

/// Which of the two lexers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    Latex,
    Plain,
}

/// Writes the tokens of `text[from..to]`.
pub(crate) fn lex(text: &str, from: usize, to: usize, notation: Notation) -> Result<Vec<Lexeme>, ParseError> {
    let mut lexer = Lexer { text: &text[..to], at: from, notation, tokens: Vec::new(), boxes: Vec::new(), depth: 0 };
    while lexer.at < to {
        lexer.step()?;
    }
    Ok(lexer.tokens)
}

/// Writes the tokens of a formula that cannot be read, without what has no meaning.
pub(crate) fn lex_what_is_known(text: &str, from: usize, to: usize, notation: Notation) -> Vec<Lexeme> {
    let mut lexer = Lexer { text: &text[..to], at: from, notation, tokens: Vec::new(), boxes: Vec::new(), depth: 0 };
    while lexer.at < to {
        let before = lexer.at;
        if lexer.step().is_err() && lexer.at == before {
            lexer.at += lexer.rest().chars().next().map_or(1, char::len_utf8);
        }
    }
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    notation: Notation,
    tokens: Vec<Lexeme>,
    /// The depths of the braces of `\boxed{…}`, which are left out.
    boxes: Vec<usize>,
    depth: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn push(&mut self, token: Token, start: usize) {
        self.tokens.push(Lexeme { token, span: Span { start, end: self.at } });
    }

    /// Takes the longest prefix of characters with a property.
    fn take(&mut self, is: impl Fn(char) -> bool) -> String {
        let taken: String = self.rest().chars().take_while(|&c| is(c)).collect();
        self.at += taken.len();
        taken
    }

    /// Takes the digits at the end of a name.
    fn digits(&mut self) -> String {
        self.take(|c| c.is_ascii_digit())
    }

    /// Takes `{…}` and returns what is inside.
    fn group(&mut self, what: &str) -> Result<String, ParseError> {
        let start = self.at;
        self.take(char::is_whitespace);
        if !self.rest().starts_with('{') {
            return Err(ParseError::new(start, format!("expected `{{` after `{what}`")));
        }
        let Some(end) = self.rest().find('}') else {
            return Err(ParseError::new(self.at, "this `{` has no `}`"));
        };
        let inside = self.rest()[1..end].trim().to_owned();
        self.at += end + 1;
        Ok(inside)
    }

    fn step(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let Some(c) = self.rest().chars().next() else { return Ok(()) };
        if c == '\\' {
            return self.command();
        }
        if c.is_ascii_digit() || (c == '.' && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit())) {
            return self.number();
        }
        if let Some((script, is_script)) = [('_', subscript as fn(char) -> _), ('^', superscript)]
            .into_iter()
            .find(|(_, is_script)| is_script(c).is_some())
        {
            self.small_letters(script, is_script);
            return Ok(());
        }
        if is_letter(c) {
            self.letters();
            return Ok(());
        }
        self.at += c.len_utf8();
        if matches!(c, ':' | '=') && self.rest().starts_with('=') {
            // `:=` defines, and `==` is how code compares.
            self.at += 1;
            self.push(Token::Op('='), start);
            return Ok(());
        }
        let token = match c {
            '\n' if self.notation == Notation::Plain => Token::Separator,
            c if c.is_whitespace() => return Ok(()),
            '&' | '~' | '$' => Token::Op('&'),
            '+' | '/' | '^' | '_' | '(' | ')' | '[' | ']' | ',' | ';' | '=' | '\'' | ':' | '?' => Token::Op(c),
            '-' | '−' | '–' => Token::Op('-'),
            '≡' | '≔' => Token::Op('='),
            '|' if self.rest().starts_with('|') => {
                self.at += 1;
                Token::Norm
            }
            '|' => Token::Op('|'),
            '‖' => Token::Norm,
            '{' => {
                self.depth += 1;
                Token::Op('{')
            }
            '}' => {
                if self.boxes.last() == Some(&self.depth) {
                    self.boxes.pop();
                    self.depth -= 1;
                    return Ok(());
                }
                self.depth = self.depth.saturating_sub(1);
                Token::Op('}')
            }
            '*' if self.rest().starts_with('*') => {
                self.at += 1;
                Token::Op('^')
            }
            '*' | '·' | '×' | '⋅' => Token::Mul,
            '∘' | '⊙' => Token::Hadamard,
            '∂' => Token::Partial,
            '∇' => Token::Nabla,
            '∑' => Token::Sum,
            '∏' => Token::Product,
            '√' => Token::Sqrt,
            'ᵀ' | '⊤' => {
                self.tokens.push(Lexeme { token: Token::Op('^'), span: Span { start, end: self.at } });
                Token::Transpose
            }
            'ℝ' => Token::Reals,
            '𝟏' => Token::Ones,
            '∈' => Token::In,
            '≠' => Token::Ne,
            '!' if self.rest().starts_with('=') => {
                self.at += 1;
                Token::Ne
            }
            '½' | '¼' | '¾' => Token::Number(
                if c == '½' {
                    "0.5"
                } else if c == '¼' {
                    "0.25"
                } else {
                    "0.75"
                }
                .into(),
            ),
            '⇒' | '⟹' | '⇔' | '⟺' | '∴' => Token::Separator,
            '<' | '>' | '≤' | '≥' | '≈' => {
                let mut relation = c.to_string();
                if self.rest().starts_with('=') {
                    self.at += 1;
                    relation.push('=');
                }
                Token::Relation(relation)
            }
            '…' => Token::Dots,
            '.' if self.rest().starts_with("..") => {
                self.at += 2;
                Token::Dots
            }
            '.' if self.is_full_stop() => return Ok(()),
            _ => return Err(ParseError::new(start, format!("`{c}` has no meaning in a formula"))),
        };
        self.push(token, start);
        Ok(())
    }

    /// Reads a run of small letters and digits, such as the ⱼ of wⱼ, as a subscript or superscript.
    fn small_letters(&mut self, script: char, of: fn(char) -> Option<char>) {
        let start = self.at;
        let small = self.take(|c| of(c).is_some());
        let span = Span { start, end: self.at };
        let mut push = |token| self.tokens.push(Lexeme { token, span });
        push(Token::Op(script));
        push(Token::Op('{'));
        let mut digits = String::new();
        for c in small.chars().filter_map(of) {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            if !digits.is_empty() {
                push(Token::Number(std::mem::take(&mut digits)));
            }
            push(if c.is_alphabetic() { Token::Name(c.into()) } else { Token::Op(c) });
        }
        if !digits.is_empty() {
            push(Token::Number(digits));
        }
        push(Token::Op('}'));
    }

    /// Returns whether the point just read ends a formula, or a row of one.
    fn is_full_stop(&self) -> bool {
        let rest = self.rest().trim_start_matches(['}', ']']).trim_start();
        let ends = ["\\\\", "\\end{", "\\tag{", "\\label{", "\\quad", "\\qquad", "\\text{", "\\]", "\\)"];
        rest.trim_start_matches('\\').trim().is_empty() || ends.iter().any(|end| rest.starts_with(end))
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let mut digits = self.take(|c| c.is_ascii_digit());
        if self.rest().starts_with('.') && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) {
            self.at += 1;
            digits.push('.');
            digits += &self.take(|c| c.is_ascii_digit());
        }
        // 1e3 and 2.5e-4, as computers write them.
        let exponent: String =
            self.rest().chars().take_while(|&c| c == 'e' || c == '-' || c.is_ascii_digit()).collect();
        let power = exponent.strip_prefix('e').map(|power| power.trim_start_matches('-'));
        if power.is_some_and(|power| !power.is_empty() && power.chars().all(|c| c.is_ascii_digit())) {
            if power.is_some_and(|power| power.len() > 2) {
                let message = format!("`{digits}{exponent}` is too large or too small; powers of ten go to e99");
                return Err(ParseError::new(start, message));
            }
            self.at += exponent.len();
            digits += &exponent;
        }
        if digits.len() > 20 {
            return Err(ParseError::new(start, "a number can have at most 20 characters"));
        }
        self.push(Token::Number(digits), start);
        Ok(())
    }

    /// Reads a run of letters.
    fn letters(&mut self) {
        let start = self.at;
        let word = self.take(is_letter);
        let after_script = matches!(self.tokens.last(), Some(last) if matches!(last.token, Token::Op('_' | '^')));
        let in_script = after_script || self.in_subscript();
        if word.chars().count() > 1 && !in_script {
            // `dw` and `dyhat` are the d of a derivative and a name.
            let is_plain = self.notation == Notation::Plain;
            let has_digits = is_plain && self.rest().starts_with(|c: char| c.is_ascii_digit());
            let token = match known_word(&word) {
                // `beta1` is a name, and `log2` is not the logarithm of 2.
                Some(Token::Name(name)) if has_digits => Some(Token::Name(name + &self.digits())),
                Some(Token::Function(_)) if has_digits => Some(Token::Name(word.clone() + &self.digits())),
                token => token,
            };
            if let Some(token) = token {
                return self.push(token, start);
            }
            if is_plain {
                let digits = self.digits();
                if let Some(rest) = word.strip_prefix('d') {
                    let name = match known_word(rest) {
                        Some(Token::Name(name)) => Some(name),
                        _ => (rest.chars().count() == 1 || self.is_derivative_word()).then(|| rest.to_owned()),
                    };
                    if let Some(name) = name.map(|name| name + &digits) {
                        self.tokens
                            .push(Lexeme { token: Token::Name("d".into()), span: Span { start, end: start + 1 } });
                        self.tokens
                            .push(Lexeme { token: Token::Name(name), span: Span { start: start + 1, end: self.at } });
                        return;
                    }
                }
                return self.push(Token::Name(word + &digits), start);
            }
        }
        if word.chars().count() == 1 && self.notation == Notation::Plain && !in_script && word != "σ" {
            let digits = self.digits();
            return self.push(Token::Name(word + &digits), start);
        }
        let mut at = start;
        for letter in word.chars() {
            let end = at + letter.len_utf8();
            // The Greek letter alone is the function, unless the document defines the name.
            let token = if letter == 'σ' { Token::Function(Function::Sigmoid) } else { Token::Name(letter.into()) };
            self.tokens.push(Lexeme { token, span: Span { start: at, end } });
            at = end;
        }
    }

    /// Returns whether the word just read is followed or preceded by the bar of a derivative.
    fn is_derivative_word(&self) -> bool {
        let next = self.rest().trim_start();
        next.starts_with("/d") || matches!(self.tokens.last(), Some(last) if last.token == Token::Op('/'))
    }

    /// Returns whether an open brace or bracket belongs to a subscript: there, letters are indices.
    fn in_subscript(&self) -> bool {
        let mut closed = 0;
        for (place, lexeme) in self.tokens.iter().enumerate().rev().take(24) {
            match lexeme.token {
                Token::Op('}' | ']' | ')') => closed += 1,
                Token::Op('{' | '[' | '(') if closed > 0 => closed -= 1,
                Token::Op('{' | '[' | '(') => {
                    let before = place.checked_sub(1).map(|before| &self.tokens[before].token);
                    return before == Some(&Token::Op('_'));
                }
                _ => {}
            }
        }
        false
    }

    fn command(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        self.at += 1;
        let name = self.take(|c| c.is_ascii_alphabetic());
        if name.is_empty() {
            let Some(c) = self.rest().chars().next() else {
                return Err(ParseError::new(start, "expected a command after `\\`"));
            };
            self.at += c.len_utf8();
            match c {
                '\\' => {
                    // A row can be followed by extra space: \\[4pt].
                    if self.rest().starts_with('[')
                        && let Some(end) = self.rest().find(']').filter(|&end| end < 12)
                    {
                        self.at += end + 1;
                    }
                    self.push(Token::Row, start);
                }
                '|' => self.push(Token::Norm, start),
                '{' | '}' => self.push(Token::Op(if c == '{' { '⦃' } else { '⦄' }), start),
                ',' | ';' | ':' | '!' | ' ' | '\n' => {}
                '[' | ']' | '(' | ')' => {}
                _ => return Err(ParseError::new(start, format!("`\\{c}` has no meaning in a formula"))),
            }
            return Ok(());
        }
        if let Some(&(_, accent)) = ACCENTS.iter().find(|(command, _)| *command == name) {
            self.push(Token::Accent(accent), start);
            return Ok(());
        }
        if IGNORED.contains(&name.as_str()) {
            // \left. and \right. have no delimiter.
            if (name == "left" || name == "right") && self.rest().starts_with('.') {
                self.at += 1;
            }
            return Ok(());
        }
        let token = match name.as_str() {
            "frac" | "dfrac" | "tfrac" | "cfrac" => Token::Frac,
            "sqrt" => Token::Sqrt,
            "sum" => Token::Sum,
            "prod" => Token::Product,
            "partial" => Token::Partial,
            "nabla" => Token::Nabla,
            "top" | "intercal" => Token::Transpose,
            "cdot" | "times" | "ast" => Token::Mul,
            "circ" | "odot" => Token::Hadamard,
            "lVert" | "rVert" | "Vert" => Token::Norm,
            "lvert" | "rvert" | "vert" => Token::Op('|'),
            "quad" | "qquad" | "Rightarrow" | "Longrightarrow" | "implies" | "iff" | "Leftrightarrow" | "therefore" => {
                Token::Separator
            }
            "underbrace" | "overbrace" => Token::Brace,
            "ne" | "neq" => Token::Ne,
            "in" => Token::In,
            "le" | "leq" | "ge" | "geq" | "lt" | "gt" | "approx" | "sim" | "to" | "ll" | "gg" | "propto" => {
                Token::Relation(match name.as_str() {
                    "le" | "leq" => "<=".into(),
                    "ge" | "geq" => ">=".into(),
                    "lt" => "<".into(),
                    "gt" => ">".into(),
                    other => other.into(),
                })
            }
            "dots" | "ldots" | "cdots" => Token::Dots,
            "prime" => Token::Op('\''),
            "equiv" | "coloneqq" | "triangleq" => Token::Op('='),
            "lbrace" => Token::Op('⦃'),
            "rbrace" => Token::Op('⦄'),
            "begin" => Token::Begin(self.group("\\begin")?),
            "end" => Token::End(self.group("\\end")?),
            "tag" => Token::Tag(self.group("\\tag")?),
            "label" => {
                self.group("\\label")?;
                return Ok(());
            }
            "boxed" => {
                self.take(char::is_whitespace);
                if !self.rest().starts_with('{') {
                    return Err(ParseError::new(start, "expected `{` after `\\boxed`"));
                }
                self.at += 1;
                self.depth += 1;
                self.boxes.push(self.depth);
                return Ok(());
            }
            "text" | "textrm" | "textit" | "mbox" => {
                let words = self.group(&name)?;
                known_word(&words).unwrap_or(Token::Text(words))
            }
            "operatorname" | "mathrm" | "mathit" | "mathsf" => {
                // As in TeX, one letter needs no braces: \mathrm d.
                let word = if self.rest().trim_start().starts_with('{') {
                    self.group(&name)?
                } else {
                    self.take(char::is_whitespace);
                    let c: String = self.rest().chars().take(1).filter(|c| c.is_alphabetic()).collect();
                    self.at += c.len();
                    c
                };
                match known_word(&word) {
                    Some(token) => token,
                    None if word == "d" => Token::Partial,
                    None if word == "T" => Token::Transpose,
                    None if word.chars().all(char::is_alphanumeric) && !word.is_empty() => Token::Name(word),
                    None => return Err(ParseError::new(start, format!("`{word}` is not a name"))),
                }
            }
            "mathbf" | "boldsymbol" | "bm" | "vec" | "mathbb" | "mathcal" => {
                // The argument may be a single character without braces.
                let inside = if self.rest().trim_start().starts_with('{') {
                    self.group(&name)?
                } else {
                    self.take(char::is_whitespace);
                    let c: String = self.rest().chars().take(1).collect();
                    self.at += c.len();
                    c
                };
                match (inside.as_str(), name.as_str()) {
                    ("R", "mathbb") => Token::Reals,
                    ("1", _) => Token::Ones,
                    _ if inside.chars().count() == 1 => {
                        let first = if name == "mathcal" { 0x1D4D0 } else { 0x1D400 };
                        Token::Name(styled(&inside, first))
                    }
                    _ => return Err(ParseError::new(start, format!("expected one letter after `\\{name}`"))),
                }
            }
            word => match known_word(word) {
                Some(token) if !matches!(token, Token::Text(_)) => token,
                _ => {
                    let names = FUNCTIONS.iter().map(|(name, _)| *name).chain(GREEK.iter().map(|(name, _)| *name));
                    let names = names.chain(OTHERS).chain(ACCENTS.iter().map(|(name, _)| *name));
                    let hint = nearest(word, names).map(|name| format!("; did you mean `\\{name}`?"));
                    let hint = hint.unwrap_or_default();
                    return Err(ParseError::new(start, format!("unknown command `\\{word}`{hint}")));
                }
            },
        };
        self.push(token, start);
        Ok(())
    }
}

/// Returns whether a character is a letter of a name.
pub(crate) fn is_letter(c: char) -> bool {
    c.is_alphabetic() && !matches!(c, 'ᵀ' | 'ℝ' | '𝟏') && subscript(c).is_none() && superscript(c).is_none()
}

/// Returns what a small character below the line stands for.
fn subscript(c: char) -> Option<char> {
    let small = "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ₊₋".chars();
    small.zip("0123456789aehijklmnoprstuvx+-".chars()).find(|(small, _)| *small == c).map(|(_, c)| c)
}

/// Returns what a small character above the line stands for.
fn superscript(c: char) -> Option<char> {
    let small = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁱⁿᵏ".chars();
    small.zip("0123456789+-()ink".chars()).find(|(small, _)| *small == c).map(|(_, c)| c)
}
