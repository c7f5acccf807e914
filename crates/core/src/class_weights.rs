use std::collections::BTreeMap;
use std::fmt::{self, Formatter};

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::one_line;
use crate::{Class, ModelKind};

/// The weights of rows in the objective, by class.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassWeights {
    /// `n / (k n_c)` for a class with `n_c` of the n training rows, where k is the number of
    /// classes. All classes then have the same total weight, and the mean weight of a row is 1.
    /// This equals scikit-learn's `class_weight="balanced"`.
    Balanced,
    /// Weights by class name. Classes that are not named have the weight 1.
    Named(BTreeMap<String, f64>),
    /// One weight per class, in the order of the labels. This is the order of `data.classes`, or
    /// the order of the data if the config names no classes. A config file cannot use a list for
    /// the logistic model, because the labels of that model are in the reverse order.
    PerClass(Vec<f64>),
}

impl ClassWeights {
    /// The spelling of [`ClassWeights::Balanced`] in a config.
    pub const BALANCED: &str = "balanced";

    /// The smallest and the largest weight. Within this range, a row with the smallest weight still
    /// has an effect in f32.
    const RANGE: [f64; 2] = [1e-6, 1e6];

    /// Returns why a model of this kind cannot be trained with these weights. `classes` are
    /// the classes in the config.
    pub(crate) fn problem(&self, kind: ModelKind, classes: Option<&[Class]>) -> Option<String> {
        let weights: Vec<f64> = match self {
            Self::Balanced => return None,
            Self::Named(weights) => weights.values().copied().collect(),
            Self::PerClass(weights) => weights.clone(),
        };
        let [smallest, largest] = Self::RANGE;
        if weights.is_empty() || weights.iter().any(|weight| !(smallest..=largest).contains(weight)) {
            return Some(
                "expected numbers from 1e-6 to 1e6; to leave out a class, list the others in data.classes".to_owned(),
            );
        }
        let classes = classes?;
        match self {
            Self::Balanced => None,
            Self::Named(_) => {
                let name = one_line(self.unknown_name(classes)?);
                Some(format!("data.classes has no class {name}; its classes are {}", class_list(classes)))
            }
            Self::PerClass(_) if kind == ModelKind::Logistic => Some(ambiguous_list(&weights, classes)),
            Self::PerClass(_) if weights.len() != classes.len() => Some(format!(
                "expected one number for each of the {} classes, in the order of data.classes, or numbers by the classes' names",
                classes.len()
            )),
            Self::PerClass(_) => None,
        }
    }

    /// Returns the first name that is not among these classes.
    pub fn unknown_name(&self, classes: &[impl ToString]) -> Option<&str> {
        let Self::Named(weights) = self else { return None };
        let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
        weights.keys().find(|name| !classes.contains(name)).map(String::as_str)
    }
}

fn class_list(classes: &[Class]) -> String {
    one_line(&classes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// Returns a message that requests names instead of a list. The labels of the logistic model are in
/// the reverse order of the config, so a list is ambiguous.
fn ambiguous_list(weights: &[f64], classes: &[Class]) -> String {
    let mut weights = weights.to_vec();
    weights.resize(classes.len(), 1.0);
    let by_name = |weights: &[f64]| {
        let pairs: BTreeMap<String, f64> =
            classes.iter().map(ToString::to_string).zip(weights.iter().copied()).collect();
        let pairs: Vec<String> =
            pairs.iter().map(|(class, weight)| format!("{} = {weight:?}", toml_key(class))).collect();
        one_line(&format!("{{ {} }}", pairs.join(", ")))
    };
    let in_config_order = by_name(&weights);
    weights.reverse();
    let in_label_order = by_name(&weights);
    format!(
        "a list is ambiguous for the logistic model, because its labels start with the negative class; use names: {in_config_order}, or {in_label_order}"
    )
}

/// Formats a name as a TOML key.
fn toml_key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if is_bare { name.to_owned() } else { format!("{name:?}") }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Balanced => serializer.serialize_str(Self::BALANCED),
            Self::Named(weights) => weights.serialize(serializer),
            Self::PerClass(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClassWeightsVisitor)
    }
}

struct ClassWeightsVisitor;

impl<'de> Visitor<'de> for ClassWeightsVisitor {
    type Value = ClassWeights;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"balanced\", numbers by the classes' names, as in {no = 0.5, yes = 25}, or a list of numbers, one for each class")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ClassWeights, E> {
        if text == ClassWeights::BALANCED {
            Ok(ClassWeights::Balanced)
        } else {
            Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<ClassWeights, A::Error> {
        let mut weights = BTreeMap::new();
        while let Some((name, weight)) = pairs.next_entry()? {
            weights.insert(name, weight);
        }
        Ok(ClassWeights::Named(weights))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<ClassWeights, A::Error> {
        let mut weights = Vec::new();
        while let Some(weight) = numbers.next_element()? {
            weights.push(weight);
        }
        Ok(ClassWeights::PerClass(weights))
    }
}
