//! Audits the course report: converts run records to figures, verdicts and pages.
//!
//! A [`Plan`] lists the runs of a report. When they are finished, [`Report::new`] draws the
//! figures, judges the claims and writes the pages. It reads no file and no clock.

mod analysis;
mod claims;
mod content;
mod derivation;
mod facts;
mod figures;
mod numbers;
mod penalties;
mod plan;
mod prose;

pub use analysis::{HardestBatch, hardest_batch, mean_correlation};
pub use facts::{DataFacts, HardBatch, HardRow, RUNS_WITH_RESULTS, Results, RowResults, RunResults};
pub use figures::{FIGURES, PlannedFigure};
pub use numbers::{Numbers, NumbersOrigin, RunNumbers};
pub use plan::{Plan, PlanError, PlannedRun, ReadConfig, Start};
pub use prose::{StaleLine, stale_line};

use chainrule_records::GradientChecks;
use chainrule_report::{Claim, Figure, Runs, Tile, contact_sheet, file_names_of, files_of, html, markdown};

/// A report: figures, verdicts, numbers and pages.
#[derive(Clone, Debug)]
pub struct Report {
    /// The figures, in the order of [`FIGURES`].
    pub figures: Vec<Figure>,
    /// The claims, in the order of the tasks.
    pub claims: Vec<Claim>,
    /// The numbers that a reproduction must repeat.
    pub numbers: Numbers,
    /// The content of `report.md`.
    pub markdown: String,
    /// The content of `index.html`.
    pub html: String,
    /// The README's tables.
    pub readme: String,
    /// The content of [`HARD_ROWS`], if the report shows rows of the data.
    pub hard_rows: Option<Vec<u8>>,
}

/// The picture of the rows that make a batch hard, below the report's folder.
pub const HARD_ROWS: &str = "figures/hard-rows.png";

/// Returns the names of the runs that a figure needs, or, without a figure, the whole report. A
/// group of runs with different seeds has one name, without the seed.
pub fn needs(figure: Option<&PlannedFigure>) -> Vec<&'static str> {
    let figures = FIGURES.iter().filter(|planned| figure.is_none_or(|only| only.id == planned.id));
    let mut names: Vec<&str> = figures.flat_map(|planned| planned.needs.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl Report {
    /// Draws the figures, judges the claims and writes the pages.
    ///
    /// # Panics
    /// If a run named by [`needs`] is missing.
    pub fn new(runs: &Runs, checks: &GradientChecks, facts: &DataFacts) -> Self {
        let figures: Vec<Figure> = FIGURES.iter().map(|planned| planned.draw(runs, &facts.results)).collect();
        let claims = claims::judge(runs, checks, facts);
        let sources = content::Sources { runs, checks, facts, figures: &figures, claims: &claims };
        let document = content::document(&sources);
        let (markdown, html) = (markdown::render(&document), html::render(&document));
        let readme = content::readme(&sources);
        let numbers = Numbers::new(runs, &claims);
        let hard_rows = facts.hard_batch.as_ref().filter(|_| facts.shows_rows).map(|hard| {
            let tile = |row: &HardRow| {
                Tile::grey(&row.pixels, [format!("image {}", row.image), format!("loss {:.2}", row.loss)])
            };
            let tiles: Vec<Tile> = hard.worst.iter().map(tile).collect();
            let size = runs.get("logistic").summary.data.image_size;
            contact_sheet(
                &format!("Batch {}: the images with the highest losses", hard.batch),
                &tiles,
                size,
                tiles.len(),
            )
        });
        Self { figures, claims, numbers, markdown, html, readme, hard_rows }
    }

    /// Returns every file of the report, with its path below the report's folder.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut claims = serde_json::to_string_pretty(&self.claims).expect("claims can be written as JSON");
        claims.push('\n');
        let mut files = vec![
            ("report.md".to_owned(), self.markdown.clone().into_bytes()),
            ("index.html".to_owned(), self.html.clone().into_bytes()),
            ("claims.json".to_owned(), claims.into_bytes()),
            ("numbers.json".to_owned(), self.numbers.to_json().into_bytes()),
        ];
        files.extend(self.figures.iter().flat_map(files_of));
        files.extend(self.hard_rows.iter().map(|picture| (HARD_ROWS.to_owned(), picture.clone())));
        files
    }
}

/// Returns the paths of all files that [`Report::files`] may have.
pub fn file_names() -> Vec<String> {
    let pages = ["report.md", "index.html", "claims.json", "numbers.json", HARD_ROWS].map(str::to_owned);
    pages.into_iter().chain(FIGURES.iter().flat_map(|figure| file_names_of(figure.id))).collect()
}
