//! Writes a document as one self-contained HTML file. `maud` escapes everything except
//! [`PreEscaped`], which holds only our own drawings, formulas and assets.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use pulldown_latex::config::DisplayMode;
use pulldown_latex::{Parser, RenderConfig, Storage, push_mathml};
use serde_json::{Value, json};

use crate::Claim;
use crate::board;
use crate::document::{Block, Document, Span, spans};
use crate::draw::{Purpose, svg};
use crate::figure::{Axis, Chart, Content, Figure, Format, Mark, Pictures, Scale};
use crate::markdown::{VERDICTS, grouped, name_of};

const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/page.js");

/// Returns the whole page.
pub fn render(document: &Document) -> String {
    let body = html! {
        header {
            h1 { (document.title) }
            p.lead { (inline(&document.lead)) }
            nav aria-label="Contents" {
                @for section in &document.sections {
                    a href={ "#" (section.id) } { (section.title) }
                }
            }
        }
        main {
            @for section in &document.sections {
                section id=(section.id) {
                    h2 { (section.title) }
                    @for block in &section.blocks { (render_block(block)) }
                }
            }
        }
    };
    page(&document.title, board::STYLE, &body, &[SCRIPT, board::SCRIPT].concat())
}

/// Returns a self-contained page with this title, style, content and script.
pub(crate) fn page(title: &str, style: &str, body: &Markup, script: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(style)) }
            }
            body {
                (body)
                script { (PreEscaped(script)) }
            }
        }
    };
    page.into_string()
}

fn render_block(block: &Block) -> Markup {
    match block {
        Block::Text(text) => html! { p { (inline(text)) } },
        Block::Equation(latex) => html! { div.equation { (math(latex, DisplayMode::Block)) } },
        Block::Verdicts(claims) => html! {
            div.table {
                table.stack {
                    thead { tr { @for cell in VERDICTS { th { (cell) } } } }
                    tbody {
                        @for claim in claims {
                            tr data-verdict=(claim.verdict.name()) {
                                td data-head=(VERDICTS[0]) { a href={ "#" (anchor(claim)) } { (claim.id) } }
                                td data-head=(VERDICTS[1]) { (inline(&claim.claim)) }
                                td data-head=(VERDICTS[2]) { b.verdict { (claim.verdict.name()) } }
                                td data-head=(VERDICTS[3]) { (inline(&claim.why)) }
                            }
                        }
                    }
                }
            }
        },
        Block::Table { head, rows } => html! {
            // A table wider than the window can be scrolled sideways, also with the keyboard.
            div.table.wide[head.len() > 7] tabindex="0" {
                table.stack[head.len() <= 4] {
                    thead { tr { @for cell in head { th { (inline(cell)) } } } }
                    tbody {
                        @for row in rows {
                            // A stacked table shows the head's names beside its cells.
                            tr { @for (cell, name) in row.iter().zip(head) { td data-head=(name) { (inline(cell)) } } }
                        }
                    }
                }
            }
        },
        Block::Figure(figure) => render_figure(figure),
        Block::DrawingPage(board) => board.section(),
        Block::Claim(claim) => render_claim(claim),
        Block::Details { summary, code } => html! {
            details id={ "run-" (summary) } { summary { (summary) } pre { code { (code) } } }
        },
    }
}

fn render_claim(claim: &Claim) -> Markup {
    html! {
        aside.claim data-verdict=(claim.verdict.name()) id=(anchor(claim)) {
            p { b { "Claim " (claim.id) ". " } (inline(&claim.claim)) }
            p { b.verdict { (claim.verdict.name()) } " " (inline(&claim.why)) }
            p.measured { b { "Measured. " } (inline(&claim.measured)) " " (links(&claim.runs)) }
            p.measured { b { "Rule. " } "The verdict is " (inline(&claim.rule)) }
        }
    }
}

/// Returns the link target of a claim.
fn anchor(claim: &Claim) -> String {
    format!("claim-{}", claim.id.replace(", ", "-"))
}

fn render_figure(figure: &Figure) -> Markup {
    let drawing = svg(figure, Purpose::Page);
    let (data, legend) = match &figure.content {
        Content::Chart(chart) => (chart_data(chart, drawing.plot.expect("a chart has axes")), legend(figure.id, chart)),
        Content::Pictures(pictures) => (pictures_data(pictures), html! {}),
    };
    // The drawing's `viewBox` has its own size. On the page it takes the available width.
    let [width, height] = drawing.size;
    let svg = drawing.svg.replacen(&format!("width=\"{width}\" height=\"{height}\" "), "", 1);
    html! {
        figure id=(figure.id) {
            div.drawing.chart[matches!(figure.content, Content::Chart(_))] tabindex="0" role="group" aria-label={ (figure.title) ". Arrow keys move along the points." } {
                (PreEscaped(svg))
                div.tip role="status" aria-live="polite" hidden {}
            }
            (legend)
            figcaption {
                b { (name_of(figure.id)) (figure.title) ". " }
                (inline(&figure.caption)) " " (links(&figure.runs))
            }
            script type="application/json" { (PreEscaped(data.to_string().replace('<', "\\u003c"))) }
        }
    }
}

/// Lists runs, each with a link to its config.
fn links(runs: &[String]) -> Markup {
    html! {
        @for (i, (shown, first)) in grouped(runs).into_iter().enumerate() {
            @if i == 0 { "Runs: " } @else { ", " }
            a.run href={ "#run-" (first) } { (shown) }
        }
        @if !runs.is_empty() { "." }
    }
}

/// Returns the legend with names and colours. A checkbox shows or hides each curve.
fn legend(id: &str, chart: &Chart) -> Markup {
    html! {
        div.legend {
            @for (i, series) in chart.series.iter().enumerate().filter(|(_, series)| !series.points.is_empty()) {
                label for={ (id) "-" (i) } {
                    input type="checkbox" checked id={ (id) "-" (i) } data-series=(i);
                    @if let Mark::Symbols(symbol) = series.mark {
                        svg viewBox="-7 -7 14 14" aria-hidden="true" {
                            polygon points=(points(symbol.corners(5.0))) fill=(series.color.hex()) {}
                        }
                    } @else {
                        span.swatch.area[series.has_area()] style={ "--own:" (series.color.hex()) } {}
                    }
                    (series.name)
                }
            }
        }
    }
}

/// Writes the corners of a polygon as SVG has them.
fn points(corners: Vec<(i32, i32)>) -> String {
    corners.into_iter().map(|(x, y)| format!("{x},{y}")).collect::<Vec<_>>().join(" ")
}

/// Returns the data of the chart's tooltips.
fn chart_data(chart: &Chart, plot: [i32; 4]) -> Value {
    let axis = |axis: &Axis| {
        json!({
            "label": axis.label, "from": axis.range.start, "to": axis.range.end,
            "log": axis.scale == Scale::Logarithmic, "percent": axis.format == Format::Percent,
        })
    };
    let series = chart.series.iter().map(|series| {
        json!({
            "name": series.name, "color": series.color.hex(), "upright": series.mark == Mark::Upright, "shift": series.shift,
            "points": series.points.iter().map(|&(x, y)| [significant(x), significant(y)]).collect::<Vec<_>>(),
            "band": series.band.iter().copied().map(significant).collect::<Vec<_>>(),
        })
    });
    json!({ "plot": plot, "x": axis(&chart.x), "y": axis(&chart.y), "series": series.collect::<Vec<_>>() })
}

/// Returns the weights in units of 1/10000, which is finer than a grey level.
fn pictures_data(pictures: &Pictures) -> Value {
    let rows = pictures.rows.iter().map(|row| {
        let whole = |weights: &Vec<f64>| weights.iter().map(|w| (w * 1e4).round() as i64).collect::<Vec<_>>();
        json!({ "name": row.name, "classes": row.classes.iter().map(whole).collect::<Vec<_>>() })
    });
    json!({ "columns": pictures.columns, "size": pictures.size, "rows": rows.collect::<Vec<_>>() })
}

/// Rounds a value to seven significant digits.
fn significant(value: f64) -> f64 {
    format!("{value:.6e}").parse().expect("formatted as a number above")
}

fn inline(text: &str) -> Markup {
    html! {
        @for span in spans(text) {
            @match span {
                Span::Plain(text) => (text),
                Span::Code(code) => code { (code) },
                Span::Math(latex) => (math(&latex, DisplayMode::Inline)),
                Span::Emphasis(text) => em { (text) },
                Span::Strong(text) => b { (text) },
            }
        }
    }
}

/// Converts LaTeX to MathML, which browsers draw themselves.
pub(crate) fn math(latex: &str, display_mode: DisplayMode) -> Markup {
    let storage = Storage::new();
    let mut mathml = String::new();
    let config = RenderConfig { display_mode, ..RenderConfig::default() };
    push_mathml(&mut mathml, Parser::new(latex, &storage), config).expect("writing to a String cannot fail");
    PreEscaped(mathml)
}
