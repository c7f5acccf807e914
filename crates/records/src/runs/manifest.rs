use chainrule_core::DataFile;
use serde::{Deserialize, Serialize};

/// The versions, device and data of a run, `manifest.json`. It makes every number of the run
/// traceable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The versions.
    pub versions: Versions,
    /// The Burn backend.
    pub backend: String,
    /// The device, as Burn names it.
    pub device: String,
    /// The operating system and processor architecture.
    pub platform: String,
    /// The vector instructions that the fused kernels use.
    #[serde(default)]
    pub instructions: String,
    /// The threads of the fused kernels; 1 for other gradients.
    #[serde(default)]
    pub threads: usize,
    /// The origin of the data.
    pub data_source: String,
    /// The data files and their checksums.
    pub data_files: Vec<DataFile>,
    /// The seed of the shuffle.
    pub seed: u64,
}

impl Manifest {
    /// Returns every difference that could change the numbers of a resumed run, one phrase each,
    /// with both values. `other` describes the machine that resumes.
    ///
    /// The git revision, the release and the path of the data are not compared, because they need
    /// not change any number.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (recorded, current) = (&self.versions, &other.versions);
        let code = |versions: &Versions| {
            let Versions { chainrule, numerics, git_revision, .. } = versions;
            format!("chainrule {chainrule}, whose numerics are version {numerics} (git {git_revision})")
        };
        let mut differences = Vec::new();
        let mut compare = |what: &str, recorded: String, current: String| {
            if recorded != current {
                differences.push(format!("{what} {recorded}, here {current}"));
            }
        };
        if recorded.numerics != current.numerics {
            compare("code:", code(recorded), code(current));
        }
        compare("Burn", recorded.burn.clone(), current.burn.clone());
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

/// The versions of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// The version of this program.
    pub chainrule: String,
    /// The git revision, with `-dirty` if files were changed; `unknown` outside a checkout.
    pub git_revision: String,
    /// The version of the code that decides a training's bits. It is 0 in runs before 0.2, which
    /// have a digest of all sources instead.
    #[serde(default)]
    pub numerics: u32,
    /// The version of Burn.
    pub burn: String,
}
