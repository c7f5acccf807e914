//! The data of a config: images or tables.

use std::sync::Arc;

use chainrule_core::{Class, HeldOutRow, Schema, TrainConfig};

use crate::provenance::{schema_of_images, schema_of_tables, unused_message};
use crate::table::TableFile;
use crate::{
    Counts, Data, DataError, Holdout, Images, Origin, PictureMode, PictureRequest, Provenance, RawTables,
    RecipeOptions, RecipeSource, Request, Rows, TableRequest, Tables, find_tables, find_with,
};

/// The validation rows that were held out from a table.
#[derive(Clone, Debug)]
pub struct HeldOut {
    rows: Rows,
    files: Vec<TableFile>,
}

impl HeldOut {
    /// Iterates over the rows.
    pub fn rows(&self) -> impl Iterator<Item = HeldOutRow<'_>> + '_ {
        (0..self.rows.len()).map(|row| {
            let (file, index) = self.rows.index_in_file(row).unwrap_or_default();
            let TableFile { name, read_as, .. } = &self.files[file];
            HeldOutRow {
                file: (self.files.len() > 1).then_some(name),
                row: read_as.skipped.position_in_file(index) as u32,
                line: self.rows.line(row).unwrap_or_default(),
            }
        })
    }
}

/// The data that a run is trained on.
#[derive(Clone)]
pub enum Dataset {
    /// Images, from any source.
    Images(Data),
    /// One table, or one table for training and one for validation.
    Tables(Tables),
}

impl Dataset {
    /// Loads the data of a config. `log` receives messages about slow steps.
    pub fn find(config: &TrainConfig, log: &mut dyn FnMut(&str)) -> Result<Self, DataError> {
        Self::find_at(&Request::from(config.data().source.as_str()), config, log)
    }

    /// Like [`Dataset::find`], with an already resolved source.
    pub fn find_at(request: &Request, config: &TrainConfig, log: &mut dyn FnMut(&str)) -> Result<Self, DataError> {
        let requested = config.data();
        let data = match find_tables(request, &table_request(config))? {
            Some(tables) => Self::Tables(tables),
            None if requested.weight.is_some() => {
                return Err(DataError::WeightOfImages { data: requested.source.clone() });
            }
            None => {
                let (size, holdout) = (requested.image_size, holdout(config));
                let pictures = PictureRequest { size, mode: PictureMode::AsWhole, holdout };
                let digits = digits_to_draw(config);
                Self::Images(find_with(request, digits, pictures, requested.resident_bytes, log)?)
            }
        };
        if let Some(what) = data.unused_message() {
            log(&format!("note: {what}"));
        }
        Ok(data)
    }

    /// Prepares tables that were read already. `log` receives messages.
    ///
    /// # Errors
    /// See [`RawTables::into_tables`].
    pub fn of_tables(tables: RawTables, config: &TrainConfig, log: &mut dyn FnMut(&str)) -> Result<Self, DataError> {
        let data = Self::Tables(tables.into_tables(&table_request(config))?);
        if let Some(what) = data.unused_message() {
            log(&format!("note: {what}"));
        }
        Ok(data)
    }

    /// Returns a message that lists the unused files of the data folder, if any.
    pub fn unused_message(&self) -> Option<String> {
        match self {
            Self::Images(data) => unused_message(&data.unused, data.pictures.is_some()),
            Self::Tables(tables) => unused_message(&tables.unused, false),
        }
    }

    /// Returns a message if the config takes only some images of IDX files.
    pub fn subset_message(&self, config: &TrainConfig) -> Option<String> {
        let Self::Images(data) = self else { return None };
        let requested = config.data();
        let parts = [
            (requested.train_images, &data.train, "first", "training images (data.train_images)"),
            (requested.validation_images, &data.validation, "last", "validation images (data.validation_images)"),
        ];
        let part = |(requested, images, which, what): (Option<usize>, &Arc<Images>, _, _)| {
            let found = images.labels().len();
            let requested = requested.filter(|&requested| requested < found && data.pictures.is_none())?;
            Some(format!("the {which} {requested} of {found} {what}"))
        };
        let parts: Vec<String> = parts.into_iter().filter_map(part).collect();
        (!parts.is_empty()).then(|| format!("note: only {} are used", parts.join(" and ")))
    }

    /// Returns the rows that were held out from the file of the training rows.
    pub fn held_out(&self) -> Option<HeldOut> {
        match self {
            Self::Tables(tables) if tables.is_held_out => {
                Some(HeldOut { rows: tables.parts[1].rows.clone(), files: tables.files.clone() })
            }
            _ => None,
        }
    }

    /// Returns the number of a table's rows that were left out because the config does not have
    /// their class.
    pub fn rows_of_other_classes(&self) -> Option<usize> {
        let Self::Tables(tables) = self else { return None };
        let parts = if tables.is_validated_on_training { &tables.parts[..1] } else { &tables.parts[..] };
        Some(parts.iter().flat_map(|part| part.left_out.values()).sum())
    }

    /// Returns whether the validation rows were held out from the training data.
    pub fn has_holdout(&self) -> bool {
        match self {
            Self::Images(data) => data.pictures.as_ref().is_some_and(|pictures| !pictures.has_parts),
            Self::Tables(tables) => tables.is_held_out,
        }
    }

    /// Returns whether the validation rows are the training rows.
    pub fn is_validated_on_training(&self) -> bool {
        matches!(self, Self::Tables(tables) if tables.is_validated_on_training)
    }

    /// Returns notes for people about the rows and values of tables.
    pub fn notes(&self) -> Vec<String> {
        match self {
            Self::Images(_) => Vec::new(),
            Self::Tables(tables) => tables.notes(),
        }
    }

    /// Returns the training rows and the validation rows of the config, and their schema. The rows
    /// are views of the stored data.
    ///
    /// # Errors
    /// Fails if there are fewer rows than requested, or if a class has no rows.
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
                let order =
                    config.classes_by_label().map(|classes| classes.iter().map(number).collect::<Result<Vec<u8>, _>>());
                let requested = config.data();
                let (rows, classes) =
                    data.select(requested.train_images, requested.validation_images, order.transpose()?.as_deref())?;
                Ok((rows, schema_of_images(&data, classes)))
            }
        }
    }

    /// Returns the kind of the data.
    pub fn kind(&self) -> DatasetKind {
        match self {
            Self::Images(data) if data.pictures.is_some() => DatasetKind::Pictures,
            Self::Images(data) if data.origin == Origin::Embedded => DatasetKind::Digits,
            Self::Images(_) => DatasetKind::Files,
            Self::Tables(_) => DatasetKind::Tables,
        }
    }

    /// Returns the name and checksums of the data.
    pub fn provenance(&self) -> Provenance {
        match self {
            Self::Images(data) => Provenance::of_images(data),
            Self::Tables(tables) => Provenance::of_tables(tables),
        }
    }
}

/// The kind of a loaded data set.
#[derive(Clone, Copy, Debug)]
pub enum DatasetKind {
    /// IDX files, loaded whole. Each run selects its rows and classes.
    Files,
    /// Digits drawn by code, in the requested number.
    Digits,
    /// Pictures in one folder per class.
    Pictures,
    /// CSV.
    Tables,
}

impl DatasetKind {
    /// Returns whether the data loaded for `config` also serves `other`.
    pub fn serves(self, config: &TrainConfig, other: &TrainConfig) -> bool {
        let place = |config: &TrainConfig| (config.data().source.clone(), config.data().resident_bytes);
        let rest = |config: &TrainConfig| (config.data().clone(), holdout(config));
        place(config) == place(other)
            && match self {
                Self::Files => true,
                Self::Digits => digits_to_draw(config) == digits_to_draw(other),
                Self::Pictures => rest(config) == rest(other),
                // The model kind decides the order of a logistic model's classes at reading.
                Self::Tables => rest(config) == rest(other) && config.model().kind == other.model().kind,
            }
    }
}

/// Returns the request of a run. `auto` is replaced by the source that it resolved to.
pub fn resolve_source(requested: &str, resolved: &str) -> Request {
    match Request::from(requested) {
        Request::Auto if resolved == Origin::Embedded.to_string() => Request::Embedded,
        Request::Auto if resolved.starts_with("MNIST") => Request::Mnist,
        Request::Auto => Request::Folder(resolved.into()),
        other => other,
    }
}

/// Returns the table options of a config.
pub fn table_request(config: &TrainConfig) -> TableRequest {
    let requested = config.data();
    let default_label = || Request::from(requested.source.as_str()).default_label().map(str::to_owned);
    let options = RecipeOptions {
        kinds: requested.columns.clone(),
        missing: requested.missing.clone(),
        max_categories: requested.max_categories,
        min_rows: requested.min_rows,
    };
    TableRequest {
        label: requested.label.clone().or_else(default_label),
        ignored: requested.ignore.clone(),
        group: requested.group.clone(),
        weight: requested.weight.clone(),
        text: requested.text(),
        recipe: RecipeSource::Learn(options),
        classes: config.classes_by_label().map(|classes| names(&classes)),
        holdout: holdout(config),
        resident_bytes: requested.resident_bytes,
        scratch: Some(crate::scratch_folder()),
    }
}

/// Returns the holdout that a run takes from a single file or folder, if any.
pub fn holdout(config: &TrainConfig) -> Option<Holdout> {
    let fraction = config.data().validation_fraction;
    (fraction > 0.0).then_some(Holdout { fraction, seed: config.descent().shuffle.seed })
}

/// Returns the class names.
pub fn names(classes: &[Class]) -> Vec<String> {
    classes.iter().map(ToString::to_string).collect()
}

/// The default numbers of drawn digits: as many as the report takes of MNIST.
pub const DIGITS: Counts = Counts { train: 20_000, validation: 10_000 };

/// Returns the number of digits that a config requests. The default is [`DIGITS`].
pub fn digits_to_draw(config: &TrainConfig) -> Counts {
    Counts {
        train: config.data().train_images.unwrap_or(DIGITS.train),
        validation: config.data().validation_images.unwrap_or(DIGITS.validation),
    }
}
