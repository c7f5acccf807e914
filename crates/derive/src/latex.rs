//! Expressions as LaTeX, for pages with typeset formulas.

use crate::tree::{Condition, Expr, Function, Index, Kind, Limit, Name, Operator};

/// How strongly an expression holds together: what is weaker than its place needs parentheses.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Strength {
    Sum,
    Product,
    Power,
}

/// Writes an expression as LaTeX.
pub(crate) fn latex(expr: &Expr) -> String {
    match &expr.kind {
        Kind::Number { digits, decimals } => format!("{}", digits / 10f64.powi(*decimals)),
        Kind::Name(found) => name(found),
        Kind::Apply(found, all) => format!("{}({})", name(found), list(all)),
        Kind::Neg(a) => format!("-{}", at_least(a, Strength::Product)),
        Kind::Binary(Operator::Add, a, b) => format!("{} + {}", latex(a), at_least(b, Strength::Product)),
        Kind::Binary(Operator::Sub, a, b) => format!("{} - {}", latex(a), at_least(b, Strength::Product)),
        Kind::Binary(Operator::Mul, a, b) => {
            let right = at_least(b, Strength::Power);
            // Two numbers side by side would be another number.
            let sign = if right.starts_with(|c: char| c.is_ascii_digit()) { r"\cdot " } else { r"\, " };
            format!("{} {sign}{right}", at_least(a, Strength::Product))
        }
        Kind::Binary(Operator::Hadamard, a, b) => {
            format!(r"{} \circ {}", at_least(a, Strength::Product), at_least(b, Strength::Power))
        }
        Kind::Binary(Operator::Div, a, b) => format!(r"\frac{{{}}}{{{}}}", latex(a), latex(b)),
        Kind::Binary(Operator::Pow, a, b) => match &a.kind {
            Kind::Name(_) | Kind::Number { .. } => format!("{{{}}}^{{{}}}", latex(a), latex(b)),
            _ => format!(r"\left({}\right)^{{{}}}", latex(a), latex(b)),
        },
        Kind::Call(function, all) => call(*function, all),
        Kind::Entry(a, indices) => format!("{}_{{{}}}", at_least(a, Strength::Power), subscripts(indices)),
        Kind::Sum { product, bound, conditions, body } => {
            let letters = bound.iter().map(|bound| match bound.from {
                Some(from) => format!("{} = {from}", letter(&bound.letter)),
                None => letter(&bound.letter),
            });
            // A condition on the letter of the sum says the letter.
            let letters: Vec<String> = match conditions.as_slice() {
                [] => letters.collect(),
                _ => conditions.iter().map(condition).collect(),
            };
            let above = match bound.first().and_then(|first| Some((first.less, first.to.as_ref()?))) {
                Some((0, Limit::Size(size))) => format!("^{{{}}}", letter(size)),
                Some((less, Limit::Size(size))) => format!("^{{{} - {less}}}", letter(size)),
                Some((_, Limit::Number(last))) => format!("^{{{last}}}"),
                None => String::new(),
            };
            let sign = if *product { r"\prod" } else { r"\sum" };
            format!("{sign}_{{{}}}{above} {}", letters.join(", "), at_least(body, Strength::Product))
        }
        Kind::Cases(cases) => {
            let rows: Vec<String> = cases
                .iter()
                .map(|(value, when)| match when {
                    Some(when) => format!(r"{} & \text{{if }} {}", latex(value), condition(when)),
                    None => format!(r"{} & \text{{otherwise}}", latex(value)),
                })
                .collect();
            format!(r"\begin{{cases}} {} \end{{cases}}", rows.join(r" \\ "))
        }
        Kind::Indicator(when) => format!("[{}]", condition(when)),
        Kind::Derivative(a, by) => derivative(a, by),
        Kind::Along(a, by, direction) => format!("{}[{}]", derivative(a, std::slice::from_ref(by)), latex(direction)),
        Kind::Ones => r"\mathbf{1}".into(),
        Kind::Missing => "?".into(),
    }
}

fn strength(expr: &Expr) -> Strength {
    match &expr.kind {
        Kind::Binary(Operator::Add | Operator::Sub, ..) | Kind::Neg(_) => Strength::Sum,
        Kind::Binary(Operator::Mul | Operator::Hadamard, ..) | Kind::Sum { .. } => Strength::Product,
        _ => Strength::Power,
    }
}

fn at_least(expr: &Expr, least: Strength) -> String {
    if strength(expr) < least { format!(r"\left({}\right)", latex(expr)) } else { latex(expr) }
}

fn list(all: &[Expr]) -> String {
    all.iter().map(latex).collect::<Vec<_>>().join(", ")
}

fn call(function: Function, all: &[Expr]) -> String {
    let of = |name: &str| format!(r"{name}\left({}\right)", list(all));
    match function {
        Function::Exp => format!("e^{{{}}}", latex(&all[0])),
        Function::Ln => of(r"\ln"),
        Function::Sigmoid => of(r"\sigma"),
        Function::SigmoidSlope => of(r"\sigma'"),
        Function::Tanh => of(r"\tanh"),
        Function::Relu => of(r"\operatorname{relu}"),
        Function::Softmax => of(r"\operatorname{softmax}"),
        Function::Diag => of(r"\operatorname{diag}"),
        Function::Trace => of(r"\operatorname{tr}"),
        Function::Max => of(r"\max"),
        Function::Choose => match all {
            [test, one, zero] if one.is_number(1.0) && zero.is_number(0.0) => format!("[{} > 0]", latex(test)),
            _ => {
                let no = all.get(2).map(|no| format!(r" \\ {} & \text{{otherwise}}", latex(no))).unwrap_or_default();
                let (test, yes) = (latex(&all[0]), latex(&all[1]));
                format!(r"\begin{{cases}} {yes} & \text{{if }} {test} > 0{no} \end{{cases}}")
            }
        },
        Function::Sqrt => format!(r"\sqrt{{{}}}", latex(&all[0])),
        Function::Abs => format!(r"\left|{}\right|", latex(&all[0])),
        Function::Norm => format!(r"\left\lVert {} \right\rVert", latex(&all[0])),
        Function::Transpose => match all[0].kind {
            Kind::Name(_) => format!(r"{{{}}}^\top", latex(&all[0])),
            _ => format!(r"\left({}\right)^\top", latex(&all[0])),
        },
    }
}

fn derivative(of: &Expr, by: &[Name]) -> String {
    let order = if by.len() > 1 { format!("^{}", by.len()) } else { String::new() };
    let below: Vec<String> = by.iter().map(|by| format!(r"\partial {}", name(by))).collect();
    let below = below.join(r"\, ");
    match &of.kind {
        Kind::Name(found) => format!(r"\frac{{\partial{order} {}}}{{{below}}}", name(found)),
        _ => format!(r"\frac{{\partial{order}}}{{{below}}} \left({}\right)", latex(of)),
    }
}

fn condition(condition: &Condition) -> String {
    format!("{} {} {}", index(&condition.left), if condition.equal { "=" } else { r"\ne" }, index(&condition.right))
}

fn index(index: &Index) -> String {
    match index {
        Index::Letter(found) => letter(found),
        Index::Number(number) => number.to_string(),
        Index::Offset(found, by) => format!("{}{by:+}", letter(found)),
        Index::Value(found) => name(found),
    }
}

fn subscripts(indices: &[Index]) -> String {
    let all: Vec<String> = indices.iter().map(index).collect();
    let letters = indices.iter().all(|index| matches!(index, Index::Letter(_)));
    all.join(if letters { " " } else { ", " })
}

fn name(name: &Name) -> String {
    // The head of `v_b` and `W^(1)` has a part that is no index.
    let (head, part) = match name.head.find(['_', '^']) {
        Some(at) if at > 0 => name.head.split_at(at),
        _ => (name.head.as_str(), ""),
    };
    let mut below: Vec<String> = Vec::new();
    let mut above = String::new();
    match part.split_at_checked(1) {
        Some(("_", part)) => below.push(letter(part)),
        Some(("^", part)) => above = letter(part),
        _ => {}
    }
    if !name.indices.is_empty() {
        below.push(subscripts(&name.indices));
    }
    if let Some(row) = &name.row {
        above = format!("({})", index(row));
    }
    let mut text = letter(head);
    if !below.is_empty() {
        text += &format!("_{{{}}}", below.join(", "));
    }
    if !above.is_empty() {
        text += &format!("^{{{above}}}");
    }
    text
}

/// Writes the name of an input without its indices.
pub(crate) fn head(head: &str) -> String {
    name(&Name { head: head.to_owned(), indices: Vec::new(), row: None, span: crate::tree::Span::default() })
}

/// Writes a letter with its accent, or a word.
fn letter(text: &str) -> String {
    let (text, primes) = text.split_at(text.trim_end_matches('\'').len());
    let accented = match text {
        "ŷ" => Some(("y", r"\hat")),
        "ȳ" => Some(("y", r"\bar")),
        "x̄" => Some(("x", r"\bar")),
        _ => [('\u{302}', r"\hat"), ('\u{304}', r"\bar"), ('\u{303}', r"\tilde"), ('\u{307}', r"\dot")]
            .iter()
            .find_map(|(accent, command)| Some((text.strip_suffix(*accent)?, *command))),
    };
    if let Some((letter, command)) = accented {
        return format!("{command}{{{letter}}}{primes}");
    }
    let is_word = text.chars().count() > 1 && text.chars().all(char::is_alphanumeric);
    if is_word { format!(r"\mathit{{{text}}}{primes}") } else { format!("{text}{primes}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Role};
    use crate::report::Verdict;
    use crate::{Options, check};

    /// A derivation that is written anew has the same verdicts.
    #[test]
    fn what_is_written_is_read_as_the_same() {
        let own = "z = w x + b\nu = |z - 2|^2 + max(z, 1)/3 - -z\nV = \\sum_{i=1}^{d-1} (q_{i+1} - q_i)^2\n\
                   dV/dq_i = -2 (q_{i+1} - q_i) + 2 (q_i - q_{i-1})\nd/dz z^2 = 2 z\n2 2^3 (z - (b - w)) = 16 z - 16 b + 16 w\n\
                   \\frac{\\partial V}{\\partial q}[s] = \\sum_i \\frac{\\partial V}{\\partial q_i} s_i\n\
                   \\omega_{c^{(n)}} = \\sum_k \\omega_k [k = c^{(n)}]\n";
        let verdicts = |text: &str| -> Vec<Verdict> {
            let document = Document::parse(text).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
            assert!(document.unread().is_empty(), "{:?}\n{text}", document.unread());
            let report = check(&document, &Options { witnesses: &[], ..Options::default() });
            report.lines.into_iter().flat_map(|line| line.steps).map(|step| step.verdict).collect()
        };
        for file in std::iter::once(own).chain(crate::trust::FILES) {
            let document = Document::parse(file).expect("a file of the project");
            let mut written = String::new();
            for item in &document.parts[0].items {
                let members: Vec<String> = item.members.iter().map(latex).collect();
                let when = item.condition.as_ref().map(|when| format!(r" \text{{if}} {}", condition(when)));
                written += &match item.role {
                    Role::Definition | Role::Claim => {
                        format!("$${}{}$$\n", members.join(" = "), when.unwrap_or_default())
                    }
                    _ => format!("$${}$$\n", &file[item.span.start..item.span.end]),
                };
            }
            let kinds = |verdicts: Vec<Verdict>| -> Vec<&'static str> { verdicts.iter().map(Verdict::name).collect() };
            assert_eq!(kinds(verdicts(&written)), kinds(verdicts(file)), "{written}");
        }
    }
}
