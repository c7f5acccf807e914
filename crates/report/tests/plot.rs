//! The plots of a person's own runs, on made-up numbers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod svg;

use chainrule_core::{Evaluation, History};
use chainrule_evaluate::{Binning, Ranking};
use chainrule_report::{
    CoefficientInterval, Color, DescentPath, Forest, Mark, Matrix, Plane, Plot, PlotContent, PlotStyle, RunHistory,
    TextStyle, Theme, WeightImages, boundary, curves, surface,
};
use svg::texts;

const STYLE: PlotStyle = PlotStyle { size: None, theme: Theme::Light };
const PLAIN: TextStyle = TextStyle { columns: 60, lines: 8, has_braille: false, start_color: None };

/// A history whose losses fall from 2 with this speed.
fn history(steps: usize, speed: f64) -> History {
    let loss = |step: usize| 0.3 + 1.7 / (1.0 + speed * step as f64);
    let evaluation = |step: usize| Evaluation {
        step,
        epoch: 0,
        validation_loss: loss(step) + 0.05,
        train_accuracy: 1.0 - 0.3 * loss(step),
        validation_accuracy: 0.98 - 0.3 * loss(step),
    };
    History {
        train_loss: (0..steps).map(loss).collect(),
        evaluations: (0..steps).step_by(10).map(evaluation).collect(),
    }
}

fn of<'a>(name: &'a str, history: &'a History, steps_per_epoch: usize) -> RunHistory<'a> {
    RunHistory { name, history, steps_per_epoch, is_validated_on_training: false }
}

fn has(texts: &[String], expected: &[&str]) {
    for expected in expected {
        assert!(texts.iter().any(|text| text == expected), "{expected:?} is not in {texts:?}");
    }
}

#[test]
fn curves_name_what_they_show() {
    let [slow, fast] = [history(400, 0.02), history(400, 0.2)];
    let one = curves(&[of("slow", &slow, 100)]);
    let svg = texts(&one.svg(STYLE));
    has(&svg, &["cross-entropy (nats)", "accuracy", "step", "training batches", "training rows", "validation rows"]);
    assert_eq!(one.explanation, "the training loss is the mean of 3 steps");
    // Several runs are named, and thin lines are those of the training.
    let two = curves(&[of("runs/slow", &slow, 100), of("runs/<fast>", &fast, 100)]);
    let svg = texts(&two.svg(STYLE));
    has(&svg, &["runs/slow", "runs/&lt;fast&gt;", "step"]);
    assert!(svg.iter().any(|text| text.starts_with("thin or dotted lines: training rows")), "{svg:?}");
    // Steps of other batches are not the same work, so the axis has epochs.
    let epochs = curves(&[of("slow", &slow, 100), of("fast", &fast, 50)]);
    has(&texts(&epochs.svg(STYLE)), &["epoch"]);
    // Without held-out rows nothing is called a validation.
    let all = curves(&[RunHistory { is_validated_on_training: true, ..of("slow", &slow, 100) }]);
    let svg = texts(&all.svg(STYLE));
    assert!(!svg.iter().any(|text| text.contains("validation")), "{svg:?}");
}

#[test]
fn a_loss_that_is_not_finite_leaves_a_plot_of_the_others() {
    let mut history = history(50, 0.1);
    history.train_loss[20] = f64::INFINITY;
    history.evaluations[3].validation_loss = f64::NAN;
    let svg = curves(&[of("diverged", &history, 10)]).svg(STYLE);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    texts(&svg);
    // A run of one step is a point.
    let one = History { train_loss: vec![1.0], evaluations: Vec::new() };
    texts(&curves(&[of("one", &one, 1)]).svg(STYLE));
}

#[test]
fn a_plot_has_the_size_and_the_colours_that_are_asked_for() {
    let history = history(100, 0.1);
    let plot = Plot { title: "a & b".to_owned(), ..curves(&[of("run", &history, 10)]) };
    let style = PlotStyle { size: Some([500, 300]), theme: Theme::Dark };
    let (svg, png) = (plot.svg(style), plot.png(style));
    assert!(svg.contains("width=\"500\" height=\"300\"") && svg.contains("#161616"), "{svg}");
    has(&texts(&svg), &["a &amp; b"]);
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((side(16), side(20)), (1000, 600));
}

#[test]
fn a_chart_as_text_fits_and_escapes_names() {
    let history = history(100, 0.1);
    let plot = curves(&[of("first\u{1b}[31m", &history, 10), of("second", &history, 10)]);
    let plain = plot.text(PLAIN);
    assert!(plain.is_ascii() && !plain.contains('\u{1b}'), "{plain}");
    assert!(plain.lines().all(|line| line.len() <= 60), "{plain}");
    assert!(plain.contains("** first\\u{1b}[31m") && plain.contains("oo second"), "{plain}");
    // The loss falls: its first mark is above the last one.
    let chart: Vec<&str> = plain.lines().collect();
    let line_of = |column: fn(&str) -> Option<usize>| chart[1..9].iter().position(|line| column(line).is_some());
    let [first, last] =
        [line_of(|line| line.find('o').filter(|at| *at < 15)), line_of(|line| line.rfind('o').filter(|at| *at > 50))];
    assert!(first.unwrap() < last.unwrap(), "{plain}");
    let braille =
        TextStyle { has_braille: true, start_color: Some(|color| format!("\u{1b}[{}m", color.rgb()[0])), ..PLAIN };
    let braille = plot.text(braille);
    assert!(braille.contains("\u{1b}[0m\u{1b}[") || braille.contains("\u{1b}[213m"), "{braille}");
    assert!(braille.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{braille}");
}

#[test]
fn roc_and_calibration_curves_are_those_of_the_rows() {
    let (scores, positive) = ([0.1, 0.4, 0.35, 0.8], [false, false, true, true]);
    let ranking = || Ranking::new(&scores, &positive, None).unwrap();
    let points = |plot: &Plot, series: usize| match &plot.content {
        PlotContent::Charts(charts) => charts[0].series[series].points.clone(),
        other => panic!("{other:?}"),
    };
    let roc = chainrule_report::roc(&[("a".to_owned(), ranking())]);
    assert_eq!(points(&roc, 1), [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
    // The grey line is that of a model that guesses.
    assert_eq!(points(&roc, 0), [(0.0, 0.0), (1.0, 1.0)]);
    let curve = chainrule_report::precision_recall(&[("a".to_owned(), ranking())], Some(0.5));
    assert_eq!(points(&curve, 0), [(0.0, 0.5), (1.0, 0.5)]);
    let curve = points(&curve, 1);
    assert_eq!((curve[0], curve.last().copied()), ((0.0, 1.0), Some((1.0, 0.5))));
    assert!(curve.windows(2).all(|pair| pair[0].0 == pair[1].0 || pair[0].1 == pair[1].1), "steps: {curve:?}");
    let bins = chainrule_evaluate::calibration(&scores, &positive, Binning::Uniform(2));
    let calibration = chainrule_report::calibration(&[("a".to_owned(), bins.clone())]);
    let expected: Vec<(f64, f64)> = bins.iter().map(|bin| (bin.probability, bin.fraction)).collect();
    assert_eq!(points(&calibration, bins.len() + 1), expected);
    texts(&calibration.svg(STYLE));
}

#[test]
fn coefficients_and_counts_are_drawn_in_their_rows() {
    let row = |name: &str, estimate: f64, interval: Option<[f64; 2]>| CoefficientInterval {
        name: name.to_owned(),
        estimate,
        interval,
    };
    let rows =
        vec![row("age", 1.0, Some([0.5, 1.5])), row("city = Rome", -0.2, Some([-0.6, 0.2])), row("base", 0.0, None)];
    let forest = Forest { label: "log odds".to_owned(), rows };
    let plot = Plot { title: String::new(), explanation: String::new(), content: PlotContent::Forest(forest) };
    let svg = plot.svg(STYLE);
    has(&texts(&svg), &["age", "city = Rome", "base", "log odds", "0.5"]);
    // The interval of the age is without 0 and blue, the other one is grey.
    assert!(svg.contains(&Color::Blue.hex()) && svg.contains(&Color::Grey.hex()), "{svg}");
    let text = plot.text(PLAIN);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("        age ") && lines[0].contains("|---") && lines[0].contains("o---"), "{text}");
    assert!(lines[0].contains(':') && !lines[1].contains("||"), "{text}");
    // 0 is in the interval of the second row.
    let zero = lines[0].find(':').unwrap();
    assert!(lines[1].find('|').unwrap() < zero && lines[1].rfind('|').unwrap() > zero, "{text}");

    let matrix = Matrix { classes: vec!["no".to_owned(), "yes".to_owned()], counts: vec![vec![90, 10], vec![7, 113]] };
    let plot = Plot { title: String::new(), explanation: String::new(), content: PlotContent::Matrix(matrix) };
    has(&texts(&plot.svg(STYLE)), &["90", "10", "7", "113", "no", "yes", "predicted class", "class"]);
    assert_eq!(plot.text(PLAIN), "       predicted class\nclass  no  yes\n   no  90   10\n  yes   7  113\n");
}

fn plane(plot: &Plot) -> &Plane {
    match &plot.content {
        PlotContent::Plane(plane) => plane,
        other => panic!("{other:?}"),
    }
}

/// The probabilities of classes whose logits are 0, x and y.
fn three_classes([x, y]: [f64; 2]) -> Vec<f64> {
    let odds = [1.0, x.exp(), y.exp()];
    odds.map(|odd| odd / odds.iter().sum::<f64>()).to_vec()
}

#[test]
fn a_boundary_is_where_two_classes_are_equally_probable() {
    let class = |name: &str, points: &[[f64; 2]]| (name.to_owned(), points.to_vec());
    let classes = [class("a", &[[-3.0, -2.0]]), class("<b>", &[[3.0, 0.0]]), class("c", &[[0.0, 4.0]])];
    let plot = boundary(["width", "height"], &classes, three_classes);
    let Plane { lines, field, chart, .. } = plane(&plot);
    assert!(!lines.is_empty());
    let points: Vec<(f64, f64)> = lines.iter().flatten().copied().collect();
    let gap = |&&(x, y): &&(f64, f64)| {
        let mut sorted = three_classes([x, y]);
        sorted.sort_by(f64::total_cmp);
        sorted[2] - sorted[1]
    };
    // Where three classes meet, the lines have a corner between the middles of cells.
    let far = points.iter().filter(|point| gap(point) > 1e-4).count();
    assert!(50 * far < points.len(), "{far} of {}", points.len());
    // The lower left corner is a's, and the lower right one b's.
    let shade = |column: usize| field.shades[column];
    let last = field.size[0] - 1;
    assert_eq!((shade(0).color, shade(last).color), (Color::Blue, Color::Vermillion));
    assert!(shade(0).strength > field.shades[field.size[0] / 2].strength, "{:?}", shade(0));
    let marks: Vec<Mark> = chart.series.iter().map(|series| series.mark).collect();
    assert!(marks[0] != marks[1] && marks[1] != marks[2], "classes differ without their colours: {marks:?}");
    for theme in [Theme::Light, Theme::Dark] {
        let svg = plot.svg(PlotStyle { theme, ..STYLE });
        has(&texts(&svg), &["width", "height", "a", "&lt;b&gt;", "c"]);
        assert!(svg.len() < 400_000, "{}", svg.len());
    }
    let text = plot.text(PLAIN);
    assert!(text.contains("** a") && text.contains("oo <b>") && text.contains("++ c") && text.contains('.'), "{text}");
}

#[test]
fn a_surface_has_its_minimum_and_its_paths() {
    let loss = |[x, y]: [f64; 2]| 1.0 + (x - 2.0).powi(2) + 3.0 * (y + 1.0).powi(2);
    let paths = [
        DescentPath { name: "slow".to_owned(), points: vec![[0.0, 0.0], [1.0, -0.5]] },
        DescentPath { name: "fast".to_owned(), points: vec![[0.0, 0.0], [2.5, -1.5]] },
    ];
    let plot = surface(["u", "v"], [2.0, -1.0], &paths, loss);
    let Plane { lines, chart, field, .. } = plane(&plot);
    assert!(plot.explanation.starts_with("blue: the loss, from 1.0000 to "), "{}", plot.explanation);
    assert!(lines.len() >= 8, "{}", lines.len());
    // A contour has one loss.
    for line in lines {
        let losses: Vec<f64> = line.iter().map(|&(x, y)| loss([x, y])).collect();
        let [low, high] = [f64::min, f64::max].map(|pick| losses.iter().copied().reduce(pick).unwrap());
        assert!(high - low < 0.05, "{low} {high}");
    }
    // The slow path is in front.
    assert_eq!(chart.series[0].points, [(0.0, 0.0), (2.5, -1.5)]);
    assert_eq!((chart.series[1].name.as_str(), chart.series[2].points.clone()), ("slow", vec![(2.0, -1.0)]));
    assert!(field.shades.iter().any(|shade| shade.strength == 0.0), "the minimum has the background's colour");
    has(&texts(&plot.svg(STYLE)), &["u", "v", "slow", "fast", "minimum"]);
}

#[test]
fn weights_are_images_of_one_scale() {
    let weights = WeightImages {
        classes: vec!["0".to_owned(), "seven & more".to_owned()],
        weights: vec![vec![1.0, 0.0, -0.5, 0.0, 0.0, 0.0], vec![-2.0; 6]],
        size: [2, 3],
    };
    let plot = Plot { title: String::new(), explanation: String::new(), content: PlotContent::Weights(weights) };
    let svg = plot.svg(STYLE);
    has(&texts(&svg), &["0", "seven &amp; more", "-2", "2"]);
    assert_eq!(svg.matches("<image").count(), 2);
    // A page that is too small shows a part.
    let small = PlotStyle { size: Some([200, 200]), theme: Theme::Dark };
    assert!(plot.png(small).starts_with(b"\x89PNG") && plot.svg(small).contains("<image"));
}
