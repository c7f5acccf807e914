//! Measures how the cost of an epoch grows with the number of images, features, classes and images
//! per batch. The rows are synthetic, with a given fraction of nonzero bytes.

use anyhow::{Context, Result};
use chacha20::ChaCha8Rng;
use chainrule::backend::Backend;
use chainrule_core::{GradientSource, Preprocessing};
use chainrule_data::Rows;
use chainrule_report::{Axis, Chart, Color, Content, Corner, Figure, Format, Mark, Scale, Series};
use rand::{RngExt, SeedableRng};

use crate::Bench;
use crate::engine::{Engine, in_file_order, with};
use crate::epoch::median;

/// The fraction of nonzero bytes, as in MNIST.
pub(crate) const DENSITY: f64 = 0.19;

/// The sizes that do not grow.
const SIZE: Size = Size { images: 4096, features: 784, classes: 10, batch: 128 };

/// Timed epochs, whose median is reported, after one warm-up epoch.
const EPOCHS: usize = 5;

#[derive(Clone, Copy)]
struct Size {
    images: usize,
    features: usize,
    classes: usize,
    batch: usize,
}

/// The size that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GrowthAxis {
    Images,
    Features,
    Classes,
    Batch,
}

impl GrowthAxis {
    const ALL: [GrowthAxis; 4] = [GrowthAxis::Images, GrowthAxis::Features, GrowthAxis::Classes, GrowthAxis::Batch];

    fn name(self) -> &'static str {
        match self {
            GrowthAxis::Images => "images, n",
            GrowthAxis::Features => "features, d",
            GrowthAxis::Classes => "classes, k",
            GrowthAxis::Batch => "images per batch",
        }
    }

    fn id(self) -> &'static str {
        match self {
            GrowthAxis::Images => "growth-images",
            GrowthAxis::Features => "growth-features",
            GrowthAxis::Classes => "growth-classes",
            GrowthAxis::Batch => "growth-batch",
        }
    }

    fn values(self) -> Vec<usize> {
        let doublings = |first: usize, last: usize| {
            std::iter::successors(Some(first), |value| Some(2 * value)).take_while(move |&value| value <= last)
        };
        match self {
            GrowthAxis::Images => doublings(512, 32_768).collect(),
            GrowthAxis::Features => doublings(49, 6272).collect(),
            GrowthAxis::Classes => doublings(2, 256).collect(),
            GrowthAxis::Batch => doublings(8, 2048).collect(),
        }
    }

    fn size(self, value: usize) -> Size {
        match self {
            GrowthAxis::Images => Size { images: value, ..SIZE },
            GrowthAxis::Features => Size { features: value, ..SIZE },
            GrowthAxis::Classes => Size { classes: value, ..SIZE },
            GrowthAxis::Batch => Size { batch: value, ..SIZE },
        }
    }
}

/// An engine's milliseconds for each size.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) color: Color,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Curve {
    /// Returns the exponent p of milliseconds = c size^p, fitted to all points by least squares of
    /// the logarithms.
    pub(crate) fn exponent(&self) -> f64 {
        let logs: Vec<(f64, f64)> = self.points.iter().map(|&(x, y)| (x.ln(), y.ln())).collect();
        let n = logs.len() as f64;
        let (mean_x, mean_y) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
        let covariance: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        covariance / logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>()
    }
}

/// The measurements for one growing size.
pub(crate) struct Growth {
    pub(crate) id: &'static str,
    /// The name of the size.
    pub(crate) name: &'static str,
    /// What is timed: an epoch, or a pass.
    pub(crate) unit: &'static str,
    /// The number of elements at each size.
    pub(crate) elements: Vec<usize>,
    pub(crate) curves: Vec<Curve>,
    pub(crate) legend: Corner,
}

impl Growth {
    /// Returns nanoseconds per element at the smallest and at the largest size.
    pub(crate) fn per_element(&self, curve: &Curve) -> [f64; 2] {
        let per_element = |(&(_, milliseconds), &elements): (&(f64, f64), &usize)| 1e6 * milliseconds / elements as f64;
        let all: Vec<f64> = curve.points.iter().zip(&self.elements).map(per_element).collect();
        [all.first(), all.last()].map(|nanoseconds| nanoseconds.copied().unwrap_or(f64::NAN))
    }

    /// Draws the curves on two logarithmic axes.
    pub(crate) fn figure(&self) -> Figure {
        let series = self
            .curves
            .iter()
            .map(|curve| Series::new(curve.name.clone(), curve.color, Mark::LineAndDots, curve.points.clone()));
        let all = || self.curves.iter().flat_map(|curve| &curve.points);
        let range = |coordinate: fn(&(f64, f64)) -> f64, margin: f64| {
            let values = || all().map(coordinate);
            values().fold(f64::INFINITY, f64::min) / margin..values().fold(0.0, f64::max) * margin
        };
        let axis = |label: String, range, format| Axis { label, range, scale: Scale::Logarithmic, format };
        let Self { id, name, unit, legend, .. } = *self;
        Figure {
            id,
            title: format!("Time per {unit}, by {name}"),
            caption: String::new(),
            content: Content::Chart(Chart {
                x: axis(name.to_owned(), range(|point| point.0, 1.25), Format::Count),
                y: axis(format!("milliseconds per {unit}"), range(|point| point.1, 2.0), Format::Number),
                series: series.collect(),
                legend,
            }),
            runs: Vec::new(),
        }
    }
}

/// Describes the sizes that do not grow.
pub(crate) fn describe_fixed_sizes() -> String {
    let Size { images, features, classes, batch } = SIZE;
    format!("{images} images, {features} features, {classes} classes and {batch} images per batch")
}

/// Measures all four sizes. At each size the engines run directly after each other.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Growth>> {
    let backend = Backend::built()?.into_iter().next().context("this build has no backend")?;
    let all_threads = bench.threads.last().copied().unwrap_or(1);
    let mut engines = vec![("fused, 1 thread".to_owned(), GradientSource::Fused, 1, Color::Blue)];
    if all_threads > 1 {
        engines.push((format!("fused, {all_threads} threads"), GradientSource::Fused, all_threads, Color::Green));
    }
    let tensors = format!("Burn {backend}, tensor operations");
    engines.push((tensors, GradientSource::ClosedForm, 1, Color::Vermillion));
    let mut growths = Vec::new();
    for axis in GrowthAxis::ALL {
        println!("growth of {}", axis.name());
        let mut curves: Vec<Curve> = engines
            .iter()
            .map(|(name, _, _, color)| Curve { name: name.clone(), color: *color, points: Vec::new() })
            .collect();
        let mut elements = Vec::new();
        for value in axis.values() {
            let size = axis.size(value);
            elements.push(size.images * size.features * size.classes);
            let rows = synthetic_rows(size);
            let config = with(&bench.softmax, &[format!("descent.batch_size={}", size.batch)])?;
            for ((_, gradient, threads, _), curve) in engines.iter().zip(&mut curves) {
                let config = config.clone().with_gradient(*gradient);
                let engine = Engine::new(
                    &in_file_order(&config)?,
                    &rows,
                    size.classes,
                    &Preprocessing::Pixels,
                    &backend,
                    *threads,
                )?;
                let (milliseconds, _) = engine.epochs(EPOCHS + 1)?;
                curve.points.push((value as f64, median(milliseconds[1..].to_vec())));
            }
        }
        let legend = if axis == GrowthAxis::Batch { Corner::UpperRight } else { Corner::UpperLeft };
        growths.push(Growth { id: axis.id(), name: axis.name(), unit: "epoch", elements, curves, legend });
    }
    Ok(growths)
}

/// Returns synthetic rows that contain every class. As in images, the ink is in some regions: some
/// blocks of sixteen features have ink, in half of their features.
fn synthetic_rows(size: Size) -> Rows {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut pixels = Vec::with_capacity(size.images * size.features);
    for _ in 0..size.images {
        for start in (0..size.features).step_by(16) {
            let has_ink = rng.random_bool(2.0 * DENSITY);
            for _ in start..size.features.min(start + 16) {
                let is_ink = rng.random::<bool>() && has_ink;
                pixels.push(if is_ink { rng.random_range(1..=u8::MAX) } else { 0 });
            }
        }
    }
    Rows::of_pixels([1, size.features], pixels, (0..size.images).map(|row| (row % size.classes) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_of_a_power_law_is_recovered() {
        let points = (1..9).map(|i| (f64::from(i), 3.0 * f64::from(i).powf(1.5))).collect();
        let curve = Curve { name: String::new(), color: Color::Blue, points };
        assert!((curve.exponent() - 1.5).abs() < 1e-12, "{}", curve.exponent());
    }

    #[test]
    fn synthetic_rows_have_the_density_and_every_class() {
        let rows = synthetic_rows(Size { images: 100, features: 300, classes: 7, batch: 10 });
        let non_zeros = crate::pixels(&rows).expect("images").iter().filter(|&&byte| byte != 0).count() as f64;
        assert!((non_zeros / 30_000.0 - DENSITY).abs() < 0.02, "{non_zeros} of 30000");
        assert!((0..7).all(|class| rows.labels().contains(&class)));
    }
}
