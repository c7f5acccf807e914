use std::collections::BTreeMap;
use std::path::Path;

use chainrule_core::{ContentError, LinkKind, ModelKind, Parameters, Precision, Preprocessing, Schema, WeightNorms};
use serde::Deserialize;

use crate::checksum::sha256;
use crate::names::{MANIFEST, MODEL, PLAN, SUMMARY};
use crate::seal::{read, unsealed};
use crate::{Imported, RunError, inside, read_parameters, read_preprocessing};

/// The model of a folder: of a run, an imported one, or one saved by a user's own program.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedModel {
    /// The link that converts logits to probabilities.
    pub link: LinkKind,
    /// The float type of the weights.
    pub precision: Precision,
    /// The features and the classes.
    pub schema: Schema,
    /// The weights.
    pub parameters: Parameters,
    /// The preprocessing of the features.
    pub preprocessing: Preprocessing,
    /// The norms of the weights.
    pub weight_norm: WeightNorms,
}

/// The model part of a run's `summary.json`.
#[derive(Deserialize)]
struct RunModel {
    model: ModelKind,
    precision: Precision,
    data: Schema,
    weight_norm: WeightNorms,
    files: BTreeMap<String, String>,
}

impl SavedModel {
    /// Reads only the model of a folder. For a run, the experiment and the history are not read.
    ///
    /// # Errors
    /// Fails if the folder has no complete model, if a file is damaged or changed, or if the files
    /// do not belong together.
    pub fn read(folder: &Path) -> Result<Self, RunError> {
        std::fs::metadata(folder).map_err(|problem| RunError::Read { path: folder.to_owned(), problem })?;
        if inside::is_there(&folder.join(PLAN)) {
            return Err(RunError::IsSweep { folder: folder.to_owned() });
        }
        if Imported::is_in(folder) {
            let (Imported { model: link, precision, data: schema, weight_norm, .. }, parameters, preprocessing) =
                Imported::read(folder)?;
            return Ok(Self { link, precision, schema, parameters, preprocessing, weight_norm });
        }
        let [summary, model] = [SUMMARY, MODEL].map(|name| folder.join(name));
        let damaged = |path: &Path, problem: &str| RunError::Damaged {
            path: path.to_owned(),
            problem: problem.to_owned(),
            run: folder.to_owned(),
        };
        if !inside::is_there(&summary) {
            if !inside::is_there(&folder.join(MANIFEST)) {
                return Err(RunError::WrongFolder { path: folder.to_owned(), what: "no model lies in this folder" });
            }
            return Err(damaged(&summary, "it is not there, as in a run that has not ended"));
        }
        let run_model: RunModel = unsealed(&read(&summary)?).map_err(|problem| damaged(&summary, &problem))?;
        if !inside::is_there(&model) {
            return Err(damaged(&model, "it is gone"));
        }
        let weights = read(&model)?;
        if run_model.files.get(MODEL) != Some(&sha256(&weights)) {
            return Err(damaged(&model, "it is damaged or was changed: its SHA-256 is not the one in summary.json"));
        }
        let unfinished =
            |problem: ContentError| RunError::Incomplete { path: model.clone(), problem: problem.to_string() };
        let parameters = read_parameters(&weights).map_err(unfinished)?;
        let preprocessing = read_preprocessing(&weights, run_model.data.kind).map_err(unfinished)?;
        match run_model.data.contradiction(run_model.model, &parameters, &preprocessing) {
            Some(problem) => Err(RunError::Incomplete { path: summary, problem }),
            None => Ok(Self {
                link: run_model.model.into(),
                precision: run_model.precision,
                schema: run_model.data,
                parameters,
                preprocessing,
                weight_norm: run_model.weight_norm,
            }),
        }
    }
}
