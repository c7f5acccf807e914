//! Conversion of pictures with the decoders and filters of the crate image.

use std::io::Cursor;

use image::imageops::{FilterType, crop_imm, resize};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Grey, MAX_BYTES, MAX_PIXELS, MAX_SIDE, MIN_CONTRAST, Picture, PictureError, Treatment};

/// The smallest level that counts as ink when its extent is measured; 255 is the strongest ink.
/// Weaker levels are a JPEG's ripples and the soft edge of a stroke.
const INK: u8 = 255 / 4;
/// The fraction of a side that the ink is fitted into: MNIST's 20 of 28.
const BOX: f64 = 20.0 / 28.0;

/// Implements [`read`](super::read).
pub(super) fn convert_ink(picture: Grey, size: [usize; 2]) -> Result<Picture, PictureError> {
    let Grey { format, size: [height, width], .. } = picture;
    let (grey, laid_over) = image_of(picture);
    let border = border(&grey);
    let inverted = border > 127;
    let mut treatment = Treatment {
        format,
        size: [height, width],
        as_it_is: [height, width] == size && !inverted,
        whole: false,
        laid_over,
        border,
        inverted,
        ink: size,
        fitted: size,
    };
    if treatment.as_it_is {
        return Ok(Picture { pixels: grey.into_raw(), treatment });
    }
    let ink = ink(grey, border, inverted)?;
    let (pixels, fitted) = fit(&ink, size);
    treatment.ink = [ink.height() as usize, ink.width() as usize];
    treatment.fitted = fitted;
    Ok(Picture { pixels, treatment })
}

/// Implements [`read_whole`](super::read_whole).
pub(super) fn convert_whole(picture: Grey, size: [usize; 2]) -> Result<Picture, PictureError> {
    let Grey { format, size: input_size, .. } = picture;
    let (grey, laid_over) = image_of(picture);
    let border = border(&grey);
    let pixels = if input_size == size {
        grey.into_raw()
    } else {
        // When it shrinks a picture, this filter averages all pixels that become one, and it never
        // rings.
        resize(&grey, size[1] as u32, size[0] as u32, FilterType::Triangle).into_raw()
    };
    let treatment = Treatment {
        format,
        size: input_size,
        as_it_is: input_size == size,
        whole: true,
        laid_over,
        border,
        inverted: false,
        ink: input_size,
        fitted: size,
    };
    Ok(Picture { pixels, treatment })
}

fn image_of(Grey { size: [height, width], pixels, laid_over, .. }: Grey) -> (GrayImage, Option<u8>) {
    let image = GrayImage::from_raw(width as u32, height as u32, pixels);
    (image.expect("a picture has as many pixels as its size says"), laid_over)
}

/// Decodes a picture of the named format. `is_whole` checks that the file is complete, for decoders
/// that do not.
pub(crate) fn decode(bytes: &[u8], format: &'static str, is_whole: fn(&[u8]) -> bool) -> Result<Grey, PictureError> {
    let kind = ImageFormat::from_extension(format).expect("the decoders know each format by its name");
    let damaged = |problem: String| PictureError::Damaged { format, problem: one_line(&problem) };
    let damaged_by = |error: image::ImageError| damaged(error.to_string());

    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), kind);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged_by)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    if width == 0 || height == 0 {
        return Err(damaged("it has no pixels".to_owned()));
    }
    // The byte limit allows fewer pixels in 16-bit colours.
    if decoder.total_bytes() > MAX_BYTES {
        return Err(PictureError::TooLarge { width, height });
    }
    if !is_whole(bytes) {
        return Err(damaged("it is truncated".to_owned()));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(damaged_by)?;
    decoded.apply_orientation(orientation);
    let (grey, laid_over) = to_grey(decoded);
    let size = [grey.height() as usize, grey.width() as usize];
    Ok(Grey { format, size, pixels: grey.into_raw(), laid_over })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the grey levels, and the background under transparent pixels: black under light ink,
/// white under dark ink.
fn to_grey(decoded: DynamicImage) -> (GrayImage, Option<u8>) {
    if !decoded.color().has_alpha() {
        return (decoded.into_luma8(), None);
    }
    let decoded = decoded.into_luma_alpha8();
    if decoded.pixels().all(|pixel| pixel.0[1] == 255) {
        return (
            GrayImage::from_fn(decoded.width(), decoded.height(), |x, y| [decoded.get_pixel(x, y).0[0]].into()),
            None,
        );
    }
    let (sum, weight) = decoded.pixels().fold((0, 0), |(sum, weight), pixel| {
        let [level, alpha] = pixel.0.map(u64::from);
        (sum + level * alpha, weight + alpha)
    });
    let background = if sum > 127 * weight { 0 } else { 255u8 };
    let blend = |x, y| {
        let [level, alpha] = decoded.get_pixel(x, y).0.map(u32::from);
        [((level * alpha + u32::from(background) * (255 - alpha) + 127) / 255) as u8].into()
    };
    (GrayImage::from_fn(decoded.width(), decoded.height(), blend), Some(background))
}

/// Returns the median of the outermost pixels. A stroke that leaves the picture does not change it.
fn border(grey: &GrayImage) -> u8 {
    let (width, height) = grey.dimensions();
    let mut counts = [0u64; 256];
    let mut count = |x: u32, y: u32| counts[usize::from(grey.get_pixel(x, y).0[0])] += 1;
    for x in 0..width {
        count(x, 0);
        count(x, height - 1);
    }
    for y in 0..height {
        count(0, y);
        count(width - 1, y);
    }
    let half = counts.iter().sum::<u64>() / 2;
    let mut seen = 0;
    let median = counts.iter().position(|count| {
        seen += count;
        seen > half
    });
    median.expect("more than half of the pixels are seen at the last level") as u8
}

/// Crops the picture to its ink, scaled from 0 (background) to 255 (strongest ink).
fn ink(mut grey: GrayImage, border: u8, inverted: bool) -> Result<GrayImage, PictureError> {
    let above = |level: u8| if inverted { border.saturating_sub(level) } else { level.saturating_sub(border) };
    let strongest = grey.pixels().map(|pixel| above(pixel.0[0])).max().unwrap_or_default();
    if strongest < MIN_CONTRAST {
        return Err(PictureError::Blank { background: border });
    }
    let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
    for (x, y, pixel) in grey.enumerate_pixels_mut() {
        let level = u32::from(above(pixel.0[0])) * 255 / u32::from(strongest);
        pixel.0[0] = level as u8;
        if pixel.0[0] >= INK {
            (left, top, right, bottom) = (left.min(x), top.min(y), right.max(x), bottom.max(y));
        }
    }
    Ok(crop_imm(&grey, left, top, right - left + 1, bottom - top + 1).to_image())
}

/// Fits the ink into the box of an image of `size` and moves its centre of mass to the middle.
/// Returns the image and the size of the ink in it.
///
/// The middle is pixel 14 of 28, counted from 0, within half a pixel. The centres of mass of all
/// MNIST images lie there.
fn fit(ink: &GrayImage, [height, width]: [usize; 2]) -> (Vec<u8>, [usize; 2]) {
    let buffer = [height, width].map(|side| (side as f64 * BOX).round().max(1.0));
    let ink_size = [ink.height(), ink.width()].map(f64::from);
    let scale = (buffer[0] / ink_size[0]).min(buffer[1] / ink_size[1]);
    let [rows, columns] = [0, 1].map(|i| (ink_size[i] * scale).round().clamp(1.0, buffer[i]) as usize);
    // When it shrinks a picture, this filter averages all pixels that become one.
    // docs/decisions/0017-pictures.md compares the filters of the crate image.
    let fitted = resize(ink, columns as u32, rows as u32, FilterType::CatmullRom);

    let (mut mass, mut moments) = (0.0, [0.0; 2]);
    for (x, y, pixel) in fitted.enumerate_pixels() {
        let level = f64::from(pixel.0[0]);
        mass += level;
        moments[0] += level * f64::from(y);
        moments[1] += level * f64::from(x);
    }
    let first = |side: usize, taken: usize, moment: f64| {
        let middle = if mass > 0.0 { moment / mass } else { (taken / 2) as f64 };
        ((side / 2) as f64 - middle).round().clamp(0.0, (side - taken) as f64) as usize
    };
    let (top, left) = (first(height, rows, moments[0]), first(width, columns, moments[1]));
    let mut pixels = vec![0; height * width];
    for (y, line) in fitted.as_raw().chunks_exact(columns).enumerate() {
        pixels[(top + y) * width + left..][..columns].copy_from_slice(line);
    }
    (pixels, [rows, columns])
}
