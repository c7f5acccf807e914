//! The checkpoints of a run folder: `checkpoint/step-N.mpk`. Each has a line that identifies the
//! format, the SHA-256 of the rest, and the rest as `MessagePack`, which keeps every bit of a
//! float.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checksum::sha256;
use crate::claim;
use crate::file::{clear_drafts, is_draft};
use crate::seal::read;
use crate::{RunError, RunFolder, inside};

/// The name of the checkpoint folder.
pub(crate) const FOLDER: &str = "checkpoint";

/// The number of checkpoints to keep. The second is the fallback if the last is damaged.
const KEPT: usize = 2;

const FIRST_LINE: &[u8] = b"chainrule checkpoint 1\n";

impl RunFolder {
    /// Writes the checkpoint after `steps` steps. Keeps the last two and deletes the others, also
    /// those of later steps: they were found damaged if the training is at this step again.
    ///
    /// # Errors
    /// Fails if the checkpoint cannot be written. Existing checkpoints stay in that case.
    pub fn write_checkpoint(&self, steps: usize, checkpoint: &impl Serialize) -> Result<(), RunError> {
        let content = rmp_serde::to_vec_named(checkpoint).expect("a checkpoint holds numbers and lists");
        let bytes = [FIRST_LINE, sha256(&content).as_bytes(), b"\n", &content].concat();
        self.write(&format!("{FOLDER}/step-{steps}.mpk"), &bytes)?;
        let all = self.checkpoints();
        let later_count = all.iter().take_while(|(checkpoint_steps, _)| *checkpoint_steps > steps).count();
        for (_, old) in all[..later_count].iter().chain(all.iter().skip(later_count + KEPT)) {
            // A failed deletion does no harm.
            let _ = std::fs::remove_file(old);
        }
        Ok(())
    }

    /// Returns the last valid checkpoint and its number of steps. `log` receives the errors of
    /// damaged ones.
    pub fn last_checkpoint<T: DeserializeOwned>(&self, log: &mut dyn FnMut(&RunError)) -> Option<(usize, T)> {
        clear_drafts(&self.path().join(FOLDER));
        self.checkpoints().into_iter().find_map(|(steps, path)| match read_checkpoint(&path) {
            Ok(checkpoint) => Some((steps, checkpoint)),
            Err(error) => {
                log(&error);
                None
            }
        })
    }

    /// Returns the checkpoint files with their numbers of steps, the last first.
    fn checkpoints(&self) -> Vec<(usize, PathBuf)> {
        let entries = std::fs::read_dir(self.path().join(FOLDER)).into_iter().flatten().flatten();
        let mut checkpoints: Vec<_> =
            entries.filter_map(|entry| Some((steps_of(entry.file_name().to_str()?)?, entry.path()))).collect();
        checkpoints.sort_by(|a, b| b.cmp(a));
        checkpoints
    }
}

/// Returns the number of steps in a checkpoint's file name.
fn steps_of(name: &str) -> Option<usize> {
    name.strip_prefix("step-")?.strip_suffix(".mpk")?.parse().ok()
}

/// Fails if the checkpoint folder is not a folder, or if a checkpoint is not a regular file.
pub(crate) fn check(run: &Path) -> Result<(), RunError> {
    let folder = run.join(FOLDER);
    let error = |path: &Path, problem| RunError::Write { path: path.to_owned(), problem };
    if !inside::check(&folder, true).map_err(|problem| error(&folder, problem))? {
        return Ok(());
    }
    for name in claim::entries(&folder)?.into_iter().filter(|name| steps_of(name).is_some()) {
        let path = folder.join(name);
        inside::check(&path, false).map_err(|problem| error(&path, problem))?;
    }
    Ok(())
}

/// Returns the checkpoints and temporary files of a folder, and the folder itself. Fails with the
/// first other file in it.
pub(crate) fn deletable_files(run: &Path) -> Result<Vec<PathBuf>, PathBuf> {
    let folder = run.join(FOLDER);
    if !inside::check(&folder, true).map_err(|_| folder.clone())? {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for name in claim::entries(&folder).map_err(|_| folder.clone())? {
        let path = folder.join(&name);
        let belongs = match steps_of(&name) {
            Some(_) => read(&path).is_ok_and(|bytes| content(&bytes).is_ok()),
            None => is_draft(&name) && inside::check(&path, false).is_ok(),
        };
        if !belongs {
            return Err(path);
        }
        paths.push(path);
    }
    paths.push(folder);
    Ok(paths)
}

/// Deletes all files with checkpoint names, and the folder if it is then empty.
pub(crate) fn remove(run: &Path) -> Result<(), RunError> {
    let folder = run.join(FOLDER);
    if !matches!(inside::check(&folder, true), Ok(true)) {
        return Ok(());
    }
    clear_drafts(&folder);
    for name in claim::entries(&folder)?.into_iter().filter(|name| steps_of(name).is_some()) {
        claim::remove(&folder.join(name))?;
    }
    let _ = std::fs::remove_dir(&folder);
    Ok(())
}

fn read_checkpoint<T: DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    let bytes = read(path)?;
    let damaged = |problem: &str| RunError::Incomplete { path: path.to_owned(), problem: problem.to_owned() };
    let content = content(&bytes).map_err(damaged)?;
    rmp_serde::from_slice(content).map_err(|error| damaged(&format!("it is another version's: {error}")))
}

/// Returns the content of a checkpoint, or why it is not one.
fn content(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let rest = bytes.strip_prefix(FIRST_LINE).ok_or("it is no checkpoint, or a damaged one")?;
    let (checksum, content) = rest.split_at_checked(64).ok_or("it breaks off")?;
    let content = content.strip_prefix(b"\n").ok_or("it breaks off, or is damaged")?;
    if checksum != sha256(content).as_bytes() {
        return Err("it is damaged: its SHA-256 is not the one that it was written with");
    }
    Ok(content)
}
