//! What a file of weights comes to as a model, with what it does not say itself.

use chainrule_core::{
    Class, ContentError, DataKind, LinkKind, Parameters, Precision, Preprocessing, Schema, Standardization, count,
    name_problem,
};

use crate::{Layout, Row, WeightHints, Weights};

/// What the file does not say of its model. What it says itself need not be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// Which way the matrix of weights lies, where its shape does not tell.
    pub layout: Option<Layout>,
    /// Several columns of weights are as many logistic regressions, each of a class against the
    /// rest.
    pub one_vs_rest: bool,
    /// What the model was trained on.
    pub trained_on: Option<TrainedOn>,
    /// What the classes are called, in the order of the model's outputs.
    pub classes: Option<Vec<String>>,
    /// What the columns of a table are called, in the order of the features.
    pub columns: Option<Vec<String>>,
    /// Rows and columns of an image; a square where nothing says.
    pub image_size: Option<[usize; 2]>,
}

/// What a model was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrainedOn {
    /// Grey levels as they are, 0 to 255.
    Bytes,
    /// Grey levels from 0 to 1, as torchvision's `ToTensor` makes them.
    Unit,
    /// Grey levels from -1 to 1, as this project makes them.
    Symmetric,
    /// The numbers of a table, as they are.
    Numbers,
}

/// A model that was trained elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// How its logits become probabilities.
    pub link: LinkKind,
    /// The float type of the weights.
    pub precision: Precision,
    /// What it takes and what it tells apart.
    pub schema: Schema,
    /// The weights.
    pub parameters: Parameters,
    /// What its features are made by.
    pub preprocessing: Preprocessing,
    /// Whether the file has a bias; else it is taken for 0.
    pub has_bias: bool,
    /// The names of the file's other arrays, of which nothing is taken.
    pub not_read: Option<String>,
    /// Whether nothing says how logits become probabilities, so that it is taken for softmax
    /// regression's.
    pub is_taken_for_softmax: bool,
}

/// Why a file gives no model. What is missing, [`Hints`] say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is no such file, or two things in it do not fit each other.
    #[error("{0}")]
    File(String),
    /// [`Hints::layout`] is missing.
    #[error("{0}")]
    Layout(String),
    /// [`Hints::one_vs_rest`] is against what the file says.
    #[error("the file says itself that it is of softmax regression")]
    IsSoftmax,
    /// [`Hints::trained_on`] is against what the file says.
    #[error("the file says itself what its features are made by")]
    SaysFeatures,
    /// [`Hints::trained_on`] is missing.
    #[error("it does not say what its features are made of")]
    NoFeatures,
    /// [`Hints::classes`] are missing.
    #[error("it does not say what its classes are called")]
    NoClasses,
    /// [`Hints::columns`] are missing.
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
    /// The field of [`Hints`] that the sentence is about, where there is one.
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
    /// Reads a safetensors or npz file of one matrix of weights and one vector of biases, or the
    /// JSON of [`Format::Json`](crate::Format::Json).
    ///
    /// # Errors
    /// Where it is none of these, and where neither it nor the hints say what one must know.
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
                count(columns, "class")
            )));
        }
        let is_taken_for_softmax = about.link.is_none() && link == LinkKind::Softmax;
        let not_read = about.not_read;
        Ok(Self { link, precision, schema, parameters, preprocessing, has_bias, not_read, is_taken_for_softmax })
    }
}

/// How its logits become probabilities. One column of weights is two classes' in any case.
fn link(hints: &Hints, about: &WeightHints, columns: usize) -> Result<LinkKind, ImportError> {
    match (about.link, hints.one_vs_rest) {
        (Some(LinkKind::Softmax), true) => Err(ImportError::IsSoftmax),
        (Some(link), _) => Ok(link),
        (None, _) if columns == 1 => Ok(LinkKind::Logistic),
        (None, true) => Ok(LinkKind::OneVsRest),
        (None, false) => Ok(LinkKind::Softmax),
    }
}

/// What is done to a row. Weights for pixels of another range become weights for ours: `w_j x_j` is
/// the same for `x_j = (p - mean) / scale` and for
/// `p / 127.5 - 1` with `w_j 127.5 / scale`, and a bias that is larger by
/// `w_j (127.5 - mean) / scale`.
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
    by: &Preprocessing,
    d: usize,
) -> Result<Schema, ImportError> {
    let names = match hints.classes.as_ref().or(about.classes.as_ref()) {
        Some(names) => names.clone(),
        None if link == LinkKind::Logistic => vec!["0".to_owned(), "1".to_owned()],
        None => return Err(ImportError::NoClasses),
    };
    let classes = |kind| Class::all_of(kind, &names);
    let is_table = hints.columns.is_some()
        || matches!(about.row, Some(Row::Numbers { .. }))
        || (hints.image_size.is_none() && about.row.is_none() && *by == Preprocessing::Raw);
    if is_table {
        let known = match &about.row {
            Some(Row::Numbers { names }) => Some(names.clone()),
            _ => None,
        };
        let features = hints.columns.clone().or(known).ok_or(ImportError::NoColumns(d))?;
        if features.len() != d {
            let problem = format!("it has {}, and names of {}", count(d, "feature"), count(features.len(), "column"));
            return Err(problem.into());
        }
        if let Some(problem) = features.iter().find_map(|name| name_problem(name)) {
            return Err(format!("the name of a column {problem}").into());
        }
        if let Some(twice) =
            features.iter().enumerate().find_map(|(i, name)| features[..i].contains(name).then_some(name))
        {
            return Err(format!("two columns are called {twice:?}, and columns are found by their names").into());
        }
        let kind = DataKind::Table;
        return Ok(Schema { kind, image_size: [1, d], features, classes: classes(kind)? });
    }
    let side = d.isqrt();
    let image_size = match (hints.image_size, &about.row) {
        (Some(size), _) => size,
        (None, Some(Row::Image { height, width } | Row::Picture { height, width })) => [*height, *width],
        (None, _) if matches!(by, Preprocessing::Standardized(_)) => return Err(ImportError::NoKind(d)),
        (None, _) if side * side == d => [side, side],
        (None, _) => return Err(ImportError::NoSquare(d)),
    };
    if image_size[0].checked_mul(image_size[1]) != Some(d) {
        let [height, width] = image_size;
        return Err(format!("it has {}, and an image of {height} x {width} has others", count(d, "feature")).into());
    }
    let kind = if matches!(about.row, Some(Row::Picture { .. })) { DataKind::Pictures } else { DataKind::Images };
    Ok(Schema { kind, image_size, features: Vec::new(), classes: classes(kind)? })
}
