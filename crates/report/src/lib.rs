//! Figures, documents and pages about runs, sweeps and models, from their records.
//!
//! - [`Figure`]: a chart or images, drawn by [`svg`] and [`png()`]
//! - [`document`]: text with figures, formulas and claims, written as Markdown ([`markdown`]) and
//!   as one HTML page ([`html`])
//! - [`Run`]: a finished run
//! - [`Claim`]: a claim about runs with its [`Verdict`]
//! - [`Sweep`]: the points of a grid as table and plot
//! - [`Plot`]: charts of a person's own runs, as SVG, PNG and text ([`curves`])
//! - [`DrawingPage`]: a page to draw on
//! - [`contact_sheet()`]: the images that a model misclassifies
//!
//! This crate does not link Burn: it draws and does not train.

mod board;
mod candidates;
mod claim;
mod contact_sheet;
pub mod document;
mod draw;
mod figure;
pub mod html;
pub mod markdown;
mod pen;
mod plot;
mod run;
mod sweep;
mod sweep_plot;
mod text_chart;

pub use board::DrawingPage;
pub use claim::{Claim, Verdict};
pub use contact_sheet::{Tile, contact_sheet};
pub use draw::{Drawing, Purpose, Theme, png, svg};
pub use figure::{
    Axis, Chart, Color, Content, Corner, Figure, Format, GreyScale, Mark, PictureRow, Pictures, Scale, Series, Symbol,
};
pub use plot::{
    CoefficientInterval, DescentPath, Field, Forest, Matrix, PenaltyScore, Plane, Plot, PlotContent, PlotStyle,
    RUN_COLORS, RunHistory, Shade, WeightImages, boundary, calibration, curves, penalty_scores, precision_recall, roc,
    surface,
};
pub use run::{LoadError, Run, Runs};
pub use sweep::{PointOutcome, Sweep, SweepPoint};
pub use text_chart::TextStyle;

/// Returns the paths of [`files_of`] for a figure with this id.
pub fn file_names_of(figure: &str) -> [String; 2] {
    ["svg", "png"].map(|ending| format!("figures/{figure}.{ending}"))
}

/// Returns the two files of a figure, with their paths below the report's folder.
pub fn files_of(figure: &Figure) -> [(String, Vec<u8>); 2] {
    let [as_svg, as_png] = file_names_of(figure.id);
    [(as_svg, svg(figure, Purpose::File).svg.into_bytes()), (as_png, png(figure))]
}
