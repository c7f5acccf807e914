//! The points of a sweep as tables.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::Write;

use chainrule_core::{DataKind, SearchEnd, align_right, display_width};
use chainrule_records::{
    CLASS_WEIGHTS, Divergence, Grid, GridKey, ROW_WEIGHTS, Summary, SweepPlan, plain_value, toml_value,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::document::literal;
use crate::sweep_plot;

/// The finished points of a sweep. The output has no times and no durations, so the same points
/// give the same bytes.
#[derive(Clone, Debug)]
pub struct Sweep {
    config: String,
    pub(crate) grid: Grid,
    pub(crate) points: Vec<SweepPoint>,
    /// Whether any point has weights of rows.
    weighs_rows: bool,
}

/// A finished point of a sweep.
#[derive(Clone, Debug)]
pub struct SweepPoint {
    /// The number of the point, from 0, in the grid's order.
    pub number: usize,
    /// The position of the point's value for each key, from 0.
    pub(crate) at: Vec<usize>,
    /// The folder of the point below the sweep's folder.
    pub folder: String,
    /// The result of the point.
    pub outcome: PointOutcome,
}

/// The result of a point.
#[derive(Clone, Debug)]
pub enum PointOutcome {
    /// A model.
    Ended(Box<Summary>),
    /// The training diverged. There is no model.
    Diverged(Divergence),
}

/// A row of the tables.
#[derive(Serialize)]
struct Row {
    /// The number of the point, from 1.
    point: usize,
    values: Map<String, Value>,
    validation_loss: Option<f64>,
    validation_accuracy: Option<f64>,
    train_loss: Option<f64>,
    train_accuracy: Option<f64>,
    best_validation_loss: Option<f64>,
    best_step: Option<usize>,
    weight_norm: Option<f64>,
    ended: &'static str,
    last_step: usize,
    folder: String,
}

impl SweepPoint {
    /// Returns the summary if the point has a model.
    pub fn summary(&self) -> Option<&Summary> {
        match &self.outcome {
            PointOutcome::Ended(summary) => Some(summary),
            PointOutcome::Diverged(_) => None,
        }
    }

    /// Returns the mean cross-entropy over the validation rows with the saved weights, in nats.
    pub fn validation_loss(&self) -> Option<f64> {
        self.summary().map(|summary| summary.final_metrics.validation_loss)
    }

    /// Returns the way in which the point ended, in one word, and its last step, from 0.
    fn ended(&self) -> (&'static str, usize) {
        match &self.outcome {
            PointOutcome::Diverged(divergence) => ("diverged", divergence.step),
            PointOutcome::Ended(summary) => {
                let ending = match summary.certificate.map(|certificate| (certificate.holds(), certificate.ended)) {
                    Some((true, _)) => "converged",
                    Some((false, SearchEnd::IterationsUsedUp)) => "iterations-used-up",
                    Some((false, SearchEnd::Separated)) => "separated",
                    Some((false, _)) => "not-converged",
                    None if summary.stopped_early => "stopped-early",
                    None => "all-epochs",
                };
                (ending, summary.stop_step)
            }
        }
    }

    /// Like [`ended`](Self::ended), as a phrase.
    fn ended_in_words(&self) -> String {
        let (ending, step) = self.ended();
        match ending {
            "all-epochs" => "all epochs completed".to_owned(),
            "converged" => "at the minimum".to_owned(),
            "iterations-used-up" => "all iterations completed, not at the minimum".to_owned(),
            "not-converged" => "not at the minimum".to_owned(),
            "separated" => "no minimum: the classes are separated".to_owned(),
            "stopped-early" => format!("stopped early at step {step}"),
            _ => format!("diverged at step {step}"),
        }
    }
}

impl Sweep {
    /// Creates a sweep from the finished points of a plan. Each has its number, from 0.
    pub fn new(plan: &SweepPlan, outcomes: Vec<(usize, PointOutcome)>) -> Self {
        let (positions, names) = (plan.grid.points(), plan.folder_names());
        let point = |(number, outcome): (usize, PointOutcome)| SweepPoint {
            number,
            at: positions[number].clone(),
            folder: format!("{}/{}", SweepPlan::POINTS, names[number]),
            outcome,
        };
        let mut points: Vec<SweepPoint> = outcomes.into_iter().map(point).collect();
        points.sort_by_key(|point| point.number);
        let configs = plan.configs().unwrap_or_default();
        let weighs_rows = configs.iter().any(|config| config.data().weight.is_some());
        Self { config: plan.config.clone(), grid: plan.grid.clone(), points, weighs_rows }
    }

    /// Returns the points from the lowest validation loss to the highest, then the diverged points.
    /// Equal or incomparable points keep their order.
    pub fn ranked(&self) -> Vec<&SweepPoint> {
        let mut ranked: Vec<&SweepPoint> = self.points.iter().collect();
        // Computed once, not for each pair, because it reads all points.
        let are_comparable = self.losses_are_comparable();
        ranked.sort_by(|a, b| match (a.validation_loss(), b.validation_loss()) {
            (Some(_), Some(_)) if !are_comparable => Ordering::Equal,
            (Some(a), Some(b)) => a.total_cmp(&b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        });
        ranked
    }

    /// Returns the point with the lowest validation loss, if one has a model and the losses are
    /// comparable.
    pub fn best(&self) -> Option<&SweepPoint> {
        self.ranked().into_iter().next().filter(|point| point.summary().is_some() && self.losses_are_comparable())
    }

    /// Whether any point has a model.
    pub fn has_models(&self) -> bool {
        self.points.iter().any(|point| point.summary().is_some())
    }

    /// Whether the losses are comparable: all points have the same classes, class weights and
    /// weights of rows. Other weights give another loss function, and the point whose weights
    /// favour the rows that are easy to predict has the lowest loss.
    fn losses_are_comparable(&self) -> bool {
        let classes =
            |summary: &Summary| -> BTreeSet<String> { summary.data.classes.iter().map(ToString::to_string).collect() };
        let mut all = self.points.iter().filter_map(SweepPoint::summary).map(classes);
        let first = all.next();
        self.grid.keys().iter().all(|key| !key.key.starts_with(CLASS_WEIGHTS) && key.key != ROW_WEIGHTS)
            && all.all(|classes| Some(classes) == first)
    }

    /// Whether any loss has weights of classes or rows.
    pub(crate) fn is_weighted(&self) -> bool {
        let mut summaries = self.points.iter().filter_map(SweepPoint::summary);
        self.weighs_rows || summaries.any(|summary| summary.class_weights.is_some())
    }

    /// Whether the certificate of every optimum holds.
    pub fn certificates_hold(&self) -> bool {
        let certificates = self.points.iter().filter_map(|point| point.summary()?.certificate);
        certificates.into_iter().all(|certificate| certificate.holds())
    }

    /// Returns the number of points of the grid, finished or not.
    fn planned(&self) -> usize {
        self.grid.keys().iter().map(|key| key.values.len()).product()
    }

    /// Returns the displayed values of a point, in the order of the keys.
    pub(crate) fn values(&self, point: &SweepPoint) -> Vec<String> {
        self.grid.keys().iter().zip(&point.at).map(|(key, &i)| plain_value(&key.values[i])).collect()
    }

    /// Returns the short keys and values of a point in one line.
    pub fn describe(&self, point: &SweepPoint) -> String {
        let pairs = self.grid.short_names().into_iter().zip(self.values(point));
        pairs.map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
    }

    fn row(&self, point: &SweepPoint) -> Row {
        let summary = point.summary();
        let last = summary.map(|summary| summary.final_metrics);
        let value = |(key, &i): (&GridKey, &usize)| (key.key.clone(), typed(&key.values[i]));
        let (ended, last_step) = point.ended();
        Row {
            point: point.number + 1,
            values: self.grid.keys().iter().zip(&point.at).map(value).collect(),
            validation_loss: last.map(|last| last.validation_loss),
            validation_accuracy: last.map(|last| last.validation_accuracy),
            train_loss: last.map(|last| last.train_loss),
            train_accuracy: last.map(|last| last.train_accuracy),
            best_validation_loss: summary.map(|summary| summary.best_validation_loss),
            best_step: summary.map(|summary| summary.best_step),
            weight_norm: summary.map(|summary| summary.weight_norm.frobenius),
            ended,
            last_step,
            folder: point.folder.clone(),
        }
    }

    /// Returns the sweep as one JSON document: the grid, the best point, and a row for each
    /// finished point in the grid's order.
    pub fn json(&self) -> Value {
        let keys = self.grid.keys().iter().map(|GridKey { key, values }| {
            json!({ "key": key, "values": values.iter().map(|value| typed(value)).collect::<Vec<_>>() })
        });
        let rows: Vec<Row> = self.points.iter().map(|point| self.row(point)).collect();
        json!({
            "config": self.config,
            "grid": keys.collect::<Vec<_>>(),
            "points": self.planned(),
            "finished": self.points.len(),
            "diverged": self.points.iter().filter(|point| point.summary().is_none()).count(),
            "best": self.best().map(|point| self.row(point)),
            "rows": rows,
        })
    }

    /// Returns the rows as CSV.
    fn csv(&self) -> String {
        let after = [
            "validation_loss",
            "validation_accuracy",
            "train_loss",
            "train_accuracy",
            "best_validation_loss",
            "best_step",
            "weight_norm",
            "ended",
            "last_step",
            "folder",
        ];
        let keys = self.grid.keys().iter().map(|key| key.key.as_str());
        let mut text = line(["point"].into_iter().chain(keys).chain(after).map(str::to_owned));
        for point in &self.points {
            let row = serde_json::to_value(self.row(point)).expect("a row can be written as JSON");
            let field = |name: &str| match &row[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let fields =
                [field("point")].into_iter().chain(self.values(point)).chain(after.iter().map(|name| field(name)));
            text += &line(fields);
        }
        text
    }

    /// Returns the header and the sorted rows of the displayed table.
    fn cells(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let names = self.grid.short_names().into_iter();
        let after = ["validation loss", "validation", "training", "‖w‖", "ended"];
        let heads = ["point"].into_iter().chain(names).chain(after).map(str::to_owned).collect();
        let cells = |point: &SweepPoint| {
            let mut cells = vec![(point.number + 1).to_string()];
            cells.extend(self.values(point));
            match point.summary() {
                None => cells.extend(["–"; 4].map(str::to_owned)),
                Some(summary) => {
                    let last = &summary.final_metrics;
                    cells.extend([
                        number(last.validation_loss, 6),
                        percent(last.validation_accuracy),
                        percent(last.train_accuracy),
                        number(summary.weight_norm.frobenius, 4),
                    ]);
                }
            }
            cells.push(point.ended_in_words());
            cells
        };
        (heads, self.ranked().into_iter().map(cells).collect())
    }

    /// Returns notes on the numbers of points and on the comparison of their losses.
    fn notes(&self) -> Vec<String> {
        let (planned, finished) = (self.planned(), self.points.len());
        let diverged = self.points.iter().filter(|point| point.summary().is_none()).count();
        let mut notes = Vec::new();
        if finished < planned {
            notes.push(format!("{finished} of {planned} points are finished."));
        }
        if diverged > 0 {
            notes.push(format!("{diverged} of {finished} points diverged."));
        }
        let summaries: Vec<&Summary> = self.points.iter().filter_map(SweepPoint::summary).collect();
        let validation_data = |summary: &Summary| {
            let data = &summary.data;
            // The validation rows of a table or a folder depend on the seed.
            let seed = (data.kind != DataKind::Images).then_some(summary.seed);
            (data.source.clone(), data.validation, seed)
        };
        if summaries.iter().any(|summary| validation_data(summary) != validation_data(summaries[0])) {
            notes.push(
                "Not all points use the same validation rows: their losses are only roughly comparable.".to_owned(),
            );
        }
        if !self.losses_are_comparable() {
            notes.push(
                "The points have different classes, class weights or weights of rows: their losses are not comparable, and no point is marked as the best. Use evaluate for the loss of a point without weights."
                    .to_owned(),
            );
        } else if summaries.len() > 1 {
            notes.push(
                "The best point was chosen by its validation loss, so this loss is too optimistic an estimate of its loss on new rows.".to_owned(),
            );
        }
        notes
    }

    /// Returns the first `max_rows` rows of the table for a terminal. A star marks the best point.
    pub fn table(&self, max_rows: usize) -> String {
        let (heads, rows) = self.cells();
        let widths: Vec<usize> = (0..heads.len())
            .map(|i| {
                rows.iter().take(max_rows).chain([&heads]).map(|row| display_width(&row[i])).max().unwrap_or_default()
            })
            .collect();
        let is_best = |i: usize| i == 0 && self.best().is_some();
        let format_row = |mark: &str, row: &[String]| {
            let (last, before) = row.split_last().expect("a table has columns");
            let before = before.iter().zip(&widths).map(|(cell, &width)| align_right(cell, width));
            format!("{mark} {}  {last}\n", before.collect::<Vec<_>>().join("  "))
        };
        let mut text = if rows.is_empty() { String::new() } else { String::from("\n") + &format_row(" ", &heads) };
        for (i, row) in rows.iter().take(max_rows).enumerate() {
            text += &format_row(if is_best(i) { "*" } else { " " }, row);
        }
        if rows.len() > max_rows {
            writeln!(text, "  … and {} more", rows.len() - max_rows).expect("writing to a String cannot fail");
        }
        for note in self.notes() {
            text += &format!("\n{note}");
        }
        text
    }

    /// Returns the table as a Markdown page.
    fn markdown(&self) -> String {
        // Between backticks, characters cannot be escaped.
        let name = |key: &str| if key.contains('`') { literal(key) } else { format!("`{key}`") };
        let names: Vec<String> = self.grid.keys().iter().map(|key| name(&key.key)).collect();
        let mut text = format!("# {}: a sweep over {}\n\n", literal(&self.config), names.join(", "));
        if let Some((best, summary)) = self.best().and_then(|best| Some((best, best.summary()?))) {
            let last = &summary.final_metrics;
            let values = self.values(best);
            let pairs = self.grid.short_names().into_iter().zip(&values);
            let pairs: Vec<String> =
                pairs.map(|(name, value)| format!("{} = {}", literal(name), literal(value))).collect();
            text += &format!(
                "Best: **{}**, validation loss {}, accuracy {}: [`{}`]({}).\n",
                pairs.join(", "),
                number(last.validation_loss, 6),
                percent(last.validation_accuracy),
                best.folder,
                best.folder
            );
        }
        for note in self.notes() {
            text += &format!("{note}\n");
        }
        text += "\n![Validation loss over the grid](sweep.svg)\n\n";
        let (heads, rows) = self.cells();
        let format_row = |row: &[String]| format!("| {} |\n", row.join(" | "));
        text += &format_row(&heads.iter().map(|head| literal(head)).collect::<Vec<_>>());
        text += &format!("|{} --- |\n", " ---: |".repeat(heads.len() - 1));
        for (i, row) in rows.iter().enumerate() {
            let is_best = i == 0 && self.best().is_some();
            let mark = if is_best { "**" } else { "" };
            text += &format_row(&row.iter().map(|cell| format!("{mark}{}{mark}", literal(cell))).collect::<Vec<_>>());
        }
        let loss = if self.is_weighted() { "weighted cross-entropy" } else { "cross-entropy" };
        text + &format!(
            "\nLosses are means of the {loss} of the saved model, in nats; validation and training are accuracies; ‖w‖ is the Frobenius norm of the weights with the bias.\n"
        )
    }

    /// Returns the files of the sweep except [`Sweep::json`], with their names in the sweep's
    /// folder.
    pub fn files(&self) -> [(&'static str, Vec<u8>); 4] {
        [
            ("sweep.csv", self.csv().into_bytes()),
            ("sweep.md", self.markdown().into_bytes()),
            ("sweep.svg", sweep_plot::svg(self).into_bytes()),
            ("sweep.png", sweep_plot::png(self)),
        ]
    }
}

pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// Formats a number with this many decimals. Very small and very large numbers have an exponent.
pub(crate) fn number(value: f64, digits: usize) -> String {
    let is_plain = value == 0.0 || (1e-3..1e5).contains(&value.abs());
    if is_plain { format!("{value:.digits$}") } else { format!("{value:.2e}") }
}

/// Converts a value of the grid to JSON.
fn typed(value: &str) -> Value {
    toml_value(value).and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
}

/// Returns a line of a CSV file as in RFC 4180, except for the line ending.
fn line(fields: impl Iterator<Item = String>) -> String {
    let quoted = |field: String| {
        let is_plain = !field.contains(['"', ',', '\n', '\r']);
        if is_plain { field } else { format!("\"{}\"", field.replace('"', "\"\"")) }
    };
    fields.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}
