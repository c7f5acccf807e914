//! The rows of a training: first selected from a data set, then prepared for an engine.

use std::path::Path;

use anyhow::Result;
use chainrule::machine::{Machine, Prepared};
use chainrule_core::{
    DataKind, FinalMetrics, Generator, LinkKind, Parameters, Preprocessing, Recipe, Schema, Solver, TrainConfig,
    shortest,
};
use chainrule_data::{Dataset, HeldOut, Provenance, Rows};
use chainrule_kernels::Isa;
use chainrule_records::DataSummary;
use chainrule_solve::{
    FurtherDecrease, FusedRows, Observer, TrainError, Trained, TrainingStatistics, check_weights, constant_model,
    dropped_rows, further_decrease,
};

use crate::table;

/// The selected rows of a run, in memory or in their file.
pub(crate) struct SelectedRows {
    rows: [Rows; 2],
    statistics: TrainingStatistics,
    about: DataSummary,
    held_out: Option<HeldOut>,
    constant: FinalMetrics,
}

/// Validation rows of up to this many bytes are kept in memory whatever `data.resident_bytes` says,
/// since every evaluation reads them.
const RESIDENT_VALIDATION_BYTES: u64 = 16 << 20;

/// Returns a note on training rows that are in no batch of an epoch.
pub(crate) fn dropped_rows_note(config: &TrainConfig, rows: usize) -> Option<String> {
    let dropped = dropped_rows(config, rows);
    let dropped_rows_text = match config.descent().shuffle.generator {
        Generator::None => "always the last ones, so the model never learns from them",
        Generator::NumpyLegacy | Generator::Chacha => "different ones each time",
    };
    // An epoch without a whole batch is an error, reported elsewhere.
    (0 < dropped && dropped < rows).then(|| {
        format!(
            "note: each epoch omits {dropped} of {rows} training rows ({dropped_rows_text}), because they do not fill a batch of {}; --set \
             descent.drop_last=false includes them",
            config.descent().batch_size
        )
    })
}

impl SelectedRows {
    /// Selects the rows and classes that a config names.
    pub(crate) fn of(data: Dataset, config: &TrainConfig, source: &Provenance, machine: &Machine) -> Result<Self> {
        let held_out = data.held_out();
        let is_validated_on_training = data.is_validated_on_training();
        let rows_of_other_classes = data.rows_of_other_classes();
        let ([train, validation], schema) = data.into_rows(config)?;
        let resident_bytes = config.data().resident_bytes;
        let rows = [
            train.into_memory(resident_bytes)?,
            validation.into_memory(resident_bytes.max(RESIDENT_VALIDATION_BYTES))?,
        ];
        let have_weights = config.data().weight.is_some();
        machine.engine(config, rows[0].kind(), rows.iter().find(|rows| rows.stays_in_file()), have_weights)?;
        check_weights(config, &rows[0], schema.classes.len())?;
        let statistics = TrainingStatistics::of(config, &rows[0], &schema)?;
        let [train, validation] = rows.each_ref().map(Rows::len);
        let Schema { kind, image_size, features, recipe, classes } = schema;
        let features = if recipe.as_ref().is_some_and(Recipe::is_sparse) { Vec::new() } else { features };
        let (unused, sha256, source) = (source.unused.clone(), source.sha256(), source.name.clone());
        let constant = constant_model(rows.each_ref(), classes.len(), statistics.class_weights.as_deref())?;
        let about = DataSummary {
            source,
            kind,
            sha256,
            train,
            validation,
            image_size,
            features,
            recipe,
            rows_of_other_classes,
            is_validated_on_training,
            classes,
            unused,
        };
        Ok(Self { rows, statistics, about, held_out, constant })
    }

    /// Formats the class weights for a person.
    pub(crate) fn class_weights_note(&self) -> Option<String> {
        let weights = self.statistics.class_weights.as_ref()?;
        Some(format!("class weights: {}", table::class_weights(&self.about.classes, weights)))
    }

    pub(crate) fn about(&self) -> &DataSummary {
        &self.about
    }

    /// Returns a note if gradient descent runs on large features that are not standardised.
    pub(crate) fn scale_note(&self, config: &TrainConfig) -> Result<Option<String>> {
        let is_raw = self.statistics.preprocessing == Preprocessing::Raw;
        if !is_raw || config.descent().solver != Solver::Sgd {
            return Ok(None);
        }
        let largest = self.rows[0].max_abs()?;
        Ok((largest > 100.0).then(|| {
            let largest = shortest(largest);
            format!("note: the features are as large as {largest}, which makes gradient descent unstable; --set data.standardize=true scales them")
        }))
    }

    /// Returns the labels of the training rows.
    pub(crate) fn train_labels(&self) -> Vec<u16> {
        self.rows[0].labels()
    }

    /// Prepares the rows for the engine of a config.
    pub(crate) fn load(self, config: &TrainConfig, machine: &Machine) -> Result<PreparedRows> {
        // A view of the same rows.
        let train = is_checked(&self.about, config).then(|| self.rows[0].clone());
        let rows = machine.prepare(self.rows, &self.statistics.preprocessing, config)?;
        // Packed rows serve the check, too.
        let train = train.filter(|_| rows.fused().is_none());
        let Self { statistics, about, held_out, constant, .. } = self;
        Ok(PreparedRows { rows, train, statistics, about, held_out, constant })
    }
}

/// Returns whether [`PreparedRows::further_decrease`] measures: for tables, and for solvers without
/// a certificate.
fn is_checked(about: &DataSummary, config: &TrainConfig) -> bool {
    about.kind == DataKind::Table && config.descent().solver == Solver::Sgd
}

/// The rows of a run, prepared for an engine.
pub(crate) struct PreparedRows {
    rows: Prepared,
    /// The training rows, if [`further_decrease`](Self::further_decrease) has to pack them.
    train: Option<Rows>,
    statistics: TrainingStatistics,
    about: DataSummary,
    held_out: Option<HeldOut>,
    constant: FinalMetrics,
}

impl PreparedRows {
    /// Trains a model on the rows.
    pub(crate) fn train(
        &self,
        config: &TrainConfig,
        machine: &Machine,
        observer: &mut dyn Observer,
    ) -> Result<Trained, TrainError> {
        let config = self.statistics.apply_to(config);
        self.rows.train(self.about.classes.len(), &config, machine.threads(), observer)
    }

    /// Returns the summary of the data.
    pub(crate) fn about(&self) -> &DataSummary {
        &self.about
    }

    /// Returns the rows that were held out from the file of the training rows.
    pub(crate) fn held_out(&self) -> Option<&HeldOut> {
        self.held_out.as_ref()
    }

    /// Returns the metrics of the constant model.
    pub(crate) fn constant(&self) -> FinalMetrics {
        self.constant
    }

    /// Measures how much further J falls from these parameters, as a fraction of J. `None` for
    /// images, for solvers with a certificate, and if the observer stops it.
    pub(crate) fn further_decrease(
        &self,
        config: &TrainConfig,
        machine: &Machine,
        at: &Parameters,
        observer: &mut dyn Observer,
    ) -> Result<Option<f64>, TrainError> {
        if !is_checked(&self.about, config) {
            return Ok(None);
        }
        let link = LinkKind::from(config.model().kind).link(self.about.classes.len());
        let TrainingStatistics { preprocessing, class_weights } = &self.statistics;
        let packed = match &self.train {
            Some(rows) => Some(FusedRows::new(rows.clone(), preprocessing)?),
            None => None,
        };
        let Some(rows) = packed.as_ref().or(self.rows.fused()) else { return Ok(None) };
        let (weights, should_stop) = (class_weights.as_deref(), &mut || observer.should_stop());
        let decrease = further_decrease(&link, config, rows, machine.threads(), weights, at, should_stop)?;
        Ok(decrease.map(|FurtherDecrease { before, after }| if before > 0.0 { (before - after) / before } else { 0.0 }))
    }

    /// Returns the preprocessing of the features.
    pub(crate) fn preprocessing(&self) -> &Preprocessing {
        &self.statistics.preprocessing
    }

    /// Describes how the fused kernels read images, if they are used.
    pub(crate) fn kernel_note(&self, machine: &Machine) -> Option<String> {
        if self.rows.uses_device_kernels() {
            return Some("kernels: the device's own, two launches per step".to_owned());
        }
        let rows = self.rows.fused()?;
        if self.about.kind == DataKind::Table {
            let folder = rows.file()?.display();
            return Some(format!(
                "the training rows take more than data.resident_bytes; they stay in a file without a name on the disk of {folder}"
            ));
        }
        let packed_fraction = match rows.packed() {
            Some(packed) => Some(packed.stored_fraction()?),
            None => None,
        };
        let reading = match (packed_fraction, rows.file()) {
            (Some(1.0), _) => "every byte, because no block of 16 bytes is all 0".to_owned(),
            (Some(packed_fraction), _) => {
                format!("{:.0} % of the bytes: the blocks of 16 that are not all 0", 100.0 * packed_fraction)
            }
            (None, file) => format!(
                "blocks of 16 bytes that are not all 0; the training rows stay in {}",
                file.unwrap_or(Path::new("their file")).display()
            ),
        };
        let (isa, threads) = (Isa::best(), machine.threads());
        Some(format!(
            "kernels: {isa}, {threads} {}; they read {reading}",
            if threads.get() == 1 { "thread" } else { "threads" }
        ))
    }
}
