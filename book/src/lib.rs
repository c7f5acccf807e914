//! What `docs` needs to become a book: formulas as MathML, which browsers render by themselves, and
//! no links to what is no page.
//!
//! What mdBook offers for formulas is fetched from elsewhere whenever a page is opened; the pages
//! of this book load nothing.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use pulldown_latex::config::DisplayMode;
use pulldown_latex::{RenderConfig, Storage, push_mathml};
use serde_json::Value;
use thiserror::Error;

/// Why a page is not converted.
#[derive(Debug, Error)]
pub enum Error {
    /// A formula that is no LaTeX, or more of it than is known here.
    #[error("{page}: the formula {formula:?}: {problem}")]
    Formula {
        /// The page, from `docs`.
        page: String,
        /// The formula, without its dollars.
        formula: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What mdBook sent is not what a preprocessor gets.
    #[error("this is no book of mdBook 0.5: {0}")]
    Protocol(String),
}

/// Converts what mdBook sends to a preprocessor, `[context, book]`, and gives the book back.
///
/// # Errors
/// Where it is no such pair, or a page has a formula that cannot be read.
pub fn convert_book(sent: &str) -> Result<Value, Error> {
    let sent: Value = serde_json::from_str(sent).map_err(|error| Error::Protocol(error.to_string()))?;
    let Value::Array(mut pair) = sent else { return Err(Error::Protocol("not an array".to_owned())) };
    let Some(mut book) = pair.pop().filter(|_| pair.len() == 1) else {
        return Err(Error::Protocol("not a pair of context and book".to_owned()));
    };
    convert_chapters(&mut book)?;
    Ok(book)
}

/// All chapters, wherever they lie: parts and chapters hold others.
fn convert_chapters(value: &mut Value) -> Result<(), Error> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(convert_chapters),
        Value::Object(fields) => {
            // A chapter that is only announced has neither path nor content.
            if let (Some(Value::String(content)), Some(Value::String(path))) =
                (fields.get("content"), fields.get("path"))
            {
                let converted = convert_page(content, path)?;
                fields.insert("content".to_owned(), converted.into());
            }
            fields.values_mut().try_for_each(convert_chapters)
        }
        _ => Ok(()),
    }
}

/// One page in Markdown, which lies at `path` in `docs`: formulas between dollars become MathML,
/// and a link that leaves `docs` its text.
///
/// # Errors
/// Where a formula cannot be read.
pub fn convert_page(text: &str, path: &str) -> Result<String, Error> {
    let options = Options::ENABLE_MATH | Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    // The link that leaves, where one is open: its place, and that of what stands in its brackets.
    let mut leaving: Option<(Range<usize>, Option<Range<usize>>)> = None;
    for (event, place) in Parser::new_ext(text, options).into_offset_iter() {
        match &event {
            Event::Start(Tag::Link { dest_url, .. }) if leaves(path, dest_url) => leaving = Some((place, None)),
            Event::End(TagEnd::Link) => {
                if let Some((whole, Some(shown))) = leaving.take() {
                    edits.push((whole.start..shown.start, String::new()));
                    edits.push((shown.end..whole.end, String::new()));
                }
            }
            _ => {
                if let Some((_, shown)) = &mut leaving {
                    *shown = Some(shown.as_ref().map_or(place.start, |shown| shown.start)..place.end);
                }
                if let Event::InlineMath(latex) = &event {
                    edits.push((place, in_text(&mathml(latex, DisplayMode::Inline, path)?)));
                } else if let Event::DisplayMath(latex) = &event {
                    edits.push((place, equation(latex, path)?));
                }
            }
        }
    }
    edits.sort_by_key(|(place, _)| place.start);
    let (mut converted, mut done) = (String::with_capacity(text.len()), 0);
    for (place, replacement) in edits {
        converted.push_str(&text[done..place.start]);
        converted.push_str(&replacement);
        done = place.end;
    }
    converted.push_str(&text[done..]);
    Ok(converted)
}

/// Whether a link of the page at `path` goes to a file above `docs`.
fn leaves(path: &str, link: &str) -> bool {
    if link.contains("://") || link.starts_with('#') {
        return false;
    }
    let mut place = PathBuf::from(path);
    place.pop();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir if !place.pop() => return true,
            Component::Normal(name) => place.push(name),
            _ => {}
        }
    }
    false
}

/// A formula within a text with more signs than this is wider than a narrow window.
const WIDE: usize = 16;

/// A formula within a text. Browsers do not break formulas, so a wide one can be moved sideways.
fn in_text(math: &str) -> String {
    let signs = ["<mi", "<mn", "<mo>", "<mo "].iter().map(|sign| math.matches(sign).count()).sum::<usize>();
    if signs > WIDE { format!("<span class=\"wide\">{math}</span>") } else { math.to_owned() }
}

/// A formula on a line of its own, with its number beside it.
fn equation(latex: &str, page: &str) -> Result<String, Error> {
    let (formula, number) = match latex.trim().rsplit_once("\\tag{") {
        Some((formula, number)) => (formula, number.trim_end().strip_suffix('}')),
        None => (latex.trim(), None),
    };
    let mut shown = String::new();
    for (part, is_boxed) in boxes(formula.trim()) {
        let math = mathml(part, DisplayMode::Block, page)?;
        shown.push_str(&if is_boxed { format!("<span class=\"boxed\">{math}</span>") } else { math });
    }
    let number = number.map(|number| format!("<span>({number})</span>")).unwrap_or_default();
    Ok(format!("<span class=\"equation\"><span>{shown}</span>{number}</span>"))
}

/// What stands in each `\boxed{…}` of a formula, which `pulldown-latex` does not know, and what
/// stands between.
fn boxes(formula: &str) -> Vec<(&str, bool)> {
    let (mut parts, mut rest) = (Vec::new(), formula);
    while let Some((before, after)) = rest.split_once("\\boxed{") {
        let mut depth = 1;
        let end = after.find(|letter| {
            depth += match letter {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            depth == 0
        });
        // Without its end it is left to the parser, which complains.
        let Some(end) = end else { break };
        parts.extend([(before, false), (&after[..end], true)]);
        rest = &after[end + 1..];
    }
    parts.push((rest, false));
    parts.retain(|(part, _)| !part.trim().is_empty());
    parts
}

fn mathml(latex: &str, display_mode: DisplayMode, page: &str) -> Result<String, Error> {
    let problem = |problem: String| Error::Formula { page: page.to_owned(), formula: latex.to_owned(), problem };
    let storage = Storage::new();
    let parsed: Result<Vec<_>, _> = pulldown_latex::Parser::new(latex, &storage).collect();
    // Its error shows the place in several lines, of which the first says what it is.
    let parsed = parsed.map_err(|error| problem(error.to_string().lines().next().unwrap_or_default().to_owned()))?;
    let mut mathml = String::new();
    let config = RenderConfig { display_mode, ..RenderConfig::default() };
    let events = parsed.into_iter().map(Ok::<_, std::convert::Infallible>);
    push_mathml(&mut mathml, events, config).map_err(|error| problem(error.to_string()))?;
    // pulldown-latex 0.8 forgets a space behind the attributes of `\big(`.
    Ok(without_markdown(&mathml.replace("\"minsize=", "\" minsize=")))
}

/// Markdown reads what stands between tags: an asterisk, a bar or a bracket there is written as a
/// number.
fn without_markdown(markup: &str) -> String {
    let (mut written, mut until) = (String::with_capacity(markup.len()), None);
    for letter in markup.chars() {
        match (until, letter) {
            (Some(end), _) => {
                if letter == end {
                    until = None;
                }
                written.push(letter);
            }
            (None, '<' | '&') => {
                until = Some(if letter == '<' { '>' } else { ';' });
                written.push(letter);
            }
            (None, '\n') => written.push(' '),
            (None, _) if letter.is_ascii_punctuation() => written.push_str(&format!("&#{};", u32::from(letter))),
            (None, _) => written.push(letter),
        }
    }
    written
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    #[test]
    fn only_wide_formulas_in_a_text_can_be_moved() {
        let wide = format!("A sum ${}$ here.", ["a_1 + b"; 8].join(" + "));
        assert!(convert_page(&wide, "page.md").unwrap().contains("<span class=\"wide\"><math"));
        assert!(!convert_page("A sum $a + b$ here.", "page.md").unwrap().contains("<span"));
    }

    fn docs() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
    }

    #[test]
    fn every_formula_of_every_page_becomes_mathml() {
        let (mut folders, mut formulas) = (vec![docs()], 0);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    let page = path.strip_prefix(docs()).unwrap().to_str().unwrap();
                    let converted = convert_page(&std::fs::read_to_string(&path).unwrap(), page).unwrap();
                    let mut left = Parser::new_ext(&converted, Options::ENABLE_TABLES | Options::ENABLE_MATH);
                    let left = left.find(|event| matches!(event, Event::InlineMath(_) | Event::DisplayMath(_)));
                    assert!(left.is_none(), "{page}: {left:?}");
                    formulas += converted.matches("<math").count();
                }
            }
        }
        assert!(formulas > 200, "{formulas}");
    }

    #[test]
    fn a_formula_is_mathml_that_markdown_leaves_alone() {
        let converted = convert_page("Of $[a](b)$ and `$x$`, | $p_k$ |", "page.md").unwrap();
        assert!(converted.contains(">&#91;</mo><mi>a</mi><mo"), "{converted}");
        assert!(converted.contains("`$x$`") && converted.ends_with(" |"), "{converted}");
        let shown = Parser::new(&converted).any(|event| matches!(event, Event::Start(Tag::Link { .. })));
        assert!(!shown, "{converted}");
    }

    #[test]
    fn a_numbered_formula_has_its_number_and_a_boxed_one_its_box() {
        let converted = convert_page("$$\\boxed{a = {b}} \\quad c \\tag{8}$$", "page.md").unwrap();
        assert!(converted.ends_with("<span>(8)</span></span>"), "{converted}");
        assert!(converted.contains("<span class=\"boxed\"><math display=\"block\"><mi>a</mi>"), "{converted}");
        assert_eq!(converted.matches("<math").count(), 2, "{converted}");
    }

    #[test]
    fn a_formula_that_is_none_is_named_with_its_page() {
        let error = convert_page("$\\nosuchthing$", "decisions/1.md").unwrap_err().to_string();
        assert!(error.starts_with("decisions/1.md: the formula \"\\\\nosuchthing\": "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn a_link_that_leaves_the_book_is_text() {
        let page = "[`tests`](../../tests/a.rs), [a page](../data.md#csv), [Burn](https://burn.dev), ![x](../a.png)";
        let converted = convert_page(page, "decisions/1.md").unwrap();
        assert_eq!(converted, page.replace("[`tests`](../../tests/a.rs)", "`tests`"));
        assert_eq!(
            convert_page(page, "1.md").unwrap(),
            page.replace("[`tests`](../../tests/a.rs)", "`tests`").replace("[a page](../data.md#csv)", "a page")
        );
    }

    #[test]
    fn chapters_are_converted_wherever_they_lie() {
        let chapter =
            |items: Value| serde_json::json!({"Chapter": {"content": "$x$", "path": "a.md", "sub_items": items}});
        let draft = serde_json::json!({"Chapter": {"content": "$x$", "path": null, "sub_items": []}});
        let book = serde_json::json!([{}, {"items": ["Separator", chapter(serde_json::json!([chapter(serde_json::json!([])), draft]))]}]);
        let converted = convert_book(&book.to_string()).unwrap();
        assert_eq!(converted.to_string().matches("<math").count(), 2, "{converted}");
        for bad in ["", "{}", "[1]", "[1, 2, 3]"] {
            assert!(convert_book(bad).unwrap_err().to_string().starts_with("this is no book"), "{bad}");
        }
    }
}
