use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chainrule_core::{ContentError, DataFile, LinkKind, Parameters, Precision, Preprocessing, Schema, WeightNorms};
use serde::{Deserialize, Serialize};

use crate::checksum::sha256;
use crate::claim::{Claim, FolderKind, entries, is_lock_or_leftover, remove};
use crate::file::{clear_drafts, is_draft};
use crate::names::{IMPORTED, MODEL, PENDING_MODEL, SUMMARY};
use crate::seal::{read, read_sealed, sealed, unsealed};
use crate::{RunError, inside, read_parameters, read_preprocessing, write_weights, write_whole};

/// A model that was trained elsewhere: `imported.json`, next to `model.safetensors`. It has the
/// model part of a run's summary, without a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// Logistic, softmax or one-vs-rest regression.
    pub model: LinkKind,
    /// The float type of the weights.
    pub precision: Precision,
    /// The features and the classes.
    pub data: Schema,
    /// The norms of the weights.
    pub weight_norm: WeightNorms,
    /// The file that the weights were imported from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DataFile>,
    /// The training data, if a user's own program trained the model with the library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<DataFile>,
    /// The SHA-256 of the weight file, by name. `write` fills it in.
    pub files: BTreeMap<String, String>,
}

/// The folder kind of an imported model. Its marker file is `imported.json`.
pub(crate) const MODELS: FolderKind = FolderKind {
    name: "an imported model",
    is_leftover: |name| name == PENDING_MODEL || is_draft(name),
    is_one: |folder| read_sealed::<Imported>(&folder.join(IMPORTED), ADVICE).is_ok(),
    // The marker and the weights are replaced by renaming, so they stay until then.
    deletable_paths: |folder| reject_foreign_files(folder).map(|()| Vec::new()),
};

impl Imported {
    /// Returns the origin for a sentence, such as "the model came in torch.npz".
    pub fn origin(&self) -> String {
        match (&self.from, &self.trained_on) {
            (Some(from), _) => format!("came in {}", from.name),
            (None, Some(data)) => format!("was fitted to {} by a program of its own", data.name),
            (None, None) => "was saved by a program of its own".to_owned(),
        }
    }

    /// Returns whether a folder has an imported model, complete or not.
    pub fn is_in(folder: &Path) -> bool {
        inside::is_there(&folder.join(IMPORTED)) && !inside::is_there(&folder.join(SUMMARY))
    }

    /// Writes the model into a folder, atomically. With `replace`, the folder may hold another
    /// imported model and nothing else. That model stays until the new one is complete.
    ///
    /// # Errors
    /// Fails if something else is in the folder, if another process owns it, or if it cannot be
    /// written.
    pub fn write(
        &self,
        folder: &Path,
        replace: bool,
        parameters: &Parameters,
        preprocessing: &Preprocessing,
    ) -> Result<(), RunError> {
        let weights = write_weights(parameters, self.precision, preprocessing);
        let files = BTreeMap::from([(MODEL.to_owned(), sha256(&weights))]);
        let marker = sealed(&Self { files, ..self.clone() });
        let write = |folder: &Path| {
            clear_drafts(folder);
            let [model, next] = [MODEL, PENDING_MODEL].map(|name| folder.join(name));
            let move_into_place =
                || std::fs::rename(&next, &model).map_err(|problem| RunError::Write { path: model.clone(), problem });
            // After an interrupted replacement, the marker may describe the weights that were not
            // yet renamed.
            if files_of(folder).is_ok_and(|(_, path, _)| path == next) {
                move_into_place()?;
            }
            // Otherwise these weights belong to a failed replacement.
            remove(&next)?;
            write_whole(&next, &weights)?;
            write_whole(&folder.join(IMPORTED), &marker).inspect_err(|_| drop(remove(&next)))?;
            move_into_place()
        };
        Claim::create(folder, replace, &MODELS, &write).map(drop)
    }

    /// Reads the model of a folder.
    ///
    /// # Errors
    /// Fails if a file is missing, damaged or changed, or if the two files do not belong together.
    pub fn read(folder: &Path) -> Result<(Self, Parameters, Preprocessing), RunError> {
        let (imported, path, weights) = files_of(folder)?;
        let unfinished =
            |problem: ContentError| RunError::Incomplete { path: path.clone(), problem: problem.to_string() };
        let parameters = read_parameters(&weights).map_err(unfinished)?;
        let preprocessing = read_preprocessing(&weights, imported.data.kind).map_err(unfinished)?;
        match imported.data.contradiction(imported.model, &parameters, &preprocessing) {
            None => Ok((imported, parameters, preprocessing)),
            Some(problem) => Err(RunError::Incomplete { path: folder.join(IMPORTED), problem }),
        }
    }

    fn matches_weights(&self, weights: &[u8]) -> bool {
        self.files.get(MODEL) == Some(&sha256(weights))
    }
}

/// The advice for a damaged model.
const ADVICE: &str = "import it again";

/// Returns the folder's `imported.json`, and the path and bytes of the weights that it describes.
fn files_of(folder: &Path) -> Result<(Imported, PathBuf, Vec<u8>), RunError> {
    let marker = folder.join(IMPORTED);
    loop {
        let bytes = read(&marker)?;
        let imported: Imported = unsealed(&bytes).map_err(|problem| RunError::Incomplete {
            path: marker.clone(),
            problem: format!("{problem}; {ADVICE}"),
        })?;
        // In this order the weights are found even if they are renamed in between.
        for path in [PENDING_MODEL, MODEL].map(|name| folder.join(name)) {
            if let Ok(weights) = read(&path)
                && imported.matches_weights(&weights)
            {
                return Ok((imported, path, weights));
            }
        }
        // Another process may have replaced both files.
        if read(&marker)? == bytes {
            let path = folder.join(MODEL);
            read(&path)?;
            let problem =
                format!("it is damaged or was changed: its SHA-256 is not the one in imported.json; {ADVICE}");
            return Err(RunError::Incomplete { path, problem });
        }
    }
}

/// Fails with the first file that does not belong to an imported model.
fn reject_foreign_files(folder: &Path) -> Result<(), RunError> {
    let names = entries(folder)?;
    let foreign = |name: &str| Err(RunError::Foreign { path: folder.join(name), kind: MODELS.name });
    let Ok(marker) = read_sealed::<Imported>(&folder.join(IMPORTED), ADVICE) else {
        let marker = names.iter().find(|name| *name == IMPORTED);
        return foreign(marker.or(names.first()).map_or(IMPORTED, String::as_str));
    };
    let matches_weights = |name: &str| read(&folder.join(name)).is_ok_and(|weights| marker.matches_weights(&weights));
    let belongs = |name: &str| match name {
        IMPORTED => true,
        MODEL => {
            matches_weights(MODEL)
                || matches_weights(PENDING_MODEL) && inside::check(&folder.join(MODEL), false).is_ok()
        }
        _ => is_lock_or_leftover(folder, name, &MODELS),
    };
    names.iter().find(|name| !belongs(name)).map_or(Ok(()), |name| foreign(name))
}
