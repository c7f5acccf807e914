//! A run's folder as a model to ask.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chainrule_core::{
    Class, DataKind, LinkKind, Parameters, Precision, Preprocessing, Schema, TrainConfig, WeightNorms,
};
use chainrule_data::PictureMode;
use chainrule_records::{Imported, Manifest, RunError, RunFiles, RunFolder, Summary};
use chainrule_solve::Predictor;

use crate::table;

/// A trained model, with what its folder says of it.
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
    /// Here.
    Run(Box<Trained>),
    /// Elsewhere.
    Imported(Box<Imported>),
}

/// What a run says besides its model.
pub(crate) struct Trained {
    pub(crate) config: TrainConfig,
    pub(crate) manifest: Manifest,
    pub(crate) summary: Summary,
}

impl Model {
    /// # Errors
    /// Where the folder holds no whole run and no imported model, or its weights are too large to
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
            let origin = Origin::Run(Box::new(Trained { config, manifest, summary }));
            (link, precision, schema, weight_norm, parameters, preprocessing, origin)
        };
        let predictor = Predictor::new(link, parameters.clone(), preprocessing.clone());
        let predictor = predictor
            .map_err(anyhow::Error::msg)
            .with_context(|| folder.join("model.safetensors").display().to_string())?;
        let folder = folder.to_owned();
        Ok(Self { folder, link, precision, schema, parameters, preprocessing, weight_norm, predictor, origin })
    }

    /// Its run, where it was trained here.
    pub(crate) fn trained(&self) -> Option<&Trained> {
        match &self.origin {
            Origin::Run(trained) => Some(trained),
            Origin::Imported(_) => None,
        }
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
        self.schema.image_size
    }

    /// The features' names, where it takes a table.
    pub(crate) fn features(&self) -> Option<&[String]> {
        (self.schema.kind == DataKind::Table).then_some(&self.schema.features)
    }

    /// How it takes a picture: as the training took those that it learnt from.
    pub(crate) fn treatment(&self) -> PictureMode {
        PictureMode::of(self.schema.kind)
    }

    /// What the data calls the classes, in the order of the model's outputs.
    pub(crate) fn classes(&self) -> &[Class] {
        &self.schema.classes
    }

    /// In words.
    pub(crate) fn name(&self) -> &'static str {
        table::name(self.link)
    }
}
