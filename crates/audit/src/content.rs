//! The text of the pages, task by task.

use chainrule_core::{Generator, GradientSource, Precision};
use chainrule_records::{ConfigFile, GradientCheck, GradientChecks};
use chainrule_report::document::{Block, Document, Section, literal};
use chainrule_report::{Claim, DrawingPage, Figure, Run, Runs, markdown};

use crate::DataFacts;
use crate::analysis::spikes;
use crate::claims::lines_of;

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
            "A student's report on a computer-vision course's first assignment (TDT4265, 2023) derives two gradients by hand, trains on them, draws \
             eight figures and makes ten claims. This page was written by a program that made every run again, on {data}, drew every figure anew, and \
             judged every claim by what it measured. No number or verdict on it was typed in: on other data they may come out otherwise."
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
        Block::Figure(self.figures.iter().find(|figure| figure.id == id).expect("every figure was made").clone())
    }

    fn claim(&self, id: &str) -> Block {
        Block::Claim(self.claims.iter().find(|claim| claim.id == id).expect("every claim was judged").clone())
    }

    /// Returns a table of derivation steps with the results of their checks.
    fn steps(&self, steps: &[(&[usize], &str, &str)]) -> Block {
        let row = |(equations, formula, why): &(&[usize], &str, &str)| {
            let name = equations.iter().map(|equation| format!("({equation})")).collect::<Vec<_>>().join(", ");
            let lines: Vec<_> = equations.iter().flat_map(|&equation| lines_of(self.checks, equation)).collect();
            let sum = |count: fn(&GradientCheck) -> usize| lines.iter().map(|line| count(line)).sum::<usize>();
            let (coordinates, failed) = (sum(|line| line.coordinates), sum(|line| line.failed));
            let found = if lines.is_empty() {
                "a definition".to_owned()
            } else if lines.iter().all(|line| line.passed) {
                format!("{coordinates} coordinates agree: by hand, autodiff, differences")
            } else {
                format!("**{failed} of {coordinates} coordinates disagree**")
            };
            vec![name, format!("${formula}$"), (*why).to_owned(), found]
        };
        Block::Table { head: strings(&["Eq.", "Step", "Why", "Checked"]), rows: steps.iter().map(row).collect() }
    }
}

fn verdicts(sources: &Sources) -> Section {
    section(
        "verdicts",
        "What holds",
        vec![
            text(
                "*Supported*: holds as it stands. *Corrected*: holds once it is amended. *Not supported*: what was measured speaks against it. \
                 The evidence stands with each task below.",
            ),
            Block::Verdicts(sources.claims.to_vec()),
        ],
    )
}

fn task_1a(sources: &Sources) -> Section {
    section(
        "task-1a",
        "Task 1a: the gradient of logistic regression",
        vec![
            text(
                "One row $x$ with target $y \\in \\{0, 1\\}$. The cost depends on $w$ only through $p$, and $p$ only through $z$, so the chain rule \
                 gives three factors. Two of them cancel.",
            ),
            sources.steps(&[
                (&[1], r"z = x^\top w + b", "the model"),
                (&[2], r"p = \sigma(z) = \dfrac{1}{1 + e^{-z}}", "the model"),
                (&[3], r"C = -(y \ln p + (1 - y) \ln (1 - p))", "binary cross-entropy"),
                (&[4], r"\dfrac{\partial C}{\partial p} = \dfrac{p - y}{p (1 - p)}", "over the common denominator"),
                (&[5], r"\dfrac{\partial p}{\partial z} = p (1 - p)", "quotient rule"),
                (&[6], r"\dfrac{\partial C}{\partial z} = p - y", "their product: $p(1 - p)$ cancels"),
                (
                    &[8],
                    r"\dfrac{\partial C}{\partial w_j} = -(y - p)\, x_j",
                    "times $\\partial z / \\partial w_j = x_j$",
                ),
            ]),
            text("The gradient of a batch is the mean of its rows':"),
            Block::Equation(r"\frac{\partial C}{\partial w} = \frac1N X^\top (p - y) \qquad (9)"),
            sources.claim("1a"),
        ],
    )
}

fn task_1b(sources: &Sources) -> Section {
    section(
        "task-1b",
        "Task 1b: the gradient of softmax regression",
        vec![
            text(
                "Now $y$ is one-hot, and every $p_k$ depends on every $z_j$ through the sum in its denominator: the chain rule has to add up over all \
                 outputs, with two cases. What comes out is as simple as before.",
            ),
            sources.steps(&[
                (&[11], r"z_k = \sum_j x_j w_{jk} + b_k", "the model"),
                (&[12], r"p_k = \dfrac{e^{z_k}}{\sum_i e^{z_i}}", "the model"),
                (&[13], r"C = -\sum_k y_k \ln p_k", "cross-entropy: a sum over classes, nothing is divided by $K$"),
                (&[14], r"\dfrac{\partial C}{\partial p_k} = -\dfrac{y_k}{p_k}", "the outer derivative"),
                (
                    &[15, 16],
                    r"\dfrac{\partial p_k}{\partial z_k} = p_k (1 - p_k), \quad \dfrac{\partial p_k}{\partial z_j} = -p_k p_j",
                    "quotient rule, on the diagonal and off it",
                ),
                (&[17], r"\dfrac{\partial C}{\partial z_j} = p_j - y_j", "summed over $k$, with $\\sum_k y_k = 1$"),
                (&[18], r"\dfrac{\partial C}{\partial w_{jk}} = -x_j (y_k - p_k)", "$z_k$ is the only logit with $w_{jk}$ in it"),
            ]),
            Block::Equation(r"\frac{\partial C}{\partial W} = \frac1N X^\top (P - Y) \qquad (19)"),
            sources.claim("1b"),
        ],
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
                "Class {} against class {}: {} training and {} validation rows. Pixels are scaled to $-1 \\dots 1$, weights start at zero, and plain gradient \
                 descent takes batches of {} in the order of the file with a learning rate of {}. An epoch has {} {}. \
                 The report evaluates every {} steps, and stops after {} evaluations in a row without a lower validation loss.",
                classes.get(1).map(ToString::to_string).unwrap_or_default(),
                classes.first().map(ToString::to_string).unwrap_or_default(),
                data.train,
                data.validation,
                descent.batch_size,
                descent.learning_rate,
                run.summary.steps_per_epoch,
                if descent.drop_last { "whole batches; the rows left over are dropped" } else { "batches" },
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
    let mut said = Vec::new();
    if spikes > 0 {
        said.push(format!("The validation loss leaps up {spikes} times, which is task 2e's to explain."));
    }
    if last.validation_accuracy > last.train_accuracy {
        said.push(
            "The validation accuracy ends *above* the training accuracy. That is no mistake: the two are measured on different images, and \
             nothing says that those of the validation file are as hard."
                .to_owned(),
        );
    }
    if said.is_empty() { "Nothing here is odd.".to_owned() } else { said.join(" ") }
}

fn task_2d(sources: &Sources) -> Section {
    section(
        "task-2d",
        "Task 2d: when does early stopping stop?",
        vec![
            text(
                "An answer that is one number invites a question: how much does it hang on what we chose? Here, on the patience. One run that is never \
                 stopped tells where every patience would have ended it.",
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
                "The report speaks of batches of one class, and of the spikes that they make. So let us look at the batches, and between the \
                 evaluations: the same path again, evaluated after each of its {} steps an epoch.",
                run.summary.steps_per_epoch
            )),
            sources.figure("2e-aliasing"),
            sources.claim("2e-i"),
            text(format!(
                "When the shuffled run stops is one run's word. A shuffle has a seed; here are {} of them.",
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
                "All {} classes, {} training and {} validation rows, shuffled every epoch, learning rate {}, {} epochs of {} steps.",
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
        "Draw one yourself",
        vec![
            text(
                "The model of figure 5, as the run `softmax` left it, to draw for: its ten probabilities, which strokes speak for a class and which against it, and the step \
                 of task 1b that would teach it otherwise.",
            ),
            Block::DrawingPage(Box::new(
                DrawingPage::new(
                    run.summary.model,
                    &run.summary.data.schema(),
                    &run.parameters,
                    &run.preprocessing,
                    &facts.examples,
                )
                .with_class_weights(run.summary.class_weights.clone()),
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
                "A gap between the two accuracies is what fitting does: the model has seen one set of rows and not the other. The sign of *over*fitting is \
                 that the validation loss turns and rises while the training loss goes on falling.",
            ),
            sources.claim("3d"),
        ],
    )
}

fn task_4a(sources: &Sources) -> Section {
    section(
        "task-4a",
        "Task 4a: the gradient with a penalty",
        vec![
            sources.steps(&[
                (&[21], r"J = C + \lambda R, \quad R = \tfrac12 \sum_{j,k} w_{jk}^2", "the penalised cost"),
                (&[22], r"\dfrac{\partial R}{\partial w_{jk}} = w_{jk}", "the half cancels the square's two"),
                (
                    &[23],
                    r"\dfrac{\partial J}{\partial w} = \dfrac{\partial C}{\partial w} + \lambda w",
                    "added after the mean over the batch, and never divided by $N$",
                ),
            ]),
            sources.claim("4a"),
        ],
    )
}

fn task_4b(sources: &Sources) -> Section {
    section(
        "task-4b",
        "Task 4b: the weights as pictures",
        vec![
            text(
                "Each class has one weight a pixel, so its weights make a picture: white where ink raises the class's score most, black where it lowers it most. \
                 Without a penalty nothing keeps the weights of neighbouring pixels alike. A strong penalty leaves only what pays for itself on many rows.",
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
                "An accuracy is a share of finitely many rows, so it has a standard error: $\\sqrt{p (1 - p) / n}$. It is a yardstick: about how far the accuracy would move \
                 on as many other images. (All runs are measured on the same ones, so that smaller differences can be real; one run each cannot show it.) And \
                 curves that end at different steps are hard to compare, so here are the same runs with all their epochs.",
            ),
            sources.figure("4c-full-length"),
            sources.claim("4c, 4d"),
        ],
    )
}

fn task_4e(sources: &Sources) -> Section {
    section(
        "task-4e",
        "Task 4e: the norm of the weights",
        vec![
            text(
                "`numpy.linalg.norm(w, 2)` of a matrix is its spectral norm, the largest singular value; of a vector it is the Euclidean norm. The report's \
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
        ("data, SHA-256 over the four files' own", format!("`{}`", run.summary.data.sha256)),
        ("gradients", gradient.to_owned()),
        ("precision", precision.to_owned()),
        ("backend", format!("{}, Burn {}", literal(&manifest.backend), literal(&manifest.versions.burn))),
        (
            "program",
            format!(
                "chainrule {}, version {} of its numerics",
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
            "Every number above comes from one of these runs, by the program alone. `cargo xtask reproduce` makes them again, and with `--check` fails where \
             counts, steps, epochs or norms differ. `numbers.json` has them all, `claims.json` the verdicts with their evidence.",
        ),
        Block::Table {
            head: strings(&["what", "which"]),
            rows: about.into_iter().map(|(what, which)| vec![what.to_owned(), which]).collect(),
        },
        Block::Table { head: strings(&["data file", "SHA-256, decompressed"]), rows: files.collect() },
        Block::Table {
            head: strings(&[
                "run",
                "λ",
                "order",
                "steps",
                "ended in epoch",
                "early",
                "best step",
                "right, training",
                "right, validation",
                "validation loss",
                "spectral norm",
                "Frobenius norm",
            ]),
            rows: sources.runs.iter().filter(|run| !is_one_of_many(run)).map(row).collect(),
        },
        text(
            "Steps and epochs are counted from 0. `skip` is the number of epochs that earlier runs drew from the same stream of random numbers, as in a \
             program that seeds once. The runs over many seeds are in `numbers.json`. The configs, with every key:",
        ),
    ];
    let shown = sources.runs.iter().filter(|run| !is_one_of_many(run) || run.name.ends_with("-0"));
    blocks.extend(shown.map(|run| Block::Details { summary: run.name.clone(), code: run.config.to_toml() }));
    section("provenance", "How these numbers were made", blocks)
}

fn passed(checks: &GradientChecks) -> String {
    let coordinates: usize = checks.rows.iter().map(|row| row.coordinates).sum();
    let failed = checks.rows.iter().filter(|row| !row.passed).count();
    if failed == 0 {
        format!("all {} lines passed ({coordinates} coordinates)", checks.rows.len())
    } else {
        format!("**{failed} of {} lines failed**", checks.rows.len())
    }
}

/// Whether a run is one of many seeds.
fn is_one_of_many(run: &Run) -> bool {
    run.name.starts_with("logistic-seed-")
}

fn row(run: &Run) -> Vec<String> {
    let (summary, shuffle) = (&run.summary, &run.config.descent().shuffle);
    let order = match shuffle.generator {
        Generator::None => "file".to_owned(),
        Generator::NumpyLegacy | Generator::Chacha => format!("seed {}, skip {}", shuffle.seed, shuffle.skip_epochs),
    };
    let [train, validation] = run.right();
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
            format!("all {} epochs made", run.config.descent().epochs)
        };
        let [_, right] = run.right();
        vec![
            format!("[`{name}`](crates/cli/configs/{name}.toml)"),
            format!("{:.2} %", 100.0 * run.summary.final_metrics.validation_accuracy),
            format!("{right} of {}", run.summary.data.validation),
            ended,
        ]
    });
    let results = markdown::table(&strings(&["experiment", "validation accuracy", "right", "ended"]), &rows);
    let claims: Vec<Vec<String>> = sources
        .claims
        .iter()
        .map(|claim| vec![claim.id.clone(), claim.claim.clone(), claim.verdict.name().to_owned()])
        .collect();
    let claims = markdown::table(&strings(&["task", "the report's claim", "verdict"]), &claims);
    format!("{results}\n{claims}")
}
