//! A run's folder as a model to ask.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chainrule_records::{RunFiles, RunFolder};
use chainrule_training::Predictor;

use crate::table;

/// A trained model, with what its run says of it.
pub(crate) struct Model {
    pub(crate) folder: PathBuf,
    pub(crate) run: RunFiles,
    pub(crate) predictor: Predictor,
}

impl Model {
    /// # Errors
    /// Where the folder holds no finished run, or one whose files do not belong together.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let run = RunFolder::read(folder)?;
        let file = folder.join("model.safetensors");
        let name = || file.display().to_string();
        let predictor =
            Predictor::new(run.summary.model, run.parameters.clone()).map_err(anyhow::Error::msg).with_context(name)?;
        let ([height, width], classes) = (run.summary.data.image_size, run.summary.data.classes.len());
        if height.checked_mul(width) != Some(predictor.n_features()) || classes != predictor.n_classes() {
            bail!(
                "{}: {} features and {} classes, where summary.json says {height} x {width} pixels and {classes} classes; the files are not of \
                 one run",
                file.display(),
                predictor.n_features(),
                predictor.n_classes()
            );
        }
        Ok(Self { folder: folder.to_owned(), run, predictor })
    }

    /// Rows and columns of an image.
    pub(crate) fn image_size(&self) -> [usize; 2] {
        self.run.summary.data.image_size
    }

    /// What the data calls the classes, in the order of the model's outputs.
    pub(crate) fn classes(&self) -> &[u8] {
        &self.run.summary.data.classes
    }

    /// In words.
    pub(crate) fn kind(&self) -> &'static str {
        table::name(self.run.summary.model)
    }
}
