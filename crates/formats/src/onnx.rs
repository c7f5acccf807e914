//! An ONNX model from raw rows to probabilities.
//!
//! The columns of a table with categories, dates or features for missing values are one input each,
//! and the nodes of `columns.rs` make features of them, as the recipe says. Images and plain
//! numbers are one matrix. Then follow `Sub`, `Div`, `Gemm`, `Softmax`, and `ArgMax` with `Gather`
//! for the label. For one-vs-rest, the probabilities are the softmax of `log sigmoid(z)`, which is
//! `min(z, 0) - log(1 + exp(-|z|))`.

mod columns;
mod graph;
mod messages;

use chainrule_core::{LinkKind, Precision, Preprocessing, Recipe};
use prost::Message;

use crate::json::Description;
use crate::{Portable, Row, Spec};
use graph::{Attribute, Graph, ML_DOMAIN, data_type, value};
use messages::{GraphProto, INT64, ModelProto, OperatorSetIdProto, STRING, StringStringEntryProto};

pub(crate) const SPEC: Spec = Spec {
    name: "onnx",
    extensions: &["onnx"],
    about: "onnxruntime: the whole model, from raw rows to probabilities and labels",
    // Protocol Buffers: `ir_version`, then the producer's name, as exporters write them.
    sniff: |bytes| matches!(bytes, [0x08, _, 0x12, ..]) && bytes.get(8) != Some(&b'{'),
    problem,
    write,
    read: None,
};

/// The versions of the intermediate representation and of the operators: those of ONNX 1.8, which
/// every onnxruntime of recent years reads.
const IR_VERSION: i64 = 7;
const OPSET: i64 = 13;
/// The version of the operators of [`ML_DOMAIN`]: those of ONNX 1.4, which has `LabelEncoder` from
/// texts to integers.
const ML_OPSET: i64 = 2;

/// The largest ratio |mean| / deviation of a feature for which f32 is precise enough.
///
/// Rounding to f32 changes a number near the mean, and the mean itself, by `2^-24 |mean|` each. The
/// feature changes by `2^-23 |mean| / deviation`. Up to this bound, that is no more than the f32
/// rounding of a feature of a few deviations.
const MAX_DEVIATIONS: f64 = 2.0;

/// The largest sum of a class's absolute weights on standardised features for which f32 gives
/// probabilities to 1e-6. Each product with a feature of a few deviations is rounded by `2^-24` of
/// its value.
const MAX_ABS_WEIGHT_SUM: f64 = 16.0;

/// Returns why the model is no ONNX file, if it is too large for one.
fn problem(model: &Portable) -> Option<String> {
    /// The most bytes of a message of Protocol Buffers.
    const MOST: u64 = i32::MAX as u64;
    let (d, k) = (model.n_features() as u64, model.classes.len() as u64);
    let bytes = d.saturating_mul(k.saturating_add(2)).saturating_mul(if precision(model) == Precision::F32 { 4 } else { 8 });
    (bytes > MOST).then(|| {
        format!("its weights take {bytes} bytes, and an ONNX file has at most {MOST}; export safetensors or npz instead")
    })
}

/// Returns whether each column of a table is an input of its own: they are not all numbers, or a
/// missing one has a feature of its own. Sparse features have no columns.
fn takes_columns(recipe: &Recipe) -> bool {
    !recipe.are_numbers() && !recipe.is_sparse()
}

/// Returns the float type of the file: that of the training, or f64 if f32 is not precise enough
/// for the rows of the training.
fn precision(model: &Portable) -> Precision {
    let f32_is_enough =
        match (&model.preprocessing, &model.row) {
            // A mark of a missing value is compared, and f32 may round another number to it.
            _ if model.recipe.as_ref().is_some_and(|recipe| takes_columns(recipe) || columns::has_marks(recipe)) => false,
            // Grey levels are integers.
            (Preprocessing::Pixels, _) | (Preprocessing::Raw, Row::Image { .. } | Row::Picture { .. }) => true,
            // The size of the numbers is not known.
            (Preprocessing::Raw, Row::Numbers { .. }) => false,
            (Preprocessing::Standardized(by), _) => {
                by.mean.iter().zip(&by.scale).all(|(mean, &scale)| {
                    mean.abs() <= MAX_DEVIATIONS * scale && scale >= f64::from(f32::MIN_POSITIVE)
                }) && max_abs_weight_sum(model) <= MAX_ABS_WEIGHT_SUM
            }
        };
    if f32_is_enough { model.precision } else { Precision::F64 }
}

/// Returns the largest sum of absolute weights of a class.
fn max_abs_weight_sum(model: &Portable) -> f64 {
    let k = model.parameters.columns;
    let of_class = |class: usize| model.parameters.weight.iter().skip(class).step_by(k).map(|w| w.abs()).sum::<f64>();
    (0..k).map(of_class).fold(0.0, f64::max)
}

fn write(model: &Portable) -> Vec<u8> {
    let precision = precision(model);
    let (d, k) = (model.n_features(), model.classes.len());
    let columns = model.recipe.as_ref().filter(|recipe| takes_columns(recipe));
    let mut graph = Graph::new(columns.map(Recipe::column_names).unwrap_or_default());
    let g = &mut graph;
    let raw = match (columns, &model.recipe) {
        (Some(recipe), _) => columns::features(g, recipe),
        (None, recipe) => {
            g.input("input", data_type(precision), d, input_doc(model));
            match recipe {
                Some(recipe) if recipe.are_numbers() => columns::fill(g, "input", recipe, precision),
                _ => "input".to_owned(),
            }
        }
    };
    let [mean, scale] = model.mean_and_scale();
    let (weight, bias) = weights(model);
    let mean = g.floats("mean", &[d], precision, &mean);
    let scale = g.floats("scale", &[d], precision, &scale);
    let weight = g.floats("weight", &[d, k], precision, &weight);
    let bias = g.floats("bias", &[k], precision, &bias);
    let (classes, label_type) = match model.integer_classes() {
        Some(labels) => (g.integers("classes", &[k], &labels), INT64),
        None => (g.texts("classes", &model.classes), STRING),
    };
    let centred = g.node("Sub", &[&raw, &mean], "centred");
    let features = g.node("Div", &[&centred, &scale], "features");
    let logits = g.node("Gemm", &[&features, &weight, &bias], "logits");
    let is_rest = model.link == LinkKind::OneVsRest;
    let softmax_input = if is_rest { log_sigmoid(g, &logits, precision) } else { logits.clone() };
    let axis = || ("axis", Attribute::Int(1));
    let probabilities = g.node_with("Softmax", &[&softmax_input], "probabilities", [axis()]);
    let largest = if is_rest { &logits } else { &probabilities };
    let position = g.node_with("ArgMax", &[largest], "position", [axis(), ("keepdims", Attribute::Int(0))]);
    let label = g.node_with("Gather", &[&classes, &position], "label", [("axis", Attribute::Int(0))]);
    let output = vec![
        value(&probabilities, data_type(precision), &[None, Some(k)], "of each class, in the order of `classes`"),
        value(&label, label_type, &[None], "the most probable class"),
    ];
    let description = StringStringEntryProto { key: "chainrule".to_owned(), value: Description::new(model).to_json() };
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
    let uses_ml = graph.nodes.iter().any(|node| node.domain == ML_DOMAIN);
    let opset_import =
        std::iter::once(opset("", OPSET)).chain(uses_ml.then(|| opset(ML_DOMAIN, ML_OPSET))).collect();
    let Graph { inputs: input, nodes: node, constants: initializer, .. } = graph;
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "chainrule".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: model.formula().to_owned(),
        graph: Some(GraphProto { name: "linear_classifier".to_owned(), node, initializer, input, output }),
        opset_import,
        metadata_props: vec![description],
    };
    model.encode_to_vec()
}

/// Describes the matrix that is the only input.
fn input_doc(model: &Portable) -> &'static str {
    match &model.recipe {
        Some(recipe) if recipe.is_sparse() => "one column for each index in `row.numbers.names`, 0 where a row lacks it",
        Some(_) => "one column for each name in `row.numbers.names`; NaN where a value is missing",
        None => "rows as the data has them",
    }
}

/// Adds the nodes that compute `log_sigmoid` from the logits. Returns the name of the result.
fn log_sigmoid(g: &mut Graph, logits: &str, precision: Precision) -> String {
    let zero = g.floats("zero", &[], precision, &[0.0]);
    let one = g.floats("one", &[], precision, &[1.0]);
    let size = g.node("Abs", &[logits], "size");
    let minus_size = g.node("Neg", &[&size], "minus_size");
    let power = g.node("Exp", &[&minus_size], "power");
    let one_and_power = g.node("Add", &[&power, &one], "one_and_power");
    let log = g.node("Log", &[&one_and_power], "log");
    let least = g.node("Min", &[logits, &zero], "least");
    g.node("Sub", &[&least, &log], "log_sigmoid")
}

/// Returns W `[d, k]` and b `[k]` with one column per class. The logistic model's first class has
/// zeros, since `softmax(0, z) = (1 - sigmoid(z), sigmoid(z))`.
fn weights(model: &Portable) -> (Vec<f64>, Vec<f64>) {
    let Portable { parameters, link, .. } = model;
    match link {
        LinkKind::Softmax | LinkKind::OneVsRest => (parameters.weight.clone(), parameters.bias.clone()),
        LinkKind::Logistic => {
            let with_zero = |values: &[f64]| values.iter().flat_map(|&value| [0.0, value]).collect();
            (with_zero(&parameters.weight), with_zero(&parameters.bias))
        }
    }
}
