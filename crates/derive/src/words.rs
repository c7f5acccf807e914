//! The words and commands that have a meaning.

use crate::lex::Token;
use crate::tree::Function;

pub(crate) const GREEK: [(&str, &str); 32] = [
    ("alpha", "α"),
    ("beta", "β"),
    ("gamma", "γ"),
    ("delta", "δ"),
    ("epsilon", "ε"),
    ("varepsilon", "ε"),
    ("zeta", "ζ"),
    ("eta", "η"),
    ("theta", "θ"),
    ("kappa", "κ"),
    ("lambda", "λ"),
    ("mu", "μ"),
    ("nu", "ν"),
    ("xi", "ξ"),
    ("pi", "π"),
    ("rho", "ρ"),
    ("tau", "τ"),
    ("phi", "φ"),
    ("varphi", "φ"),
    ("chi", "χ"),
    ("psi", "ψ"),
    ("omega", "ω"),
    ("Gamma", "Γ"),
    ("Delta", "Δ"),
    ("Theta", "Θ"),
    ("Lambda", "Λ"),
    ("Sigma", "Σ"),
    ("Phi", "Φ"),
    ("Psi", "Ψ"),
    ("Omega", "Ω"),
    ("ell", "ℓ"),
    ("iota", "ι"),
];

pub(crate) const FUNCTIONS: [(&str, Function); 20] = [
    ("exp", Function::Exp),
    ("ln", Function::Ln),
    ("log", Function::Ln),
    ("sigma", Function::Sigmoid),
    ("sigmoid", Function::Sigmoid),
    ("logistic", Function::Sigmoid),
    ("tanh", Function::Tanh),
    ("relu", Function::Relu),
    ("ReLU", Function::Relu),
    ("softmax", Function::Softmax),
    ("diag", Function::Diag),
    ("tr", Function::Trace),
    ("trace", Function::Trace),
    ("norm", Function::Norm),
    ("abs", Function::Abs),
    ("max", Function::Max),
    ("sign", Function::Choose),
    ("sgn", Function::Choose),
    ("sqrt", Function::Sqrt),
    ("transpose", Function::Transpose),
];

pub(crate) const ACCENTS: [(&str, char); 7] = [
    ("hat", '\u{302}'),
    ("widehat", '\u{302}'),
    ("bar", '\u{304}'),
    ("overline", '\u{304}'),
    ("tilde", '\u{303}'),
    ("widetilde", '\u{303}'),
    ("dot", '\u{307}'),
];

/// Commands without a meaning of their own: spaces and sizes.
pub(crate) const IGNORED: [&str; 18] = [
    "left",
    "right",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "displaystyle",
    "textstyle",
    "limits",
    "nolimits",
    "nonumber",
    "notag",
    "dfrac_",
    "middle",
];

/// Other commands and plain words, for the search for the nearest.
pub(crate) const OTHERS: [&str; 24] = [
    "frac",
    "sqrt",
    "sum",
    "prod",
    "partial",
    "nabla",
    "top",
    "cdot",
    "times",
    "circ",
    "odot",
    "mathbf",
    "mathbb",
    "text",
    "quad",
    "qquad",
    "ne",
    "in",
    "begin",
    "end",
    "operatorname",
    "boxed",
    "tag",
    "lVert",
];

/// Adds an accent to a letter, and writes it as one character where there is one.
pub(crate) fn accented(letter: &str, accent: char) -> String {
    match (letter, accent) {
        ("y", '\u{302}') => "ŷ".into(),
        ("y", '\u{304}') => "ȳ".into(),
        ("x", '\u{304}') => "x̄".into(),
        _ => format!("{letter}{accent}"),
    }
}

/// Returns the token of a word that has a meaning in both notations.
pub(crate) fn known_word(word: &str) -> Option<Token> {
    if let Some(&(_, function)) = FUNCTIONS.iter().find(|(name, _)| *name == word) {
        return Some(Token::Function(function));
    }
    if let Some(&(_, letter)) = GREEK.iter().find(|(name, _)| *name == word) {
        return Some(Token::Name(letter.into()));
    }
    for (name, accent) in ACCENTS {
        // `yhat`, but not `what`, is y with a hat; a plain word never has a wide accent.
        if let Some(letter) = word.strip_suffix(name) {
            let greek = GREEK.iter().find(|(name, _)| *name == letter).map(|(_, letter)| *letter);
            let single = (letter.chars().count() == 1 && letter != "w").then_some(letter);
            if let Some(letter) = greek.or(single).filter(|_| !name.starts_with("wide") && name != "dot") {
                return Some(Token::Name(accented(letter, accent)));
            }
        }
    }
    Some(match word {
        "sum" => Token::Sum,
        "prod" => Token::Product,
        "if" | "for" | "when" => Token::If,
        "otherwise" | "else" => Token::Otherwise,
        "in" => Token::In,
        "partial" => Token::Partial,
        "where" | "with" | "and" | "so" | "hence" => Token::Text(word.into()),
        _ => return None,
    })
}

/// Returns whether a word has a meaning in plain notation.
pub(crate) fn is_known_word(word: &str) -> bool {
    known_word(word).is_some()
}
/// Returns a letter of another style, so that x and a bold x are different names.
pub(crate) fn styled(letter: &str, first: u32) -> String {
    let Some(c) = letter.chars().next() else { return String::new() };
    let offset = match c {
        'A'..='Z' => c as u32 - 'A' as u32,
        'a'..='z' => c as u32 - 'a' as u32 + 26,
        _ => return letter.to_owned(),
    };
    char::from_u32(first + offset).map_or_else(|| letter.to_owned(), String::from)
}
