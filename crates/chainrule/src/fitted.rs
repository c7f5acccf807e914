use std::collections::BTreeMap;
use std::path::Path;

use chainrule_core::{
    Certificate, Class, DataKind, FinalMetrics, History, LinkKind, Parameters, Precision, Preprocessing, Schema,
    TrainConfig, WeightNorms,
};
use chainrule_data::{Provenance, Treat, given};
use chainrule_evaluate::Tally;
use chainrule_formats::{Format, Hints, Model, Portable, Row};
use chainrule_records::{Destination, Imported, SavedModel, read_whole};
use chainrule_solve::{Ending, Metrics, Prediction, Predictor, RowError};

use crate::Error;
use crate::samples::{Rows, Samples};

/// A trained model: made by [`Estimator::fit`](crate::Estimator::fit), or read from a folder by [`Fitted::load`].
///
/// It is asked in f64 on the host, and takes rows as the data has them: what is done to them before they meet the weights, it does.
#[derive(Clone, Debug)]
pub struct Fitted {
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
    /// What the model is worth on the samples that it was fitted to and judged on.
    pub final_metrics: FinalMetrics,
    /// How near to the minimum it is, where it was fitted [to the minimum](crate::Estimator::to_the_minimum).
    pub certificate: Option<Certificate>,
}

impl Fitted {
    pub(crate) fn new(
        link: LinkKind,
        precision: Precision,
        schema: Schema,
        parameters: Parameters,
        preprocessing: Preprocessing,
        weight_norm: WeightNorms,
    ) -> Result<Self, Error> {
        let predictor = Predictor::new(link, parameters.clone(), preprocessing).map_err(Error::Model)?;
        Ok(Self { link, precision, schema, parameters, weight_norm, predictor, training: None })
    }

    pub(crate) fn with_training(self, training: Training, source: Provenance) -> Self {
        Self { training: Some((training, source)), ..self }
    }

    /// Reads the model of a folder: a run's, an imported one, or what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// Where the folder holds no whole model.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let SavedModel { link, precision, schema, parameters, preprocessing, weight_norm } =
            SavedModel::read(folder.as_ref())?;
        Self::new(link, precision, schema, parameters, preprocessing, weight_norm).map_err(|error| match error {
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
        let norm = WeightNorms::of(&parameters)
            .ok_or_else(|| Error::Model("the sum of the squares of the weights is not finite".to_owned()))?;
        Self::new(link, precision, schema, parameters, preprocessing, norm)
    }

    /// Writes the model into a folder of its own, for [`load`](Self::load) and for the program: `chainrule evaluate`, `predict`, `inspect`, `page` and `export`
    /// take it. Files appear whole or not at all.
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

    /// Writes the model for another tool, by the file's ending: `.safetensors` for PyTorch, `.npz` for NumPy and scikit-learn, `.onnx` for onnxruntime,
    /// `.json` for whatever reads JSON. The file appears whole or not at all, in place of one that is there, whose mode it keeps.
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
            let accuracy = training.final_metrics.validation_accuracy;
            [
                ("data", source.name.clone()),
                ("data_sha256", source.sha256()),
                ("validation_accuracy", accuracy.to_string()),
            ]
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

    /// The most probable class of each row. The samples' columns are found by their names, and their own classes do not matter.
    ///
    /// # Errors
    /// Where a column is missing, or the samples are images and the model takes a table, or the other way round, or images of another size.
    pub fn predict(&self, samples: &Samples) -> Result<Vec<Class>, Error> {
        let rows = samples.rows_as_of(&self.schema)?;
        self.predictions(&rows).map(|prediction| Ok(self.schema.classes[prediction?.class].clone())).collect()
    }

    /// The probability of each class in each row, `[n][k]`, in the order of [`classes`](Self::classes).
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_proba(&self, samples: &Samples) -> Result<Vec<Vec<f64>>, Error> {
        let rows = samples.rows_as_of(&self.schema)?;
        self.predictions(&rows).map(|prediction| Ok(prediction?.probabilities)).collect()
    }

    /// What it says of a file without labels: of each row of a CSV file, which has the model's columns in whatever order and may have others; of each image of
    /// an IDX file; or of a PNG or JPEG of any size, made an image as those were that the model learnt from.
    ///
    /// # Errors
    /// Where the file cannot be read or is none of these, a column is missing or a number is none, with line and column, and where it takes more than 1 GiB.
    pub fn predict_file(&self, path: impl AsRef<Path>) -> Result<Vec<Prediction>, Error> {
        // By itself `-` is standard input, as for the program; a library's caller means a file.
        let path = &Path::new(".").join(path);
        let wrong = |problem| Error::Samples(format!("{}: {problem}", path.display()));
        if self.schema.kind == DataKind::Table {
            let table = given::read_table(path, &self.schema.features).map_err(wrong)?;
            return (0..table.len()).map(|row| Ok(self.predictor.predict(&table.row(row))?)).collect();
        }
        let images = given::read(path, self.schema.image_size, Treat::of(self.schema.kind)).map_err(wrong)?;
        images.iter().map(|image| Ok(self.predictor.predict(&image.pixels)?)).collect()
    }

    /// The fraction of rows that it classifies rightly: the accuracy.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn score(&self, samples: &Samples) -> Result<f64, Error> {
        Ok(self.evaluate(samples)?.accuracy)
    }

    /// Mean cross-entropy in nats and accuracy.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); and where there is no row, or one of a class that the model does not know.
    pub fn evaluate(&self, samples: &Samples) -> Result<Metrics, Error> {
        let rows = samples.as_of(&self.schema)?;
        let mut tally = Tally::new(self.schema.classes.len(), 0);
        for (row, (prediction, &label)) in self.predictions(&rows).zip(rows.labels()).enumerate() {
            let prediction = prediction?;
            let confidence = prediction.probabilities[prediction.class];
            tally.add(row, label.into(), prediction.class, confidence, prediction.cross_entropy(label.into()));
        }
        match tally.scores() {
            Some(scores) => Ok(Metrics { loss: scores.loss, accuracy: scores.accuracy }),
            None => Err(Error::Samples("there is no row to judge the model by".to_owned())),
        }
    }

    fn predictions<'a>(&'a self, rows: &'a Rows) -> Box<dyn Iterator<Item = Result<Prediction, RowError>> + 'a> {
        let d = self.predictor.n_features();
        match rows {
            Rows::Images(split) => Box::new(split.pixels.chunks_exact(d).map(|row| self.predictor.predict(row))),
            Rows::Numbers(rows) => Box::new((0..rows.len()).map(|row| self.predictor.predict(&rows.row(row)))),
        }
    }

    /// What the classes are called, in the order of the probabilities.
    pub fn classes(&self) -> &[Class] {
        &self.schema.classes
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
