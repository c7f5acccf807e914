//! Converts a picture of any size into an image like MNIST's: light ink on a background of 0,
//! fitted into a box and centred by its mass.
//!
//! MNIST's digits "were size normalized to fit in a 20x20 pixel box while preserving their aspect
//! ratio", with grey levels "as a result of the anti-aliasing technique used", and "centered in a
//! 28x28 image by computing the center of mass of the pixels, and translating the image so as to
//! position this point at the center" (Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based
//! learning applied to document recognition, Proceedings of the IEEE 86(11), 1998, section III A).
//! [`read`] applies these steps to a picture and reports them.
//!
//! [`read_whole`] scales any picture as a whole.
//!
//! A header is a claim that may be false. The dimensions are checked before any pixel is decoded.

#[cfg(feature = "pictures")]
mod convert;
#[cfg(not(feature = "pictures"))]
#[path = "picture/unsupported.rs"]
mod convert;

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::readers::{self, PICTURES, Read};

pub(crate) use convert::decode;

/// An error in a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// This build has no decoders.
    #[error("this build cannot read pictures; build it with the feature pictures")]
    NotBuilt,
    /// The file has none of the supported formats.
    #[error("neither {}", readers::files(PICTURES, "nor"))]
    Format,
    /// The file is damaged or incomplete.
    #[error("damaged {format}: {problem}")]
    Damaged {
        /// The name of the format.
        format: &'static str,
        /// The message of the decoder.
        problem: String,
    },
    /// The picture has more pixels than the limit.
    #[error(
        "{width} x {height} pixels exceed the limit of {} megapixels, {MAX_SIDE} pixels per side or {} MB decoded; scale it down",
        MAX_PIXELS / 1_000_000,
        MAX_BYTES / 1_000_000
    )]
    TooLarge {
        /// Pixel columns.
        width: u32,
        /// Pixel rows.
        height: u32,
    },
    /// No ink stands out from the background.
    #[error("nothing is drawn on it: no grey level differs by {MIN_CONTRAST} or more from its border ({background})")]
    Blank {
        /// The grey level of the border.
        background: u8,
    },
}

/// A decoded picture, converted to grey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grey {
    /// The name of the format.
    pub format: &'static str,
    /// The rows and columns, after the camera's rotation was applied.
    pub size: [usize; 2],
    /// The grey levels, row by row.
    pub pixels: Vec<u8>,
    /// The background under transparent pixels: 0 black, 255 white; `None` if there are none.
    pub laid_over: Option<u8>,
}

/// An image for a model, made from a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The grey levels, row by row: 0 background, 255 ink.
    pub pixels: Vec<u8>,
    /// The conversion steps.
    pub treatment: Treatment,
}

/// The steps that converted a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Treatment {
    /// The name of the format.
    pub format: &'static str,
    /// The pixel rows and columns, after the camera's rotation was applied.
    pub size: [usize; 2],
    /// Whether the picture was only converted to grey, because it had the right size (and, for ink,
    /// light ink).
    pub as_it_is: bool,
    /// Whether the picture was scaled as a whole, without a search for ink.
    pub whole: bool,
    /// The background under transparent pixels: 0 black, 255 white; `None` if there are none.
    pub laid_over: Option<u8>,
    /// The median grey level of the outermost pixels. It separates ink from background.
    pub border: u8,
    /// Whether the picture was inverted, because its ink was darker than its background.
    pub inverted: bool,
    /// The rows and columns of the ink in the picture.
    pub ink: [usize; 2],
    /// The rows and columns of the ink in the image.
    pub fitted: [usize; 2],
}

impl Display for Treatment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { format, size: [height, width], border, ink, fitted, .. } = self;
        write!(f, "{format} of {height} x {width}")?;
        match self.laid_over {
            Some(0) => write!(f, ", laid over black")?,
            Some(_) => write!(f, ", laid over white")?,
            None => {}
        }
        if self.whole {
            let [rows, columns] = self.fitted;
            return write!(f, ", converted to grey and scaled to {rows} x {columns}");
        }
        if self.as_it_is {
            return write!(f, ", light ink (its border is {border} of 255): used as it is");
        }
        let inversion = if self.inverted {
            "dark ink on light background: inverted"
        } else {
            "light ink on dark background: not inverted"
        };
        write!(
            f,
            ", {inversion} (its border is {border} of 255); ink of {} x {} fitted into {} x {}, centred by its mass",
            ink[0], ink[1], fitted[0], fitted[1]
        )
    }
}

/// The largest number of pixels to decode. Photographs have fewer.
const MAX_PIXELS: u64 = 64_000_000;
/// The largest width or height to decode.
const MAX_SIDE: u32 = 32_000;
/// The memory limit of a decoder: three bytes for each pixel.
const MAX_BYTES: u64 = 3 * MAX_PIXELS;
/// The smallest difference of grey levels between ink and background.
const MIN_CONTRAST: u8 = 16;

/// Converts a picture file to an image of `size` rows and columns.
///
/// # Errors
/// Fails without the feature `pictures`, if the bytes are not a complete picture of a supported
/// format, if the picture is too large, or if it shows no ink.
///
/// # Panics
/// Panics if `size` has no pixels.
pub fn read(bytes: &[u8], size: [usize; 2]) -> Result<Picture, PictureError> {
    assert!(size[0] > 0 && size[1] > 0, "the size {size:?} has no pixels");
    convert::convert_ink(decoded(bytes)?, size)
}

/// Converts any picture to an image of `size` rows and columns: grey, with transparent pixels laid
/// over black or white, scaled as a whole without keeping its proportions.
///
/// The picture is not cropped, inverted or moved; light pixels stay light.
///
/// # Errors
/// Fails without the feature `pictures`, if the bytes are not a complete picture of a supported
/// format, or if the picture is too large.
///
/// # Panics
/// Panics if `size` has no pixels.
pub fn read_whole(bytes: &[u8], size: [usize; 2]) -> Result<Picture, PictureError> {
    assert!(size[0] > 0 && size[1] > 0, "the size {size:?} has no pixels");
    convert::convert_whole(decoded(bytes)?, size)
}

fn decoded(bytes: &[u8]) -> Result<Grey, PictureError> {
    match readers::sniff(bytes).map(readers::Reader::read) {
        Some(Read::Picture(decode)) => decode(bytes),
        _ => Err(PictureError::Format),
    }
}
