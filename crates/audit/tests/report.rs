//! Figures and verdicts on made-up runs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod synthetic;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use Verdict::{Corrected, NotSupported, Supported};
use chainrule_audit::{FIGURES, HARD_ROWS, Plan, PlanError, Report};
use chainrule_records::GradientCheck;
use chainrule_report::{Chart, Content, Figure, Purpose, Run, Verdict, files_of, svg};
use synthetic::{MODELS, Story};

impl Story {
    fn run(&mut self, name: &str) -> &mut Run {
        self.runs.get_mut(name).unwrap()
    }

    /// Returns the first row of the gradient checks whose text begins with `what`.
    fn check(&mut self, what: &str) -> &mut GradientCheck {
        self.checks.rows.iter_mut().find(|row| row.what.starts_with(what)).unwrap()
    }
}

/// Checks the verdict on a claim after a change of the story.
#[track_caller]
fn check(id: &str, change: impl FnOnce(&mut Story), expected: Verdict) {
    let mut story = Story::new();
    change(&mut story);
    let report = story.report();
    let claim = report.claims.iter().find(|claim| claim.id == id).unwrap();
    assert_eq!(claim.verdict, expected, "{id}: {} {}", claim.measured, claim.why);
}

#[test]
fn the_synthetic_report_gets_its_verdicts() {
    let actual: Vec<(String, Verdict)> =
        Story::new().report().claims.into_iter().map(|claim| (claim.id, claim.verdict)).collect();
    let expected = [
        ("1a", Supported),
        ("1b", Supported),
        ("2d", Corrected),
        ("2e-i", NotSupported),
        ("2e-ii", Corrected),
        ("3d", NotSupported),
        ("4a", Corrected),
        ("4b", Corrected),
        ("4c, 4d", NotSupported),
        ("4e", Corrected),
    ];
    assert_eq!(actual, expected.map(|(id, verdict)| (id.to_owned(), verdict)));
}

#[test]
fn every_verdict_has_its_rule_on_both_pages() {
    let report = Story::new().report();
    assert_eq!(report.html.matches("<b>Rule. </b>").count(), report.claims.len());
    for claim in &report.claims {
        let verdict = claim.verdict.name();
        assert!(claim.rule.contains(verdict), "{}: {verdict}: {}", claim.id, claim.rule);
        assert!(claim.rule.ends_with('.') && !claim.rule.contains('|'), "{}", claim.rule);
        assert!(report.markdown.contains(&format!("> *Rule.* The verdict is {}\n", claim.rule)), "{}", claim.id);
    }
}

/// 38 of 40 seeds stop earlier. Wilson's interval for it:
/// (p + z²/2n ± z sqrt(p (1-p)/n + z²/4n²)) / (1 + z²/n) = 0.835 to 0.986.
#[test]
fn a_count_of_seeds_has_its_interval() {
    let mut story = Story::new();
    for seed in 0..40 {
        story.run(&format!("logistic-seed-{seed}")).summary.stop_step = if seed < 38 { 500 } else { 2000 };
    }
    let report = story.report();
    let claim = report.claims.iter().find(|claim| claim.id == "2e-ii").unwrap();
    assert!(claim.measured.contains("83 % to 99 % of all seeds (Wilson's 95 % interval)"), "{}", claim.measured);
}

/// λ = 1 with R = Σ w² is λ = 2 with half of it, so two runs show what each convention gives.
#[test]
fn the_claim_on_the_penalty_compares_both_conventions() {
    let measured = |story: &Story| story.report().claims.into_iter().find(|claim| claim.id == "4a").unwrap().measured;
    let mut story = Story::new();
    let text = measured(&story);
    assert!(text.contains("for λ = 1, training with λw ends after 1560 steps with a spectral norm of 0.400"), "{text}");
    assert!(text.contains("with 2λw it ends after 1560 steps with a spectral norm of 0.280"), "{text}");
    story.run("softmax-l2-2").config = story.runs["softmax-l2-0.1"].config.clone();
    assert!(!measured(&story).contains("2λw"), "the runs say nothing about 2λw");
}

/// The page has each step of the derivations in its task, and what is wrong with the misprinted
/// lines.
#[test]
fn the_derivations_are_checked_line_by_line() {
    let page = Story::new().report().markdown;
    let section =
        |title: &str| page.split(&format!("\n## {title}")).nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    let count = |section: &str, result: &str| {
        section.lines().filter(|line| line.starts_with('|') && line.contains(result)).count()
    };
    let steps = ["Task 1a", "Task 1b", "Task 4a"].map(|task| count(&section(task), "| holds"));
    assert_eq!(steps, [16, 15, 4]);
    let misprints = section("Lines of the derivations");
    let counts =
        ["| holds", "| wrong", "| cannot be decided", "holds only where $K = N$"].map(|r| count(&misprints, r));
    assert_eq!(counts, [1, 5, 2, 1], "{misprints}");
    assert!(misprints.contains("The exponent $n$ for 2: $R = "), "{misprints}");
}

#[test]
fn a_gradient_that_disagrees_is_not_supported() {
    for (claim, line) in
        [("1a", "Eq. (6)"), ("1b", "Eqs. (15)"), ("1b", "Eq. (18)"), ("1a", "no penalty"), ("4a", "Eq. (22),")]
    {
        let fail = |story: &mut Story| {
            let line = story.check(line);
            (line.passed, line.failed, line.problem) = (false, 3, Some("off by two".into()));
        };
        check(claim, fail, NotSupported);
    }
    // Without gradient checks, the claim is not supported.
    check("1a", |story| story.checks.rows.clear(), NotSupported);
}

#[test]
fn the_penalty_claim_is_supported_if_both_sums_pass() {
    let forget = |story: &mut Story| story.checks.rows.retain(|row| !row.what.contains("refused"));
    check("4a", forget, NotSupported);
    check("4a", |story| story.check("Eq. (22) refused").passed = false, Supported);
}

#[test]
fn early_stopping_is_judged_by_epoch_and_patience() {
    check("2d", |story| story.run("logistic").summary.stop_epoch = 20, NotSupported);
    check("2d", |story| story.run("logistic").summary.stopped_early = false, NotSupported);
    // A loss with a single turning point ends the run within two epochs for all nearby patiences.
    let turn = |story: &mut Story| {
        for evaluation in &mut story.run("logistic-full-length").history.evaluations {
            evaluation.validation_loss = (evaluation.step as f64 - 978.0).abs();
        }
    };
    check("2d", turn, Supported);
}

#[test]
fn batches_of_one_class_are_counted() {
    check("2e-i", |story| story.facts.batches[3] = vec![0, 128], Corrected);
    // Without spikes there is nothing to explain.
    let no_spikes = |story: &mut Story| {
        story.facts.batches[3] = vec![0, 128];
        story.run("logistic").history.evaluations.iter_mut().for_each(|evaluation| evaluation.validation_loss = 0.1);
    };
    check("2e-i", no_spikes, NotSupported);
}

#[test]
fn irregular_spikes_are_not_aliasing() {
    let mut story = Story::new();
    let aliasing = |story: &Story| {
        let report = story.report();
        report.claims.iter().find(|claim| claim.id == "2e-i").unwrap().evidence.clone()
    };
    let evidence = aliasing(&story);
    assert_eq!(evidence["aliasing"], true);
    assert_eq!(evidence["spikes"], serde_json::json!([204, 390, 576, 762, 948]));
    assert_eq!(evidence["period"], 186);
    story.run("logistic").history.evaluations[50].validation_loss = 0.5;
    let actual = aliasing(&story);
    assert_eq!((&actual["aliasing"], &actual["spikes"][1]), (&false.into(), &300.into()));
    // One spike is no period.
    for evaluation in &mut story.run("logistic").history.evaluations {
        evaluation.validation_loss = if evaluation.step == 204 { 0.5 } else { 0.1 };
    }
    let actual = aliasing(&story);
    assert_eq!((&actual["aliasing"], &actual["spikes"]), (&false.into(), &serde_json::json!([204])));
}

#[test]
fn shuffled_runs_are_judged_together() {
    let set = |story: &mut Story, step: fn(usize) -> usize| {
        for seed in 0..40 {
            let summary = &mut story.run(&format!("logistic-seed-{seed}")).summary;
            (summary.stop_step, summary.stop_epoch) = (step(seed), step(seed) / 31);
        }
    };
    check("2e-ii", |story| set(story, |seed| 400 + 10 * seed), Supported);
    check("2e-ii", |story| set(story, |seed| 900 + 10 * seed), NotSupported);
    check("2e-ii", |story| set(story, |seed| 700 + 10 * seed), Corrected);
    // All stop earlier, but only slightly.
    check("2e-ii", |story| set(story, |_| 1030), Corrected);
    // The report's own run stops with all the others, so it is typical.
    check("2e-ii", |story| set(story, |_| 522), Supported);
}

#[test]
fn overfitting_is_a_rising_validation_loss_and_a_wide_gap() {
    let rise = |story: &mut Story| {
        for evaluation in &mut story.run("softmax").history.evaluations {
            evaluation.validation_loss = evaluation.step as f64;
        }
    };
    check("3d", rise, Supported);
    let both = |story: &mut Story| {
        rise(story);
        story.run("softmax").summary.final_metrics.train_accuracy = 0.9158;
    };
    check("3d", both, Corrected);
    // A gap of 1.5 of its standard errors: its 95 % interval contains 0.
    let narrow = |story: &mut Story| {
        rise(story);
        story.run("softmax").summary.final_metrics.train_accuracy = 0.9157 + 0.005;
    };
    check("3d", narrow, Corrected);
}

#[test]
fn the_claim_on_pictures_names_its_lambda() {
    check(
        "4b",
        |story| {
            let named = story.run("softmax-l2-1").clone();
            story.run("softmax-l2-2").config = named.config;
        },
        Supported,
    );
}

/// Sets the validation accuracy of a model, as the share of the rows from the first on.
fn set_accuracy(story: &mut Story, name: &str, accuracy: f64) {
    let metrics = &mut story.run(name).summary.final_metrics;
    metrics.validation_accuracy = accuracy;
    let new = synthetic::results(metrics);
    story.facts.results.insert(name.to_owned(), new);
}

#[test]
fn penalties_are_compared_on_the_same_rows() {
    let minimum = |lambda: &f64| format!("softmax-l2-{lambda}-minimum");
    let full_length = |lambda: &f64| format!("softmax-l2-{lambda}-full-length");
    let lambdas: Vec<f64> = MODELS.iter().map(|model| model.0).collect();
    let (weakest, others) = lambdas.split_last().unwrap();
    let report = Story::new().report();
    let claim = report.claims.iter().find(|claim| claim.id == "4c, 4d").unwrap();
    assert_eq!(claim.verdict, NotSupported);
    assert!(claim.why.contains("the model of λ = 0.001 wins 185 to 0"), "{}", claim.why);
    assert!(claim.why.contains("costs accuracy: λ = 1, λ = 0.1, λ = 0.01."), "{}", claim.why);
    // McNemar's z is (185 - 0) / sqrt(185).
    let z = claim.evidence["minimum"]["models"][3]["z"].as_f64().unwrap();
    assert!((z - 185f64.sqrt()).abs() < 1e-12, "{z}");

    // Each penalty costs accuracy: at the minimum and after the epochs.
    let all_worse = |story: &mut Story| {
        others.iter().for_each(|lambda| set_accuracy(story, &minimum(lambda), 0.88));
        set_accuracy(story, &minimum(weakest), 0.899);
        lambdas.iter().for_each(|lambda| set_accuracy(story, &full_length(lambda), 0.88));
    };
    check("4c, 4d", all_worse, Supported);
    // One of them costs nothing that shows: 3 images on which only one of two models is right.
    let one_equal = |story: &mut Story| {
        all_worse(story);
        set_accuracy(story, &full_length(&0.01), 0.9154);
    };
    check("4c, 4d", one_equal, Corrected);
    // Six wins to none have a p value of 0.03, but among five tests that is no sign of anything.
    let lucky = |story: &mut Story| {
        all_worse(story);
        others.iter().for_each(|lambda| set_accuracy(story, &minimum(lambda), 0.899));
        set_accuracy(story, &minimum(&0.1), 0.8996);
    };
    check("4c, 4d", lucky, Corrected);
    let clear = |story: &mut Story| {
        lucky(story);
        set_accuracy(story, &minimum(&0.1), 0.9006);
    };
    check("4c, 4d", clear, NotSupported);
}

#[test]
fn a_search_that_missed_its_minimum_is_named() {
    let mut story = Story::new();
    let measured =
        |story: &Story| story.report().claims.into_iter().find(|claim| claim.id == "4c, 4d").unwrap().measured;
    assert!(!measured(&story).contains("ended before its tolerance"));
    story.run("softmax-l2-0.0001-minimum").summary.certificate.as_mut().unwrap().bound = 2e-6;
    assert!(measured(&story).contains("ended before its tolerance for λ = 0.0001."), "{}", measured(&story));
}

/// A minimum is the same for any path to it, so its number of steps may differ.
#[test]
fn a_minimum_may_be_reached_by_other_steps() {
    let old = Story::new().report().numbers;
    let differences = |change: fn(&mut Run)| {
        let mut story = Story::new();
        change(story.run("softmax-l2-0.01-minimum"));
        old.differences(&story.report().numbers)
    };
    assert!(differences(|run| (run.summary.steps, run.summary.best_step) = (99, 98)).is_empty());
    assert!(differences(|run| run.summary.final_metrics.validation_accuracy -= 0.0019).is_empty());
    assert!(differences(|run| run.summary.weight_norm.spectral *= 1.0005).is_empty());
    for change in [
        (|run| run.summary.final_metrics.validation_accuracy -= 0.0022) as fn(&mut Run),
        |run| run.summary.weight_norm.spectral *= 1.002,
        |run| run.summary.certificate = None,
    ] {
        assert_eq!(differences(change).len(), 1, "{:?}", differences(change));
    }
}

/// In the story, the step is of 185 of 10 000 rows, all of them wins.
#[test]
fn the_gap_grows_by_its_paired_error() {
    let report = Story::new().report();
    let claim = report.claims.iter().find(|claim| claim.id == "3d").unwrap();
    // From 0.887 and 0.88 to 0.9227 and 0.9157: both by 0.0357, in 20 000 and 10 000 rows.
    let error = |n: f64| (0.0357 * (1.0 - 0.0357) / (n - 1.0)).sqrt();
    let (growth, expected) =
        (claim.evidence["growth_since_first_epoch"].as_f64().unwrap(), error(2e4).hypot(error(1e4)));
    let actual = claim.evidence["growth_standard_error"].as_f64().unwrap();
    assert!(growth.abs() < 1e-4 && (actual / expected - 1.0).abs() < 1e-6, "{growth} {actual} {expected}");
}

#[test]
fn a_hard_batch_is_explained_by_its_worst_rows() {
    let mut story = Story::new();
    let measured = |story: &Story| story.report().claims.into_iter().find(|claim| claim.id == "2e-i").unwrap().measured;
    let text = measured(&story);
    assert!(text.contains("raises the validation loss from 0.070 to 0.170"), "{text}");
    assert!(text.contains("(training images 11700, 11701, 11702, 11703; losses 2.50,"), "{text}");
    assert!(text.contains("Without them, the step ends at a validation loss of 0.120."), "{text}");

    // A picture of them is made only where the report may show rows of the data.
    let picture = |story: &Story| story.report().files().into_iter().find(|(name, _)| name == HARD_ROWS);
    assert!(picture(&story).is_none() && !text.contains(HARD_ROWS));
    story.facts.shows_rows = true;
    assert!(measured(&story).contains("`figures/hard-rows.png` shows them."));
    let (_, png) = picture(&story).unwrap();
    let info = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap().info().size();
    assert!(info.0 > 2 * 4 * 112 && info.1 > 2 * 112, "{info:?}");
    story.facts.hard_batch = None;
    assert!(!measured(&story).contains("Without them") && picture(&story).is_none());
}

#[test]
fn the_claim_on_norms_names_the_right_norm() {
    check("4e", |story| story.run("softmax-l2-0.01").summary.weight_norm.spectral = 0.1, NotSupported);
    let rank_one = |story: &mut Story| {
        for run in story.runs.values_mut() {
            run.summary.weight_norm.frobenius_squared = run.summary.weight_norm.spectral;
            run.summary.weight_norm.frobenius = run.summary.weight_norm.spectral.sqrt();
        }
    };
    check("4e", rank_one, Supported);
}

#[test]
fn curves_of_a_chart_have_different_colours() {
    // The page switches a curve by its colour.
    for figure in Story::new().report().figures {
        if let Content::Chart(chart) = &figure.content {
            let colors: BTreeSet<String> = chart.series.iter().map(|series| series.color.hex()).collect();
            assert_eq!(colors.len(), chart.series.len(), "{}", figure.id);
        }
    }
}

#[test]
fn figures_are_reproducible_and_not_blank() {
    let report = Story::new().report();
    assert_eq!(report.figures.len(), FIGURES.len());
    for figure in &report.figures {
        let [(svg_name, svg_bytes), (png_name, png_bytes)] = files_of(figure);
        assert_eq!((svg_name, png_name), (format!("figures/{}.svg", figure.id), format!("figures/{}.png", figure.id)));
        assert_eq!(files_of(figure)[0].1, svg_bytes);
        let mut reader = png::Decoder::new(std::io::Cursor::new(&png_bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let [width, height] = svg(figure, Purpose::File).size;
        assert_eq!((info.width, info.height), (2 * width, 2 * height), "{}", figure.id);
        let dark = pixels.chunks(3).filter(|pixel| pixel.iter().all(|&value| value < 100)).count();
        assert!(dark > 500, "{} has {dark} dark pixels: are its letters missing?", figure.id);
        assert!(pixels.chunks(3).filter(|pixel| **pixel == [255, 255, 255]).count() > 10_000, "{}", figure.id);
    }
}

#[test]
fn lines_are_clipped_to_the_chart() {
    // In this story, the validation accuracy starts far below figure 2's lower limit.
    let mut story = Story::new();
    for evaluation in story.run("logistic").history.evaluations.iter_mut().take(3) {
        evaluation.validation_accuracy = 0.1;
    }
    let report = story.report();
    let figure = report.figures.iter().find(|figure| figure.id == "figure-2").unwrap();
    let Content::Chart(chart) = &figure.content else { panic!("figure 2 is a chart") };
    let drawing = svg(figure, Purpose::File);
    let [left, top, right, bottom] = drawing.plot.unwrap();
    let color = chart.series[1].color.hex();
    let lines: Vec<&str> =
        drawing.svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(&color)).collect();
    assert!(!lines.is_empty());
    for line in lines {
        let points = line.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        for point in points.split_whitespace() {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (i32, i32) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((left..=right).contains(&x) && (top..=bottom).contains(&y), "{x}, {y} in {line}");
        }
    }
    // No line follows the lower edge, as it would if points below it were only moved.
    let at_the_edge = |line: &&str| line.matches(&format!(",{bottom}")).count() > 1;
    assert!(!drawing.svg.lines().filter(|line| line.contains(&color)).any(|line| at_the_edge(&line)));
}

/// Returns the chart of a figure, and the figure.
fn chart<'a>(report: &'a Report, id: &str) -> (&'a Figure, &'a Chart) {
    let figure = report.figures.iter().find(|figure| figure.id == id).unwrap();
    let Content::Chart(chart) = &figure.content else { panic!("{id} is no chart") };
    (figure, chart)
}

/// Returns the points of each element with this name and colour in a drawing.
fn points(svg: &str, element: &str, color: &str) -> Vec<Vec<(i32, i32)>> {
    let lines = svg.lines().filter(|line| line.starts_with(&format!("<{element}")) && line.contains(color));
    let point = |point: &str| point.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap();
    lines
        .map(|line| line.split("points=\"").nth(1).unwrap().split('"').next().unwrap())
        .map(|points| points.split_whitespace().map(point).collect())
        .collect()
}

#[test]
fn a_curve_that_leaves_the_frame_has_a_mark() {
    let triangles = |story: &Story| {
        let report = story.report();
        let (figure, chart) = chart(&report, "figure-5");
        let drawing = svg(figure, Purpose::File);
        let bottom = drawing.plot.unwrap()[3];
        let color = chart.series[1].color.hex();
        let marks = points(&drawing.svg, "polygon", &color).into_iter();
        let at_bottom = marks.filter(|corners| corners.iter().any(|corner| (bottom - corner.1).abs() <= 2)).count();
        (at_bottom, figure.caption.contains("Triangles on the frame"))
    };
    let mut story = Story::new();
    // The frame of figure 5 begins at 89 %.
    let stays = |run: &mut Run| {
        for evaluation in &mut run.history.evaluations {
            (evaluation.train_accuracy, evaluation.validation_accuracy) = (0.9, 0.91);
        }
    };
    stays(story.run("softmax"));
    assert_eq!(triangles(&story), (0, false));
    story.run("softmax").history.evaluations[20].validation_accuracy = 0.5;
    assert_eq!(triangles(&story), (1, true));
    story.run("softmax").history.evaluations[0].validation_accuracy = 0.5;
    assert_eq!(triangles(&story), (2, true));
}

#[test]
fn the_quoted_accuracy_is_the_end_of_the_curve() {
    let report = Story::new().report();
    let (figure, chart) = chart(&report, "figure-5");
    let last = chart.series.iter().map(|series| *series.points.last().unwrap()).collect::<Vec<_>>();
    assert_eq!(last, [(1559.0, 0.9157 + 0.007), (1559.0, 0.9157)]);
    assert!(figure.caption.contains("end at 92.27 % and 91.57 %."), "{}", figure.caption);
}

#[test]
fn whole_numbers_are_drawn_as_steps() {
    let report = Story::new().report();
    let (figure, chart) = chart(&report, "2d-patience");
    let lines = points(&svg(figure, Purpose::File).svg, "polyline", &chart.series[0].color.hex());
    let corners: Vec<_> = lines.iter().flat_map(|line| line.windows(2)).collect();
    assert!(corners.len() > 10, "{}", corners.len());
    assert!(corners.iter().all(|pair| pair[0].0 == pair[1].0 || pair[0].1 == pair[1].1));
}

#[test]
fn every_curve_of_a_file_has_a_name_in_it() {
    let report = Story::new().report();
    for figure in &report.figures {
        let Content::Chart(chart) = &figure.content else { continue };
        let text = svg(figure, Purpose::File).svg.replace("&apos;", "'").replace("&#39;", "'");
        let named = chart.series.iter().filter(|series| !series.points.is_empty());
        for series in named.filter(|_| chart.series.len() > 1) {
            let name = if series.label.is_empty() { &series.name } else { &series.label };
            assert!(text.contains(name.as_str()), "{}: {name}", figure.id);
        }
    }
}

/// The contrast of two colours by WCAG 2.2, from 1 to 21.
fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let linear = |level: u8| match f64::from(level) / 255.0 {
        level if level <= 0.04045 => level / 12.92,
        level => ((level + 0.055) / 1.055).powf(2.4),
    };
    let luminance = |[r, g, b]: [u8; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
    (a / b).max(b / a)
}

#[test]
fn every_colour_stands_out_from_both_backgrounds() {
    use chainrule_report::Color::{Blue, Green, Grey, Orange, Purple, Sky, Vermillion};
    for color in [Blue, Vermillion, Green, Purple, Orange, Sky, Grey] {
        for background in [[255; 3], [0x16; 3]] {
            let contrast = contrast(color.rgb(), background);
            assert!(contrast >= 3.0, "{color:?} on {background:?}: {contrast}");
        }
    }
}

#[test]
fn rows_of_pictures_say_what_their_grey_levels_mean() {
    let report = Story::new().report();
    let figure = report.figures.iter().find(|figure| figure.id == "figure-6").unwrap();
    let Content::Pictures(pictures) = &figure.content else { panic!("figure 6 has pictures") };
    let weights = || pictures.rows.iter().flat_map(|row| row.classes.iter().flatten());
    let limit = weights().fold(0.0, |limit: f64, weight| limit.max(weight.abs()));
    let own = pictures.rows[0].scale.grey(&pictures.rows[0].classes[0]);
    assert_eq!((own.iter().min(), own.iter().max()), (Some(&0), Some(&255)));
    assert_eq!(pictures.rows[3].scale.grey(&[-limit, 0.0, limit]), [0, 128, 255]);
    let text = svg(figure, Purpose::File).svg;
    assert!(text.contains("rows 1 to 2: each picture from its smallest weight to its largest"));
    assert!(text.contains(&format!("rows 3 to 4: all on one scale, from −{limit:.3} to {limit:.3}")));
}

#[test]
fn axis_limits_extend_to_the_data() {
    let mut story = Story::new();
    for run in story.runs.values_mut() {
        for evaluation in &mut run.history.evaluations {
            evaluation.validation_accuracy /= 3.0;
            evaluation.train_accuracy /= 3.0;
        }
        let last = &mut run.summary.final_metrics;
        (last.train_accuracy, last.validation_accuracy) = (last.train_accuracy / 3.0, last.validation_accuracy / 3.0);
    }
    let report = story.report();
    let figure = report.figures.iter().find(|figure| figure.id == "figure-5").unwrap();
    let Content::Chart(chart) = &figure.content else { panic!("figure 5 is a chart") };
    assert!(chart.y.range.start < 0.3 && chart.y.range.end < 0.35, "{:?}", chart.y.range);
}

#[test]
fn pages_escape_the_name_of_the_data() {
    let mut story = Story::new();
    story.facts.data_name = "<script>alert(1)</script> `a` $b$ | c".into();
    story.run("softmax").manifest.data_files[0].name = "</script><b>".into();
    let report = story.report();
    assert!(!report.html.contains("<script>alert"), "the name is code");
    assert!(report.html.contains("&lt;script&gt;alert(1)&lt;/script&gt; `a` $b$ | c"));
    assert!(!report.html.contains("</script><b>"));
    // The problem of a failed check has several lines and marks. The table of verdicts still has
    // one line.
    let problem = "weight: *odd one out* | `x`\nsecond line";
    let line = story.check("Eq. (6)");
    (line.passed, line.problem) = (false, Some(problem.into()));
    let failed = story.report();
    assert!(failed.markdown.contains("| 1a | ∂C/∂w = −(y − p) x for the binary cross-entropy | **not supported** | weight: \\*odd one out\\* \\| \\`x\\` |\n"));
    assert!(report.markdown.contains("\\<script\\>alert(1)\\</script\\> \\`a\\` \\$b\\$ \\| c"));
}

#[test]
fn the_page_is_self_contained() {
    let report = Story::new().report();
    let links = report.html.replace("http://www.w3.org/", "");
    for scheme in ["http:", "https:", "//cdn", "@import", "src="] {
        assert!(!links.contains(scheme), "{scheme}");
    }
    // MathML marks unknown LaTeX as an error. There must be none.
    assert!(!report.html.contains("merror"));
    assert!(report.html.matches("<math").count() > 30);
}

#[test]
fn the_markdown_links_existing_pictures() {
    let report = Story::new().report();
    let files: BTreeMap<String, Vec<u8>> = report.files().into_iter().collect();
    let named: Vec<&str> = report.markdown.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert_eq!(named.len(), FIGURES.len());
    for name in named {
        assert!(files.contains_key(name), "{name}");
    }
    let claims: serde_json::Value = serde_json::from_slice(&files["claims.json"]).unwrap();
    assert_eq!(claims[3]["verdict"], "not supported");
    assert_eq!(claims.as_array().unwrap().len(), report.claims.len());
}

#[test]
fn differences_find_every_changed_number() {
    let old = Story::new().report().numbers;
    let read: chainrule_audit::Numbers = serde_json::from_str(&old.to_json()).unwrap();
    assert_eq!(read, old);
    assert_eq!(old.differences(&old), Vec::<String>::new());
    type Change = fn(&mut Story);
    let changes: [(&str, Change); 6] = [
        ("steps", |story| story.run("softmax").summary.steps += 1),
        ("stop epoch", |story| story.run("logistic").summary.stop_epoch += 1),
        ("correct validation rows", |story| {
            story.run("logistic").summary.final_metrics.validation_accuracy -= 3.0 / 2042.0;
        }),
        ("spectral", |story| story.run("softmax-l2-1").summary.weight_norm.spectral *= 1.01),
        ("validation loss", |story| story.run("softmax").summary.final_metrics.validation_loss = f64::NAN),
        ("claim 4a", |story| story.check("Eq. (22) refused").passed = false),
    ];
    for (what, change) in changes {
        let mut story = Story::new();
        change(&mut story);
        let differences = old.differences(&story.report().numbers);
        assert!(differences.iter().any(|line| line.contains(what)), "{what}: {differences:?}");
    }
    let mut fewer = old.clone();
    fewer.runs.remove("softmax");
    assert_eq!(old.differences(&fewer), ["softmax: was not run"]);
    assert_eq!(fewer.differences(&old), ["softmax: is new"]);
}

#[test]
fn an_invalid_plan_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_configs(folder.path());
    let plan = |text: &str| -> PlanError {
        let path = folder.path().join("plan.toml");
        std::fs::write(&path, text).unwrap();
        Plan::read(&path, &[]).unwrap_err()
    };
    let run =
        |name: &str, config: &str, more: &str| format!("[[run]]\nname = '{name}'\nconfig = '{config}.toml'\n{more}\n");
    let two = |more: &str| run("a", "softmax", "") + &run("b", "logistic", more);
    for (text, expected) in [
        (String::from("run = 3"), "plan.toml: line 1: expected a list"),
        (run("a", "absent", ""), "absent.toml"),
        (run("a", "softmax", "set = { 'descent.epoch' = 1 }"), "descent.epochs"),
        (run("a", "softmax", "sed = 1"), "plan.toml: line 4: unknown key sed; expected one of name, config,"),
        (run("a/b", "softmax", ""), "a/b"),
        (two("after = 'c'"), "after = \"c\" names no run above it"),
        (two("as_long_as = 'c'"), "as_long_as = \"c\" names no run above it"),
        (two("after = 'a'"), "has other data or another shuffle"),
        (run("a", "softmax", "") + &run("a", "softmax", ""), "two runs are named \"a\""),
    ] {
        let error = plan(&text).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    assert!(Plan::read(Path::new("no/plan.toml"), &[]).unwrap_err().to_string().contains("no/plan.toml"));
}

/// Writes experiments for plans: `softmax.toml` and `logistic.toml`.
fn write_configs(folder: &Path) {
    for (name, classes) in [("softmax", ""), ("logistic", "[data]\nclasses = [2, 3]\n")] {
        let text = format!("{classes}[model]\nkind = '{name}'\n");
        std::fs::write(folder.join(format!("{name}.toml")), text).unwrap();
    }
}

#[test]
fn a_report_is_reproducible() {
    let pages = |report: &Report| (report.html.clone(), report.markdown.clone());
    assert_eq!(pages(&Story::new().report()), pages(&Story::new().report()));
}

#[test]
fn a_plan_with_too_many_runs_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_configs(folder.path());
    let plan = folder.path().join("plan.toml");
    for (seeds, is_too_many) in [("4294967295", true), ("10001", true), ("3", false)] {
        let text = format!("[[run]]\nname = \"many\"\nconfig = \"softmax.toml\"\nseeds = {seeds}\n");
        std::fs::write(&plan, text).unwrap();
        match Plan::read(&plan, &[]) {
            Ok(plan) => assert!(!is_too_many && plan.runs.len() == 3),
            Err(error) => assert!(is_too_many && error.to_string().contains("expected at most 10000"), "{error}"),
        }
    }
}
