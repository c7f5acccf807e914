//! The gradient of one row, worked out equation by equation, so that it can be followed with a
//! pencil. The numbers of the equations are those of `docs/derivation.md`.

use chainrule_core::{Class, LinkKind, Preprocessing, align_left, align_right, display_width, pluralize};
use chainrule_solve::RowGradient;
use serde::Serialize;

use crate::output::Lines;
use crate::rounding::{add_up, decimals, fixed};
use crate::summary::digits;

/// How many features and classes are shown.
const FEATURES: usize = 10;
const CLASSES: usize = 5;

/// The gradient of one row, with the names and weights that explain it.
#[derive(Serialize)]
pub(crate) struct WorkedGradient {
    /// The class of the row.
    pub(crate) target: Class,
    /// The class of each column of W.
    pub(crate) columns: Vec<Class>,
    pub(crate) features: Vec<String>,
    #[serde(flatten)]
    pub(crate) gradient: RowGradient,
    #[serde(skip)]
    pub(crate) model: LinkKind,
    #[serde(skip)]
    pub(crate) preprocessing: Preprocessing,
    /// The row before the preprocessing, `[d]`.
    #[serde(skip)]
    pub(crate) raw: Vec<f64>,
    /// W, `[d, columns]`.
    #[serde(skip)]
    pub(crate) weights: Vec<f64>,
    #[serde(skip)]
    pub(crate) biases: Vec<f64>,
    #[serde(skip)]
    pub(crate) training: Option<Training>,
}

/// How a training uses the gradient of a row.
pub(crate) struct Training {
    pub(crate) rows: usize,
    pub(crate) l2: f64,
    /// Of the row's class, if classes have weights.
    pub(crate) class_weight: Option<f64>,
}

/// The equations of a model, with its letters.
struct Equations {
    z: &'static str,
    p: &'static str,
    cost: &'static str,
    residual: &'static str,
    gradient: &'static str,
    mean: &'static str,
    /// The names of the lines: weight, product, bias, logit, exponential, probability, target,
    /// residual.
    names: [&'static str; 8],
}

const LOGISTIC: Equations = Equations {
    z: "Eq. (1): z = sum_j x_j w_j + b",
    p: "Eq. (2): p = 1 / (1 + e^-z)",
    cost: "Eq. (3): C = -(y ln p + (1 - y) ln (1 - p))",
    residual: "Eq. (6): dC/dz = p - y",
    gradient: "Eq. (8): dC/dw_j = (p - y) x_j, and dC/db = p - y",
    mean: "Eq. (9)",
    names: ["w_j", "x_j w_j", "b", "z", "e^-z", "p", "y", "p - y"],
};

const SOFTMAX: Equations = Equations {
    z: "Eq. (11): z_k = sum_j x_j W_jk + b_k",
    p: "Eq. (12): p_k = e^z_k / S, where S is the sum of all e^z_k",
    cost: "Eq. (13): C = -ln p_k of the row's class",
    residual: "Eq. (17): dC/dz_k = p_k - y_k",
    gradient: "Eq. (18): dC/dW_jk = (p_k - y_k) x_j, and dC/db_k = p_k - y_k",
    mean: "Eq. (19)",
    names: ["W_jk", "x_j W_jk", "b_k", "z_k", "e^z_k", "p_k", "y_k", "p_k - y_k"],
};

/// Lines of cells below a title.
struct Section {
    title: String,
    /// Names and cells.
    rows: Vec<(String, Vec<String>)>,
}

impl WorkedGradient {
    /// Adds the equations with their numbers.
    pub(crate) fn describe(&self, has_all: bool, lines: &mut Lines) {
        let equations = if self.model == LinkKind::Softmax { &SOFTMAX } else { &LOGISTIC };
        let columns = self.shown_columns(has_all);
        let features = self.shown_features(&columns, has_all);
        lines.add(format!("The gradient of this row, whose class is {} (equations: docs/derivation.md)", self.target));
        lines.empty_line();
        self.describe_features(&features, equations.names[0], &columns, lines);
        let n_zeros = self.gradient.x.iter().filter(|&&x| x == 0.0).count();
        let n_others = self.features.len() - features.len() - if has_all { 0 } else { n_zeros };
        if n_zeros > 0 && !has_all {
            let are = if n_zeros == 1 { "feature is" } else { "features are" };
            lines.add(format!("{n_zeros} more {are} 0: nothing in z, and a gradient of 0"));
        }
        let left_out = [(n_others, "feature"), (self.gradient.z.len() - columns.len(), "class")];
        let left_out: Vec<String> =
            left_out.iter().filter(|(n, _)| *n > 0).map(|(n, noun)| pluralize(*n, noun)).collect();
        if !left_out.is_empty() {
            lines.add(format!("left out: {}; --all shows them", left_out.join(" and ")));
        }
        let sections = [
            self.logits(&features, &columns, equations),
            self.probabilities(&columns, equations),
            self.gradients(&features, &columns, equations),
        ];
        self.print(sections.into_iter().flatten(), &columns, lines);
        lines.empty_line();
        self.notes(equations).iter().for_each(|note| lines.add(note));
    }

    /// Returns the columns of W to show: that of the row's class, and the most probable ones.
    fn shown_columns(&self, has_all: bool) -> Vec<usize> {
        let RowGradient { p, y, .. } = &self.gradient;
        let mut columns: Vec<usize> = (0..p.len()).collect();
        columns.sort_by(|&a, &b| y[b].total_cmp(&y[a]).then(p[b].total_cmp(&p[a])));
        columns.truncate(if has_all { p.len() } else { CLASSES });
        columns.sort_unstable();
        columns
    }

    fn product(&self, j: usize, k: usize) -> f64 {
        self.gradient.x[j] * self.weights[j * self.gradient.z.len() + k]
    }

    /// Returns the features to show: those with the largest terms in the shown logits.
    fn shown_features(&self, columns: &[usize], has_all: bool) -> Vec<usize> {
        let x = &self.gradient.x;
        if has_all {
            return (0..x.len()).collect();
        }
        let largest = |j: usize| columns.iter().fold(0.0, |largest: f64, &k| largest.max(self.product(j, k).abs()));
        let mut features: Vec<usize> = (0..x.len()).filter(|&j| x[j] != 0.0).collect();
        features.sort_by(|&a, &b| largest(b).total_cmp(&largest(a)));
        features.truncate(FEATURES);
        features.sort_unstable();
        features
    }

    /// Shows how a value becomes a feature, and the weights.
    fn describe_features(&self, features: &[usize], weight: &str, columns: &[usize], lines: &mut Lines) {
        let k = self.gradient.z.len();
        let x_decimals = decimals(features.iter().map(|&j| self.gradient.x[j]), 5);
        let weight_of = |j: usize, column: usize| self.weights[j * k + column];
        let all = features.iter().flat_map(|&j| columns.iter().map(move |&column| (j, column)));
        let w_decimals = decimals(all.map(|(j, column)| weight_of(j, column)), 5);
        let (title, names): (&str, &[&str]) = match &self.preprocessing {
            Preprocessing::Raw => ("x_j = value", &["x_j"]),
            Preprocessing::Pixels => ("x_j = value / 127.5 - 1", &["value", "x_j"]),
            Preprocessing::Standardized(_) => {
                ("x_j = (value - mean) / deviation", &["value", "mean", "deviation", "x_j"])
            }
        };
        let mut rows = vec![(title.to_owned(), names.iter().map(ToString::to_string).collect::<Vec<_>>())];
        for &column in columns {
            let of_class = if k == 1 { String::new() } else { format!(" {}", self.columns[column]) };
            rows[0].1.push(format!("{weight}{of_class}"));
        }
        for &j in features {
            let mut cells = match &self.preprocessing {
                Preprocessing::Raw => Vec::new(),
                Preprocessing::Pixels => vec![six_digits(self.raw[j])],
                Preprocessing::Standardized(by) => [self.raw[j], by.mean[j], by.scale[j]].map(six_digits).to_vec(),
            };
            cells.push(fixed(self.gradient.x[j], x_decimals));
            cells.extend(columns.iter().map(|&column| fixed(weight_of(j, column), w_decimals)));
            rows.push((self.features[j].clone(), cells));
        }
        add_table(&rows, lines);
    }

    /// `z = x W + b`.
    fn logits(&self, features: &[usize], columns: &[usize], equations: &Equations) -> Vec<Section> {
        let [_, product, bias, z, ..] = equations.names;
        let terms = |k: usize| {
            let mut terms: Vec<f64> = features.iter().map(|&j| self.product(j, k)).collect();
            let b = self.biases[k];
            let rest = self.gradient.z[k] - b - terms.iter().sum::<f64>();
            terms.extend(self.has_others(features).then_some(rest));
            terms.push(b);
            terms
        };
        let decimals = decimals(columns.iter().flat_map(|&k| terms(k)), 5);
        let of_class: Vec<(Vec<String>, String)> = columns.iter().map(|&k| add_up(&terms(k), decimals)).collect();
        let mut names: Vec<String> = features.iter().map(|&j| self.features[j].clone()).collect();
        names.extend(self.has_others(features).then(|| "(others)".to_owned()));
        names.push(bias.to_owned());
        let cells = |i: usize| of_class.iter().map(|(terms, _)| terms[i].clone()).collect();
        let mut rows: Vec<_> = names.into_iter().enumerate().map(|(i, name)| (name, cells(i))).collect();
        rows.push((z.to_owned(), of_class.iter().map(|(_, sum)| sum.clone()).collect()));
        vec![Section { title: format!("{}; the terms are {product}", equations.z), rows }]
    }

    /// Whether features are left out whose terms are not 0.
    fn has_others(&self, features: &[usize]) -> bool {
        let n_others = self.gradient.x.iter().filter(|&&x| x != 0.0).count();
        n_others > features.iter().filter(|&&j| self.gradient.x[j] != 0.0).count()
    }

    /// The number of decimals of the probabilities: four digits of the largest residual.
    fn decimals_of_p(&self) -> usize {
        decimals(self.gradient.residual.iter().copied(), 4)
    }

    /// The probabilities of all classes. Those of softmax add up to 1.
    fn rounded_p(&self) -> Vec<String> {
        let (p, decimals) = (&self.gradient.p, self.decimals_of_p());
        match self.model {
            LinkKind::Softmax => add_up(p, decimals).0,
            LinkKind::Logistic | LinkKind::OneVsRest => p.iter().map(|&p| fixed(p, decimals)).collect(),
        }
    }

    /// The residuals of the rounded probabilities.
    fn rounded_residuals(&self) -> Vec<String> {
        let residual = |(p, y): (&String, &f64)| fixed(p.parse::<f64>().unwrap_or_default() - y, self.decimals_of_p());
        self.rounded_p().iter().zip(&self.gradient.y).map(residual).collect()
    }

    /// Probabilities, cost and residuals.
    fn probabilities(&self, columns: &[usize], equations: &Equations) -> Vec<Section> {
        let RowGradient { z, y, cost, .. } = &self.gradient;
        let [.., exponential, p, target, residual] = equations.names;
        let select = |cells: &[String]| -> Vec<String> { columns.iter().map(|&k| cells[k].clone()).collect() };
        let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Large exponentials overflow. A common factor of all does not change p.
        let shift = if self.model == LinkKind::Softmax && largest.abs() > 20.0 { largest } else { 0.0 };
        let exponent = |z: &f64| if self.model == LinkKind::Softmax { z - shift } else { -z };
        let exponentials: Vec<f64> = z.iter().map(|z| exponent(z).exp()).collect();
        let name = if shift == 0.0 { exponential.to_owned() } else { format!("e^(z_k - {})", digits(shift)) };
        let mut title = equations.p.to_owned();
        if self.model == LinkKind::Softmax {
            title += &format!("; S = {}", digits(exponentials.iter().sum()));
        }
        let exponentials: Vec<String> = exponentials.into_iter().map(digits).collect();
        let targets: Vec<String> = y.iter().map(ToString::to_string).collect();
        let of_classes = if self.model == LinkKind::OneVsRest { ", summed over all classes" } else { "" };
        let cost = fixed(*cost, decimals([*cost], 4));
        vec![
            Section { title, rows: vec![(name, select(&exponentials)), (p.to_owned(), select(&self.rounded_p()))] },
            Section { title: format!("{}{of_classes}: {cost}", equations.cost), rows: Vec::new() },
            Section {
                title: equations.residual.to_owned(),
                rows: vec![
                    (target.to_owned(), select(&targets)),
                    (residual.to_owned(), select(&self.rounded_residuals())),
                ],
            },
        ]
    }

    /// The gradient.
    fn gradients(&self, features: &[usize], columns: &[usize], equations: &Equations) -> Vec<Section> {
        let k = self.gradient.z.len();
        let of = |j: usize, column: usize| self.gradient.weight[j * k + column];
        let all = features.iter().flat_map(|&j| columns.iter().map(move |&column| of(j, column)));
        let decimals = decimals(all, 4);
        let row = |&j: &usize| {
            (self.features[j].clone(), columns.iter().map(|&column| fixed(of(j, column), decimals)).collect())
        };
        let mut rows: Vec<(String, Vec<String>)> = features.iter().map(row).collect();
        let residuals = self.rounded_residuals();
        rows.push((equations.names[2].to_owned(), columns.iter().map(|&column| residuals[column].clone()).collect()));
        vec![Section { title: equations.gradient.to_owned(), rows }]
    }

    /// Adds sections with a common width of the columns.
    fn print(&self, sections: impl Iterator<Item = Section>, columns: &[usize], lines: &mut Lines) {
        let sections: Vec<Section> = sections.collect();
        let rows = || sections.iter().flat_map(|section| &section.rows);
        let first = rows().map(|(name, _)| display_width(name)).max().unwrap_or_default().max(14);
        let names: Vec<String> = columns.iter().map(|&column| self.columns[column].to_string()).collect();
        let widest = rows().flat_map(|(_, cells)| cells).chain(&names).map(|cell| display_width(cell)).max();
        let width = widest.unwrap_or_default() + 2;
        let line = |name: &str, cells: &[String]| {
            align_left(name, first) + &cells.iter().map(|cell| align_right(cell, width)).collect::<String>()
        };
        for Section { title, rows } in &sections {
            lines.empty_line();
            lines.add(title);
            if names.len() > 1 && !rows.is_empty() {
                lines.add(line("", &names));
            }
            rows.iter().for_each(|(name, cells)| lines.add(line(name, cells)));
        }
    }

    fn notes(&self, equations: &Equations) -> Vec<String> {
        let mut notes = vec![
            "Sums add up as they are shown. Other results are rounded: yours may differ in the last digit.".to_owned(),
        ];
        if let Some(Training { rows, l2, class_weight }) = &self.training {
            let mut note = format!(
                "The training takes the mean of this over its {} ({})",
                pluralize(*rows, "row"),
                equations.mean
            );
            if let Some(weight) = class_weight {
                note += &format!(", each times the weight of its class, here {} (Eq. (25))", digits(*weight));
            }
            if *l2 > 0.0 {
                note += &format!(", and adds lambda times the weights, with lambda = {} (Eq. (23))", digits(*l2));
            }
            notes.push(note + ".");
        }
        notes
    }
}

/// Adds a table whose first row is its header.
fn add_table(rows: &[(String, Vec<String>)], lines: &mut Lines) {
    let first = rows.iter().map(|(name, _)| display_width(name)).max().unwrap_or_default();
    let width = |i: usize| rows.iter().map(|(_, cells)| display_width(&cells[i])).max().unwrap_or_default();
    for (name, cells) in rows {
        let cells = cells.iter().enumerate().map(|(i, cell)| format!("  {}", align_right(cell, width(i))));
        lines.add(align_left(name, first) + &cells.collect::<String>());
    }
}

/// Formats a number with six significant digits, without zeros at its end.
fn six_digits(number: f64) -> String {
    let text = fixed(number, decimals([number], 6));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
