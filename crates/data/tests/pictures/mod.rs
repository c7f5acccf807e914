//! Generated pictures, for these tests and those of the program.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Luma};

/// Returns the bytes of a file.
pub(crate) fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Draws a slanted stroke with a hook, in dark ink on light paper.
pub(crate) fn seven(width: u32, height: u32, ink: u8, paper: u8) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let (x, y) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        let is_hook = (0.3..0.7).contains(&x) && (0.2..0.27).contains(&y);
        let is_stroke = (0.2..0.8).contains(&y) && (x - (0.75 - 0.5 * y)).abs() < 0.05;
        Luma([if is_hook || is_stroke { ink } else { paper }])
    })
}

/// Returns a PNG whose header claims this size, with almost no data.
pub(crate) fn claims(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    // An empty zlib stream.
    writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9c, 3, 0, 0, 0, 0, 1]).unwrap();
    drop(writer);
    bytes
}
