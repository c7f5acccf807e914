//! Figures and verdicts on made-up runs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod synthetic;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use Verdict::{Corrected, NotSupported, Supported};
use chainrule_audit::{FIGURES, Plan, PlanError, Report};
use chainrule_records::GradientCheck;
use chainrule_report::{Content, Purpose, Run, Verdict, files_of, svg};
use synthetic::Story;

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
        ("4c, 4d", Corrected),
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

/// The page has each step of the derivations, and what is wrong with the misprinted lines.
#[test]
fn the_derivations_are_checked_line_by_line() {
    let page = Story::new().report().markdown;
    let section = page.split("## The derivations, line by line").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = |result: &str| section.lines().filter(|line| line.starts_with('|') && line.contains(result)).count();
    // 16 + 15 + 4 steps, and one misprint that is right if there are as many classes as rows.
    let counts = [rows("| holds"), rows("| wrong"), rows("| cannot be decided"), rows("holds only where $K = N$")];
    assert_eq!(counts, [36, 5, 2, 1], "{section}");
    assert!(section.contains("The exponent $n$ for 2: $R = "), "{section}");
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

#[test]
fn penalties_are_compared_at_full_length() {
    let set = |run: &mut Run, accuracy: f64| {
        run.history.evaluations.iter_mut().for_each(|evaluation| evaluation.validation_accuracy = accuracy);
    };
    check("4c, 4d", |story| set(story.run("softmax-l2-0.001-full-length"), 0.89), Supported);
    // Early stopping changes the length of a run. This effect is not attributed to the penalty.
    check("4c, 4d", |story| set(story.run("softmax-l2-0.001"), 0.5), Corrected);
    let all = |story: &mut Story| {
        for run in story.runs.values_mut().filter(|run| run.name.starts_with("softmax")) {
            set(run, 0.9157);
        }
    };
    check("4c, 4d", all, NotSupported);
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

#[test]
fn axis_limits_extend_to_the_data() {
    let mut story = Story::new();
    for run in story.runs.values_mut() {
        for evaluation in &mut run.history.evaluations {
            evaluation.validation_accuracy /= 3.0;
            evaluation.train_accuracy /= 3.0;
        }
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
