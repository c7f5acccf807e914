//! What is read, and what is said about the rest.

use chainrule_derive::{Document, Options, Verdict, check};

#[test]
fn errors_say_where_and_what_was_expected() {
    let cases = [
        ("$$p = \\sigm(z)$$", "line 1, column 7: unknown command `\\sigm`; did you mean `\\sigma`?"),
        ("\n\np = sigm(z)", "line 3, column 5: unknown function `sigm`; did you mean `\\sigma`?"),
        ("W \\in \\mathbb R^{K \\times d}\nx, b \\in \\mathbb R^d\nz = Wx + b", "line 3, column 5: unknown name `Wx`"),
        ("loss = x^2\nz = 3 lss", "line 2, column 7: unknown name `lss`; did you mean `loss`?"),
        ("y = (x + 1", "line 1, column 11: expected `)`, but the formula ends"),
        ("y = x +", "line 1, column 8: expected a number, a name or `(`, but the formula ends"),
        ("y = x_{2+i} z", "line 1, column 9: an index is a letter, a letter plus or minus a number, or a number"),
        ("y = x_{k_1} z", "line 1, column 8: `k` is an index itself; take another letter for this one"),
        ("y = sum_{i=0}^d x_i", "line 1, column 5: a sum goes from 1 to K or from 0 to K - 1"),
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
        (
            "$$\\frac{\\partial y}{\\partial z^2} = x$$",
            "line 1, column 31: a derivative is by a name; give this power of `z` its own, like `v`",
        ),
        ("y = dx z", "line 1, column 5: `dx` is no derivative; write a product of d and x as `d x`"),
    ];
    for (text, expected) in cases {
        let errors = match Document::parse(text) {
            Ok(document) => document.unread().to_vec(),
            Err(errors) => errors,
        };
        assert!(!errors.is_empty(), "{text} was read");
        let said = errors.iter().any(|error| error.to_string().starts_with(expected));
        assert!(said, "{text}:\n{}\n{expected}", errors[0]);
    }
}

/// A formula that cannot be read does not hide the others, and what may depend on it is not judged.
#[test]
fn a_formula_that_cannot_be_read_leaves_the_others() {
    let check = |text: &str| check(&Document::parse(text).expect("formulas"), &Options::default());
    let report = check(
        "z = w x + b\n$$p = \\sigm(z)$$\n= 1\ndp/dz = 0\ndz/dw = x\ndz/db = 2\n$$\\frac{\\partial z}{\\partial x} = \\foo$$\ndz/dx = w\n",
    );
    let verdicts: Vec<String> = report
        .lines
        .iter()
        .flat_map(|line| line.steps.iter().map(|step| (line.line, &step.verdict)))
        .map(|(line, verdict)| match verdict {
            Verdict::NotRead { column, reason } => format!("{line}:{column} {reason}"),
            Verdict::Undecided { reason } => format!("{line} {reason}"),
            Verdict::Wrong { .. } => format!("{line} wrong"),
            verdict => format!("{line} {verdict:?}"),
        })
        .collect();
    let expected = [
        "1 Definition",
        "2:7 unknown command `\\sigm`; did you mean `\\sigma`?",
        "3:1 this line continues one that was not read",
        "4 line 2, which was not read, may say what `p` is",
        "5 Holds",
        "6 wrong",
        "7:35 unknown command `\\foo`",
        // The derivative on line 7 defines nothing.
        "8 Holds",
    ];
    assert_eq!(verdicts, expected, "{report}");
    assert!(report.to_string().contains("not read: line 2, column 7: unknown command"), "{report}");
    // Without its assumption, this claim would be wrong.
    let report = check("$$\\summ_k y_k = 1$$\n\\sum_k y_k x_k = \\sum_k y_k x_k \\sum_i y_i\n");
    assert!(matches!(report.lines[1].steps[0].verdict, Verdict::Undecided { .. }), "{report}");
    // A definition whose types do not fit is left out too.
    let report = check("p = z_k\ndp/dz = 0\n2 + 2 = 4\n");
    let expected = |verdict: &Verdict, place| match place {
        0 => matches!(verdict, Verdict::NotRead { .. }),
        1 => matches!(verdict, Verdict::Undecided { .. }),
        _ => *verdict == Verdict::Holds,
    };
    assert!(report.lines.iter().enumerate().all(|(place, l)| expected(&l.steps[0].verdict, place)), "{report}");
}

/// Scopes are documents of their own, and a comment says what is not checked.
#[test]
fn comments_name_scopes_and_what_is_not_checked() {
    let text = "u = 2\n<!-- scope: a -->\nv = u + 1\n<!-- scope: b from a -->\nv = 3\nw = 2 v\n<!-- scope: c -->\nv = 5\nu = 2\n\
                <!-- scope: b -->\n$w = 7$ and <!-- not checked: by hand (test `a`) -->\n$w < \\foo \\tag{4}$\n<!-- scope: a -->\nw = 1\n";
    let document = Document::parse(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let report = check(&document, &Options::default());
    let lines: Vec<(usize, &str)> = report.lines.iter().map(|line| (line.line, line.left.as_str())).collect();
    let expected =
        [(1, "u"), (3, "v"), (5, "v"), (6, "w"), (8, "v"), (9, "u"), (11, "w"), (12, "w < \\foo \\tag{4}"), (14, "w")];
    assert_eq!(lines, expected, "{report}");
    let verdicts: Vec<&Verdict> = report.lines.iter().map(|line| &line.steps[0].verdict).collect();
    use Verdict::{Definition, Holds};
    assert_eq!(verdicts[..6], [&Definition, &Definition, &Holds, &Definition, &Definition, &Holds], "{report}");
    assert!(matches!(verdicts[6], Verdict::Wrong { .. }) && report.first_wrong == Some(6), "{report}");
    assert_eq!(*verdicts[7], Verdict::NotChecked { reason: "by hand (test `a`)".into() });
    assert_eq!((report.lines[7].label.as_deref(), verdicts[8]), (Some("4"), &Definition));
    let cases = [
        ("<!-- scope: a from b -->", "line 1, column 1: no scope `b` comes before"),
        ("<!-- scope: a -->\n<!-- scope: a from a -->", "line 2, column 1: the scope `a` exists already"),
        ("a = 1\n<!-- not checked: x -->\n$a$\n", "line 2, column 1: no formula with a relation follows"),
    ];
    for (text, expected) in cases {
        let errors = Document::parse(text).err().unwrap_or_else(|| panic!("{text} was read"));
        assert!(errors[0].to_string().starts_with(expected), "{}", errors[0]);
    }
}

/// Indices that are values, sums of a letter and a number, and more than two of them.
#[test]
fn indices_can_be_values_and_sums() {
    let text = "L = 1/N sum_{n=1}^N \\omega_{c^{(n)}} (y^{(n)} - u)^2\n\
                dL/du = 1/N \\sum_n 2 \\omega_{c^{(n)}} (u - y^{(n)})\n\
                dL/d\\omega_k = 1/N \\sum_n [k = c^{(n)}] (u - y^{(n)})^2\n\
                V = \\sum_{i=1}^{d-1} (x_{i+1} - x_i)^2\n\
                dV/dx_i = 2 (x_i - x[i-1]) - 2 (x_{i+1} - x_i)\n\
                \\sum_{i=2}^{d} (x_i - x_{i-1})^2 = V\n\
                T_{ijk} = a_i b_j q_k\n\
                dT_{ijk}/da_l = \\delta_{il} b_j q_k\n\
                \\sum_{i,j,k} T_{ijk} = \\sum_i a_i \\sum_j b_j \\sum_k q_k\n";
    let document = Document::parse(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let report = check(&document, &Options::default());
    let wrong = |verdict: &Verdict| !matches!(verdict, Verdict::Holds | Verdict::Definition);
    assert!(!report.lines.iter().flat_map(|line| &line.steps).any(|step| wrong(&step.verdict)), "{report}");
    let cases = [
        ("dL/du = 1/N \\sum_n 2 \\omega_{c^{(1)}} (u - y^{(n)})", "wrong"),
        ("\\sum_{i=1}^{d} (x_{i+1} - x_i) = 0", "the index `i+1` past the first or last"),
        ("\\sum_{i=1}^{d} (x_{i-1} - x_i) = 0", "the index `i-1` past the first or last"),
        ("T_{ijk} = T_{jik}", "the indices i and j are swapped"),
        ("\\sum_{i=1}^{d-1} x_i^2 = \\sum_{i=1}^{d} x_i^2", "wrong"),
    ];
    for (claim, expected) in cases {
        let document = Document::parse(&format!("{text}{claim}\n")).unwrap_or_else(|errors| panic!("{errors:?}"));
        let report = check(&document, &Options::default());
        assert!(report.to_string().contains(expected), "{claim}: {report}");
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
                assert!(!report.to_string().is_empty() && !report.to_html("A page").is_empty(), "{start}");
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
        "<!-- scope: a -->\n$x \\in \\{0, 1\\}$\n<!-- scope: b from a -->\n<!-- not checked: no -->\n$$\\lVert a \\rVert \\le \\frac{1}{b_{c^{(n)}}} \\tag{1}$$\nu_i = v_{i+1}\n\\frac{\\partial u_i}{\\partial v}[s] = s_{i+1}\n0 < p < 1\n",
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
    let rounds = std::env::var("DERIVE_TRUST").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(250);
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
                let report = check(&document, &options);
                assert!(!report.to_string().is_empty(), "{text}");
                let page = report.to_html("A page");
                assert!(!page.contains(|c: char| c.is_control() && c != '\n'), "{text}");
            }
            Err(errors) => {
                let is_sentence = |message: &str| !message.is_empty() && !message.contains(char::is_control);
                assert!(errors.iter().all(|error| error.line > 0 && is_sentence(&error.message)), "{text}: {errors:?}");
            }
        }
    }
    assert!(read > rounds / 8 && read < rounds, "{read} of {rounds} were read");
}
