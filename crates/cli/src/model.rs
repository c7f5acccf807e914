//! A run's folder as a model to ask.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chainrule_data::Treat;
use chainrule_records::{Class, DataKind, RunFiles, RunFolder};
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
    /// Where the folder holds no whole run, or its weights are too large to compute with.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let run = RunFolder::read(folder)?;
        let predictor = Predictor::new(run.summary.model, run.parameters.clone(), run.preprocessing.clone());
        let predictor = predictor
            .map_err(anyhow::Error::msg)
            .with_context(|| folder.join("model.safetensors").display().to_string())?;
        Ok(Self { folder: folder.to_owned(), run, predictor })
    }

    /// `runs/softmax-1.html` for the folder `runs/softmax-1`, by whatever name it was called.
    ///
    /// # Errors
    /// Where the folder is gone, or is the root.
    pub(crate) fn beside(&self, ending: &str) -> Result<PathBuf> {
        let folder = self.folder.canonicalize().with_context(|| self.folder.display().to_string())?;
        let mut name = folder.file_name().context("the root folder is no run")?.to_owned();
        name.push(format!(".{ending}"));
        let named = self.folder.file_name().and(self.folder.parent());
        Ok(named.map_or_else(|| folder.with_file_name(&name), |parent| parent.join(&name)))
    }

    /// Rows and columns of an image.
    pub(crate) fn image_size(&self) -> [usize; 2] {
        self.run.summary.data.image_size
    }

    /// The features' names, where it takes a table.
    pub(crate) fn features(&self) -> Option<&[String]> {
        let data = &self.run.summary.data;
        (data.kind == DataKind::Table).then_some(&data.features)
    }

    /// How it takes a picture: as the training took those that it learnt from.
    pub(crate) fn treatment(&self) -> Treat {
        match self.run.summary.data.kind {
            DataKind::Images | DataKind::Table => Treat::AsDrawn,
            DataKind::Pictures => Treat::AsWhole,
        }
    }

    /// What the data calls the classes, in the order of the model's outputs.
    pub(crate) fn classes(&self) -> &[Class] {
        &self.run.summary.data.classes
    }

    /// In words.
    pub(crate) fn kind(&self) -> &'static str {
        table::name(self.run.summary.model)
    }
}
