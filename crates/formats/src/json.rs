//! Everything as JSON, which a browser's `JSON.parse` reads as well as Python's `json`.

use std::collections::BTreeMap;

use chainrule_core::LinkKind;
use serde::Serialize;

use crate::{Portable, Row};

/// What the file holds. All of [`Description`] but the weights is also the metadata of the other formats.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    description: Description<'a>,
    /// `[k][d]`; of the logistic model one row, the second class's.
    weight: Vec<Vec<f64>>,
    /// `[k]`
    bias: &'a [f64],
}

/// What a model's file says besides its weights.
#[derive(Serialize)]
pub(crate) struct Description<'a> {
    format: &'static str,
    kind: LinkKind,
    formula: &'static str,
    classes: &'a [String],
    row: &'a Row,
    mean: PerFeature,
    scale: PerFeature,
    about: &'a BTreeMap<String, String>,
}

/// One number for all features, or one for each.
#[derive(Serialize)]
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

/// The first key of every description.
pub(crate) const FORMAT: &str = "chainrule model 1";

impl<'a> Description<'a> {
    pub(crate) fn new(model: &'a Portable) -> Self {
        let [mean, scale] = model.mean_and_scale().map(PerFeature::from);
        Self {
            format: FORMAT,
            kind: model.link,
            formula: model.formula(),
            classes: &model.classes,
            row: &model.row,
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

pub(crate) fn write(model: &Portable) -> Vec<u8> {
    let weight = (0..model.parameters.columns).map(|class| model.parameters.of_class(class)).collect();
    let document = Document { description: Description::new(model), weight, bias: &model.parameters.bias };
    let mut text = serde_json::to_string(&document).expect(ONLY_JSON);
    text.push('\n');
    text.into_bytes()
}
