//! The input files of `predict`, as named on the command line: image files, folders of them,
//! tables, or standard input.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use chainrule_core::{ContentError, nearest};

use crate::PictureMode;
use crate::class_folders::MAX_BYTES as MAX_PICTURE_BYTES;
use crate::picture::{self, Treatment};
use crate::readers::{self, IMAGES, Input, PICTURES};

/// An image as model input.
pub struct ImageInput {
    /// The grey levels, row by row.
    pub pixels: Vec<u8>,
    /// The index in its file, from 0, for an IDX file.
    pub number: Option<usize>,
    /// The conversion applied, for a picture.
    pub treatment: Option<Treatment>,
}

/// The argument that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// The largest number of bytes read from a file, before and after decompression.
const MAX_BYTES: u64 = 1 << 30;

/// Returns the files that an argument names: the file itself, or the image files of a folder, by
/// name.
///
/// A folder's files are recognised by their first bytes. `log` receives the number of other files.
pub fn files(argument: &Path, log: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>, ContentError> {
    if argument == Path::new(STANDARD_INPUT) || !argument.is_dir() {
        return Ok(vec![argument.to_owned()]);
    }
    let entries = std::fs::read_dir(argument).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries?;
    let all = entries.len();
    let mut files: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).filter(|path| has_images(path)).collect();
    files.sort();
    let others = all - files.len();
    if files.is_empty() {
        let files = readers::files_without_articles(IMAGES, "or");
        return Err(ContentError::new(format!("no {files} in this folder")));
    }
    if others > 0 {
        log(&format!("{}: {others} other files have no images and are skipped", argument.display()));
    }
    Ok(files)
}

/// Returns whether a file begins like an image file. An unreadable file counts as one, so that
/// reading it reports the error. One that cannot be unpacked does not.
fn has_images(path: &Path) -> bool {
    if !path.is_file() {
        return false;
    }
    let Ok(file) = File::open(path) else { return true };
    let mut input = Input::new(file);
    match readers::sniff(input.beginning()) {
        // An unreadable beginning is empty.
        _ if input.beginning().is_empty() => input.compression().is_none() && input.read(&mut [0]).is_err(),
        reader => reader.is_some_and(|reader| IMAGES.contains(&reader.kind())),
    }
}

/// Reads the images of a file, or of standard input, for a model of images of `size`.
pub fn read(file: &Path, size: [usize; 2], mode: PictureMode) -> Result<Vec<ImageInput>, ContentError> {
    let source: Box<dyn Read> = match file == Path::new(STANDARD_INPUT) {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(open(file, MAX_BYTES)?),
    };
    let mut input = Input::new(source);
    // Without a first byte the file is empty, or it cannot be read.
    if input.beginning().is_empty() && input.read(&mut [0])? == 0 {
        return Err(ContentError::new("it is empty"));
    }
    let images = match readers::sniff(input.beginning()).map(readers::Reader::read) {
        Some(readers::Read::Images(read)) => read(input, MAX_BYTES)?,
        Some(readers::Read::Picture(_)) => {
            let mut bytes = Vec::new();
            input.take(MAX_PICTURE_BYTES + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > MAX_PICTURE_BYTES {
                return Err(ContentError::new(format!(
                    "longer than {MAX_PICTURE_BYTES} bytes, the limit for a picture"
                )));
            }
            let picture = match mode {
                PictureMode::AsDrawn => picture::read(&bytes, size),
                PictureMode::AsWhole => picture::read_whole(&bytes, size),
            };
            let picture = picture.map_err(|error| ContentError::new(error.to_string()))?;
            return Ok(vec![ImageInput { pixels: picture.pixels, number: None, treatment: Some(picture.treatment) }]);
        }
        Some(readers::Read::Table(_)) | None => {
            let files = readers::files(IMAGES, "nor");
            return Err(ContentError::new(format!(
                "neither {files}, plain or compressed ({})",
                readers::compressions("or")
            )));
        }
    };
    let [height, width] = size;
    if [images.height, images.width] != size {
        let found = format!("images of {} x {} pixels", images.height, images.width);
        return Err(ContentError::new(format!(
            "{found}, but the model expects {height} x {width}; {} of any size is converted",
            readers::files(PICTURES, "or")
        )));
    }
    let images = images.pixels.chunks_exact(height * width).enumerate();
    Ok(images.map(|(i, pixels)| ImageInput { pixels: pixels.to_vec(), number: Some(i), treatment: None }).collect())
}

/// Opens a regular file of at most `max_bytes`.
pub(crate) fn open(file: &Path, max_bytes: u64) -> Result<File, ContentError> {
    let metadata = std::fs::metadata(file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => ContentError::new(no_such_file(file)),
        _ => error.into(),
    })?;
    // Opening a pipe or a device could block forever.
    if metadata.is_dir() {
        return Err(ContentError::new("it is a folder; name the files in it"));
    }
    if !metadata.is_file() {
        return Err(ContentError::new("it is not a regular file; use - to read from a pipe (standard input)"));
    }
    if metadata.len() > max_bytes {
        return Err(ContentError::new(format!(
            "it has more than {max_bytes} bytes, the limit for a file; split it into several files"
        )));
    }
    Ok(File::open(file)?)
}

/// Returns the message for a missing file, with a suggestion.
pub fn no_such_file(path: &Path) -> String {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let entries = std::fs::read_dir(parent.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let suggestion = nearest(&name, names.iter().map(String::as_str)).map(|name| path.with_file_name(name));
    let hint = suggestion.map(|suggestion| format!("; did you mean {}?", suggestion.display())).unwrap_or_default();
    format!("no such file{hint}")
}
