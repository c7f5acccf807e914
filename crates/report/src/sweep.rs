//! The points of a sweep as tables.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::Write;

use chainrule_core::{DataKind, SearchEnd, align_right, display_width};
use chainrule_evaluate::{FoldMean, Mean, choose_penalty};
use chainrule_records::{
    CLASS_WEIGHTS, Divergence, Grid, GridKey, PENALTY, ROW_WEIGHTS, SEED, Summary, SweepPlan, number_value,
    plain_value, toml_value,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::candidates::Candidate;
use crate::document::literal;
use crate::sweep_plot;

/// The finished points of a sweep. The output has no times and no durations, so the same points
/// give the same bytes.
#[derive(Clone, Debug)]
pub struct Sweep {
    config: String,
    pub(crate) grid: Grid,
    pub(crate) points: Vec<SweepPoint>,
    /// The number of the key with several seeds.
    seed_key: Option<usize>,
    /// What is compared.
    pub(crate) candidates: Vec<Candidate>,
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

/// A row for each combination of the values of all keys but the seed.
#[derive(Serialize)]
struct CombinationRow {
    values: Map<String, Value>,
    /// The number of finished seeds, and how many of them diverged.
    seeds: usize,
    diverged: usize,
    /// Means over the seeds. `None` if one diverged.
    validation_loss: Option<Spread>,
    validation_accuracy: Option<Spread>,
    train_loss: Option<Spread>,
    train_accuracy: Option<Spread>,
    /// The numbers of the points, from 1.
    points: Vec<usize>,
}

/// A mean over seeds. One seed has no errors.
#[derive(Clone, Copy, Serialize)]
struct Spread {
    mean: f64,
    /// The standard deviation, divided by the square root of the number of seeds.
    standard_error: Option<f64>,
    standard_deviation: Option<f64>,
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
        let has_several_seeds = |key: &GridKey| key.key == SEED && key.values.len() > 1;
        let seed_key = plan.grid.keys().iter().position(has_several_seeds);
        let candidates = match seed_key {
            Some(key) => Candidate::by_seed(&points, key),
            None => Candidate::singles(&points),
        };
        Self { config: plan.config.clone(), grid: plan.grid.clone(), points, seed_key, candidates, weighs_rows }
    }

    /// Returns the number of seeds if there are several.
    fn seeds(&self) -> Option<usize> {
        Some(self.grid.keys()[self.seed_key?].values.len())
    }

    /// Returns the keys that a candidate has values of, with their short names.
    pub(crate) fn compared_keys(&self) -> Vec<(&GridKey, &str)> {
        let named = self.grid.keys().iter().zip(self.grid.short_names()).enumerate();
        named.filter(|(i, _)| Some(*i) != self.seed_key).map(|(_, named)| named).collect()
    }

    /// Whether only the seed differs. Then there is a mean, and nothing to choose from.
    pub(crate) fn is_over_seeds_alone(&self) -> bool {
        self.seed_key.is_some() && self.compared_keys().iter().all(|(key, _)| key.values.len() == 1)
    }

    /// Returns the points from the lowest validation loss to the highest, then the diverged points.
    /// Equal or incomparable points keep their order.
    fn ranked(&self) -> Vec<&SweepPoint> {
        let mut ranked: Vec<&SweepPoint> = self.points.iter().collect();
        // Computed once, not for each pair, because it reads all points.
        let are_comparable = self.losses_are_comparable();
        ranked.sort_by(|a, b| by_loss(a.validation_loss(), b.validation_loss(), are_comparable));
        ranked
    }

    /// Like [`ranked`](Self::ranked) for candidates. Those without all of their seeds come later.
    fn ranked_candidates(&self) -> Vec<&Candidate> {
        let mut ranked: Vec<&Candidate> = self.candidates.iter().collect();
        let are_comparable = self.losses_are_comparable();
        ranked.sort_by(|a, b| {
            let diverged = a.metrics.is_none().cmp(&b.metrics.is_none());
            let unfinished = self.is_complete(b).cmp(&self.is_complete(a));
            let loss = by_loss(a.validation_loss(), b.validation_loss(), are_comparable);
            diverged.then(unfinished).then(loss)
        });
        ranked
    }

    /// Whether all seeds of a candidate have a model.
    fn is_complete(&self, candidate: &Candidate) -> bool {
        candidate.metrics.is_some() && candidate.points.len() == self.seeds().unwrap_or(1)
    }

    /// Returns the candidate with the lowest validation loss. `None` if the losses are not
    /// comparable, or if only the seed differs.
    pub(crate) fn best_candidate(&self) -> Option<&Candidate> {
        let best = self.ranked_candidates().into_iter().next().filter(|candidate| self.is_complete(candidate));
        best.filter(|_| self.losses_are_comparable() && !self.is_over_seeds_alone())
    }

    /// Returns the point with the lowest validation loss, or the points of the combination with the
    /// lowest mean over the seeds. Empty if the losses are not comparable, or if only the seed
    /// differs.
    pub fn best(&self) -> Vec<&SweepPoint> {
        let best = self.best_candidate().into_iter().flat_map(|candidate| &candidate.points);
        best.map(|&i| &self.points[i]).collect()
    }

    /// Returns the best point of a sweep without several seeds.
    fn best_point(&self) -> Option<&SweepPoint> {
        self.best().into_iter().next().filter(|_| self.seed_key.is_none())
    }

    /// Returns the combination with the largest penalty whose mean loss is at most one standard
    /// error above the lowest one, if the other keys have the values of the best combination.
    pub(crate) fn largest_penalty_within_error(&self) -> Option<&Candidate> {
        let best = self.best_candidate().filter(|_| self.seed_key.is_some())?;
        let key = self.compared_keys().iter().position(|(key, _)| key.key == PENALTY)?;
        let is_rival = |candidate: &&Candidate| {
            let differs = |(i, (a, b)): (usize, (&usize, &usize))| i != key && a != b;
            self.is_complete(candidate) && !candidate.at.iter().zip(&best.at).enumerate().any(differs)
        };
        let rivals: Vec<&Candidate> = self.candidates.iter().filter(is_rival).collect();
        let values = &self.compared_keys()[key].0.values;
        let penalties: Option<Vec<f64>> =
            rivals.iter().map(|candidate| number_value(&values[candidate.at[key]])).collect();
        let loss = |candidate: &&Candidate| {
            let Mean { mean, standard_error } = candidate.metrics.as_ref()?.validation_loss;
            Some(FoldMean { mean, standard_error: standard_error? })
        };
        let losses: Option<Vec<FoldMean>> = rivals.iter().map(loss).collect();
        let [_, largest] = choose_penalty(&penalties?, &losses?)?;
        Some(rivals[largest])
    }

    /// Whether the sweep has means over several seeds.
    pub fn has_means(&self) -> bool {
        self.seed_key.is_some()
    }

    /// Whether any point has a model.
    pub fn has_models(&self) -> bool {
        self.points.iter().any(|point| point.summary().is_some())
    }

    /// Whether the losses are comparable: all points have the same classes, class weights and
    /// weights of rows. Other weights give another loss function, and the point whose weights
    /// favour the rows that are easy to predict has the lowest loss.
    pub(crate) fn losses_are_comparable(&self) -> bool {
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

    /// Returns the displayed values of a candidate, in the order of the compared keys.
    fn candidate_values(&self, candidate: &Candidate) -> Vec<String> {
        let keys = self.compared_keys();
        keys.iter().zip(&candidate.at).map(|((key, _), &i)| plain_value(&key.values[i])).collect()
    }

    /// Returns the short keys and values of a candidate in one line.
    pub(crate) fn describe(&self, candidate: &Candidate) -> String {
        let pairs = self.compared_keys().into_iter().zip(self.candidate_values(candidate));
        pairs.map(|((_, name), value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
    }

    fn combination_row(&self, candidate: &Candidate) -> CombinationRow {
        let metrics = candidate.metrics.as_ref();
        let seeds = candidate.points.len();
        let value = |((key, _), &i): ((&GridKey, &str), &usize)| (key.key.clone(), typed(&key.values[i]));
        CombinationRow {
            values: self.compared_keys().into_iter().zip(&candidate.at).map(value).collect(),
            seeds,
            diverged: candidate.diverged,
            validation_loss: metrics.map(|means| Spread::of(means.validation_loss, seeds)),
            validation_accuracy: metrics.map(|means| Spread::of(means.validation_accuracy, seeds)),
            train_loss: metrics.map(|means| Spread::of(means.train_loss, seeds)),
            train_accuracy: metrics.map(|means| Spread::of(means.train_accuracy, seeds)),
            points: candidate.points.iter().map(|&i| self.points[i].number + 1).collect(),
        }
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
    ///
    /// With several seeds, no point is the best. `combinations` has the means over the seeds, and
    /// `best_combination` and `one_standard_error` are positions in it.
    pub fn json(&self) -> Value {
        let keys = self.grid.keys().iter().map(|GridKey { key, values }| {
            json!({ "key": key, "values": values.iter().map(|value| typed(value)).collect::<Vec<_>>() })
        });
        let rows: Vec<Row> = self.points.iter().map(|point| self.row(point)).collect();
        let mut document = json!({
            "config": self.config,
            "grid": keys.collect::<Vec<_>>(),
            "points": self.planned(),
            "finished": self.points.len(),
            "diverged": self.points.iter().filter(|point| point.summary().is_none()).count(),
            "best": self.best_point().map(|point| self.row(point)),
            "rows": rows,
        });
        if self.seed_key.is_some() {
            let position = |chosen: Option<&Candidate>| {
                chosen.and_then(|chosen| self.candidates.iter().position(|candidate| candidate.at == chosen.at))
            };
            let combinations: Vec<CombinationRow> =
                self.candidates.iter().map(|candidate| self.combination_row(candidate)).collect();
            document["combinations"] = json!(combinations);
            document["best_combination"] = json!(position(self.best_candidate()));
            document["one_standard_error"] = json!(position(self.largest_penalty_within_error()));
        }
        document
    }

    /// Returns the means over the seeds as CSV: a row for each combination of the other keys.
    fn means_csv(&self) -> String {
        let metrics = ["validation_loss", "validation_accuracy", "train_loss", "train_accuracy"];
        let keys = self.compared_keys();
        let keys = keys.iter().map(|(key, _)| key.key.clone());
        let after = ["seeds", "diverged"].map(str::to_owned).into_iter();
        let after = after.chain(metrics.iter().flat_map(|name| [(*name).to_owned(), format!("{name}_error")]));
        let mut text = line(keys.chain(after));
        for candidate in &self.candidates {
            let row = self.combination_row(candidate);
            let fields = [row.validation_loss, row.validation_accuracy, row.train_loss, row.train_accuracy];
            let fields =
                fields.iter().flat_map(|spread| [spread.map(|s| s.mean), spread.and_then(|s| s.standard_error)]);
            let fields = fields.map(|number| number.map(|number| number.to_string()).unwrap_or_default());
            let counts = [row.seeds, row.diverged].map(|count| count.to_string());
            text += &line(self.candidate_values(candidate).into_iter().chain(counts).chain(fields));
        }
        text
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

    /// Returns the header and the sorted rows of the displayed table of the candidates of a sweep
    /// over seeds.
    fn candidate_cells(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let names = self.compared_keys().into_iter().map(|(_, name)| name);
        let after = ["validation loss", "std. error", "validation", "std. error", "training", "seeds"];
        let heads = names.chain(after).map(str::to_owned).collect();
        let planned = self.seeds().unwrap_or(1);
        let largest = self.largest_penalty_within_error().map(|candidate| &candidate.at);
        let cells = |candidate: &Candidate| {
            let mut cells = self.candidate_values(candidate);
            match &candidate.metrics {
                None => cells.extend(["–"; 5].map(str::to_owned)),
                Some(means) => {
                    let (loss, accuracy) = (&means.validation_loss, &means.validation_accuracy);
                    let or_dash = |error: Option<String>| error.unwrap_or_else(|| "–".to_owned());
                    cells.extend([
                        number(loss.mean, 6),
                        or_dash(loss.standard_error.map(|error| number(error, 6))),
                        percent(accuracy.mean),
                        or_dash(accuracy.standard_error.map(percent)),
                        percent(means.train_accuracy.mean),
                    ]);
                }
            }
            let finished = candidate.points.len();
            let mut seeds = if finished == planned { planned.to_string() } else { format!("{finished} of {planned}") };
            if candidate.diverged > 0 {
                write!(seeds, ", {} diverged", candidate.diverged).expect("writing to a String cannot fail");
            }
            if Some(&candidate.at) == largest {
                seeds += ", the largest penalty within one std. error of the best";
            }
            cells.push(seeds);
            cells
        };
        (heads, self.ranked_candidates().into_iter().map(cells).collect())
    }

    /// Returns the means over the seeds if nothing else differs, with their spread: one line for
    /// each metric.
    pub(crate) fn spread(&self) -> Vec<String> {
        let candidate = self.candidates.first().filter(|_| self.is_over_seeds_alone());
        let Some((candidate, means)) = candidate.and_then(|candidate| Some((candidate, candidate.metrics.as_ref()?)))
        else {
            return Vec::new();
        };
        let seeds = candidate.points.len();
        let line = |name: &str, mean: Mean, format: &dyn Fn(f64) -> String| {
            let Spread { mean, standard_error, standard_deviation } = Spread::of(mean, seeds);
            let errors = standard_deviation.zip(standard_error).map(|(deviation, error)| {
                format!(", standard deviation {}, standard error {}", format(deviation), format(error))
            });
            format!("{name}: mean {} over {seeds} seeds{}", format(mean), errors.unwrap_or_default())
        };
        vec![
            line("validation loss", means.validation_loss, &|value| number(value, 6)),
            line("validation accuracy", means.validation_accuracy, &percent),
            line("training accuracy", means.train_accuracy, &percent),
        ]
    }

    /// Returns the header and the sorted rows of the displayed table of points.
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
            // The validation rows of a table or a folder depend on the seed. Combinations with the
            // same seeds are comparable.
            let seed = (data.kind != DataKind::Images && self.seed_key.is_none()).then_some(summary.seed);
            (data.source.clone(), data.validation, seed)
        };
        if summaries.iter().any(|summary| validation_data(summary) != validation_data(summaries[0])) {
            notes.push(
                "Not all points use the same validation rows: their losses are only roughly comparable.".to_owned(),
            );
        }
        let has_best = self.best_candidate().is_some();
        if !self.losses_are_comparable() {
            notes.push(
                "The points have different classes, class weights or weights of rows: their losses are not comparable, and no point is marked as the best. Use evaluate for the loss of a point without weights."
                    .to_owned(),
            );
        } else if has_best && self.seed_key.is_some() {
            notes.push(
                "The best combination was chosen by its mean validation loss, so this loss is too optimistic an estimate of its loss on new rows.".to_owned(),
            );
        } else if summaries.len() > 1 && self.seed_key.is_none() {
            notes.push(
                "The best point was chosen by its validation loss, so this loss is too optimistic an estimate of its loss on new rows.".to_owned(),
            );
        }
        notes.extend(self.seed_note());
        notes
    }

    /// Returns what the errors over the seeds mean.
    fn seed_note(&self) -> Option<String> {
        self.seed_key?;
        let has_error = |candidate: &Candidate| candidate.points.len() > 1 && candidate.metrics.is_some();
        let mut losses = self.candidates.iter().filter(|candidate| has_error(candidate));
        let is_constant = |candidate: &Candidate| {
            candidate.points.iter().all(|&i| self.points[i].validation_loss() == candidate.validation_loss())
        };
        let first = self.points.iter().find_map(SweepPoint::summary)?;
        let note = if losses.clone().next().is_some() && losses.all(is_constant) {
            "The seed changes nothing here: all seeds of a combination have the same loss."
        } else if first.data.kind == DataKind::Images {
            "The seeds change the order of the rows, so the standard errors are of this order only. The choice of the validation rows is not in them."
        } else {
            "If validation rows are held out, each seed holds out its own, the same for every combination. The trainings share rows, so the standard errors are a guide and no test."
        };
        Some(note.to_owned())
    }

    /// Returns the tables for a terminal, with at most `max_rows` rows each. A star marks the best
    /// point, or the best combination of a sweep over seeds.
    pub fn table(&self, max_rows: usize) -> String {
        let mut text = String::new();
        let has_best = self.best_candidate().is_some();
        if self.seed_key.is_some() {
            for line in self.spread() {
                text += &format!("\n{line}");
            }
            if text.is_empty() {
                let (heads, rows) = self.candidate_cells();
                text += &text_table(&heads, &rows, has_best, max_rows);
            } else {
                text.push('\n');
            }
        }
        let (heads, rows) = self.cells();
        text += &text_table(&heads, &rows, has_best && self.seed_key.is_none(), max_rows);
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
        if let Some((best, means)) = self.best_candidate().and_then(|best| Some((best, best.metrics.as_ref()?))) {
            let keys = self.compared_keys();
            let pairs = keys.iter().zip(self.candidate_values(best));
            let pairs: Vec<String> =
                pairs.map(|((_, name), value)| format!("{} = {}", literal(name), literal(&value))).collect();
            let (loss, accuracy) = (number(means.validation_loss.mean, 6), percent(means.validation_accuracy.mean));
            let result = match self.best_point() {
                Some(SweepPoint { folder, .. }) => {
                    format!("validation loss {loss}, accuracy {accuracy}: [`{folder}`]({folder})")
                }
                None => format!("mean validation loss {loss}, accuracy {accuracy} over {} seeds", best.points.len()),
            };
            text += &format!("Best: **{}**, {result}.\n", pairs.join(", "));
        }
        for line in self.spread() {
            text += &format!("- {line}\n");
        }
        for note in self.notes() {
            text += &format!("{note}\n");
        }
        text += "\n![Validation loss over the grid](sweep.svg)\n\n";
        let has_best = self.best_candidate().is_some();
        if self.seed_key.is_some() && !self.is_over_seeds_alone() {
            let (heads, rows) = self.candidate_cells();
            text += &markdown_table(&heads, &rows, has_best);
            text += "\nThe single runs:\n\n";
        }
        let (heads, rows) = self.cells();
        text += &markdown_table(&heads, &rows, has_best && self.seed_key.is_none());
        let loss = if self.is_weighted() { "weighted cross-entropy" } else { "cross-entropy" };
        text + &format!(
            "\nLosses are means of the {loss} of the saved model, in nats; validation and training are accuracies; ‖w‖ is the Frobenius norm of the weights with the bias.\n"
        )
    }

    /// Returns the files of the sweep except [`Sweep::json`], with their names in the sweep's
    /// folder.
    pub fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut files = vec![
            ("sweep.csv", self.csv().into_bytes()),
            ("sweep.md", self.markdown().into_bytes()),
            ("sweep.svg", sweep_plot::svg(self).into_bytes()),
            ("sweep.png", sweep_plot::png(self)),
        ];
        if self.seed_key.is_some() {
            files.push(("sweep-means.csv", self.means_csv().into_bytes()));
        }
        files
    }
}

impl Spread {
    fn of(Mean { mean, standard_error }: Mean, seeds: usize) -> Self {
        let standard_deviation = standard_error.map(|error| error * (seeds as f64).sqrt());
        Self { mean, standard_error, standard_deviation }
    }
}

/// Compares losses. A missing one is the highest.
fn by_loss(a: Option<f64>, b: Option<f64>, are_comparable: bool) -> Ordering {
    match (a, b) {
        (Some(_), Some(_)) if !are_comparable => Ordering::Equal,
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

/// Returns the first `max_rows` rows for a terminal. A star marks the first one if it is the best.
fn text_table(heads: &[String], rows: &[Vec<String>], is_first_best: bool, max_rows: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let shown = &rows[..rows.len().min(max_rows)];
    let width = |i: usize| shown.iter().map(|row| &row[i]).chain([&heads[i]]).map(|cell| display_width(cell)).max();
    let widths: Vec<usize> = (0..heads.len()).filter_map(width).collect();
    let format_row = |mark: &str, row: &[String]| {
        let (last, before) = row.split_last().expect("a table has columns");
        let before = before.iter().zip(&widths).map(|(cell, &width)| align_right(cell, width));
        format!("{mark} {}  {last}\n", before.collect::<Vec<_>>().join("  "))
    };
    let mut text = String::from("\n") + &format_row(" ", heads);
    for (i, row) in shown.iter().enumerate() {
        text += &format_row(if i == 0 && is_first_best { "*" } else { " " }, row);
    }
    if rows.len() > max_rows {
        writeln!(text, "  … and {} more", rows.len() - max_rows).expect("writing to a String cannot fail");
    }
    text
}

/// Returns a table in Markdown. The first row is bold if it is the best.
fn markdown_table(heads: &[String], rows: &[Vec<String>], is_first_best: bool) -> String {
    let format_row = |row: Vec<String>| format!("| {} |\n", row.join(" | "));
    let mut text = format_row(heads.iter().map(|head| literal(head)).collect());
    text += &format!("|{} --- |\n", " ---: |".repeat(heads.len() - 1));
    for (i, row) in rows.iter().enumerate() {
        let mark = if i == 0 && is_first_best { "**" } else { "" };
        text += &format_row(row.iter().map(|cell| format!("{mark}{}{mark}", literal(cell))).collect());
    }
    text
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
