use std::fmt::{self, Formatter};

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// By how much a row counts in the objective, by its class.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassWeights {
    /// `n / (k n_c)` for a class with `n_c` of n training rows, k being the number of classes: all classes count alike, and a row 1 on average. It is what
    /// scikit-learn's `class_weight="balanced"` gives.
    Balanced,
    /// One for each class, in the order of `data.classes`, or, where the config has none, in that of the data's labels.
    Each(Vec<f64>),
}

/// What a config calls [`ClassWeights::Balanced`].
const BALANCED: &str = "balanced";

impl ClassWeights {
    /// No weight is smaller than the first of these, nor larger than the second: in f32, too, a row of the lightest class then still tells.
    const RANGE: [f64; 2] = [1e-6, 1e6];

    /// Why nothing can be trained with these, where the config names so many classes.
    pub(crate) fn problem(&self, classes: Option<usize>) -> Option<String> {
        let Self::Each(weights) = self else { return None };
        let [smallest, largest] = Self::RANGE;
        if weights.iter().any(|weight| !(smallest..=largest).contains(weight)) {
            return Some(
                "expected numbers from 1e-6 to 1e6; a class that should not count is left out by data.classes"
                    .to_owned(),
            );
        }
        let classes = classes.filter(|&classes| classes != weights.len())?;
        Some(format!("expected a number for each of the {classes} classes, in the order of data.classes"))
    }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Balanced => serializer.serialize_str(BALANCED),
            Self::Each(weights) => weights.serialize(serializer),
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
        f.write_str("\"balanced\", or a list of numbers, one for each class, as in [1.0, 3.0]")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ClassWeights, E> {
        if text == BALANCED {
            Ok(ClassWeights::Balanced)
        } else {
            Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<ClassWeights, A::Error> {
        let mut weights = Vec::new();
        while let Some(weight) = numbers.next_element()? {
            weights.push(weight);
        }
        Ok(ClassWeights::Each(weights))
    }
}
