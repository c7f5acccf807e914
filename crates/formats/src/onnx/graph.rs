//! A graph under construction: its nodes, constants and inputs, with names that do not collide.

use std::collections::HashSet;

use chainrule_core::Precision;

use super::messages::{
    AttributeProto, DOUBLE, DimensionProto, FLOAT, INT_ATTRIBUTE, INT64, INTS_ATTRIBUTE, NodeProto, STRING,
    STRINGS_ATTRIBUTE, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The domain of the operators for classical models, among them `LabelEncoder`.
pub(super) const ML_DOMAIN: &str = "ai.onnx.ml";

/// The graph. Every value has a name, and the names of inputs are those of the data.
pub(super) struct Graph {
    /// The names of the inputs. No other value gets one of these.
    reserved: HashSet<String>,
    pub(super) inputs: Vec<ValueInfoProto>,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: Vec<TensorProto>,
}

/// The value of an attribute.
pub(super) enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl Graph {
    /// Creates a graph whose inputs will have these names.
    pub(super) fn new(inputs: impl IntoIterator<Item = String>) -> Self {
        let reserved = inputs.into_iter().collect();
        Self { reserved, inputs: Vec::new(), nodes: Vec::new(), constants: Vec::new() }
    }

    /// Returns a name that no input has. The same text always gives the same name.
    pub(super) fn free(&self, name: &str) -> String {
        let mut name = name.to_owned();
        while self.reserved.contains(&name) {
            name.push('_');
        }
        name
    }

    /// Adds an input, `[n, columns]`.
    pub(super) fn input(&mut self, name: &str, data_type: i32, columns: usize, doc: &str) {
        self.inputs.push(value(name, data_type, &[None, Some(columns)], doc));
    }

    /// Adds a node, and returns the name of its result.
    pub(super) fn node(&mut self, op_type: &str, input: &[&str], output: &str) -> String {
        self.node_with(op_type, input, output, [])
    }

    /// Adds a node with attributes, and returns the name of its result.
    pub(super) fn node_with<'a>(
        &mut self,
        op_type: &str,
        input: &[&str],
        output: &str,
        attributes: impl IntoIterator<Item = (&'a str, Attribute)>,
    ) -> String {
        let output = self.free(output);
        let attribute = |(name, value): (&str, Attribute)| {
            let named = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
            match value {
                Attribute::Int(i) => AttributeProto { i, r#type: INT_ATTRIBUTE, ..named },
                Attribute::Ints(ints) => AttributeProto { ints, r#type: INTS_ATTRIBUTE, ..named },
                Attribute::Strings(texts) => {
                    let strings = texts.into_iter().map(String::into_bytes).collect();
                    AttributeProto { strings, r#type: STRINGS_ATTRIBUTE, ..named }
                }
            }
        };
        self.nodes.push(NodeProto {
            input: input.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.clone()],
            name: output.clone(),
            op_type: op_type.to_owned(),
            attribute: attributes.into_iter().map(attribute).collect(),
            domain: if op_type == "LabelEncoder" { ML_DOMAIN.to_owned() } else { String::new() },
        });
        output
    }

    /// Adds a constant of floats, and returns its name.
    pub(super) fn floats(&mut self, name: &str, dims: &[usize], precision: Precision, values: &[f64]) -> String {
        let raw_data = match precision {
            Precision::F32 => values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
            Precision::F64 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        self.constant(name, dims, data_type(precision), raw_data, Vec::new())
    }

    /// Adds a constant of integers, and returns its name.
    pub(super) fn integers(&mut self, name: &str, dims: &[usize], values: &[i64]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, dims, INT64, raw_data, Vec::new())
    }

    /// Adds a constant of texts, and returns its name.
    pub(super) fn texts(&mut self, name: &str, texts: &[String]) -> String {
        let string_data = texts.iter().map(|text| text.clone().into_bytes()).collect();
        self.constant(name, &[texts.len()], STRING, Vec::new(), string_data)
    }

    fn constant(
        &mut self,
        name: &str,
        dims: &[usize],
        data_type: i32,
        raw_data: Vec<u8>,
        string_data: Vec<Vec<u8>>,
    ) -> String {
        let name = self.free(name);
        let dims = dims.iter().map(|&n| n as i64).collect();
        self.constants.push(TensorProto { dims, data_type, string_data, name: name.clone(), raw_data });
        name
    }
}

/// Returns ONNX's number for a float type.
pub(super) fn data_type(precision: Precision) -> i32 {
    match precision {
        Precision::F32 => FLOAT,
        Precision::F64 => DOUBLE,
    }
}

/// Describes an input or output tensor. A dimension without a size is the number of rows.
pub(super) fn value(name: &str, elem_type: i32, dims: &[Option<usize>], doc: &str) -> ValueInfoProto {
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
