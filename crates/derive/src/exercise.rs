//! A report as a page with an exercise: a form in which a reader types steps that are checked at
//! once, by this checker as WebAssembly (`examples/exercise.rs`).

use crate::document::Document;
use crate::html::escape;
use crate::report::{Report, Verdict};

/// The checker, made by `cargo xtask exercise`.
const CHECKER: &[u8] = include_bytes!("../assets/exercise.wasm.gz");
const WORKER: &str = include_str!("../assets/exercise-worker.js");
const SCRIPT: &str = include_str!("../assets/exercise.js");

/// The content security policy: scripts and workers of the page only, and nothing from a network.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; worker-src blob:";

impl Report {
    /// Writes the report as [`to_html`](Self::to_html) does, and below it a form that checks steps
    /// while they are typed, under the definitions and assumptions of the document. The page has
    /// the checker in it and needs no network. `title` is plain text.
    ///
    /// The form begins with the first left side that is still to be derived.
    pub fn to_exercise_html(&self, title: &str, document: &Document) -> String {
        let text = document.parts.first().map_or("", |part| &part.text);
        let scopes: Vec<String> = document.parts.iter().filter_map(|part| part.scope.as_deref()).map(escape).collect();
        // The last scope is where a page ends.
        let choices: String = scopes.iter().rev().map(|scope| format!("<option>{scope}</option>")).collect();
        let scope = match scopes.len() {
            0 => String::new(),
            _ => format!(
                "<p><label for=\"exercise-scope\">Definitions of</label> \
                 <select id=\"exercise-scope\">{choices}</select></p>\n"
            ),
        };
        let is_missing = |verdict: &Verdict| *verdict == Verdict::Missing;
        let missing = self.lines.iter().find(|line| line.steps.iter().any(|step| is_missing(&step.verdict)));
        let begun = missing.map(|line| format!("{} = ", escape(&line.left))).unwrap_or_default();
        // A browser leaves out the line feed after <textarea> and <pre>.
        let form = format!(
            "<section aria-labelledby=\"exercise-title\">\n<h2 id=\"exercise-title\">Check your own steps</h2>\n\
             <form id=\"exercise\">\n{scope}\
             <p><label for=\"exercise-steps\">Steps, one a line, in LaTeX or plain notation. \
             The definitions and assumptions above hold for them.</label></p>\n\
             <textarea id=\"exercise-steps\" rows=\"4\" spellcheck=\"false\" autocomplete=\"off\" autocapitalize=\"off\">\n{begun}</textarea>\n\
             <p><button>Check</button></p>\n</form>\n\
             <div id=\"exercise-answer\" role=\"status\">\n<p id=\"exercise-summary\"></p>\n<ol id=\"exercise-lines\"></ol>\n</div>\n\
             <noscript><p>The check of steps needs JavaScript.</p></noscript>\n</section>\n\
             <pre id=\"exercise-page\" hidden>\n{}</pre>\n\
             <script type=\"text/plain\" id=\"checker\">{}</script>\n\
             <script type=\"text/plain\" id=\"exercise-worker\">\n{WORKER}</script>\n\
             <script>\n{SCRIPT}</script>\n",
            escape(text),
            base85(CHECKER),
        );
        self.page(title, POLICY, &form)
    }
}

/// Writes four bytes as five characters, so that a page is a sixteenth smaller than with base64.
/// The digits are the characters from `(` to `~` but for `<` and the backslash, which mean nothing
/// inside of a script. The last characters stand for as many bytes less one.
fn base85(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / 4 * 5 + 5);
    for chunk in bytes.chunks(4) {
        let mut padded = [0; 4];
        padded[..chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes(padded);
        for place in (0..5).rev().take(chunk.len() + 1) {
            let digit = number / 85u32.pow(place) % 85;
            // `(` is 40, `<` is 60 and the backslash 92.
            let code = 40 + digit + u32::from(digit >= 20) + u32::from(digit >= 51);
            text.extend(char::from_u32(code));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base85;

    /// The other half is in `exercise.js`, which the test of the page in a browser runs.
    #[test]
    fn bytes_become_characters_that_end_no_script() {
        assert_eq!(base85(&[]), "");
        assert_eq!(base85(&[0]), "((");
        assert_eq!(base85(&[0, 0, 0, 0, 255]), "((((({{");
        let all: Vec<u8> = (0..=255).cycle().take(85 * 64).collect();
        let text = base85(&all);
        assert_eq!(text.len(), all.len() / 4 * 5);
        assert!(text.bytes().all(|c| (b'('..=b'~').contains(&c) && c != b'<' && c != b'\\'), "{text}");
    }
}
