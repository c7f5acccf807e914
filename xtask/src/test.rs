//! `cargo xtask test [--quick] [options]`: runs the tests of the workspace and counts those that
//! could not run.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use crate::{print_error, print_line, root};

/// The kinds of the last lines of the integration tests: `KIND: 3 of 470 tests: 2 REASON; 1
/// REASON`.
const KINDS: [&str; 3] = ["could not run", "ran in part", "left out"];

/// The tests that did not run, or only in part, by kind and reason.
#[derive(Default)]
pub(crate) struct SkippedTests {
    tests: usize,
    counts: [BTreeMap<String, usize>; 3],
}

impl SkippedTests {
    /// Counts a line of a test binary if it has one of these kinds.
    fn read(&mut self, line: &str) {
        let Some((kind, rest)) = line.split_once(": ") else { return };
        let Some(kind) = KINDS.iter().position(|known| *known == kind) else { return };
        let (total, reasons) = rest.split_once(": ").unwrap_or((rest, ""));
        let tests = total.split_whitespace().nth(2).and_then(|tests| tests.parse::<usize>().ok());
        // Every binary has a line of the first kind.
        self.tests += tests.filter(|_| kind == 0).unwrap_or_default();
        for (count, reason) in reasons.split("; ").filter_map(|part| part.split_once(' ')) {
            let count: usize = count.parse().unwrap_or_default();
            *self.counts[kind].entry(reason.to_owned()).or_default() += count;
        }
    }

    pub(crate) fn add(&mut self, other: &SkippedTests) {
        self.tests += other.tests;
        for (counts, others) in self.counts.iter_mut().zip(&other.counts) {
            for (reason, count) in others {
                *counts.entry(reason.clone()).or_default() += count;
            }
        }
    }

    /// Whether a binary printed such a line. All integration tests do.
    pub(crate) fn has_tests(&self) -> bool {
        self.tests > 0
    }
}

impl Display for SkippedTests {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let lines =
            KINDS.iter().zip(&self.counts).enumerate().filter(|(kind, (_, counts))| *kind == 0 || !counts.is_empty());
        let lines = lines.map(|(_, (kind, counts))| {
            let reasons: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            let total: usize = counts.values().sum();
            let colon = if reasons.is_empty() { "" } else { ": " };
            format!("{kind}: {total} of {} tests{colon}{}", self.tests, reasons.join("; "))
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// `cargo xtask test`.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let mut cargo = crate::cargo();
    cargo.args(["test", "--workspace"]);
    if is_quick {
        // Without doc tests, since each of them is compiled as a program, and without tests that
        // start a process. The test binary reads the variable.
        cargo.arg("--tests").env("CHAINRULE_TESTS", "quick");
    } else {
        cargo.env_remove("CHAINRULE_TESTS");
    }
    cargo.args(arguments.iter().filter(|argument| *argument != "--quick"));
    match run_counted(&mut cargo) {
        Ok((is_passed, tally)) => {
            if tally.has_tests() {
                print_line(&format!("\nIntegration tests:\n{tally}"));
            } else {
                print_line("\nNo integration test ran.");
            }
            if is_quick {
                print_line("omitted: the examples in rustdoc; cargo test --workspace runs everything");
            }
            if is_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            print_error(&format!("cannot run cargo: {problem}"));
            ExitCode::from(2)
        }
    }
}

/// Runs tests and shows their output. Returns whether they passed, and the counts.
pub(crate) fn run_counted(cargo: &mut Command) -> std::io::Result<(bool, SkippedTests)> {
    let mut process = cargo.current_dir(root()).stdout(Stdio::piped()).spawn()?;
    let mut tally = SkippedTests::default();
    if let Some(output) = process.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            tally.read(&line);
            print_line(&line);
        }
    }
    Ok((process.wait()?.success(), tally))
}

#[cfg(test)]
mod tests {
    use super::SkippedTests;

    #[test]
    fn skipped_tests_are_summed_by_reason() {
        let mut tally = SkippedTests::default();
        assert!(!tally.has_tests());
        for line in [
            "test result: ok. 470 passed; 0 failed",
            "could not run: 3 of 470 tests: 2 no MNIST; 1 no bash, nor groff: here",
            "ran in part: 1 of 470 tests: 1 no Python module torch",
            "could not run: 0 of 30 tests",
        ] {
            tally.read(line);
        }
        let mut twice = SkippedTests::default();
        twice.add(&tally);
        assert!(twice.has_tests());
        let first = "could not run: 3 of 500 tests: 2 no MNIST; 1 no bash, nor groff: here";
        assert_eq!(twice.to_string(), format!("{first}\nran in part: 1 of 500 tests: 1 no Python module torch"));
        twice.add(&tally);
        assert!(twice.to_string().starts_with("could not run: 6 of 1000 tests: 4 no MNIST; "));
    }
}
