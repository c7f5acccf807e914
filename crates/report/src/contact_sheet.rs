//! Many small images with captions, as one PNG.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::draw::{FAMILY, IN_MEMORY, PNG_SCALE, draw_bitmap, encode, use_font};

/// An image with its caption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The red, green and blue of each pixel, row by row.
    pub rgb: Vec<u8>,
    /// The two lines of the caption.
    pub caption: [String; 2],
}

impl Tile {
    /// Creates a tile from grey levels.
    pub fn grey(pixels: &[u8], caption: [String; 2]) -> Self {
        Self { rgb: pixels.iter().flat_map(|&level| [level; 3]).collect(), caption }
    }
}

/// The longest side of an image on the sheet. Smaller images are enlarged by the largest whole
/// factor that fits.
const SIDE: usize = 112;
/// The width of a column, the height of the title, the height of a line of text, and the gaps, in
/// the sheet's units.
const COLUMN: usize = 124;
const TITLE: usize = 34;
const LINE: usize = 16;
const GAP: usize = 12;

/// Draws images of the given height and width under a title, with `columns` images in a row. At
/// least four columns are reserved. Returns a PNG.
///
/// # Panics
/// If an image has another number of pixels, or `columns` is 0.
pub fn contact_sheet(title: &str, tiles: &[Tile], [height, width]: [usize; 2], columns: usize) -> Vec<u8> {
    use_font();
    let longer = height.max(width);
    let on_sheet = |side: usize| if longer > SIDE { (side * SIDE / longer).max(1) } else { side * (SIDE / longer) };
    let [high, wide] = [height, width].map(on_sheet);
    let row_height = high + 2 * LINE + GAP;
    let columns = columns.min(tiles.len()).max(4);
    let page = [TITLE + tiles.len().div_ceil(columns) * row_height, 2 * GAP + columns * COLUMN];
    let corner = |i: usize| [TITLE + i / columns * row_height, GAP + i % columns * COLUMN + (COLUMN - wide) / 2];

    let mut pixels = draw_bitmap([page[1] as u32, page[0] as u32], |area, scale| {
        let scale = scale as usize;
        let style = |points: usize| TextStyle::from((FAMILY, (points * scale) as u32).into_font()).color(&BLACK);
        let write = |text: &str, points: usize, anchor: HPos, x: usize, y: usize| {
            let style = style(points).pos(Pos::new(anchor, VPos::Center));
            area.draw_text(text, &style, ((x * scale) as i32, (y * scale) as i32)).expect(IN_MEMORY);
        };
        write(title, 14, HPos::Left, GAP, TITLE / 2);
        for (i, tile) in tiles.iter().enumerate() {
            let [top, left] = corner(i);
            for (line, text) in tile.caption.iter().enumerate() {
                write(text, 12, HPos::Center, left + wide / 2, top + high + LINE / 2 + 2 + line * LINE);
            }
        }
    });
    let scale = PNG_SCALE as usize;
    let [page_height, page_width] = page.map(|side| side * scale);
    for (i, tile) in tiles.iter().enumerate() {
        assert_eq!(tile.rgb.len(), 3 * height * width, "colours of {height} x {width} pixels");
        let [top, left] = corner(i).map(|units| units * scale);
        for y in 0..high * scale {
            for x in 0..wide * scale {
                let from = 3 * (y * height / (high * scale) * width + x * width / (wide * scale));
                let to = 3 * ((top + y) * page_width + left + x);
                pixels[to..to + 3].copy_from_slice(&tile.rgb[from..from + 3]);
            }
        }
    }
    encode(&pixels, page_width as u32, page_height as u32, png::ColorType::Rgb)
}
