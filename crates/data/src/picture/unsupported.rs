//! The picture functions of a build without decoders; all return an error.

use super::{Grey, Picture, PictureError};

pub(crate) fn decode(_: &[u8], _: &'static str, _: fn(&[u8]) -> bool) -> Result<Grey, PictureError> {
    Err(PictureError::NotBuilt)
}

pub(super) fn convert_ink(_: Grey, _: [usize; 2]) -> Result<Picture, PictureError> {
    Err(PictureError::NotBuilt)
}

pub(super) fn convert_whole(_: Grey, _: [usize; 2]) -> Result<Picture, PictureError> {
    Err(PictureError::NotBuilt)
}
