//! Runs the tests in place of the compiler's own harness. The compiler's harness counts a test as
//! passed if the test finds out that it cannot run. This one counts such tests separately, with the
//! reason. With `CHAINRULE_TESTS=quick`, a test is skipped as soon as it would start a process.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::panic::{PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook};
use std::process::ExitCode;
use std::sync::{LazyLock, Mutex};
use std::thread;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A function with `#[test]`, as registered by `chainrule-tests-macros`.
pub(crate) struct Test {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) function: fn(),
    pub(crate) is_ignored: bool,
    /// The expected panic message, if the test must panic.
    pub(crate) panics_with: Option<&'static str>,
}

inventory::collect!(Test);

/// Returns every test of this build, in any order.
pub(crate) fn tests() -> impl Iterator<Item = &'static Test> {
    inventory::iter::<Test>.into_iter()
}

impl Test {
    /// Returns the name with its module, without the crate.
    pub(crate) fn path(&self) -> String {
        let module = self.module.split_once("::").map(|(_, module)| format!("{module}::"));
        format!("{}{}", module.unwrap_or_default(), self.name)
    }
}

/// The panic payload of a test that cannot run here, with the reason.
struct CouldNotRun(String);

/// The panic payload of a test that would start a process in a quick run.
struct StartsAProcess;

/// The state of a test, local to its thread.
#[derive(Default)]
struct TestState {
    /// The reasons why parts of it could not run.
    parts: BTreeSet<String>,
    /// The message and location of the thread's last panic.
    panicked: Option<String>,
}

thread_local! {
    static STATE: RefCell<Option<TestState>> = const { RefCell::new(None) };
}

/// Panics of threads that tests started. The test that started a thread is not known.
static ELSEWHERE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Counts of the tests that neither passed nor failed.
struct Counts {
    all: usize,
    could_not_run: BTreeMap<String, usize>,
    in_part: BTreeMap<String, usize>,
    left_out: BTreeMap<String, usize>,
}

static COUNTS: Mutex<Counts> =
    Mutex::new(Counts { all: 0, could_not_run: BTreeMap::new(), in_part: BTreeMap::new(), left_out: BTreeMap::new() });

/// Whether this run skips the tests that start processes.
static IS_QUICK: LazyLock<bool> = LazyLock::new(|| {
    let mode = std::env::var("CHAINRULE_TESTS").unwrap_or_default();
    assert!(["", "quick"].contains(&mode.as_str()), "CHAINRULE_TESTS={mode}: only quick is known");
    mode == "quick"
});

/// Ends the test and counts it as one that could not run.
pub(crate) fn could_not_run(reason: &str) -> ! {
    leave(CouldNotRun(reason.to_owned()))
}

/// Ends the test in a quick run.
pub(crate) fn starts_processes() {
    if *IS_QUICK {
        leave(StartsAProcess);
    }
}

/// Counts the test as one that ran in part, and continues.
pub(crate) fn in_part(reason: &str) {
    let counted = STATE.with_borrow_mut(|state| state.as_mut().map(|state| state.parts.insert(reason.to_owned())));
    assert!(counted.is_some(), "in_part was called outside the test's thread");
}

/// Prints a line with `--nocapture`.
#[expect(clippy::print_stdout, reason = "--nocapture asks for it")]
pub(crate) fn log(line: &str) {
    if std::env::args().any(|argument| argument == "--nocapture") {
        println!("{line}");
    }
}

/// Unwinds without the panic hook, because this is not a failure.
fn leave(payload: impl Any + Send) -> ! {
    let is_own = STATE.with_borrow(Option::is_some);
    assert!(is_own, "a test must be skipped in its own thread, before it starts others: see tests/harness.rs");
    resume_unwind(Box::new(payload))
}

pub(crate) fn main() -> ExitCode {
    LazyLock::force(&IS_QUICK);
    let (filters, others) = filters(std::env::args());
    let mut arguments = Arguments::from_iter(others);
    let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|threads| threads.parse().ok());
    arguments.test_threads = arguments.test_threads.or(threads);

    let mut tests: Vec<(String, &'static Test)> = tests().map(|test| (test.path(), test)).collect();
    tests.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    // A single filter goes to libtest-mimic, which then reports the number of filtered tests.
    if let [filter] = &filters[..] {
        arguments.filter = Some(filter.clone());
    } else if !filters.is_empty() {
        let is_meant = |name: &str, filter: &str| if arguments.exact { name == filter } else { name.contains(filter) };
        tests.retain(|(name, _)| filters.iter().any(|filter| is_meant(name, filter)));
    }
    let trials = tests.into_iter().map(|(name, test)| {
        let run = {
            let name = name.clone();
            move || run(name, test)
        };
        Trial::ignorable_test(name, run).with_ignored_flag(test.is_ignored)
    });
    let trials = trials.collect();

    let other_threads = take_hook();
    set_hook(Box::new(move |info| {
        // The main thread runs no test, so its panic belongs to this harness. A panic that aborts
        // the process must be printed now.
        if thread::current().name() == Some("main") || panic_message(info.payload()).starts_with("panic in a ") {
            print_recorded_panic();
            other_threads(info);
        } else {
            record_panic(info);
        }
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        print_counts();
    }
    conclusion.exit_code()
}

/// Splits the command line into test filters and other arguments. libtest-mimic takes at most one
/// filter.
fn filters(arguments: impl Iterator<Item = String>) -> (Vec<String>, Vec<String>) {
    let with_value = ["--test-threads", "--skip", "--logfile", "--color", "--format", "-Z"];
    let (mut filters, mut others, mut is_value) = (Vec::new(), Vec::new(), true);
    for argument in arguments {
        if is_value || argument.starts_with('-') {
            // The first argument is the program.
            is_value = !is_value && with_value.contains(&argument.as_str());
            others.push(argument);
        } else {
            filters.push(argument);
        }
    }
    (filters, others)
}

/// Runs a test in a new thread with the test's name.
fn run(name: String, test: &'static Test) -> Result<Completion, Failed> {
    let before = ELSEWHERE.lock().unwrap().len();
    let thread = thread::Builder::new().name(name).spawn(|| {
        STATE.set(Some(TestState::default()));
        let result = catch_unwind(test.function);
        (result, STATE.take().unwrap_or_default())
    });
    let (result, state) = thread.unwrap().join().unwrap();
    let mut counts = COUNTS.lock().unwrap();
    counts.all += 1;
    let payload = match (result, test.panics_with) {
        (Ok(()), None) => {
            if !state.parts.is_empty() {
                let reasons = state.parts.into_iter().collect::<Vec<_>>().join(" and ");
                *counts.in_part.entry(reasons).or_default() += 1;
            }
            return Ok(Completion::Completed);
        }
        (Ok(()), Some(_)) => return Err("it did not panic, as it should".into()),
        (Err(payload), _) => payload,
    };
    if let Some(CouldNotRun(reason)) = payload.downcast_ref() {
        *counts.could_not_run.entry(reason.clone()).or_default() += 1;
        return Ok(Completion::ignored_with(format!("could not run: {reason}")));
    }
    if payload.is::<StartsAProcess>() {
        *counts.left_out.entry("that start a process".to_owned()).or_default() += 1;
        return Ok(Completion::ignored_with("starts a process"));
    }
    let panic_message = panic_message(&*payload);
    if test.panics_with.is_some_and(|expected| panic_message.contains(expected)) {
        return Ok(Completion::Completed);
    }
    // For a panic that was resumed from another thread, the location is noted in `ELSEWHERE`.
    let state = state.panicked.filter(|panicked| panicked.contains(&panic_message)).unwrap_or(panic_message);
    let expected = test.panics_with.map(|expected| format!("it should have panicked with {expected:?}"));
    let elsewhere = ELSEWHERE.lock().unwrap()[before..].iter().map(|panic| format!("meanwhile, {panic}")).collect();
    Err([vec![state], expected.into_iter().collect(), elsewhere].concat().join("\n").into())
}

/// Returns the message of a panic, if it has one.
fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Keeps the panic's message in case the test fails. The panic itself may be expected.
fn record_panic(info: &PanicHookInfo) {
    let mut panic = panic_message(info.payload());
    if let Some(location) = info.location() {
        panic = format!("{location}: {panic}");
    }
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        panic = format!("{panic}\n{backtrace}");
    }
    // A thread that is ending no longer has thread-local state.
    let is_own = STATE.try_with(|state| {
        let mut state = state.borrow_mut();
        state.as_mut().map(|state| state.panicked = Some(panic.clone())).is_some()
    });
    if !is_own.unwrap_or(false) {
        let thread = thread::current();
        let name = thread.name().map_or("a thread without a name".to_owned(), |name| format!("thread {name}"));
        ELSEWHERE.lock().unwrap().push(format!("in {name}: {panic}"));
    }
}

/// Prints the noted panic before another panic aborts the process.
fn print_recorded_panic() {
    let panicked = STATE.with_borrow(|state| state.as_ref().and_then(|state| state.panicked.clone()));
    if let Some(panicked) = panicked {
        let _ = writeln!(std::io::stderr(), "{panicked}");
    }
}

/// Prints how many tests did not run, with the reasons.
#[expect(clippy::print_stdout, reason = "the summary goes after the test results")]
fn print_counts() {
    let counts = COUNTS.lock().unwrap();
    let all = counts.all;
    println!("could not run: {}", counts_by_reason(all, &counts.could_not_run));
    if !counts.in_part.is_empty() {
        println!("ran in part: {}", counts_by_reason(all, &counts.in_part));
    }
    if *IS_QUICK {
        println!("left out: {}", counts_by_reason(all, &counts.left_out));
    }
}

/// Formats the sum, of all tests, and the reasons by frequency.
fn counts_by_reason(all: usize, reasons: &BTreeMap<String, usize>) -> String {
    let mut sorted: Vec<(&String, &usize)> = reasons.iter().collect();
    // The sort is stable, so equal counts stay in alphabetical order.
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let reasons = sorted.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join("; ");
    let sum: usize = sorted.iter().map(|(_, count)| **count).sum();
    let colon = if sum == 0 { "" } else { ": " };
    format!("{sum} of {all} tests{colon}{reasons}")
}
