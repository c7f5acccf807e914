//! The rows of a training: chosen from a data set, and then in the form that its gradients are computed from.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chainrule::machine::{Machine, Prepared};
use chainrule_core::{Class, Generator, GradientSource, Preprocessing, Schema, Solver, TrainConfig};
use chainrule_data::{
    Data, DataError, Dataset, Provenance, TablePart, Tables, label_order, schema_of_images, schema_of_tables,
};
use chainrule_kernels::Isa;
use chainrule_records::DataSummary;
use chainrule_solve::{Bytes, Chosen, Learnt, Observer, TrainError, Trained, dropped_rows};

use crate::table;

/// The rows of a run, as bytes.
pub(crate) struct Rows {
    splits: [Chosen; 2],
    learnt: Learnt,
    about: DataSummary,
}

/// The labels of classes, as the files number them.
fn numbers(classes: &[Class], data: &Data) -> Result<Vec<u8>, DataError> {
    let number = |class: &Class| {
        let (rows, what) = (data.train.labels().len(), "training images");
        data.label_of(&class.to_string()).ok_or_else(|| DataError::EmptyClass { class: class.to_string(), rows, what })
    };
    classes.iter().map(number).collect()
}

/// Validation rows of up to so many bytes are in memory whatever `data.resident_bytes` says, since they are evaluated again and again.
const KEPT_FOR_VALIDATION: u64 = 16 << 20;

/// What a person should know of training rows that no step of an epoch is on.
pub(crate) fn dropped(config: &TrainConfig, rows: usize) -> Option<String> {
    let dropped = dropped_rows(config, rows);
    let which = match config.descent().shuffle.generator {
        Generator::None => "the last ones each time, so that nothing is learnt from them",
        Generator::NumpyLegacy | Generator::Chacha => "others each time",
    };
    // Where there is no whole batch, that is an error.
    (0 < dropped && dropped < rows).then(|| {
        format!(
            "note: {dropped} of {rows} training rows are left out of each epoch ({which}), since they fill no batch of {}; --set \
             descent.drop_last=false takes them, too",
            config.descent().batch_size
        )
    })
}

impl Rows {
    /// The rows that a config names.
    pub(crate) fn of(data: Dataset, config: &TrainConfig, source: &Provenance, machine: &Machine) -> Result<Self> {
        match data {
            Dataset::Images(data) => Self::new(config, &data, source, machine),
            Dataset::Tables(tables) => Ok(Self::of_tables(config, tables, source)?),
        }
    }

    /// Picks the rows and classes that a config names.
    pub(crate) fn new(config: &TrainConfig, data: &Data, source: &Provenance, machine: &Machine) -> Result<Self> {
        let order = label_order(config.model().kind, config.data());
        let order = order.map(|classes| numbers(&classes, data)).transpose()?;
        let asked = config.data();
        let ([train, validation], classes) =
            data.select(asked.train_images, asked.validation_images, order.as_deref())?;
        let resident_bytes = asked.resident_bytes;
        let splits =
            [Chosen::new(train, resident_bytes)?, Chosen::new(validation, resident_bytes.max(KEPT_FOR_VALIDATION))?];
        if (config.descent().gradient != GradientSource::Fused || machine.backend().is_apart())
            && let Some(rows) = splits.iter().find_map(|rows| match rows {
                Chosen::InFile(rows) => Some(rows),
                Chosen::Resident(_) | Chosen::Numbers(_) => None,
            })
        {
            let file = rows.file().context("a file")?;
            bail!(
                "{}: {} bytes of chosen rows are more than data.resident_bytes = {resident_bytes}, and only the fused kernels train on rows \
                 that stay in their file, which they neither standardise nor weigh; take --gradient fused on a CPU, fewer data.train_images or data.validation_images, or allow for more",
                file.display(),
                rows.bytes()
            );
        }
        Ok(Self::of_splits(config, splits, schema_of_images(data, classes), source)?)
    }

    /// The rows of tables.
    fn of_tables(config: &TrainConfig, tables: Tables, source: &Provenance) -> Result<Self, TrainError> {
        let schema = schema_of_tables(&tables);
        let numbers = |part: Arc<TablePart>| Chosen::Numbers(Arc::unwrap_or_clone(part).rows);
        Self::of_splits(config, tables.parts.map(numbers), schema, source)
    }

    /// Rows to train on and to validate on that are chosen already.
    fn of_splits(
        config: &TrainConfig,
        splits: [Chosen; 2],
        schema: Schema,
        source: &Provenance,
    ) -> Result<Self, TrainError> {
        let learnt = Learnt::of(config, &splits[0], &schema)?;
        let [train, validation] = splits.each_ref().map(Chosen::len);
        let Schema { kind, image_size, features, classes } = schema;
        let (unused, sha256, source) = (source.unused.clone(), source.sha256(), source.name.clone());
        let about = DataSummary { source, kind, sha256, train, validation, image_size, features, classes, unused };
        Ok(Self { splits, learnt, about })
    }

    /// The same for a person.
    pub(crate) fn weights(&self) -> Option<String> {
        let weights = self.learnt.class_weights.as_ref()?;
        Some(format!("class weights: {}", table::class_weights(&self.about.classes, weights)))
    }

    pub(crate) fn about(&self) -> &DataSummary {
        &self.about
    }

    /// What a person should know of features that gradient descent steps over.
    pub(crate) fn note(&self, config: &TrainConfig) -> Option<String> {
        let Chosen::Numbers(rows) = &self.splits[0] else { return None };
        let largest = rows.values.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let is_large = largest > 100.0
            && self.learnt.preprocessing == Preprocessing::Raw
            && config.descent().solver == Solver::Sgd;
        is_large.then(|| {
            format!("note: its numbers go up to {largest}, where gradient descent jumps about; --set data.standardize=true brings them to one size")
        })
    }

    /// The training rows' labels.
    pub(crate) fn train_labels(&self) -> Vec<u8> {
        self.splits[0].labels()
    }

    /// Makes them what a config's gradients are computed from.
    pub(crate) fn load(self, config: &TrainConfig, machine: &Machine) -> Loaded {
        let rows = machine.prepare(self.splits, &self.learnt.preprocessing, config);
        Loaded { rows, learnt: self.learnt, about: self.about }
    }
}

/// The rows of a run, as they are computed with.
pub(crate) struct Loaded {
    rows: Prepared,
    learnt: Learnt,
    about: DataSummary,
}

impl Loaded {
    /// Trains a model on them.
    pub(crate) fn train(
        &self,
        config: &TrainConfig,
        machine: &Machine,
        observer: &mut dyn Observer,
    ) -> Result<Trained, TrainError> {
        let config = self.learnt.settle(config);
        self.rows.train(self.about.classes.len(), &config, machine.threads(), observer)
    }

    /// What they are.
    pub(crate) fn about(&self) -> &DataSummary {
        &self.about
    }

    /// What the features are made by.
    pub(crate) fn preprocessing(&self) -> &Preprocessing {
        &self.learnt.preprocessing
    }

    /// How the fused kernels take the training rows, where they do.
    pub(crate) fn kernels(&self, machine: &Machine) -> Option<String> {
        if self.rows.has_launches() {
            return Some("kernels: the device's own, two launches a step".to_owned());
        }
        let reading = match self.rows.bytes()? {
            Bytes::Resident(rows) if rows.kept() == 1.0 => "every byte, since no block of 16 is all 0".to_owned(),
            Bytes::Resident(rows) => {
                format!("{:.0} % of the bytes, the blocks of 16 that are not all 0", 100.0 * rows.kept())
            }
            Bytes::InFile(stream) => {
                format!("blocks of 16 bytes that are not all 0; the training rows stay in {}", stream.file().display())
            }
        };
        let (isa, threads) = (Isa::best(), machine.threads());
        Some(format!(
            "kernels: {isa}, {threads} {}; they read {reading}",
            if threads.get() == 1 { "thread" } else { "threads" }
        ))
    }
}
