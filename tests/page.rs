//! The report's page in a browser: hovering, switching curves, a narrow window and dark mode.

use std::sync::LazyLock;

use chainrule_audit::Report;
use chainrule_report::{Chart, Content};
use chainrule_tests_macros::test;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::Browser;
use crate::synthetic::Story;

/// Returns the tooltip of a figure, if it is shown.
fn hovered(browser: &Browser, figure: &str) -> Option<String> {
    let script = "const t = document.querySelector(arguments[0] + ' .tip'); return t.hidden ? null : t.textContent;";
    browser.script(script, &json!([format!("#{figure}")])).as_str().map(str::to_owned)
}

/// Counts the marks of a colour in a figure: shown and hidden.
fn marks(browser: &Browser, figure: &str, color: &str) -> (u64, u64) {
    let counts = browser.script(
        "const all = [...document.querySelectorAll(`${arguments[0]} svg [stroke=\"${arguments[1]}\"]:not(.point), ${arguments[0]} svg [fill=\"${arguments[1]}\"]`)];
         const off = all.filter(mark => getComputedStyle(mark).display === 'none').length; return [all.length - off, off];",
        &json!([format!("#{figure}"), color]),
    );
    (counts[0].as_u64().unwrap(), counts[1].as_u64().unwrap())
}

/// The report of a synthetic story, made once: drawing it takes longer than testing it.
static REPORT: LazyLock<Report> = LazyLock::new(|| Story::new().report());

/// Opens the report's page in a browser. Also returns the report and its folder.
fn opened() -> (Browser, &'static Report, TempDir) {
    let browser = Browser::start();
    let report = &*REPORT;
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("index.html");
    std::fs::write(&page, &report.html).unwrap();
    browser.post("/window/rect", &json!({ "width": 1100, "height": 900 }));
    browser.post("/url", &json!({ "url": format!("file://{}", page.display()) }));
    (browser, report, folder)
}

/// Returns the chart of a figure.
fn chart<'a>(report: &'a Report, id: &str) -> &'a Chart {
    let figure = report.figures.iter().find(|figure| figure.id == id).unwrap();
    let Content::Chart(chart) = &figure.content else { panic!("{id} is a chart") };
    chart
}

/// Returns the screen position at a fraction of the width of figure 2's chart, at half its height.
fn at(browser: &Browser, report: &Report, share: f64) -> (f64, f64) {
    let figure = report.figures.iter().find(|figure| figure.id == "figure-2").unwrap();
    let drawing = chainrule_report::svg(figure, chainrule_report::Purpose::Page);
    let [left, top, right, bottom] = drawing.plot.unwrap().map(f64::from);
    let [x, y, width, _] = browser.place("#figure-2 svg");
    let scale = width / f64::from(drawing.size[0]);
    (x + scale * (left + share * (right - left)), y + scale * (top + bottom) / 2.0)
}

#[test]
fn hovering_shows_exact_values() {
    let (browser, report, _folder) = opened();
    let chart = chart(report, "figure-2");
    // The middle point of the chart, which is the nearest evaluation.
    let (step, value) = chart.series[1].points[chart.series[1].points.len() / 2];
    let (over_x, over_y) = at(&browser, report, chart.x.position(step));

    assert_eq!(hovered(&browser, "figure-2"), None);
    browser.mouse(over_x, over_y, false);
    let tip = hovered(&browser, "figure-2").expect("hovering tells something");
    let row = tip.lines().skip_while(|line| *line != "validation").nth(1).unwrap_or_else(|| panic!("{tip}"));
    let (shown_step, shown_value) = row.strip_prefix("gradient steps ").unwrap().split_once(": ").unwrap();
    let shown_value: f64 = shown_value.trim_end_matches(" %").parse().unwrap();
    assert!((shown_step.parse::<f64>().unwrap() - step).abs() <= 6.0, "{tip}");
    let nearest = chart.series[1].points.iter().find(|point| point.0.to_string() == shown_step).unwrap();
    assert!((shown_value - 100.0 * nearest.1).abs() < 1e-4, "{tip}: {} {value}", nearest.1);
    assert!(tip.contains("training"), "{tip}");
    browser.mouse(1.0, 1.0, false);
    assert_eq!(hovered(&browser, "figure-2"), None, "the tip outlives the mouse");
}

/// A curve that is switched off has neither marks nor tooltips. Switched on, both return.
#[test]
fn the_legend_switches_curves() {
    let (browser, report, _folder) = opened();
    let chart = chart(report, "figure-2");
    let (training, validation) = (chart.series[0].color.hex(), chart.series[1].color.hex());
    let (shown, hidden) = marks(&browser, "figure-2", &training);
    assert!(shown >= 1 && hidden == 0, "{shown} {hidden}");
    browser.click("#figure-2 [data-series='0']");
    assert_eq!(marks(&browser, "figure-2", &training), (0, shown));
    assert_eq!(marks(&browser, "figure-2", &validation).1, 0);
    let (x, y) = at(&browser, report, 0.5);
    browser.mouse(x, y, false);
    let tip = hovered(&browser, "figure-2").unwrap();
    assert!(!tip.contains("training") && tip.contains("validation"), "{tip}");
    browser.click("#figure-2 [data-series='0']");
    assert_eq!(marks(&browser, "figure-2", &training), (shown, 0));
}

#[test]
fn the_keyboard_replaces_the_mouse() {
    let (browser, _, _folder) = opened();
    let press = "const d = document.querySelector('#figure-1 .drawing'); d.focus();
        d.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true })); return document.activeElement === d;";
    assert_eq!(browser.script(press, &json!([])), true);
    assert!(
        hovered(&browser, "figure-1").unwrap().contains("gradient steps 4.5"),
        "{:?}",
        hovered(&browser, "figure-1")
    );
}

/// The weight of class 0 at row 2, column 3, of the run without a penalty.
#[test]
fn hovering_over_a_picture_shows_the_weight() {
    let (browser, report, _folder) = opened();
    let [x, y, width, height] = browser.place("#figure-6 image");
    browser.mouse(x + width * 3.5 / 28.0, y + height * 2.5 / 28.0, false);
    let Content::Pictures(pictures) = &report.figures.iter().find(|figure| figure.id == "figure-6").unwrap().content
    else {
        panic!("figure 6 is pictures")
    };
    let expected =
        format!("no penalty, class 0\nrow 2, column 3: weight {:.4}", pictures.rows[0].classes[0][2 * 28 + 3]);
    assert_eq!(hovered(&browser, "figure-6"), Some(expected));
}

#[test]
fn the_page_fetches_nothing() {
    let (browser, _, _folder) = opened();
    browser.mouse(200.0, 200.0, false);
    browser.click("#figure-2 [data-series='0']");
    let fetched = browser.script("return performance.getEntriesByType('resource').length", &json!([]));
    assert_eq!(fetched, 0, "the page fetched something");
}

#[test]
fn the_page_fits_phones_and_dark_mode() {
    let browser = Browser::start();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("index.html");
    std::fs::write(&page, &REPORT.html).unwrap();
    browser.post("/url", &json!({ "url": format!("file://{}", page.display()) }));
    let devtools = |method: &str, parameters: Value| {
        browser.post("/goog/cdp/execute", &json!({ "cmd": method, "params": parameters }));
    };
    // Narrower than a real window can be.
    let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": true });
    devtools("Emulation.setDeviceMetricsOverride", phone);
    let width = browser.script("return document.documentElement.scrollWidth", &json!([]));
    assert_eq!(width, 360, "something is wider than a phone");

    // The brightness of background, letters and a curve, from 0 to 255.
    let brightness = || -> Vec<f64> {
        let script = "const rgb = (e, what) => { const [r, g, b] = getComputedStyle(e)[what].match(/[\\d.]+/g).map(Number); return (r + g + b) / 3; };
            return [rgb(document.body, 'backgroundColor'), rgb(document.body, 'color'), rgb(document.querySelector('#figure-1 svg text'), 'fill')];";
        serde_json::from_value(browser.script(script, &json!([]))).unwrap()
    };
    let scheme = |value: &str| json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
    devtools("Emulation.setEmulatedMedia", scheme("light"));
    let light = brightness();
    devtools("Emulation.setEmulatedMedia", scheme("dark"));
    let dark = brightness();
    assert!(light[0] > 240.0 && light[1] < 60.0 && light[2] < 60.0, "{light:?}");
    assert!(dark[0] < 40.0 && dark[1] > 200.0 && dark[2] > 200.0, "{dark:?}");
}
