//! A page to draw on. It shows a model's prediction for the drawing, the evidence for it, and the
//! gradient step that trains the model on the drawing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chainrule_core::{ModelKind, Parameters, Preprocessing, Schema};
use maud::{Markup, PreEscaped, html};
use pulldown_latex::config::DisplayMode;
use serde_json::json;

use crate::html::{math, page};

pub(crate) const STYLE: &str = include_str!("../assets/board.css");
pub(crate) const SCRIPT: &str = include_str!("../assets/board.js");

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
        }
    }

    /// Sets the class weights of the model's training. The page's step does not use them, and the
    /// page says so.
    pub fn with_class_weights(self, class_weights: Option<Vec<f64>>) -> Self {
        Self { class_weights, ..self }
    }

    /// Returns one self-contained HTML file. `about` describes the model in plain text.
    pub fn to_html(&self, title: &str, about: &str) -> String {
        let body = html! {
            header {
                h1 { (title) }
                p.lead { (about) }
            }
            main { (self.section()) }
        };
        page(title, STYLE, &body, SCRIPT)
    }

    /// Returns the section for a page. The page needs [`STYLE`] and [`SCRIPT`] once.
    pub(crate) fn section(&self) -> Markup {
        let [height, width] = self.image_size;
        let shape = format!("--shape: {width} / {height}");
        html! {
            div.board style=(shape) {
                div.sides {
                    div {
                        canvas.pad data-part="pad" width="280" height="280" tabindex="0" role="application" aria-roledescription="drawing board"
                            aria-label="Drawing board. Draw with mouse or finger. Arrow keys move the pen, with Shift faster; Space lowers and lifts it; Backspace undoes the last stroke; Delete clears the board." {}
                        div.tools {
                            button type="button" data-part="clear" { "Clear" }
                            button type="button" data-part="undo" { "Undo" }
                            label { input type="checkbox" checked data-part="fit"; " fit and centre" }
                        }
                        div.seen {
                            canvas data-part="seen" width=(width) height=(height) aria-hidden="true" {}
                            span {
                                "The input of the model: " (height) " × " (width) " grey levels. With “fit and centre”, the drawing fills 20 of 28 pixels and its centre of \
                                 mass is in the middle, as in MNIST."
                            }
                        }
                        (self.examples())
                    }
                    div {
                        p.status role="status" aria-live="polite" data-part="status" { "The board is empty." }
                        (self.table())
                        (self.controls())
                    }
                }
                (self.lesson())
                noscript { p { "The board needs JavaScript, which this browser does not run." } }
                script type="application/json" { (PreEscaped(self.data().to_string().replace('<', "\\u003c"))) }
            }
        }
    }

    fn examples(&self) -> Markup {
        html! {
            @if !self.examples.is_empty() {
                div.tools role="group" aria-label="Examples" {
                    @for (class, _) in &self.examples {
                        button type="button" data-part="example" { (self.classes[*class]) }
                    }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        let [height, width] = self.image_size;
        let picture = |name: &str| html! { canvas data-of=(name) width=(width) height=(height) aria-hidden="true" {} };
        html! {
            table {
                colgroup { col.c-class; col; col.c-number.logits; col.c-picture; col.c-number; col.c-picture; }
                thead {
                    tr {
                        th scope="col" { "class" }
                        th scope="col" { (math(r"p_k", DisplayMode::Inline)) }
                        th.logits scope="col" { (math(r"z_k", DisplayMode::Inline)) }
                        th scope="col" { "evidence" }
                        th scope="col" { (math(r"p_k - y_k", DisplayMode::Inline)) }
                        th scope="col" { "step" }
                    }
                }
                tbody {
                    @for class in &self.classes {
                        tr data-part="class" {
                            th scope="row" { label { input type="radio" name="truth" data-of="truth"; " " (class) } }
                            td.number {
                                span data-of="probability" {}
                                span.track aria-hidden="true" { span data-of="bar" {} }
                            }
                            td.number.logits data-of="logit" {}
                            td { (picture("evidence")) }
                            td.number data-of="residual" {}
                            td { (picture("step")) }
                        }
                    }
                }
            }
        }
    }

    fn controls(&self) -> Markup {
        html! {
            div.tools {
                label {
                    "evidence: "
                    select data-part="pictures" {
                        option value="evidence" { "effect of the ink" }
                        option value="weights" { "the weights" }
                    }
                }
                span { span.swatch.for {} " for the class, or raised by the step" }
                span { span.swatch.against {} " against the class, or lowered by the step" }
            }
            p { b data-part="loss" {} " " span data-part="steps" {} }
            div.tools {
                button type="button" data-part="once" data-act { "Take one step" }
                button type="button" data-part="often" data-act { "Take ten steps" }
                button type="button" data-part="reset" { "Reset the model" }
                label for="board-rate" { "learning rate " (math(r"\eta", DisplayMode::Inline)) " " b data-part="rate-value" {} }
                input id="board-rate" type="range" min=(RATES[0]) max=(RATES[1]) step="any" data-part="rate";
            }
        }
    }

    fn lesson(&self) -> Markup {
        html! {
            div.teach {
                p {
                    "Ink on pixel " (math("j", DisplayMode::Inline)) " adds to class " (math("k", DisplayMode::Inline)) "'s logit the product of its feature's change and its weight, "
                    (math(r"(x_j - x_{\text{blank}}) w_{jk}", DisplayMode::Inline)) ". The pictures under “evidence” show these products. If the model is wrong, select the correct class. The cost "
                    (math(r"C = -\ln p_y", DisplayMode::Inline)) " then has the gradient"
                }
                div.equation {
                    (math(r"\frac{\partial C}{\partial w_{jk}} = x_j (p_k - y_k)", DisplayMode::Block))
                    (math(r"w_{jk} \leftarrow w_{jk} - \eta\, x_j (p_k - y_k)", DisplayMode::Block))
                }
                p {
                    "So the step of a class is the drawing, multiplied by the residual of that class. The pictures under “step” show it. They fade as the model learns. "
                    "A step for one drawing is a batch of one row, so the model may then misclassify some of the examples."
                }
                @if let Some(weights) = &self.class_weights {
                    p {
                        "The training multiplied the cost of each row, and so its step, by the weight of its class: "
                        @for (i, (class, weight)) in self.classes.iter().zip(weights).enumerate() {
                            @if i > 0 { ", " }
                            (class) " " (format!("{weight:.3}"))
                        }
                        ". This page computes costs and steps without class weights. A step with a weight equals a step with the learning rate "
                        (math(r"\eta", DisplayMode::Inline)) " times the weight."
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
