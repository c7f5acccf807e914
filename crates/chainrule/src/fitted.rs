use std::collections::BTreeMap;
use std::path::Path;

use chainrule_core::{
    Certificate, Class, DataKind, History, LinkKind, Parameters, Precision, Preprocessing, Schema, TrainConfig,
    WeightNorms, count,
};
use chainrule_data::{PictureMode, Provenance, RowBuffer, Rows, input_files};
use chainrule_evaluate::Tally;
use chainrule_formats::{Format, Hints, Model, Portable, Row};
use chainrule_records::{Destination, Imported, SavedModel, read_whole};
use chainrule_solve::{Ending, Metrics, Prediction, Predictor};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::samples::{Label, Samples, column_names, numbered_columns};
use crate::{Error, SamplesError};

/// Rows that are looked at before the next are.
const ROWS_AT_ONCE: usize = 1 << 10;

/// A trained model: made by [`Estimator::fit`](crate::Estimator::fit), or read from a folder by
/// [`Fitted::load`].
///
/// It is asked in f64 on the host, and takes rows as the data has them: what is done to them before
/// they meet the weights, it does.
///
/// It predicts labels of the type `L`, those of the samples that it was fitted to; a model that was
/// read from a file predicts [`Class`]es. By serde, a model is read and written as one value.
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
    training: Option<(Training, Provenance)>,
}

/// How a model was trained.
#[derive(Clone, Debug)]
pub struct Training {
    /// Every setting.
    pub config: TrainConfig,
    /// Every step's loss and every evaluation.
    pub history: History,
    /// How it ended.
    pub ending: Ending,
    /// Updates made.
    pub steps: usize,
    /// Step and validation loss of the best evaluation, if there was one.
    pub best: Option<(usize, f64)>,
    /// What the model is worth on the samples that it was fitted to.
    pub train: Metrics,
    /// What it is worth on those that it was judged on, if it was.
    pub validation: Option<Metrics>,
    /// How near to the minimum it is, where it was fitted
    /// [to the minimum](crate::Estimator::to_the_minimum).
    pub certificate: Option<Certificate>,
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
        let predictor = Predictor::new(link, parameters.clone(), preprocessing)
            .map_err(|problem| Error::Model(problem.to_string()))?;
        Ok(Self { labels, link, precision, schema, parameters, weight_norm, predictor, training: None })
    }

    pub(crate) fn with_training(self, training: Training, source: Provenance) -> Self {
        Self { training: Some((training, source)), ..self }
    }

    /// The same, where what was found on the way in place of a validation is nobody's.
    pub(crate) fn without_validation(mut self) -> Self {
        if let Some((training, _)) = &mut self.training {
            (training.validation, training.best) = (None, None);
            training.history.evaluations.clear();
        }
        self
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn kind(&self) -> LinkKind {
        self.link
    }
}

impl Fitted {
    /// Reads the model of a folder: a run's, an imported one, or what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// Where the folder holds no whole model.
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

    /// Makes a model of another tool's file: safetensors (PyTorch's state dict of an `nn.Linear`),
    /// npz (scikit-learn's arrays), or JSON that
    /// [`export`](Self::export) wrote; `hints` are what the file does not say itself.
    ///
    /// # Errors
    /// Where the file cannot be read, is none of these or has more than 1 GiB, and where neither it
    /// nor the hints say what one must know.
    pub fn import(file: impl AsRef<Path>, hints: &Hints) -> Result<Self, Error> {
        let file = file.as_ref();
        let wrong = |problem: String| Error::Model(format!("{}: {problem}", file.display()));
        let bytes = read_whole(file, 1 << 30).map_err(|problem| wrong(problem.to_string()))?;
        Self::from_bytes(&bytes, hints).map_err(|error| match error {
            Error::Import(error) => Error::ImportOf { file: file.to_owned(), error },
            Error::Model(problem) => wrong(problem),
            other => other,
        })
    }

    /// The same of a file's content.
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
    /// Makes a model of its weights `[d, k]`, the column running fastest, and of its bias `[k]`. It
    /// tells these classes apart, of which there are two for the logistic model, the positive one
    /// last, and takes the numbers of a table whose columns are called x1, x2, … unless
    /// [`with_columns`](Self::with_columns) says otherwise.
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
    /// Where there are not as many weights as that takes, one is not finite, or a class can be
    /// none.
    pub fn of_weights(link: LinkKind, parameters: Parameters, classes: &[L]) -> Result<Self, Error> {
        let names: Vec<String> = classes.iter().map(ToString::to_string).collect();
        let d = parameters.n_features;
        let schema = Schema {
            kind: DataKind::Table,
            image_size: [1, d],
            features: numbered_columns(d),
            classes: Class::all_of(DataKind::Table, &names).map_err(SamplesError::ClassNames)?,
        };
        let columns = link.columns(classes.len());
        if classes.len() != link.classes(columns) || !parameters.has_shape([d, columns]) {
            return Err(Error::Model(format!(
                "{} and {}; {classes} take {d} x {columns} and {columns}",
                count(parameters.weight.len(), "weight"),
                count(parameters.bias.len(), "bias number"),
                classes = count(classes.len(), "class"),
            )));
        }
        let norm = WeightNorms::of(&parameters).ok_or_else(overflow)?;
        Self::new(link, Precision::F64, schema, classes.to_vec(), parameters, Preprocessing::Raw, norm)
    }

    /// Calls the columns so, that the model finds in samples.
    ///
    /// # Errors
    /// As [`Samples::with_columns`].
    pub fn with_columns<N: ToString>(mut self, names: &[N]) -> Result<Self, Error> {
        self.schema.features = column_names(&self.schema, names)?;
        Ok(self)
    }

    /// Writes the model into a folder of its own, for [`load`](Self::load) and for the program:
    /// `chainrule evaluate`, `predict`, `inspect`, `page` and `export` take it. Files appear whole
    /// or not at all.
    ///
    /// # Errors
    /// Where something is there already, or it cannot be written.
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

    /// Writes the model for another tool, by the file's ending: `.safetensors` for PyTorch, `.npz`
    /// for NumPy and scikit-learn, `.onnx` for onnxruntime, `.json` for whatever reads JSON. The
    /// file appears whole or not at all, in place of one that is there, whose mode it keeps.
    ///
    /// # Errors
    /// Where the ending is none of these, or it cannot be written.
    pub fn export(&self, file: impl AsRef<Path>) -> Result<(), Error> {
        let file = file.as_ref();
        let format = Format::of_file(file).map_err(|unknown| Error::Model(format!("{}: {unknown}", file.display())))?;
        Ok(Destination::new(file, true)?.write(&self.to_bytes(format))?)
    }

    /// The content of such a file.
    pub fn to_bytes(&self, format: Format) -> Vec<u8> {
        let of_training = self.training.iter().flat_map(|(training, source)| {
            let accuracy = training.validation.map(|validation| validation.accuracy.to_string());
            let data = [("data", source.name.clone()), ("data_sha256", source.sha256())];
            data.into_iter().chain(accuracy.map(|accuracy| ("validation_accuracy", accuracy)))
        });
        let program = ("program", format!("chainrule {}", env!("CARGO_PKG_VERSION")));
        let about = of_training.chain([program]).map(|(key, value)| (key.to_owned(), value)).collect();
        let portable = Portable {
            link: self.link,
            classes: self.schema.classes.iter().map(ToString::to_string).collect(),
            parameters: self.parameters.clone(),
            precision: self.precision,
            preprocessing: self.predictor.preprocessing().clone(),
            row: Row::from(&self.schema),
            about,
        };
        portable.to_bytes(format)
    }

    /// The most probable class of each row. The samples' columns are found by their names, and
    /// their own classes do not matter.
    ///
    /// # Errors
    /// Where a column is missing, or the samples are images and the model takes a table, or the
    /// other way round, or images of another size.
    pub fn predict<M: Clone>(&self, samples: &Samples<M>) -> Result<Vec<L>, Error> {
        let rows = samples.rows_as_of(&self.schema)?;
        self.each(&rows, |_, prediction| self.labels[prediction.class].clone())
    }

    /// The probability of each class in each row, `[n][k]`, in the order of
    /// [`classes`](Self::classes).
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_proba<M: Clone>(&self, samples: &Samples<M>) -> Result<Vec<Vec<f64>>, Error> {
        let rows = samples.rows_as_of(&self.schema)?;
        self.each(&rows, |_, prediction| prediction.probabilities)
    }

    /// What it says of a file without labels, of any kind of
    /// [`READERS`](chainrule_data::readers::READERS), plain or gzipped: of each row of a table,
    /// which has the model's columns in whatever order and may have others; of each image of an IDX
    /// file; or of a picture of any size, made an image as those were that the model learnt from.
    ///
    /// # Errors
    /// Where the file cannot be read or is none of these, a column is missing or a number is none,
    /// with line and column, and where it takes more than 1 GiB.
    pub fn predict_file(&self, path: impl AsRef<Path>) -> Result<Vec<Prediction>, Error> {
        // By itself `-` is standard input, as for the program; a library's caller means a file.
        let path = &Path::new(".").join(path);
        let wrong = |problem| SamplesError::File { file: path.clone(), problem };
        if self.schema.kind == DataKind::Table {
            let table = input_files::read_table(path, &self.schema.features).map_err(wrong)?;
            return (0..table.len()).map(|row| Ok(self.predictor.predict(&table.row(row))?)).collect();
        }
        let images =
            input_files::read(path, self.schema.image_size, PictureMode::of(self.schema.kind)).map_err(wrong)?;
        images.iter().map(|image| Ok(self.predictor.predict(&image.pixels)?)).collect()
    }

    /// The fraction of rows that it classifies rightly: the accuracy.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn score<M: Label>(&self, samples: &Samples<M>) -> Result<f64, Error> {
        Ok(self.evaluate(samples)?.accuracy)
    }

    /// Mean cross-entropy in nats and accuracy.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); and where there is no row, or one of a class that the model
    /// does not know.
    pub fn evaluate<M: Label>(&self, samples: &Samples<M>) -> Result<Metrics, Error> {
        let rows = samples.as_of(&self.schema)?;
        let mut tally = Tally::new(self.schema.classes.len(), 0);
        self.each(&rows, |row, prediction| {
            let (label, confidence) = (rows.label(row).into(), prediction.probabilities[prediction.class]);
            tally.add(row, label, prediction.class, confidence, prediction.cross_entropy(label));
        })?;
        match tally.scores() {
            Some(scores) => Ok(Metrics { loss: scores.loss, accuracy: scores.accuracy }),
            None => Err(SamplesError::NothingToJudge.into()),
        }
    }

    /// What is made of the prediction for each row.
    fn each<T>(&self, rows: &Rows, mut made: impl FnMut(usize, Prediction) -> T) -> Result<Vec<T>, Error> {
        let (mut buffer, mut all) = (RowBuffer::default(), Vec::with_capacity(rows.len()));
        for first in (0..rows.len()).step_by(ROWS_AT_ONCE) {
            let chunk = rows.chunk(first..rows.len().min(first + ROWS_AT_ONCE), &mut buffer)?;
            for (row, prediction) in (first..).zip(self.predictor.predict_each(chunk)) {
                all.push(made(row, prediction?));
            }
        }
        Ok(all)
    }

    /// The labels that it tells apart, in the order of the probabilities.
    pub fn classes(&self) -> &[L] {
        &self.labels
    }

    /// What the columns are called, in the order of the weights, of a model that takes a table.
    pub fn columns(&self) -> &[String] {
        &self.schema.features
    }

    /// Weights `[d, k]` and bias `[k]`; of the logistic model `k = 1`.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// For asking about a single row, and what speaks for a class in it.
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// How it was trained, unless it was [loaded](Self::load).
    pub fn training(&self) -> Option<&Training> {
        self.training.as_ref().map(|(training, _)| training)
    }
}

fn overflow() -> Error {
    Error::Model("the sum of the squares of the weights is not finite".to_owned())
}

/// A model as one value.
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

/// Whatever type the labels had, they come back as [`Class`]es, by their names.
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
