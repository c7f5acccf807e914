//! A written derivation.

use chainrule_derive::{Document, Options, TEMPLATES, check};

use super::assert_one_line;

pub fn seeds() -> Vec<Vec<u8>> {
    let mixed = "x \\in \\mathbb R^d\nz = sum_j x_j w_j + b\np = \\frac{1}{1 + e^{-z}}\nC = -(y ln p + (1 - y) ln(1 - p))\n\
                 J = \\frac1N \\sum_{n=1}^N C^{(n)}\ndC/dw_j = (p - y) x_j = dC/dz dz/dw_j\nN > 0\n\
                 $$\\frac{\\partial J}{\\partial w} = 0, \\quad [j = k] = \\delta_{jk} \\tag{3}$$\n\
                 f(u) = |u|^2 if j = k, 0 otherwise\n";
    let templates = TEMPLATES.iter().map(|template| template.text.as_bytes().to_vec());
    templates.chain([mixed.as_bytes().to_vec()]).collect()
}

pub fn check_bytes(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match Document::parse(text) {
        Ok(document) => {
            let report = check(&document, &Options { operations: 20_000, ..Options::default() });
            // The report is for a terminal: no character of the file controls it.
            assert!(!report.to_text(false).contains(|c: char| c.is_control() && c != '\n'));
            assert!(!report.to_html("A page").contains(|c: char| c.is_control() && c != '\n'));
            document.unread().iter().for_each(|error| assert_one_line(&error.to_string()));
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert_one_line(&error.to_string());
            }
        }
    }
}
