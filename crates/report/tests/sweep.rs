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

/// Creates a sweep over these keys with made-up results.
fn synthetic_sweep(keys: &[&str], change: impl Fn(usize, &mut Summary) -> bool) -> Sweep {
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
    Sweep::new(&plan, (0..plan.grid.points().len()).map(outcome).collect())
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
