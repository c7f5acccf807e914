//! What a penalty does, measured on the same validation rows: claims 4c and 4d, and their figures.

use chainrule_evaluate::{Discordant, Mean, holm, mcnemar};
use chainrule_report::{Run, Runs, Verdict};
use serde_json::{Value, json};

use crate::DataFacts;
use crate::claims::{Findings, names};
use crate::facts::{Results, RowResults};

/// The minima of J, from the strongest penalty to the weakest. The last one is the reference.
pub(crate) const MINIMA: [&str; 6] = [
    "softmax-l2-1-minimum",
    "softmax-l2-0.1-minimum",
    "softmax-l2-0.01-minimum",
    "softmax-l2-0.001-minimum",
    "softmax-l2-0.0001-minimum",
    "softmax-l2-0.00001-minimum",
];

/// The report's descents without early stopping, and two weaker penalties. The last one has no
/// penalty and is the reference.
pub(crate) const DESCENTS: [&str; 7] = [
    "softmax-l2-1-full-length",
    "softmax-l2-0.1-full-length",
    "softmax-l2-0.01-full-length",
    "softmax-l2-0.001-full-length",
    "softmax-l2-0.0001-full-length",
    "softmax-l2-0.00001-full-length",
    "softmax-full-length",
];

/// The level of the tests.
const LEVEL: f64 = 0.05;

/// Models that differ in their penalty, each compared with the last one on the same rows.
pub(crate) struct Group<'a> {
    /// The models, from the strongest penalty to the weakest, without the reference.
    pub(crate) models: Vec<Compared<'a>>,
    /// The model that the others are compared with.
    pub(crate) reference: &'a Run,
    pub(crate) results: &'a RowResults,
}

/// A model beside the reference.
pub(crate) struct Compared<'a> {
    pub(crate) run: &'a Run,
    pub(crate) results: &'a RowResults,
    /// The rows that only this model predicts correctly, and those that only the reference does.
    pub(crate) wins: Discordant,
    /// The p value of McNemar's test, by Holm's method for all models of the group.
    p_value: f64,
    /// The standard errors of the differences from the reference.
    pub(crate) errors: PairedErrors,
}

/// Standard errors of differences on the same rows.
pub(crate) struct PairedErrors {
    pub(crate) accuracy: f64,
    pub(crate) loss: f64,
}

/// What McNemar's test says about a model's accuracy, against the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Better,
    Worse,
    NotSignificant,
}

impl<'a> Group<'a> {
    pub(crate) fn new(runs: &'a Runs, results: &'a Results, names: &[&str]) -> Self {
        let (reference, others) = names.split_last().expect("a group has models");
        let results = |name: &str| &results.get(name).expect("the facts have this run's results").validation;
        let of_reference = results(reference);
        let mut models: Vec<Compared> = others
            .iter()
            .map(|name| {
                let mine = results(name);
                let differences: Vec<f64> = mine.wins_over(of_reference).collect();
                let count = |sign: f64| differences.iter().filter(|difference| **difference == sign).count() as u64;
                let losses: Vec<f64> = mine.losses.iter().zip(&of_reference.losses).map(|(a, b)| a - b).collect();
                let error = |values: &[f64]| Mean::of(values, None).and_then(|mean| mean.standard_error).unwrap_or(0.0);
                let wins = Discordant { only_first: count(1.0), only_second: count(-1.0) };
                let errors = PairedErrors { accuracy: error(&differences), loss: error(&losses) };
                Compared { run: runs.get(name), results: mine, wins, p_value: mcnemar(wins).p_value, errors }
            })
            .collect();
        let adjusted = holm(&models.iter().map(|model| model.p_value).collect::<Vec<_>>());
        models.iter_mut().zip(adjusted).for_each(|(model, adjusted)| model.p_value = adjusted);
        Self { models, reference: runs.get(reference), results: of_reference }
    }

    /// The accuracy of the reference.
    pub(crate) fn accuracy(&self) -> f64 {
        self.results.accuracy()
    }

    /// Says which models are better or worse than the reference.
    fn describe(&self) -> String {
        let parts = [
            (Effect::Better, "better"),
            (Effect::Worse, "worse"),
            (Effect::NotSignificant, "not significantly different"),
        ]
        .map(|(effect, name)| {
            let models = self.models.iter().filter(|model| model.effect() == effect).map(Compared::lambda);
            let models: Vec<String> = models.collect();
            (!models.is_empty()).then(|| format!("{name}: {}", models.join(", ")))
        });
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("against λ = {}, {}", self.reference.lambda(), parts.join("; "))
    }

    /// Returns a row for each model, with the reference last: where the model comes from, λ,
    /// accuracy, loss, the images on which it alone or the reference alone is right, z and p.
    pub(crate) fn rows(&self, from: &str) -> Vec<Vec<String>> {
        let row = |run: &Run, results: &RowResults, comparison: [String; 3]| {
            let measured = [
                from.to_owned(),
                run.lambda().to_string(),
                format!("{:.2} %", 100.0 * results.accuracy()),
                format!("{:.3}", results.loss()),
            ];
            [&measured[..], &comparison].concat()
        };
        let models = self.models.iter().map(|model| {
            let Discordant { only_first, only_second } = model.wins;
            let p = if model.p_value < 0.001 { "< 0.001".to_owned() } else { format!("{:.3}", model.p_value) };
            row(model.run, model.results, [format!("{only_first} to {only_second}"), signed(model.z()), p])
        });
        let reference = row(self.reference, self.results, ["the reference".to_owned(), String::new(), String::new()]);
        models.chain([reference]).collect()
    }

    fn evidence(&self) -> Value {
        let models = self.models.iter().map(|model| {
            json!({
                "lambda": model.run.lambda(), "accuracy": model.accuracy(),
                "loss": model.run.summary.final_metrics.validation_loss,
                "only_this_correct": model.wins.only_first, "only_reference_correct": model.wins.only_second,
                "z": model.z(), "p_value_holm": model.p_value,
            })
        });
        json!({
            "reference": { "lambda": self.reference.lambda(), "accuracy": self.accuracy() },
            "models": models.collect::<Vec<_>>(),
        })
    }

    fn names(&self) -> Vec<String> {
        let runs: Vec<&Run> = self.models.iter().map(|model| model.run).chain([self.reference]).collect();
        names(&runs)
    }
}

impl Compared<'_> {
    pub(crate) fn accuracy(&self) -> f64 {
        self.results.accuracy()
    }

    /// McNemar's z: positive if this model is right more often.
    fn z(&self) -> f64 {
        let Discordant { only_first, only_second } = self.wins;
        let n = only_first + only_second;
        if n == 0 { 0.0 } else { (only_first as f64 - only_second as f64) / (n as f64).sqrt() }
    }

    fn effect(&self) -> Effect {
        if self.p_value >= LEVEL {
            Effect::NotSignificant
        } else if self.wins.only_first > self.wins.only_second {
            Effect::Better
        } else {
            Effect::Worse
        }
    }

    fn lambda(&self) -> String {
        format!("λ = {}", self.run.lambda())
    }
}

/// Judges the claim that any penalty costs accuracy.
pub(crate) fn accuracy_cost(runs: &Runs, facts: &DataFacts) -> Findings {
    let [minima, descents] = [&MINIMA[..], &DESCENTS].map(|names| Group::new(runs, &facts.results, names));
    let all_worse =
        [&minima, &descents].iter().all(|group| group.models.iter().all(|model| model.effect() == Effect::Worse));
    let helpful: Vec<&Compared> = [&minima, &descents]
        .iter()
        .flat_map(|group| &group.models)
        .filter(|model| model.effect() == Effect::Better)
        .collect();
    let verdict = match (helpful.is_empty(), all_worse) {
        (false, _) => Verdict::NotSupported,
        (true, true) => Verdict::Supported,
        (true, false) => Verdict::Corrected,
    };
    let costly: Vec<String> =
        descents.models.iter().filter(|model| model.effect() == Effect::Worse).map(Compared::lambda).collect();
    let best = helpful.iter().max_by(|a, b| a.accuracy().total_cmp(&b.accuracy()));
    let why = match (verdict, best) {
        (Verdict::NotSupported, Some(best)) => format!(
            "Some L2 *helps*: against the weakest penalty at the minimum, λ = {}, the model of {} wins {} to {} of the images on which only one of the two is \
             right (McNemar's z = {}). {}{}",
            minima.reference.lambda(),
            best.lambda(),
            best.wins.only_first,
            best.wins.only_second,
            signed(best.z()),
            hidden_penalty(runs, &minima, &descents),
            if costly.is_empty() {
                String::new()
            } else {
                format!(" A penalty on top of that costs accuracy: {}.", costly.join(", "))
            }
        ),
        (Verdict::Supported, _) => {
            "Each penalty costs accuracy, at the minimum of J and after the report's epochs.".to_owned()
        }
        _ if costly.is_empty() => "No penalty changes the accuracy significantly.".to_owned(),
        _ => format!(
            "A strong enough penalty does, after the report's epochs: {}. The others cost nothing that these images show.",
            costly.join(", ")
        ),
    };
    let stopped = crate::figures::PENALISED.map(|name| runs.get(name));
    let stopped = stopped.iter().filter(|run| run.summary.stopped_early).count();
    let epochs = descents.reference.config.descent().epochs;
    Findings {
        verdict,
        rule: "not supported if a penalty is significantly better than the weakest one of its group, at the minimum of J or after the report's epochs; supported if \
               all are significantly worse; else corrected. The test is McNemar's on the same validation images, at 5 % by Holm's method over the penalties of a \
               group.",
        measured: format!(
            "At the minimum of J, {}. After {epochs} epochs of gradient descent without early stopping, {}. The test compares these models: another order of the rows \
             would give other models after {epochs} epochs, but the same ones at the minimum. {}Early stopping, which the report does not mention here, ended {stopped} of \
             its penalised runs before.",
            minima.describe(),
            descents.describe(),
            uncertified(&minima)
        ),
        why,
        evidence: json!({ "minimum": minima.evidence(), "descent": descents.evidence() }),
        runs: [minima.names(), descents.names()].concat(),
        figures: vec!["figure-7", "4c-full-length", "4c-accuracy", "4c-loss"],
    }
}

/// Names the runs that did not reach the minimum.
fn uncertified(minima: &Group) -> String {
    let runs = minima.models.iter().map(|model| model.run).chain([minima.reference]);
    let missed: Vec<String> =
        runs.filter(|run| !run.is_certified()).map(|run| format!("λ = {}", run.lambda())).collect();
    if missed.is_empty() {
        String::new()
    } else {
        format!("The search for the minimum ended before its tolerance for {}. ", missed.join(", "))
    }
}

/// Says which penalty the descent without one is like, by the norms of the weights.
fn hidden_penalty(runs: &Runs, minima: &Group, descents: &Group) -> String {
    let norm = |run: &Run| run.summary.weight_norm.frobenius;
    let (end, epochs) = (norm(descents.reference), descents.reference.config.descent().epochs);
    // From the strongest penalty to the weakest, so the norms rise.
    let all: Vec<&Run> = MINIMA.iter().map(|name| runs.get(name)).collect();
    let bracket = all.windows(2).find(|pair| (norm(pair[0])..norm(pair[1])).contains(&end));
    match bracket {
        Some(pair) => format!(
            "The report saw the opposite because {epochs} epochs of gradient descent from zero are a penalty themselves: without L2 they end at ‖w‖ = {end:.1}, \
             between the minima of λ = {} ({:.1}) and λ = {} ({:.1}), and far from that of λ = {} ({:.1}).",
            pair[0].lambda(),
            norm(pair[0]),
            pair[1].lambda(),
            norm(pair[1]),
            minima.reference.lambda(),
            norm(minima.reference)
        ),
        None => format!("After {epochs} epochs of gradient descent without L2, ‖w‖ = {end:.1}."),
    }
}

/// Formats a number with one decimal and a true minus sign.
pub(crate) fn signed(value: f64) -> String {
    format!("{value:+.1}").replace('-', "−")
}
