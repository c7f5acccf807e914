//! The report's page in a browser: hovering, switching curves, narrow and dark. Drives Chromium by chromedriver, with the W3C's `WebDriver`
//! protocol.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use chainrule_report::Content;
use serde_json::{Value, json};

use crate::made_up::Story;
use crate::support::skip;

/// A browser with one window.
struct Browser {
    driver: Child,
    session: String,
    /// Chromium's own folder, deleted at the end.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one; nothing where there is none.
    fn start() -> Option<Self> {
        let started = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = started else {
            skip("no Chromium: chromedriver is not installed");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned())
        });
        // It goes on writing, and must not find its reader gone.
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let user_data = format!("--user-data-dir={}", profile.path().display());
        let mut arguments = vec!["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
        arguments.extend([
            "--disable-background-networking",
            // Containers often have little shared memory.
            "--disable-dev-shm-usage",
            "--disable-component-update",
            "--disable-sync",
            &user_data,
        ]);
        let mut browser =
            Self { driver, session: format!("http://127.0.0.1:{}/session", port.unwrap()), _profile: profile };
        let options = json!({ "args": arguments });
        let capabilities = json!({ "alwaysMatch": { "goog:chromeOptions": options } });
        let made = browser.post("", &json!({ "capabilities": capabilities }));
        browser.session = format!("{}/{}", browser.session, made["sessionId"].as_str().unwrap());
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = ureq::post(format!("{}{path}", self.session)).config().http_status_as_error(false).build();
        let mut response = request.send(body.to_string()).unwrap();
        let answer: Value = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
        assert_eq!(response.status(), 200, "{path}: {answer}");
        answer["value"].clone()
    }

    /// Runs a script; `arguments` are its arguments.
    fn script(&self, script: &str, arguments: &Value) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Moves the mouse to a place in the window, and clicks where asked to.
    fn mouse(&self, x: f64, y: f64, click: bool) {
        let mut actions = vec![json!({ "type": "pointerMove", "x": x.round(), "y": y.round(), "duration": 0 })];
        if click {
            actions
                .extend([json!({ "type": "pointerDown", "button": 0 }), json!({ "type": "pointerUp", "button": 0 })]);
        }
        let mouse =
            json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions });
        self.post("/actions", &json!({ "actions": [mouse] }));
    }

    /// Left, top, width and height in the window of what `selector` names, once it is in the middle of it and nothing moves any more.
    fn place(&self, selector: &str) -> [f64; 4] {
        let script = "const e = document.querySelector(arguments[0]); e.scrollIntoView({ block: 'center', behavior: 'instant' });
            const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height];";
        let place = || self.script(script, &json!([selector]));
        let mut before = place();
        for _ in 0..50 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let now = place();
            if now == before {
                break;
            }
            before = now;
        }
        serde_json::from_value(before).unwrap_or_else(|_| panic!("{selector}"))
    }

    fn click(&self, selector: &str) {
        let [left, top, width, height] = self.place(selector);
        self.mouse(left + width / 2.0, top + height / 2.0, true);
    }

    /// What hovering over a figure told, if anything.
    fn tip(&self, figure: &str) -> Option<String> {
        let script =
            "const t = document.querySelector(arguments[0] + ' .tip'); return t.hidden ? null : t.textContent;";
        self.script(script, &json!([format!("#{figure}")])).as_str().map(str::to_owned)
    }

    /// The marks of a colour in a figure: how many are drawn, and how many are hidden.
    fn marks(&self, figure: &str, color: &str) -> (u64, u64) {
        let counts = self.script(
            "const all = [...document.querySelectorAll(`${arguments[0]} svg [stroke=\"${arguments[1]}\"]:not(.point), ${arguments[0]} svg [fill=\"${arguments[1]}\"]`)];
             const off = all.filter(mark => getComputedStyle(mark).display === 'none').length; return [all.length - off, off];",
            &json!([format!("#{figure}"), color]),
        );
        (counts[0].as_u64().unwrap(), counts[1].as_u64().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium too, which would outlive its driver.
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn hovering_tells_exact_values_and_the_legend_switches_curves() {
    let Some(browser) = Browser::start() else { return };
    let report = Story::new().report();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("index.html");
    std::fs::write(&page, &report.html).unwrap();
    browser.post("/window/rect", &json!({ "width": 1100, "height": 900 }));
    browser.post("/url", &json!({ "url": format!("file://{}", page.display()) }));

    let figure = report.figures.iter().find(|figure| figure.id == "figure-2").unwrap();
    let Content::Chart(chart) = &figure.content else { panic!("figure 2 is a chart") };
    let drawing = chainrule_report::svg(figure, chainrule_report::Purpose::Page);
    let [left, top, right, bottom] = drawing.plot.unwrap().map(f64::from);
    // In the middle of the chart, at the evaluation that is nearest to it.
    let (step, value) = chart.series[1].points[chart.series[1].points.len() / 2];
    let [x, y, width, _] = browser.place("#figure-2 svg");
    let scale = width / f64::from(drawing.size[0]);
    let at = |share: f64| (x + scale * (left + share * (right - left)), y + scale * (top + bottom) / 2.0);
    let (over_x, over_y) = at(chart.x.position(step));

    assert_eq!(browser.tip("figure-2"), None);
    browser.mouse(over_x, over_y, false);
    let tip = browser.tip("figure-2").expect("hovering tells something");
    let told = tip.lines().skip_while(|line| *line != "validation").nth(1).unwrap_or_else(|| panic!("{tip}"));
    let (told_step, told_value) = told.strip_prefix("gradient steps ").unwrap().split_once(": ").unwrap();
    let told_value: f64 = told_value.trim_end_matches(" %").parse().unwrap();
    assert!((told_step.parse::<f64>().unwrap() - step).abs() <= 6.0, "{tip}");
    let nearest = chart.series[1].points.iter().find(|point| point.0.to_string() == told_step).unwrap();
    assert!((told_value - 100.0 * nearest.1).abs() < 1e-4, "{tip}: {} {value}", nearest.1);
    assert!(tip.contains("training"), "{tip}");
    browser.mouse(1.0, 1.0, false);
    assert_eq!(browser.tip("figure-2"), None, "the tip outlives the mouse");

    // Switched off, a curve is neither drawn nor told of; switched on, it is again.
    let (training, validation) = (chart.series[0].color.hex(), chart.series[1].color.hex());
    let (shown, hidden) = browser.marks("figure-2", &training);
    assert!(shown >= 1 && hidden == 0, "{shown} {hidden}");
    browser.click("#figure-2 [data-series='0']");
    assert_eq!(browser.marks("figure-2", &training), (0, shown));
    assert_eq!(browser.marks("figure-2", &validation).1, 0);
    let [x, y, ..] = browser.place("#figure-2 svg");
    browser.mouse(x + scale * (left + right) / 2.0, y + scale * (top + bottom) / 2.0, false);
    let tip = browser.tip("figure-2").unwrap();
    assert!(!tip.contains("training") && tip.contains("validation"), "{tip}");
    browser.click("#figure-2 [data-series='0']");
    assert_eq!(browser.marks("figure-2", &training), (shown, 0));

    // The keyboard does what the mouse does.
    let press = "const d = document.querySelector('#figure-1 .drawing'); d.focus();
        d.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true })); return document.activeElement === d;";
    assert_eq!(browser.script(press, &json!([])), true);
    assert!(browser.tip("figure-1").unwrap().contains("gradient steps 4.5"), "{:?}", browser.tip("figure-1"));

    // A picture tells the weight under the mouse: class 0 of the run without a penalty, its pixel in row 2, column 3.
    let [x, y, width, height] = browser.place("#figure-6 image");
    browser.mouse(x + width * 3.5 / 28.0, y + height * 2.5 / 28.0, false);
    let Content::Pictures(pictures) = &report.figures.iter().find(|figure| figure.id == "figure-6").unwrap().content
    else {
        panic!("figure 6 is pictures")
    };
    let expected = format!("no penalty, class 0\nrow 2, column 3: weight {:.4}", pictures.rows[0].1[0][2 * 28 + 3]);
    assert_eq!(browser.tip("figure-6"), Some(expected));

    let fetched = browser.script("return performance.getEntriesByType('resource').length", &json!([]));
    assert_eq!(fetched, 0, "the page fetched something");
}

#[test]
fn the_page_fits_a_phone_and_follows_the_dark() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("index.html");
    std::fs::write(&page, Story::new().report().html).unwrap();
    browser.post("/url", &json!({ "url": format!("file://{}", page.display()) }));
    let devtools = |method: &str, parameters: Value| {
        browser.post("/goog/cdp/execute", &json!({ "cmd": method, "params": parameters }));
    };
    // Narrower than a window can be made.
    let phone = json!({ "width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": true });
    devtools("Emulation.setDeviceMetricsOverride", phone);
    let width = browser.script("return document.documentElement.scrollWidth", &json!([]));
    assert_eq!(width, 360, "something is wider than a phone");

    // How bright background, letters and a curve are, from 0 to 255.
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
