//! IDX images and labels.

use std::path::Path;

use chainrule_data::DataError;
use chainrule_data::idx::{IdxImages, images_from, images_header, labels_from, labels_header};

use super::assert_one_line;

pub fn seeds() -> Vec<Vec<u8>> {
    let images = |count: usize, height: usize, width: usize| {
        let pixels = (0..count * height * width).map(|i| (37 * i) as u8);
        images_header(count, height, width).into_iter().chain(pixels).collect()
    };
    let labels = |count: usize| labels_header(count).into_iter().chain((0..count).map(|i| (i % 10) as u8)).collect();
    vec![images(1, 1, 1), images(3, 2, 5), images(2, 28, 28), labels(1), labels(20)]
}

pub fn check(bytes: &[u8]) {
    match read_images(bytes) {
        Ok(images) => {
            let size = images.height * images.width;
            assert!(size > 0 && images.pixels.len().is_multiple_of(size));
            // Gzipped files are another format.
            assert!([&images.header()[..], &images.pixels].concat() == bytes || bytes.starts_with(&[0x1f, 0x8b]));
        }
        Err(error) => assert_one_line(&error.to_string()),
    }
    match read_labels(bytes) {
        Ok(labels) => {
            assert!([&labels_header(labels.len())[..], &labels].concat() == bytes || bytes.starts_with(&[0x1f, 0x8b]));
        }
        Err(error) => assert_one_line(&error.to_string()),
    }
}

pub(super) fn read_images(bytes: &[u8]) -> Result<IdxImages, DataError> {
    images_from(Path::new("images"), bytes)
}

pub(super) fn read_labels(bytes: &[u8]) -> Result<Vec<u8>, DataError> {
    labels_from(Path::new("labels"), bytes)
}
