use std::fmt;
use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainrule_core::{UnusedFiles, nearest};

use crate::class_folders::{self, ClassFolders, file_name};
#[cfg(feature = "download")]
use crate::download;
use crate::idx::KeepPixels;
use crate::input::with_compressed;
use crate::points::PointSet;
use crate::readers::{self, TABLES, table_extensions};
use crate::tables::{TRAIN, VALIDATION, are_tables};
use crate::unused::unused;
use crate::{
    DataError, Holdout, Images, PictureMode, PictureRequest, Rows, TableRequest, Tables, digits, mnist, sha256,
};

/// The data that a run requests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// `$CHAINRULE_DATA` if set, else MNIST from the cache, else a verified download, else the
    /// digits drawn by code.
    Auto,
    /// MNIST from the cache, else a verified download.
    Mnist,
    /// The digits drawn by code.
    Embedded,
    /// A table, or a folder of four IDX files or of tables. The name of a
    /// [`PointSet`] is a table drawn by code.
    Folder(PathBuf),
}

impl Request {
    /// Returns the file or folder that the request names, if any.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Folder(path) => Some(path.clone()),
            Self::Auto => std::env::var_os("CHAINRULE_DATA").filter(|path| !path.is_empty()).map(PathBuf::from),
            Self::Mnist | Self::Embedded => None,
        }
    }

    /// Returns the file or folder of tables that the request names, if it names tables. The
    /// decision uses file names only.
    pub fn table(&self) -> Option<PathBuf> {
        self.path().filter(|path| are_tables(path))
    }

    /// Returns whether the request names tables. The decision uses file names only.
    pub fn is_table(&self) -> bool {
        self.path().is_some_and(|path| are_tables(&path))
    }
}

/// Parses the values of `--data` and `data.source`.
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

/// The number of digits to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub validation: usize,
}

/// The origin of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A file or folder named by the user.
    Folder(PathBuf),
    /// MNIST in burn-dataset's cache folder.
    MnistCache(PathBuf),
    /// MNIST, just downloaded into this folder.
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

/// A part of an image data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The images of the training file.
    Train,
    /// The images of the test file; the report calls them validation images.
    Validation,
}

/// An image data set: training images and validation images.
#[derive(Clone, Debug)]
pub struct Data {
    /// The origin.
    pub origin: Origin,
    /// The training images.
    pub train: Arc<Images>,
    /// The validation images: MNIST's test file.
    pub validation: Arc<Images>,
    /// The classes of the pictures, if the data is one folder of pictures per class.
    pub pictures: Option<Pictures>,
    /// The files of the data folder that are not used.
    pub unused: UnusedFiles,
}

/// Facts about a data set of one folder of pictures per class.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// The class names, in the order of the labels.
    pub classes: Vec<String>,
    /// Each class folder with one checksum over the names and checksums of its pictures.
    pub files: Vec<(String, String)>,
    /// The number of pictures in each of these folders.
    pub counts: Vec<usize>,
    /// Whether training and validation pictures are in separate folders.
    pub has_parts: bool,
}

impl Data {
    fn new(origin: Origin, [train, validation]: [Images; 2]) -> Self {
        Self {
            origin,
            train: Arc::new(train),
            validation: Arc::new(validation),
            pictures: None,
            unused: UnusedFiles::default(),
        }
    }

    /// Returns the name and the SHA-256 of each file, decompressed.
    ///
    /// IDX files are in the order of [`mnist::FILES`]. Pictures have one entry per class folder.
    pub fn files(&self) -> Vec<(String, String)> {
        match &self.pictures {
            Some(pictures) => pictures.files.clone(),
            None => {
                let checksums = [self.train.file_checksums(), self.validation.file_checksums()].concat();
                mnist::FILES.iter().map(|file| file.name.to_owned()).zip(checksums).collect()
            }
        }
    }

    /// Returns the checksums of [`Data::files`].
    pub fn file_checksums(&self) -> Vec<String> {
        self.files().into_iter().map(|(_, sha256)| sha256).collect()
    }

    /// Returns the label of the class with this name. Without class names, the name is the label in
    /// digits.
    pub fn label_of(&self, class: &str) -> Option<u8> {
        match &self.pictures {
            Some(pictures) => pictures.classes.iter().position(|name| name == class).map(|label| label as u8),
            // "02" names no label.
            None => class.parse().ok().filter(|label: &u8| label.to_string() == class),
        }
    }

    /// Returns the name of a label's class.
    pub fn class_name(&self, label: u8) -> String {
        let name = self.pictures.as_ref().and_then(|pictures| pictures.classes.get(usize::from(label)));
        name.cloned().unwrap_or_else(|| label.to_string())
    }

    /// Returns one checksum of the data set: SHA-256 of the files' checksums.
    pub fn sha256(&self) -> String {
        sha256_of_files(&self.file_checksums())
    }

    /// Selects the first `train` and the last `validation` rows, then keeps the rows of `classes`.
    ///
    /// `None` selects all rows or all classes. Returns the training rows, the validation rows and
    /// the labels in the order of their class positions.
    ///
    /// # Errors
    /// Fails if there are fewer rows, if a class has no image, or if, with `classes` = `None`, a
    /// validation label is larger than every training label.
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
            match selection.empty_class(classes.len()) {
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

    /// Returns the rows of one part with a label in `classes`.
    ///
    /// With `requested`, only the first training images or the last validation images are
    /// considered. A class may have no rows. A class without a label in this data (`None`) has no
    /// rows.
    ///
    /// # Errors
    /// Fails if there are fewer images.
    pub fn rows(&self, part: Split, requested: Option<usize>, classes: &[Option<u8>]) -> Result<Rows, DataError> {
        Ok(Rows::of_images(self.images(part), self.range(part, requested)?, classes.iter().copied()))
    }

    /// Returns the images of one part.
    pub fn images(&self, part: Split) -> &Arc<Images> {
        match part {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
        }
    }

    /// Returns the range of the first training images or the last validation images.
    ///
    /// Pictures in class folders are always used in full, because they are sorted by class.
    fn range(&self, part: Split, requested: Option<usize>) -> Result<Range<usize>, DataError> {
        let found = self.images(part).labels().len();
        let (key, what) = match part {
            Split::Train => ("train_images", "training images"),
            Split::Validation => ("validation_images", "validation images"),
        };
        match (part, requested.filter(|_| self.pictures.is_none()).unwrap_or(found)) {
            (_, requested) if requested > found => Err(DataError::TooFew { key, requested, found, what }),
            (Split::Train, requested) => Ok(0..requested),
            (Split::Validation, requested) => Ok(found - requested..found),
        }
    }
}

/// Reads the tables that `request` names. Returns `None` if it names images.
///
/// # Errors
/// See [`Tables::read`].
pub fn find_tables(request: &Request, tables: &TableRequest) -> Result<Option<Tables>, DataError> {
    match request.path().filter(|path| are_tables(path)) {
        Some(path) => Tables::read(&path, tables).map(Some),
        None => Ok(None),
    }
}

/// Loads the data that `request` names into memory.
///
/// `log` receives messages about slow steps and failed attempts.
///
/// # Errors
/// Fails if the named data is missing or invalid. [`Request::Auto`] without `$CHAINRULE_DATA`
/// always finds data.
pub fn find(request: &Request, digits: Counts, log: &mut dyn FnMut(&str)) -> Result<Data, DataError> {
    find_within(request, digits, u64::MAX, log)
}

/// Like [`find`], but leaves a file with more than `resident_bytes` of pixels on disk and reads it
/// on demand.
///
/// # Errors
/// As [`find`]. Also fails if such a file is compressed, or if the digits to draw need more bytes.
pub fn find_within(
    request: &Request,
    digits: Counts,
    resident_bytes: u64,
    log: &mut dyn FnMut(&str),
) -> Result<Data, DataError> {
    find_with(request, digits, PICTURES, resident_bytes, log)
}

/// The default conversion of pictures.
const PICTURES: PictureRequest =
    PictureRequest { size: [28, 28], mode: PictureMode::AsWhole, holdout: Some(Holdout { fraction: 0.2, seed: 0 }) };

/// Like [`find_within`], with an explicit conversion of pictures in class folders.
///
/// # Errors
/// As [`find_within`]. Also fails if a picture is damaged.
pub fn find_with(
    request: &Request,
    digits: Counts,
    pictures: PictureRequest,
    resident_bytes: u64,
    log: &mut dyn FnMut(&str),
) -> Result<Data, DataError> {
    find_with_pixels(request, digits, pictures, KeepPixels::UpTo(resident_bytes), log)
}

/// Inspects the data that [`find`] would load, of any size, without keeping pixels.
///
/// The result has labels, sizes and checksums. Reading its pixels panics.
///
/// # Errors
/// As [`find`].
pub fn inspect_source(request: &Request, digits: Counts, log: &mut dyn FnMut(&str)) -> Result<Data, DataError> {
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
            // Digits are drawn even if no pixel is kept.
            let resident_bytes = if let KeepPixels::UpTo(bytes) = keep { bytes } else { MAX_DRAWN };
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
                log(&format!("{error}; using the embedded digits"));
                find_with_pixels(&Request::Embedded, digits, pictures, keep, log)
            })
        }
    }
}

/// The largest size of drawn digits, in bytes, when the data is only inspected.
const MAX_DRAWN: u64 = 1 << 30;

/// Returns whether these are the checksums of the four MNIST files, in the order of
/// [`Data::file_checksums`].
pub fn is_mnist<'a>(checksums: impl IntoIterator<Item = &'a str>) -> bool {
    checksums.into_iter().eq(mnist::FILES.iter().map(|file| file.sha256))
}

/// Returns one checksum over the checksums of a data set's files, as [`Data::sha256`].
pub fn sha256_of_files(checksums: &[String]) -> String {
    sha256(checksums.iter().map(String::as_bytes))
}

fn find_mnist(keep: KeepPixels, log: &mut dyn FnMut(&str)) -> Result<Data, DataError> {
    let folder = mnist::cache_folder();
    if folder.join(mnist::FILES[0].split).join(mnist::FILES[0].name).exists() {
        match mnist::read_cache_with_pixels(&folder, keep) {
            Ok(images) => return Ok(Data::new(Origin::MnistCache(folder), images)),
            Err(error) => log(&format!("the cached MNIST is not valid: {error}")),
        }
    }
    download_to(&folder, log)?;
    Ok(Data::new(Origin::MnistDownload(folder.clone()), mnist::read_cache_with_pixels(&folder, keep)?))
}

#[cfg(feature = "download")]
fn download_to(folder: &Path, log: &mut dyn FnMut(&str)) -> Result<(), DataError> {
    let url = std::env::var("CHAINRULE_MNIST_URL").unwrap_or_else(|_| download::URL.to_owned());
    let limits = download::limits().map_err(|reason| DataError::NoMnist { reason, folder: folder.to_owned() })?;
    log(&format!("downloading MNIST (11 MB) from {url}"));
    download::download(&url, folder, limits)
}

#[cfg(not(feature = "download"))]
fn download_to(folder: &Path, _: &mut dyn FnMut(&str)) -> Result<(), DataError> {
    let reason = "this build cannot download; build it with the feature download".to_owned();
    Err(DataError::NoMnist { reason, folder: folder.to_owned() })
}

/// Reads the four IDX files of a folder, each plain or compressed.
///
/// The names are MNIST's (`train-images-idx3-ubyte`, or with a dot before `idx`). The layout of
/// burn-dataset's cache, with `train/` and `test/`, is accepted too.
///
/// # Errors
/// Fails if a file is missing, cannot be read, or does not match the others.
pub fn read_folder(folder: &Path) -> Result<Data, DataError> {
    read_folder_with_pixels(folder, KeepPixels::UpTo(u64::MAX), &mut |_| {})
}

/// Returns the path of an IDX file in a folder or its `train/` or `test/` subfolder.
///
/// The file has its usual name or a dot before `idx`, plain or compressed.
fn idx_path(folder: &Path, file: &mnist::File) -> Option<PathBuf> {
    let dotted = file.name.replacen("-idx", ".idx", 1);
    let below = folder.join(file.split);
    let names = [file.name, &dotted].into_iter().flat_map(with_compressed);
    names.flat_map(|name| [folder.join(&name), below.join(name)]).find(|path| path.is_file())
}

/// Returns whether the folder has one of the four IDX files.
fn has_idx(folder: &Path) -> bool {
    mnist::FILES.iter().any(|file| idx_path(folder, file).is_some())
}

/// Returns the names that are no files.
fn source_names() -> impl Iterator<Item = &'static str> {
    ["auto", "mnist", "embedded"].into_iter().chain(PointSet::ALL.map(PointSet::name))
}

/// Suggests a source for a path that does not exist: a source name or a similarly named file next
/// to it.
fn suggested_source(path: &Path) -> Option<String> {
    let name = file_name(path);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let source = nearest(&name, source_names()).filter(|_| parent.is_none());
    if let Some(source) = source {
        return Some(source.to_owned());
    }
    let entries = std::fs::read_dir(parent.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let near = nearest(&name, names.iter().map(String::as_str))?;
    Some(parent.map_or_else(|| near.to_owned(), |parent| parent.join(near).display().to_string()))
}

/// Suggests what to rename if a folder's parts are almost correctly named, such as `Train` or
/// `training.csv`.
fn suggest_renames(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let correct_name = |name: &String| {
        let lower = name.to_lowercase();
        let (stem, extension) = lower.split_at(lower.find('.').unwrap_or(lower.len()));
        let is_part = match extension {
            "" => folder.join(name).is_dir(),
            _ => table_extensions().any(|of_table| of_table == extension),
        };
        let part = [TRAIN].into_iter().chain(VALIDATION).find(|part| stem == *part);
        let part = part.or_else(|| stem.starts_with(TRAIN).then_some(TRAIN)).filter(|_| is_part)?;
        let correct_name = format!("{part}{extension}");
        (correct_name != *name).then(|| format!("{name} to {correct_name}"))
    };
    let renamed: Vec<String> = names.iter().filter_map(correct_name).take(2).collect();
    (!renamed.is_empty()).then(|| format!("rename {}", renamed.join(" and ")))
}

fn read_folder_with_pixels(folder: &Path, keep: KeepPixels, log: &mut dyn FnMut(&str)) -> Result<Data, DataError> {
    let path = |file: &mnist::File| {
        idx_path(folder, file).ok_or_else(|| DataError::Missing {
            folder: folder.to_owned(),
            name: file.name,
            found: unused(folder, [], |_| None).summary(),
            hint: suggest_renames(folder),
        })
    };
    if are_tables(folder) {
        return Err(DataError::IsTable { path: folder.to_owned() });
    }
    if let Err(problem) = std::fs::read_dir(folder) {
        let path = folder.to_owned();
        return Err(match problem.kind() {
            // A regular file is a table, and tables were handled above.
            ErrorKind::NotADirectory => DataError::NoFile { path },
            ErrorKind::NotFound => {
                let hint = suggested_source(&path).map_or_else(
                    || {
                        let names = source_names().collect::<Vec<_>>().join(", ");
                        format!("expected {names}, {}, or a folder", readers::files(TABLES, "or"))
                    },
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
            log(&format!("{} stays on disk; reading its {gigabytes:.2} GB once for the checksum", images.display()));
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
            .then(|| "another file with this name is used".to_owned())
    });
    Ok(Data { unused, ..Data::new(Origin::Folder(folder.to_owned()), [train, validation]) })
}
