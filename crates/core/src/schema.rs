use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::class::name_problem;
use crate::sentence::count;
use crate::{Class, LinkKind, Parameters, Preprocessing, Standardization};

/// The kind of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// Images from IDX files or drawn by code: light ink on a background of 0.
    #[default]
    Images,
    /// Pictures of any kind, one folder per class, converted to grey and scaled.
    Pictures,
    /// Numbers in columns.
    Table,
}

/// The inputs and the classes of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The kind of data that the rows come from.
    #[serde(default)]
    pub kind: DataKind,
    /// Height and width of an image in pixels. The features are its pixel rows, one after the
    /// other. A row of a table has the size 1 x d.
    pub image_size: [usize; 2],
    /// The names of the features, for a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The classes as the data names them, in the order of the model's outputs. The logistic model
    /// has its negative class first.
    pub classes: Vec<Class>,
}

/// The largest number of classes: a label is a byte.
pub const MAX_CLASSES: usize = 256;

impl Schema {
    /// Returns why no rows can have this schema.
    pub fn problem(&self) -> Option<String> {
        let k = self.classes.len();
        if k > MAX_CLASSES {
            return Some(format!("{}; at most {MAX_CLASSES} are told apart", count(k, "class")));
        }
        if let Some(problem) = self.features.iter().find_map(|name| name_problem(name)) {
            return Some(format!("the name of a feature {problem}"));
        }
        let (mut names, mut classes) = (HashSet::new(), HashSet::new());
        if let Some(twice) = self.features.iter().find(|name| !names.insert(name.as_str())) {
            return Some(format!("two features are called {twice:?}"));
        }
        let twice = self.classes.iter().map(ToString::to_string).find(|class| !classes.insert(class.clone()))?;
        Some(format!("two classes are called {twice:?}"))
    }

    /// Returns the first contradiction between a model's weights and this schema, if there is one.
    pub fn contradiction(
        &self,
        link: impl Into<LinkKind>,
        parameters: &Parameters,
        preprocessing: &Preprocessing,
    ) -> Option<String> {
        let ([height, width], classes, link) = (self.image_size, self.classes.len(), link.into());
        let found = [parameters.n_features, parameters.columns];
        let expected = [link.columns(classes), link.classes(found[1])];
        if height.checked_mul(width) != Some(found[0]) || [found[1], classes] != expected {
            return Some(format!(
                "linear.weight of model.safetensors has the shape {found:?}, but it speaks of images of {height} x {width} and of {classes} classes"
            ));
        }
        let named = if self.kind == DataKind::Table { found[0] } else { 0 };
        if self.features.len() != named {
            return Some(format!("it names {}, not {named}", count(self.features.len(), "feature")));
        }
        if let Some(problem) = self.problem() {
            return Some(problem);
        }
        if let Some(by) = preprocessing.standardization()
            && by.scale.iter().any(|scale| !scale.is_finite() || *scale <= 0.0)
        {
            return Some("features.scale has a number that is not above 0".to_owned());
        }
        let of = preprocessing.standardization().map(Standardization::n_features).filter(|&of| of != found[0]);
        of.map(|of| format!("features.mean has {of} numbers, and linear.weight {} rows", found[0]))
    }
}
