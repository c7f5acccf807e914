//! Images that stay in their file: the same rows and checksums as in memory, and files that are
//! written completely or not at all.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use chainrule_data::{Counts, Data, DataError, Request, RowBuffer, Rows, digits, find_within, mnist, read_folder};
use tempfile::TempDir;

/// Returns the four files of a folder: training images, training labels, validation images,
/// validation labels.
fn files(folder: &Path) -> [PathBuf; 4] {
    mnist::FILES.map(|file| folder.join(file.name))
}

/// Returns a folder with this number of digits.
fn with_digits(train: usize, validation: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    digits::write_both(digits::SEED, Counts { train, validation }, &files(folder.path())).unwrap();
    folder
}

/// Opens images that stay in their files.
fn in_files(folder: &Path) -> Data {
    let request = Request::Folder(folder.to_owned());
    find_within(&request, Counts { train: 1, validation: 1 }, 0, &mut |_| {}).unwrap()
}

#[test]
fn streamed_and_loaded_images_are_equal() {
    let folder = with_digits(1500, 300);
    let folder = folder.path();
    let (left, read) = (in_files(folder), read_folder(folder).unwrap());
    assert_eq!(left.train.file(), Some(&*files(folder)[0]));
    assert_eq!(read.train.file(), None);
    assert_eq!(left.file_checksums(), read.file_checksums());
    assert!(
        left.train == in_files(folder).train && left.train != left.validation,
        "the same images, wherever they lie"
    );
    let classes = Some(&[4, 0, 9][..]);
    let [left, read] = [left, read].map(|data| data.select(Some(900), Some(200), classes).unwrap());
    assert_eq!(left.1, read.1);
    let mut buffers = [RowBuffer::default(), RowBuffer::default()];
    let [left_buffer, read_buffer] = &mut buffers;
    for (left, read) in left.0.iter().zip(&read.0) {
        assert!(left.file().is_some() && read.file().is_none());
        assert_eq!((left.len(), left.labels()), (read.len(), read.labels()));
        assert_eq!(left.sha256().unwrap(), read.sha256().unwrap());
        let backwards = |rows: &Rows| (0..rows.len()).rev().collect::<Vec<_>>();
        let [from_file, in_memory] = [
            left.chunk(backwards(left).into_iter(), left_buffer).unwrap(),
            read.chunk(backwards(read).into_iter(), read_buffer).unwrap(),
        ];
        assert!(from_file == in_memory);
    }
}

#[test]
fn written_digits_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    // Neither count is a multiple of the number that a thread draws at once.
    let counts = Counts { train: 2500, validation: 1025 };
    digits::write_both(7, counts, &files(folder.path())).unwrap();
    let [train, validation] = digits::draw_both(7, counts);
    let written = read_folder(folder.path()).unwrap();
    assert_eq!((&*written.train, &*written.validation), (&train, &validation));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "nothing else is left in the folder");
}

#[test]
fn a_failed_write_keeps_the_old_file() {
    let folder = with_digits(300, 100);
    let folder = folder.path();
    let data = in_files(folder);
    let (images, labels) = (folder.join("images"), folder.join("labels"));
    std::fs::write(&images, "mine").unwrap();
    // The file is truncated within its last image after it was opened.
    let file = OpenOptions::new().write(true).open(&files(folder)[0]).unwrap();
    file.set_len(16 + 299 * 784 + 1).unwrap();
    let error = data.train.write(&images, &labels).unwrap_err();
    assert!(matches!(error, DataError::CutOff { row: 299, images: 300, .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&images).unwrap(), "mine");
    assert!(!labels.exists());
}

#[test]
fn the_error_of_too_many_digits_names_no_option() {
    let counts = Counts { train: 9, validation: 9 };
    let message = find_within(&Request::Embedded, counts, 10, &mut |_| {}).unwrap_err().to_string();
    assert!(!message.contains("--") && !message.contains("xtask"), "{message}");
}
