//! Conversion of PNG and JPEG files of any size to images like MNIST's.

use chainrule_core::{ModelKind, Parameters, Preprocessing};
use chainrule_data::picture::read;
use chainrule_solve::Predictor;
use chainrule_tests_macros::test;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};

use crate::support::{device, experiment, fit, mnist};

#[path = "../crates/data/tests/pictures/mod.rs"]
mod pictures;

pub(crate) use pictures::{claims, encoded, seven};

const SIZE: [usize; 2] = [28, 28];

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

/// Draws MNIST's digits enlarged, with dark ink somewhere on a white sheet. The trained model must
/// see almost the same digits.
#[test]
fn digits_are_recovered_from_a_picture() {
    let data = mnist();
    let config = experiment("softmax.toml", &["data.train_images=5000", "descent.epochs=5"]);
    let fit = fit(&config, &data, &device(), &mut ());
    let parameters = Parameters { n_features: 784, columns: 10, weight: fit.weight, bias: fit.bias };
    let predictor = Predictor::new(ModelKind::Softmax, parameters, Preprocessing::Pixels).unwrap();
    let (mut mean_difference, mut same_class, mut right) = (0.0, 0, [0; 2]);
    for row in 0..1000 {
        let pixels = data.validation.pixels(row);
        let small = GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap();
        let large = image::imageops::resize(&small, 224, 224, image::imageops::FilterType::CatmullRom);
        let mut sheet = GrayImage::from_pixel(600, 500, Luma([255]));
        for (x, y, pixel) in large.enumerate_pixels() {
            sheet.put_pixel(x + 37, y + 190, Luma([255 - pixel.0[0]]));
        }
        let actual = read(&png(sheet), SIZE).unwrap();
        let sum: f64 = actual.pixels.iter().zip(pixels).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        mean_difference += sum / 784.0 / 1000.0;
        let classes = [pixels, &actual.pixels].map(|pixels| predictor.predict(pixels).unwrap().class);
        same_class += usize::from(classes[0] == classes[1]);
        for (right, class) in right.iter_mut().zip(classes) {
            *right += usize::from(class == usize::from(data.validation.labels()[row]));
        }
    }
    // Measured values: 6.4, 953 and [828, 834].
    assert!(mean_difference < 7.0, "{mean_difference} grey levels apart on the mean");
    assert!(same_class >= 930, "{same_class} of 1000 are classified as they were");
    assert!(right[0].abs_diff(right[1]) <= 20, "{right:?} of 1000 are classified rightly");
}
