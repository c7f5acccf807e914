//! The four MNIST files, identified by checksum, in burn-dataset's cache folder.

use std::path::{Path, PathBuf};

use crate::idx::KeepPixels;
use crate::{DataError, Images};

/// One of the four files of an MNIST-like data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// The usual name, without the extension of a compression.
    pub name: &'static str,
    /// The subfolder of burn-dataset's cache folder.
    pub split: &'static str,
    /// The size of MNIST's own file in bytes, decompressed.
    pub bytes: u64,
    /// The SHA-256 of MNIST's own file, decompressed.
    pub sha256: &'static str,
}

/// Training images, training labels, test images, test labels.
pub const FILES: [File; 4] = [
    File {
        name: "train-images-idx3-ubyte",
        split: "train",
        bytes: 47_040_016,
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    File {
        name: "train-labels-idx1-ubyte",
        split: "train",
        bytes: 60_008,
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    File {
        name: "t10k-images-idx3-ubyte",
        split: "test",
        bytes: 7_840_016,
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    File {
        name: "t10k-labels-idx1-ubyte",
        split: "test",
        bytes: 10_008,
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
];

/// Returns burn-dataset's folder for MNIST, which `MnistDataset` also reads.
pub fn cache_folder() -> PathBuf {
    let cache = dirs::cache_dir().unwrap_or_else(|| PathBuf::from(".cache"));
    cache.join("burn-dataset").join("mnist")
}

/// Reads MNIST from a folder in the layout of burn-dataset's cache, with `train/` and `test/`.
///
/// # Errors
/// Fails if a file is missing, cannot be read, or does not have MNIST's checksum.
pub fn read_cache(folder: &Path) -> Result<[Images; 2], DataError> {
    read_cache_with_pixels(folder, KeepPixels::UpTo(u64::MAX))
}

/// Like [`read_cache`]; `keep` says how many pixels stay in memory.
pub(crate) fn read_cache_with_pixels(folder: &Path, keep: KeepPixels) -> Result<[Images; 2], DataError> {
    let path = |file: &File| folder.join(file.split).join(file.name);
    let [train_images, train_labels, test_images, test_labels] = FILES.each_ref().map(path);
    let splits = [Images::open(&train_images, &train_labels, keep)?, Images::open(&test_images, &test_labels, keep)?];
    let found = splits.iter().flat_map(Images::file_checksums);
    for (file, found) in FILES.iter().zip(found) {
        if found != file.sha256 {
            let problem =
                format!("SHA-256 is {found}, MNIST's is {}; delete the file to download it again", file.sha256);
            return Err(DataError::Idx { path: path(file), problem });
        }
    }
    Ok(splits)
}
