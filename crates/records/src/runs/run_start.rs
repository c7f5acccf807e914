use std::io::ErrorKind;
use std::path::Path;

use chainrule_core::TrainConfig;
use serde::{Deserialize, Serialize};

use crate::names::{CONFIG, MANIFEST};
use crate::runs::config_file::MAX_BYTES;
use crate::seal::{read, sealed, unsealed};
use crate::{ConfigFile, Manifest, RunError, inside, write_whole};

/// The start of a run: its config and its manifest.
#[derive(Clone, Debug)]
pub(crate) struct RunStart {
    pub(crate) config: TrainConfig,
    pub(crate) manifest: Manifest,
    /// The bytes of `manifest.json`. It is sealed and contains the config too, so it can be the
    /// marker file of a run.
    pub(crate) document: Vec<u8>,
    /// The text of `config.toml`. It repeats the config for people.
    pub(crate) text: String,
}

/// The content of `manifest.json`.
#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(flatten)]
    manifest: Manifest,
    config: String,
}

/// The advice if either file was changed.
const ADVICE: &str = "put back what was there, or train anew";

impl RunStart {
    pub(crate) fn new(config: &TrainConfig, manifest: &Manifest) -> Self {
        let text = config.to_toml();
        let document = sealed(&Document { manifest: manifest.clone(), config: text.clone() });
        Self { config: config.clone(), manifest: manifest.clone(), document, text }
    }

    /// Reads the `manifest.json` of a folder.
    pub(crate) fn read_manifest(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(MANIFEST);
        let document = read(&path)?;
        let parse = || -> Result<_, String> {
            let Document { manifest, config: text } =
                unsealed(&document).map_err(|problem| format!("{problem}; {ADVICE}"))?;
            if text.len() as u64 > MAX_BYTES {
                return Err(format!("its config.toml is longer than the {MAX_BYTES} bytes that such a file may have"));
            }
            let config = TrainConfig::parse(CONFIG, &text, &[]).map_err(|error| error.to_string())?;
            Ok((config, manifest, text))
        };
        match parse() {
            Ok((config, manifest, text)) => Ok(Self { config, manifest, document, text }),
            Err(problem) => Err(RunError::Incomplete { path, problem }),
        }
    }

    /// Like `read_manifest`, and checks that `config.toml` has the same content, if it exists.
    pub(crate) fn read(folder: &Path) -> Result<Self, RunError> {
        let run_start = Self::read_manifest(folder)?;
        run_start.has_config(folder)?;
        Ok(run_start)
    }

    /// Returns whether `config.toml` exists.
    ///
    /// # Errors
    /// Fails if its content differs.
    pub(crate) fn has_config(&self, folder: &Path) -> Result<bool, RunError> {
        let path = folder.join(CONFIG);
        let problem = match inside::read(&path, MAX_BYTES) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => error.to_string(),
            Ok(bytes) if bytes == self.text.as_bytes() => return Ok(true),
            Ok(bytes) => {
                let changed = TrainConfig::parse(CONFIG, &String::from_utf8_lossy(&bytes), &[]);
                let changed = changed.map(|changed| changed.differences(&self.config)).unwrap_or_default();
                let colon = if changed.is_empty() { "" } else { ": " };
                let changed = changed.join("; ");
                format!("it is damaged or was changed since the run began{colon}{changed}; {ADVICE}")
            }
        };
        Err(RunError::Incomplete { path, problem })
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), RunError> {
        write_whole(&folder.join(MANIFEST), &self.document)?;
        self.write_config(folder)
    }

    pub(crate) fn write_config(&self, folder: &Path) -> Result<(), RunError> {
        write_whole(&folder.join(CONFIG), self.text.as_bytes())
    }
}
