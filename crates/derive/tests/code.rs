//! Derivations as code. The tests of `chainrule-gradcheck` compile and run what is committed.

use chainrule_derive::{Code, Document, Options, check, code};

fn written(text: &str, title: &str) -> Code {
    let document = Document::parse(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    code(&document, &check(&document, &Options::default()), title)
}

/// To renew the files, run this test with `RENEW=1` in the environment, then `cargo fmt --check`
/// and the tests of `chainrule-gradcheck`.
#[test]
fn committed_code_is_what_is_written() {
    let folder = env!("CARGO_MANIFEST_DIR");
    for (name, claims) in [("logistic", 9), ("softmax", 6), ("mlp", 8), ("layer-norm", 7), ("attention", 4)] {
        let source = std::fs::read_to_string(format!("{folder}/configs/{name}.md")).expect("the derivation");
        let code = written(&source, &format!("{name}.md"));
        let path = format!("{folder}/../gradcheck/tests/derived/{}.rs", name.replace('-', "_"));
        if std::env::var_os("RENEW").is_some() {
            std::fs::write(&path, &code.text).expect("the folder");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
        assert!(committed == code.text, "{path} is not what is written now; renew it with RENEW=1");
        assert_eq!(code.claims, claims, "{name}");
    }
}

/// Asserts the function of the last line, or why it has none.
fn check_last(text: &str, expected: &str) {
    let code = written(text, "test.md");
    let left_out: Vec<&str> = code.left_out.iter().map(|left_out| left_out.reason.as_str()).collect();
    assert!(code.text.contains(expected) || left_out.contains(&expected), "{expected}\n{left_out:?}\n{}", code.text);
    assert!(!code.text.contains(['\u{1}', '\u{2}', '\u{3}']), "{}", code.text);
}

const MODEL: &str = "z_k = sum_j x_j w_jk + b_k\np_k = e^{z_k} / sum_i e^{z_i}\nC = -sum_k y_k ln p_k\nsum_k y_k = 1\n";

#[test]
fn products_with_a_sum_are_matrix_products() {
    for (text, expected) in [
        ("z_k = sum_j w_kj x_j\ndz_k/dx_j = w_kj\n", "w.matmul(x.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1)"),
        ("a_ik = sum_j u_ij v_jk\nda_ik/du_ij = v_jk\n", "    u.matmul(v)\n"),
        ("a_ik = sum_j u_ji v_kj\nda_ik/du_ji = v_kj\n", "u.transpose().matmul(v.transpose())"),
        ("s = sum_j u_j v_j\nds/du_j = v_j\n", "(u * v).sum()"),
        ("s = sum_{i,j} u_ij^2\nds/du_ij = 2 u_ij\n", "u.square().sum()"),
        ("$a \\in \\mathbb R^d$\n$s = a^\\top M a$\n$\\nabla_a s = (M + M^\\top) a$\n", "(m.clone() + m.transpose())"),
    ] {
        check_last(text, expected);
    }
}

#[test]
fn what_has_no_code_is_named() {
    for (line, reason) in [
        ("dC/dz_k = y_k - p_k", "it has a wrong step"),
        ("dC/dz_k = ?", "it is still to be derived"),
        ("dC/dw_jk = dC/dz_k x_j", "its last member has derivatives"),
        ("d^2 C/dz_j dz_k = p_k ([j = k] - p_j)", "it is a second derivative"),
        ("dp_k/dz_j = -p_k p_j if k != j", "it is for k ≠ j only"),
        ("sum_{i != k} p_i = 1 - p_k", "its left side is no derivative"),
        ("dC/dz_k dz_k/db_k = p_k - y_k", "its left side is no derivative"),
        ("dp_k/dx_1 = p_k (w_1k - sum_i p_i w_1i)", "x_1 has the index 1, which is no letter"),
        ("dz_k/dy_j = 0", "it is zero everywhere"),
    ] {
        check_last(&format!("{MODEL}{line}\n"), reason);
    }
    check_last("$V = \\sum_{i=1}^{d-1} q_i q_{i+1}$\n", "a sum over i leaves out values");
}

#[test]
fn odd_names_become_identifiers() {
    for (text, expected) in [
        ("type = move x\nmove > 0\nd type/dx = move\n", "pub fn type_2(move_2: Tensor<1>, x: Tensor<1>)"),
        (
            "$\\hat\\lambda = \\sigma' \\mu$\n$\\frac{\\partial \\hat\\lambda}{\\partial \\mu} = \\sigma'$\n",
            "lambda_hat",
        ),
        ("$W = w^2$\n$\\frac{\\partial W}{\\partial w} = 2 w$\n", "pub fn d_big_w_d_w(w: Tensor<1>) -> Tensor<1>"),
        ("$z_0 = x_0 w$\n$\\frac{\\partial z_0}{\\partial w} = x_0$\n", "pub fn d_z_0_d_w(x_0: Tensor<1>)"),
        ("loss = tests^2\ntests > 0\nd loss/d tests = 2 tests\n", "tests_2"),
    ] {
        check_last(text, expected);
    }
}

/// A literal before a method has a type, which Rust would not find.
#[test]
fn literals_have_types() {
    for (text, expected) in [
        ("L = sum_i 2^{u_i}\ndL/du_i = 2^{u_i} ln 2\n", "(u * 2.0_f64.ln()).exp() * 2.0_f64.ln()"),
        ("L = sum_i ln(1 + u_i^2)\ndL/du_i = 2 u_i/(1 + u_i^2)\n", "(1.0_f64 + u.square()).log().sum()"),
        ("L = u 10^20\ndL/du = 10^20\n", "Tensor::full([1], 10.0_f64.powf(20.0), (&u.device(), u.dtype()))"),
    ] {
        check_last(text, expected);
    }
}
