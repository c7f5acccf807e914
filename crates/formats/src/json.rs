//! A whole model as JSON, readable by JavaScript's `JSON.parse` and Python's `json`.

use std::collections::BTreeMap;

use chainrule_core::{LinkKind, Precision, Recipe, one_line};
use serde::{Deserialize, Serialize};

use crate::weights::{WeightArrays, MAX_BYTES, list};
use crate::{WeightHints, Layout, Portable, Row, Spec, Weights};

pub(crate) const SPEC: Spec = Spec {
    name: "json",
    extensions: &["json"],
    about: "All of it, for any language",
    // The header length of a safetensors file may also begin with `{`, but its last byte is 0.
    sniff: |bytes| bytes.starts_with(b"{") && bytes.get(7).is_some_and(|&byte| byte != 0),
    problem: |_| None,
    write,
    read: Some(|bytes, _| read(bytes)),
};

/// The content of the file. The other formats store the [`Description`], without the weights, as
/// metadata.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    description: Description<'a>,
    /// `[k][d]`. The logistic model has one row, that of the second class.
    weight: Vec<Vec<f64>>,
    /// `[k]`
    bias: &'a [f64],
}

/// The part of a model file other than the weights.
#[derive(Serialize)]
pub(crate) struct Description<'a> {
    format: &'static str,
    kind: LinkKind,
    formula: &'static str,
    classes: &'a [String],
    precision: Precision,
    row: &'a Row,
    /// How the columns of a table become features, for a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<&'a Recipe>,
    /// The same, for a person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recipe_in_words: Vec<String>,
    mean: PerFeature,
    scale: PerFeature,
    about: &'a BTreeMap<String, String>,
}

/// One number for all features, or one per feature.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PerFeature {
    Same(f64),
    Each(Vec<f64>),
}

impl From<Vec<f64>> for PerFeature {
    fn from(values: Vec<f64>) -> Self {
        match values.first() {
            Some(&first) if values.iter().all(|&value| value == first) => Self::Same(first),
            _ => Self::Each(values),
        }
    }
}

/// The value of the key `format` in every description.
pub(crate) const FORMAT: &str = "chainrule model 1";

impl<'a> Description<'a> {
    pub(crate) fn new(model: &'a Portable) -> Self {
        let [mean, scale] = model.mean_and_scale().map(PerFeature::from);
        Self {
            format: FORMAT,
            kind: model.link,
            formula: model.formula(),
            classes: &model.classes,
            precision: model.precision,
            row: &model.row,
            recipe: model.recipe.as_ref(),
            recipe_in_words: model.recipe.as_ref().map(Recipe::in_words).unwrap_or_default(),
            mean,
            scale,
            about: &model.about,
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect(ONLY_JSON)
    }
}

const ONLY_JSON: &str = "texts and finite numbers";

fn write(model: &Portable) -> Vec<u8> {
    let weight = (0..model.parameters.columns).map(|class| model.parameters.weights_of_class(class)).collect();
    let document = Document { description: Description::new(model), weight, bias: &model.parameters.bias };
    let mut text = serde_json::to_string(&document).expect(ONLY_JSON);
    text.push('\n');
    text.into_bytes()
}

/// The parsed part of a [`Description`].
#[derive(Deserialize)]
struct ParsedDescription {
    kind: LinkKind,
    classes: Vec<ClassName>,
    row: Row,
    /// Files of earlier versions have no recipe and no precision.
    #[serde(default)]
    recipe: Option<Recipe>,
    #[serde(default)]
    precision: Option<Precision>,
    mean: PerFeature,
    scale: PerFeature,
}

/// A class name: a string, as `export` writes it, or an integer from another program. The digits of
/// an integer are the name.
#[derive(Deserialize)]
#[serde(untagged)]
enum ClassName {
    Text(String),
    Integer(i64),
}

impl From<ClassName> for String {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::Text(text) => text,
            ClassName::Integer(integer) => integer.to_string(),
        }
    }
}

impl PerFeature {
    fn each(self, d: usize) -> Vec<f64> {
        match self {
            Self::Same(value) => vec![value; d],
            Self::Each(values) => values,
        }
    }
}

pub(crate) fn parse_description(description: &str, d: usize) -> Result<WeightHints, String> {
    let found: ParsedDescription = serde_json::from_str(description)
        .map_err(|error| format!("its description is not one: {}", one_line(&error.to_string())))?;
    Ok(found.parse_description(d))
}

impl ParsedDescription {
    fn parse_description(self, d: usize) -> WeightHints {
        WeightHints {
            link: Some(self.kind),
            classes: Some(self.classes.into_iter().map(String::from).collect()),
            mean_and_scale: Some([self.mean.each(d), self.scale.each(d)]),
            row: Some(self.row),
            recipe: self.recipe,
            not_read: None,
        }
    }
}

/// The parsed part of a [`Document`].
#[derive(Deserialize)]
struct ParsedDocument {
    format: String,
    weight: Vec<Vec<f64>>,
    bias: Vec<f64>,
    #[serde(flatten)]
    description: ParsedDescription,
}

fn read(bytes: &[u8]) -> Result<Weights, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is JSON of more than the {MAX_BYTES} bytes that are read"));
    }
    let ParsedDocument { format, weight, bias, description } = serde_json::from_slice(bytes)
        .map_err(|error| format!("it is no JSON that export wrote: {}", one_line(&error.to_string())))?;
    if format != FORMAT {
        return Err(format!("it is JSON of the format {}, not {FORMAT}", list(&[format.as_str()])));
    }
    let (k, d) = (weight.len(), weight.first().map_or(0, Vec::len));
    if let Some(class) = weight.iter().position(|of_class| of_class.len() != d) {
        return Err(format!("weight[{class}] has {} numbers, and weight[0] {d}", weight[class].len()));
    }
    // If the file does not specify a float type, the digits decide.
    let are_f32 = weight.iter().flatten().chain(&bias).all(|&x| f64::from(x as f32) == x);
    let precision = description.precision.unwrap_or(if are_f32 { Precision::F32 } else { Precision::F64 });
    let matrix = ("weight".to_owned(), [k, d], weight.concat());
    let (vector, layout) = (Some(("bias".to_owned(), bias)), Some(Layout::RowPerClass));
    WeightArrays { matrix, vector, precision, layout, about: description.parse_description(d) }.weights(None)
}
