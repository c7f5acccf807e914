//! Submissions, compared with what was asked.

use chainrule_derive::{Answer, Document, Exercise, Options, Submission, TEMPLATES, Verdict};

const ASKED: &str = "$$z_k = \\sum_{j=1}^d w_{kj} x_j + b_k, \\qquad p_k = \\frac{e^{z_k}}{\\sum_{i=1}^K e^{z_i}}$$\n\
                     C = -sum_k y_k ln p_k\nsum_k y_k = 1\n$y_k \\in \\{0, 1\\}$, a > 0\n\
                     dC/dz_k = p_k - y_k\ndC/dw_kj = dC/dz_k x_j = (p_k - y_k) x_j\ndp_k/dz_j = -p_k p_j if k != j\n";

fn submit(asked: &str, text: &str) -> Submission {
    let document = Document::parse(asked).unwrap_or_else(|errors| panic!("{errors:?}"));
    let exercise = Exercise::new(&document).unwrap_or_else(|message| panic!("{message}"));
    exercise.check(text, &Options::default()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

#[test]
fn each_claim_that_is_asked_has_an_answer() {
    use Answer::{Holds, Missing, Undecided, Unfinished, Wrong};
    let cases: [(&str, [Answer; 3]); 12] = [
        (ASKED, [Holds, Holds, Holds]),
        // Other letters of the indices, and nothing defined again.
        ("dC/dz_i = p_i - y_i\ndC/dw_lm = x_m (p_l - y_l)\ndp_i/dz_k = -p_i p_k if i != k\n", [Holds, Holds, Holds]),
        ("dC/dz_k = p_k - y_k\ndC/dw_jk = (p_j - y_j) x_k\n", [Holds, Holds, Missing]),
        ("dC/dz_k = ?\ndC/dw_kj = (p_k - y_k) x_j^2\n", [Missing, Wrong, Missing]),
        ("dC/dz_k = dC/dz_k\ndC/dw_kj = dC/dz_k x_j\n", [Unfinished, Unfinished, Missing]),
        // A name that hides the derivative.
        ("g_k = dC/dz_k\ndC/dz_k = g_k\n", [Unfinished, Missing, Missing]),
        ("dC/dz_k = dC/dz_k\ndC/dz_k = p_k - y_k\n", [Holds, Missing, Missing]),
        ("dC/dz_k = p_k - y_k\ndC/dz_k = y_k\n", [Wrong, Missing, Missing]),
        // Another cost does not make it easier.
        ("C = 0\ndC/dz_k = 0\n", [Wrong, Missing, Missing]),
        ("dC/dz_k = 1/(x_j - x_j)\n", [Undecided, Missing, Missing]),
        ("dC/dz_k = p_k - y_k\n$$dp_k/dx_j = \\foo$$\n", [Holds, Missing, Missing]),
        ("dp_k/dz_j = p_k p_j if k != j\n", [Missing, Missing, Wrong]),
    ];
    for (text, expected) in cases {
        let submission = submit(ASKED, text);
        assert_eq!(submission.answers, expected, "{text}\n{}", submission.report);
        assert_eq!(submission.is_right(), expected == [Holds; 3], "{text}\n{}", submission.report);
    }
}

/// Lines are those of the submission.
#[test]
fn a_submission_keeps_its_lines() {
    let submission = submit(ASKED, "Mine:\n\ndC/dz_k = y_k\n$$p_k = \\foo$$\nC = 1\n");
    let lines: Vec<usize> = submission.report.lines.iter().map(|line| line.line).collect();
    assert_eq!((lines, submission.report.first_wrong), (vec![3, 4, 5], Some(0)));
    assert_eq!((submission.unread[0].line, submission.unread[0].column), (4, 9));
    assert!(matches!(submission.report.lines[2].steps[0].verdict, Verdict::Wrong { .. }));
}

/// A template asks what the derivations of the project answer.
#[test]
fn a_template_can_be_asked() {
    for template in TEMPLATES {
        let document = Document::parse(template.text).unwrap_or_else(|errors| panic!("{errors:?}"));
        let exercise = Exercise::new(&document).unwrap_or_else(|message| panic!("{}: {message}", template.name));
        let own = exercise.check(template.text, &Options::default()).expect("a template");
        assert!(exercise.asked().len() >= 3 && own.report.is_right(), "{}", own.report);
        assert!(own.answers.iter().all(|answer| *answer == Answer::Missing), "{:?}", own.answers);
    }
    let refused = |text: &str| {
        let document = Document::parse(text).expect("formulas");
        Exercise::new(&document).err().unwrap_or_default()
    };
    assert_eq!(refused("z = 1\n"), "nothing is asked: there is no claim");
    assert_eq!(refused("<!-- scope: a -->\nz = 1\n"), "what is asked cannot have scopes");
    assert!(refused("$$z = \\foo$$").starts_with("line 1, column 7"));
}
