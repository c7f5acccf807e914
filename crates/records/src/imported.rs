use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chainrule_core::{ContentError, DataFile, LinkKind, Parameters, Precision, Preprocessing, Schema, WeightNorms};
use serde::{Deserialize, Serialize};

use crate::checksum::sha256;
use crate::claim::{Claim, FolderKind, entries, is_of_no_account, remove};
use crate::file::{clear_drafts, is_draft};
use crate::names::{IMPORTED, MODEL, NEXT, SUMMARY};
use crate::seal::{read, read_sealed, sealed, unsealed};
use crate::{RunError, inside, read_parameters, read_preprocessing, write_weights, write_whole};

/// A model that was trained elsewhere: `imported.json`, beside `model.safetensors`. It says what a
/// run's summary says of its model, and nothing of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// Logistic or softmax regression, or one against the rest.
    pub model: LinkKind,
    /// The float type of the weights.
    pub precision: Precision,
    /// What it takes and what it tells apart.
    pub data: Schema,
    /// Norms of the weights.
    pub weight_norm: WeightNorms,
    /// The file that the weights came in, where they came in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DataFile>,
    /// The data that it was fitted to, where a program of someone's own did that by this one's
    /// library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<DataFile>,
    /// SHA-256 of the folder's other file by its name. Filled in where it is written.
    pub files: BTreeMap<String, String>,
}

/// A folder of an imported model is one by its card.
pub(crate) const MODELS: FolderKind = FolderKind {
    name: "an imported model",
    is_leftover: |name| name == NEXT || is_draft(name),
    is_one: |folder| read_sealed::<Imported>(&folder.join(IMPORTED), WAY_OUT).is_ok(),
    // The card and the weights that it tells of are replaced by renaming, and are there until then.
    to_replace: |folder| check_own(folder).map(|()| Vec::new()),
};

impl Imported {
    /// Where it comes from, for a sentence: "the model came in torch.npz".
    pub fn origin(&self) -> String {
        match (&self.from, &self.trained_on) {
            (Some(from), _) => format!("came in {}", from.name),
            (None, Some(data)) => format!("was fitted to {} by a program of its own", data.name),
            (None, None) => "was saved by a program of its own".to_owned(),
        }
    }

    /// Whether a folder holds an imported model, whole or not.
    pub fn is_in(folder: &Path) -> bool {
        inside::is_there(&folder.join(IMPORTED)) && !inside::is_there(&folder.join(SUMMARY))
    }

    /// Writes the model into a folder of its own, whole or not at all; with `replace` into one that
    /// holds another imported model and nothing besides, which is there until this one is.
    ///
    /// # Errors
    /// Where something else is there, another process has the folder, and where it cannot be
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
        let card = sealed(&Self { files, ..self.clone() });
        let write = |folder: &Path| {
            clear_drafts(folder);
            let [model, next] = [MODEL, NEXT].map(|name| folder.join(name));
            let put =
                || std::fs::rename(&next, &model).map_err(|problem| RunError::Write { path: model.clone(), problem });
            // Of a replacement that was cut off, the card may tell of what waits for its name.
            if files_of(folder).is_ok_and(|(_, path, _)| path == next) {
                put()?;
            }
            // Else what waits there is of a replacement that came to nothing.
            remove(&next)?;
            write_whole(&next, &weights)?;
            write_whole(&folder.join(IMPORTED), &card).inspect_err(|_| drop(remove(&next)))?;
            put()
        };
        Claim::create(folder, replace, &MODELS, &write).map(drop)
    }

    /// Reads the model that lies in a folder.
    ///
    /// # Errors
    /// Where a file is absent, damaged or was changed, and where the two are not of one model.
    pub fn read(folder: &Path) -> Result<(Self, Parameters, Preprocessing), RunError> {
        let (imported, path, weights) = files_of(folder)?;
        let unfinished =
            |problem: ContentError| RunError::Unfinished { path: path.clone(), problem: problem.to_string() };
        let parameters = read_parameters(&weights).map_err(unfinished)?;
        let preprocessing = read_preprocessing(&weights, imported.data.kind).map_err(unfinished)?;
        match imported.data.contradiction(imported.model, &parameters, &preprocessing) {
            None => Ok((imported, parameters, preprocessing)),
            Some(problem) => Err(RunError::Unfinished { path: folder.join(IMPORTED), problem }),
        }
    }

    fn tells_of(&self, weights: &[u8]) -> bool {
        self.files.get(MODEL) == Some(&sha256(weights))
    }
}

/// What one can do about a damaged model.
const WAY_OUT: &str = "import it again";

/// A folder's card, and the weights that it tells of with where they lie.
fn files_of(folder: &Path) -> Result<(Imported, PathBuf, Vec<u8>), RunError> {
    let card = folder.join(IMPORTED);
    loop {
        let bytes = read(&card)?;
        let imported: Imported = unsealed(&bytes)
            .map_err(|problem| RunError::Unfinished { path: card.clone(), problem: format!("{problem}; {WAY_OUT}") })?;
        // In this order they are found under one of the names, should they get the other one
        // meanwhile.
        for path in [NEXT, MODEL].map(|name| folder.join(name)) {
            if let Ok(weights) = read(&path)
                && imported.tells_of(&weights)
            {
                return Ok((imported, path, weights));
            }
        }
        // Another process may have replaced both since.
        if read(&card)? == bytes {
            let path = folder.join(MODEL);
            read(&path)?;
            let problem =
                format!("it is damaged or was changed: its SHA-256 is not the one in imported.json; {WAY_OUT}");
            return Err(RunError::Unfinished { path, problem });
        }
    }
}

/// Refuses a folder that is no imported model's, or in which something else lies: names the first.
fn check_own(folder: &Path) -> Result<(), RunError> {
    let names = entries(folder)?;
    let foreign = |name: &str| Err(RunError::Foreign { path: folder.join(name), kind: MODELS.name });
    let Ok(card) = read_sealed::<Imported>(&folder.join(IMPORTED), WAY_OUT) else {
        let card = names.iter().find(|name| *name == IMPORTED);
        return foreign(card.or(names.first()).map_or(IMPORTED, String::as_str));
    };
    let tells_of = |name: &str| read(&folder.join(name)).is_ok_and(|weights| card.tells_of(&weights));
    let is_own = |name: &str| match name {
        IMPORTED => true,
        MODEL => tells_of(MODEL) || tells_of(NEXT) && inside::check(&folder.join(MODEL), false).is_ok(),
        _ => is_of_no_account(folder, name, &MODELS),
    };
    names.iter().find(|name| !is_own(name)).map_or(Ok(()), |name| foreign(name))
}
