use std::collections::BTreeMap;
use std::path::Path;

use chainrule_core::{ContentError, LinkKind, ModelKind, Parameters, Precision, Preprocessing, Schema, WeightNorms};
use serde::Deserialize;

use crate::checksum::sha256;
use crate::names::{MANIFEST, MODEL, PLAN, SUMMARY};
use crate::seal::{read, unsealed};
use crate::{Imported, RunError, inside, read_parameters, read_preprocessing};

/// A model as a folder keeps it, whoever trained it: a run's, an imported one, or one that a
/// program saved.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedModel {
    /// How its logits become probabilities.
    pub link: LinkKind,
    /// The float type of the weights.
    pub precision: Precision,
    /// What it takes and what it tells apart.
    pub schema: Schema,
    /// The weights.
    pub parameters: Parameters,
    /// What its features are made by.
    pub preprocessing: Preprocessing,
    /// Norms of the weights.
    pub weight_norm: WeightNorms,
}

/// What a run's `summary.json` says of its model.
#[derive(Deserialize)]
struct Card {
    model: ModelKind,
    precision: Precision,
    data: Schema,
    weight_norm: WeightNorms,
    files: BTreeMap<String, String>,
}

impl SavedModel {
    /// Reads the model that lies in a folder, and nothing else of it: of a run neither its
    /// experiment nor its history.
    ///
    /// # Errors
    /// Where the folder holds no whole model, or a file of it is damaged or was changed, and where
    /// two of them are not of one model.
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
                return Err(RunError::Another { path: folder.to_owned(), what: "no model lies in this folder" });
            }
            return Err(damaged(&summary, "it is not there, as in a run that has not ended"));
        }
        let card: Card = unsealed(&read(&summary)?).map_err(|problem| damaged(&summary, &problem))?;
        if !inside::is_there(&model) {
            return Err(damaged(&model, "it is gone"));
        }
        let weights = read(&model)?;
        if card.files.get(MODEL) != Some(&sha256(&weights)) {
            return Err(damaged(&model, "it is damaged or was changed: its SHA-256 is not the one in summary.json"));
        }
        let unfinished =
            |problem: ContentError| RunError::Unfinished { path: model.clone(), problem: problem.to_string() };
        let parameters = read_parameters(&weights).map_err(unfinished)?;
        let preprocessing = read_preprocessing(&weights, card.data.kind).map_err(unfinished)?;
        match card.data.contradiction(card.model, &parameters, &preprocessing) {
            Some(problem) => Err(RunError::Unfinished { path: summary, problem }),
            None => Ok(Self {
                link: card.model.into(),
                precision: card.precision,
                schema: card.data,
                parameters,
                preprocessing,
                weight_norm: card.weight_norm,
            }),
        }
    }
}
