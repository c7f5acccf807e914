//! A browser for tests of pages: drives Chromium through chromedriver with the W3C's `WebDriver`
//! protocol.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::command::process;
use crate::support::skip;

/// A browser with one window.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    /// Chromium's profile folder, deleted on drop.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser. Skips the test if there is none.
    pub(crate) fn start() -> Self {
        let started = process("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = started else {
            skip("no Chromium: chromedriver is not installed");
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned())
        });
        // Keeps reading: the driver continues to write and would fail on a closed pipe.
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
        let created = browser.post("", &json!({ "capabilities": capabilities }));
        browser.session = format!("{}/{}", browser.session, created["sessionId"].as_str().unwrap());
        browser
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let request = ureq::post(format!("{}{path}", self.session)).config().http_status_as_error(false).build();
        let mut response = request.send(body.to_string()).unwrap();
        let answer: Value = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
        assert_eq!(response.status(), 200, "{path}: {answer}");
        answer["value"].clone()
    }

    /// Runs a script with these arguments.
    pub(crate) fn script(&self, script: &str, arguments: &Value) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Moves the mouse to a position in the window. Clicks there if `click`.
    pub(crate) fn mouse(&self, x: f64, y: f64, click: bool) {
        let mut actions = vec![json!({ "type": "pointerMove", "x": x.round(), "y": y.round(), "duration": 0 })];
        if click {
            actions
                .extend([json!({ "type": "pointerDown", "button": 0 }), json!({ "type": "pointerUp", "button": 0 })]);
        }
        let mouse =
            json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions });
        self.post("/actions", &json!({ "actions": [mouse] }));
    }

    /// Scrolls the element of `selector` to the middle of the window and waits until it stands
    /// still. Returns its left, top, width and height.
    pub(crate) fn place(&self, selector: &str) -> [f64; 4] {
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

    pub(crate) fn click(&self, selector: &str) {
        let [left, top, width, height] = self.place(selector);
        self.mouse(left + width / 2.0, top + height / 2.0, true);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Also closes Chromium, which would outlive its driver.
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
