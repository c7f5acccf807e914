//! The checkpoints of a run folder: `checkpoint/step-N.mpk`, each a line that says what it is, the SHA-256 of the rest, and the rest in `MessagePack`, which
//! keeps every bit of a float.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checksum::sha256;
use crate::file::clear_drafts;
use crate::run_folder::read;
use crate::{RunError, RunFolder};

/// Their folder.
pub(crate) const FOLDER: &str = "checkpoint";

/// How many are kept: the last, and the one before, should the last be damaged.
const KEPT: usize = 2;

const FIRST_LINE: &[u8] = b"chainrule checkpoint 1\n";

impl RunFolder {
    /// Writes the checkpoint after so many steps, and deletes all but the last two, and those of later steps: a training that comes to this one found
    /// them damaged.
    ///
    /// # Errors
    /// Where it cannot be written; those that were there still are.
    pub fn write_checkpoint(&self, steps: usize, checkpoint: &impl Serialize) -> Result<(), RunError> {
        let content = rmp_serde::to_vec_named(checkpoint).expect("a checkpoint holds numbers and lists");
        let bytes = [FIRST_LINE, sha256(&content).as_bytes(), b"\n", &content].concat();
        self.write(&format!("{FOLDER}/step-{steps}.mpk"), &bytes)?;
        let all = self.checkpoints();
        let later = all.iter().take_while(|(made, _)| *made > steps).count();
        for (_, old) in all[..later].iter().chain(all.iter().skip(later + KEPT)) {
            // It is only in the way.
            let _ = std::fs::remove_file(old);
        }
        Ok(())
    }

    /// The last checkpoint that is whole, with its number of steps; `tell` hears of those that are not.
    pub fn last_checkpoint<T: DeserializeOwned>(&self, tell: &mut dyn FnMut(&RunError)) -> Option<(usize, T)> {
        clear_drafts(&self.path().join(FOLDER));
        self.checkpoints().into_iter().find_map(|(steps, path)| match read_checkpoint(&path) {
            Ok(checkpoint) => Some((steps, checkpoint)),
            Err(error) => {
                tell(&error);
                None
            }
        })
    }

    /// The files with their numbers of steps, the last first.
    fn checkpoints(&self) -> Vec<(usize, PathBuf)> {
        let entries = std::fs::read_dir(self.path().join(FOLDER)).into_iter().flatten().flatten();
        let mut checkpoints: Vec<_> = entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let steps = name.to_str()?.strip_prefix("step-")?.strip_suffix(".mpk")?.parse().ok()?;
                Some((steps, entry.path()))
            })
            .collect();
        checkpoints.sort_by(|a, b| b.cmp(a));
        checkpoints
    }
}

fn read_checkpoint<T: DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    let bytes = read(path)?;
    let damaged = |problem: &str| RunError::Unfinished { path: path.to_owned(), problem: problem.to_owned() };
    let rest = bytes.strip_prefix(FIRST_LINE).ok_or_else(|| damaged("it is no checkpoint, or a damaged one"))?;
    let (checksum, content) = rest.split_at_checked(64).ok_or_else(|| damaged("it breaks off"))?;
    let content = content.strip_prefix(b"\n").ok_or_else(|| damaged("it breaks off, or is damaged"))?;
    if checksum != sha256(content).as_bytes() {
        return Err(damaged("it is damaged: its SHA-256 is not the one that it was written with"));
    }
    rmp_serde::from_slice(content).map_err(|error| damaged(&format!("it is another version's: {error}")))
}
