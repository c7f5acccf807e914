//! A picture of any size as an image like MNIST's: light ink on a ground of 0, fitted into a
//! box and centred by its mass.
//!
//! MNIST's digits "were size normalized to fit in a 20x20 pixel box while preserving their aspect
//! ratio", with grey levels "as a result of the anti-aliasing technique used", and "centered in a
//! 28x28 image by computing the center of mass of the pixels, and translating the image so as to
//! position this point at the center" (Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based
//! learning applied to document recognition, Proceedings of the IEEE 86(11), 1998, section III A).
//! [`read`] does that to a picture, and tells what it did.
//!
//! [`read_whole`] treats a picture of anything: it is scaled as it is.
//!
//! A header is a claim that may be false: the dimensions are read and judged before a pixel is
//! decoded.

#[cfg(feature = "pictures")]
mod made;
#[cfg(not(feature = "pictures"))]
#[path = "picture/not_made.rs"]
mod made;

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::readers::{self, PICTURES, Read};

pub(crate) use made::decode;

/// What can be wrong with a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// This build has no decoders.
    #[error("this build reads no pictures; build it with the feature pictures")]
    NotBuilt,
    /// It begins like none of the formats.
    #[error("neither {}", readers::files(PICTURES, "nor"))]
    Format,
    /// It is not whole.
    #[error("damaged {format}: {problem}")]
    Damaged {
        /// The name of its format.
        format: &'static str,
        /// What the decoder said.
        problem: String,
    },
    /// It has more pixels than are decoded.
    #[error(
        "{width} x {height} pixels are more than the {} megapixels, the {MOST_ON_A_SIDE} on a side or the {} MB that are decoded; scale it down",
        MOST_PIXELS / 1_000_000,
        MOST_BYTES / 1_000_000
    )]
    TooLarge {
        /// Pixel columns.
        width: u32,
        /// Pixel rows.
        height: u32,
    },
    /// Nothing stands out from its ground.
    #[error("nothing is drawn on it: no grey level is {LEAST_CONTRAST} or more away from the {ground} of its border")]
    Blank {
        /// The border's grey level.
        ground: u8,
    },
}

/// A picture as it was decoded, made grey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grey {
    /// The name of its format.
    pub format: &'static str,
    /// Its rows and columns, turned as its camera said.
    pub size: [usize; 2],
    /// Grey levels row by row.
    pub pixels: Vec<u8>,
    /// What transparent pixels were laid over: 0 black, 255 white; nothing where there are none.
    pub laid_over: Option<u8>,
}

/// An image as a model takes it, made of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Grey levels row by row: 0 background, 255 ink.
    pub pixels: Vec<u8>,
    /// How it was made.
    pub treatment: Treatment,
}

/// What was done to a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Treatment {
    /// The name of its format.
    pub format: &'static str,
    /// Its pixel rows and columns, turned as its camera said.
    pub size: [usize; 2],
    /// Whether it had the image's size and light ink, and so was only made grey.
    pub as_it_is: bool,
    /// Whether it was scaled as a whole, and no ink looked for.
    pub whole: bool,
    /// What transparent pixels were laid over: 0 black, 255 white; nothing where there are none.
    pub laid_over: Option<u8>,
    /// The median grey level of its outermost pixels, from which the ink is told.
    pub border: u8,
    /// Whether its ink was darker than its ground, so that it was inverted.
    pub inverted: bool,
    /// Rows and columns that the ink takes in it.
    pub ink: [usize; 2],
    /// Rows and columns that the ink takes in the image.
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
            return write!(f, ", made grey and scaled to {rows} x {columns}");
        }
        if self.as_it_is {
            return write!(f, ", light ink (its border is {border} of 255): taken as it is");
        }
        let ink_and_ground =
            if self.inverted { "dark ink on light ground: inverted" } else { "light ink on dark ground: not inverted" };
        write!(
            f,
            ", {ink_and_ground} (its border is {border} of 255); ink of {} x {} fitted into {} x {}, centred by its mass",
            ink[0], ink[1], fitted[0], fitted[1]
        )
    }
}

/// Pixels that are decoded at most: photographs have fewer.
const MOST_PIXELS: u64 = 64_000_000;
/// Pixels on a side that are decoded at most.
const MOST_ON_A_SIDE: u32 = 32_000;
/// Bytes that a decoder may take: three for each pixel.
const MOST_BYTES: u64 = 3 * MOST_PIXELS;
/// Grey levels by which ink differs from its ground at least.
const LEAST_CONTRAST: u8 = 16;

/// Makes an image of `size` rows and columns of the bytes of a picture's file.
///
/// # Errors
/// Without the feature `pictures`, and where the bytes are no whole picture of these formats, the
/// picture is too large, or nothing is drawn on it.
///
/// # Panics
/// Where `size` has no pixel.
pub fn read(bytes: &[u8], size: [usize; 2]) -> Result<Picture, PictureError> {
    assert!(size[0] > 0 && size[1] > 0, "an image of {size:?} pixels");
    made::of_ink(decoded(bytes)?, size)
}

/// Makes an image of `size` rows and columns of a picture of anything: grey, transparent pixels
/// laid over black or white, scaled as a whole, whatever its proportions. Nothing is cropped,
/// inverted or moved; light stays light.
///
/// # Errors
/// Without the feature `pictures`, and where the bytes are no whole picture of these formats, or
/// the picture is too large.
///
/// # Panics
/// Where `size` has no pixel.
pub fn read_whole(bytes: &[u8], size: [usize; 2]) -> Result<Picture, PictureError> {
    assert!(size[0] > 0 && size[1] > 0, "an image of {size:?} pixels");
    made::of_anything(decoded(bytes)?, size)
}

fn decoded(bytes: &[u8]) -> Result<Grey, PictureError> {
    match readers::sniff(bytes).map(readers::Reader::read) {
        Some(Read::Picture(decode)) => decode(bytes),
        _ => Err(PictureError::Format),
    }
}
