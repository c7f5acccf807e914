//! An ONNX model from raw rows to probabilities: `Sub`, `Div`, `Gemm`, `Softmax`, and `ArgMax` with
//! `Gather` for the label. For one-vs-rest, the probabilities are the softmax of `log sigmoid(z) =
//! min(z, 0) - log(1 + exp(-|z|))`.
//!
//! The structs are the messages of `onnx.proto` needed here, with its field numbers
//! (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>).

use chainrule_core::{LinkKind, Precision, Preprocessing};
use prost::Message;

use crate::json::Description;
use crate::{Portable, Row, Spec};

pub(crate) const SPEC: Spec = Spec {
    name: "onnx",
    extensions: &["onnx"],
    about: "onnxruntime: the whole model, from raw rows to probabilities and labels",
    // Protocol Buffers: `ir_version`, then the producer's name, as exporters write them.
    sniff: |bytes| matches!(bytes, [0x08, _, 0x12, ..]) && bytes.get(8) != Some(&b'{'),
    write,
    read: None,
};

/// The versions of the intermediate representation and of the operators: those of ONNX 1.8, which
/// every onnxruntime of recent years reads.
const IR_VERSION: i64 = 7;
const OPSET: i64 = 13;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(string, tag = "6")]
    doc_string: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(int32, tag = "20")]
    r#type: i32,
}

/// `AttributeProto.INT`
const INT_ATTRIBUTE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(bytes = "vec", repeated, tag = "6")]
    string_data: Vec<Vec<u8>>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

/// `TensorProto.DataType`
const FLOAT: i32 = 1;
const INT64: i32 = 7;
const STRING: i32 = 8;
const DOUBLE: i32 = 11;

#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
    #[prost(string, tag = "3")]
    doc_string: String,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<DimensionProto>,
}

/// Exactly one of the two fields is set.
#[derive(Clone, PartialEq, Message)]
struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    dim_param: Option<String>,
}

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

/// Returns the float type of the file: that of the training, or f64 if f32 is not precise enough
/// for the rows of the training.
fn precision(model: &Portable) -> Precision {
    let f32_is_enough =
        match (&model.preprocessing, &model.row) {
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
    let [mean, scale] = model.mean_and_scale();
    let (weight, bias) = columns(model);
    let float = |name, dims: &[usize], values: &[f64]| floats(name, dims, precision, values);
    let labels = labels(model);
    let (float_type, label_type) = (data_type(precision), labels.data_type);
    let mut nodes = vec![
        node("Sub", &["input", "mean"], "centred", &[]),
        node("Div", &["centred", "scale"], "features", &[]),
        node("Gemm", &["features", "weight", "bias"], "logits", &[]),
    ];
    let mut initializers = vec![
        float("mean", &[d], &mean),
        float("scale", &[d], &scale),
        float("weight", &[d, k], &weight),
        float("bias", &[k], &bias),
        labels,
    ];
    // `softmax_input` is the input of the softmax; `argmax_input` is the input of the argmax.
    let (softmax_input, argmax_input) = if model.link == LinkKind::OneVsRest {
        nodes.extend(log_sigmoid());
        initializers.extend([float("zero", &[], &[0.0]), float("one", &[], &[1.0])]);
        ("log_sigmoid", "logits")
    } else {
        ("logits", "probabilities")
    };
    nodes.extend([
        node("Softmax", &[softmax_input], "probabilities", &[("axis", 1)]),
        node("ArgMax", &[argmax_input], "position", &[("axis", 1), ("keepdims", 0)]),
        node("Gather", &["classes", "position"], "label", &[("axis", 0)]),
    ]);
    let graph = GraphProto {
        name: "linear_classifier".to_owned(),
        node: nodes,
        initializer: initializers,
        input: vec![value("input", float_type, &[None, Some(d)], "rows as the data has them")],
        output: vec![
            value("probabilities", float_type, &[None, Some(k)], "of each class, in the order of `classes`"),
            value("label", label_type, &[None], "the most probable class"),
        ],
    };
    let description = StringStringEntryProto { key: "chainrule".to_owned(), value: Description::new(model).to_json() };
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "chainrule".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: model.formula().to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: vec![description],
    };
    model.encode_to_vec()
}

/// Returns the nodes that compute `log_sigmoid` from `logits`.
fn log_sigmoid() -> [NodeProto; 7] {
    [
        node("Abs", &["logits"], "size", &[]),
        node("Neg", &["size"], "minus_size", &[]),
        node("Exp", &["minus_size"], "power", &[]),
        node("Add", &["power", "one"], "one_and_power", &[]),
        node("Log", &["one_and_power"], "log", &[]),
        node("Min", &["logits", "zero"], "least", &[]),
        node("Sub", &["least", "log"], "log_sigmoid", &[]),
    ]
}

/// Returns W `[d, k]` and b `[k]` with one column per class. The logistic model's first class has
/// zeros, since `softmax(0, z) = (1 - sigmoid(z), sigmoid(z))`.
fn columns(model: &Portable) -> (Vec<f64>, Vec<f64>) {
    let Portable { parameters, link, .. } = model;
    match link {
        LinkKind::Softmax | LinkKind::OneVsRest => (parameters.weight.clone(), parameters.bias.clone()),
        LinkKind::Logistic => {
            let with_zero = |values: &[f64]| values.iter().flat_map(|&value| [0.0, value]).collect();
            (with_zero(&parameters.weight), with_zero(&parameters.bias))
        }
    }
}

fn node(op_type: &str, input: &[&str], output: &str, attributes: &[(&str, i64)]) -> NodeProto {
    let attribute = |&(name, i): &(&str, i64)| AttributeProto { name: name.to_owned(), i, r#type: INT_ATTRIBUTE };
    NodeProto {
        input: input.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: op_type.to_owned(),
        attribute: attributes.iter().map(attribute).collect(),
    }
}

fn data_type(precision: Precision) -> i32 {
    match precision {
        Precision::F32 => FLOAT,
        Precision::F64 => DOUBLE,
    }
}

fn floats(name: &str, dims: &[usize], precision: Precision, values: &[f64]) -> TensorProto {
    let raw_data = match precision {
        Precision::F32 => values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
        Precision::F64 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    tensor(name, dims, data_type(precision), raw_data, Vec::new())
}

fn labels(model: &Portable) -> TensorProto {
    let dims = [model.classes.len()];
    match model.integer_classes() {
        Some(labels) => {
            tensor("classes", &dims, INT64, labels.iter().flat_map(|label| label.to_le_bytes()).collect(), Vec::new())
        }
        None => {
            let texts = model.classes.iter().map(|class| class.clone().into_bytes()).collect();
            tensor("classes", &dims, STRING, Vec::new(), texts)
        }
    }
}

fn tensor(name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>, string_data: Vec<Vec<u8>>) -> TensorProto {
    let dims = dims.iter().map(|&n| n as i64).collect();
    TensorProto { dims, data_type, string_data, name: name.to_owned(), raw_data }
}

/// Describes an input or output tensor. A dimension without a size is the number of rows.
fn value(name: &str, elem_type: i32, dims: &[Option<usize>], doc: &str) -> ValueInfoProto {
    let dim = |size: &Option<usize>| DimensionProto {
        dim_value: size.map(|n| n as i64),
        dim_param: size.is_none().then(|| "n".to_owned()),
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor_type = TensorTypeProto { elem_type, shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type) }),
        doc_string: doc.to_owned(),
    }
}
