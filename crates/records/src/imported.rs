use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checksum::sha256;
use crate::run_folder::{MODEL, SUMMARY, json, parse_json, read};
use crate::summary::Schema;
use crate::{DataFile, Link, Parameters, Precision, Preprocessing, RunError, WeightNorms, write_whole};

/// A model that was trained elsewhere: `imported.json`, beside `model.safetensors`. It says what a run's summary says of its model, and nothing of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// Logistic or softmax regression, or one against the rest.
    pub model: Link,
    /// The float type of the weights.
    pub precision: Precision,
    /// What it takes and what it tells apart.
    pub data: Schema,
    /// Norms of the weights.
    pub weight_norm: WeightNorms,
    /// The file that the weights came in, where they came in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DataFile>,
    /// The data that it was fitted to, where a program of someone's own did that by this one's library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<DataFile>,
    /// SHA-256 of the folder's other file by its name. Filled in where it is written.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

/// The file that makes a folder one of an imported model.
const IMPORTED: &str = "imported.json";

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
        folder.join(IMPORTED).exists() && !folder.join(SUMMARY).exists()
    }

    /// Writes the model into a folder of its own; with `replace` into one that holds another imported model.
    ///
    /// # Errors
    /// Where something else is there, and where it cannot be written.
    pub fn write(
        &self,
        folder: &Path,
        replace: bool,
        parameters: &Parameters,
        preprocessing: &Preprocessing,
    ) -> Result<(), RunError> {
        let is_free = std::fs::read_dir(folder).map_or(!folder.exists(), |mut entries| entries.next().is_none());
        let may_replace = replace && Self::is_in(folder);
        if !is_free && !may_replace {
            return Err(RunError::Exists(folder.to_owned()));
        }
        let failed = |problem| RunError::Write { path: folder.to_owned(), problem };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let weights = parameters.to_safetensors_with(self.precision, preprocessing);
        let files = BTreeMap::from([(MODEL.to_owned(), sha256(&weights))]);
        // What seals the weights comes last, and that of others goes first.
        let (model, sealed) = (folder.join(MODEL), folder.join(IMPORTED));
        if sealed.exists() {
            std::fs::remove_file(&sealed).map_err(failed)?;
        }
        write_whole(&model, &weights)?;
        write_whole(&sealed, &json(&Self { files, ..self.clone() }))
    }

    /// Reads the model that lies in a folder.
    ///
    /// # Errors
    /// Where a file is absent, damaged or was changed, and where the two are not of one model.
    pub fn read(folder: &Path) -> Result<(Self, Parameters, Preprocessing), RunError> {
        let (card, model) = (folder.join(IMPORTED), folder.join(MODEL));
        let imported: Self = parse_json(&card, &read(&card)?)?;
        let weights = read(&model)?;
        let unfinished = |problem| RunError::Unfinished { path: model.clone(), problem };
        if imported.files.get(MODEL) != Some(&sha256(&weights)) {
            let problem = "it is damaged or was changed: its SHA-256 is not the one in imported.json; import it again";
            return Err(unfinished(problem.to_owned()));
        }
        let parameters = Parameters::from_safetensors(&weights).map_err(unfinished)?;
        let preprocessing = Preprocessing::from_safetensors(&weights, imported.data.kind).map_err(unfinished)?;
        match imported.data.contradiction(imported.model, &parameters, &preprocessing) {
            None => Ok((imported, parameters, preprocessing)),
            Some(problem) => Err(RunError::Unfinished { path: folder.join(IMPORTED), problem }),
        }
    }
}
