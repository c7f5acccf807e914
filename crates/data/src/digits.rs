//! Digits drawn by code: images of 28 x 28 grey levels, in any number. A seed gives the same bytes
//! on every platform.
//!
//! Each digit is a few pen strokes in the unit square. Every image varies slant, rotation, size,
//! position, pen width and the stroke points. Some images have a stray stroke, so a linear
//! classifier makes about as many errors as on real digits. The code uses only `+ - * /` and square
//! roots. IEEE 754 rounds these identically everywhere, unlike sine and cosine.

use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chacha20::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::idx::{self, IdxImages, Writer};
use crate::{Counts, DataError, Images, Prefetcher};

/// The seed of the digits that training falls back to.
pub const SEED: u64 = 0;

const SIDE: usize = 28;

/// The strokes of each digit: points in the unit square, x to the right and y down, joined by
/// straight lines.
const STROKES: [&[&[(f32, f32)]]; 10] = [
    &[&[
        (0.5, 0.0),
        (0.82, 0.14),
        (0.92, 0.5),
        (0.82, 0.86),
        (0.5, 1.0),
        (0.18, 0.86),
        (0.08, 0.5),
        (0.18, 0.14),
        (0.5, 0.0),
    ]],
    &[&[(0.3, 0.2), (0.55, 0.0), (0.55, 1.0)]],
    &[&[(0.12, 0.22), (0.3, 0.03), (0.62, 0.0), (0.86, 0.16), (0.84, 0.38), (0.5, 0.7), (0.1, 1.0), (0.92, 0.98)]],
    &[
        &[(0.12, 0.1), (0.45, 0.0), (0.8, 0.1), (0.84, 0.32), (0.66, 0.46), (0.4, 0.48)],
        &[(0.66, 0.48), (0.88, 0.64), (0.86, 0.86), (0.55, 1.0), (0.1, 0.9)],
    ],
    &[&[(0.62, 0.0), (0.08, 0.66), (0.94, 0.66)], &[(0.7, 0.36), (0.66, 1.0)]],
    &[&[(0.88, 0.0), (0.26, 0.02), (0.2, 0.44), (0.56, 0.38), (0.86, 0.54), (0.86, 0.82), (0.54, 1.0), (0.1, 0.9)]],
    &[&[
        (0.74, 0.0),
        (0.36, 0.24),
        (0.12, 0.62),
        (0.2, 0.9),
        (0.52, 1.0),
        (0.82, 0.86),
        (0.82, 0.62),
        (0.54, 0.5),
        (0.2, 0.64),
    ]],
    &[&[(0.06, 0.04), (0.92, 0.02), (0.62, 0.46), (0.42, 1.0)]],
    &[
        &[(0.5, 0.46), (0.2, 0.3), (0.24, 0.08), (0.5, 0.0), (0.78, 0.08), (0.8, 0.3), (0.5, 0.46)],
        &[(0.5, 0.46), (0.86, 0.68), (0.8, 0.92), (0.5, 1.0), (0.18, 0.92), (0.14, 0.68), (0.5, 0.46)],
    ],
    &[&[
        (0.84, 0.28),
        (0.5, 0.48),
        (0.18, 0.34),
        (0.2, 0.1),
        (0.5, 0.0),
        (0.82, 0.12),
        (0.84, 0.3),
        (0.76, 0.66),
        (0.56, 1.0),
    ]],
];

/// Draws the training and validation digits of a seed. The first n of each do not depend on the
/// count.
pub fn draw_both(seed: u64, counts: Counts) -> [Images; 2] {
    [draw(seed, 0, counts.train), draw(seed, 1, counts.validation)]
}

/// Writes the digits of [`draw_both`] as four IDX files: training images, training labels,
/// validation images, validation labels.
///
/// All cores draw, a few thousand digits at a time. Each file is written atomically.
///
/// # Errors
/// Fails if a file cannot be written.
pub fn write_both(seed: u64, counts: Counts, files: &[PathBuf; 4]) -> Result<(), DataError> {
    let [train_images, train_labels, validation_images, validation_labels] = files;
    write(seed, 0, counts.train, train_images, train_labels)?;
    write(seed, 1, counts.validation, validation_images, validation_labels)
}

/// The number of digits that a thread draws at once.
const AT_ONCE: usize = 1024;

fn write(seed: u64, split: u64, count: usize, images: &Path, labels: &Path) -> Result<(), DataError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let range = move |i: usize| i * AT_ONCE..((i + 1) * AT_ONCE).min(count);
    let drawn = Prefetcher::new(count.div_ceil(AT_ONCE), threads, || move |i| draw_range(seed, split, range(i)));
    let (mut images, mut labels) = (Writer::new(images)?, Writer::new(labels)?);
    images.write(&idx::images_header(count, SIDE, SIDE))?;
    labels.write(&idx::labels_header(count))?;
    for (pixels_of_some, labels_of_some) in drawn.map_err(|problem| DataError::Thread { problem })? {
        images.write(&pixels_of_some)?;
        labels.write(&labels_of_some)?;
    }
    images.finish()?;
    labels.finish()
}

/// Returns the size of `count` digits in bytes.
pub(crate) fn bytes(count: usize) -> u64 {
    (count * SIDE * SIDE) as u64
}

fn draw(seed: u64, split: u64, count: usize) -> Images {
    let (pixels, labels) = draw_range(seed, split, 0..count);
    Images::new(IdxImages { height: SIDE, width: SIDE, pixels }, labels)
}

/// Draws the pixels and labels of a range of digits.
fn draw_range(seed: u64, split: u64, range: Range<usize>) -> (Vec<u8>, Vec<u8>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pixels = Vec::with_capacity(range.len() * SIDE * SIDE);
    let mut labels = Vec::with_capacity(range.len());
    for image in range.start as u64..range.end as u64 {
        // Each image has its own random stream, so it does not depend on the other images.
        rng.set_stream(2 * image + split);
        let label = rng.random_range(0..10u8);
        labels.push(label);
        pixels.extend(draw_digit(label, &mut rng));
    }
    (pixels, labels)
}

/// Returns a number from `-range` to `range`, on a grid of 2^24 steps that f32 represents exactly.
fn jitter(rng: &mut ChaCha8Rng, range: f32) -> f32 {
    let unit = (rng.random::<u32>() >> 8) as f32 / 16_777_216.0;
    (2.0 * unit - 1.0) * range
}

fn draw_digit(label: u8, rng: &mut ChaCha8Rng) -> [u8; SIDE * SIDE] {
    let (width, height) = (11.5 + jitter(rng, 3.5), 18.0 + jitter(rng, 3.0));
    let (right, down) = (14.0 + jitter(rng, 2.2), 14.0 + jitter(rng, 2.0));
    let slant = 0.1 + jitter(rng, 0.4);
    let sine = jitter(rng, 0.3);
    let cosine = (1.0 - sine * sine).sqrt();
    let pen = 1.15 + jitter(rng, 0.55);
    let ink = 225.0 + jitter(rng, 30.0);

    let mut canvas = [0.0f32; SIDE * SIDE];
    for stroke in STROKES[usize::from(label)] {
        let points: Vec<(f32, f32)> = stroke
            .iter()
            .map(|&(x, y)| {
                let x = (x - 0.5 + jitter(rng, 0.09)) * width;
                let y = (y - 0.5 + jitter(rng, 0.06)) * height;
                let x = x - slant * y;
                (right + x * cosine - y * sine, down + x * sine + y * cosine)
            })
            .collect();
        for ends in points.windows(2) {
            draw_line(&mut canvas, ends[0], ends[1], pen);
        }
    }
    if rng.random_range(0..4) == 0 {
        let from = (14.0 + jitter(rng, 11.0), 14.0 + jitter(rng, 11.0));
        let to = (from.0 + jitter(rng, 7.0), from.1 + jitter(rng, 7.0));
        draw_line(&mut canvas, from, to, pen);
    }
    canvas.map(|cover| (cover * ink + 0.5) as u8)
}

/// Draws a line with `pen` pixels to either side and a soft edge of one pixel.
fn draw_line(canvas: &mut [f32; SIDE * SIDE], from: (f32, f32), to: (f32, f32), pen: f32) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length_squared = dx * dx + dy * dy + 1e-6;
    let reach = pen + 1.0;
    // A cast from a negative float gives 0.
    let span = |a: f32, b: f32| ((a.min(b) - reach) as usize, ((a.max(b) + reach + 1.0) as usize).min(SIDE));
    let ((left, right), (top, bottom)) = (span(from.0, to.0), span(from.1, to.1));
    for row in top..bottom {
        for column in left..right {
            let (x, y) = (column as f32 + 0.5 - from.0, row as f32 + 0.5 - from.1);
            let along = ((x * dx + y * dy) / length_squared).clamp(0.0, 1.0);
            let (x, y) = (x - along * dx, y - along * dy);
            let cover = (pen + 0.5 - (x * x + y * y).sqrt()).clamp(0.0, 1.0);
            let pixel = &mut canvas[row * SIDE + column];
            *pixel = pixel.max(cover);
        }
    }
}
