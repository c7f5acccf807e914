//! A page to draw on: it shows a model's prediction for a drawing, the evidence for it, and a
//! gradient step that would teach the model another label.

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
    /// How a pixel becomes a feature.
    preprocessing: Preprocessing,
    /// Example images, each with the position of its class. Grey levels row by row.
    examples: Vec<(usize, Vec<u8>)>,
    /// The class weights of the training, unless all were 1.
    class_weights: Option<Vec<f64>>,
}

/// The range of the learning rate slider, as powers of ten.
const RATES: [f64; 2] = [-4.0, 0.0];

impl DrawingPage {
    /// Creates the page of a model of images. Examples whose label is not a class of the model are
    /// left out.
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
                            aria-label="Drawing board. Draw with mouse or finger. Arrow keys move the pen, with Shift faster; Space lowers and lifts it; Backspace takes the last stroke back; Delete clears." {}
                        div.tools {
                            button type="button" data-part="clear" { "Clear" }
                            button type="button" data-part="undo" { "Undo" }
                            label { input type="checkbox" checked data-part="fit"; " fit and centre" }
                        }
                        div.seen {
                            canvas data-part="seen" width=(width) height=(height) aria-hidden="true" {}
                            span {
                                "What the model sees: " (height) " × " (width) " grey levels. Fitted, the drawing fills 20 of 28 pixels, and its centre of mass \
                                 is in the middle, as MNIST's digits are made."
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
                noscript { p { "The board is drawn by the page's own script, which this browser does not run." } }
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
                        th scope="col" { "it is" }
                        th scope="col" { (math(r"p_k", DisplayMode::Inline)) }
                        th.logits scope="col" { (math(r"z_k", DisplayMode::Inline)) }
                        th scope="col" { "why" }
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
                    "why: "
                    select data-part="pictures" {
                        option value="evidence" { "what the ink says" }
                        option value="weights" { "the weights" }
                    }
                }
                span { span.swatch.for {} " for the class, or raised by the step" }
                span { span.swatch.against {} " against, or lowered" }
            }
            p { b data-part="loss" {} " " span data-part="steps" {} }
            div.tools {
                button type="button" data-part="once" data-act { "Take the step" }
                button type="button" data-part="often" data-act { "Take ten" }
                button type="button" data-part="reset" { "Forget the steps" }
                label for="board-rate" { "learning rate " (math(r"\eta", DisplayMode::Inline)) " " b data-part="rate-value" {} }
                input id="board-rate" type="range" min=(RATES[0]) max=(RATES[1]) step="any" data-part="rate";
            }
        }
    }

    fn lesson(&self) -> Markup {
        html! {
            div.teach {
                p {
                    "Ink on pixel " (math("j", DisplayMode::Inline)) " adds to class " (math("k", DisplayMode::Inline)) "'s logit what its weight makes of it, "
                    (math(r"(x_j - x_{\text{blank}}) w_{jk}", DisplayMode::Inline)) ": these are the pictures under “why”. Is the model wrong? Choose what the drawing is. The cost "
                    (math(r"C = -\ln p_y", DisplayMode::Inline)) " then has the gradient"
                }
                div.equation {
                    (math(r"\frac{\partial C}{\partial w_{jk}} = x_j (p_k - y_k)", DisplayMode::Block))
                    (math(r"w_{jk} \leftarrow w_{jk} - \eta\, x_j (p_k - y_k)", DisplayMode::Block))
                }
                p {
                    "so that each class's step is the drawing itself, times how wrong the model is about that class: these are the pictures under “step”. They fade as it learns. "
                    "A step for one drawing is a batch of one: watch the examples, of which it may unlearn some."
                }
                @if let Some(weights) = &self.class_weights {
                    p {
                        "The training multiplied each row's cost, and so its step, by the weight of its class: "
                        @for (i, (class, weight)) in self.classes.iter().zip(weights).enumerate() {
                            @if i > 0 { ", " }
                            (class) " " (format!("{weight:.3}"))
                        }
                        ". Costs and steps on this page have no weight; with it, a step is one at "
                        (math(r"\eta", DisplayMode::Inline)) " times the weight."
                    }
                }
            }
        }
    }

    fn data(&self) -> serde_json::Value {
        let weight = &self.parameters.weight;
        // f32 takes half the size if no weight is rounded.
        let is_f32 = weight.iter().all(|&w| f64::from(w as f32) == w);
        let bytes: Vec<u8> = if is_f32 {
            weight.iter().flat_map(|&w| (w as f32).to_le_bytes()).collect()
        } else {
            weight.iter().flat_map(|w| w.to_le_bytes()).collect()
        };
        let examples: Vec<_> =
            self.examples.iter().map(|(class, pixels)| json!([class, STANDARD.encode(pixels)])).collect();
        // One number for all features, or one number for each.
        let line = |part: fn((f64, f64)) -> f64| match &self.preprocessing {
            Preprocessing::Pixels | Preprocessing::Raw => json!(part(self.preprocessing.affine(0))),
            Preprocessing::Standardized(by) => {
                json!((0..by.n_features()).map(|j| part(self.preprocessing.affine(j))).collect::<Vec<_>>())
            }
        };
        json!({
            "kind": self.kind,
            "classes": self.classes,
            "size": self.image_size,
            "scale": line(|(scale, _)| scale),
            "offset": line(|(_, offset)| offset),
            "float": if is_f32 { "f32" } else { "f64" },
            "weight": STANDARD.encode(bytes),
            "bias": self.parameters.bias,
            "examples": examples,
        })
    }
}
