use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use chainrule_core::{
    Certificate, Class, ContentError, DataKind, History, Identification, LinkKind, Parameters, Precision,
    Preprocessing, Schema, TextOptions, TrainConfig, WeightNorms, pluralize,
};
use chainrule_data::{PictureMode, Provenance, Rows, Unseen, input_files};
use chainrule_evaluate::{PredictedRows, Tally, log_odds};
use chainrule_formats::{Format, Hints, Model, Portable, Row};
use chainrule_records::{Destination, Imported, SavedModel, read_whole};
use chainrule_solve::{
    Ending, Metrics, ModelSummary, Prediction, Predictions, Predictor, RawRowPredictor, RowPrediction, Score,
    SummaryError, SummaryModel, SummaryOptions, TrainingStatistics, summarize,
};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::machine::all_threads;
use crate::samples::{Label, Samples, column_names, numbered_columns};
use crate::{Error, SamplesError};

/// The number of rows per chunk of a prediction.
const ROWS_AT_ONCE: usize = 1 << 10;

/// A trained model, from [`Estimator::fit`](crate::Estimator::fit), [`Fitted::load`],
/// [`Fitted::import`] or [`Fitted::of_weights`].
///
/// It predicts in f64 on the CPU. It takes rows as stored in the data and does the preprocessing
/// itself.
///
/// It predicts labels of type `L`, the label type of its training samples. A model read from a file
/// predicts [`Class`]es. Serde serialises a model as one
/// value, in self-describing formats such as JSON.
#[derive(Clone, Debug)]
pub struct Fitted<L = Class> {
    /// The labels, in the order of the schema's classes.
    labels: Vec<L>,
    link: LinkKind,
    precision: Precision,
    schema: Schema,
    parameters: Parameters,
    weight_norm: WeightNorms,
    predictor: Predictor,
    /// Made when it is first asked for.
    raw_predictor: OnceLock<Box<RawRowPredictor>>,
    /// How the text of a table is read.
    text: TextOptions,
    training: Option<(Training, Provenance)>,
}

/// How a model was trained.
#[derive(Clone, Debug)]
pub struct Training {
    /// Every setting.
    pub config: TrainConfig,
    /// The loss of every step, and every evaluation.
    pub history: History,
    /// How the training ended.
    pub ending: Ending,
    /// The number of updates.
    pub steps: usize,
    /// Step and validation loss of the best evaluation, if there was one.
    pub best: Option<(usize, f64)>,
    /// Loss and accuracy on the training samples.
    pub train: Metrics,
    /// Loss and accuracy on the validation samples, if there were any.
    pub validation: Option<Metrics>,
    /// The certificate of a model that was fitted [to the
    /// minimum](crate::Estimator::to_the_minimum): a proven bound on its distance to the minimum.
    pub certificate: Option<Certificate>,
    /// What makes the minimum unique, if it was searched [without a
    /// penalty](crate::Estimator::l2): which weights were fixed at 0. If the classes are separated,
    /// the features that separate them. [`Identification::sentences`] says it in words.
    pub identification: Option<Identification<String, Class>>,
}

/// The predictions for the rows of a file.
#[derive(Clone, Debug)]
pub struct FilePredictions {
    /// One prediction per row.
    pub predictions: Vec<Prediction>,
    /// What is unusual in the file, one sentence each. See [`Fitted::notes`].
    pub notes: Vec<String>,
}

impl<L> Fitted<L> {
    pub(crate) fn new(
        link: LinkKind,
        precision: Precision,
        schema: Schema,
        labels: Vec<L>,
        parameters: Parameters,
        preprocessing: Preprocessing,
        weight_norm: WeightNorms,
    ) -> Result<Self, Error> {
        if let Some(problem) = schema.problem() {
            return Err(Error::Model(problem));
        }
        let predictor = Predictor::new(link, parameters.clone(), preprocessing)
            .map_err(|problem| Error::Model(problem.to_string()))?;
        Ok(Self {
            labels,
            link,
            precision,
            schema,
            parameters,
            weight_norm,
            predictor,
            raw_predictor: OnceLock::new(),
            text: TextOptions::default(),
            training: None,
        })
    }

    pub(crate) fn with_training(self, training: Training, source: Provenance) -> Self {
        Self { training: Some((training, source)), ..self }
    }

    /// Removes the validation results of a training that had no real validation set.
    pub(crate) fn without_validation(mut self) -> Self {
        if let Some((training, _)) = &mut self.training {
            (training.validation, training.best) = (None, None);
            training.history.evaluations.clear();
        }
        self
    }

    /// Returns the predictor. It predicts single rows without allocation, and rows in memory, from
    /// any number of threads. It also explains logits.
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// Says how [`predict_rows`](Self::predict_rows) and [`predict_file`](Self::predict_file) read
    /// the text of a table: separator, decimal mark, encoding and header, which are otherwise
    /// recognised. A run's settings of these (`data.decimal`, …) do not belong to its model.
    #[must_use]
    pub fn with_text_options(self, text: TextOptions) -> Self {
        Self { text, ..self }
    }

    pub(crate) fn text_options(&self) -> TextOptions {
        self.text
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn kind(&self) -> LinkKind {
        self.link
    }
}

impl Fitted {
    /// Reads a model from a run folder, from an imported model's folder, or from a folder that
    /// [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// Returns an error if the folder does not hold a complete model.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let SavedModel { link, precision, schema, parameters, preprocessing, weight_norm } =
            SavedModel::read(folder.as_ref())?;
        Self::of_schema(link, precision, schema, parameters, preprocessing, weight_norm).map_err(|error| match error {
            Error::Model(problem) => {
                Error::Model(format!("{}: {problem}", folder.as_ref().join("model.safetensors").display()))
            }
            other => other,
        })
    }

    /// Reads a model file of another tool: safetensors (PyTorch's state dict of an `nn.Linear`),
    /// npz (scikit-learn's arrays), or JSON that [`export`](Self::export) wrote. The `hints` supply
    /// what the file does not contain.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, has another format or more than 1 GiB, or if
    /// required information is in neither the file nor the hints.
    pub fn import(file: impl AsRef<Path>, hints: &Hints) -> Result<Self, Error> {
        let file = file.as_ref();
        let wrong = |problem: String| Error::Model(format!("{}: {problem}", file.display()));
        let bytes = read_whole(file, 1 << 30).map_err(|problem| wrong(problem.to_string()))?;
        Self::from_bytes(&bytes, hints).map_err(|error| match error {
            Error::Import(error) => Error::ImportFile { file: file.to_owned(), error },
            Error::Model(problem) => wrong(problem),
            other => other,
        })
    }

    /// Like [`import`](Self::import), from the file's bytes.
    ///
    /// # Errors
    /// As [`import`](Self::import).
    pub fn from_bytes(bytes: &[u8], hints: &Hints) -> Result<Self, Error> {
        let Model { link, precision, schema, parameters, preprocessing, .. } =
            Model::read(bytes, hints).map_err(Error::Import)?;
        let norm = WeightNorms::of(&parameters).ok_or_else(overflow)?;
        Self::of_schema(link, precision, schema, parameters, preprocessing, norm)
    }

    fn of_schema(
        link: LinkKind,
        precision: Precision,
        schema: Schema,
        parameters: Parameters,
        preprocessing: Preprocessing,
        norm: WeightNorms,
    ) -> Result<Self, Error> {
        let labels = schema.classes.clone();
        Self::new(link, precision, schema, labels, parameters, preprocessing, norm)
    }
}

impl<L: Label> Fitted<L> {
    /// Creates a model from its weights `[d, k]`, row-major, its bias `[k]` and its classes. The
    /// logistic model has two classes, with the positive class last. The model takes a table with
    /// the columns x1, x2, … unless [`with_columns`](Self::with_columns) renames them.
    ///
    /// ```
    /// # fn main() -> Result<(), chainrule::Error> {
    /// use chainrule::core::{LinkKind, Parameters};
    /// use chainrule::{Fitted, Samples};
    ///
    /// let (weight, bias) = (vec![1.5, -0.5], vec![0.25]);
    /// let weights = Parameters { n_features: 2, columns: 1, weight, bias };
    /// let fitted = Fitted::of_weights(LinkKind::Logistic, weights, &[false, true])?;
    /// assert_eq!(fitted.predict(&Samples::rows([[1.0, 0.0], [0.0, 4.0]])?)?, [true, false]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error if the number of weights is wrong, if a weight is not finite, or if a class
    /// name is invalid.
    pub fn of_weights(link: LinkKind, parameters: Parameters, classes: &[L]) -> Result<Self, Error> {
        let names: Vec<String> = classes.iter().map(ToString::to_string).collect();
        let d = parameters.n_features;
        let columns = link.columns(classes.len());
        if classes.len() != link.classes(columns) || !parameters.has_shape([d, columns]) {
            return Err(Error::Model(format!(
                "{} and {}; {classes} take {d} x {columns} and {columns}",
                pluralize(parameters.weight.len(), "weight"),
                pluralize(parameters.bias.len(), "bias number"),
                classes = pluralize(classes.len(), "class"),
            )));
        }
        let schema = Schema {
            kind: DataKind::Table,
            image_size: [1, d],
            features: numbered_columns(d),
            recipe: None,
            classes: Class::from_names(DataKind::Table, &names).map_err(SamplesError::ClassNames)?,
        };
        let norm = WeightNorms::of(&parameters).ok_or_else(overflow)?;
        Self::new(link, Precision::F64, schema, classes.to_vec(), parameters, Preprocessing::Raw, norm)
    }

    /// Renames the columns that the model looks for in samples.
    ///
    /// # Errors
    /// As [`Samples::with_columns`].
    pub fn with_columns<N: ToString>(mut self, names: &[N]) -> Result<Self, Error> {
        self.schema.features = column_names(&self.schema, names)?;
        // The names are those of features now, and no longer those of a file's columns.
        self.schema.recipe = None;
        self.raw_predictor = OnceLock::new();
        Ok(self)
    }

    /// Writes the model to a new folder. [`load`](Self::load) reads it, and so do the program's
    /// commands `evaluate`, `predict`, `inspect`, `page` and `export`. A file is written completely
    /// or not at all.
    ///
    /// # Errors
    /// Returns an error if the path exists, or if the folder cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), Error> {
        let imported = Imported {
            model: self.link,
            precision: self.precision,
            data: self.schema.clone(),
            weight_norm: self.weight_norm,
            from: None,
            trained_on: self.training.as_ref().map(|(_, source)| source.as_file()),
            files: BTreeMap::new(),
        };
        Ok(imported.write(folder.as_ref(), false, &self.parameters, self.predictor.preprocessing())?)
    }

    /// Writes the model for another tool. The file extension selects the format: `.safetensors` for
    /// PyTorch, `.npz` for NumPy and scikit-learn, `.onnx` for onnxruntime, `.json` for any reader
    /// of JSON. An existing file is replaced and its mode is kept. The file is written completely
    /// or not at all.
    ///
    /// # Errors
    /// Returns an error if the extension is unknown, if the format cannot hold the model, or if the
    /// file cannot be written.
    pub fn export(&self, file: impl AsRef<Path>) -> Result<(), Error> {
        let file = file.as_ref();
        let format = Format::of_file(file).map_err(|unknown| Error::Model(format!("{}: {unknown}", file.display())))?;
        let portable = self.to_portable();
        if let Some(problem) = portable.problem(format) {
            return Err(Error::Model(format!("{}: {problem}", file.display())));
        }
        Ok(Destination::new(file, true)?.write(&portable.to_bytes(format))?)
    }

    /// Returns the bytes of an exported file.
    pub fn to_bytes(&self, format: Format) -> Vec<u8> {
        self.to_portable().to_bytes(format)
    }

    fn to_portable(&self) -> Portable {
        let of_training = self.training.iter().flat_map(|(training, source)| {
            let accuracy = training.validation.map(|validation| validation.accuracy.to_string());
            let data = [("data", source.name.clone()), ("data_sha256", source.sha256())];
            data.into_iter().chain(accuracy.map(|accuracy| ("validation_accuracy", accuracy)))
        });
        let program = ("program", format!("chainrule {}", env!("CARGO_PKG_VERSION")));
        let about = of_training.chain([program]).map(|(key, value)| (key.to_owned(), value)).collect();
        Portable {
            link: self.link,
            classes: self.schema.classes.iter().map(ToString::to_string).collect(),
            parameters: self.parameters.clone(),
            precision: self.precision,
            preprocessing: self.predictor.preprocessing().clone(),
            row: Row::from(&self.schema),
            recipe: self.schema.recipe.clone(),
            about,
        }
    }

    /// Returns the most probable class of each row. Columns are found by name. The samples' own
    /// labels are ignored.
    ///
    /// # Errors
    /// Returns an error if a column is missing, if one is images and the other a table, or if image
    /// sizes differ.
    pub fn predict<M: Clone>(&self, samples: &Samples<M>) -> Result<Vec<L>, Error> {
        let rows = samples.rows_aligned_to(&self.schema)?;
        self.map_predictions(&rows, |_, prediction| self.labels[prediction.class].clone())
    }

    /// Returns the class probabilities of each row, `[n][k]`, in the order of
    /// [`classes`](Self::classes).
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_proba<M: Clone>(&self, samples: &Samples<M>) -> Result<Vec<Vec<f64>>, Error> {
        let rows = samples.rows_aligned_to(&self.schema)?;
        self.map_predictions(&rows, |_, prediction| prediction.probabilities())
    }

    /// Returns the prediction for each row of a file without labels. The file is one of these:
    ///
    /// - a table in any format of [`READERS`](chainrule_data::readers::READERS), plain or
    ///   compressed, with the model's columns in any order and possibly others
    /// - an IDX file of images
    /// - a picture of any size, which is converted like the training pictures
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, has another format or has a format of images
    /// and more than 1 GiB. Returns an error with line and column if a column is missing or a value
    /// is not a number; [`predict_rows`](Self::predict_rows) answers the other rows.
    pub fn predict_file(&self, path: impl AsRef<Path>) -> Result<FilePredictions, Error> {
        let path = path.as_ref();
        // The program reads `-` as standard input. Here it is a file name.
        let file = Path::new(".").join(path);
        let wrong = |problem| SamplesError::File { file: file.clone(), problem };
        if self.schema.kind == DataKind::Table {
            let mut rows = self.predict_rows(path, &[])?;
            let mut predictions = Vec::new();
            for answers in &mut rows {
                let answers = answers?;
                if let Some(problem) = answers.batch().sentences().next() {
                    return Err(wrong(ContentError::new(problem)).into());
                }
                predictions.extend(answers.iter().filter_map(|answer| Some(answer.prediction.ok()?.into())));
            }
            return Ok(FilePredictions { predictions, notes: rows.notes() });
        }
        let images =
            input_files::read(&file, self.schema.image_size, PictureMode::of(self.schema.kind)).map_err(wrong)?;
        let predictions = images.iter().map(|image| Ok(self.predictor.predict(&image.pixels)?));
        Ok(FilePredictions { predictions: predictions.collect::<Result<_, Error>>()?, notes: Vec::new() })
    }

    /// Returns what is unusual in these rows for the model, one sentence each: levels and missing
    /// values that no training row has. They are predicted all the same.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn notes<M: Clone>(&self, samples: &Samples<M>) -> Result<Vec<String>, Error> {
        let (_, unseen) = samples.encoded_for(&self.schema)?;
        Ok(unseen.iter().filter_map(Unseen::message).collect())
    }

    /// Returns the accuracy: the fraction of rows that are classified correctly.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn score<M: Label>(&self, samples: &Samples<M>) -> Result<f64, Error> {
        Ok(self.evaluate(samples)?.accuracy)
    }

    /// Returns the mean cross-entropy in nats and the accuracy.
    ///
    /// # Errors
    /// As [`predict`](Self::predict). Also returns an error if there is no row, or if a row's class
    /// is unknown to the model.
    pub fn evaluate<M: Label>(&self, samples: &Samples<M>) -> Result<Metrics, Error> {
        let rows = samples.aligned_to(&self.schema)?;
        let mut tally = Tally::new(self.schema.classes.len(), 0);
        self.map_predictions(&rows, |row, prediction| {
            let label = rows.label(row).into();
            let Score { confidence, cross_entropy } = prediction.score(label);
            tally.add(row, label, prediction.class, confidence, cross_entropy);
        })?;
        match tally.scores() {
            Some(scores) => Ok(Metrics { loss: scores.loss, accuracy: scores.accuracy }),
            None => Err(SamplesError::NoEvaluationRow.into()),
        }
    }

    /// Predicts labelled rows for metrics that need all of them at once, such as the area under the
    /// ROC curve, and for paired tests of two models: [`PredictedRows::details`] and
    /// [`PredictedRows::compare`].
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate), but there may be no row.
    pub fn predicted_rows<M: Label>(&self, samples: &Samples<M>) -> Result<PredictedRows, Error> {
        let rows = samples.aligned_to(&self.schema)?;
        let k = self.schema.classes.len();
        let (mut predicted, mut odds) = (PredictedRows::new(k), vec![0.0; k]);
        self.map_predictions(&rows, |row, prediction| {
            let label = rows.label(row).into();
            log_odds(prediction.logits, &mut odds);
            predicted.add(label, prediction.class, prediction.score(label).cross_entropy, &odds);
        })?;
        Ok(predicted)
    }

    /// Returns the coefficients with their standard errors, tests, intervals and odds ratios, and
    /// how well the model fits. `samples` are those that it was fitted to, with their weights.
    /// Without a penalty they are maximum likelihood's, with one a Laplace posterior: see
    /// [`summarize`].
    ///
    /// ```
    /// use chainrule::solve::SummaryOptions;
    /// use chainrule::{Estimator, Samples};
    ///
    /// let hours = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0];
    /// let passed = [false, false, true, false, false, true, false, true, true, true];
    /// let rows = hours.map(|hours| [hours]);
    /// let samples = Samples::from_rows(&rows, &passed)?.with_columns(&["hours"])?;
    /// let fitted = Estimator::logistic().standardize().to_the_minimum().l2(0.0).fit(&samples)?;
    /// let summary = fitted.summary(&samples, &SummaryOptions::default())?;
    /// let hours = &summary.coefficients[0];
    /// assert_eq!(hours.feature.as_deref(), Some("hours"));
    /// // statsmodels' Logit says the same.
    /// assert!(hours.p_value.is_some_and(|p| (p - 0.105_801_86).abs() < 1e-7));
    /// # Ok::<(), chainrule::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model was not fitted here, if the samples do not determine the coefficients, or if
    /// the fit did not reach the minimum.
    pub fn summary<M: Label>(&self, samples: &Samples<M>, options: &SummaryOptions) -> Result<ModelSummary, Error> {
        let Some((Training { config, identification, .. }, _)) = &self.training else {
            return Err(Error::Model(
                "a model that was not fitted here has no training; a summary needs its settings".to_owned(),
            ));
        };
        if let Some(separated) = identification.as_ref().filter(|found| !found.separating.is_empty()) {
            return Err(SummaryError::Separated { features: separated.separating.clone() }.into());
        }
        let rows = samples.aligned_to(&self.schema)?;
        let class_weights = TrainingStatistics::of(config, &rows, &self.schema)?.class_weights;
        let model = SummaryModel {
            config,
            parameters: &self.parameters,
            preprocessing: self.predictor.preprocessing(),
            features: &self.schema.features,
            classes: &self.schema.classes,
            class_weights: class_weights.as_deref(),
        };
        Ok(summarize(&model, &rows, options, all_threads())?)
    }

    /// Returns the result of `map` for each row's prediction.
    fn map_predictions<T>(&self, rows: &Rows, mut map: impl FnMut(usize, RowPrediction) -> T) -> Result<Vec<T>, Error> {
        let (mut of_rows, mut predictions) = (self.predictor.of_rows(rows)?, Predictions::default());
        let mut all = Vec::with_capacity(rows.len());
        for first in (0..rows.len()).step_by(ROWS_AT_ONCE) {
            of_rows.predict(first..rows.len().min(first + ROWS_AT_ONCE), &mut predictions)?;
            all.extend((first..).zip(predictions.iter()).map(|(row, prediction)| map(row, prediction)));
        }
        Ok(all)
    }

    /// Returns the labels of the classes, in the order of the probabilities.
    pub fn classes(&self) -> &[L] {
        &self.labels
    }

    /// Returns the column names of a table model, in the order of the weights.
    pub fn columns(&self) -> &[String] {
        &self.schema.features
    }

    /// Returns weights `[d, k]` and bias `[k]`. For the logistic model, `k = 1`.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns the predictor of raw rows of a table: structs and maps that have a number, a text or
    /// nothing for each column. A row has the same bits as in a file with the same values.
    ///
    /// The first call prepares the predictor; a service makes it before it answers.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use chainrule::core::{LinkKind, Parameters};
    /// use chainrule::Fitted;
    ///
    /// #[derive(serde::Serialize)]
    /// struct Flower {
    ///     width: f64,
    ///     length: f64,
    /// }
    ///
    /// let (weight, bias) = (vec![1.5, -0.5], vec![0.25]);
    /// let weights = Parameters { n_features: 2, columns: 1, weight, bias };
    /// let fitted = Fitted::of_weights(LinkKind::Logistic, weights, &["iris", "rose"])?;
    /// let fitted = fitted.with_columns(&["length", "width"])?;
    /// let row = fitted.raw_predictor()?.predict(&Flower { width: 4.0, length: 1.0 })?;
    /// assert_eq!(fitted.classes()[row.prediction.class], "iris");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error if the model takes images. Their bytes are predicted by
    /// [`predictor`](Self::predictor).
    pub fn raw_predictor(&self) -> Result<&RawRowPredictor, Error> {
        if let Some(predictor) = self.raw_predictor.get() {
            return Ok(predictor);
        }
        if self.schema.kind != DataKind::Table {
            let problem = "the model takes images, which have no columns; Fitted::predictor predicts their bytes";
            return Err(Error::Model(problem.to_owned()));
        }
        let predictor = RawRowPredictor::new(self.predictor.clone(), &self.schema.recipe_of_columns())?;
        Ok(self.raw_predictor.get_or_init(|| Box::new(predictor)))
    }

    /// Returns how the model was trained. `None` if it was [loaded](Self::load), imported or made
    /// from weights.
    pub fn training(&self) -> Option<&Training> {
        self.training.as_ref().map(|(training, _)| training)
    }
}

fn overflow() -> Error {
    Error::Model("the sum of the squares of the weights is not finite".to_owned())
}

/// The serialised form of a model.
#[derive(Serialize, Deserialize)]
struct SerializedModel {
    link: LinkKind,
    precision: Precision,
    schema: Schema,
    parameters: Parameters,
    preprocessing: Preprocessing,
}

impl<L> Serialize for Fitted<L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = SerializedModel {
            link: self.link,
            precision: self.precision,
            schema: self.schema.clone(),
            parameters: self.parameters.clone(),
            preprocessing: self.predictor.preprocessing().clone(),
        };
        value.serialize(serializer)
    }
}

/// Labels of any type are deserialised as [`Class`]es, by their names.
impl<'de> Deserialize<'de> for Fitted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SerializedModel { link, precision, schema, parameters, preprocessing } =
            SerializedModel::deserialize(deserializer)?;
        if let Some(problem) = schema.contradiction(link, &parameters, &preprocessing) {
            return Err(D::Error::custom(problem));
        }
        let norm = WeightNorms::of(&parameters).ok_or_else(|| D::Error::custom(overflow()))?;
        Self::of_schema(link, precision, schema, parameters, preprocessing, norm).map_err(D::Error::custom)
    }
}
