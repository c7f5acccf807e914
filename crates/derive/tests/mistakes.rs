//! Each kind of mistake is planted in several derivations, and must be named.

use chainrule_derive::{Document, Mistake, Options, Verdict, check};

const LOGISTIC: &str = "z = sum_j x_j w_j + b\np = 1/(1 + e^-z)\nC = -(y ln p + (1 - y) ln(1 - p))\n";

const BATCH: &str = "z = sum_j x_j w_j + b\np = sigma(z)\nC^(n) = -(y^(n) ln p^(n) + (1 - y^(n)) ln(1 - p^(n)))\n\
                     C = 1/N sum_{n=1}^N C^(n)\nX_nj = x_j^(n)\nr_n = p^(n) - y^(n)\n";

const SOFTMAX: &str = "z_k = sum_j w_jk x_j + b_k\np_k = e^(z_k) / sum_i e^(z_i)\nC = -sum_{k=1}^K y_k ln p_k\n\
                       sum_k y_k = 1\nR = 1/2 sum_{j,k} w_jk^2\nJ = C + lambda R\n";

const LINEAR: &str =
    "f = sum_j x_j w_j + b\nE = 1/(2 N) sum_n (f^(n) - y^(n))^2\nX_nj = x_j^(n)\nr_n = f^(n) - y^(n)\n";

const NETWORK: &str = "a_i = sum_j V_ij x_j\nh_i = tanh(a_i)\nf = sum_i u_i h_i\nE = 1/2 (f - y)^2\n";

/// Checks a model and a claim. Returns the verdict on the claim's last step.
fn verdict(model: &str, claim: &str) -> Verdict {
    let text = format!("{model}\n{claim}\n");
    let document = Document::parse(&text).unwrap_or_else(|errors| panic!("{claim}: {}", errors[0]));
    let report = check(&document, &Options::default());
    let line = report.lines.last().expect("a line");
    line.steps.last().expect("a step").verdict.clone()
}

fn kind(model: &str, claim: &str) -> Option<Mistake> {
    match verdict(model, claim) {
        Verdict::Wrong { kind, .. } => kind,
        other => panic!("{claim}: {other:?}"),
    }
}

/// Asserts the text of the mistake in each claim.
fn check_kinds(cases: &[(&str, &str, &str)]) {
    for (model, claim, expected) in cases {
        let text = kind(model, claim).map(|kind| kind.to_string()).unwrap_or_else(|| "none".into());
        assert!(text.contains(expected), "{claim}: {text}, not {expected}");
    }
}

#[test]
fn signs_and_factors_are_named() {
    check_kinds(&[
        (LOGISTIC, "dC/dw_j = -(p - y) x_j", "sign"),
        (SOFTMAX, "dC/dz_k = -p_k + y_k", "sign"),
        (LINEAR, "dE/dw = -1/N X^T r", "sign"),
        (LOGISTIC, "dp/dz = 2 p (1 - p)", "2 times"),
        (LINEAR, "dE/db = 2/N sum_n (f^(n) - y^(n))", "2 times"),
        (LINEAR, "dE/db = 1/(2 N) sum_n (f^(n) - y^(n))", "1/2 times"),
        (SOFTMAX, "dR/dw_jk = 2 w_jk", "2 times"),
        (SOFTMAX, "dC/dz_k = 1/K (p_k - y_k)", "1/K times"),
        (SOFTMAX, "dC/dw_jk = K x_j (p_k - y_k)", "K times"),
        (SOFTMAX, "dR/dw_jk = lambda w_jk", "λ times"),
        (NETWORK, "dE/du_i = -3 (f - y) h_i", "-3 times"),
        ("R = 1/2 sum_j w_j^2\nP = lambda R\n", "dP/dw_j = w_j", "1/λ times"),
        (BATCH, "dC/dw_j = sum_n (p^(n) - y^(n)) x_j^(n)", "sum over the rows where their mean"),
        (LINEAR, "dE/dw = X^T r", "sum over the rows where their mean"),
        (BATCH, "dC/db = 1/N^2 sum_n (p^(n) - y^(n))", "mean over the rows where their sum"),
    ]);
}

#[test]
fn the_sign_of_one_term_is_named() {
    check_kinds(&[
        (LOGISTIC, "dC/dp = -y/p - (1 - y)/(1 - p)", "the sign of the term (1 - y)/(1 - p) is flipped"),
        (LOGISTIC, "dC/dp = y/p + (1 - y)/(1 - p)", "the sign of the term y/p is flipped"),
        (SOFTMAX, "dC/dz_k = p_k + y_k", "the sign of the term y_k is flipped"),
        (NETWORK, "dE/da_i = (f - y) u_i (1 + h_i^2)", "the sign of the term h_i^(2) is flipped"),
        (NETWORK, "dE/da_i = (f + y) u_i (1 + h_i^2)", "none"),
    ]);
}

#[test]
fn transposed_and_swapped_sides_are_named() {
    check_kinds(&[
        (LINEAR, "X^T X = X X^T", "none"),
        (SOFTMAX, r"\frac{\partial C}{\partial w} = (p - y) x^\top", "transposed"),
        (NETWORK, r"\frac{\partial E}{\partial V} = (f - y) x (u \circ (\mathbf{1} - h \circ h))^\top", "transposed"),
        (LOGISTIC, "dC/dp = (p - y)/(y (1 - y))", "p and y are swapped"),
        (LOGISTIC, "dC/dw_j = (y - p) x_j", "y and p are swapped"),
        (SOFTMAX, "dC/dz_k = y_k - p_k", "y and p are swapped"),
        (LINEAR, "dE/db = 1/N sum_n (y^(n) - f^(n))", "y and f are swapped"),
        (SOFTMAX, "dC/dp_k = -p_k / y_k", "p and y are swapped"),
        (NETWORK, "dE/du_i = (h_i - y) f", "none"),
        (SOFTMAX, "dC/dw_jk = x_k (p_j - y_j)", "j and k are swapped"),
        (NETWORK, "dE/dV_ij = (f - y) u_j (1 - h_j^2) x_i", "i and j are swapped"),
        (SOFTMAX, "dz_k/dx_j = w_kj", "j and k are swapped"),
    ]);
}

#[test]
fn mistakes_of_the_chain_rule_are_named() {
    check_kinds(&[
        (LOGISTIC, "dC/dw_j = p - y", "∂z/∂w_j is missing"),
        (LOGISTIC, "dC/dw_j = dC/dp dz/dw_j", "∂p/∂z is missing"),
        ("p = sigma(w x)\nC = -(y ln p + (1 - y) ln(1 - p))\nu = w x\n", "dC/dw = p - y", "∂u/∂w is missing"),
        (NETWORK, "dE/dV_ij = (f - y) u_i x_j", "∂h_i/∂a_i is missing"),
        (SOFTMAX, "dC/dw_jk = p_k - y_k", "∂z_k/∂w_{jk} is missing"),
        (BATCH, "dC/dw_j = 1/N sum_n (p^(n) - y^(n))", "∂z^(n)/∂w_j is missing"),
        (LOGISTIC, "dC/dz = (p - y)/(p (1 - p))", "this is ∂C/∂p"),
        (SOFTMAX, "dC/dz_k = -y_k / p_k", "this is ∂C/∂p_k"),
        (NETWORK, "dE/da_i = (f - y) u_i", "this is ∂E/∂h_i"),
        (SOFTMAX, "dp_k/dz_j = p_k (1 - p_k)", "holds for"),
        (SOFTMAX, "dp_k/dz_j = p_k (1 - p_j)", "holds for"),
        (NETWORK, "dh_i/da_j = 1 - h_i^2", "holds for"),
        (SOFTMAX, "dC/dz_k = dC/dp_k dp_k/dz_k", "one term of a sum"),
        (SOFTMAX, "dC/dw_jk = dC/dp_k dp_k/dz_k dz_k/dw_jk", "one term of a sum"),
    ]);
}

#[test]
fn mistakes_of_the_penalty_are_named() {
    check_kinds(&[
        (SOFTMAX, "dJ/dw_jk = x_j (p_k - y_k)", "λ w_{jk} is missing"),
        (SOFTMAX, "dJ/db_k = p_k - y_k + lambda b_k", "λ b_k penalises"),
        (SOFTMAX, "dJ/dw_jk = x_j (p_k - y_k) + lambda/2 w_jk", "λ w_{jk}/2 is missing"),
        (SOFTMAX, "J = C + lambda/2 (sum_{j,k} w_jk^2 + sum_k b_k^2)", "λ ‖b‖²/2 penalises"),
        (LOGISTIC, "C = -(y ln p + (1 - y) ln(1 - p)) + a b^2", "a b² penalises"),
        (
            "f = sum_j x_j w_j + b\nJ = (f - y)^2 + lambda/2 (sum_j w_j^2 + b^2)\n",
            "J = (f - y)^2 + lambda/2 sum_j w_j^2",
            "λ b²/2 is missing",
        ),
    ]);
}

/// A mistake of no known kind is just wrong.
#[test]
fn other_mistakes_have_no_kind() {
    check_kinds(&[
        (LOGISTIC, "dC/dw_j = (p - y^2/3) x_j", "none"),
        (LOGISTIC, "dp/dz = z^2", "none"),
        (SOFTMAX, "dC/dz_k = p_k - y_k^3/7", "none"),
    ]);
}

#[test]
fn the_first_wrong_step_is_told_apart_from_what_follows() {
    let text = format!(
        "{LOGISTIC}dC/dp = (y - p)/(p (1 - p))\ndC/dz = dC/dp dp/dz = (y - p)/(p (1 - p)) p (1 - p) = y - p\n\
         dC/dw_j = (y - p) x_j = -(y - p) x_j\ndC/db = (p - y)^2"
    );
    let document = Document::parse(&text).expect("a document");
    let report = check(&document, &Options::default());
    let marks: Vec<String> = report.lines[3..]
        .iter()
        .flat_map(|line| &line.steps)
        .map(|step| match &step.verdict {
            Verdict::Holds => "holds".into(),
            Verdict::Wrong { .. } => "wrong".into(),
            Verdict::Follows { from_line } => format!("follows {from_line}"),
            Verdict::RightAgain => "right again".into(),
            other => format!("{other:?}"),
        })
        .collect();
    let expected = ["wrong", "holds", "follows 4", "follows 4", "follows 4", "right again", "wrong"];
    assert_eq!(marks, expected, "{report}");
    assert_eq!(report.first_wrong, Some(3));
}

#[test]
fn assumptions_that_a_step_needs_are_named() {
    let needs = |claim: &str| match verdict(SOFTMAX, claim) {
        Verdict::HoldsUnder { assumptions } => assumptions.join(", "),
        Verdict::Holds => String::new(),
        other => panic!("{claim}: {other:?}"),
    };
    assert_eq!(needs("dC/dz_k = p_k - y_k"), "sum_k y_k = 1");
    assert_eq!(needs("dC/dz_k = p_k sum_i y_i - y_k"), "");
    let positive = "a > 0\n";
    assert!(matches!(verdict(positive, "sqrt(a^2) = a"), Verdict::HoldsUnder { .. }));
    assert!(matches!(verdict("", "sqrt(a^2) = a"), Verdict::Wrong { .. }));
    assert!(matches!(verdict("y in {0, 1}", "y^2 = y"), Verdict::HoldsUnder { .. }));
}

#[test]
fn a_transposed_factor_is_named() {
    let model = "A \\in \\mathbb R^{m \\times d}\nv \\in \\mathbb R^d\nu \\in \\mathbb R^m\nf = u^\\top A v\ng = 1/2 \\|A v - u\\|^2\n";
    check_kinds(&[
        (model, "df/dv = A u", "the factor A is transposed"),
        (model, "df/du = A^\\top v", "the factor A is transposed"),
        (model, "dg/dv = A (A v - u)", "the factor A is transposed"),
    ]);
}

#[test]
fn an_assumption_that_no_line_makes_is_named() {
    let model = "p_k = e^(z_k) / sum_i e^(z_i)\nC = -sum_{k=1}^K y_k ln p_k\n";
    check_kinds(&[
        (model, "dC/dz_k = p_k - y_k", "holds only where \\sum_k y_k = 1, which no line assumes"),
        (model, "dC/dz_k = y_k - p_k", "none"),
    ]);
}

#[test]
fn a_derivative_of_a_sum_without_parentheses_is_named() {
    check_kinds(&[
        ("", "d/dw w^2 + 3 w = 2 w + 3", "write parentheses around the sum"),
        ("", "d/dw 1/2 (w x - y)^2 + lambda w^2 - w = (w x - y) x + 2 lambda w - 1", "write parentheses"),
        ("", "d/dw w^2 + 3 w = 2 w - 3", "none"),
    ]);
}

#[test]
fn a_second_definition_is_named() {
    check_kinds(&[
        ("z = w x\n", "z = w x + b", "line 1 defines z as something else"),
        ("z = w x\n", "z = 2 w x", "2 times"),
        (LOGISTIC, "p = z", "line 2 defines p as something else"),
    ]);
}
