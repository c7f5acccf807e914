//! Training on images that stay in their file, which is truncated during the training.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::OpenOptions;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use chainrule_core::{Generator, ModelKind, Preprocessing, Settings, TrainConfig};
use chainrule_data::{Counts, Data, DataError, Request, digits, find_within, mnist};
use chainrule_solve::{FusedRows, Observer, TrainError, Trained, train_fused};
use tempfile::TempDir;

/// Returns the four files of a folder: training images, training labels, validation images,
/// validation labels.
fn files(folder: &Path) -> [PathBuf; 4] {
    mnist::FILES.map(|file| folder.join(file.name))
}

/// Returns a folder with this number of digits.
fn with_digits(train: usize, validation: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    digits::write_both(digits::SEED, Counts { train, validation }, &files(folder.path())).unwrap();
    folder
}

/// Opens images that stay in their files.
fn in_files(folder: &Path) -> Data {
    let request = Request::Folder(folder.to_owned());
    find_within(&request, Counts { train: 1, validation: 1 }, 0, &mut |_| {}).unwrap()
}

/// Returns a config for one epoch of complete batches of 128 rows, in the order of the file.
fn config(evaluations_per_epoch: usize) -> TrainConfig {
    let mut settings = Settings::of(ModelKind::Softmax);
    settings.objective.penalize_bias = true;
    settings.descent.learning_rate = 0.01;
    settings.descent.batch_size = 128;
    settings.descent.drop_last = true;
    settings.descent.epochs = 1;
    settings.descent.shuffle.generator = Generator::None;
    settings.early_stopping.evaluations_per_epoch = evaluations_per_epoch;
    settings.early_stopping.patience = Some(10);
    TrainConfig::try_from(settings).unwrap()
}

/// Truncates a file after this number of steps.
struct FileTruncator<'a> {
    after: usize,
    file: &'a Path,
    length: u64,
}

impl Observer for FileTruncator<'_> {
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        if step + 1 == self.after {
            OpenOptions::new().write(true).open(self.file).unwrap().set_len(self.length).unwrap();
        }
        ControlFlow::Continue(())
    }
}

fn fit(data: &Data, config: &TrainConfig, observer: &mut dyn Observer) -> Result<Trained, TrainError> {
    let ([train, validation], classes) = data.select(None, None, None).unwrap();
    let [train, validation] = [train, validation].map(|rows| FusedRows::new(rows, &Preprocessing::Pixels).unwrap());
    let link = config.model().kind.link(classes.len());
    train_fused(&link, &train, &validation, config, NonZero::new(2).unwrap(), observer)
}

#[test]
fn a_truncated_file_ends_the_training_with_the_results_so_far() {
    let folder = with_digits(20_000, 300);
    let folder = folder.path();
    let file = &files(folder)[0];
    let data = in_files(folder);
    let config = config(1);
    let whole = fit(&data, &config, &mut ()).unwrap();
    // Image 15 000 is the first incomplete one. Many images before it have been read ahead by then,
    // and they are valid.
    let mut truncator = FileTruncator { after: 20, file, length: 16 + 15_000 * 784 + 1 };
    let Err(TrainError::DataLost(results)) = fit(&data, &config, &mut truncator) else {
        panic!("the file is truncated")
    };
    let expected = format!("{}: truncated in image 15000: it had 20000 images", file.display());
    assert!(results.reason.starts_with(&expected) && !results.reason.contains('\n'), "{}", results.reason);
    let steps = results.history.train_loss.len();
    assert!((100..=117).contains(&steps), "{steps} steps of 128 rows; 15000 rows were left");
    assert_eq!(results.history.train_loss, whole.history.train_loss[..steps]);
    assert_eq!(results.history.evaluations, whole.history.evaluations[..1]);
    let (step, parameters) = results.parameters.unwrap();
    assert_eq!(step, steps - 1);
    assert!(parameters.weight.iter().any(|&weight| weight != 0.0));

    // Opening the file now fails at once.
    let request = Request::Folder(folder.to_owned());
    let error = find_within(&request, Counts { train: 1, validation: 1 }, 0, &mut |_| {}).unwrap_err();
    assert!(matches!(error, DataError::Idx { .. }), "{error}");
}

#[test]
fn an_evaluation_detects_a_truncated_file() {
    let folder = with_digits(20_000, 300);
    let folder = folder.path();
    let data = in_files(folder);
    // Evaluations after steps 0, 17, 34, …
    let config = config(9);
    let mut truncator = FileTruncator { after: 16, file: &files(folder)[0], length: 16 + 19_999 * 784 };
    let Err(TrainError::DataLost(results)) = fit(&data, &config, &mut truncator) else {
        panic!("the file is truncated")
    };
    assert!(results.reason.contains("truncated in image 19999: it had 20000 images"), "{}", results.reason);
    assert_eq!((results.history.train_loss.len(), results.history.evaluations.len()), (18, 1));
    assert_eq!(results.parameters.unwrap().0, 17);
}
