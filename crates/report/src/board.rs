//! A page to draw on. It shows a model's prediction for the drawing, the evidence for it, and the
//! gradient step that trains the model on the drawing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chainrule_core::{ModelKind, Parameters, Preprocessing, Schema};
use maud::{Markup, PreEscaped, html};
use pulldown_latex::config::DisplayMode;
use serde_json::json;

use crate::html::{math, page};

pub(crate) const STYLE: &str = include_str!("../assets/board/board.css");
/// The style of a page with nothing else: it has room for three columns, unlike text.
const PAGE_STYLE: &str =
    "body { max-width: 80rem; } @media (max-width: 40rem) { h1 { font-size: 1.3rem; margin: .3rem 0; } }\n";
pub(crate) const SCRIPT: &str = concat!(
    include_str!("../assets/board/model.js"),
    include_str!("../assets/board/drawing.js"),
    include_str!("../assets/board/link.js"),
    include_str!("../assets/board/view.js"),
);

/// A trained model with everything that the page needs.
#[derive(Clone, Debug)]
pub struct DrawingPage {
    /// The kind of model.
    kind: ModelKind,
    /// The names of the classes, in the order of the model's outputs. The logistic model has two.
    classes: Vec<String>,
    /// Rows and columns of an image.
    image_size: [usize; 2],
    /// The weights, `[d, k]`, and the bias.
    parameters: Parameters,
    /// The conversion of pixels to features.
    preprocessing: Preprocessing,
    /// Example images, each with the index of its class and the grey levels, row by row.
    examples: Vec<(usize, Vec<u8>)>,
    /// The class weights of the training, unless all were 1.
    class_weights: Option<Vec<f64>>,
    /// The link to the derivation of the gradient, on the same page.
    derivation: Option<&'static str>,
}

/// The range of the learning rate slider, as powers of ten.
const RATES: [f64; 2] = [-4.0, 0.0];

impl DrawingPage {
    /// Creates the page of an image model. Examples with a label that is not a class of the model
    /// are omitted.
    pub fn new(
        kind: ModelKind,
        data: &Schema,
        parameters: &Parameters,
        preprocessing: &Preprocessing,
        examples: &[(u8, Vec<u8>)],
    ) -> Self {
        let position = |label: u8| data.classes.iter().position(|class| class.number() == Some(label));
        Self {
            kind,
            classes: data.classes.iter().map(ToString::to_string).collect(),
            image_size: data.image_size,
            parameters: parameters.clone(),
            preprocessing: preprocessing.clone(),
            examples: examples.iter().filter_map(|(label, pixels)| Some((position(*label)?, pixels.clone()))).collect(),
            class_weights: None,
            derivation: None,
        }
    }

    /// Sets the class weights of the model's training. The page's step does not use them, and the
    /// page says so.
    pub fn with_class_weights(self, class_weights: Option<Vec<f64>>) -> Self {
        Self { class_weights, ..self }
    }

    /// Sets the link to the derivation of the gradient, such as `#task-1b`.
    pub fn with_derivation(self, link: &'static str) -> Self {
        Self { derivation: Some(link), ..self }
    }

    /// Returns one self-contained HTML file. `about` describes the model in plain text.
    pub fn to_html(&self, title: &str, about: &str) -> String {
        let body = html! {
            header { h1 { (title) } }
            main { (self.section()) }
            footer { p.lead { (about) } }
        };
        page(title, &[PAGE_STYLE, STYLE].concat(), &body, SCRIPT)
    }

    /// Returns the section for a page. The page needs [`STYLE`] and [`SCRIPT`] once.
    pub(crate) fn section(&self) -> Markup {
        let [height, width] = self.image_size;
        let shape = format!("--shape: {width} / {height}");
        html! {
            div.board style=(shape) {
                (self.lessons())
                div.sides {
                    (self.pad())
                    div.answer {
                        p.status role="status" aria-live="polite" data-part="status" { "The board is empty." }
                        (self.table())
                        (self.controls())
                    }
                    div.more {
                        (self.examples())
                        (self.worked_example())
                    }
                }
                (self.lesson())
                noscript { p { "The board needs JavaScript, which this browser does not run." } }
                script type="application/json" { (PreEscaped(self.data().to_string().replace('<', "\\u003c"))) }
            }
        }
    }

    /// Returns what to try first, for a model of digits.
    fn lessons(&self) -> Markup {
        html! {
            @if !self.examples.is_empty() {
                div.tools.try role="group" aria-label="Try this" {
                    b { "Try this: " }
                    button type="button" data-part="break" hidden {}
                    button type="button" data-part="fool" hidden {}
                    button type="button" data-part="watch" { "Watch a digit drawn" }
                }
            }
        }
    }

    fn pad(&self) -> Markup {
        let what = if self.examples.is_empty() { "Draw here" } else { "Draw a digit here" };
        html! {
            div.draw {
                div.frame {
                    canvas.pad data-part="pad" width="280" height="280" tabindex="0" role="application" aria-roledescription="drawing board"
                        aria-label="Drawing board. Draw with mouse or finger. Arrow keys move the pen, with Shift faster; Space lowers and lifts it; Backspace undoes the last change; Delete clears the board." {}
                    p.hint data-part="hint" aria-hidden="true" { (what) }
                }
                div.tools {
                    button type="button" data-part="undo" { "Undo" }
                    button type="button" data-part="clear" { "Clear" }
                    button type="button" data-part="save" title="Saves the board as drawing.png, which `chainrule predict` reads" { "Save my drawing" }
                    button type="button" data-part="link" title="The address then has the drawing, the class and all steps" { "Copy a link" }
                    label { input type="checkbox" checked data-part="fit"; " fit and centre" }
                }
            }
        }
    }

    fn examples(&self) -> Markup {
        let [height, width] = self.image_size;
        html! {
            @if !self.examples.is_empty() {
                p.heading { "Examples, drawn by code" }
                div.examples role="group" aria-label="Examples" {
                    @for (class, _) in &self.examples {
                        button type="button" data-part="example" {
                            canvas width=(width) height=(height) {}
                            b { (self.classes[*class]) } " " small {}
                        }
                    }
                }
                p.note.wrong data-part="key" hidden { b { "Struck through" } ": the model now reads this example as the class after the arrow." }
            }
        }
    }

    fn table(&self) -> Markup {
        let [height, width] = self.image_size;
        let picture = |name: &str| html! { canvas data-of=(name) width=(width) height=(height) role="img" {} };
        let (p, z, residual) = match self.kind {
            ModelKind::Softmax => ("p_k", "z_k", "p_k - y_k"),
            ModelKind::Logistic => ("p", "z", "p - y"),
        };
        let what = if self.examples.is_empty() { "class" } else { "digit" };
        html! {
            p.heading id="board-question" { "Which " (what) " is it? Choose its row, then teach it by a step." }
            table {
                colgroup { col.c-class; col; col.c-number.logits; col.c-picture; col.c-number; col.c-picture; }
                thead {
                    tr {
                        th scope="col" { "class" }
                        th scope="col" { (math(p, DisplayMode::Inline)) }
                        th.logits scope="col" { (math(z, DisplayMode::Inline)) }
                        th scope="col" { "evidence" span.key { span.swatch.for {} " for" } span.key { span.swatch.against {} " against" } }
                        th scope="col" { (math(residual, DisplayMode::Inline)) }
                        th scope="col" { "step" span.key { span.swatch.for {} " raises" } span.key { span.swatch.against {} " lowers" } }
                    }
                }
                tbody {
                    @for (k, class) in self.classes.iter().enumerate() {
                        tr data-part="class" {
                            th scope="row" { label { input type="radio" name="truth" data-of="truth" aria-describedby="board-question"; " " (class) } }
                            td.number {
                                span data-of="probability" {}
                                span.track aria-hidden="true" { span data-of="bar" {} }
                            }
                            @if self.has_weights(k) {
                                td.number.logits data-of="logit" {}
                                td { (picture("evidence")) }
                                td.number data-of="residual" {}
                                td { (picture("step")) }
                            } @else {
                                td.number.logits { "0" }
                                td.none colspan="3" { "no weights" }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Returns whether a class has weights. The first class of the logistic model has none.
    fn has_weights(&self, class: usize) -> bool {
        self.kind == ModelKind::Softmax || class > 0
    }

    fn controls(&self) -> Markup {
        html! {
            p.step { b data-part="loss" {} " " span data-part="next" {} }
            div.tools {
                button type="button" data-part="once" data-act { "Take one step" }
                button type="button" data-part="often" data-act { "Take ten steps" }
                button type="button" data-part="reset" { "Reset the model" }
            }
            div.tools {
                label for="board-rate" { "learning rate " (math(r"\eta", DisplayMode::Inline)) " " b data-part="rate-value" {} }
                input id="board-rate" type="range" min=(RATES[0]) max=(RATES[1]) step="0.01" data-part="rate";
                label {
                    "evidence: "
                    select data-part="pictures" {
                        option value="evidence" { "effect of the ink" }
                        option value="weights" { "the weights" }
                    }
                }
            }
            p.note { span data-part="steps" {} " " (self.background()) }
        }
    }

    /// Says why a step also colours the background.
    fn background(&self) -> &'static str {
        match &self.preprocessing {
            Preprocessing::Pixels => {
                "A blank pixel is −1 for the model, and full ink +1. So a step moves the weights of the background, too, the other way."
            }
            Preprocessing::Raw => {
                "A blank pixel is 0 for the model. So a step leaves the weights of the background unchanged."
            }
            Preprocessing::Standardized(_) => {
                "A blank pixel is below its mean over the training images, so it is negative for the model. So a step moves the weights of the background, too, the other way."
            }
        }
    }

    /// Returns the chain rule with numbers, for one pixel and one class.
    fn worked_example(&self) -> Markup {
        let [height, width] = self.image_size;
        let [of_loss, of_probability, of_logit, closed] = match self.kind {
            ModelKind::Softmax => [
                r"\frac{\partial C}{\partial p_y} = -\frac{1}{p_y}",
                r"\frac{\partial p_y}{\partial z_k} = p_y (\delta_{yk} - p_k)",
                r"\frac{\partial z_k}{\partial w_{jk}} = x_j",
                "x_j (p_k - y_k)",
            ],
            ModelKind::Logistic => [
                r"\frac{\partial C}{\partial p} = \frac{p - y}{p (1 - p)}",
                r"\frac{\partial p}{\partial z} = p (1 - p)",
                r"\frac{\partial z}{\partial w_j} = x_j",
                "x_j (p - y)",
            ],
        };
        let row = |formula: &str, name: &str| {
            html! {
                tr {
                    th scope="row" { (math(formula, DisplayMode::Inline)) }
                    td.number { span data-part={ "chain-" (name) } {} }
                }
            }
        };
        html! {
            p.heading { "One weight in numbers" }
            div.seen {
                div.frame {
                    canvas data-part="seen" width=(width) height=(height) tabindex="0" role="application" aria-roledescription="picture"
                        aria-label={ "The input of the model, " (height) " × " (width) " pixels. Arrow keys choose a pixel of the worked example, with Shift faster." } {}
                    span.mark data-part="mark" {}
                }
                p {
                    "The input, " (height) " × " (width) ". Point at a pixel here or in the table: "
                    b data-part="chain-pixel" {} ", class "
                    select data-part="chain-class" aria-label="class of the worked example" {
                        @for (k, class) in self.classes.iter().enumerate().filter(|(k, _)| self.has_weights(*k)) { option value=(k) { (class) } }
                    }
                    ", " span data-part="chain-truth" {} "."
                }
            }
            table.chain {
                tbody {
                    (row(of_loss, "loss"))
                    (row(of_probability, "probability"))
                    (row(of_logit, "logit"))
                    tr.product { th scope="row" { "product of the three" } td.number { b data-part="chain-product" {} } }
                    tr.product {
                        th scope="row" { (math(closed, DisplayMode::Inline)) " = " span data-part="chain-parts" {} }
                        td.number { b data-part="chain-closed" {} }
                    }
                }
            }
            p.note data-part="underflow" hidden { "The probability is too small for the computer, and the product fails. The closed form divides by nothing, so the program uses it." }
            span.spoken role="status" data-part="spoken" {}
        }
    }

    fn lesson(&self) -> Markup {
        let inline = |latex: &str| math(latex, DisplayMode::Inline);
        let (logit, product, cost, gradient, update) = match self.kind {
            ModelKind::Softmax => (
                r"z_k",
                r"(x_j - x_{\text{blank}}) w_{jk}",
                r"C = -\ln p_y",
                [
                    r"\frac{\partial C}{\partial w_{jk}} = \frac{\partial C}{\partial p_y} \frac{\partial p_y}{\partial z_k} \frac{\partial z_k}{\partial w_{jk}}",
                    r"= -\frac{1}{p_y} p_y (\delta_{yk} - p_k) x_j = x_j (p_k - y_k)",
                ],
                r"w_{jk} \leftarrow w_{jk} - \eta x_j (p_k - y_k)",
            ),
            ModelKind::Logistic => (
                r"z",
                r"(x_j - x_{\text{blank}}) w_j",
                r"C = -y \ln p - (1 - y) \ln (1 - p)",
                [
                    r"\frac{\partial C}{\partial w_j} = \frac{\partial C}{\partial p} \frac{\partial p}{\partial z} \frac{\partial z}{\partial w_j}",
                    r"= \frac{p - y}{p (1 - p)} p (1 - p) x_j = x_j (p - y)",
                ],
                r"w_j \leftarrow w_j - \eta x_j (p - y)",
            ),
        };
        html! {
            div.teach {
                p {
                    "Ink on pixel " (inline("j")) " adds to the logit " (inline(logit)) " the product of its feature's change and its weight, "
                    (inline(product)) ". The pictures under “evidence” show these products. "
                    @if self.kind == ModelKind::Logistic {
                        "The probability of class " (self.classes[1]) " is " (inline(r"p = \frac{1}{1 + e^{-z}}")) ", and " (inline("y")) " is 1 for this class and 0 for class " (self.classes[0]) ". "
                    }
                    "If the model is wrong, choose the correct class. The cost " (inline(cost)) " then has, by the chain rule, the gradient"
                }
                @for part in gradient { div.equation { (math(part, DisplayMode::Block)) } }
                @if self.kind == ModelKind::Softmax {
                    p { "where " (inline(r"\delta_{yk}")) ", and so " (inline("y_k")) ", is 1 for the correct class and 0 for all others." }
                }
                p { "A step of gradient descent is" }
                div.equation { (math(update, DisplayMode::Block)) }
                p {
                    "So the step of a class is the drawing, multiplied by the residual of that class. The pictures under “step” show it. They fade as the model learns. "
                    "A step for one drawing is a batch of one row, so the model may then misclassify some of the examples."
                    @if let Some(link) = self.derivation { " " a href=(link) { "The derivation of this gradient" } "." }
                }
                p.note {
                    "With “fit and centre”, the drawing fills 20 of 28 pixels and its centre of mass is in the middle, as in MNIST. "
                    "The depth of a colour is the square root of the value, so that small values are visible."
                }
                @if let Some(weights) = &self.class_weights {
                    p {
                        "The training multiplied the cost of each row, and so its step, by the weight of its class: "
                        @for (i, (class, weight)) in self.classes.iter().zip(weights).enumerate() {
                            @if i > 0 { ", " }
                            (class) " " (format!("{weight:.3}"))
                        }
                        ". This page computes costs and steps without class weights. A step with a weight equals a step with the learning rate "
                        (inline(r"\eta")) " times the weight."
                    }
                }
            }
        }
    }

    fn data(&self) -> serde_json::Value {
        let weight = &self.parameters.weight;
        // f32 needs half the space. It is used if every weight is exactly an f32.
        let is_f32 = weight.iter().all(|&w| f64::from(w as f32) == w);
        let bytes: Vec<u8> = if is_f32 {
            weight.iter().flat_map(|&w| (w as f32).to_le_bytes()).collect()
        } else {
            weight.iter().flat_map(|w| w.to_le_bytes()).collect()
        };
        let examples: Vec<_> =
            self.examples.iter().map(|(class, pixels)| json!([class, STANDARD.encode(pixels)])).collect();
        // One number for all features, or one number per feature.
        let per_feature = |part: fn((f64, f64)) -> f64| match &self.preprocessing {
            Preprocessing::Pixels | Preprocessing::Raw => json!(part(self.preprocessing.affine(0))),
            Preprocessing::Standardized(standardization) => {
                json!((0..standardization.n_features()).map(|j| part(self.preprocessing.affine(j))).collect::<Vec<_>>())
            }
        };
        json!({
            "kind": self.kind,
            "classes": self.classes,
            "size": self.image_size,
            "scale": per_feature(|(scale, _)| scale),
            "offset": per_feature(|(_, offset)| offset),
            "float": if is_f32 { "f32" } else { "f64" },
            "weight": STANDARD.encode(bytes),
            "bias": self.parameters.bias,
            "examples": examples,
        })
    }
}
