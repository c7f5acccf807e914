use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::class::name_problem;
use crate::text::pluralize;
use crate::{Class, LinkKind, Parameters, Preprocessing, Recipe, Standardization};

/// The kind of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// Images from IDX files, or digits drawn by code: light ink on a background of 0.
    #[default]
    Images,
    /// Pictures of any kind, one folder per class, converted to grey and scaled.
    Pictures,
    /// A table of numbers.
    Table,
}

/// The inputs and classes of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The kind of data that the rows come from.
    #[serde(default)]
    pub kind: DataKind,
    /// Height and width of an image in pixels. The features are its pixels, row by row. The
    /// size of a table's row is 1 x d.
    pub image_size: [usize; 2],
    /// The names of the features, for a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// How the columns of a table became these features. Without it each feature is a column of
    /// numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// The classes as the data names them, in the order of the model's outputs. The logistic model
    /// lists its negative class first.
    pub classes: Vec<Class>,
}

/// The maximum number of classes, because a label is a `u16`.
pub const MAX_CLASSES: usize = 65_535;

impl Schema {
    /// Returns the first error in this schema, if there is one.
    pub fn problem(&self) -> Option<String> {
        let k = self.classes.len();
        if k > MAX_CLASSES {
            return Some(format!("{}; at most {MAX_CLASSES} are supported", pluralize(k, "class")));
        }
        if let Some(recipe) = &self.recipe {
            if recipe.feature_names() != self.features {
                return Some("its features are not those of its recipe".to_owned());
            }
            if let Some(problem) = recipe.problem() {
                return Some(problem);
            }
        }
        // The name of a level's feature may be long.
        let columns = self.recipe.as_ref().map(Recipe::column_names);
        if let Some(problem) = columns.as_ref().unwrap_or(&self.features).iter().find_map(|name| name_problem(name)) {
            return Some(format!("the name of a feature {problem}"));
        }
        let (mut names, mut classes) = (HashSet::new(), HashSet::new());
        if let Some(duplicate) = self.features.iter().find(|name| !names.insert(name.as_str())) {
            return Some(format!("two features are called {duplicate:?}"));
        }
        let duplicate = self.classes.iter().map(ToString::to_string).find(|class| !classes.insert(class.clone()))?;
        Some(format!("two classes are called {duplicate:?}"))
    }

    /// Returns how the columns of a table become features: the recipe, or numbers in columns.
    pub fn recipe_of_columns(&self) -> Recipe {
        self.recipe.clone().unwrap_or_else(|| Recipe::of_numbers(&self.features))
    }

    /// Returns the first contradiction between a model's weights and this schema, if there is one.
    pub fn contradiction(
        &self,
        link: impl Into<LinkKind>,
        parameters: &Parameters,
        preprocessing: &Preprocessing,
    ) -> Option<String> {
        let ([height, width], classes, link) = (self.image_size, self.classes.len(), link.into());
        let shape @ [d, k] = [parameters.n_features, parameters.columns];
        let expected = [link.columns(classes), link.classes(k)];
        if height.checked_mul(width) != Some(d) || [k, classes] != expected {
            return Some(format!(
                "linear.weight of model.safetensors has the shape {shape:?}, but it describes images of {height} x {width} and {classes} classes"
            ));
        }
        let n_names = if self.kind == DataKind::Table { d } else { 0 };
        if self.features.len() != n_names {
            return Some(format!("it names {}, not {n_names}", pluralize(self.features.len(), "feature")));
        }
        if let Some(problem) = self.problem() {
            return Some(problem);
        }
        if let Some(standardization) = preprocessing.standardization()
            && standardization.scale.iter().any(|scale| !scale.is_finite() || *scale <= 0.0)
        {
            return Some("features.scale has a number that is not positive".to_owned());
        }
        let n_means = preprocessing.standardization().map(Standardization::n_features).filter(|&n| n != d);
        n_means.map(|n| format!("features.mean has {n} numbers, but linear.weight has {d} rows"))
    }
}
