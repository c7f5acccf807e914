//! The text of the pages, in the order of the tasks.

use chainrule_core::{Generator, GradientSource, Precision};
use chainrule_records::{ConfigFile, GradientCheck, GradientChecks};
use chainrule_report::document::{Block, Document, Section, literal};
use chainrule_report::{Claim, DrawingPage, Figure, Run, Runs, markdown};

use crate::DataFacts;
use crate::analysis::spikes;
use crate::claims::lines_of;
use crate::derivation;
use crate::penalties::{DESCENTS, Group, MINIMA};

/// The input of the pages.
pub(crate) struct Sources<'a> {
    pub(crate) runs: &'a Runs,
    pub(crate) checks: &'a GradientChecks,
    pub(crate) facts: &'a DataFacts,
    pub(crate) figures: &'a [Figure],
    pub(crate) claims: &'a [Claim],
}

pub(crate) fn document(sources: &Sources) -> Document {
    let run = sources.runs.get("softmax");
    let data = literal(&sources.facts.data_name);
    Document {
        title: "Logistic and softmax regression by hand, re-run and audited".into(),
        lead: format!(
            "A student's report on the first assignment of a computer-vision course (TDT4265, 2023) derives two gradients by hand, trains with them, \
             draws eight figures and makes ten claims. A program wrote this page. It repeated every run on {data}, drew every figure again and \
             judged every claim by its measurements. No number and no verdict was written by hand: other data may give other ones."
        ),
        sections: vec![
            verdicts(sources),
            task_1a(sources),
            task_1b(sources),
            task_2abc(sources),
            task_2d(sources),
            task_2e(sources),
            task_3abc(sources, run),
            board(sources, run),
            task_3d(sources),
            task_4a(sources),
            task_4b(sources),
            task_4cd(sources),
            task_4e(sources),
            derivation::section(),
            provenance(sources),
        ],
    }
}

fn section(id: &str, title: &str, blocks: Vec<Block>) -> Section {
    Section { id: id.to_owned(), title: title.to_owned(), blocks }
}

fn text(text: impl Into<String>) -> Block {
    Block::Text(text.into())
}

fn strings(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

impl Sources<'_> {
    fn figure(&self, id: &str) -> Block {
        Block::Figure(self.figures.iter().find(|figure| figure.id == id).expect("every figure has been drawn").clone())
    }

    fn claim(&self, id: &str) -> Block {
        Block::Claim(self.claims.iter().find(|claim| claim.id == id).expect("every claim has been judged").clone())
    }

    /// Returns a table of derivation steps with the results of their checks.
    fn steps(&self, steps: &[(&[usize], &str, &str)]) -> Block {
        let row = |(equations, formula, why): &(&[usize], &str, &str)| {
            let name = equations.iter().map(|equation| format!("({equation})")).collect::<Vec<_>>().join(", ");
            let lines: Vec<_> = equations.iter().flat_map(|&equation| lines_of(self.checks, equation)).collect();
            let sum = |count: fn(&GradientCheck) -> usize| lines.iter().map(|line| count(line)).sum::<usize>();
            let (coordinates, failed) = (sum(|line| line.coordinates), sum(|line| line.failed));
            let result = if lines.is_empty() {
                "a definition".to_owned()
            } else if lines.iter().all(|line| line.passed) {
                format!("{coordinates} coordinates agree: closed form, autodiff, finite differences")
            } else {
                format!("**{failed} of {coordinates} coordinates disagree**")
            };
            vec![name, format!("${formula}$"), (*why).to_owned(), result]
        };
        Block::Table { head: strings(&["Eq.", "Step", "Why", "Checked"]), rows: steps.iter().map(row).collect() }
    }
}

fn verdicts(sources: &Sources) -> Section {
    section(
        "verdicts",
        "Verdicts",
        vec![
            text(
                "*Supported*: the claim is true as written. *Corrected*: the claim is true after a correction. *Not supported*: the measurements contradict \
                 the claim. The evidence is in the section of each task below.",
            ),
            Block::Verdicts(sources.claims.to_vec()),
        ],
    )
}

fn task_1a(sources: &Sources) -> Section {
    section(
        "task-1a",
        "Task 1a: the gradient of logistic regression",
        [
            vec![
            text(
                "Consider one row $x$ with target $y \\in \\lbrace 0, 1 \\rbrace$. The cost depends on $w$ only through $p$, and $p$ depends on $w$ only through $z$. So the \
                 chain rule gives three factors. In their product, $p (1 - p)$ cancels.",
            ),
            sources.steps(&[
                (&[1], r"z = x^\top w + b", "the model"),
                (&[2], r"p = \sigma(z) = \dfrac{1}{1 + e^{-z}}", "the model"),
                (&[3], r"C = -(y \ln p + (1 - y) \ln (1 - p))", "binary cross-entropy"),
                (&[4], r"\dfrac{\partial C}{\partial p} = \dfrac{p - y}{p (1 - p)}", "over the common denominator"),
                (&[5], r"\dfrac{\partial p}{\partial z} = p (1 - p)", "quotient rule"),
                (&[6], r"\dfrac{\partial C}{\partial z} = p - y", "their product: $p(1 - p)$ cancels"),
                (&[8], r"\dfrac{\partial C}{\partial w_j} = -(y - p) x_j", "times $\\partial z / \\partial w_j = x_j$"),
            ]),
            text("The gradient of a batch is the mean of the gradients of its rows:"),
            Block::Equation(r"\frac{\partial C}{\partial w} = \frac1N X^\top (p - y) \qquad (9)"),
            ],
            derivation::blocks("logistic"),
            vec![sources.claim("1a")],
        ]
        .concat(),
    )
}

fn task_1b(sources: &Sources) -> Section {
    section(
        "task-1b",
        "Task 1b: the gradient of softmax regression",
        [
            vec![
            text(
                "Here $y$ is one-hot, and every $p_k$ depends on every $z_j$ through the sum in the denominator. So the chain rule sums over all \
                 outputs and has two cases. The result is as simple as for logistic regression.",
            ),
            sources.steps(&[
                (&[11], r"z_k = \sum_j x_j w_{jk} + b_k", "the model"),
                (&[12], r"p_k = \dfrac{e^{z_k}}{\sum_i e^{z_i}}", "the model"),
                (&[13], r"C = -\sum_k y_k \ln p_k", "cross-entropy: a sum over classes, not divided by $K$"),
                (&[14], r"\dfrac{\partial C}{\partial p_k} = -\dfrac{y_k}{p_k}", "the outer derivative"),
                (
                    &[15, 16],
                    r"\dfrac{\partial p_k}{\partial z_k} = p_k (1 - p_k), \quad \dfrac{\partial p_k}{\partial z_j} = -p_k p_j",
                    "quotient rule, on the diagonal and off it",
                ),
                (&[17], r"\dfrac{\partial C}{\partial z_j} = p_j - y_j", "summed over $k$, with $\\sum_k y_k = 1$"),
                (&[18], r"\dfrac{\partial C}{\partial w_{jk}} = -x_j (y_k - p_k)", "$w_{jk}$ occurs only in $z_k$"),
            ]),
            Block::Equation(r"\frac{\partial C}{\partial W} = \frac1N X^\top (P - Y) \qquad (19)"),
            ],
            derivation::blocks("softmax"),
            vec![sources.claim("1b")],
        ]
        .concat(),
    )
}

fn task_2abc(sources: &Sources) -> Section {
    let run = sources.runs.get("logistic");
    let (data, descent) = (&run.summary.data, run.config.descent());
    let classes = &data.classes;
    section(
        "task-2",
        "Tasks 2a, 2b, 2c: training logistic regression",
        vec![
            text(format!(
                "Class {} against class {}: {} training and {} validation rows. Pixels are scaled to $-1 \\dots 1$, and weights start at zero. Plain gradient \
                 descent uses batches of {} in the order of the file and a learning rate of {}. An epoch has {} {}. \
                 The report evaluates every {} steps. It stops after {} evaluations in a row without a lower validation loss.",
                classes.get(1).map(ToString::to_string).unwrap_or_default(),
                classes.first().map(ToString::to_string).unwrap_or_default(),
                data.train,
                data.validation,
                descent.batch_size,
                descent.learning_rate,
                run.summary.steps_per_epoch,
                if descent.drop_last { "full batches; the remaining rows are dropped" } else { "batches" },
                run.evaluation_interval(),
                run.config.early_stopping().patience.unwrap_or_default()
            )),
            sources.figure("figure-1"),
            sources.figure("figure-2"),
            text(describe_curves(run)),
        ],
    )
}

/// Describes what is unusual about the curves of the first run, if anything.
fn describe_curves(run: &Run) -> String {
    let last = &run.summary.final_metrics;
    let spikes = spikes(run).len();
    let mut notes = Vec::new();
    if spikes > 0 {
        notes.push(format!("The number of spikes in the validation loss is {spikes}. Task 2e explains them."));
    }
    if last.validation_accuracy > last.train_accuracy {
        notes.push(
            "The final validation accuracy is *above* the training accuracy. This is not an error: the two are measured on different images, and \
             the validation images may be easier."
                .to_owned(),
        );
    }
    if notes.is_empty() { "The curves have no unusual features.".to_owned() } else { notes.join(" ") }
}

fn task_2d(sources: &Sources) -> Section {
    section(
        "task-2d",
        "Task 2d: when does early stopping stop?",
        vec![
            text(
                "The answer is one number. How much does it depend on the patience? One run without early stopping shows where each patience would have \
                 stopped it.",
            ),
            sources.figure("2d-patience"),
            sources.claim("2d"),
        ],
    )
}

fn task_2e(sources: &Sources) -> Section {
    let run = sources.runs.get("logistic");
    let seeds = sources.runs.seeds("logistic-seed");
    section(
        "task-2e",
        "Task 2e: what does shuffling change, and why?",
        vec![
            sources.figure("figure-3"),
            text(format!(
                "The report says that batches of one class cause the spikes. The next figure shows what happens between the report's evaluations: \
                 the same run, evaluated after each of the {} steps of an epoch.",
                run.summary.steps_per_epoch
            )),
            sources.figure("2e-aliasing"),
            sources.claim("2e-i"),
            text(format!(
                "The stop of one shuffled run depends on the seed of its shuffle. The next figure shows {} seeds.",
                seeds.len()
            )),
            sources.figure("2e-seeds"),
            sources.claim("2e-ii"),
        ],
    )
}

fn task_3abc(sources: &Sources, run: &Run) -> Section {
    let (data, descent) = (&run.summary.data, run.config.descent());
    section(
        "task-3",
        "Tasks 3a, 3b, 3c: training softmax regression",
        vec![
            text(format!(
                "Softmax regression on {} classes, with {} training and {} validation rows, shuffled every epoch. The learning rate is {}; there are {} epochs of \
                 {} steps.",
                data.classes.len(),
                data.train,
                data.validation,
                descent.learning_rate,
                descent.epochs,
                run.summary.steps_per_epoch
            )),
            sources.figure("figure-4"),
            sources.figure("figure-5"),
        ],
    )
}

fn board(sources: &Sources, run: &Run) -> Section {
    let facts = sources.facts;
    section(
        "board",
        "Draw an image yourself",
        vec![
            text(
                "This is the model of figure 5: the final weights of the run `softmax`. Draw an image for it. The page shows the probability of each class, the strokes \
                 for and against a class, and the gradient step of task 1b that would teach the model another class.",
            ),
            Block::DrawingPage(Box::new(
                DrawingPage::new(
                    run.summary.model,
                    &run.summary.data.schema(),
                    &run.parameters,
                    &run.preprocessing,
                    &facts.examples,
                )
                .with_class_weights(run.summary.class_weights.clone())
                .with_derivation("#task-1b"),
            )),
        ],
    )
}

fn task_3d(sources: &Sources) -> Section {
    section(
        "task-3d",
        "Task 3d: is this overfitting?",
        vec![
            text(
                "Fitting alone causes a gap between the two accuracies, because the model has seen one set of rows and not the other. The sign of *over*fitting \
                 is a validation loss that rises while the training loss still falls.",
            ),
            sources.figure("3d-gap"),
            sources.claim("3d"),
        ],
    )
}

fn task_4a(sources: &Sources) -> Section {
    section(
        "task-4a",
        "Task 4a: the gradient with a penalty",
        [
            vec![sources.steps(&[
                (&[21], r"J = C + \lambda R, \quad R = \tfrac12 \sum_{j,k} w_{jk}^2", "the penalised cost"),
                (&[22], r"\dfrac{\partial R}{\partial w_{jk}} = w_{jk}", "the factor ½ cancels the 2 of the square"),
                (
                    &[23],
                    r"\dfrac{\partial J}{\partial w} = \dfrac{\partial C}{\partial w} + \lambda w",
                    "added after the mean over the batch, so not divided by $N$",
                ),
            ])],
            derivation::blocks("l2"),
            vec![sources.claim("4a")],
        ]
        .concat(),
    )
}

fn task_4b(sources: &Sources) -> Section {
    section(
        "task-4b",
        "Task 4b: the weights as pictures",
        vec![
            text(
                "Each class has one weight per pixel, so its weights form a picture. White marks the pixels where ink raises the class's score most, black those where \
                 it lowers the score most. Without a penalty, the weights of neighbouring pixels can differ freely. A strong penalty keeps only the weights that \
                 reduce the loss on many rows.",
            ),
            sources.figure("figure-6"),
            sources.figure("4b-penalties"),
            sources.claim("4b"),
        ],
    )
}

fn task_4cd(sources: &Sources) -> Section {
    section(
        "task-4c",
        "Tasks 4c and 4d: what does a penalty cost?",
        vec![
            sources.figure("figure-7"),
            text(
                "An accuracy is a fraction of finitely many rows, so it has a standard error: $\\sqrt{p (1 - p) / n}$. This is roughly how much the accuracy would change \
                 on an equal number of other images. (All runs are measured on the same images, so smaller differences can be real; a single run per penalty cannot \
                 show them.) Curves that end at different steps are hard to compare, so the next figure shows the same runs without early stopping.",
            ),
            sources.figure("4c-full-length"),
            text(
                "A model after some epochs shows two things at once: what the penalty does, and what ending the descent early does. So the next two figures add \
                 the minimum of J for each penalty, found by L-BFGS with a proven bound on the distance from it. All models predict the same images, so two of \
                 them are compared image by image: only images on which one is right and the other wrong tell them apart (McNemar's test).",
            ),
            sources.figure("4c-accuracy"),
            sources.figure("4c-loss"),
            text(
                "The table has the numbers behind the two figures. \"Alone right\" counts the images that only this model predicts correctly, and those that only the reference \
                 does; z is McNemar's, and p is adjusted by Holm's method for the models of its group.",
            ),
            penalties(sources),
            sources.claim("4c, 4d"),
        ],
    )
}

/// Returns the table of all models that differ in their penalty.
fn penalties(sources: &Sources) -> Block {
    let group = |names: &[&str]| Group::new(sources.runs, &sources.facts.results, names);
    let descents = group(&DESCENTS);
    let epochs = descents.reference.config.descent().epochs;
    Block::Table {
        head: strings(&["model", "λ", "accuracy", "loss", "alone right", "z", "p"]),
        rows: [group(&MINIMA).rows("minimum of J"), descents.rows(&format!("after {epochs} epochs"))].concat(),
    }
}

fn task_4e(sources: &Sources) -> Section {
    section(
        "task-4e",
        "Task 4e: the norm of the weights",
        vec![
            text(
                "For a matrix, `numpy.linalg.norm(w, 2)` is the spectral norm, the largest singular value. For a vector, it is the Euclidean norm. The report's \
                 weights are a matrix.",
            ),
            sources.figure("figure-8"),
            sources.figure("4e-norms"),
            sources.claim("4e"),
        ],
    )
}

fn provenance(sources: &Sources) -> Section {
    let run = sources.runs.get("softmax");
    let manifest = &run.manifest;
    let gradient = match run.summary.gradient {
        GradientSource::Auto | GradientSource::Fused => "the fused kernels (the closed forms above in one pass)",
        GradientSource::ClosedForm => "closed forms (the derivation above)",
        GradientSource::Autodiff => "Burn's autodiff",
    };
    let precision = match run.summary.precision {
        Precision::F32 => "f32",
        Precision::F64 => "f64",
    };
    let about = [
        ("data", literal(&sources.facts.data_name)),
        ("data, SHA-256 of the checksums of its files", format!("`{}`", run.summary.data.sha256)),
        ("gradients", gradient.to_owned()),
        ("precision", precision.to_owned()),
        ("backend", format!("{}, Burn {}", literal(&manifest.backend), literal(&manifest.versions.burn))),
        (
            "program",
            format!(
                "chainrule {}, numerics version {}",
                literal(&manifest.versions.chainrule),
                manifest.versions.numerics
            ),
        ),
        (
            "gradient checks",
            format!("{} on {}, seed {}", passed(sources.checks), literal(&sources.checks.backend), sources.checks.seed),
        ),
    ];
    let files =
        manifest.data_files.iter().map(|file| vec![literal(&file.name), format!("`{}`", literal(&file.sha256))]);
    let mut blocks = vec![
        text(
            "The program computed every number above from these runs. `cargo xtask reproduce` repeats them; with `--check` it fails if verdicts, counts, steps, \
             epochs, losses or norms differ. `numbers.json` contains all numbers, `claims.json` the verdicts with their evidence.",
        ),
        Block::Table {
            head: strings(&["property", "value"]),
            rows: about.into_iter().map(|(what, which)| vec![what.to_owned(), which]).collect(),
        },
        Block::Table { head: strings(&["data file", "SHA-256, decompressed"]), rows: files.collect() },
        Block::Table {
            head: strings(&[
                "run",
                "λ",
                "order",
                "steps",
                "last epoch",
                "stopped early",
                "best step",
                "correct, training",
                "correct, validation",
                "validation loss",
                "spectral norm",
                "Frobenius norm",
            ]),
            rows: sources.runs.iter().filter(|run| !is_one_of_many(run)).map(row).collect(),
        },
        text(
            "Steps and epochs are counted from 0. `skip` is the number of epochs for which earlier runs used the same stream of random numbers, as in a \
             program that sets its seed once. The runs with many seeds are in `numbers.json`. The complete configs are:",
        ),
    ];
    let shown = sources.runs.iter().filter(|run| !is_one_of_many(run) || run.name.ends_with("-0"));
    blocks.extend(shown.map(|run| Block::Details { summary: run.name.clone(), code: run.config.to_toml() }));
    section("provenance", "Provenance of the numbers", blocks)
}

fn passed(checks: &GradientChecks) -> String {
    let coordinates: usize = checks.rows.iter().map(|row| row.coordinates).sum();
    let failed = checks.rows.iter().filter(|row| !row.passed).count();
    if failed == 0 {
        format!("all {} checks passed ({coordinates} coordinates)", checks.rows.len())
    } else {
        format!("**{failed} of {} checks failed**", checks.rows.len())
    }
}

/// Whether the run is one of the runs that differ only in their seed.
fn is_one_of_many(run: &Run) -> bool {
    run.name.starts_with("logistic-seed-")
}

fn row(run: &Run) -> Vec<String> {
    let (summary, shuffle) = (&run.summary, &run.config.descent().shuffle);
    let order = match shuffle.generator {
        Generator::None => "file".to_owned(),
        Generator::NumpyLegacy | Generator::Chacha => format!("seed {}, skip {}", shuffle.seed, shuffle.skip_epochs),
    };
    let [train, validation] = run.correct_counts();
    vec![
        format!("`{}`", run.name),
        run.lambda().to_string(),
        order,
        summary.steps.to_string(),
        summary.stop_epoch.to_string(),
        if summary.stopped_early { "yes" } else { "no" }.to_owned(),
        summary.best_step.to_string(),
        format!("{train} of {}", summary.data.train),
        format!("{validation} of {}", summary.data.validation),
        format!("{:.6}", summary.final_metrics.validation_loss),
        format!("{:.4}", summary.weight_norm.spectral),
        format!("{:.4}", summary.weight_norm.frobenius),
    ]
}

/// Returns the README's table of results.
pub(crate) fn readme(sources: &Sources) -> String {
    let rows = ["softmax", "logistic", "logistic-shuffled"].map(|name| {
        let run = sources.runs.get(name);
        let ended = if run.summary.stopped_early {
            format!("stopped early, in epoch {} at step {}", run.summary.stop_epoch, run.summary.stop_step)
        } else {
            format!("all {} epochs completed", run.config.descent().epochs)
        };
        let [_, correct] = run.correct_counts();
        vec![
            format!("[`{name}`](crates/cli/configs/{name}.toml)"),
            format!("{:.2} %", 100.0 * run.summary.final_metrics.validation_accuracy),
            format!("{correct} of {}", run.summary.data.validation),
            ended,
        ]
    });
    let results = markdown::table(&strings(&["experiment", "validation accuracy", "correct", "ended"]), &rows);
    let claims: Vec<Vec<String>> = sources
        .claims
        .iter()
        .map(|claim| vec![claim.id.clone(), claim.claim.clone(), claim.verdict.name().to_owned()])
        .collect();
    let claims = markdown::table(&strings(&["task", "the report's claim", "verdict"]), &claims);
    format!("{results}\n{claims}")
}
