//! Completes the weights of a file to a model, with hints for what the file does not contain.

use chainrule_core::{
    Class, ContentError, DataKind, LinkKind, Parameters, Precision, Preprocessing, Schema, Standardization,
    name_problem, pluralize,
};

use crate::{Layout, Row, WeightHints, Weights};

/// What the file does not contain about its model. Hints are needed only for missing facts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// The layout of the weight matrix, if its shape is ambiguous.
    pub layout: Option<Layout>,
    /// Whether several weight columns are one-vs-rest logistic regressions.
    pub one_vs_rest: bool,
    /// The features that the model was trained on.
    pub trained_on: Option<TrainedOn>,
    /// The class names, in the order of the model's outputs.
    pub classes: Option<Vec<String>>,
    /// The column names of a table, in the order of the features.
    pub columns: Option<Vec<String>>,
    /// The rows and columns of an image. The default is a square.
    pub image_size: Option<[usize; 2]>,
}

/// The features that a model was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrainedOn {
    /// Grey levels from 0 to 255.
    Bytes,
    /// Grey levels from 0 to 1, as torchvision's `ToTensor` makes them.
    Unit,
    /// Grey levels from -1 to 1, as in this project.
    Symmetric,
    /// The numbers of a table, without preprocessing.
    Numbers,
}

/// A model that was trained elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The link that converts logits to probabilities.
    pub link: LinkKind,
    /// The float type of the weights.
    pub precision: Precision,
    /// The features and the classes.
    pub schema: Schema,
    /// The weights.
    pub parameters: Parameters,
    /// The preprocessing of the features.
    pub preprocessing: Preprocessing,
    /// Whether the file has a bias. Otherwise the bias is 0.
    pub has_bias: bool,
    /// The names of the file's other arrays, which are not read.
    pub not_read: Option<String>,
    /// Whether softmax was assumed because neither the file nor the hints specify the link.
    pub assumes_softmax: bool,
}

/// An error of an import. [`Hints`] can add missing facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file is not a weight file, or its parts do not match.
    #[error("{0}")]
    File(String),
    /// [`Hints::layout`] is missing.
    #[error("{0}")]
    Layout(String),
    /// [`Hints::one_vs_rest`] contradicts the file.
    #[error("the file says itself that it is of softmax regression")]
    IsSoftmax,
    /// [`Hints::trained_on`] contradicts the file.
    #[error("the file says itself what its features are made by")]
    SaysFeatures,
    /// [`Hints::trained_on`] is missing.
    #[error("it does not say what its features are made of")]
    NoFeatures,
    /// [`Hints::classes`] is missing.
    #[error("it does not say what its classes are called")]
    NoClasses,
    /// [`Hints::columns`] is missing.
    #[error("it does not say what its {} called", if *.0 == 1 { "one column is".to_owned() } else { format!("{} columns are", .0) })]
    NoColumns(usize),
    /// [`Hints::columns`] or [`Hints::image_size`] is missing.
    #[error("it does not say whether its {0} features are a table's columns or an image's pixels")]
    NoKind(usize),
    /// [`Hints::image_size`] is missing.
    #[error("{0} pixels are no square")]
    NoSquare(usize),
}

impl ImportError {
    /// Returns the field of [`Hints`] that the message is about, if any.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File(_) => None,
            Self::Layout(_) => Some("layout"),
            Self::IsSoftmax => Some("one_vs_rest"),
            Self::SaysFeatures | Self::NoFeatures => Some("trained_on"),
            Self::NoClasses => Some("classes"),
            Self::NoColumns(_) => Some("columns"),
            Self::NoKind(_) => Some("columns or image_size"),
            Self::NoSquare(_) => Some("image_size"),
        }
    }
}

impl From<ContentError> for ImportError {
    fn from(problem: ContentError) -> Self {
        Self::File(problem.to_string())
    }
}

impl From<String> for ImportError {
    fn from(problem: String) -> Self {
        Self::File(problem)
    }
}

impl Model {
    /// Reads a model from a safetensors or npz file with one weight matrix and at most one bias
    /// vector, or from the JSON of [`Format::Json`](crate::Format::Json).
    ///
    /// # Errors
    /// Fails if the file is none of these, or if the file and the hints together are incomplete.
    pub fn read(bytes: &[u8], hints: &Hints) -> Result<Self, ImportError> {
        let weights = Weights::read(bytes, hints.layout)?;
        let Weights { mut parameters, has_bias, precision, about } = weights;
        let link = link(hints, &about, parameters.columns)?;
        let preprocessing = preprocessing(hints, &about, &mut parameters)?;
        let schema = schema(hints, &about, link, &preprocessing, parameters.n_features)?;
        let (columns, named) = (parameters.columns, schema.classes.len());
        if link.columns(named) != columns || link.classes(columns) != named {
            return Err(ImportError::File(format!(
                "it has weights of {}, and names of {named}",
                pluralize(columns, "class")
            )));
        }
        let assumes_softmax = about.link.is_none() && link == LinkKind::Softmax;
        let not_read = about.not_read;
        Ok(Self { link, precision, schema, parameters, preprocessing, has_bias, not_read, assumes_softmax })
    }
}

/// Returns the model's link. A single weight column always means two classes.
fn link(hints: &Hints, about: &WeightHints, columns: usize) -> Result<LinkKind, ImportError> {
    match (about.link, hints.one_vs_rest) {
        (Some(LinkKind::Softmax), true) => Err(ImportError::IsSoftmax),
        (Some(link), _) => Ok(link),
        (None, _) if columns == 1 => Ok(LinkKind::Logistic),
        (None, true) => Ok(LinkKind::OneVsRest),
        (None, false) => Ok(LinkKind::Softmax),
    }
}

/// Returns the preprocessing, and converts weights for another pixel range to this project's range.
///
/// `w_j x_j` is the same for `x_j = (p - mean) / scale` and for `p / 127.5 - 1` with the weight
/// `w_j 127.5 / scale` and a bias that is larger by `w_j (127.5 - mean) / scale`.
fn preprocessing(
    hints: &Hints,
    about: &WeightHints,
    parameters: &mut Parameters,
) -> Result<Preprocessing, ImportError> {
    let d = parameters.n_features;
    if let Some([mean, scale]) = &about.mean_and_scale {
        if hints.trained_on.is_some() {
            return Err(ImportError::SaysFeatures);
        }
        let all = |number: f64| mean.iter().chain(scale).all(|&x| x == number);
        let is_raw = mean.iter().all(|&mean| mean == 0.0) && scale.iter().all(|&scale| scale == 1.0);
        return Ok(match (all(127.5), is_raw) {
            (true, _) => Preprocessing::Pixels,
            (_, true) => Preprocessing::Raw,
            _ => Preprocessing::Standardized(Standardization { mean: mean.clone(), scale: scale.clone() }),
        });
    }
    let (mean, scale) = match hints.trained_on.ok_or(ImportError::NoFeatures)? {
        TrainedOn::Numbers => return Ok(Preprocessing::Raw),
        TrainedOn::Symmetric => return Ok(Preprocessing::Pixels),
        TrainedOn::Unit => (0.0, 255.0),
        TrainedOn::Bytes => (0.0, 1.0),
    };
    let k = parameters.columns;
    for j in 0..d {
        for class in 0..k {
            let weight = &mut parameters.weight[j * k + class];
            parameters.bias[class] += *weight * ((127.5 - mean) / scale);
            *weight *= 127.5 / scale;
        }
    }
    Ok(Preprocessing::Pixels)
}

fn schema(
    hints: &Hints,
    about: &WeightHints,
    link: LinkKind,
    preprocessing: &Preprocessing,
    d: usize,
) -> Result<Schema, ImportError> {
    let names = match hints.classes.as_ref().or(about.classes.as_ref()) {
        Some(names) => names.clone(),
        None if link == LinkKind::Logistic => vec!["0".to_owned(), "1".to_owned()],
        None => return Err(ImportError::NoClasses),
    };
    let classes = |kind| Class::from_names(kind, &names);
    let is_table = hints.columns.is_some()
        || matches!(about.row, Some(Row::Numbers { .. }))
        || (hints.image_size.is_none() && about.row.is_none() && *preprocessing == Preprocessing::Raw);
    if is_table {
        let column_names = match &about.row {
            Some(Row::Numbers { names }) => Some(names.clone()),
            _ => None,
        };
        let features = hints.columns.clone().or(column_names).ok_or(ImportError::NoColumns(d))?;
        if features.len() != d {
            let problem =
                format!("it has {}, and names of {}", pluralize(d, "feature"), pluralize(features.len(), "column"));
            return Err(problem.into());
        }
        // Names of the user are those of features, and no longer those of a file's columns.
        let recipe = about.recipe.clone().filter(|_| hints.columns.is_none());
        if let Some(recipe) = recipe {
            let classes = classes(DataKind::Table)?;
            let schema = Schema { kind: DataKind::Table, image_size: [1, d], features, recipe: Some(recipe), classes };
            return schema.problem().map_or(Ok(schema), |problem| Err(problem.into()));
        }
        if let Some(problem) = features.iter().find_map(|name| name_problem(name)) {
            return Err(format!("the name of a column {problem}").into());
        }
        if let Some(duplicate) =
            features.iter().enumerate().find_map(|(i, name)| features[..i].contains(name).then_some(name))
        {
            return Err(format!("two columns are called {duplicate:?}, and columns are found by their names").into());
        }
        let kind = DataKind::Table;
        return Ok(Schema { kind, image_size: [1, d], features, recipe: None, classes: classes(kind)? });
    }
    let side = d.isqrt();
    let image_size = match (hints.image_size, &about.row) {
        (Some(size), _) => size,
        (None, Some(Row::Image { height, width } | Row::Picture { height, width })) => [*height, *width],
        (None, _) if matches!(preprocessing, Preprocessing::Standardized(_)) => return Err(ImportError::NoKind(d)),
        (None, _) if side * side == d => [side, side],
        (None, _) => return Err(ImportError::NoSquare(d)),
    };
    if image_size[0].checked_mul(image_size[1]) != Some(d) {
        let [height, width] = image_size;
        return Err(format!("it has {}, and an image of {height} x {width} has others", pluralize(d, "feature")).into());
    }
    let kind = if matches!(about.row, Some(Row::Picture { .. })) { DataKind::Pictures } else { DataKind::Images };
    Ok(Schema { kind, image_size, features: Vec::new(), recipe: None, classes: classes(kind)? })
}
