//! Conversion of pictures of digits to images like MNIST's.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod pictures;

use std::io::Write;

use chainrule_data::digits::draw_both;
use chainrule_data::picture::{Picture, PictureError, read, read_whole};
use chainrule_data::{BatchOrder, Counts, PictureMode, Shuffle, input_files};
use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};
use pictures::{claims, encoded, seven};

const SIZE: [usize; 2] = [28, 28];

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

/// Returns the extent of the ink in rows and columns, and the centre of mass.
fn place(pixels: &[u8], width: usize) -> ([usize; 2], [f64; 2]) {
    let inked = |i: &usize| pixels[*i] >= 32;
    let (rows, columns): (Vec<usize>, Vec<usize>) =
        (0..pixels.len()).filter(inked).map(|i| (i / width, i % width)).unzip();
    let extent = |of: &[usize]| of.iter().max().unwrap() - of.iter().min().unwrap() + 1;
    let mass: f64 = pixels.iter().map(|&p| f64::from(p)).sum();
    let moment = |f: fn(usize, usize) -> usize| {
        pixels.iter().enumerate().map(|(i, &p)| f64::from(p) * f(i, width) as f64).sum::<f64>() / mass
    };
    ([extent(&rows), extent(&columns)], [moment(|i, w| i / w), moment(|i, w| i % w)])
}

fn assert_near(actual: &Picture, expected: &Picture, most: f64, what: &str) {
    let mean_difference =
        actual.pixels.iter().zip(&expected.pixels).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / 784.0;
    assert!(mean_difference <= most, "{what}: {mean_difference} grey levels apart on the mean, more than {most}");
}

#[test]
fn dark_ink_is_inverted() {
    let dark = read(&png(seven(90, 170, 0, 255)), SIZE).unwrap();
    let light = read(&png(seven(90, 170, 255, 0)), SIZE).unwrap();
    assert_eq!(dark.pixels, light.pixels);
    assert_eq!((dark.treatment.inverted, light.treatment.inverted), (true, false));
    assert_eq!((dark.treatment.border, light.treatment.border), (255, 0));
    // Also for an image that has the right size already.
    let small = read(&png(seven(28, 28, 0, 255)), SIZE).unwrap();
    assert!(small.treatment.inverted && !small.treatment.as_it_is);
}

#[test]
fn ink_is_scaled_and_centred_like_mnist() {
    for (width, height) in [(90, 170), (1000, 500), (31, 40), (12, 14)] {
        let actual = read(&png(seven(width, height, 30, 220)), SIZE).unwrap();
        let (extent, middle) = place(&actual.pixels, 28);
        assert_eq!(*extent.iter().max().unwrap(), 20, "{width} x {height}");
        // MNIST's digits lie within half a pixel of pixel 14, counted from 0.
        for axis in 0..2 {
            assert!((middle[axis] - 14.0).abs() <= 0.5, "{width} x {height}: {middle:?}");
        }
        let [ink, fitted] = [actual.treatment.ink, actual.treatment.fitted].map(|size| size.map(|side| side as f64));
        assert!((ink[0] / ink[1] * fitted[1] - fitted[0]).abs() <= 0.6 * ink[0] / ink[1], "{:?}", actual.treatment);
        assert!(actual.pixels.contains(&0) && *actual.pixels.iter().max().unwrap() > 200);
    }
    // A bar of 40 x 160 pixels becomes one of 5 x 20.
    let bar = GrayImage::from_fn(300, 200, |x, y| {
        Luma([if (50..210).contains(&x) && (80..120).contains(&y) { 0 } else { 255 }])
    });
    let actual = read(&png(bar), SIZE).unwrap();
    assert_eq!((actual.treatment.ink, actual.treatment.fitted), ([40, 160], [5, 20]));
    let filled: Vec<usize> = (0..784).filter(|&i| actual.pixels[i] > 127).map(|i| i / 28).collect();
    assert_eq!((filled.len(), filled[0], filled[99]), (100, 12, 16));
}

#[test]
fn other_image_sizes_have_proportional_margins() {
    let seven = png(seven(90, 170, 0, 255));
    for size in [[14, 14], [56, 56], [8, 8], [28, 56], [1, 1], [1, 20]] {
        let actual = read(&seven, size).unwrap();
        assert_eq!(actual.pixels.len(), size[0] * size[1]);
        let buffer = size.map(|side| ((side as f64) * 20.0 / 28.0).round().max(1.0) as usize);
        let fitted = actual.treatment.fitted;
        assert!(fitted[0] == buffer[0] || fitted[1] == buffer[1], "{size:?}: {fitted:?}");
        assert!(fitted[0] <= buffer[0] && fitted[1] <= buffer[1], "{size:?}: {fitted:?}");
    }
}

#[test]
fn shrinking_smooths_edges() {
    let actual = read(&png(seven(900, 1700, 0, 255)), SIZE).unwrap();
    let between = actual.pixels.iter().filter(|&&p| (32..224).contains(&p)).count();
    assert!(between > 15, "{between} grey pixels");
}

#[test]
fn colour_alpha_depth_and_format_do_not_matter() {
    let grey = seven(90, 170, 0, 255);
    let expected = read(&png(grey.clone()), SIZE).unwrap();
    let colour = RgbImage::from_fn(90, 170, |x, y| {
        let level = grey.get_pixel(x, y).0[0];
        Rgb(if level == 0 { [0, 0, 60] } else { [255; 3] })
    });
    assert_near(&read(&png(colour), SIZE).unwrap(), &expected, 1.0, "colour");
    assert_near(&read(&png(DynamicImage::from(grey.clone()).to_luma16()), SIZE).unwrap(), &expected, 0.0, "16 bits");
    assert_near(&read(&encoded(grey.clone(), ImageFormat::Jpeg), SIZE).unwrap(), &expected, 3.0, "JPEG");

    // Black or white ink on a transparent ground is laid over the contrasting colour.
    for (ink, background) in [(0, 255), (255, 0)] {
        let clear = GrayAlphaImage::from_fn(90, 170, |x, y| {
            LumaA(if grey.get_pixel(x, y).0[0] == 0 { [ink, 255] } else { [ink, 0] })
        });
        let actual = read(&png(clear), SIZE).unwrap();
        assert_eq!(actual.pixels, expected.pixels);
        assert_eq!(actual.treatment.laid_over, Some(background));
    }
    let opaque = GrayAlphaImage::from_fn(90, 170, |x, y| LumaA([grey.get_pixel(x, y).0[0], 255]));
    assert_eq!(read(&png(opaque), SIZE).unwrap(), expected);
}

#[test]
fn faint_ink_is_stretched_to_full_contrast() {
    let black = read(&png(seven(90, 170, 0, 255)), SIZE).unwrap();
    let faint = read(&png(seven(90, 170, 90, 190)), SIZE).unwrap();
    assert_eq!(faint.pixels, black.pixels);
}

#[test]
fn the_exif_orientation_is_applied() {
    let upright = encoded(seven(96, 176, 0, 255), ImageFormat::Jpeg);
    let lying = image::imageops::rotate270(&seven(96, 176, 0, 255));
    let lying = encoded(lying, ImageFormat::Jpeg);
    // A segment with one tag, orientation 6: the viewer must rotate the picture to the right.
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    exif.splice(0..0, [0xff, 0xe1, length[0], length[1]]);
    let mut turned = lying.clone();
    turned.splice(2..2, exif);
    let [upright, lying, turned] = [upright, lying, turned].map(|file| read(&file, SIZE).unwrap());
    assert_eq!(turned.treatment.size, [176, 96]);
    assert_near(&turned, &upright, 4.0, "turned");
    assert_eq!(lying.treatment.size, [96, 176]);
}

#[test]
fn a_picture_without_ink_is_refused() {
    for level in [0, 100, 255] {
        let sheet = GrayImage::from_pixel(50, 60, Luma([level]));
        let error = read(&png(sheet), SIZE).unwrap_err();
        assert!(matches!(error, PictureError::Blank { background } if background == level), "{error}");
        assert!(error.to_string().starts_with("nothing is drawn on it"), "{error}");
    }
    let faint = seven(90, 170, 240, 255);
    assert!(matches!(read(&png(faint), SIZE), Err(PictureError::Blank { background: 255 })));
}

#[test]
fn an_oversized_header_is_refused_before_decoding() {
    for (width, height) in [(100_000, 100_000), (8_001, 8_000), (32_001, 1), (1, u32::MAX / 2)] {
        let error = read(&claims(width, height), SIZE).unwrap_err();
        assert!(matches!(error, PictureError::TooLarge { .. }), "{width} x {height}: {error}");
        assert!(error.to_string().starts_with(&format!("{width} x {height} pixels exceed")), "{error}");
    }
    // A JPEG's size follows its marker 0xffc0, two bytes of length and one of precision.
    let mut jpeg = encoded(seven(90, 170, 0, 255), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let error = read(&jpeg, SIZE).unwrap_err();
    assert!(matches!(error, PictureError::TooLarge { width: 65_535, height: 65_535 }), "{error}");
}

#[test]
fn a_truncated_picture_is_refused() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let whole = encoded(seven(40, 60, 0, 255), format);
        // The last chunk of a PNG only marks the end.
        let end = if format == ImageFormat::Png { whole.len() - 16 } else { whole.len() };
        for length in 0..end {
            let error =
                read(&whole[..length], SIZE).expect_err(&format!("{format:?}, {length} of {} bytes", whole.len()));
            assert!(matches!(error, PictureError::Damaged { .. } | PictureError::Format), "{error}");
            assert_eq!(error.to_string().lines().count(), 1);
        }
    }
    // The segments before the image may contain a complete thumbnail.
    let whole = encoded(seven(40, 60, 0, 255), ImageFormat::Jpeg);
    let mut thumbnail = vec![0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
    thumbnail.splice(0..0, [0xff, 0xd8]);
    let cut_off = [&thumbnail[..], &whole[2..whole.len() - 2]].concat();
    assert!(matches!(read(&cut_off, SIZE), Err(PictureError::Damaged { .. })));
    assert!(read(&[&thumbnail[..], &whole[2..]].concat(), SIZE).is_ok());
}

/// Mutates files like a fuzzer without guidance: changes, removes, repeats and truncates bytes.
/// Every run uses the same mutations.
#[test]
fn mutated_pictures_neither_panic_nor_exhaust_memory() {
    let transparent = GrayAlphaImage::from_fn(20, 30, |x, y| LumaA([(x * y) as u8, (x + y) as u8 * 5]));
    let seeds = [
        png(seven(24, 36, 0, 255)),
        png(transparent),
        png(DynamicImage::from(seven(24, 36, 0, 255)).to_rgb16()),
        encoded(seven(24, 36, 0, 255), ImageFormat::Jpeg),
        encoded(DynamicImage::from(seven(24, 36, 0, 255)).to_rgb8(), ImageFormat::Jpeg),
    ];
    let mut outcomes = [0; 2];
    for (which, seed) in seeds.iter().enumerate() {
        for round in 0..600 {
            let mut bytes = seed.clone();
            let draws = BatchOrder::new(Shuffle::ChaCha { seed: 1000 * which as u64 + round }).next_epoch(65_536);
            let mut draws = draws.iter().copied();
            let mut draw = |below: usize| draws.next().unwrap() % below.max(1);
            for _ in 0..=draw(4) {
                let at = draw(bytes.len());
                match draw(5) {
                    0 if !bytes.is_empty() => bytes[at] = draw(256) as u8,
                    1 if !bytes.is_empty() => bytes[at] ^= 1 << draw(8),
                    2 => drop(bytes.drain(at.min(bytes.len())..(at + draw(9)).min(bytes.len()))),
                    3 => {
                        let piece = bytes[at.min(bytes.len())..(at + draw(40)).min(bytes.len())].to_vec();
                        bytes.splice(at..at, piece);
                    }
                    _ => bytes.truncate(at.max(bytes.len() / 2)),
                }
            }
            repair_checksums(&mut bytes);
            match read(&bytes, SIZE) {
                Ok(picture) => {
                    assert_eq!(picture.pixels.len(), 784);
                    let [height, width] = picture.treatment.size;
                    assert!(height * width <= 64_000_000);
                    outcomes[0] += 1;
                }
                Err(error) => {
                    assert_eq!(error.to_string().lines().count(), 1, "{error}");
                    outcomes[1] += 1;
                }
            }
        }
    }
    // Both outcomes are frequent, so the mutations test something.
    assert!(outcomes.iter().all(|&count| count > 100), "{outcomes:?}");
}

/// Corrects the checksums of a PNG's chunks, so that mutations reach the decoder.
fn repair_checksums(bytes: &mut [u8]) {
    let mut at = 8;
    while bytes.starts_with(b"\x89PNG") && at + 12 <= bytes.len() {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let Some(end) = at.checked_add(8 + length).filter(|end| end + 4 <= bytes.len()) else { return };
        let mut checksum = flate2::Crc::new();
        checksum.update(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&checksum.sum().to_be_bytes());
        at = end + 4;
    }
}

#[test]
fn an_image_in_mnists_form_is_unchanged() {
    let [digits, _] = draw_both(0, Counts { train: 10, validation: 1 });
    for row in 0..10 {
        let pixels = digits.pixels(row);
        let file = png(GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap());
        let actual = read(&file, SIZE).unwrap();
        assert_eq!(actual.pixels, pixels);
        assert!(actual.treatment.as_it_is && !actual.treatment.inverted);
        assert!(actual.treatment.to_string().contains("used as it is"), "{}", actual.treatment);
    }
}

/// Light pixels stay light and nothing moves. A digit would be inverted and centred.
#[test]
fn whole_pictures_are_only_scaled_and_made_grey() {
    let grey = GrayImage::from_fn(6, 4, |x, y| Luma([200 + (x * 4 + y) as u8]));
    let same = read_whole(&png(grey.clone()), [4, 6]).unwrap();
    assert_eq!(same.pixels, grey.into_raw());
    // At half the size a pixel is the mean of its neighbourhood. Inside a block of one level, that
    // is the level.
    const LEVELS: [[u8; 2]; 2] = [[250, 120], [30, 200]];
    let blocks = GrayImage::from_fn(80, 40, |x, y| Luma([LEVELS[(y / 20) as usize][(x / 40) as usize]]));
    let half = read_whole(&png(blocks), [20, 40]).unwrap();
    for (row, column, expected) in [(2, 3, 250), (3, 36, 120), (17, 2, 30), (18, 38, 200)] {
        assert_eq!(half.pixels[row * 40 + column], expected);
    }
    assert!(half.treatment.to_string().ends_with("converted to grey and scaled to 20 x 40"), "{}", half.treatment);
    // Also with a single grey level, where no digit would be found.
    let blank = GrayImage::from_pixel(9, 9, Luma([77]));
    assert!(read_whole(&png(blank), [3, 3]).unwrap().pixels.iter().all(|&p| p == 77));
    let glass = RgbaImage::from_pixel(2, 2, Rgba([0, 0, 0, 0]));
    assert!(read_whole(&png(glass), [2, 2]).unwrap().treatment.laid_over.is_some());
}

#[test]
fn gzipped_and_plain_pictures_are_equal() {
    let folder = tempfile::tempdir().unwrap();
    let plain = png(seven(90, 170, 0, 255));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&plain).unwrap();
    let [plain, packed] = [("plain", plain), ("packed", encoder.finish().unwrap())].map(|(name, content)| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        input_files::read(&path, SIZE, PictureMode::AsDrawn).unwrap().remove(0).pixels
    });
    assert_eq!(packed, plain);
}
