//! Data of either kind, images or tables, as a run asks for it.

use std::sync::Arc;

use chainrule_core::{Class, Schema, TrainConfig};

use crate::provenance::{not_used, schema_of_images, schema_of_tables};
use crate::{
    Counts, Data, DataError, Holdout, Images, Origin, PictureMode, PictureRequest, Provenance, Request, Rows,
    TableRequest, Tables, find_tables, find_with,
};

/// What a run is trained on.
#[derive(Clone)]
pub enum Dataset {
    /// Images, whatever they were read from.
    Images(Data),
    /// A table, or one to train on and one to validate on.
    Tables(Tables),
}

impl Dataset {
    /// Gets the data of a config; `log` hears what takes time.
    pub fn find(config: &TrainConfig, log: &mut dyn FnMut(&str)) -> Result<Self, DataError> {
        Self::find_at(&Request::from(config.data().source.as_str()), config, log)
    }

    /// The same from where its source turned out to be.
    pub fn find_at(request: &Request, config: &TrainConfig, log: &mut dyn FnMut(&str)) -> Result<Self, DataError> {
        let asked = config.data();
        let data = match find_tables(request, &table_request(config))? {
            Some(tables) => Self::Tables(tables),
            None => {
                let (size, holdout) = (asked.image_size, Some(holdout(config)));
                let pictures = PictureRequest { size, treatment: PictureMode::AsWhole, holdout };
                let digits = digits_to_draw(config);
                Self::Images(find_with(request, digits, pictures, asked.resident_bytes, log)?)
            }
        };
        if let Some(what) = data.not_used() {
            log(&format!("note: {what}"));
        }
        Ok(data)
    }

    /// What its folder holds and is not used, for a person.
    pub fn not_used(&self) -> Option<String> {
        match self {
            Self::Images(data) => not_used(&data.unused, data.pictures.is_some()),
            Self::Tables(tables) => not_used(&tables.unused, false),
        }
    }

    /// Which images of IDX files a config takes where these are not all, for a person.
    pub fn taken(&self, config: &TrainConfig) -> Option<String> {
        let Self::Images(data) = self else { return None };
        let asked = config.data();
        let parts = [
            (asked.train_images, &data.train, "first", "training images (data.train_images)"),
            (asked.validation_images, &data.validation, "last", "validation images (data.validation_images)"),
        ];
        let part = |(asked, images, which, what): (Option<usize>, &Arc<Images>, _, _)| {
            let found = images.labels().len();
            let asked = asked.filter(|&asked| asked < found && data.pictures.is_none())?;
            Some(format!("the {which} {asked} of {found} {what}"))
        };
        let parts: Vec<String> = parts.into_iter().filter_map(part).collect();
        (!parts.is_empty()).then(|| format!("note: only {} are taken", parts.join(" and ")))
    }

    /// The rows to train on and those to validate on that a config names, still where they lie; and
    /// what they are.
    ///
    /// # Errors
    /// Where there are fewer, or a class has none.
    pub fn into_rows(self, config: &TrainConfig) -> Result<([Rows; 2], Schema), DataError> {
        match self {
            Self::Tables(tables) => {
                let schema = schema_of_tables(&tables);
                Ok((tables.parts.map(|part| part.rows.clone()), schema))
            }
            Self::Images(data) => {
                let number = |class: &Class| {
                    let (rows, what) = (data.train.labels().len(), "training images");
                    let class = class.to_string();
                    data.label_of(&class).ok_or(DataError::EmptyClass { class, rows, what })
                };
                let order = config.classes().map(|classes| classes.iter().map(number).collect::<Result<Vec<u8>, _>>());
                let asked = config.data();
                let (rows, classes) =
                    data.select(asked.train_images, asked.validation_images, order.transpose()?.as_deref())?;
                Ok((rows, schema_of_images(&data, classes)))
            }
        }
    }

    /// What kind of data it is.
    pub fn kind(&self) -> DatasetKind {
        match self {
            Self::Images(data) if data.pictures.is_some() => DatasetKind::Pictures,
            Self::Images(data) if data.origin == Origin::Embedded => DatasetKind::Digits,
            Self::Images(_) => DatasetKind::Files,
            Self::Tables(_) => DatasetKind::Tables,
        }
    }

    /// Its name and checksums.
    pub fn provenance(&self) -> Provenance {
        match self {
            Self::Images(data) => Provenance::of_images(data),
            Self::Tables(tables) => Provenance::of_tables(tables),
        }
    }
}

/// What kind of data was found.
#[derive(Clone, Copy, Debug)]
pub enum DatasetKind {
    /// IDX files, read whole, of which each run takes its rows and classes.
    Files,
    /// As many as are asked for, drawn by code.
    Digits,
    /// Each class in a folder.
    Pictures,
    /// CSV.
    Tables,
}

impl DatasetKind {
    /// Whether the data that one config got are those that another asks for.
    pub fn serves(self, config: &TrainConfig, other: &TrainConfig) -> bool {
        let place = |config: &TrainConfig| (config.data().source.clone(), config.data().resident_bytes);
        let rest = |config: &TrainConfig| (config.data().clone(), holdout(config));
        place(config) == place(other)
            && match self {
                Self::Files => true,
                Self::Digits => digits_to_draw(config) == digits_to_draw(other),
                Self::Pictures => rest(config) == rest(other),
                // A logistic model's classes are put in an order as they are read.
                Self::Tables => rest(config) == rest(other) && config.model().kind == other.model().kind,
            }
    }
}

/// What a run asked for; where that was `auto`, what it got.
pub fn resolve_source(asked: &str, got: &str) -> Request {
    match Request::from(asked) {
        Request::Auto if got == Origin::Embedded.to_string() => Request::Embedded,
        Request::Auto if got.starts_with("MNIST") => Request::Mnist,
        Request::Auto => Request::Folder(got.into()),
        other => other,
    }
}

/// How a training reads tables.
fn table_request(config: &TrainConfig) -> TableRequest {
    let asked = config.data();
    TableRequest {
        label: asked.label.clone(),
        ignored: asked.ignore.clone(),
        features: None,
        classes: config.classes().map(|classes| names(&classes)),
        holdout: Some(holdout(config)),
        resident_bytes: asked.resident_bytes,
    }
}

/// What of a single file or folder a run keeps for the validation.
pub fn holdout(config: &TrainConfig) -> Holdout {
    Holdout { fraction: config.data().validation_fraction, seed: config.descent().shuffle.seed }
}

/// What the classes are called.
pub fn names(classes: &[Class]) -> Vec<String> {
    classes.iter().map(ToString::to_string).collect()
}

/// As many as the report took of MNIST.
pub const DIGITS: Counts = Counts { train: 20_000, validation: 10_000 };

/// As many digits as the config asks for; where it asks for all there are, as many as the report
/// took of MNIST.
pub fn digits_to_draw(config: &TrainConfig) -> Counts {
    Counts {
        train: config.data().train_images.unwrap_or(DIGITS.train),
        validation: config.data().validation_images.unwrap_or(DIGITS.validation),
    }
}
