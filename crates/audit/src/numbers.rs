//! The numbers that a reproduction must match: `numbers.json`.

use std::collections::BTreeMap;
use std::fmt::Write;

use chainrule_core::{GradientSource, Precision};
use chainrule_report::{Claim, Run, Runs, Verdict};
use serde::{Deserialize, Serialize};

/// The numbers of a reproduction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// The data, backend and settings behind the numbers.
    pub origin: NumbersOrigin,
    /// The verdict on each claim.
    pub verdicts: BTreeMap<String, Verdict>,
    /// The numbers of each run.
    pub runs: BTreeMap<String, RunNumbers>,
}

/// The data, backend and settings behind the numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumbersOrigin {
    /// The SHA-256 of the data.
    pub data_sha256: String,
    /// The Burn backend.
    pub backend: String,
    /// The float type.
    pub precision: Precision,
    /// The source of the gradients.
    pub gradient: GradientSource,
}

/// The numbers of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunNumbers {
    /// The number of steps.
    pub steps: usize,
    /// The last epoch, from 0.
    pub stop_epoch: usize,
    /// Whether early stopping ended the run.
    pub stopped_early: bool,
    /// The step of the lowest validation loss.
    pub best_step: usize,
    /// The numbers of correctly classified training and validation rows.
    pub right: [usize; 2],
    /// The mean cross-entropy over the validation rows at the end, in nats.
    pub validation_loss: f64,
    /// The Frobenius norm of weights and bias.
    pub frobenius: f64,
    /// The largest singular value of weights and bias.
    pub spectral: f64,
    /// Whether the run ended at a certified minimum.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_minimum: bool,
}

/// How far apart the numbers of correct rows of two runs to the same minimum may be. With a
/// tolerance of 1e-6 nats, backends were seen to differ by one row.
const MINIMUM_COUNTS: usize = 20;
/// How far apart their norms and losses may be, relative to them. Backends were seen to differ by
/// 2e-5.
const MINIMUM_RELATIVE: f64 = 1e-3;

impl Numbers {
    pub(crate) fn new(runs: &Runs, claims: &[Claim]) -> Self {
        let first = runs.iter().next().expect("a report has runs");
        Self {
            origin: NumbersOrigin {
                data_sha256: first.summary.data.sha256.clone(),
                backend: first.summary.backend.clone(),
                precision: first.summary.precision,
                gradient: first.summary.gradient,
            },
            verdicts: claims.iter().map(|claim| (claim.id.clone(), claim.verdict)).collect(),
            runs: runs.iter().map(|run| (run.name.clone(), RunNumbers::new(run))).collect(),
        }
    }

    /// Returns the numbers as JSON, one line for each run.
    pub fn to_json(&self) -> String {
        let mut text = format!("{{\n  \"origin\": {},\n", json(&self.origin));
        writeln!(text, "  \"verdicts\": {},", json(&self.verdicts)).expect("writing to a String cannot fail");
        let runs: Vec<String> = self.runs.iter().map(|(name, run)| format!("    {name:?}: {}", json(run))).collect();
        write!(text, "  \"runs\": {{\n{}\n  }}\n}}\n", runs.join(",\n")).expect("writing to a String cannot fail");
        text
    }

    /// Returns the differences between these numbers and `new`, or an empty list.
    ///
    /// Steps, epochs and verdicts must be equal. In f64, all counts must be equal too, and norms
    /// and losses within 1e-6. In f32, counts may differ by 2, and norms and losses by 1e-3, since
    /// rounding differs between backends.
    ///
    /// A certified minimum is known up to its tolerance of J, wherever a solver stops within it. So
    /// its steps may differ, its counts by 20, and its norms and loss by
    /// 1e-3.
    pub fn differences(&self, new: &Numbers) -> Vec<String> {
        let mut differences = Vec::new();
        if self.origin.data_sha256 != new.origin.data_sha256 {
            return vec!["the data differs: its checksum is not the same".to_owned()];
        }
        for id in self.verdicts.keys().chain(new.verdicts.keys().filter(|id| !self.verdicts.contains_key(*id))) {
            let verdicts =
                [self, new].map(|numbers| numbers.verdicts.get(id).map_or("absent", |verdict| verdict.name()));
            if verdicts[0] != verdicts[1] {
                differences.push(format!("claim {id}: was {}, now {}", verdicts[0], verdicts[1]));
            }
        }
        let is_f32 = [self, new].iter().any(|numbers| numbers.origin.precision == Precision::F32);
        let (counts, relative) = if is_f32 { (2, 1e-3) } else { (0, 1e-6) };
        for name in self.runs.keys().chain(new.runs.keys().filter(|name| !self.runs.contains_key(*name))) {
            match (self.runs.get(name), new.runs.get(name)) {
                (Some(old_run), Some(new_run)) => {
                    differences.extend(
                        old_run
                            .differences(new_run, counts, relative)
                            .into_iter()
                            .map(|line| format!("{name}: {line}")),
                    );
                }
                (Some(_), None) => differences.push(format!("{name}: was not run")),
                (None, _) => differences.push(format!("{name}: is new")),
            }
        }
        differences
    }
}

impl RunNumbers {
    fn new(run: &Run) -> Self {
        let summary = &run.summary;
        Self {
            steps: summary.steps,
            stop_epoch: summary.stop_epoch,
            stopped_early: summary.stopped_early,
            best_step: summary.best_step,
            right: run.correct_counts(),
            validation_loss: summary.final_metrics.validation_loss,
            frobenius: summary.weight_norm.frobenius,
            spectral: summary.weight_norm.spectral,
            is_minimum: run.is_certified(),
        }
    }

    fn differences(&self, new: &RunNumbers, counts: usize, relative: f64) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare_counts = |what: &str, old: usize, new: usize, tolerance: usize| {
            if old.abs_diff(new) > tolerance {
                differences.push(format!("{what} was {old}, now {new}"));
            }
        };
        compare_counts("stopped early", self.stopped_early.into(), new.stopped_early.into(), 0);
        compare_counts("at a certified minimum", self.is_minimum.into(), new.is_minimum.into(), 0);
        let (counts, relative) = if self.is_minimum {
            (MINIMUM_COUNTS, MINIMUM_RELATIVE)
        } else {
            compare_counts("steps", self.steps, new.steps, 0);
            compare_counts("stop epoch", self.stop_epoch, new.stop_epoch, 0);
            compare_counts("best step", self.best_step, new.best_step, 0);
            (counts, relative)
        };
        compare_counts("correct training rows", self.right[0], new.right[0], counts);
        compare_counts("correct validation rows", self.right[1], new.right[1], counts);
        let mut compare_values = |what: &str, old: f64, new: f64| {
            // This form counts NaN as a difference.
            let is_close = (old - new).abs() <= relative * old.abs();
            if !is_close {
                differences.push(format!("{what} was {old}, now {new}"));
            }
        };
        compare_values("validation loss", self.validation_loss, new.validation_loss);
        compare_values("Frobenius norm", self.frobenius, new.frobenius);
        compare_values("spectral norm", self.spectral, new.spectral);
        differences
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers, names and verdicts can be written as JSON")
}
