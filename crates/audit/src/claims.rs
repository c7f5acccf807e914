//! Judges the report's claims by the measurements. No verdict is written by hand, so other data may
//! give other verdicts.

use std::collections::BTreeSet;

use chainrule_evaluate::{Mean, normal_half_width, wilson};
use chainrule_records::{GradientCheck, GradientChecks};
use chainrule_report::document::literal;
use chainrule_report::{Claim, GreyScale, Run, Runs, Verdict};
use serde_json::{Value, json};

use crate::analysis::{SPIKE, correlation, hardest_batch, mean, median, spikes, steps_until_repeat, stop_with};
use crate::facts::{DataFacts, HardBatch, RowResults};
use crate::figures::{FIGURE_6_LOWER_ROW, FULL_LENGTH, PATIENCES, PENALISED};
use crate::penalties::accuracy_cost;

/// Returns the verdict on a claim. `is_true` says whether its core is true, `is_exact` whether it
/// needs no correction.
fn verdict(is_true: bool, is_exact: bool) -> Verdict {
    match (is_true, is_exact) {
        (true, true) => Verdict::Supported,
        (true, false) => Verdict::Corrected,
        (false, _) => Verdict::NotSupported,
    }
}

/// The judgement of a claim.
pub(crate) struct Findings {
    pub(crate) verdict: Verdict,
    /// When a verdict is given, in words: what the code decides by.
    pub(crate) rule: &'static str,
    pub(crate) measured: String,
    pub(crate) why: String,
    pub(crate) evidence: Value,
    pub(crate) runs: Vec<String>,
    pub(crate) figures: Vec<&'static str>,
}

/// Judges all claims.
pub(crate) fn judge(runs: &Runs, checks: &GradientChecks, facts: &DataFacts) -> Vec<Claim> {
    let claims: [(&str, &str, Findings); 10] = [
        ("1a", "∂C/∂w = −(y − p) x for the binary cross-entropy", closed_form(checks, "logistic", &[4, 5, 6, 8])),
        (
            "1b",
            "∂C/∂w = −x (y − p) for softmax and the categorical cross-entropy",
            closed_form(checks, "softmax", &[14, 15, 17, 18]),
        ),
        ("2d", "Early stopping ends the training after 33 epochs", early_stopping(runs)),
        (
            "2e-i",
            "Without shuffling, validation batches hold one class only, which makes the spikes; shuffling fixes that",
            one_class_batches(runs, facts),
        ),
        ("2e-ii", "With shuffling, training stops way earlier", earlier_stop(runs)),
        (
            "3d",
            "There is clear overfitting: training accuracy is much higher than validation accuracy",
            overfitting(runs, facts),
        ),
        ("4a", "∂J/∂w = ∂C/∂w + λw", penalty(checks, runs)),
        ("4b", "The lower row of the pictures is λ = 1", lower_row(runs)),
        ("4c, 4d", "Any L2 penalty costs validation accuracy", accuracy_cost(runs, facts)),
        ("4e", "‖w‖² falls with λ, as figure 8 shows", norms(runs)),
    ];
    let claim = |(id, claim, findings): (&str, &str, Findings)| Claim {
        id: id.to_owned(),
        claim: claim.to_owned(),
        verdict: findings.verdict,
        rule: findings.rule.to_owned(),
        measured: findings.measured,
        why: findings.why,
        evidence: findings.evidence,
        runs: findings.runs,
        figures: findings.figures.into_iter().map(str::to_owned).collect(),
    };
    claims.into_iter().map(claim).collect()
}

/// Returns the gradient checks of an equation. For (23), these are the checks of whole models with
/// a penalty.
pub(crate) fn lines_of(checks: &GradientChecks, equation: usize) -> Vec<&GradientCheck> {
    let number = format!("({equation})");
    let is_about = |row: &&GradientCheck| match equation {
        23 => row.what.starts_with("L2"),
        _ => {
            let mut words = row.what.split([',', ' ']);
            row.subject == "derivation" && !is_refusal(row) && words.any(|word| word == number)
        }
    };
    checks.rows.iter().filter(is_about).collect()
}

/// Whether the check passes if a wrong formula is refused.
fn is_refusal(row: &GradientCheck) -> bool {
    row.what.contains("refused")
}

fn closed_form(checks: &GradientChecks, model: &str, equations: &[usize]) -> Findings {
    let steps: Vec<&GradientCheck> = equations.iter().flat_map(|&equation| lines_of(checks, equation)).collect();
    let model = checks.rows.iter().filter(|row| row.subject == model && row.what == "no penalty");
    let rows: Vec<&GradientCheck> = steps.into_iter().chain(model).collect();
    let (coordinates, failed) = total(&rows);
    let holds = !rows.is_empty() && rows.iter().all(|row| row.passed);
    Findings {
        verdict: if holds { Verdict::Supported } else { Verdict::NotSupported },
        rule: "supported if all gradient checks of the claim pass; else not supported.",
        measured: format!(
            "The checks compare closed form, autodiff and finite differences on {coordinates} coordinates; {failed} disagree. They cover each step of the \
             derivation, and the whole gradient for several shapes, weights and batches."
        ),
        why: if holds {
            "Three independent methods give the same gradient within the bounds on their rounding errors.".into()
        } else {
            let problem = rows
                .iter()
                .find_map(|row| row.problem.as_deref())
                .unwrap_or("There are no gradient checks for this claim.");
            literal(problem.lines().next().unwrap_or_default())
        },
        evidence: json!({ "coordinates": coordinates, "failed": failed, "lines": rows }),
        runs: Vec::new(),
        figures: Vec::new(),
    }
}

fn total(rows: &[&GradientCheck]) -> (usize, usize) {
    (rows.iter().map(|row| row.coordinates).sum(), rows.iter().map(|row| row.failed).sum())
}

fn penalty(checks: &GradientChecks, runs: &Runs) -> Findings {
    let halved: Vec<&GradientCheck> = [22, 23].iter().flat_map(|&equation| lines_of(checks, equation)).collect();
    let holds = !halved.is_empty() && halved.iter().all(|row| row.passed);
    let refusal = checks.rows.iter().find(|row| is_refusal(row));
    let other_refused = refusal.is_some_and(|row| row.passed);
    let (coordinates, failed) = total(&halved);
    let verdict = match (holds, refusal.is_some(), other_refused) {
        (true, true, true) => Verdict::Corrected,
        (true, true, false) => Verdict::Supported,
        _ => Verdict::NotSupported,
    };
    let trained = ["softmax-l2-1", FIGURE_6_LOWER_ROW].map(|name| runs.get(name));
    let mut measured = format!(
        "For R = ½ Σ w², the checks compare closed form, autodiff and finite differences on {coordinates} coordinates; {failed} disagree. For R = Σ w², \
         the checks {} the same formula.",
        if other_refused { "refuse" } else { "do not refuse" }
    );
    measured += &compare_conventions(trained);
    Findings {
        verdict,
        rule: "supported if the checks accept the formula for R = ½ Σ w² and do not refuse it for R = Σ w²; corrected if they accept the first and refuse the second; \
               else not supported.",
        measured,
        why: match verdict {
            Verdict::Corrected => {
                "The formula needs a convention that the report does not state: R is half the sum of squares. For the full sum, the gradient of \
                 the penalty is 2λw."
            }
            Verdict::Supported => "The checks accept the formula for both conventions of R.",
            Verdict::NotSupported => "The gradient checks do not confirm the formula.",
        }
        .into(),
        evidence: json!({
            "half": holds, "whole_refused": other_refused, "coordinates": coordinates, "failed": failed,
            "trained": trained.map(|run| json!({
                "lambda": run.lambda(), "steps": run.summary.steps, "spectral": run.summary.weight_norm.spectral,
            })),
        }),
        runs: names(&trained),
        figures: Vec::new(),
    }
}

/// Says how a figure of norms tells the two conventions of R apart: λ = 1 with R = Σ w² is λ = 2
/// with R = ½ Σ w². Returns nothing if the second run does not have twice the λ of the first.
fn compare_conventions([half, whole]: [&Run; 2]) -> String {
    if whole.lambda() != 2.0 * half.lambda() {
        return String::new();
    }
    let describe = |run: &Run| {
        let how = if run.summary.stopped_early { "stops" } else { "ends" };
        format!(
            "{how} after {} steps with a spectral norm of {:.3}",
            run.summary.steps, run.summary.weight_norm.spectral
        )
    };
    format!(
        " The curves of figure 7 and the norms of figure 8 tell which R a program used: for λ = {}, training with λw {}; with 2λw it {}.",
        half.lambda(),
        describe(half),
        describe(whole)
    )
}

/// The epoch in the report's claim.
const CLAIMED_EPOCH: usize = 33;

fn early_stopping(runs: &Runs) -> Findings {
    let (run, full) = (runs.get("logistic"), runs.get("logistic-full-length"));
    let (end, patience) = (&run.summary, run.config.early_stopping().patience.unwrap_or(usize::MAX));
    let epoch_with = |patience| stop_with(patience, full.evaluations()).map(|evaluation| evaluation.epoch);
    let sweep: Vec<(usize, Option<usize>)> = PATIENCES.map(|patience| (patience, epoch_with(patience))).collect();
    let nearby: Vec<(usize, Option<usize>)> = (patience.saturating_sub(2).max(1)..=patience.saturating_add(2))
        .map(|patience| (patience, epoch_with(patience)))
        .collect();
    let differs = |epoch: Option<usize>| epoch.is_none_or(|epoch| epoch.abs_diff(end.stop_epoch) > 1);
    let others: Vec<String> =
        nearby.iter().filter(|(_, epoch)| differs(*epoch)).map(|(patience, _)| patience.to_string()).collect();
    let depends_on_patience = !others.is_empty();
    let describe = |(patience, epoch): &(usize, Option<usize>)| match epoch {
        Some(epoch) => format!("{patience} in epoch {epoch}"),
        None => format!("{patience} never"),
    };
    let nearby = nearby.iter().map(describe).collect::<Vec<_>>().join(", ");
    let is_claimed_epoch = end.stopped_early && end.stop_epoch == CLAIMED_EPOCH;
    Findings {
        verdict: verdict(is_claimed_epoch, !depends_on_patience),
        rule: "supported if the run stops in the claimed epoch, and in it or one beside it with each patience up to 2 away; corrected if only the first holds; else \
               not supported.",
        measured: if end.stopped_early {
            format!(
                "The run ended at step {}, after {:.2} epochs: in epoch {} counted from 0, that is, in pass number {}. Stops with nearby patiences: {nearby}. In the run of \
                 all {} epochs, the validation loss is lowest at step {}.",
                end.stop_step,
                (end.stop_step + 1) as f64 / end.steps_per_epoch as f64,
                end.stop_epoch,
                end.stop_epoch + 1,
                full.config.descent().epochs,
                full.summary.best_step
            )
        } else {
            format!("The run did not stop early in {} epochs.", run.config.descent().epochs)
        },
        why: match (is_claimed_epoch, depends_on_patience) {
            (false, _) => format!("The training does not end in epoch {CLAIMED_EPOCH} here."),
            (true, true) => format!(
                "{CLAIMED_EPOCH} is an index from 0: the training ends during pass number {}. The epoch also depends on the patience: a patience of {} \
                 evaluations gives another epoch.",
                CLAIMED_EPOCH + 1,
                others.join(" or ")
            ),
            (true, false) => {
                format!(
                    "{CLAIMED_EPOCH} epochs were completed, and patiences close to the report's give the same answer."
                )
            }
        },
        evidence: json!({
            "stop_epoch": end.stop_epoch, "stop_step": end.stop_step, "epochs_completed": end.epochs_completed,
            "best_step_of_full_length": full.summary.best_step,
            "epoch_by_patience": sweep.iter().map(|(patience, epoch)| json!([patience, epoch])).collect::<Vec<_>>(),
        }),
        runs: names(&[run, full]),
        figures: vec!["figure-1", "2d-patience"],
    }
}

fn one_class_batches(runs: &Runs, facts: &DataFacts) -> Findings {
    let (run, shuffled) = (runs.get("logistic"), runs.get("logistic-shuffled"));
    let every = runs.get("logistic-every-step");
    let one_class = facts.batches.iter().filter(|counts| counts.iter().filter(|&&count| count > 0).count() < 2).count();
    let rarest = facts.batches.iter().filter_map(|counts| counts.iter().min()).min().copied().unwrap_or_default();
    let (steps, interval) = (run.summary.steps_per_epoch, run.evaluation_interval());
    let period = steps_until_repeat(steps, interval);
    let spike_steps: Vec<usize> = spikes(run).iter().map(|evaluation| evaluation.step).collect();
    let hardest = hardest_batch(every);
    let on_hardest = |hardest: usize| spike_steps.iter().filter(|step| *step % steps == hardest).count();
    let is_alias = hardest.as_ref().is_some_and(|hardest| {
        spike_steps.len() > 1
            && 10 * hardest.epochs >= 9 * hardest.of
            && on_hardest(hardest.batch) == spike_steps.len()
            && spike_steps.windows(2).all(|pair| pair[1] - pair[0] == period)
    });
    let spikes_shuffled = spikes(shuffled).len();

    let mut measured = format!(
        "The number of training batches with one class only is {one_class} of {} (the smallest number of rows of a class in a batch is {rarest}). Every \
         evaluation uses all {} validation rows. ",
        facts.batches.len(),
        run.summary.data.validation
    );
    if spike_steps.is_empty() {
        measured += "In file order, there are no spikes. ";
    } else {
        let steps: Vec<String> = spike_steps.iter().map(ToString::to_string).collect();
        measured += &format!(
            "A spike is an evaluation after the first epoch whose validation loss exceeds both its neighbours by more than {:.0} %. In file order, there are spikes at these \
             steps: {}. ",
            100.0 * (SPIKE - 1.0),
            steps.join(", ")
        );
    }
    if let Some(hardest) = &hardest {
        measured += &format!(
            "With an evaluation after every step, the validation loss is highest after batch {} in {} of {} epochs. An epoch has {steps} steps and the \
             report evaluates every {interval} steps, so it evaluates after the same batch every {period} steps. ",
            hardest.batch, hardest.epochs, hardest.of
        );
    }
    if let Some(hard) = &facts.hard_batch {
        measured += &describe_hard_batch(hard);
        if facts.shows_rows {
            measured += &format!("`{}` shows them. ", crate::HARD_ROWS);
        }
    }
    measured += &format!("With shuffling, the number of spikes is {spikes_shuffled}.");
    Findings {
        verdict: if one_class > 0 && !spike_steps.is_empty() { Verdict::Corrected } else { Verdict::NotSupported },
        rule: "corrected if there are training batches of one class and spikes; else not supported. It cannot be supported, since validation uses no batches.",
        measured,
        why: match (one_class, is_alias) {
            (0, true) => format!(
                "No batch has only one class, and validation uses no batches. The spikes are aliasing: the same batch raises the validation loss in nearly \
                 every epoch, and the report evaluates right after it once in {period} steps.{}",
                if spikes_shuffled == 0 { " With shuffling, that batch does not occur again." } else { "" }
            ),
            (0, false) => "No batch has only one class, and validation uses no batches.".into(),
            (_, _) if spike_steps.is_empty() => {
                "Some training batches have only one class, but there are no spikes to explain.".into()
            }
            _ => "Some training batches have only one class, but validation always uses all rows.".into(),
        },
        evidence: json!({
            "one_class_batches": one_class, "batches": facts.batches.len(), "rarest_class_in_a_batch": rarest,
            "validation_rows": run.summary.data.validation, "spikes": spike_steps, "steps_per_epoch": steps,
            "evaluation_interval": interval, "period": period, "aliasing": is_alias,
            "hardest_batch": hardest.as_ref().map(|h| json!({ "batch": h.batch, "epochs": h.epochs, "of": h.of })),
            "spikes_shuffled": spikes_shuffled,
            "why_hard": facts.hard_batch.as_ref().map(|hard| json!({
                "epoch": hard.epoch, "validation_loss_before": hard.before, "after": hard.after, "after_without_worst": hard.after_without,
                "worst": hard.worst.iter().map(|row| json!({ "image": row.image, "class": row.class, "loss": row.loss })).collect::<Vec<_>>(),
                "mean_loss_of_others": hard.mean_of_others, "correlation_of_worst": hard.likeness, "usual_correlation": hard.usual_likeness,
            })),
        }),
        runs: names(&[run, shuffled, every]),
        figures: vec!["figure-1", "figure-3", "2e-aliasing"],
    }
}

/// Says which rows make a batch hard, and how much.
fn describe_hard_batch(hard: &HardBatch) -> String {
    let HardBatch { batch, epoch, before, after, after_without, worst, mean_of_others, likeness, usual_likeness } =
        hard;
    let classes: BTreeSet<&str> = worst.iter().map(|row| row.class.as_str()).collect();
    let classes = classes.into_iter().collect::<Vec<_>>().join(" and ");
    let images: Vec<String> = worst.iter().map(|row| row.image.to_string()).collect();
    let losses: Vec<String> = worst.iter().map(|row| format!("{:.2}", row.loss)).collect();
    format!(
        "In epoch {epoch}, the step on batch {batch} raises the validation loss from {before:.3} to {after:.3}. The {} rows with the highest losses in it are \
         of class {classes} (training images {}; losses {}, and {mean_of_others:.2} on average for the other rows). Their pixels have a mean correlation of {likeness:.2} \
         with each other; two images of the same class have {usual_likeness:.2}. Without them, the step ends at a validation loss of {after_without:.3}. ",
        worst.len(),
        images.join(", "),
        losses.join(", "),
    )
}

fn earlier_stop(runs: &Runs) -> Findings {
    let (plain, shuffled, seeds) = (runs.get("logistic"), runs.get("logistic-shuffled"), runs.seeds("logistic-seed"));
    let mut stops: Vec<usize> = seeds.iter().map(|run| run.summary.stop_step).collect();
    stops.sort_unstable();
    let mut epochs: Vec<usize> = seeds.iter().map(|run| run.summary.stop_epoch).collect();
    epochs.sort_unstable();
    let before = |step: usize| stops.iter().filter(|&&stop| stop < step).count();
    let (all, earlier) = (stops.len(), before(plain.summary.stop_step));
    let earlier_than_report = before(shuffled.summary.stop_step);
    let median_epoch = median(&epochs).unwrap_or_default();
    let range = [epochs.first(), epochs.last()].map(|epoch| epoch.copied().unwrap_or_default());
    let later_than_report = stops.iter().filter(|&&stop| stop > shuffled.summary.stop_step).count();
    let is_typical = 20 * (all - later_than_report) >= all && 20 * (all - earlier_than_report) >= all;
    let nearly_all = 20 * earlier >= 19 * all;
    // The claim's "way earlier" means that the median run saves a quarter of the epochs.
    let is_much_earlier = 4 * (median_epoch + 1) <= 3 * (plain.summary.stop_epoch + 1);
    let verdict = match (nearly_all && is_typical && is_much_earlier, 2 * earlier > all) {
        (true, _) => Verdict::Supported,
        (false, true) => Verdict::Corrected,
        (false, false) => Verdict::NotSupported,
    };
    let interval = wilson(earlier as u64, all as u64);
    let report_seed = shuffled.summary.seed;
    let seed_note = if seeds.iter().any(|run| run.summary.seed == report_seed) {
        format!(" The report's run is one of them, with seed {report_seed}.")
    } else {
        String::new()
    };
    Findings {
        verdict,
        rule: "supported if at least 95 % of the seeds stop before the run in file order, the median run saves at least a quarter of its epochs, and the report's run is \
               not among the 5 % at either end; corrected if more than half of the seeds stop before; else not supported.",
        measured: format!(
            "The report's shuffled run ends in epoch {}, the run in file order in epoch {}. Of {all} shuffled runs that differ only in their seed, \
             {earlier} end before the run in file order: {:.0} % to {:.0} % of all seeds (Wilson's 95 % interval). They end in epochs {} to {}; the median is epoch {median_epoch}. {earlier_than_report} of them end \
             before the report's shuffled run.{seed_note}",
            shuffled.summary.stop_epoch,
            plain.summary.stop_epoch,
            100.0 * interval[0],
            100.0 * interval[1],
            range[0],
            range[1]
        ),
        why: match verdict {
            Verdict::Supported => format!(
                "{earlier} of {all} seeds stop earlier. The median run saves at least a quarter of the epochs, and the report's run is not an outlier."
            ),
            Verdict::Corrected => format!(
                "Training {} stops earlier: {earlier} of {all} seeds do. But how much earlier depends on the seed: the report's run stops in epoch {}, the \
                 median run in epoch {median_epoch}. One run is not enough to tell.",
                if nearly_all { "almost always" } else { "mostly" },
                shuffled.summary.stop_epoch
            ),
            Verdict::NotSupported => format!(
                "{} of {all} seeds do not stop earlier. The stop depends on the seed, and one run is not enough to tell.",
                all - earlier
            ),
        },
        evidence: json!({
            "in_file_order": plain.summary.stop_step, "reports_shuffled_run": shuffled.summary.stop_step, "seeds": all,
            "earlier_than_in_file_order": earlier, "earlier_interval": interval, "earlier_than_the_reports": earlier_than_report, "median_epoch": median_epoch, "epochs": epochs,
        }),
        runs: [names(&[plain, shuffled]), names(&seeds)].concat(),
        figures: vec!["figure-3", "2e-seeds"],
    }
}

fn overfitting(runs: &Runs, facts: &DataFacts) -> Findings {
    let (run, early) = (runs.get("softmax"), runs.get("softmax-one-epoch"));
    let (last, data) = (&run.summary.final_metrics, &run.summary.data);
    let error = |p: f64, n: usize| p * (1.0 - p) / n as f64;
    let gap = last.train_accuracy - last.validation_accuracy;
    // Training and validation rows are different images, so the two variances add up.
    let gap_error = (error(last.train_accuracy, data.train) + error(last.validation_accuracy, data.validation)).sqrt();
    let growth = GapGrowth::new(facts, [early, run]);
    let losses: Vec<f64> = run.evaluations().iter().map(|evaluation| evaluation.validation_loss).collect();
    let (before, late) = last_tenths(&losses);
    let rises = late > before;
    let half_width = normal_half_width(0.95);
    let is_wide = gap > half_width * gap_error;
    let verdict = verdict(rises, is_wide);
    Findings {
        verdict,
        rule: "supported if the mean validation loss is higher over the last tenth of the evaluations than over the tenth before, and the 95 % interval of \
               the gap is above 0; corrected if only the first holds; else not supported.",
        measured: format!(
            "At the end, {:.2} % of the training rows and {:.2} % of the validation rows are classified correctly. The gap is {:.2} ± {:.2} points (95 % interval \
             for two sets of different images). From the end of the first epoch to the end, the gap grows by {:.2} ± {:.2} points (95 % interval, paired: both models \
             are measured on the same images). The mean validation loss is {before:.4} over the second-to-last tenth of the evaluations and {late:.4} over the last \
             tenth: it {}.",
            100.0 * last.train_accuracy,
            100.0 * last.validation_accuracy,
            100.0 * gap,
            100.0 * half_width * gap_error,
            100.0 * growth.growth,
            100.0 * half_width * growth.error,
            if rises { "rises" } else { "does not rise" }
        ),
        why: match verdict {
            Verdict::Supported => "The validation loss rises, and the 95 % interval of the gap is above 0.".into(),
            Verdict::Corrected => "The validation loss rises, but the 95 % interval of the gap is not above 0.".into(),
            Verdict::NotSupported => "A model overfits if it gets worse on the validation rows while it gets better on the training rows. Here the validation \
                                      loss does not rise. Fitting alone can cause a gap."
                .into(),
        },
        evidence: json!({
            "train_accuracy": last.train_accuracy, "validation_accuracy": last.validation_accuracy, "gap": gap, "gap_standard_error": gap_error,
            "growth_since_first_epoch": growth.growth, "growth_standard_error": growth.error,
            "validation_loss_before": before, "validation_loss_last": late,
        }),
        runs: names(&[run, early]),
        figures: vec!["figure-4", "figure-5", "3d-gap"],
    }
}

/// How much the gap between training and validation accuracy grows from one model to another.
struct GapGrowth {
    growth: f64,
    /// Its standard error. Each set of rows is its own pairing, and the two sets are independent.
    error: f64,
}

impl GapGrowth {
    fn new(facts: &DataFacts, runs: [&Run; 2]) -> Self {
        let [early, late] = runs.map(|run| facts.results.get(&run.name).expect("the facts have this run's results"));
        let change = |early: &RowResults, late: &RowResults| {
            let mean = Mean::of(&late.wins_over(early).collect::<Vec<_>>(), None);
            mean.map_or((0.0, 0.0), |mean| (mean.mean, mean.standard_error.unwrap_or(0.0)))
        };
        let (train, validation) = (change(&early.train, &late.train), change(&early.validation, &late.validation));
        Self { growth: train.0 - validation.0, error: train.1.hypot(validation.1) }
    }
}

fn lower_row(runs: &Runs) -> Findings {
    let (shown, named) = (runs.get(FIGURE_6_LOWER_ROW), runs.get("softmax-l2-1"));
    let classes = 0..shown.parameters.columns.min(named.parameters.columns);
    let correlations: Vec<f64> = classes
        .clone()
        .map(|class| correlation(&shown.parameters.weights_of_class(class), &named.parameters.weights_of_class(class)))
        .collect();
    let least = correlations.iter().copied().fold(f64::INFINITY, f64::min);
    let max_difference = classes
        .flat_map(|class| {
            let grey = |run: &Run| GreyScale::Own.grey(&run.parameters.weights_of_class(class));
            grey(shown).into_iter().zip(grey(named)).map(|(a, b)| a.abs_diff(b)).collect::<Vec<_>>()
        })
        .max()
        .unwrap_or_default();
    let is_other = shown.lambda() != 1.0 && max_difference > 0;
    Findings {
        verdict: if is_other { Verdict::Corrected } else { Verdict::Supported },
        rule: "supported if the row that the program draws is λ = 1 or does not differ from it by a grey level; else corrected.",
        measured: format!(
            "The report's program trains with λ = 0, then with λ = {}, and draws these two runs. The pictures of the second run and of λ = 1 have correlations \
             of at least {least:.4} and differ by at most {max_difference} of 255 grey levels.",
            shown.lambda()
        ),
        why: if is_other {
            format!(
                "The row shows λ = {}. The pictures of λ = 1 look similar, but are from another run.",
                shown.lambda()
            )
        } else {
            "The pictures agree with those of λ = 1.".into()
        },
        evidence: json!({ "lambda": shown.lambda(), "least_correlation": least, "largest_difference_of_grey_levels": max_difference }),
        runs: names(&[shown, named]),
        figures: vec!["figure-6", "4b-penalties"],
    }
}

/// Returns the mean of the second-to-last tenth of the values and the mean of the last tenth. Each
/// tenth has at least one value.
fn last_tenths(values: &[f64]) -> (f64, f64) {
    let tenth = (values.len() / 10).max(1);
    let end = values.len() - tenth;
    let before = &values[end.saturating_sub(tenth)..end];
    let late = mean(&values[end..]);
    (if before.is_empty() { late } else { mean(before) }, late)
}

fn norms(runs: &Runs) -> Findings {
    let penalised = PENALISED.map(|name| runs.get(name));
    // The runs are ordered from the strongest penalty to the weakest.
    let rises = |norm: fn(&Run) -> f64| penalised.windows(2).all(|pair| norm(pair[0]) < norm(pair[1]));
    let spectral = |run: &Run| run.summary.weight_norm.spectral;
    let squared = |run: &Run| run.summary.weight_norm.frobenius_squared;
    let full = FULL_LENGTH.map(|name| runs.get(name));
    let rises_full =
        full[..4].windows(2).all(|pair| squared(pair[0]) < squared(pair[1]) && spectral(pair[0]) < spectral(pair[1]));
    let norms_fall = [rises(spectral), rises(|run| run.summary.weight_norm.frobenius), rises(squared), rises_full];
    let is_squared = penalised.iter().all(|run| (spectral(run) / squared(run) - 1.0).abs() < 0.01);
    let describe = |run: &&Run| format!("λ = {}: {:.4} and {:.4}", run.lambda(), spectral(run), squared(run));
    let verdict = verdict(norms_fall.iter().all(|falls| *falls), is_squared);
    Findings {
        verdict,
        rule: "supported if all three norms fall with λ, with and without early stopping, and figure 8's norm is ‖w‖² within 1 %; corrected if only the first holds; else \
               not supported.",
        measured: format!(
            "Spectral norm and ‖w‖²: {}. These runs differ in their length, and weights that start at zero grow with it. Without early stopping: {}.",
            penalised.iter().map(describe).collect::<Vec<_>>().join("; "),
            full[..4].iter().map(describe).collect::<Vec<_>>().join("; ")
        ),
        why: match verdict {
            Verdict::Supported => "All three norms fall with λ, with and without early stopping, and the spectral norm is ‖w‖² within 1 %.".into(),
            Verdict::Corrected => "All three norms fall with λ, with and without early stopping. But figure 8 plots the spectral norm, the largest singular value of the weights with \
                                   their bias row, not ‖w‖²."
                .into(),
            Verdict::NotSupported => "Here, not every norm falls with λ.".into(),
        },
        evidence: json!({
            "norms": penalised.iter().map(|run| json!({
                "lambda": run.lambda(), "spectral": spectral(run), "frobenius": run.summary.weight_norm.frobenius, "frobenius_squared": squared(run),
            })).collect::<Vec<_>>(),
        }),
        runs: [names(&penalised), names(&full[..4])].concat(),
        figures: vec!["figure-8", "4e-norms"],
    }
}

pub(crate) fn names(runs: &[&Run]) -> Vec<String> {
    runs.iter().map(|run| run.name.clone()).collect()
}
