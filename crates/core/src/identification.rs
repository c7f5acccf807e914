use serde::{Deserialize, Serialize};

use crate::{Class, pluralize, quoted};

/// What makes the minimum of J unique without a penalty, or why there is none.
///
/// F identifies a feature and C a class: by their indices, or by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identification<F = usize, C = usize> {
    /// The class of a softmax regression whose weights are 0. The others are relative to it.
    pub base_class: Option<C>,
    /// The features whose weights are 0 because they are the most frequent level of their category.
    /// The weights of the other levels are relative to it.
    pub reference_levels: Vec<F>,
    /// The features whose weights are 0 because they are linear functions of earlier features.
    pub dependent: Vec<F>,
    /// The features that separate the classes, the strongest first, if the classes are separated.
    /// J has no minimum then: it falls as long as these weights grow.
    pub separating: Vec<F>,
    /// Whether all training rows are on the right side, if the classes are separated. Otherwise
    /// some rows are on the border, or some classes are not separated from each other.
    pub is_complete: bool,
}

impl Identification {
    /// Returns the same with the names of features and classes.
    ///
    /// # Panics
    /// If an index is past the end of the classes, or of the features if these have names.
    pub fn named(&self, features: &[String], classes: &[Class]) -> Identification<String, Class> {
        let name = |&feature: &usize| match features {
            [] => format!("feature {feature}"),
            _ => features[feature].clone(),
        };
        let names = |features: &[usize]| features.iter().map(name).collect();
        Identification {
            base_class: self.base_class.map(|class| classes[class].clone()),
            reference_levels: names(&self.reference_levels),
            dependent: names(&self.dependent),
            separating: names(&self.separating),
            is_complete: self.is_complete,
        }
    }
}

impl Identification<String, Class> {
    /// Says what was fixed or is missing, one sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let of_class = self.base_class.as_ref().map(|class| format!("class {:?}", class.to_string()));
        let levels = (!self.reference_levels.is_empty()).then(|| {
            let level = if self.reference_levels.len() == 1 { "the level" } else { "the levels" };
            format!("{level} {}", quoted(&self.reference_levels))
        });
        let references: Vec<String> = of_class.into_iter().chain(levels).collect();
        if !references.is_empty() {
            sentences.push(format!(
                "without a penalty, weights are relative to {}, whose weights are 0",
                references.join(" and ")
            ));
        }
        match &self.dependent[..] {
            [] => {}
            [one] => sentences.push(format!(
                "{one:?} is a linear function of other features in all training rows, so its weight is 0"
            )),
            all => sentences.push(format!(
                "{} are linear functions of other features in all training rows, so their weights are 0: {}",
                pluralize(all.len(), "feature"),
                quoted(all)
            )),
        }
        if !self.separating.is_empty() {
            let how = if self.is_complete {
                "every training row is on the right side"
            } else {
                "some rows or classes only touch the border"
            };
            sentences.push(format!(
                "the classes are separated, mostly by {} ({how}), so J has no minimum without a penalty: the weights would grow for ever; give objective.l2 a number above 0, such as 1e-3, or leave out a column that the label was made from",
                quoted(&self.separating)
            ));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_what_was_fixed_and_what_is_missing() {
        assert!(Identification::default().named(&[], &[]).sentences().is_empty());
        let features: Vec<String> = ["age", "sex = male", "twice", "sum"].map(str::to_owned).into();
        let classes = [Class::Number(3), Class::Name("b".to_owned())];
        let all = Identification {
            base_class: Some(1),
            reference_levels: vec![1],
            dependent: vec![2, 3],
            separating: vec![0],
            is_complete: true,
        };
        let sentences = all.named(&features, &classes).sentences();
        let [references, dependent, separated] = &sentences[..] else { panic!("{sentences:?}") };
        assert!(references.contains("class \"b\" and the level \"sex = male\", whose"), "{references}");
        assert!(dependent.contains("2 features are") && dependent.ends_with("\"twice\", \"sum\""), "{dependent}");
        assert!(separated.contains("mostly by \"age\" (every training row"), "{separated}");
        let unnamed = Identification { dependent: vec![7], ..Identification::default() }.named(&[], &classes);
        assert!(unnamed.sentences()[0].starts_with("\"feature 7\" is"), "{unnamed:?}");
    }
}
