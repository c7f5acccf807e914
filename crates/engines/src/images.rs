use std::sync::Arc;

use burn_dataset::{Dataset, DatasetError};
use chainrule_data::Images;

/// One image with its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledImage {
    /// Grey levels row by row: 0 background, 255 ink.
    pub pixels: Vec<u8>,
    /// The digit or class of the image.
    pub label: u8,
}

/// Images as a burn-dataset `Dataset`, for Burn's data loaders and transforms. The images are in
/// memory or in their file.
#[derive(Clone, Debug)]
pub struct ImageDataset(pub Arc<Images>);

impl Dataset<LabelledImage> for ImageDataset {
    fn get(&self, index: usize) -> Result<LabelledImage, DatasetError> {
        let (height, width) = self.0.size();
        let mut pixels = vec![0; height * width];
        self.0.read_pixels(index, &mut pixels).map_err(DatasetError::new)?;
        Ok(LabelledImage { pixels, label: self.0.labels()[index] })
    }

    fn len(&self) -> usize {
        self.0.labels().len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn_dataset::Dataset;
    use chainrule_data::Counts;
    use chainrule_data::digits::draw_both;

    use super::*;

    #[test]
    fn images_are_a_burn_dataset() {
        let [train, _] = draw_both(1, Counts { train: 7, validation: 1 });
        let train = Arc::new(train);
        let images = ImageDataset(Arc::clone(&train));
        assert_eq!(images.len(), 7);
        let pixels: Vec<u8> =
            images.iter().flat_map(|image| image.map(|image| image.pixels).unwrap_or_default()).collect();
        let expected: Vec<u8> = (0..7).flat_map(|row| train.pixels(row).to_vec()).collect();
        assert_eq!(pixels, expected);
        assert_eq!(images.get(6).map(|image| image.label).ok(), Some(train.labels()[6]));
    }
}
