//! `cargo xtask book`: builds the pages in `docs` as a book with mdBook, and checks the result.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::{print_error, root};

/// The arguments that install mdBook, without the features that a book to read does not need.
pub(crate) const INSTALL: [&str; 7] =
    // The preprocessor speaks the protocol of this version. Without optimisation it compiles in
    // half of the time, and the book takes a few seconds.
    ["install", "mdbook@0.5.4", "--locked", "--debug", "--no-default-features", "--features", "search"];

/// `cargo xtask book [--open] [--out DIR]`.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let (mut out, mut open) = (root().join("target/book"), false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.len()) {
            ("--open", _) => open = true,
            ("--out", 1..) => out = PathBuf::from(arguments.next().expect("an argument is left")),
            ("--out", 0) => return usage_error("--out: expected a folder"),
            _ => return usage_error(&format!("{argument}: book takes --open and --out DIR")),
        }
    }
    let Ok(out) = std::path::absolute(out) else { return usage_error("--out: expected a folder") };
    if !is_installed("mdbook".as_ref()) {
        return usage_error("mdbook is not installed; cargo install mdbook --locked");
    }
    let mut mdbook = build("mdbook".as_ref(), &out);
    if open {
        mdbook.arg("--open");
    }
    match mdbook.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(2),
        Err(problem) => usage_error(&format!("cannot run mdbook: {problem}")),
    }
}

fn usage_error(problem: &str) -> ExitCode {
    print_error(problem);
    ExitCode::from(2)
}

pub(crate) fn is_installed(mdbook: &Path) -> bool {
    Command::new(mdbook).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Returns the command that builds the book into a folder. `out` is absolute.
pub(crate) fn build(mdbook: &Path, out: &Path) -> Command {
    let mut command = Command::new(mdbook);
    command.arg("build").arg(root().join("book")).arg("--dest-dir").arg(out);
    command
}

/// Returns the problems of the pages in a folder: resources from elsewhere, and formulas that were
/// not converted.
pub(crate) fn problems(folder: &Path) -> std::io::Result<Vec<String>> {
    let (mut problems, mut folders, mut formulas) = (Vec::new(), vec![folder.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if extension == "html" || extension == "css" {
                let text = std::fs::read_to_string(&path)?;
                formulas += text.matches("<math").count();
                let resources = remote_resources(&text)
                    .into_iter()
                    .chain(unconverted_formulas(&text).filter(|_| extension == "html"));
                problems.extend(resources.map(|problem| format!("{}: {problem}", path.display())));
            }
        }
    }
    if formulas == 0 {
        problems.push(format!("{}: it contains no formula", folder.display()));
    }
    Ok(problems)
}

/// Finds scripts, styles, images and fonts that a page would fetch. Links that a reader follows are
/// allowed.
fn remote_resources(text: &str) -> Vec<String> {
    let mut resources = Vec::new();
    let tags = ["<script", "<link", "<img", "<iframe", "<source", "<object", "<video", "<audio"];
    for tag in text.split_inclusive('>').filter_map(|piece| piece.rfind('<').map(|at| &piece[at..])) {
        let is_remote = ["=\"http", "='http", "=http", "=\"//", "='//"].iter().any(|remote| tag.contains(remote));
        if is_remote && tags.iter().any(|name| tag.starts_with(name)) {
            resources.push(tag.to_owned());
        }
    }
    for remote in ["url(http", "url(\"http", "url('http", "url(//", "@import"] {
        resources.extend(text.contains(remote).then(|| remote.to_owned()));
    }
    resources
}

/// Finds the first dollar sign in the text, outside of code, scripts and styles.
fn unconverted_formulas(text: &str) -> impl Iterator<Item = String> {
    let mut rest = text.to_owned();
    for tag in ["pre", "code", "script", "style"] {
        let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
        let mut kept = String::new();
        while let Some((before, after)) = rest.split_once(&open) {
            kept.push_str(before);
            rest = after.split_once(&close).map(|(_, after)| after.to_owned()).unwrap_or_default();
        }
        rest = kept + &rest;
    }
    let at = rest.find('$').map(|at| rest[at..].chars().take(60).collect::<String>());
    at.map(|formula| format!("a formula that was not converted: {formula}")).into_iter()
}
