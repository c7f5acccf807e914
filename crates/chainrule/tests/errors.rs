//! Errors of the library: they have causes and do not mention options of the program.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::error::Error;
use std::io::ErrorKind;

use chainrule::{Estimator, Fitted, Samples};
use tempfile::TempDir;

const FLOWERS: &str =
    "length,2024\n1,rose\n2,tulip\n1,rose\n2,tulip\n1,rose\n2,tulip\n1,rose\n2,tulip\n1,rose\n2,tulip\n";

/// Returns a folder with flowers, a model fitted to them, and a file in place of a folder.
fn fitted_to_flowers() -> (TempDir, Samples, Fitted) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("flowers.csv"), FLOWERS).unwrap();
    std::fs::write(at("file"), "").unwrap();
    let samples = Samples::csv(at("flowers.csv"), "2024").unwrap();
    let fitted = Estimator::softmax().epochs(1).fit(&samples).unwrap();
    fitted.save(at("model")).unwrap();
    (folder, samples, fitted)
}

/// Returns the kind of the system error at the end of the chain.
fn cause(error: &dyn Error) -> Option<ErrorKind> {
    let last = std::iter::successors(error.source(), |&error| error.source()).last()?;
    Some(last.downcast_ref::<std::io::Error>()?.kind())
}

/// Asserts that a message does not mention the program.
fn assert_names_no_option(message: &str) {
    assert!(!message.contains("--") && !message.contains("xtask"), "{message}");
}

#[test]
fn errors_include_their_cause() {
    let (folder, _, fitted) = fitted_to_flowers();
    let at = |name: &str| folder.path().join(name);
    let absent = Samples::csv(at("absent.csv"), "kind").unwrap_err();
    assert_eq!(cause(&absent), Some(ErrorKind::NotFound), "{absent}");
    let absent = Fitted::load(at("absent")).unwrap_err();
    assert_eq!(cause(&absent), Some(ErrorKind::NotFound), "{absent}");
    let below_a_file = fitted.save(at("file/model")).unwrap_err();
    assert_eq!(cause(&below_a_file), Some(ErrorKind::NotADirectory), "{below_a_file}");
    let nowhere = fitted.export(at("no/such/folder.npz")).unwrap_err();
    assert_eq!(cause(&nowhere), Some(ErrorKind::NotFound), "{nowhere}");
    // The one-line message contains the cause, too.
    assert!(nowhere.to_string().contains("No such file"), "{nowhere}");
}

#[test]
fn save_does_not_overwrite_a_model() {
    let (folder, _, fitted) = fitted_to_flowers();
    let exists = fitted.save(folder.path().join("model")).unwrap_err();
    assert!(exists.to_string().ends_with("model exists already"), "{exists}");
}

#[test]
fn errors_of_settings_name_no_option() {
    let (_folder, samples, _) = fitted_to_flowers();
    assert_names_no_option(&Estimator::softmax().epochs(0).fit(&samples).unwrap_err().to_string());
}

#[test]
fn a_single_class_is_singular() {
    let (_folder, samples, _) = fitted_to_flowers();
    let one = samples.with_classes(&["rose"]).and_then(|samples| Estimator::softmax().fit(&samples).map(|_| ()));
    let one = one.unwrap_err().to_string();
    assert!(!one.contains("1 classes"), "{one}");
}
