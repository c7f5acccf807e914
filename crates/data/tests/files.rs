//! IDX files, and the part of them that a run uses.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::path::{Path, PathBuf};

use chainrule_data::idx::{IdxImages, read_images, read_labels, write_images, write_labels};
use chainrule_data::read_folder;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

fn images(count: u32, bytes: usize) -> Vec<u8> {
    let mut file = vec![0, 0, 8, 3];
    for size in [count, 2, 3] {
        file.extend(size.to_be_bytes());
    }
    file.extend((0..bytes).map(|i| i as u8));
    file
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn file(content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images");
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

fn assert_rejected(content: &[u8], expected: &str) {
    let (_folder, path) = file(content);
    let message = read_images(&path).unwrap_err().to_string();
    assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    assert!(message.starts_with(&path.display().to_string()) && !message.contains('\n'), "{message:?}");
}

#[test]
fn a_plain_and_a_gzipped_file_read_the_same() {
    let expected = IdxImages { height: 2, width: 3, pixels: (0..12).collect() };
    for content in [images(2, 12), gzip(&images(2, 12))] {
        let (_folder, path) = file(&content);
        assert_eq!(read_images(&path).unwrap(), expected);
    }
}

#[test]
fn a_gzip_may_have_several_members() {
    let content = images(2, 12);
    let (head, tail) = content.split_at(20);
    let (_folder, path) = file(&[gzip(head), gzip(tail)].concat());
    assert_eq!(read_images(&path).unwrap().pixels.len(), 12);
}

#[test]
fn idx_files_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let (path, labels_path) = (folder.path().join("images"), folder.path().join("labels"));
    let written = IdxImages { height: 3, width: 2, pixels: (0..60).collect() };
    write_images(&path, &written).unwrap();
    write_labels(&labels_path, &[7; 10]).unwrap();
    assert_eq!(read_images(&path).unwrap(), written);
    assert_eq!(read_labels(&labels_path).unwrap(), [7; 10]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left in the folder");
}

#[test]
fn a_broken_file_is_refused() {
    let complete = images(2, 12);
    assert_rejected(b"", "empty");
    assert_rejected(&complete[..2], "truncated in its header, after 2 bytes");
    assert_rejected(&complete[..10], "truncated in its header, after 10 bytes");
    assert_rejected(&complete[..20], "declares 12 bytes of images, but it has 4");
    assert_rejected(&images(2, 13), "longer than the 12 bytes");
    assert_rejected(&images(0, 0), "declares no images");
    assert_rejected(&[&[0, 0, 8, 1][..], &complete[4..]].concat(), "starts with 0x00000801, expected 0x00000803");
    assert_rejected(b"PNG, or whatever this is", "not an IDX file");
}

#[test]
fn a_wrong_header_allocates_no_memory() {
    assert_rejected(&images(u32::MAX, 12), "its header declares 25769803770 bytes of images, but it has 12");
    let mut huge = images(2, 12);
    huge[4..16].fill(0xff);
    assert_rejected(&huge, "an impossible number of");
}

#[test]
fn a_broken_gzip_is_refused() {
    let complete = gzip(&images(2, 12));
    assert_rejected(&complete[..complete.len() - 9], "damaged gzip");
    assert_rejected(&complete[..10], "damaged gzip");
    let mut damaged = complete.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 1; // in the checksum
    assert_rejected(&damaged, "damaged gzip");
}

#[test]
fn a_gzip_larger_than_its_header_is_refused() {
    let mut bomb = images(2, 12);
    bomb.resize(200_000_000, 0);
    assert_rejected(&gzip(&bomb), "longer than the 12 bytes");
}

#[test]
fn a_missing_file_is_named() {
    let message = read_images(Path::new("no/such/file")).unwrap_err().to_string();
    assert!(message.starts_with("no/such/file: "), "{message}");
}

/// Writes a data folder of two-by-two images with these labels.
fn folder(train: &[u8], validation: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, labels) in [("train", train), ("t10k", validation)] {
        let pixels = vec![9; 4 * labels.len()];
        write_images(
            &folder.path().join(format!("{name}-images-idx3-ubyte")),
            &IdxImages { height: 2, width: 2, pixels },
        )
        .unwrap();
        write_labels(&folder.path().join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
    folder
}

fn assert_split_rejected(
    folder: &TempDir,
    train: Option<usize>,
    validation: Option<usize>,
    classes: Option<&[u8]>,
    expected: &str,
) {
    let data = read_folder(folder.path()).unwrap();
    let message = data.select(train, validation, classes).unwrap_err().to_string();
    assert!(message.contains(expected) && !message.contains('\n'), "{message:?} does not say {expected:?}");
}

#[test]
fn a_folder_may_have_any_image_size_and_classes() {
    let labels: Vec<u8> = (0..=255).collect();
    let folder = folder(&labels, &labels);
    let ([train, validation], classes) = read_folder(folder.path()).unwrap().select(None, None, None).unwrap();
    assert_eq!((train.n_features(), train.len(), validation.len(), classes.len()), (4, 256, 256, 256));
    assert_eq!(train.labels(), labels.iter().copied().map(u16::from).collect::<Vec<_>>());
    let features = train.into_features(&chainrule_core::Preprocessing::Pixels, |x| x).unwrap();
    assert_eq!(features[0], 9.0 / 127.5 - 1.0);
}

#[test]
fn gzipped_and_plain_folders_are_equal() {
    let folder = folder(&[0, 1, 2], &[2, 1]);
    let plain = read_folder(folder.path()).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::write(format!("{}.gz", path.display()), gzip(&std::fs::read(&path).unwrap())).unwrap();
        std::fs::remove_file(path).unwrap();
    }
    let gzipped = read_folder(folder.path()).unwrap();
    assert_eq!((plain.sha256(), &plain.train), (gzipped.sha256(), &gzipped.train));
}

#[test]
fn an_invalid_folder_is_refused() {
    let assert_rejected = |folder: &Path, expected: &str| {
        let message = read_folder(folder).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{message:?} does not say {expected:?}");
    };
    assert_rejected(Path::new("no/such/folder"), "no/such/folder: ");
    let data = folder(&[0, 1, 2], &[0, 1]);
    write_labels(&data.path().join("t10k-labels-idx1-ubyte"), &[0, 1, 1]).unwrap();
    assert_rejected(data.path(), "2 images but 3 labels");
    std::fs::remove_file(data.path().join("t10k-labels-idx1-ubyte")).unwrap();
    assert_rejected(data.path(), "no t10k-labels-idx1-ubyte here");
    let data = folder(&[0, 1, 2], &[0, 1]);
    let wider = IdxImages { height: 2, width: 3, pixels: vec![0; 12] };
    write_images(&data.path().join("t10k-images-idx3-ubyte"), &wider).unwrap();
    assert_rejected(data.path(), "training images are 2 x 2 but validation images 2 x 3");
}

#[test]
fn missing_rows_and_classes_are_refused() {
    let data = folder(&[0, 1, 2, 0], &[0, 1, 2]);
    assert_split_rejected(&data, Some(5), None, None, "data.train_images = 5: there are only 4 training images");
    assert_split_rejected(&data, None, Some(4), None, "data.validation_images = 4: there are only 3 validation images");
    assert_split_rejected(&data, Some(2), None, None, "no image of class 2 among the 2 training images");
    assert_split_rejected(&data, None, Some(1), Some(&[0, 2]), "no image of class 0 among the 1 validation images");
    assert_split_rejected(&data, None, None, Some(&[0, 9]), "no image of class 9");
    let outside = folder(&[0, 1, 2], &[0, 3, 1, 2]);
    assert_split_rejected(&outside, None, None, None, "label 3 at row 1 is outside the classes 0..=2");
}

#[test]
fn rows_are_selected_before_classes() {
    let data = folder(&[5, 3, 3, 5, 4], &[3, 5, 4, 3, 5]);
    let read = read_folder(data.path()).unwrap();
    let ([train, validation], classes) = read.select(Some(3), Some(4), Some(&[3, 5])).unwrap();
    assert_eq!(classes, [3, 5]);
    assert_eq!(train.labels(), [1, 0, 0], "of 5 3 3");
    assert_eq!(validation.labels(), [1, 0, 1], "of 5 4 3 5");
}

#[test]
fn classes_are_numbered_as_listed() {
    let data = folder(&[5, 3, 4, 3], &[3, 5]);
    let ([train, validation], classes) = read_folder(data.path()).unwrap().select(None, None, Some(&[5, 3])).unwrap();
    assert_eq!(classes, [5, 3]);
    assert_eq!((train.labels(), validation.labels()), (vec![0, 1, 1], vec![1, 0]));
}

#[test]
fn the_checksum_covers_all_files() {
    let of = |train: &[u8], validation: &[u8], pixel: Option<&str>| {
        let data = folder(train, validation);
        if let Some(name) = pixel {
            let path = data.path().join(format!("{name}-images-idx3-ubyte"));
            let mut bytes = std::fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
        read_folder(data.path()).unwrap().sha256()
    };
    let checksums = [
        of(&[0, 1], &[1, 0], None),
        of(&[1, 1], &[1, 0], None),
        of(&[0, 1], &[0, 0], None),
        of(&[0, 1], &[1, 0], Some("train")),
        of(&[0, 1], &[1, 0], Some("t10k")),
    ];
    for (i, checksum) in checksums.iter().enumerate() {
        assert!(!checksums[..i].contains(checksum), "{i}: {checksums:?}");
    }
    assert_eq!(of(&[0, 1], &[1, 0], None), checksums[0]);
}
