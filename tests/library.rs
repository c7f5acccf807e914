//! `Samples`, `Estimator` and `Fitted` as a user's program uses them, and the examples.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;

use chainrule::backend::Backend;
use chainrule::{Estimator, Fitted, Samples};
use chainrule_core::{ClassWeights, GradientSource, Optimizer, Precision, Schedule};
use chainrule_solve::Ending;
use chainrule_tests_macros::test;
use serde_json::{Value, json};

use crate::command::{ask, call, code, files_below, folder, process, text};
use crate::reference_tables::tables_folder;
use crate::support::{cpu, skip, uniform};

#[path = "../crates/chainrule/tests/flowers/mod.rs"]
pub(crate) mod flowers;

use flowers::{COLUMNS, assert_error, table};

/// An estimator on a CPU, as in the tests of the program.
fn softmax() -> Estimator {
    on_cpu(Estimator::softmax())
}

fn logistic() -> Estimator {
    on_cpu(Estimator::logistic())
}

fn on_cpu(estimator: Estimator) -> Estimator {
    estimator.backend(cpu().parse::<Backend>().unwrap()).threads(NonZero::<usize>::MIN)
}

fn fitted_to_flowers(samples: &Samples) -> Fitted {
    let [train, validation] = samples.split(0.25, 1).unwrap();
    softmax().standardize().learning_rate(0.5).epochs(30).fit_validated(&train, &validation).unwrap()
}

#[test]
fn a_table_gives_the_programs_weights() {
    let folder = folder();
    let samples = table(folder.path(), "flowers.csv", &COLUMNS);
    let own_words = [
        (
            softmax().class_weights([("iris", 0.5), ("poppy", 2.0)]),
            "softmax",
            samples.clone(),
            vec!["objective.class_weights=[0.5, 2, 1]"],
        ),
        (
            logistic().class_weights([("rose", 3.0)]),
            "logistic",
            samples.with_classes(&["iris", "rose"]).unwrap(),
            vec!["data.classes=[\"rose\",\"iris\"]", "objective.class_weights.rose=3"],
        ),
    ];
    for (estimator, kind, samples, more) in own_words {
        let [train, validation] = samples.split(0.3, 9).unwrap();
        let estimator = estimator.standardize().l2(0.02).learning_rate(0.3).epochs(4).batch_size(16).seed(9);
        let estimator = estimator
            .optimizer(Optimizer::Adam)
            .precision(Precision::F64)
            .with(|settings| settings.descent.schedule = Schedule::Cosine);
        let fitted = estimator.fit_validated(&train, &validation).unwrap();

        std::fs::write(folder.path().join("own.toml"), format!("[model]\nkind = {kind:?}")).unwrap();
        let mut arguments =
            vec!["train", "own.toml", "--data", "flowers.csv", "--backend", cpu(), "--threads", "1", "--out", kind];
        let settings = [
            "data.label=species",
            "data.validation_fraction=0.3",
            "data.standardize=true",
            "objective.l2=0.02",
            "descent.learning_rate=0.3",
            "descent.epochs=4",
            "descent.batch_size=16",
            "descent.shuffle.seed=9",
            "descent.optimizer=adam",
            "descent.precision=f64",
            "descent.schedule=cosine",
        ];
        settings.iter().chain(&more).for_each(|setting| arguments.extend(["--set", setting]));
        let summary = ask(folder.path(), &arguments);
        let of_run = Fitted::load(folder.path().join(kind)).unwrap();
        assert_eq!(fitted.parameters(), of_run.parameters());
        assert_eq!((fitted.classes(), fitted.columns()), (of_run.classes(), of_run.columns()));
        assert_eq!(fitted.predictor().preprocessing(), of_run.predictor().preprocessing());
        let training = fitted.training().unwrap();
        let validation = training.validation.unwrap();
        let metrics = json!({
            "train_loss": training.train.loss, "train_accuracy": training.train.accuracy,
            "validation_loss": validation.loss, "validation_accuracy": validation.accuracy,
        });
        assert_eq!(metrics, summary["final"]);
        assert_eq!((json!(training.steps), training.ending), (summary["steps"].clone(), Ending::Completed));
        assert!(of_run.training().is_none());
    }
}

#[test]
fn real_tables_give_the_programs_weights_with_nothing_but_the_label() {
    let (folder, tables) = (folder(), tables_folder());
    let references = std::fs::read_to_string(tables.join("reference.json")).unwrap();
    let references: BTreeMap<String, Value> = serde_json::from_str(&references).unwrap();
    for (name, reference) in &references {
        let (file, label) = (tables.join(format!("{name}.csv")), reference["label"].as_str().unwrap());
        let data = ["train", "--data", file.to_str().unwrap(), "--label", label, "--out", name];
        ask(folder.path(), &[&data[..], &["--backend", cpu(), "--threads", "1"]].concat());
        let of_run = Fitted::load(folder.path().join(name)).unwrap();
        let samples = Samples::csv(&file, label).unwrap().with_positive_last().unwrap();
        let [train, validation] = samples.split(0.2, 0).unwrap();
        let fitted = on_cpu(Estimator::for_table(&train)).fit_validated(&train, &validation).unwrap();
        // The settings of the training are not part of this, but everything that it gives is.
        assert_eq!(json!(fitted), json!(of_run), "{name}");
    }
}

#[test]
fn images_give_the_programs_weights() {
    let folder = folder();
    let arguments = ["data", "--write-idx", "digits", "--train-images", "400", "--validation-images", "200", "--quiet"];
    assert_eq!(code(&call(folder.path(), &arguments)), Some(0));
    std::fs::write(folder.path().join("own.toml"), "[model]\nkind = \"softmax\"").unwrap();
    let [train, validation] = Samples::load(folder.path().join("digits").to_str().unwrap()).unwrap();
    assert_eq!([train.len(), validation.len(), train.n_features()], [400, 200, 784]);
    for (source, name) in [(GradientSource::Auto, "auto"), (GradientSource::Autodiff, "autodiff")] {
        let fitted = softmax().epochs(3).gradient(source).fit_validated(&train, &validation).unwrap();
        let out = format!("runs/{name}");
        let run =
            ["train", "own.toml", "--data", "digits", "--gradient", name, "--set", "descent.epochs=3", "--out", &out];
        let summary = ask(folder.path(), &[&run[..], &["--backend", cpu(), "--threads", "1"]].concat());
        assert_eq!(fitted.parameters(), Fitted::load(folder.path().join(out)).unwrap().parameters());
        let accuracy = fitted.score(&validation).unwrap();
        assert_eq!(json!(accuracy), summary["final"]["validation_accuracy"]);
    }
}

#[test]
fn library_and_program_read_a_saved_model() {
    let folder = folder();
    let samples = table(folder.path(), "flowers.csv", &COLUMNS);
    let fitted = fitted_to_flowers(&samples);
    let model = folder.path().join("models/own");
    fitted.save(&model).unwrap();
    let again = Fitted::load(&model).unwrap();
    assert_eq!(again.parameters(), fitted.parameters());
    assert_eq!(again.predict_proba(&samples).unwrap(), fitted.predict_proba(&samples).unwrap());
    assert_error(fitted.save(&model), &["models/own"]);
    let before = files_below(&model);

    let answer = ask(folder.path(), &["evaluate", "models/own", "--data", "flowers.csv", "--label", "species"]);
    let metrics = fitted.evaluate(&samples).unwrap();
    assert_eq!((&answer["accuracy"], answer["rows"].as_u64()), (&json!(metrics.accuracy), Some(120)));
    assert!((answer["loss"].as_f64().unwrap() - metrics.loss).abs() < 1e-12);
    let answer = ask(folder.path(), &["predict", "models/own", "flowers.csv"]);
    assert_eq!(answer["predictions"][7]["probabilities"], json!(fitted.predict_proba(&samples).unwrap()[7]));
    let output = call(folder.path(), &["evaluate", "models/own", "--label", "species"]);
    assert!(text(&output.stderr).contains("was fitted to"), "{}", text(&output.stderr));
    assert_eq!(files_below(&model), before);
    assert_error(Fitted::load(folder.path().join("configs")), &["configs"]);
}

#[test]
fn check_gradient_passes_on_samples() {
    let folder = folder();
    let flowers = table(folder.path(), "flowers.csv", &COLUMNS);
    let digits = Samples::digits(30, 1);
    for (estimator, samples) in [
        (softmax().standardize().l2(0.1), &flowers),
        (logistic().standardize().precision(Precision::F64), &flowers.with_classes(&["rose", "iris"]).unwrap()),
        (logistic().l2(0.3).with(|all| all.objective.penalize_bias = true), &digits.with_classes(&[2, 3]).unwrap()),
        (softmax().gradient(GradientSource::Autodiff), &digits),
        (
            softmax()
                .with(|all| all.objective.class_weights = Some(ClassWeights::PerClass(vec![0.5, 2.0, 1.0])))
                .standardize(),
            &flowers,
        ),
    ] {
        let report = estimator.check_gradient(samples).unwrap();
        report.assert_pass();
        assert!(report.checked() > 3, "{report}");
        let shown = report.to_string();
        assert!(shown.contains("autodiff, closed form"), "{shown}");
    }
    assert_error(softmax().learning_rate(0.0).check_gradient(&flowers), &["descent.learning_rate"]);
}

#[test]
fn gradient_checks_use_rows_of_all_classes() {
    // A hundred rows of one class come first, then a few of the other.
    let rows: Vec<[f64; 2]> = uniform(3, 220).chunks_exact(2).map(|pair| [pair[0], 100.0 * pair[1]]).collect();
    let labels: Vec<&str> = (0..110).map(|row| if row < 100 { "common" } else { "rare" }).collect();
    let samples = Samples::from_rows(&rows, &labels).unwrap();
    for estimator in [softmax(), logistic()] {
        let estimator = estimator.standardize().balanced().l2(0.1);
        let report = estimator.check_gradient(&samples).unwrap();
        report.assert_pass();
        // The weights and statistics of a fit need rows of all classes.
        let only_common = estimator.check_gradient(&samples.with_classes(&["common"]).unwrap());
        assert_error(only_common, &["1 class (common)"]);
    }
}

#[test]
fn the_examples_run() {
    let built = std::env::current_exe().unwrap().parent().unwrap().with_file_name("examples");
    let expected = [
        ("csv", "validation: loss"),
        ("own_module", "by hand is the only gradient that disagrees with the differences"),
        ("own_loop", "epoch 4:"),
        ("lambdas", "lambda  training loss"),
        ("anywhere", "bytes tell 10 classes apart"),
        ("own_loss", "no certificate: the link has no dual"),
    ];
    for (name, expected) in expected {
        let program = built.join(name);
        if !program.exists() {
            skip("the examples are not built, as cargo test --workspace builds them");
        }
        // Examples are built with the default features, whatever the features of these tests.
        let output = process(program).env_remove("CHAINRULE_BACKENDS").output().unwrap();
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        let out = text(&output.stdout);
        assert!(out.contains(expected), "{name}: {out}");
    }
    let written =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/chainrule/examples")).unwrap();
    let written =
        written.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "rs"));
    assert_eq!(written.count(), expected.len());
}

/// In f32, as for tensors.
#[test]
fn the_divergence_error_suggests_a_fix() {
    let large = Samples::from_rows(&[[1e30], [-1e30]], &["a", "b"]).unwrap();
    assert_error(
        softmax().fit_validated(&large, &large),
        &["training diverged", "descent.learning_rate below 0.01", "standardize"],
    );
}
