//! The commands `evaluate`, `compare`, `summary`, `cv`, `plot` and `sweep` over seeds on small
//! tables that are drawn here.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn call(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chainrule"));
    command.current_dir(folder).env_remove("CHAINRULE_DATA").args(arguments.split(' ')).output().unwrap()
}

/// Returns standard output. The command must succeed.
fn stdout(folder: &Path, arguments: &str) -> String {
    let output = call(folder, arguments);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(0), "{arguments}: {stderr}");
    stdout
}

fn json(folder: &Path, arguments: &str) -> Value {
    serde_json::from_str(&stdout(folder, &format!("{arguments} --json --quiet"))).unwrap()
}

/// Returns the error. The command must fail.
fn error(folder: &Path, arguments: &str) -> String {
    let output = call(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments}");
    String::from_utf8(output.stderr).unwrap()
}

/// Returns pseudo-random numbers from -1 to 1.
fn random(i: usize, column: usize) -> f64 {
    let mut x = ((i * 64 + column + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 29)) as f64 / 2f64.powi(63) - 1.0
}

/// A folder with a table, and runs named `name` with these further options.
fn folder(runs: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "age,noise,city,person,answer\n".to_owned();
    for i in 0..300 {
        let age = 40.0 + 20.0 * random(i, 0);
        let answer = if age - 40.0 + 25.0 * random(i, 1) > 0.0 { "yes" } else { "no" };
        let city = ["Rome", "Oslo", "Bonn"][i % 3];
        writeln!(text, "{age:.1},{:.3},{city},p{},{answer}", random(i, 2), i / 5).unwrap();
    }
    std::fs::write(folder.path().join("people.csv"), text).unwrap();
    for (name, more) in runs {
        let more = if more.is_empty() { String::new() } else { format!(" {more}") };
        let train = "train --data people.csv --label answer --set data.group=person --backend cpu --quiet";
        stdout(folder.path(), &format!("{train} --out {name}{more}"));
    }
    folder
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn evaluate_says_more_where_asked() {
    let folder = folder(&[("run", "")]);
    let short = stdout(folder.path(), "evaluate run --quiet");
    assert!(
        short.contains("\nAUC            0.") && short.contains("with 95 % confidence (DeLong), of yes\n"),
        "{short}"
    );
    assert!(!short.contains("Brier") && !short.contains("lift"), "{short}");
    let long = stdout(folder.path(), "evaluate run --quiet --more --beta 2 --costs 0,1/5,0");
    for part in
        ["\nBrier score", "\nMatthews", "\nF-2 ", "yes from a probability of 0.1667 on", "95 % (Wilson)", "lift\n"]
    {
        assert!(long.contains(part), "{long} has no {part:?}");
    }
    let answer = json(folder.path(), "evaluate run --beta 2 --costs 0,1/5,0");
    let (auc, of_yes) = (&answer["auc"], &answer["one_vs_rest"][1]);
    assert_eq!(auc, &of_yes["auc"]);
    assert!((number(&answer["log_loss"]["mean"]) - number(&answer["loss"])).abs() < 1e-12);
    assert!(short.contains(&format!("{:.4}", number(&auc["area"]))), "{short}");
    let rows: u64 = of_yes["calibration"].as_array().unwrap().iter().map(|bin| bin["rows"].as_u64().unwrap()).sum();
    assert_eq!(Some(rows), answer["rows"].as_u64());
    // The best threshold on these rows is not worse than any other.
    let costs = &answer["costs"];
    assert!(number(&costs["best_threshold"]["mean_cost"]) <= number(&costs["mean_cost_of_cheapest"]) + 1e-12);
    assert!(number(&costs["best_threshold"]["mean_cost"]) <= number(&costs["mean_cost"]) + 1e-12);

    let wrong = error(folder.path(), "evaluate run --costs 0,1,2/1,0,2/1,2,0");
    assert!(wrong.contains("--costs: 3 rows, but the model has 2 classes: [no, yes]"), "{wrong}");
    let wrong = error(folder.path(), "evaluate run --costs 0,1/x,0");
    assert!(wrong.contains("\"x\" is no number; expected rows of costs, as in 0,1/5,0"), "{wrong}");
}

#[test]
fn runs_are_compared_on_the_same_rows() {
    let folder = folder(&[
        ("good", ""),
        ("bad", "--set objective.l2=3"),
        ("same", ""),
        ("other", "--set data.validation_fraction=0.4"),
        ("reversed", "--set data.classes=[\"yes\",\"no\"]"),
    ]);
    let answer = json(folder.path(), "compare good bad same");
    let evaluated = json(folder.path(), "evaluate good");
    let runs = answer["runs"].as_array().unwrap();
    assert!((number(&runs[0]["loss"]) - number(&evaluated["loss"])).abs() < 1e-12);
    assert_eq!((&runs[0]["accuracy"], &runs[0]["auc"]), (&evaluated["accuracy"], &evaluated["auc"]["area"]));
    let pairs = answer["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 3);
    let loss = &pairs[0]["loss"];
    let difference = number(&runs[0]["loss"]) - number(&runs[1]["loss"]);
    assert!((number(&loss["difference"]) - difference).abs() < 1e-12 && difference < 0.0);
    assert!(number(&loss["p_value"]) < 0.01, "{loss}");
    // The losses of equal models have no test, and two of the three pairs have one: Holm's factor
    // is 2.
    assert_eq!((&pairs[1]["loss"], &pairs[1]["auc"]), (&Value::Null, &Value::Null));
    assert_eq!(number(&pairs[0]["adjusted"]["loss"]), 2.0 * number(&loss["p_value"]));
    let text = stdout(folder.path(), "compare good bad");
    for part in ["good minus bad\n", "McNemar's test (", "paired t test: ", "paired bootstrap of 2000 samples", "AUC"] {
        assert!(text.contains(part), "{text} has no {part:?}");
    }
    assert_eq!(stdout(folder.path(), "compare good bad"), text);

    let refused = error(folder.path(), "compare good other");
    assert!(refused.contains("other and good have other validation rows of people.csv"), "{refused}");
    assert!(refused.contains("name a data set for all runs with --data"), "{refused}");
    // All rows of a named file are the same rows.
    let answer = json(folder.path(), "compare good other --data people.csv");
    assert_eq!(answer["data"]["rows"], 300);
    let few = error(folder.path(), "compare good");
    assert!(few.contains("RUN"), "{few}");
    // The order of the classes does not matter: the same model, with its signs reversed.
    let answer = json(folder.path(), "compare good reversed");
    let runs = answer["runs"].as_array().unwrap();
    assert!((number(&runs[0]["auc"]) - number(&runs[1]["auc"])).abs() < 1e-9, "{answer}");
    assert!((number(&runs[0]["loss"]) - number(&runs[1]["loss"])).abs() < 1e-4, "{answer}");
    assert_eq!(runs[0]["accuracy"], runs[1]["accuracy"]);
}

#[test]
fn runs_of_other_labels_or_data_are_not_compared() {
    let folder = folder(&[("run", "")]);
    // The same rows, and the same names of classes.
    let table = std::fs::read_to_string(folder.path().join("people.csv")).unwrap();
    let swapped: Vec<String> = table
        .lines()
        .enumerate()
        .map(|(i, line)| match (i, i % 7) {
            (0, _) => format!("{line},vote"),
            (_, 0) => format!("{line},yes"),
            _ => format!("{line},no"),
        })
        .collect();
    std::fs::write(folder.path().join("people.csv"), swapped.join("\n") + "\n").unwrap();
    for label in ["answer", "vote"] {
        let train = format!("train --data people.csv --label {label} --backend cpu --quiet --out by-{label}");
        stdout(folder.path(), &train);
    }
    let refused = error(folder.path(), "compare by-answer by-vote --data people.csv --quiet");
    assert!(refused.contains("by-vote and by-answer have other labels for the same rows of people.csv"), "{refused}");
    // Digits have the same name, whatever their number is.
    for n in [40, 50] {
        let digits = "train softmax-optimum --data embedded --set data.train_images=60 --backend cpu --quiet";
        stdout(folder.path(), &format!("{digits} --set data.validation_images={n} --out digits-{n}"));
    }
    let refused = error(folder.path(), "compare digits-40 digits-50 --quiet");
    assert!(refused.contains("both from embedded digits, with different contents"), "{refused}");
}

#[test]
fn curves_are_written_and_lead_to_the_area() {
    let folder = folder(&[("run", "")]);
    let answer = json(folder.path(), "evaluate run --curves curves.csv");
    let text = std::fs::read_to_string(folder.path().join("curves.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap(), "class,threshold,false_positive_rate,true_positive_rate,precision");
    assert_eq!(lines.next().unwrap(), "yes,,0,0,1");
    let points: Vec<[f64; 4]> = lines
        .map(|line| {
            let numbers: Vec<f64> = line.split(',').skip(1).map(|number| number.parse().unwrap()).collect();
            numbers.try_into().unwrap()
        })
        .collect();
    assert!(points.is_sorted_by(|a, b| a[0] > b[0] && a[1] <= b[1] && a[2] <= b[2]), "{text}");
    assert_eq!(points.last().unwrap()[1..3], [1.0, 1.0]);
    let (mut area, mut precision, mut last) = (0.0, 0.0, [0.0; 2]);
    for [_, x, y, p] in points {
        area += (x - last[0]) * 0.5 * (y + last[1]);
        precision += (y - last[1]) * p;
        last = [x, y];
    }
    assert!((area - number(&answer["auc"]["area"])).abs() < 1e-12, "{area}");
    assert!((precision - number(&answer["average_precision"])).abs() < 1e-12, "{precision}");
    let exists = error(folder.path(), "evaluate run --curves curves.csv");
    assert!(exists.contains("curves.csv exists already; name another file with --curves"), "{exists}");
    stdout(folder.path(), "evaluate run --curves curves.csv --force --quiet");
}

/// A row of weight 2 counts as two rows, and one of weight 0 as none.
#[test]
fn an_evaluation_weighs_the_rows_as_the_training_did() {
    let folder = folder(&[]);
    let table = std::fs::read_to_string(folder.path().join("people.csv")).unwrap();
    let mut lines = table.lines();
    let header = lines.next().unwrap();
    let (mut weighted, mut repeated) = (format!("{header},w\n"), format!("{header},w\n"));
    for (i, line) in lines.enumerate() {
        writeln!(weighted, "{line},{}", i % 3).unwrap();
        (0..i % 3).for_each(|_| writeln!(repeated, "{line},1").unwrap());
    }
    std::fs::write(folder.path().join("people.csv"), weighted).unwrap();
    std::fs::write(folder.path().join("repeated.csv"), repeated).unwrap();
    let train = "train --data people.csv --label answer --set data.weight=w --validation 0 --backend cpu --quiet";
    stdout(folder.path(), &format!("{train} --out run"));
    let all = "--beta 2 --costs 0,1/5,0";
    let own = json(folder.path(), &format!("evaluate run {all}"));
    let repeated = json(folder.path(), &format!("evaluate run {all} --data repeated.csv"));
    assert!(repeated["weighted"].is_null() && own["weighted"]["column"] == "w", "{own}");
    let close = |own: &Value, repeated: &Value| {
        assert!((number(own) - number(repeated)).abs() < 1e-12, "{own} and {repeated}");
    };
    close(&own["weighted"]["loss"], &repeated["loss"]);
    close(&own["weighted"]["accuracy"], &repeated["accuracy"]);
    for of in ["/auc/area", "/brier_score/mean", "/f_beta/of_class/0", "/costs/mean_cost", "/matthews"] {
        close(own.pointer(of).unwrap(), repeated.pointer(of).unwrap());
    }
    close(&own["costs"]["best_threshold"]["mean_cost"], &repeated["costs"]["best_threshold"]["mean_cost"]);
    // Counts are of rows.
    assert_eq!((&own["rows"], &repeated["rows"]), (&300.into(), &300.into()));
    assert!((number(&own["loss"]) - number(&repeated["loss"])).abs() > 1e-6);
    let named = json(folder.path(), "evaluate run --data people.csv --weight w");
    assert_eq!(named["weighted"], own["weighted"]);
    let text = stdout(folder.path(), "evaluate run --quiet");
    assert!(text.contains(", by the weights in \"w\", as are AUC"), "{text}");
    let wrong = error(folder.path(), "evaluate run --weight nope");
    assert!(wrong.contains("no column \"nope\""), "{wrong}");
}

#[test]
fn cross_validation_scores_folds_and_chooses_a_penalty() {
    let folder = folder(&[]);
    let cv = "cv --data people.csv --label answer --backend cpu";
    let answer = json(folder.path(), &format!("{cv} --lambdas 0.001,1,0.03,0.3 --repeats 2 --folds 4"));
    let penalties = answer["penalties"].as_array().unwrap();
    assert_eq!((&answer["scheme"], &answer["data"]["rows"]), (&"stratified".into(), &300.into()));
    assert_eq!(penalties.len(), 4);
    for (scores, lambda) in penalties.iter().zip([0.001, 1.0, 0.03, 0.3]) {
        let of_folds = scores["of_folds"].as_array().unwrap();
        assert_eq!((number(&scores["l2"]), of_folds.len()), (lambda, 8));
        let rows: u64 = of_folds.iter().map(|fold| fold["validation_rows"].as_u64().unwrap()).sum();
        assert_eq!(rows, 600);
    }
    let position = |key: &str| answer[key].as_u64().unwrap() as usize;
    let [best, chosen] = ["best", "one_standard_error"].map(|key| &penalties[position(key)]);
    let limit = number(&best["loss"]["mean"]) + number(&best["loss"]["standard_error"]);
    assert!(number(&chosen["l2"]) >= number(&best["l2"]) && number(&chosen["loss"]["mean"]) <= limit);
    let text = stdout(folder.path(), &format!("{cv} --lambdas 0.001,1,0.03,0.3 --repeats 2 --folds 4 --quiet"));
    let lambdas: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.parse::<f64>().is_ok())
        .collect();
    assert_eq!(lambdas, ["1", "0.3", "0.03", "0.001"], "{text}");
    for part in ["4, 2 times, equal shares of each class", "  best", "train with --set objective.l2=", "are a guide"] {
        assert!(text.contains(part), "{text} has no {part:?}");
    }

    assert!(!text.contains("nested") && answer["nested"].is_null());
    for more in ["", " --set data.group=person", " --time-ordered"] {
        let nested = json(folder.path(), &format!("{cv} --lambdas 1,0.03 --folds 3 --nested{more}"));
        let chosen = nested["nested"]["chosen"].as_array().unwrap();
        assert!(chosen.len() == 3 && chosen.iter().all(|l2| [1.0, 0.03].contains(&number(l2))), "{chosen:?}");
    }
    let text = stdout(folder.path(), &format!("{cv} --lambdas 1,0.03 --folds 3 --nested --quiet"));
    assert!(text.contains("\nnested: with the largest") && text.contains(" in "), "{text}");

    // Rows of a group are in one fold: with a person's rows apart, its other rows are no help.
    let grouped = json(folder.path(), &format!("{cv} --set data.group=person --folds 3"));
    assert_eq!(
        (&grouped["scheme"], &grouped["penalties"][0]["of_folds"][0]["is_separated"]),
        (&"grouped".into(), &false.into())
    );
    let rows = grouped["penalties"][0]["of_folds"][0]["validation_rows"].as_u64().unwrap();
    assert_eq!(rows % 5, 0, "each person has five rows");
    // The penalty of the experiment, as text with a line for each fold.
    let text = stdout(folder.path(), &format!("{cv} --folds 3 --time-ordered --validation 0.2 --quiet"));
    assert!(text.contains("240 rows; 60 rows kept for a final test") && text.contains("\n3 "), "{text}");
    assert!(text.contains("\nmean ") && text.contains("\nstd. error "), "{text}");
}

#[test]
fn what_cannot_be_cross_validated_is_refused() {
    let folder = folder(&[]);
    let cv = "cv --data people.csv --label answer --backend cpu --quiet";
    let refused = |more: &str| error(folder.path(), &format!("{cv} {more}"));
    assert!(refused("--folds 301").contains("301 folds need 301 rows or more, found 300"));
    assert!(refused("--set data.group=city --folds 4").contains("4 folds need 4 groups or more, found 3"));
    let lambda = refused("--lambdas 1,x");
    assert!(lambda.contains("expected numbers from 0, as in 1,0.1,0.01"), "{lambda}");
    let stopping = refused("--set descent.solver=sgd --set early_stopping.patience=3");
    assert!(stopping.contains("early_stopping: the validation rows of a fold judge its model"), "{stopping}");
    // A setting that does not fit is named once, without a line of code.
    let images = "cv softmax-optimum --data embedded --set data.train_images=60 --backend cpu --quiet";
    let unpenalised = error(folder.path(), &format!("{images} --lambdas 0.1,0"));
    assert!(unpenalised.starts_with("error: objective.l2 = 0.0: without a penalty"), "{unpenalised}");
    assert_eq!(unpenalised.matches("objective.l2").count(), 1, "{unpenalised}");
    assert!(refused("--time-ordered --repeats 2").contains("--repeats"));
}

#[test]
fn a_summary_has_the_coefficients_in_every_format() {
    let exact = "--set objective.l2=0 --set descent.solver=newton";
    let folder = folder(&[("run", exact), ("penalised", "")]);
    let answer = json(folder.path(), "summary run");
    assert_eq!((&answer["estimate"]["kind"], &answer["base_class"]), (&"maximum-likelihood".into(), &"no".into()));
    let coefficients = answer["coefficients"].as_array().unwrap();
    let age = coefficients.iter().find(|coefficient| coefficient["feature"] == "age").unwrap();
    assert!(number(&age["p_value"]) < 1e-6 && number(&age["odds_ratio"]) > 1.0, "{age}");
    // The most frequent level of a category is fixed.
    let fixed = coefficients.iter().filter(|coefficient| coefficient["standard_error"].is_null());
    assert_eq!(fixed.count(), 1);

    let text = stdout(folder.path(), "summary run --quiet");
    let markdown = stdout(folder.path(), "summary run --quiet --format markdown");
    let latex = stdout(folder.path(), "summary run --quiet --format latex");
    let estimate = format!("{:.4}", number(&age["estimate"]));
    for table in [&text, &markdown, &latex] {
        assert!(table.contains(&estimate) && table.contains("0 (fixed)"), "{table}");
    }
    assert!(text.contains("maximum likelihood; log odds against no"), "{text}");
    assert!(
        markdown.contains("\n|---|---:|") && latex.contains("95\\% interval") && latex.ends_with("\\end{tabular}\n")
    );
    let csv = stdout(folder.path(), "summary run --quiet --format csv");
    let line = csv.lines().find(|line| line.starts_with("yes,no,age,")).unwrap();
    assert_eq!(line.split(',').nth(3).unwrap().parse::<f64>().unwrap(), number(&age["estimate"]));

    stdout(folder.path(), "summary run --quiet --format latex --out table.tex");
    assert_eq!(std::fs::read_to_string(folder.path().join("table.tex")).unwrap(), latex);
    assert!(error(folder.path(), "summary run --format latex --out table.tex").contains("--force"));

    let reversed = json(folder.path(), "summary run --base yes");
    let other = reversed["coefficients"].as_array().unwrap().iter().find(|c| c["feature"] == "age").unwrap();
    assert!((number(&other["estimate"]) + number(&age["estimate"])).abs() < 1e-12);
    assert!(error(folder.path(), "summary run --base yess").contains("did you mean yes?"));

    let robust = json(folder.path(), "summary run --robust");
    assert_eq!(robust["errors"]["kind"], "groups");
    assert!(number(&robust["errors"]["groups"]) > 30.0, "{}", robust["errors"]);

    let penalised = stdout(folder.path(), "summary penalised --quiet");
    assert!(
        penalised.contains("Laplace posterior under a Gaussian prior") && penalised.contains("95% credible"),
        "{penalised}"
    );
    assert!(
        !penalised.contains("maximum likelihood") && !penalised.contains("ratio test") && !penalised.contains("AIC")
    );
    let robust = stdout(folder.path(), "summary penalised --quiet --robust");
    assert!(robust.contains("not those of the posterior") && !robust.contains("Laplace"), "{robust}");
}

#[test]
fn names_do_not_steer_the_terminal() {
    let folder = folder(&[]);
    let table = std::fs::read_to_string(folder.path().join("people.csv")).unwrap();
    std::fs::write(folder.path().join("people.csv"), table.replace("yes", "ye\u{202e}s").replace("age", "a\u{2066}ge"))
        .unwrap();
    stdout(folder.path(), "train --data people.csv --label answer --backend cpu --quiet --out run");
    for format in ["text", "json", "csv", "latex", "markdown"] {
        let printed = stdout(folder.path(), &format!("summary run --quiet --format {format}"));
        assert!(!printed.contains(['\u{202e}', '\u{2066}']), "{format}: {printed:?}");
        assert!(printed.contains("noise"), "{format}: {printed}");
    }
}

#[test]
fn what_no_summary_can_say_is_an_error() {
    let folder = folder(&[("run", "")]);
    let far =
        "train --data people.csv --label answer --backend cpu --quiet --set descent.solver=sgd --set descent.epochs=1";
    stdout(folder.path(), &format!("{far} --out far"));
    let refused = error(folder.path(), "summary far");
    assert!(
        refused.contains("the training did not end at the minimum") && refused.contains("descent.solver"),
        "{refused}"
    );

    let table = std::fs::read_to_string(folder.path().join("people.csv")).unwrap();
    std::fs::write(folder.path().join("people.csv"), table.replace("Rome", "Roma")).unwrap();
    let changed = error(folder.path(), "summary run");
    assert!(
        changed.contains("people.csv: this is no longer the data that run was trained on; train again"),
        "{changed}"
    );
}

#[test]
fn a_plot_shows_the_numbers_of_the_other_commands() {
    let folder = folder(&[("run", ""), ("flat", "--set objective.l2=1")]);
    let folder = folder.path();
    let curves = stdout(folder, "plot run");
    assert!(
        curves.is_ascii() && curves.contains("\ncross-entropy (nats)\n") && curves.contains("\naccuracy\n"),
        "{curves}"
    );
    // The last point of the validation loss is that of the run's last evaluation.
    let drawn = json(folder, "plot run flat");
    let history = std::fs::read_to_string(folder.join("flat/history.json")).unwrap();
    let history: Value = serde_json::from_str(&history).unwrap();
    let last = |list: &Value| list.as_array().unwrap().last().unwrap().clone();
    let series = drawn["charts"][0]["series"].as_array().unwrap();
    assert_eq!(
        series.iter().map(|series| series["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["", "run", "", "flat"]
    );
    assert_eq!(last(&series[3]["points"])[1], last(&history["evaluations"])["validation_loss"]);

    assert_eq!(stdout(folder, "plot run flat --out both.svg"), "both.svg\n");
    assert!(std::fs::read_to_string(folder.join("both.svg")).unwrap().starts_with("<svg"));
    assert_eq!(stdout(folder, "plot run --out both.PNG --theme dark --size 300x300"), "both.PNG\n");
    assert!(std::fs::read(folder.join("both.PNG")).unwrap().starts_with(b"\x89PNG"));

    let forest = json(folder, "plot run --kind coefficients");
    let summary = json(folder, "summary run --standardized");
    let of_age = |rows: &Value, key: &str| {
        rows.as_array()
            .unwrap()
            .iter()
            .find(|row| row[key] == "age")
            .map(|row| (row["estimate"].clone(), row["interval"].clone()))
    };
    assert_eq!(of_age(&forest["rows"], "name"), of_age(&summary["coefficients"], "feature"));
    assert!(of_age(&forest["rows"], "name").is_some(), "{forest}");

    let roc = json(folder, "plot run flat --kind roc");
    let compared = json(folder, "compare run flat");
    for (series, run) in
        roc["charts"][0]["series"].as_array().unwrap()[1..].iter().zip(compared["runs"].as_array().unwrap())
    {
        let name = format!("{}: AUC {:.4}", run["run"].as_str().unwrap(), number(&run["auc"]));
        assert_eq!(series["name"].as_str(), Some(name.as_str()));
    }
    assert_eq!(json(folder, "plot run --kind confusion")["counts"], json(folder, "evaluate run")["confusion"]);
    for kind in ["precision-recall", "calibration"] {
        assert!(stdout(folder, &format!("plot run flat --kind {kind} --quiet")).contains(" run"), "{kind}");
    }

    stdout(folder, "export run --format json --out run.json");
    for (command, expected) in [
        ("plot run --out both.svg", "add --force to replace it"),
        ("plot run --out curves.pdf", "a plot is an SVG or a PNG; end the name with .svg or .png"),
        ("plot run flat --kind confusion", "--kind confusion draws one run"),
        ("plot run --class yes", "--class: --kind curves has no curve of a class"),
        ("plot run --data people.csv", "--data: --kind curves predicts no rows"),
        ("plot run --kind roc --class maybe", "--class maybe: the model's classes are [no, yes]"),
        ("plot run --size 9x9 --out small.svg", "expected a width and a height from 200 to 4000, as in 640x700"),
        ("plot run run run run run run run", "7 runs: more than 6 colours are hard to tell apart"),
        ("plot people.csv", "people.csv"),
    ] {
        let problem = error(folder, command);
        assert!(problem.contains(expected), "{command}: {problem}");
    }
}

#[test]
fn curves_of_other_data_are_drawn_with_a_note() {
    let folder = folder(&[("run", ""), ("seed", "--seed 7")]);
    let folder = folder.path();
    let note = |arguments: &str| String::from_utf8(call(folder, arguments).stderr).unwrap();
    assert!(
        note("plot run seed").contains("run and seed have other validation rows: their curves compare only roughly")
    );
    assert!(error(folder, "plot run seed --kind roc").contains("have other validation rows"));
}

#[test]
fn a_sweep_over_seeds_has_the_means_of_its_points() {
    let folder = folder(&[]);
    let sweep = "sweep --data people.csv --label answer --backend cpu --out sweep --grid objective.l2=0.001,0.1 --grid descent.shuffle.seed=0,1,2";
    let answer = json(folder.path(), sweep);
    let rows = answer["rows"].as_array().unwrap();
    for (combination, rows) in answer["combinations"].as_array().unwrap().iter().zip(rows.chunks(3)) {
        let losses: Vec<f64> = rows.iter().map(|row| number(&row["validation_loss"])).collect();
        let mean = losses.iter().sum::<f64>() / 3.0;
        let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / 2.0;
        let found = &combination["validation_loss"];
        assert!((number(&found["mean"]) - mean).abs() < 1e-12, "{combination}");
        assert!((number(&found["standard_error"]) - (variance / 3.0).sqrt()).abs() < 1e-12, "{combination}");
    }
    assert!(answer["best"].is_null() && answer["best_combination"].is_u64(), "{answer}");
    assert!(folder.path().join("sweep/sweep-means.csv").is_file());
    // Resumed, nothing is left to train, and the tables are the same.
    let again = stdout(folder.path(), "sweep --resume sweep");
    assert!(again.contains("sweep/sweep-means.csv") && again.contains("std. error"), "{again}");
}

#[test]
fn the_boundary_of_points_drawn_by_code_is_a_line() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let summary = json(folder, "train --data moons --out run");
    assert_eq!((&summary["data"]["source"], &summary["data"]["train"]), (&"moons".into(), &480.into()), "{summary}");
    let accuracy = summary["final"]["validation_accuracy"].as_f64().unwrap();
    assert!((0.75..0.95).contains(&accuracy), "a line separates moons only roughly: {accuracy}");
    // A line is no better than a guess on circles, and the best boundary of blobs.
    let accuracy = |set: &str| {
        json(folder, &format!("train --data {set} --out {set}"))["final"]["validation_accuracy"].as_f64().unwrap()
    };
    let (circles, blobs) = (accuracy("circles"), accuracy("blobs"));
    assert!((0.3..0.7).contains(&circles) && blobs > 0.85, "{circles}, {blobs}");
    // The label has a default, also for other data, and the rows are found again.
    assert_eq!(json(folder, "evaluate run")["data"]["is_the_runs_own"], true);
    assert!(error(folder, "evaluate blobs --data moons").contains("no row of the model's classes [left, right, top]"));
    assert!(stdout(folder, "data --data circles").contains("x1      a number"));
    assert!(error(folder, "train --data moon --label class").contains("did you mean moons?"));

    let plot = json(folder, "plot run --kind boundary --out moons.svg");
    let lines: Vec<Vec<[f64; 2]>> = serde_json::from_value(plot["lines"].clone()).unwrap();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let [first, last] = [line[0], line[line.len() - 1]];
    let area = |p: &[f64; 2]| (last[0] - first[0]) * (p[1] - first[1]) - (last[1] - first[1]) * (p[0] - first[0]);
    assert!(line.len() > 100 && line.iter().all(|point| area(point).abs() < 0.01), "{line:?}");
    assert_eq!(plot["charts"][0]["series"].as_array().unwrap().len(), 2);
    assert!(std::fs::read_to_string(folder.join("moons.svg")).unwrap().contains("upper"));
    // A descent with a rate above 2 / L does not come to rest at the minimum.
    let surface = json(folder, "plot run --kind surface");
    let end = |series: usize| -> [f64; 2] {
        let points = surface["charts"][0]["series"][series]["points"].as_array().unwrap();
        serde_json::from_value(points.last().unwrap().clone()).unwrap()
    };
    let distance = |series: usize| (end(series)[0] - end(3)[0]).hypot(end(series)[1] - end(3)[1]);
    assert!(distance(1) < 0.05 && distance(0) > 0.3, "{surface}");
    assert!(stdout(folder, "plot run --kind surface --weight x2 --weight x1").contains("weight of x2"));
    // Of softmax, two weights of one class. The training ended at the minimum over all weights, so
    // that over two of them is where it ended.
    let of_top = json(folder, "plot blobs --kind surface --class top");
    assert!(of_top["charts"][0]["x"].as_str().unwrap().starts_with("weight of x1 for top"), "{of_top}");
    let minimum = |class: &str| -> [f64; 2] {
        let drawn = json(folder, &format!("plot blobs --kind surface --class {class}"));
        serde_json::from_value(drawn["charts"][0]["series"][3]["points"][0].clone()).unwrap()
    };
    let (top, left) = (minimum("top"), minimum("left"));
    let summary = json(folder, "summary blobs --standardized");
    // A summary has the differences from the base class, left.
    let coefficient = |feature: &str| {
        let all = summary["coefficients"].as_array().unwrap().iter();
        let mut found = all.filter(|c| c["feature"] == feature && c["class"] == "top");
        found.next().unwrap()["estimate"].as_f64().unwrap()
    };
    for (i, feature) in ["x1", "x2"].into_iter().enumerate() {
        let difference = top[i] - left[i];
        assert!((difference - coefficient(feature)).abs() < 5e-3, "{feature}: {difference} {}", coefficient(feature));
    }
    assert!(stdout(folder, "plot blobs --kind surface").contains(" for "));
    std::fs::write(folder.join("one.csv"), "x,y\n1,a\n2,b\n1.5,a\n2.5,b\n1.2,b\n1.9,a\n").unwrap();
    stdout(folder, "train --data one.csv --label y --validation 0 --out one --quiet");
    for (command, expected) in [
        ("plot one --kind boundary", "two numeric features, and this one has 1 feature"),
        ("plot one --kind surface", "the model has one feature"),
        ("plot blobs --kind surface --class down", "the model's classes are [left, right, top]"),
        ("plot blobs --kind surface --class left --class top", "name one"),
        ("plot run --kind surface --class upper", "one weight for a feature"),
        ("plot run --kind weights", "the model is of a table"),
        ("plot run blobs --kind boundary", "draws one run"),
        ("plot run --kind boundary --learning-rate 1", "only --kind surface uses it"),
        ("plot run --kind surface --learning-rate 0", "expected a number above 0"),
        ("plot run --kind surface --weight x3", "no such feature"),
    ] {
        let error = error(folder, command);
        assert!(error.contains(expected), "{command}: {error}");
    }
}

#[test]
fn weights_of_digits_are_images() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let few = "--set data.train_images=200 --set data.validation_images=50 --set descent.epochs=1";
    stdout(folder, &format!("train --data embedded {few} --gradient fused --out digits --quiet"));
    let plot = json(folder, "plot digits --kind weights --out weights.png");
    let sizes: Vec<usize> = plot["weights"].as_array().unwrap().iter().map(|w| w.as_array().unwrap().len()).collect();
    assert_eq!((sizes, plot["image_size"].clone()), (vec![784; 10], serde_json::json!([28, 28])));
    assert!(std::fs::read(folder.join("weights.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(stdout(folder, "plot digits --kind weights").contains("for: + * #"));
    assert!(error(folder, "plot digits --kind boundary").contains("--kind weights draws its weights"));
}

/// The numbers of an interrupted cross-validation are those of one that was not.
#[test]
fn an_interrupted_cross_validation_goes_on() {
    let folder = folder(&[]);
    let folder = folder.path();
    let cv = |out: &str| {
        format!(
            "cv --data people.csv --label answer --set data.group=person --lambdas 1,0.1,0.01,0.001 --repeats 4 --nested --threads 2 --backend cpu --out {out}"
        )
    };
    let files = |out: &str| {
        let entries = std::fs::read_dir(folder.join(out)).unwrap().map(|entry| entry.unwrap().path());
        let named = |path: std::path::PathBuf| (path.file_name().unwrap().to_owned(), std::fs::read(path).unwrap());
        entries.map(named).collect::<std::collections::BTreeMap<_, _>>()
    };
    let whole = stdout(folder, &cv("whole"));
    assert_eq!(files("whole").len(), 2 + 20 + 20, "the key, the result, and a file for each fold");

    // Killed as soon as the first fold is there.
    let mut command = Command::new(env!("CARGO_BIN_EXE_chainrule"));
    let mut killed = command.current_dir(folder).args(cv("killed").split(' ')).spawn().unwrap();
    while !folder.join("killed/fold-1.json").exists() && killed.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Whenever that was, some folds are missing now.
    for file in ["fold-7.json", "nested-3.json", "cv.json"] {
        let _ = std::fs::remove_file(folder.join("killed").join(file));
    }
    let unfinished = error(folder, "plot killed --kind penalties");
    assert!(unfinished.contains("not finished; the same command of cv goes on"), "{unfinished}");
    let again = call(folder, &cv("killed"));
    assert_eq!(String::from_utf8(again.stdout).unwrap(), whole);
    let log = String::from_utf8(again.stderr).unwrap();
    assert!(log.contains("of 20 folds are in killed"), "{log}");
    assert_eq!(files("killed"), files("whole"));

    // Another cross-validation, a damaged fold, and a folder of something else.
    let other = error(folder, &cv("killed").replace("--repeats 4", "--repeats 3"));
    assert!(other.contains("--out killed: it is of another cross-validation: the folds differ"), "{other}");
    let fold = folder.join("killed/fold-2.json");
    std::fs::write(&fold, std::fs::read_to_string(&fold).unwrap().replacen("0.", "1.", 1)).unwrap();
    let damaged = error(folder, &cv("killed"));
    assert!(damaged.contains("fold-2.json") && damaged.contains("remove the file"), "{damaged}");
    std::fs::create_dir(folder.join("photos")).unwrap();
    std::fs::write(folder.join("photos/1.png"), "").unwrap();
    let foreign = error(folder, &cv("photos"));
    assert!(foreign.contains("--out photos: it is there, and is no cross-validation"), "{foreign}");
}

#[test]
fn a_cross_validation_is_drawn_by_penalty() {
    let folder = folder(&[]);
    let folder = folder.path();
    let cv = "cv --data people.csv --label answer --lambdas 10,1,0.1,0.01,0 --backend cpu --quiet --out scores";
    let scores = json(folder, &cv.replace(" --quiet", ""));
    let drawn = json(folder, "plot scores --kind penalties --out scores.svg");
    let of = |score: &str| -> Vec<Value> {
        let penalties = scores["penalties"].as_array().unwrap().iter();
        let positive = penalties.filter(|penalty| penalty["l2"].as_f64().unwrap() > 0.0);
        positive.map(|penalty| serde_json::json!([penalty["l2"], penalty[score]["mean"]])).collect()
    };
    for (chart, score) in [(0, "loss"), (1, "accuracy")] {
        let series = drawn["charts"][chart]["series"].as_array().unwrap();
        assert_eq!(series.last().unwrap()["points"].as_array().unwrap(), &of(score));
        let best = &scores["penalties"][scores["best"].as_u64().unwrap() as usize]["l2"];
        assert_eq!(&series[0]["points"][0][0], best);
    }
    let svg = std::fs::read_to_string(folder.join("scores.svg")).unwrap();
    assert!(svg.contains("lambda 0 is left out") && svg.contains("lowest loss"));
    let none = error(folder, "plot people.csv --kind penalties");
    assert!(none.contains("people.csv"), "{none}");
    stdout(folder, "cv --data people.csv --label answer --backend cpu --quiet --out single");
    let single = error(folder, "plot single --kind penalties");
    assert!(single.contains("of one penalty; compare several"), "{single}");
}
