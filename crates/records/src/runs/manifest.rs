use chainrule_core::DataFile;
use serde::{Deserialize, Serialize};

/// What a run ran on, so that every number in it can be traced: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// What was built.
    pub versions: Versions,
    /// The Burn backend.
    pub backend: String,
    /// The device, as Burn names it.
    pub device: String,
    /// Operating system and processor architecture.
    pub platform: String,
    /// The vector instructions that the fused kernels take there.
    #[serde(default)]
    pub instructions: String,
    /// Threads of the fused kernels; 1 for other gradients.
    #[serde(default)]
    pub threads: usize,
    /// Where the data came from.
    pub data_source: String,
    /// The four files and their checksums.
    pub data_files: Vec<DataFile>,
    /// The seed of the shuffle.
    pub seed: u64,
}

impl Manifest {
    /// In what else a run could come to other numbers than this one, `other` being where it would
    /// go on: one part of a sentence each, naming both. The git revision and the release are not
    /// asked, since they may change nothing that is computed, nor where the data lies.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (made, here) = (&self.versions, &other.versions);
        let code = |versions: &Versions| {
            let Versions { chainrule, numerics, git_revision, .. } = versions;
            format!("chainrule {chainrule}, whose numerics are version {numerics} (git {git_revision})")
        };
        let mut differences = Vec::new();
        let mut compare = |what: &str, made: String, here: String| {
            if made != here {
                differences.push(format!("{what} {made}, here {here}"));
            }
        };
        if made.numerics != here.numerics {
            compare("code:", code(made), code(here));
        }
        compare("Burn", made.burn.clone(), here.burn.clone());
        compare("backend", self.backend.clone(), other.backend.clone());
        compare("device", self.device.clone(), other.device.clone());
        compare("platform", self.platform.clone(), other.platform.clone());
        compare("instructions", self.instructions.clone(), other.instructions.clone());
        compare("threads", self.threads.to_string(), other.threads.to_string());
        let name = |files: &[DataFile], i: usize| files.get(i).map_or_else(|| "none".to_owned(), DataFile::to_string);
        for i in 0..self.data_files.len().max(other.data_files.len()) {
            compare("data:", name(&self.data_files, i), name(&other.data_files, i));
        }
        differences
    }
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// This program.
    pub chainrule: String,
    /// Its git revision, `-dirty` where files were changed; `unknown` outside a checkout.
    pub git_revision: String,
    /// The version of all that decides a training's bits; 0 in runs of before 0.2, which have a
    /// digest of all sources instead.
    #[serde(default)]
    pub numerics: u32,
    /// Burn.
    pub burn: String,
}
