//! Pictures in one folder per class.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::iter::repeat_n;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainrule_core::{DataKind, UnusedFiles, name_problem};

use crate::idx::{self, IdxImages, KeepPixels};
use crate::input::BEGINNING;
use crate::readers::{self, PICTURES};
use crate::tables::{TRAIN, VALIDATION};
use crate::{DataError, Holdout, Images, picture, sha256};

/// The options for converting pictures to images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureRequest {
    /// The rows and columns of an image.
    pub size: [usize; 2],
    /// The conversion mode.
    pub mode: PictureMode,
    /// The holdout for a folder without a validation part; `None` uses all pictures for training
    /// and validation.
    pub holdout: Option<Holdout>,
}

/// The conversion mode of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureMode {
    /// Ink on a background, like MNIST's: [`picture::read`].
    AsDrawn,
    /// Any content, edge to edge: [`picture::read_whole`].
    AsWhole,
}

impl PictureMode {
    /// Returns the mode for a model that was trained on this kind of data: the same as in training.
    pub fn of(kind: DataKind) -> Self {
        match kind {
            DataKind::Images | DataKind::Table => Self::AsDrawn,
            DataKind::Pictures => Self::AsWhole,
        }
    }
}

/// The pictures of class folders.
pub(crate) struct ClassFolders {
    pub(crate) images: [Arc<Images>; 2],
    /// The class names, from the folders.
    pub(crate) classes: Vec<String>,
    /// Each class folder with one checksum over the names and checksums of its pictures.
    pub(crate) files: Vec<(String, String)>,
    /// The number of pictures in each of these folders.
    pub(crate) counts: Vec<usize>,
    /// The paths of all pictures.
    pub(crate) pictures: Vec<PathBuf>,
}

/// The largest size of a picture file, in bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 28;

/// Returns the subfolders of a folder, sorted by name. Names that begin with a dot are skipped.
fn folders(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).map(|path| (file_name(&path), path)).collect();
    folders.retain(|(name, _)| !name.starts_with('.'));
    folders.sort();
    folders
}

/// Returns the pictures in a folder, sorted by name.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable = |problem| DataError::Read { path: folder.to_owned(), problem };
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable)?;
    let mut pictures: Vec<PathBuf> =
        entries.iter().map(std::fs::DirEntry::path).filter(|path| is_picture(path)).collect();
    pictures.sort();
    Ok(pictures)
}

/// Returns whether a file has the extension or the beginning of a picture. A file with only the
/// extension counts too, so that it causes an error instead of being skipped.
fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    if !path.is_file() || file_name(path).starts_with('.') {
        return false;
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BEGINNING as u64).read_to_end(&mut bytes));
    readers::of(PICTURES)
        .any(|reader| reader.extensions().contains(&extension.as_str()) || (read.is_ok() && reader.sniff(&bytes)))
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Returns whether a subfolder of this folder has pictures.
fn has_classes(folder: &Path) -> bool {
    folders(folder).iter().any(|(_, path)| pictures(path).is_ok_and(|pictures| !pictures.is_empty()))
}

/// Returns the folders that hold class folders: the folder itself, or its training and validation
/// parts. Returns `None` if there are no class folders.
pub(crate) fn parts(folder: &Path) -> Option<Vec<PathBuf>> {
    let train = folder.join(TRAIN);
    if has_classes(&train) {
        let validation = VALIDATION.map(|name| folder.join(name)).into_iter().find(|path| has_classes(path));
        return Some([train].into_iter().chain(validation).collect());
    }
    has_classes(folder).then(|| vec![folder.to_owned()])
}

/// Lists the unused files of a folder of class folders.
pub(crate) fn unused(folder: &Path, used: Vec<PathBuf>) -> UnusedFiles {
    crate::unused::unused(folder, used, |path| {
        if path.is_dir() {
            let is_at_the_top = path.parent() == Some(folder);
            match (has_classes(path), pictures(path).is_ok_and(|pictures| !pictures.is_empty())) {
                (true, _) if is_at_the_top => {
                    Some("another folder is used for this part, or no part has this name".to_owned())
                }
                (true, _) => Some("its pictures are in subfolders".to_owned()),
                (false, true) if is_at_the_top => Some("not in a part such as train".to_owned()),
                (false, true) => Some("a subfolder of a class folder".to_owned()),
                (false, false) => Some(format!("no {} in it", readers::names(PICTURES, "or"))),
            }
        } else if is_picture(path) {
            Some("not in a class folder".to_owned())
        } else {
            Some(format!("neither {}", readers::names(PICTURES, "nor")))
        }
    })
}

/// Reads the pictures of one or two parts. Keeps all pixels or none.
///
/// # Errors
/// Fails if a picture is damaged, or if the pictures need too much memory.
pub(crate) fn read(parts: &[PathBuf], request: PictureRequest, keep: KeepPixels) -> Result<ClassFolders, DataError> {
    let mut by_part: Vec<BTreeMap<String, Vec<PathBuf>>> = Vec::new();
    for part in parts {
        let mut pictures_by_class = BTreeMap::new();
        for (name, folder) in folders(part) {
            if let Some(problem) = name_problem(&name) {
                return Err(DataError::Idx { path: folder, problem: format!("the class name {problem}") });
            }
            let pictures = pictures(&folder)?;
            if !pictures.is_empty() && pictures_by_class.insert(name.clone(), pictures).is_some() {
                let problem =
                    format!("two class folders have the name {name:?} after invalid UTF-8 is replaced; rename one");
                return Err(DataError::Idx { path: part.clone(), problem });
            }
        }
        by_part.push(pictures_by_class);
    }
    let classes: Vec<String> = by_part[0].keys().cloned().collect();
    if classes.len() > 256 {
        let problem = format!("it has {} class folders; at most 256 classes are supported", classes.len());
        return Err(DataError::Idx { path: parts[0].clone(), problem });
    }
    if let Some((name, part)) = by_part.iter().zip(parts).skip(1).find_map(|(pictures_by_class, part)| {
        pictures_by_class.keys().find(|name| !classes.contains(name)).map(|name| (name, part))
    }) {
        let problem = format!("no picture in {} has this class", parts[0].display());
        return Err(DataError::Idx { path: part.join(name), problem });
    }
    let size = (request.size[0] * request.size[1]) as u64;
    let count = by_part.iter().flat_map(BTreeMap::values).map(Vec::len).sum::<usize>() as u64;
    if let KeepPixels::UpTo(resident_bytes) = keep
        && count.saturating_mul(size) > resident_bytes
    {
        let problem = format!(
            "{count} pictures take {} bytes, more than data.resident_bytes = {resident_bytes} allows in memory",
            count.saturating_mul(size)
        );
        return Err(DataError::Idx { path: parts[0].clone(), problem });
    }

    // For each picture, whether it is a validation picture. Only used for a single part.
    let validation_mask = match (parts, request.holdout) {
        ([all], Some(holdout)) => {
            let labels: Vec<u16> =
                (0..).zip(by_part[0].values()).flat_map(|(label, of)| repeat_n(label, of.len())).collect();
            let validation_mask = holdout.validation_mask(&labels, None).map_err(|class| {
                let path = all.join(&classes[usize::from(class)]);
                let problem =
                    "the only picture of its class; a class needs at least two: one for training, one for validation"
                        .to_owned();
                DataError::Idx { path, problem }
            })?;
            Some(validation_mask)
        }
        _ => None,
    };
    let (mut images, mut files, mut counts) = (<[(Vec<u8>, Vec<u8>); 2]>::default(), Vec::new(), Vec::new());
    for (part_index, (pictures_by_class, part)) in by_part.iter().zip(parts).enumerate() {
        let mut row = 0;
        for (name, pictures) in pictures_by_class {
            let label =
                classes.iter().position(|class| class == name).expect("validation classes are training classes") as u8;
            let mut checksums = Vec::new();
            for path in pictures {
                let bytes = contents(path)?;
                checksums.push(format!("{} {}\n", sha256([&bytes[..]]), file_name(path)));
                let (pixels, labels) = &mut images
                    [validation_mask.as_ref().map_or(part_index, |validation_mask| validation_mask[row].into())];
                let converted =
                    image(&bytes, request).map_err(|problem| DataError::Idx { path: path.clone(), problem })?;
                if let KeepPixels::UpTo(_) = keep {
                    pixels.extend(converted);
                }
                labels.push(label);
                row += 1;
            }
            let folder = if parts.len() > 1 { format!("{}/{name}", file_name(part)) } else { name.clone() };
            counts.push(pictures.len());
            files.push((folder, sha256(checksums.iter().map(String::as_bytes))));
        }
    }
    let [height, width] = request.size;
    let [train, validation] = images.map(|(pixels, labels)| {
        Arc::new(match keep {
            KeepPixels::UpTo(_) => Images::new(IdxImages { height, width, pixels }, labels),
            KeepPixels::Nothing => Images::without_pixels((height, width), labels, String::new()),
        })
    });
    let is_whole = parts.len() == 1 && validation_mask.is_none();
    let images = if is_whole { [Arc::clone(&train), train] } else { [train, validation] };
    let pictures = by_part.into_iter().flat_map(BTreeMap::into_values).flatten().collect();
    Ok(ClassFolders { images, classes, files, counts, pictures })
}

fn contents(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let read = idx::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|problem| DataError::Read { path: path.to_owned(), problem })?;
    if bytes.len() as u64 > MAX_BYTES {
        let problem = format!("longer than {MAX_BYTES} bytes, the limit for a picture");
        return Err(DataError::Idx { path: path.to_owned(), problem });
    }
    Ok(bytes)
}

fn image(bytes: &[u8], request: PictureRequest) -> Result<Vec<u8>, String> {
    let converted = match request.mode {
        PictureMode::AsDrawn => picture::read(bytes, request.size),
        PictureMode::AsWhole => picture::read_whole(bytes, request.size),
    };
    converted.map(|picture| picture.pixels).map_err(|error| error.to_string())
}
