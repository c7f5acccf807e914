use std::fmt;
use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainrule_core::{Unused, nearest};

use crate::class_folders::{self, ClassFolders, file_name};
#[cfg(feature = "download")]
use crate::download;
use crate::idx::KeepPixels;
use crate::readers::{self, TABLES, table_endings};
use crate::tables::{TRAIN, VALIDATION, are_tables};
use crate::unused::unused;
use crate::{
    DataError, Holdout, Images, PictureMode, PictureRequest, Rows, TableRequest, Tables, digits, mnist, sha256,
};

/// Which data a run asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// `$CHAINRULE_DATA`, else MNIST from the cache, else a verified download, else the digits
    /// drawn by code.
    Auto,
    /// MNIST from the cache, else a verified download.
    Mnist,
    /// The digits drawn by code.
    Embedded,
    /// A table, or a folder of four IDX files or of tables.
    Folder(PathBuf),
}

impl Request {
    /// The file or folder that it means, where it means one.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Folder(path) => Some(path.clone()),
            Self::Auto => std::env::var_os("CHAINRULE_DATA").filter(|path| !path.is_empty()).map(PathBuf::from),
            Self::Mnist | Self::Embedded => None,
        }
    }

    /// Whether it means tables, as far as names tell.
    pub fn is_table(&self) -> bool {
        self.path().is_some_and(|path| are_tables(&path))
    }
}

/// What `--data` and `data.source` may say.
impl From<&str> for Request {
    fn from(source: &str) -> Self {
        match source {
            "auto" => Self::Auto,
            "mnist" => Self::Mnist,
            "embedded" => Self::Embedded,
            folder => Self::Folder(PathBuf::from(folder)),
        }
    }
}

/// How many digits to draw where digits are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub validation: usize,
}

/// Where data came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A folder or file that was named.
    Folder(PathBuf),
    /// MNIST in burn-dataset's cache folder.
    MnistCache(PathBuf),
    /// MNIST, just downloaded into that folder.
    MnistDownload(PathBuf),
    /// Digits drawn by code.
    Embedded,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Folder(folder) => write!(f, "{}", folder.display()),
            Origin::MnistCache(folder) => write!(f, "MNIST in {}", folder.display()),
            Origin::MnistDownload(folder) => write!(f, "MNIST, downloaded to {}", folder.display()),
            Origin::Embedded => write!(f, "embedded digits"),
        }
    }
}

/// Which images of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The training file's.
    Train,
    /// The test file's, which the report calls validation.
    Validation,
}

/// A data set: images to train on and images to validate on.
#[derive(Clone, Debug)]
pub struct Data {
    /// Where it came from.
    pub origin: Origin,
    /// The training file.
    pub train: Arc<Images>,
    /// The test file, which the report calls validation.
    pub validation: Arc<Images>,
    /// What they are pictures of, where a folder for each class says so.
    pub pictures: Option<Pictures>,
    /// What its folder holds and is not used.
    pub unused: Unused,
}

/// Pictures in a folder for each class, made images.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// What the labels are called.
    pub classes: Vec<String>,
    /// Each class's folder, with one checksum over the names and checksums of its pictures.
    pub files: Vec<(String, String)>,
    /// Pictures in each of these.
    pub counts: Vec<usize>,
    /// Whether the training pictures and those for the validation are in folders of their own.
    pub has_parts: bool,
}

impl Data {
    fn new(origin: Origin, [train, validation]: [Images; 2]) -> Self {
        Self {
            origin,
            train: Arc::new(train),
            validation: Arc::new(validation),
            pictures: None,
            unused: Unused::default(),
        }
    }

    /// Names of the files, of each class's pictures one, and SHA-256 of each, decompressed; of IDX
    /// files in the order of [`mnist::FILES`].
    pub fn files(&self) -> Vec<(String, String)> {
        match &self.pictures {
            Some(pictures) => pictures.files.clone(),
            None => {
                let checksums = [self.train.file_checksums(), self.validation.file_checksums()].concat();
                mnist::FILES.iter().map(|file| file.name.to_owned()).zip(checksums).collect()
            }
        }
    }

    /// The checksums of [`Data::files`].
    pub fn file_checksums(&self) -> Vec<String> {
        self.files().into_iter().map(|(_, sha256)| sha256).collect()
    }

    /// The label of the class that is called this, a number in digits where none have names.
    pub fn label_of(&self, class: &str) -> Option<u8> {
        match &self.pictures {
            Some(pictures) => pictures.classes.iter().position(|name| name == class).map(|label| label as u8),
            // No label is called 02.
            None => class.parse().ok().filter(|label: &u8| label.to_string() == class),
        }
    }

    /// What a label's class is called.
    pub fn class_name(&self, label: u8) -> String {
        let name = self.pictures.as_ref().and_then(|pictures| pictures.classes.get(usize::from(label)));
        name.cloned().unwrap_or_else(|| label.to_string())
    }

    /// One checksum for the lot: SHA-256 of the files' own.
    pub fn sha256(&self) -> String {
        sha256_of_files(&self.file_checksums())
    }

    /// The first `train` and the last `validation` rows, then of these the `classes`; all rows and
    /// all classes where none are named. Gives both, and the classes in the order of their
    /// positions.
    ///
    /// # Errors
    /// Where there are fewer rows, a class without an image, or, with no classes named, a
    /// validation label that no training image has.
    pub fn select(
        &self,
        train: Option<usize>,
        validation: Option<usize>,
        classes: Option<&[u8]>,
    ) -> Result<([Rows; 2], Vec<u8>), DataError> {
        let [train_rows, validation_rows] =
            [self.range(Split::Train, train)?, self.range(Split::Validation, validation)?];
        let classes = match classes {
            Some(classes) => classes.to_vec(),
            None => {
                let largest = self.train.labels().iter().copied().max().unwrap_or_default();
                let outside = self.validation.labels().iter().position(|&label| label > largest);
                if let Some(row) = outside {
                    let label = self.validation.labels()[row];
                    return Err(DataError::Label { what: "validation labels", label, row, largest });
                }
                (0..=largest).collect()
            }
        };
        let select = |images, range: Range<usize>, what| {
            let rows = range.len();
            let selection = Rows::of_images(images, range, classes.iter().copied().map(Some));
            match selection.empty_class() {
                Some(position) => Err(DataError::EmptyClass { class: self.class_name(classes[position]), rows, what }),
                None => Ok(selection),
            }
        };
        let selections = [
            select(&self.train, train_rows, "training images")?,
            select(&self.validation, validation_rows, "validation images")?,
        ];
        Ok((selections, classes))
    }

    /// The rows of one part whose label is one of `classes`, of the first training or the last
    /// validation images where so many are `asked` for, else of all; a class may have none, and
    /// where it has no label here, it has none.
    ///
    /// # Errors
    /// Where there are fewer images.
    pub fn rows(&self, part: Split, asked: Option<usize>, classes: &[Option<u8>]) -> Result<Rows, DataError> {
        Ok(Rows::of_images(self.images(part), self.range(part, asked)?, classes.iter().copied()))
    }

    /// The images of one part.
    pub fn images(&self, part: Split) -> &Arc<Images> {
        match part {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
        }
    }

    /// The first training or the last validation images; of pictures in folders all, since the
    /// first are of one class.
    fn range(&self, part: Split, asked: Option<usize>) -> Result<Range<usize>, DataError> {
        let found = self.images(part).labels().len();
        let (key, what) = match part {
            Split::Train => ("train_images", "training images"),
            Split::Validation => ("validation_images", "validation images"),
        };
        match (part, asked.filter(|_| self.pictures.is_none()).unwrap_or(found)) {
            (_, asked) if asked > found => Err(DataError::TooFew { key, asked, found, what }),
            (Split::Train, asked) => Ok(0..asked),
            (Split::Validation, asked) => Ok(found - asked..found),
        }
    }
}

/// Reads the tables that `request` means; nothing where it means images.
///
/// # Errors
/// As [`Tables::read`].
pub fn find_tables(request: &Request, tables: &TableRequest) -> Result<Option<Tables>, DataError> {
    match request.path().filter(|path| are_tables(path)) {
        Some(path) => Tables::read(&path, tables).map(Some),
        None => Ok(None),
    }
}

/// Gets the data that `request` asks for, all of it in memory; `log` hears what takes time and
/// what was tried in vain.
///
/// # Errors
/// Where named data is not there or not right. [`Request::Auto`] without `$CHAINRULE_DATA` always
/// ends in data.
pub fn find(request: &Request, digits: Counts, log: &mut dyn FnMut(&str)) -> Result<Data, DataError> {
    find_within(request, digits, u64::MAX, log)
}

/// The same, but a file with more than `resident_bytes` of pixels stays where it is, and is read as
/// it is needed.
///
/// # Errors
/// As [`find`]; where such a file is gzipped, and where more digits than that are to be drawn.
pub fn find_within(
    request: &Request,
    digits: Counts,
    resident_bytes: u64,
    log: &mut dyn FnMut(&str),
) -> Result<Data, DataError> {
    find_with(request, digits, PICTURES, resident_bytes, log)
}

/// How pictures are made images where nobody says how.
const PICTURES: PictureRequest = PictureRequest {
    size: [28, 28],
    treatment: PictureMode::AsWhole,
    holdout: Some(Holdout { fraction: 0.2, seed: 0 }),
};

/// The same with pictures in folders made images as it is asked.
///
/// # Errors
/// As [`find_within`], and where a picture is broken.
pub fn find_with(
    request: &Request,
    digits: Counts,
    pictures: PictureRequest,
    resident_bytes: u64,
    log: &mut dyn FnMut(&str),
) -> Result<Data, DataError> {
    find_with_pixels(request, digits, pictures, KeepPixels::UpTo(resident_bytes), log)
}

/// What [`find`] would get, of whatever size, without a pixel of it in memory: labels, sizes and
/// checksums, of which none but pixels can be asked for.
///
/// # Errors
/// As [`find`].
pub fn look(request: &Request, digits: Counts, log: &mut dyn FnMut(&str)) -> Result<Data, DataError> {
    find_with_pixels(request, digits, PICTURES, KeepPixels::Nothing, log)
}

fn find_with_pixels(
    request: &Request,
    digits: Counts,
    pictures: PictureRequest,
    keep: KeepPixels,
    log: &mut dyn FnMut(&str),
) -> Result<Data, DataError> {
    if let Some(folder) = request.path()
        && !has_idx(&folder)
        && let Some(parts) = class_folders::parts(&folder)
    {
        let read = class_folders::read(&parts, pictures, keep)?;
        let ClassFolders { images: [train, validation], classes, files, counts, pictures } = read;
        let unused = class_folders::unused(&folder, pictures);
        let pictures = Some(Pictures { classes, files, counts, has_parts: parts.len() > 1 });
        return Ok(Data { origin: Origin::Folder(folder), train, validation, pictures, unused });
    }
    match request {
        Request::Folder(folder) => read_folder_with_pixels(folder, keep, log),
        Request::Embedded => {
            // They are drawn in any case.
            let resident_bytes = if let KeepPixels::UpTo(bytes) = keep { bytes } else { MOST_DRAWN };
            for count in [digits.train, digits.validation] {
                let bytes = digits::bytes(count);
                if bytes > resident_bytes {
                    return Err(DataError::ManyDigits { count, bytes, resident_bytes });
                }
            }
            Ok(Data::new(Origin::Embedded, digits::draw_both(digits::SEED, digits)))
        }
        Request::Mnist => find_mnist(keep, log),
        Request::Auto => {
            if let Some(folder) = request.path() {
                return read_folder_with_pixels(&folder, keep, log);
            }
            find_mnist(keep, log).or_else(|error| {
                log(&format!("{error}; taking the embedded digits"));
                find_with_pixels(&Request::Embedded, digits, pictures, keep, log)
            })
        }
    }
}

/// Bytes of digits that are drawn to be looked at, at most.
const MOST_DRAWN: u64 = 1 << 30;

/// Whether these are the checksums of MNIST's own four files, as [`Data::file_checksums`] gives a
/// data set's.
pub fn is_mnist<'a>(checksums: impl IntoIterator<Item = &'a str>) -> bool {
    checksums.into_iter().eq(mnist::FILES.iter().map(|file| file.sha256))
}

/// One checksum of a data set, of its files' own: what [`Data::sha256`] gives, for who has them
/// already.
pub fn sha256_of_files(checksums: &[String]) -> String {
    sha256(checksums.iter().map(String::as_bytes))
}

fn find_mnist(keep: KeepPixels, log: &mut dyn FnMut(&str)) -> Result<Data, DataError> {
    let folder = mnist::cache_folder();
    if folder.join(mnist::FILES[0].split).join(mnist::FILES[0].name).exists() {
        match mnist::read_cache_with_pixels(&folder, keep) {
            Ok(images) => return Ok(Data::new(Origin::MnistCache(folder), images)),
            Err(error) => log(&format!("the cached MNIST is not whole: {error}")),
        }
    }
    download_to(&folder, log)?;
    Ok(Data::new(Origin::MnistDownload(folder.clone()), mnist::read_cache_with_pixels(&folder, keep)?))
}

#[cfg(feature = "download")]
fn download_to(folder: &Path, log: &mut dyn FnMut(&str)) -> Result<(), DataError> {
    let url = std::env::var("CHAINRULE_MNIST_URL").unwrap_or_else(|_| download::URL.to_owned());
    let limits = download::limits().map_err(|reason| DataError::NoMnist { reason, folder: folder.to_owned() })?;
    log(&format!("fetching MNIST (11 MB) from {url}"));
    download::download(&url, folder, limits)
}

#[cfg(not(feature = "download"))]
fn download_to(folder: &Path, _: &mut dyn FnMut(&str)) -> Result<(), DataError> {
    let reason = "this build downloads nothing; build it with the feature download".to_owned();
    Err(DataError::NoMnist { reason, folder: folder.to_owned() })
}

/// Reads the four IDX files of a folder, each plain or gzipped, by MNIST's names
/// (`train-images-idx3-ubyte`, or with a dot before `idx`); also a folder laid out as
/// burn-dataset's cache, with `train/` and `test/`.
///
/// # Errors
/// Where a file is absent, cannot be read, or does not fit the others.
pub fn read_folder(folder: &Path) -> Result<Data, DataError> {
    read_folder_with_pixels(folder, KeepPixels::UpTo(u64::MAX), &mut |_| {})
}

/// Where an IDX file may lie in a folder: by itself or below, by its usual name or with a dot
/// before `idx`, plain or gzipped.
fn idx_path(folder: &Path, file: &mnist::File) -> Option<PathBuf> {
    let dotted = file.name.replacen("-idx", ".idx", 1);
    let below = folder.join(file.split);
    let names = [file.name.to_owned(), format!("{}.gz", file.name), dotted.clone(), format!("{dotted}.gz")];
    names.iter().flat_map(|name| [folder.join(name), below.join(name)]).find(|path| path.is_file())
}

/// Whether one of the four IDX files lies there.
fn has_idx(folder: &Path) -> bool {
    mnist::FILES.iter().any(|file| idx_path(folder, file).is_some())
}

/// The source that a path that is not there was probably meant as: one of the names, or what lies
/// beside it.
fn meant(path: &Path) -> Option<String> {
    let written = file_name(path);
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let source = nearest(&written, ["auto", "mnist", "embedded"]).filter(|_| beside.is_none());
    if let Some(source) = source {
        return Some(source.to_owned());
    }
    let entries = std::fs::read_dir(beside.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let near = nearest(&written, names.iter().map(String::as_str))?;
    Some(beside.map_or_else(|| near.to_owned(), |beside| beside.join(near).display().to_string()))
}

/// What to rename in a folder whose parts are there by almost their names: `Train`, say, or
/// `training.csv`.
fn misnamed(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let right = |name: &String| {
        let lower = name.to_lowercase();
        let (stem, ending) = lower.split_at(lower.find('.').unwrap_or(lower.len()));
        let is_part = match ending {
            "" => folder.join(name).is_dir(),
            _ => table_endings().any(|of_table| of_table == ending),
        };
        let part = [TRAIN].into_iter().chain(VALIDATION).find(|part| stem == *part);
        let part = part.or_else(|| stem.starts_with(TRAIN).then_some(TRAIN)).filter(|_| is_part)?;
        let right = format!("{part}{ending}");
        (right != *name).then(|| format!("{name} to {right}"))
    };
    let renamed: Vec<String> = names.iter().filter_map(right).take(2).collect();
    (!renamed.is_empty()).then(|| format!("rename {}", renamed.join(" and ")))
}

fn read_folder_with_pixels(folder: &Path, keep: KeepPixels, log: &mut dyn FnMut(&str)) -> Result<Data, DataError> {
    let path = |file: &mnist::File| {
        idx_path(folder, file).ok_or_else(|| DataError::Missing {
            folder: folder.to_owned(),
            name: file.name,
            found: unused(folder, [], |_| None).in_short(),
            hint: misnamed(folder),
        })
    };
    if are_tables(folder) {
        return Err(DataError::IsTable { path: folder.to_owned() });
    }
    if let Err(problem) = std::fs::read_dir(folder) {
        let path = folder.to_owned();
        return Err(match problem.kind() {
            // A file is a table, and has been taken for one.
            ErrorKind::NotADirectory => DataError::NoFile { path },
            ErrorKind::NotFound => {
                let hint = meant(&path).map_or_else(
                    || format!("data is auto, mnist, embedded, {}, or a folder", readers::files(TABLES, "or")),
                    |name| format!("did you mean {name}?"),
                );
                let sentence = format!("no such file or folder; {hint}");
                DataError::Read { path, problem: Error::new(ErrorKind::NotFound, sentence) }
            }
            _ => DataError::Read { path, problem },
        });
    }
    let mut read = |images: &mnist::File, labels: &mnist::File| {
        let (images, labels) = (path(images)?, path(labels)?);
        let length = std::fs::metadata(&images).map_or(0, |metadata| metadata.len());
        if let KeepPixels::UpTo(resident_bytes) = keep
            && length > resident_bytes
            && images.extension().is_none_or(|extension| extension != "gz")
        {
            let gigabytes = length as f64 / 1e9;
            log(&format!(
                "{} stays where it is; reading its {gigabytes:.2} GB once, for their checksum",
                images.display()
            ));
        }
        Images::open(&images, &labels, keep)
    };
    let [train_images, train_labels, test_images, test_labels] = &mnist::FILES;
    let train = read(train_images, train_labels)?;
    let validation = read(test_images, test_labels)?;
    if train.size() != validation.size() {
        let (train, validation) = (train.size(), validation.size());
        return Err(DataError::Sizes { folder: folder.to_owned(), train, validation });
    }
    let unused = unused(folder, mnist::FILES.iter().filter_map(|file| idx_path(folder, file)), |path| {
        mnist::FILES
            .iter()
            .any(|file| file_name(path).starts_with(file.name))
            .then(|| "another of its name is taken".to_owned())
    });
    Ok(Data { unused, ..Data::new(Origin::Folder(folder.to_owned()), [train, validation]) })
}
