//! PNG and JPEG.

use std::io::Cursor;

use chainrule_data::picture::{PictureError, read, read_whole};
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage};

use super::assert_one_line;

pub fn seeds() -> Vec<Vec<u8>> {
    // A stroke across, so that every picture has ink.
    let ink = |x: u32, y: u32| if x.abs_diff(y) < 3 { 20 } else { 230u8.wrapping_add((x * y) as u8 % 8) };
    let images: [DynamicImage; 4] = [
        GrayImage::from_fn(28, 28, |x, y| Luma([255 - ink(x, y)])).into(),
        GrayImage::from_fn(40, 31, |x, y| Luma([ink(x, y)])).into(),
        RgbImage::from_fn(17, 23, |x, y| Rgb([ink(x, y), ink(y, x), 200])).into(),
        GrayAlphaImage::from_fn(20, 20, |x, y| LumaA([ink(x, y), (x * 12) as u8])).into(),
    ];
    let write = |(image, format): (&DynamicImage, ImageFormat)| {
        let mut bytes = Vec::new();
        // JPEG has no transparency.
        let image = if format == ImageFormat::Jpeg { image.to_rgb8().into() } else { image.clone() };
        image.write_to(&mut Cursor::new(&mut bytes), format).expect("an image is written into memory");
        bytes
    };
    images.iter().flat_map(|image| [(image, ImageFormat::Png), (image, ImageFormat::Jpeg)]).map(write).collect()
}

pub fn check(bytes: &[u8]) {
    for size in [[28, 28], [3, 40]] {
        match read_whole(bytes, size) {
            Ok(picture) => assert_eq!(picture.pixels.len(), size[0] * size[1]),
            Err(error) => assert_one_line(&error.to_string()),
        }
        match read(bytes, size) {
            Ok(picture) => {
                assert_eq!(picture.pixels.len(), size[0] * size[1]);
                let treatment = &picture.treatment;
                assert!(treatment.fitted[0] <= size[0] && treatment.fitted[1] <= size[1], "{treatment:?}");
                assert!(
                    treatment.ink[0] <= treatment.size[0] && treatment.ink[1] <= treatment.size[1],
                    "{treatment:?}"
                );
                // The picture has ink.
                assert!(picture.pixels.iter().any(|&pixel| pixel > 0), "{treatment:?}");
                assert_one_line(&treatment.to_string());
            }
            Err(PictureError::TooLarge { width, height }) => assert!(width > 0 && height > 0),
            Err(error) => assert_one_line(&error.to_string()),
        }
    }
}
