//! Steps that continue a derivation: what a reader types below a page.

use crate::check::{Options, check_from};
use crate::document::Document;
use crate::error::ParseError;
use crate::report::Report;

/// Checks steps that continue a page, such as an answer that a reader types. The page's definitions
/// and assumptions hold for them, its claims do not count.
///
/// The report is on the steps only, and their first line has the number 1.
///
/// # Errors
///
/// As [`Document::parse`].
pub fn check_steps(page: &str, steps: &str, options: &Options<'_>) -> Result<Report, Vec<ParseError>> {
    // The page's line ends and its mark of Unicode are not changed any more when it is read again.
    let page = Document::normalized(page) + "\n\n";
    let lines = page.matches('\n').count();
    let document = Document::parse(&format!("{page}{steps}")).map_err(|errors| {
        let own = |error: ParseError| ParseError { line: error.line.saturating_sub(lines), ..error };
        errors.into_iter().map(own).collect::<Vec<_>>()
    })?;
    let mut report = check_from(&document, options, page.len());
    report.keep_lines_after(lines);
    Ok(report)
}
