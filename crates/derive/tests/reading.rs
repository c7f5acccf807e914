//! What is read, and what is said about the rest.

use chainrule_derive::{Document, Options, Verdict, check};

#[test]
fn errors_say_where_and_what_was_expected() {
    let cases = [
        ("$$p = \\sigm(z)$$", "line 1, column 7: unknown command `\\sigm`; did you mean `\\sigma`?"),
        ("\n\np = sigm(z)", "line 3, column 5: unknown function `sigm`; did you mean `\\sigma`?"),
        ("loss = x^2\nz = 3 lss", "line 2, column 7: unknown name `lss`; did you mean `loss`?"),
        ("y = (x + 1", "line 1, column 11: expected `)`, but the formula ends"),
        ("y = x +", "line 1, column 8: expected a number, a name or `(`, but the formula ends"),
        ("y = x_{i+1} z", "line 1, column 9: an index is a letter or a number; sums of them are not known"),
        ("y = sum x_j", "line 1, column 5: this sum does not say over which index; write `sum_k`"),
        ("$y = x", "line 1, column 1: this `$` has no partner"),
        ("$$y = x^12$$", "line 1, column 9: `^12` raises only to the first digit; write `^{12}`"),
        ("$$y = \\frac{\\partial z}{w}$$", "line 1, column 7: below `\\partial`, expected `\\partial`"),
        ("a = b\nb = a + 1", "line 1, column 1: `a` is defined by itself, through `a`, `b`"),
        ("y_k = x_j", "line 1, column 7: the index `j` of this definition of `y` is neither on its left side"),
        ("y_j = x_j w_jk", "line 1, column 7: the index `k`"),
        ("s = v_j\nu_j = v_{jk}", "line 2, column 7: `v` has 2 index(es) here and 1 elsewhere"),
        ("$$y = x \\dots z$$", "line 1, column 9: expected"),
        ("x, w \\in \\mathbb R^d\ny = x w", "line 2, column 5: this product of vectors needs a transpose"),
        ("$$y = \\begin{pmatrix} 1 \\end{pmatrix}$$", "line 1, column 7: expected"),
        ("y = dx z", "line 1, column 5: `dx` is no derivative; write a product of d and x as `d x`"),
    ];
    for (text, expected) in cases {
        let errors = Document::parse(text).err().unwrap_or_else(|| panic!("{text} was read"));
        assert!(errors[0].to_string().starts_with(expected), "{text}:\n{}\n{expected}", errors[0]);
    }
}

/// Prose is prose, and what could be meant as a formula is named.
#[test]
fn prose_is_told_apart_from_formulas() {
    let text = "# A title = none\n\nHere we say that a = b holds.\nBut a = b c works.\nSee `x = 1` and \\$5.\n\n\
                | a | b = c |\n\n```rust\nlet x = 1;\n```\n\n$z$ is a mention.\n- u = 2 v\n";
    let document = Document::parse(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let report = check(&document, &Options::default());
    let left: Vec<&str> = report.lines.iter().map(|line| line.left.as_str()).collect();
    assert_eq!((left, report.prose), (vec!["u"], vec![3, 4]));
}

/// A hostile file ends in a sentence, after a bounded number of operations.
#[test]
fn hostile_files_end_in_a_sentence() {
    let nested =
        |open: &str, close: &str, count: usize| format!("$$y = {}x{}$$", open.repeat(count), close.repeat(count));
    let files = [
        nested("(", ")", 100),
        nested("(", ")", 100_000),
        nested("\\frac{1}{", "}", 500),
        nested("d(", ")", 1000),
        nested("\\hat{", "}", 1000),
        nested("|", "|", 500),
        nested("\\begin{cases} ", "& k = j \\end{cases}", 300),
        format!("y = {}z", "d/dz ".repeat(800)),
        format!("y = x{}", " x".repeat(4000)),
        format!("y = x{}\ny = 1", "^9".repeat(50)),
        format!("y = {}x\ny = 2", ('a'..='h').map(|c| format!("sum_{{{c}=1}}^64 ")).collect::<String>()),
        format!("a0 = x\n{}a899 = 2", (1..900).map(|i| format!("a{i} = a{} a{}\n", i - 1, i - 1)).collect::<String>()),
        format!("f(x) = x^2\ng(x) = {}x{}\ng(2) = 1", "f(".repeat(40), ")".repeat(40)),
        "y = prod_{i=1}^64 prod_{j=1}^64 prod_{k=1}^64 x\n".repeat(300),
        "\\begin{align}".repeat(1000),
        "$$".repeat(1001),
        "x".repeat(2 << 20),
        "y = e^e^e^e^e^x\ny = 2".into(),
        "y = 1/(x - x)\ny = 2\nln(-z^2) = 1".into(),
    ];
    for file in &files {
        let start: String = file.chars().take(60).collect();
        match Document::parse(file) {
            Err(errors) => assert!(errors.iter().all(|error| !error.message.is_empty()), "{start}"),
            Ok(document) => {
                let report = check(&document, &Options { operations: 300_000, ..Options::default() });
                assert!(!report.to_string().is_empty(), "{start}");
            }
        }
    }
}

#[test]
fn what_cannot_be_decided_says_why() {
    let cases = [
        ("y = 1/(x - x)\ny = 2", "division by zero"),
        ("ln(-z^2) = 1", "logarithm of a number that is not positive"),
        ("r = |x - x|\ndr/dx = 0", "a kink"),
        ("x \\in \\mathbb R^d\nx + 1 = 2", "a number meets a vector"),
        ("y = x\nd^2/dx dx (d/dx (x^5)) = 60 x^2", "more than two derivatives"),
        ("y = sum_{i=1}^64 sum_{j=1}^64 sum_{k=1}^64 sum_{l=1}^64 x\ny = 2", "too many operations"),
    ];
    for (text, expected) in cases {
        let document = Document::parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        let report = check(&document, &Options::default());
        let verdict = &report.lines.last().expect("a line").steps.last().expect("a step").verdict;
        let said = report.to_string();
        assert!(said.contains(expected) && !matches!(verdict, Verdict::Holds), "{text}: {said}");
    }
}

/// Files with random mistakes of typing are read, or refused in a sentence.
#[test]
fn damaged_files_end_in_a_sentence() {
    let seeds = [
        include_str!("../configs/softmax.md"),
        include_str!("../configs/linear.md"),
        include_str!("../assets/templates/l2.md"),
        "x \\in \\mathbb R^d\nW \\in \\mathbb R^{d \\times K}\nz = W^\\top x\n|z_1| = max(z_1, -z_1)\nf(u) = u^2\nf(3) = 9\n",
    ];
    let pieces = [
        "$", "$$", "{", "}", "(", ")", "_", "^", "=", "\\frac", "\\sum_k", "d", "/", "|", "\\", "é", "[", "k", "(n)",
        ",", "\n",
    ];
    let mut state = 1u64;
    let mut random = move |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let rounds = std::env::var("DERIVE_TRUST").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(400);
    let mut read = 0;
    for round in 0..rounds {
        let mut characters: Vec<char> = seeds[round % seeds.len()].chars().collect();
        for _ in 0..1 + random(3) {
            let place = random(characters.len());
            match random(3) {
                0 => drop(characters.remove(place)),
                1 => drop(characters.splice(place..place, pieces[random(pieces.len())].chars())),
                _ => drop(characters.splice(place..(place + 5).min(characters.len()), "".chars())),
            }
        }
        let text: String = characters.into_iter().collect();
        match Document::parse(&text) {
            Ok(document) => {
                read += 1;
                let options = Options { operations: 50_000, explain: round % 8 == 0, ..Options::default() };
                assert!(!check(&document, &options).to_string().is_empty(), "{text}");
            }
            Err(errors) => {
                let is_sentence = |message: &str| !message.is_empty() && !message.contains(char::is_control);
                assert!(errors.iter().all(|error| error.line > 0 && is_sentence(&error.message)), "{text}: {errors:?}");
            }
        }
    }
    assert!(read > rounds / 8 && read < rounds, "{read} of {rounds} were read");
}
