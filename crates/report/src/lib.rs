//! What runs, sweeps and models look like: figures, documents and pages, drawn of what records
//! have.
//!
//! - [`Figure`]: a chart or pictures, drawn by [`svg`] and [`png()`]
//! - [`document`]: text with figures, formulas and claims, written as Markdown ([`markdown`]) and
//!   as one page ([`html`])
//! - [`Run`]: a finished run, and [`Claim`], what is said of some, with its [`Verdict`]
//! - [`Sweep`]: a grid's points as table and plot
//! - [`DrawingPage`]: a page to draw on, and [`contact_sheet()`], where a model errs
//!
//! No Burn: what trains does not draw, and what draws does not train.

mod board;
mod claim;
mod contact_sheet;
pub mod document;
mod draw;
mod figure;
pub mod html;
pub mod markdown;
mod run;
mod sweep;
mod sweep_plot;

pub use board::DrawingPage;
pub use claim::{Claim, Verdict};
pub use contact_sheet::{Tile, contact_sheet};
pub use draw::{Drawing, Purpose, png, svg};
pub use figure::{Axis, Chart, Color, Content, Corner, Figure, Format, Mark, Pictures, Scale, Series};
pub use run::{LoadError, Run, Runs};
pub use sweep::{PointOutcome, Sweep, SweepPoint};

/// Those of [`files_of`], before there is a figure.
pub fn file_names_of(figure: &str) -> [String; 2] {
    ["svg", "png"].map(|ending| format!("figures/{figure}.{ending}"))
}

/// A figure's two files, by their paths below the report's folder.
pub fn files_of(figure: &Figure) -> [(String, Vec<u8>); 2] {
    let [as_svg, as_png] = file_names_of(figure.id);
    [(as_svg, svg(figure, Purpose::File).svg.into_bytes()), (as_png, png(figure))]
}
