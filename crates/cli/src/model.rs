//! Reads the folder of a run or an imported model for prediction.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chainrule_core::{
    Class, DataKind, LinkKind, Parameters, Precision, Preprocessing, Schema, TextOptions, TrainConfig, WeightNorms,
};
use chainrule_data::PictureMode;
use chainrule_records::{Imported, Manifest, RunError, RunFiles, RunFolder, Summary};
use chainrule_solve::Predictor;

use crate::table;

/// A trained model with the records of its folder.
pub(crate) struct Model {
    pub(crate) folder: PathBuf,
    pub(crate) link: LinkKind,
    pub(crate) precision: Precision,
    pub(crate) schema: Schema,
    pub(crate) parameters: Parameters,
    pub(crate) preprocessing: Preprocessing,
    pub(crate) weight_norm: WeightNorms,
    pub(crate) predictor: Predictor,
    pub(crate) origin: Origin,
}

/// Where a model was trained.
pub(crate) enum Origin {
    /// By this program.
    Run(Box<RunRecords>),
    /// By another tool.
    Imported(Box<Imported>),
}

/// The records of a run besides its model.
pub(crate) struct RunRecords {
    pub(crate) config: TrainConfig,
    pub(crate) manifest: Manifest,
    pub(crate) summary: Summary,
}

impl Model {
    /// Reads a model from a folder.
    ///
    /// # Errors
    /// If the folder holds no whole run and no imported model, or if the weights are too large to
    /// compute with.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        std::fs::metadata(folder).map_err(|problem| RunError::Read { path: folder.to_owned(), problem })?;
        let (link, precision, schema, weight_norm, parameters, preprocessing, origin) = if Imported::is_in(folder) {
            let (imported, parameters, preprocessing) = Imported::read(folder)?;
            let Imported { model, precision, weight_norm, .. } = imported;
            let (schema, origin) = (imported.data.clone(), Origin::Imported(Box::new(imported)));
            (model, precision, schema, weight_norm, parameters, preprocessing, origin)
        } else {
            let RunFiles { config, manifest, summary, parameters, preprocessing, .. } = RunFolder::read(folder)?;
            let (link, precision, weight_norm) = (summary.model.into(), summary.precision, summary.weight_norm);
            let schema = summary.data.schema();
            let origin = Origin::Run(Box::new(RunRecords { config, manifest, summary }));
            (link, precision, schema, weight_norm, parameters, preprocessing, origin)
        };
        let predictor = Predictor::new(link, parameters.clone(), preprocessing.clone());
        let predictor = predictor
            .map_err(anyhow::Error::msg)
            .with_context(|| folder.join("model.safetensors").display().to_string())?;
        let folder = folder.to_owned();
        Ok(Self { folder, link, precision, schema, parameters, preprocessing, weight_norm, predictor, origin })
    }

    /// Returns the run's records if the model was trained by this program.
    pub(crate) fn run_records(&self) -> Option<&RunRecords> {
        match &self.origin {
            Origin::Run(trained) => Some(trained),
            Origin::Imported(_) => None,
        }
    }

    /// Returns a path beside the folder, such as `runs/softmax-1.html` for `runs/softmax-1`. A
    /// symbolic link is resolved first.
    ///
    /// # Errors
    /// If the folder no longer exists, or is the root folder.
    pub(crate) fn sibling_path(&self, ending: &str) -> Result<PathBuf> {
        let folder = self.folder.canonicalize().with_context(|| self.folder.display().to_string())?;
        let mut name = folder.file_name().context("the root folder is no run")?.to_owned();
        name.push(format!(".{ending}"));
        let named = self.folder.file_name().and(self.folder.parent());
        Ok(named.map_or_else(|| folder.with_file_name(&name), |parent| parent.join(&name)))
    }

    /// Returns the rows and columns of an image.
    pub(crate) fn image_size(&self) -> [usize; 2] {
        self.schema.image_size
    }

    /// Returns the names of the features if the model was trained on a table.
    pub(crate) fn features(&self) -> Option<&[String]> {
        (self.schema.kind == DataKind::Table).then_some(&self.schema.features)
    }

    /// Returns what the run's config says of the text of tables.
    pub(crate) fn text_options(&self) -> TextOptions {
        self.run_records().map(|run| run.config.data().text()).unwrap_or_default()
    }

    /// Returns how the model prepares a picture: in the same way as in its training.
    pub(crate) fn picture_mode(&self) -> PictureMode {
        PictureMode::of(self.schema.kind)
    }

    /// Returns the names of the classes, in the order of the model's outputs.
    pub(crate) fn classes(&self) -> &[Class] {
        &self.schema.classes
    }

    /// Returns the positions of the classes that have their own weights: for the logistic model,
    /// the positive class.
    pub(crate) fn weighted_classes(&self) -> Range<usize> {
        self.classes().len() - self.parameters.columns..self.classes().len()
    }

    /// Returns the name of the kind of model.
    pub(crate) fn name(&self) -> &'static str {
        table::model_name(self.link)
    }
}
