//! The library without Burn: fit, predict, evaluate, save, load, import and export.

use chainrule::backend::Backend;
use chainrule::core::{DataKind, LinkKind, Optimizer, Parameters, Precision};
use chainrule::formats::{Format, Hints, ImportError, TrainedOn};
use chainrule::solve::{EstimateKind, SummaryOptions};
use chainrule::{Error, Estimator, Fitted, Samples};

/// Returns two kinds of rows with columns of different scales.
fn flowers() -> Samples<&'static str> {
    let row = |i: usize| {
        let (x, is_rose) = (i as f64, i.is_multiple_of(3));
        let bloom = f64::from(u8::from(is_rose));
        (
            [4.0 + bloom + 0.4 * x.sin(), 100.0 * (bloom - 0.3 * x.cos()), (7.0 * x).sin()],
            ["iris", "rose"][bloom as usize],
        )
    };
    let (rows, labels): (Vec<_>, Vec<_>) = (0..90).map(row).unzip();
    let samples = Samples::from_rows(&rows, &labels).expect("rows");
    samples.with_columns(&["length", "weight", "colour"]).expect("names")
}

fn cpu() -> Backend {
    Backend::Cpu
}

fn assert_close(a: &[Vec<f64>], b: &[Vec<f64>], bound: f64) {
    assert_eq!(a.len(), b.len());
    let max_distance =
        a.iter().flatten().zip(b.iter().flatten()).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
    assert!(max_distance <= bound, "{max_distance}");
}

#[test]
fn a_fitted_table_round_trips_through_every_format() {
    let [train, validation] = flowers().split(0.2, 1).expect("two parts");
    let estimator = Estimator::logistic().standardize().l2(0.01).precision(Precision::F64).backend(cpu());
    let fitted = estimator.to_the_minimum().fit_validated(&train, &validation).expect("a fit");
    let certificate = fitted.training().and_then(|training| training.certificate).expect("a certificate");
    assert!(certificate.holds(), "{certificate:?}");
    assert!(fitted.score(&validation).expect("a score") > 0.9);
    let requested = fitted.predict_proba(&validation).expect("probabilities");
    assert!(requested.iter().all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-12));

    let folder = tempfile::tempdir().expect("a folder");
    let saved = folder.path().join("flowers");
    fitted.save(&saved).expect("a saved model");
    let loaded = Fitted::load(&saved).expect("a loaded model");
    assert_close(&loaded.predict_proba(&validation).expect("probabilities"), &requested, 0.0);
    for ending in ["json", "npz"] {
        let file = folder.path().join(format!("flowers.{ending}"));
        fitted.export(&file).expect(ending);
        let imported = Fitted::import(&file, &Hints::default()).expect(ending);
        let names: Vec<String> = imported.classes().iter().map(ToString::to_string).collect();
        assert_eq!((names, imported.columns()), (vec!["iris".to_owned(), "rose".to_owned()], fitted.columns()));
        assert_close(&imported.predict_proba(&validation).expect(ending), &requested, 1e-12);
    }
    // PyTorch's layer takes features and does not record how they were computed.
    let file = folder.path().join("flowers.safetensors");
    fitted.export(&file).expect("a file");
    std::fs::write(folder.path().join("wrong.npz"), "no archive").expect("a file");
    let wrong = Fitted::import(folder.path().join("wrong.npz"), &Hints::default()).expect_err("a refusal").to_string();
    assert!(wrong.contains("wrong.npz: ") && !wrong.contains("--"), "{wrong}");
}

#[test]
fn the_kernels_fit_digits_in_f32_and_f64() {
    let [train, validation] = Samples::digits(1500, 7).split(0.2, 0).expect("two parts");
    let [single, double] = [Precision::F32, Precision::F64].map(|precision| {
        let estimator = Estimator::softmax().learning_rate(0.05).epochs(5).batch_size(20).precision(precision);
        estimator.backend(cpu()).fit_validated(&train, &validation).expect("a fit")
    });
    let gradient = single.training().map(|training| training.config.descent().gradient);
    assert_eq!(gradient, Some(chainrule::core::GradientSource::Fused));
    let [a, b] = [&single, &double].map(|fitted| fitted.evaluate(&validation).expect("metrics"));
    assert!(a.accuracy > 0.7 && (a.loss - b.loss).abs() < 1e-2 * b.loss, "{a:?} {b:?}");
    // Plain loops run what the kernels do not support: class weights and standardisation.
    let standardized = Estimator::softmax().standardize().balanced().l2(0.01).to_the_minimum().backend(cpu());
    let fitted = standardized.fit_validated(&train, &validation).expect("a fit");
    assert!(fitted.score(&validation).expect("a score") > 0.7);
    assert!(fitted.training().and_then(|training| training.certificate).is_some_and(|proof| proof.holds()));
}

#[test]
fn a_burn_setting_without_burn_names_the_feature() {
    let flowers = flowers();
    let refused = Estimator::softmax().optimizer(Optimizer::Adam).backend(cpu()).fit(&flowers).expect_err("a refusal");
    assert!(matches!(refused, Error::Backend(_)), "{refused}");
    assert!(refused.to_string().contains("descent.optimizer") && refused.to_string().contains("Burn"), "{refused}");
}

#[test]
fn weights_are_converted_to_our_pixel_range() {
    // A linear layer trained on p / 255, exported without metadata and imported with hints.
    let samples = Samples::digits(200, 3);
    let fitted = Estimator::softmax().epochs(2).backend(cpu()).fit(&samples).expect("a fit");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("digits.safetensors");
    fitted.export(&file).expect("a file");
    let plain = chainrule::records::write_weights(
        fitted.parameters(),
        Precision::F64,
        &chainrule::core::Preprocessing::unstandardized(DataKind::Table),
    );
    let bare = folder.path().join("bare.safetensors");
    std::fs::write(&bare, plain).expect("a file");
    let hints = |trained_on| Hints {
        trained_on,
        classes: Some((0..10).map(|class| class.to_string()).collect()),
        layout: Some(chainrule::formats::Layout::RowPerFeature),
        ..Hints::default()
    };
    let nothing = Fitted::import(&bare, &hints(None)).expect_err("a refusal");
    assert!(matches!(nothing, Error::ImportFile { error: ImportError::NoFeatures, .. }), "{nothing}");
    let requested = fitted.predict_proba(&samples).expect("probabilities");
    let imported = Fitted::import(&bare, &hints(Some(TrainedOn::Symmetric))).expect("a model");
    assert_close(&imported.predict_proba(&samples).expect("probabilities"), &requested, 1e-12);
    let other = Fitted::import(&bare, &hints(Some(TrainedOn::Bytes))).expect("a model");
    assert!(other.predict_proba(&samples).expect("probabilities") != requested);
}

#[test]
fn too_many_threads_are_refused() {
    let flowers = flowers();
    for threads in [1025, usize::MAX] {
        let threads = threads.try_into().expect("a number above 0");
        let refused = Estimator::softmax().backend(cpu()).threads(threads).fit(&flowers);
        let refused = refused.expect_err("a refusal").to_string();
        assert!(refused.ends_with(" threads; expected from 1 to 1024"), "{refused}");
    }
}

#[test]
fn an_invalid_model_file_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = Fitted::load(folder.path()).expect_err("a refusal").to_string();
    assert!(refused.ends_with("no model lies in this folder"), "{refused}");

    let flowers = flowers();
    let fitted = Estimator::softmax().epochs(1).backend(cpu()).fit(&flowers).expect("a fit");
    let onnx = fitted.to_bytes(Format::Onnx);
    let refused = Fitted::from_bytes(&onnx, &Hints::default()).expect_err("a refusal").to_string();
    assert!(refused.starts_with("it is of the format onnx, which is exported and not read"), "{refused}");
}

#[test]
fn a_missing_hint_is_named() {
    let bare = chainrule::records::write_weights(
        &Parameters { n_features: 3, columns: 2, weight: vec![0.5; 6], bias: vec![0.0; 2] },
        Precision::F64,
        &chainrule::core::Preprocessing::unstandardized(DataKind::Table),
    );
    let mut hints = Hints::default();
    let refused = |hints: &Hints| Fitted::from_bytes(&bare, hints).expect_err("a refusal").to_string();
    assert!(refused(&hints).ends_with("made of (Hints: trained_on)"), "{}", refused(&hints));
    hints.trained_on = Some(TrainedOn::Numbers);
    assert!(refused(&hints).ends_with("called (Hints: classes)"), "{}", refused(&hints));
    hints.classes = Some(vec!["iris".to_owned(), "rose".to_owned()]);
    assert!(refused(&hints).ends_with("called (Hints: columns)"), "{}", refused(&hints));
    hints.columns = Some(flowers().columns().to_vec());
    assert_eq!(Fitted::from_bytes(&bare, &hints).expect("a model").columns(), flowers().columns());
}

#[test]
fn partial_fit_keeps_the_preprocessing() {
    let [first, second] = Samples::digits(600, 3).split(0.5, 0).expect("two parts");
    let standardized = Estimator::softmax().standardize().epochs(5).backend(cpu());
    let fitted = standardized.fit(&first).expect("a fit");
    // The estimator asks for pixels, and could take the fused kernels; the model knows better.
    let [by_own, by_other] = [standardized, Estimator::softmax().backend(cpu())]
        .map(|estimator| estimator.partial_fit(&fitted, &second).expect("a fit"));
    assert_eq!(by_own.parameters(), by_other.parameters());
    let training = by_other.training().expect("a training").train;
    assert!((training.loss - by_other.evaluate(&second).expect("metrics").loss).abs() < 1e-4, "{training:?}");
}

#[test]
fn an_observer_can_stop_after_an_evaluation() {
    let [train, validation] = Samples::digits(400, 7).split(0.2, 0).expect("two parts");
    let mut evaluations = 0;
    let mut observer = |progress: chainrule::solve::Progress| match progress {
        chainrule::solve::Progress::Evaluation(_) => {
            evaluations += 1;
            if evaluations == 2 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        }
        _ => std::ops::ControlFlow::Continue(()),
    };
    let estimator = Estimator::softmax().epochs(50).backend(cpu());
    let fitted = estimator.fit_observed(&train, &validation, &mut observer).expect("a fit");
    let training = fitted.training().expect("a training");
    assert_eq!((training.ending, training.history.evaluations.len()), (chainrule::solve::Ending::Interrupted, 2));
    assert!(evaluations == 2);
}

#[test]
fn more_classes_than_labels_can_count_are_refused() {
    use chainrule::core::MAX_CLASSES;

    let classes: Vec<u32> = (0..=MAX_CLASSES as u32).collect();
    let parameters = |k: usize| Parameters::zeros(1, k);
    assert!(Fitted::of_weights(LinkKind::Softmax, parameters(MAX_CLASSES), &classes[..MAX_CLASSES]).is_ok());
    let error = Fitted::of_weights(LinkKind::Softmax, parameters(MAX_CLASSES + 1), &classes).err();
    assert!(error.is_some_and(|error| error.to_string().contains("65536 classes; at most 65535")));
    let huge = Parameters { n_features: usize::MAX / 2, columns: 2, weight: vec![0.0; 2], bias: vec![0.0; 2] };
    assert!(Fitted::of_weights(LinkKind::Softmax, huge, &classes[..2]).is_err());
}

#[test]
fn an_incomplete_last_row_is_refused() {
    for (values, d) in [(&[1.0, 2.0, 3.0][..], 5), (&[1.0, 2.0, 3.0], 2), (&[1.0], usize::MAX)] {
        let error = Samples::flat(values, d).err();
        assert!(error.is_some_and(|error| error.to_string().contains("row")), "{values:?} by {d}");
    }
    assert!(Samples::images(&[0; 4], [usize::MAX, 2]).is_err());
}

#[test]
fn a_fit_has_a_summary_and_is_compared_with_another() {
    let x = |i: usize| [(i as f64).sin(), 50.0 + 10.0 * (i as f64 * 0.7).cos()];
    let label = |i: usize| 2.0 * x(i)[0] + 0.05 * (x(i)[1] - 50.0) + 2.0 * (i as f64 * 1.3).sin() > 0.0;
    let (rows, labels): (Vec<_>, Vec<_>) = (0..200).map(|i| (x(i), label(i))).unzip();
    let samples = Samples::from_rows(&rows, &labels).expect("rows").with_columns(&["wave", "size"]).expect("names");
    let estimator = Estimator::logistic().standardize().precision(Precision::F64).backend(cpu()).to_the_minimum();
    let fitted = estimator.clone().l2(0.0).fit(&samples).expect("a fit");
    let options = SummaryOptions::default();
    let summary = fitted.summary(&samples, &options).expect("a summary");
    assert_eq!((summary.estimate, summary.rows), (EstimateKind::MaximumLikelihood, 200));
    let [wave, size, bias] = &summary.coefficients[..] else { panic!("{summary:?}") };
    assert_eq!((wave.feature.as_deref(), size.feature.as_deref(), &bias.feature), (Some("wave"), Some("size"), &None));
    // In the features' own units, the weights are those of z = x w + b on raw rows.
    let z = |i: usize| bias.estimate + wave.estimate * x(i)[0] + size.estimate * x(i)[1];
    let logits = |i: usize| fitted.predictor().predict(&x(i)).expect("a row").logits;
    for i in [0, 17, 199] {
        assert!((z(i) - (logits(i)[1] - logits(i)[0])).abs() < 1e-3, "{} {:?}", z(i), logits(i));
    }

    let penalised = estimator.l2(1.0).fit(&samples).expect("a fit");
    let kind = penalised.summary(&samples, &options).expect("a summary").estimate;
    assert!(matches!(kind, EstimateKind::LaplacePosterior { .. }), "{kind:?}");
    let [first, second] = [&fitted, &penalised].map(|fitted| fitted.predicted_rows(&samples).expect("rows"));
    let comparison = first.compare(&second, 200, 1);
    let difference = fitted.evaluate(&samples).expect("rows").loss - penalised.evaluate(&samples).expect("rows").loss;
    assert!(comparison.loss.is_some_and(|test| (test.difference - difference).abs() < 1e-12 && test.p_value < 1e-6));

    let weights = Parameters { n_features: 2, columns: 1, weight: vec![1.0, 0.0], bias: vec![0.0] };
    let foreign = Fitted::of_weights(LinkKind::Logistic, weights, &[false, true]).expect("weights");
    let error = foreign.summary(&samples, &options).expect_err("no training");
    assert!(error.to_string().contains("not fitted here"), "{error}");
}
