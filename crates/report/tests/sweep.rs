//! The plot and the table of a sweep, on made-up points.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod svg;

use std::collections::BTreeMap;

use chainrule_core::{
    Certificate, Class, DataKind, FinalMetrics, GradientSource, ModelKind, Precision, SearchEnd, UnusedFiles,
    WeightNorms,
};
use chainrule_records::{DataSummary, Divergence, Grid, GridKey, Manifest, Seconds, Summary, SweepPlan};
use chainrule_report::{PointOutcome, Sweep};
use serde_json::json;
use svg::texts;

/// Returns the summary of a finished point.
fn ended() -> Summary {
    Summary {
        experiment: "softmax".into(),
        model: ModelKind::Softmax,
        backend: "none".into(),
        device: "none".into(),
        precision: Precision::F32,
        gradient: GradientSource::Fused,
        threads: 1,
        data: DataSummary {
            source: "made up".into(),
            kind: DataKind::Images,
            sha256: "0".into(),
            train: 20_000,
            validation: 10_000,
            image_size: [28, 28],
            features: Vec::new(),
            recipe: None,
            rows_of_other_classes: None,
            is_validated_on_training: false,
            classes: (0..10).map(Class::Number).collect(),
            unused: UnusedFiles::default(),
        },
        class_weights: None,
        seed: 0,
        steps: 1560,
        steps_per_epoch: 156,
        dropped_rows: 0,
        epochs_completed: 10,
        stopped_early: false,
        interrupted: false,
        stop_epoch: 9,
        stop_step: 1559,
        certificate: None,
        identification: None,
        best_step: 1550,
        best_validation_loss: 0.37,
        final_metrics: FinalMetrics {
            train_loss: 0.28,
            validation_loss: 0.3,
            train_accuracy: 0.9227,
            validation_accuracy: 0.9157,
        },
        constant: None,
        further_decrease: None,
        weight_norm: WeightNorms { frobenius: 3.0, frobenius_squared: 9.0, spectral: 2.3 },
        seconds: Seconds::default(),
        files: BTreeMap::new(),
    }
}

/// Creates a sweep over these keys with made-up results. A point for which `change` returns false
/// diverged.
fn synthetic_sweep(keys: &[&str], change: impl Fn(usize, &mut Summary) -> bool) -> Sweep {
    interrupted_sweep(keys, usize::MAX, change)
}

/// Like [`synthetic_sweep`], with the first `finished` points only.
fn interrupted_sweep(keys: &[&str], finished: usize, change: impl Fn(usize, &mut Summary) -> bool) -> Sweep {
    let ended = ended();
    let keys = keys.iter().map(|text| GridKey::parse(text).unwrap()).collect();
    let plan = SweepPlan {
        config: "made-up.toml".to_owned(),
        text: String::new(),
        set: Vec::new(),
        of_sgd: Vec::new(),
        threads: 1,
        grid: Grid::new(keys).unwrap(),
        manifests: Vec::<Manifest>::new(),
    };
    let outcome = |point: usize| {
        let mut summary = ended.clone();
        summary.final_metrics.validation_loss = 1.0 + 0.1 * ((point * 7) % 10) as f64;
        let is_whole = change(point, &mut summary);
        let divergence = Divergence { step: point, problem: "it was made up".to_owned() };
        (point, if is_whole { PointOutcome::Ended(Box::new(summary)) } else { PointOutcome::Diverged(divergence) })
    };
    Sweep::new(&plan, (0..plan.grid.points().len().min(finished)).map(outcome).collect())
}

#[test]
fn plots_are_labelled_and_well_formed() {
    let of = |keys: &[&str], change: &dyn Fn(usize, &mut Summary) -> bool| {
        let files = synthetic_sweep(keys, change).files();
        let file = |name: &str| files.iter().find(|file| file.0 == name).unwrap().1.clone();
        // The PNG has two pixels for each unit of the SVG.
        let (svg, png) = (String::from_utf8(file("sweep.svg")).unwrap(), file("sweep.png"));
        let width: u32 = svg.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        assert_eq!((&png[..4], u32::from_be_bytes(png[16..20].try_into().unwrap())), (&b"\x89PNG"[..], 2 * width));
        texts(&svg)
    };
    let whole = |_: usize, _: &mut Summary| true;
    let has = |texts: &[String], expected: &[&str]| {
        for expected in expected {
            assert!(texts.iter().any(|text| text == expected), "{expected:?} is not in {texts:?}");
        }
    };
    let one = of(&["objective.l2=0,1e-3,0.1"], &whole);
    has(&one, &["0", "1e-3", "0.1", "objective.l2 (logarithmic, 0 at the left)", "cross-entropy (nats)", "accuracy"]);
    assert!(one[0].starts_with("best: l2 = 0 (1.0000 nats, "), "{one:?}");
    // Numbers over less than two decades, or with a negative one, have a linear axis.
    has(&of(&["descent.learning_rate=0.1,0.2,9"], &whole), &["descent.learning_rate"]);
    has(&of(&["descent.optimizer=adam,sgd"], &whole), &["adam", "sgd", "descent.optimizer"]);
    let diverged = |point: usize, _: &mut Summary| point != 2;
    has(&of(&["objective.l2=1,2,3"], &diverged), &["diverged, or loss far above"]);

    let two = of(&["descent.optimizer=adam,sgd", "objective.l2=0,0.1,1"], &diverged);
    has(&two, &["adam", "0.1", "1.7000", "diverged", "descent.optimizer", "objective.l2"]);
    // A nearly diverged point does not change the colours of the others. The scale ends at a
    // thousand times the best loss.
    let huge = |point: usize, summary: &mut Summary| {
        if point == 1 {
            summary.final_metrics.validation_loss = 3e31;
        }
        true
    };
    has(&of(&["descent.optimizer=adam,sgd", "objective.l2=0,0.1,1"], &huge), &["3.00e31", "1.0", "1.8"]);
    let three = of(&["descent.optimizer=adam,sgd", "objective.l2=0,0.1", "descent.batch_size=32,64"], &whole);
    has(
        &three,
        &["descent.optimizer", "objective.l2", "descent.batch_size", "a point", "the best point with this value"],
    );
    // Many values are thinned out. Long or strange values do not break the plot.
    let seeds = (0..200).map(|seed| seed.to_string()).collect::<Vec<_>>().join(",");
    let many = of(&[&format!("descent.shuffle.seed={seeds}")], &whole);
    assert!(many.iter().any(|text| text == "descent.shuffle.seed") && many.len() < 60, "{}", many.len());
    let unescaped =
        of(&["data.label='<a & \"b\">',\"it's\"", "data.source='/a/very/long/path/to/a/folder/of/files',b"], &whole);
    has(&unescaped, &["&lt;a &amp; &quot;b&quot;&gt;", "b"]);
}

#[test]
fn a_table_has_a_row_for_every_ending() {
    let endings = |point: usize, summary: &mut Summary| {
        let certificate = |ended, bound| Certificate {
            objective: 1.0,
            gradient_norm: 1e-5,
            bound,
            tolerance: 1e-6,
            ended,
            iterations: 3,
            gradients: 4,
        };
        (summary.stopped_early, summary.stop_step) = (point == 1, 70 + point);
        summary.certificate = match point {
            2 => Some(certificate(SearchEnd::Converged, 1e-9)),
            3 => Some(certificate(SearchEnd::IterationsUsedUp, 1e-3)),
            4 => Some(certificate(SearchEnd::Rounding, 1e-3)),
            _ => None,
        };
        point != 5
    };
    let sweep = synthetic_sweep(&["descent.epochs=1,2,3,4,5,6"], endings);
    let rows = sweep.json()["rows"].clone();
    let ended: Vec<&str> = (0..6).map(|point| rows[point]["ended"].as_str().unwrap()).collect();
    assert_eq!(ended, ["all-epochs", "stopped-early", "converged", "iterations-used-up", "not-converged", "diverged"]);
    assert!(!sweep.certificates_hold());
    let table = sweep.table(30);
    for words in [
        "all epochs completed",
        "stopped early at step 71",
        "at the minimum",
        "all iterations completed, not at the minimum",
        "diverged at step 5",
    ] {
        assert!(table.lines().any(|line| line.ends_with(words)), "{table}");
    }
    // Diverged points are last. A long table is cut after its first rows.
    assert!(table.lines().nth(7).unwrap().ends_with("diverged at step 5"), "{table}");
    assert!(sweep.table(2).contains("… and 4 more"), "{}", sweep.table(2));
}

const LAMBDAS: &str = "objective.l2=0.001,0.01,0.1,1,10";
const SEEDS: &str = "descent.shuffle.seed=0,1,2,3,4";

/// Returns the validation loss of a lambda and a seed. The luckiest run has lambda = 0.01, and 0.1
/// has the lowest mean, 0.4. Its standard error is 0.00524, by hand.
fn loss_by_seed(lambda: usize, seed: usize) -> f64 {
    let of_seeds = match lambda {
        1 => [-0.11, 0.03, 0.03, 0.03, 0.02],
        2 => [-0.02, 0.01, 0.0, 0.005, 0.005],
        _ => [0.01, -0.01, 0.0, 0.0, 0.0],
    };
    [0.42, 0.41, 0.4, 0.404, 0.5][lambda] + of_seeds[seed]
}

fn by_seed(point: usize, summary: &mut Summary) -> bool {
    summary.final_metrics.validation_loss = loss_by_seed(point / 5, point % 5);
    true
}

fn file(sweep: &Sweep, name: &str) -> String {
    let files = sweep.files();
    String::from_utf8(files.into_iter().find(|file| file.0 == name).unwrap().1).unwrap()
}

#[test]
fn the_best_of_a_sweep_over_seeds_is_that_of_the_means() {
    let sweep = synthetic_sweep(&[LAMBDAS, SEEDS], by_seed);
    let json = sweep.json();
    assert_eq!(
        (&json["best"], &json["best_combination"], &json["one_standard_error"]),
        (&json!(null), &json!(2), &json!(3))
    );
    let best = &json["combinations"][2];
    assert_eq!((&best["values"], &best["seeds"]), (&json!({ "objective.l2": 0.1 }), &json!(5)));
    assert_eq!(best["points"], json!([11, 12, 13, 14, 15]));
    let loss = |name: &str| best["validation_loss"][name].as_f64().unwrap();
    assert!((loss("mean") - 0.4).abs() < 1e-12, "{best}");
    assert!((loss("standard_error") - (0.000_137_5f64 / 5.0).sqrt()).abs() < 1e-12, "{best}");
    assert!((loss("standard_deviation") - 0.000_137_5f64.sqrt()).abs() < 1e-12, "{best}");
    // The single runs are listed, and the luckiest is not the best.
    let table = sweep.table(30);
    let line = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{table}"));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(line("*"))[..4], ["*", "0.1", "0.400000", "0.005244"], "{table}");
    assert_eq!(table.matches('*').count(), 1, "{table}");
    let chosen = table.lines().find(|line| line.ends_with("the largest penalty within one std. error of the best"));
    assert_eq!(words(chosen.unwrap())[..2], ["1", "0.404000"], "{table}");
    let singles: Vec<&str> = table.lines().filter(|line| line.ends_with("all epochs completed")).collect();
    assert_eq!((singles.len(), &words(singles[0])[..4]), (25, &["6", "0.01", "0", "0.300000"].map(str::to_owned)[..]));
    assert!(table.contains("The best combination was chosen by its mean"), "{table}");

    let page = file(&sweep, "sweep.md");
    assert!(
        page.contains("Best: **l2 = 0\\.1**, mean validation loss 0.400000")
            || page.contains("Best: **l2 = 0.1**, mean validation loss 0.400000"),
        "{page}"
    );
    let means = file(&sweep, "sweep-means.csv");
    let means: Vec<Vec<&str>> = means.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(means[0][..5], ["objective.l2", "seeds", "diverged", "validation_loss", "validation_loss_error"]);
    assert_eq!((means.len(), &means[3][..3]), (6, &["0.1", "5", "0"][..]));
    let svg = texts(&file(&sweep, "sweep.svg"));
    assert!(svg[0].starts_with("best: l2 = 0.1 (0.4000 ± 0.0052 nats"), "{svg:?}");
    assert!(
        ["one seed", "± std. error", "objective.l2 (logarithmic)"].iter().all(|text| svg.iter().any(|t| t == text)),
        "{svg:?}"
    );

    // The order of the keys does not matter.
    let turned = synthetic_sweep(&[SEEDS, LAMBDAS], |point, summary| {
        summary.final_metrics.validation_loss = loss_by_seed(point % 5, point / 5);
        true
    });
    assert_eq!(turned.json()["best_combination"], 2);
    assert_eq!(turned.json()["combinations"][2]["validation_loss"], best["validation_loss"]);
    // Two other keys have a map of the means.
    let map = synthetic_sweep(&["descent.optimizer=adam,sgd", LAMBDAS, SEEDS], |point, summary| {
        by_seed(point % 25, summary);
        summary.final_metrics.validation_loss += if point < 25 { 0.1 } else { 0.0 };
        true
    });
    let svg = texts(&file(&map, "sweep.svg"));
    assert!(svg[0].starts_with("best: optimizer = sgd, l2 = 0.1 (0.4000 ±"), "{svg:?}");
    assert!(svg.iter().any(|text| text == "0.5100"), "{svg:?}");
    assert_eq!(map.json()["one_standard_error"], 8);
}

#[test]
fn a_sweep_over_seeds_alone_has_a_mean_and_no_best() {
    let sweep = synthetic_sweep(&[SEEDS, "objective.l2=0.1"], |seed, summary| by_seed(10 + seed, summary));
    let (json, table, page) = (sweep.json(), sweep.table(30), file(&sweep, "sweep.md"));
    assert_eq!(
        (&json["best"], &json["best_combination"], &json["one_standard_error"]),
        (&json!(null), &json!(null), &json!(null))
    );
    let mean = "validation loss: mean 0.400000 over 5 seeds, standard deviation 0.011726, standard error 0.005244";
    assert!(table.contains(mean) && page.contains(mean), "{table}");
    assert!(!table.contains('*') && !table.contains("optimistic") && !page.contains("Best"), "{table}");
    assert!(texts(&file(&sweep, "sweep.svg"))[0].starts_with("validation loss: mean 0.400000"));
    // One value of the seed is a setting as any other.
    let one = synthetic_sweep(&[LAMBDAS, "descent.shuffle.seed=3"], |_, _| true);
    assert!(one.table(30).contains('*') && one.json().get("combinations").is_none());
}

#[test]
fn a_combination_without_all_its_seeds_is_not_the_best() {
    // One run with lambda = 0.1 diverged.
    let diverged = |point: usize, summary: &mut Summary| by_seed(point, summary) && point != 12;
    let sweep = synthetic_sweep(&[LAMBDAS, SEEDS], diverged);
    let json = sweep.json();
    assert_eq!((&json["best_combination"], &json["combinations"][2]["diverged"]), (&json!(3), &json!(1)));
    assert_eq!(json["combinations"][2]["validation_loss"], json!(null));
    let table = sweep.table(30);
    assert!(table.lines().any(|line| line.ends_with("5, 1 diverged") && line.contains('–')), "{table}");
    // The sweep was interrupted after two runs with lambda = 0.1.
    let sweep = interrupted_sweep(&[LAMBDAS, SEEDS], 12, by_seed);
    assert_eq!(sweep.json()["best_combination"], 1, "{}", sweep.table(30));
    assert!(sweep.table(30).lines().any(|line| line.ends_with("2 of 5")), "{}", sweep.table(30));
    texts(&file(&sweep, "sweep.svg"));
}
