//! The page to draw on, in Chromium: what it does by itself, its worked example, links and undo.
//! `tests/board.rs` compares its arithmetic with the kernels.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Trains a model of the embedded digits, runs a script in its page, and returns what the script
/// returns. Returns nothing if there is no Chromium.
fn run(experiment: &str, hash: &str, script: &str) -> Option<Value> {
    let folder = tempfile::tempdir().unwrap();
    let call = |arguments: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_chainrule"))
            .current_dir(&folder)
            .env_remove("CHAINRULE_DATA")
            .args(arguments.split(' '))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    call(&format!("train {experiment} --data embedded --set descent.epochs=1 --out run --quiet"));
    call("page run");
    let page = folder.path().join("run.html");
    let script = format!(
        "<script>(async () => {{ {HELPERS} {script} }})().catch((error) => ({{ error: String(error.stack) }})).then((result) => {{
             const pre = Object.assign(document.createElement('pre'), {{ id: 'result', textContent: JSON.stringify(result) }});
             document.body.append(pre); }});</script></body>"
    );
    let html = std::fs::read_to_string(&page).unwrap().replace("</body>", &script);
    std::fs::write(&page, html).unwrap();
    let dom = dom(&page, hash, &folder.path().join("profile"))?;
    let result = dom.split_once("<pre id=\"result\">").unwrap_or_else(|| panic!("no result: {dom:.300}")).1;
    let result = result.split_once("</pre>").unwrap().0.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let result: Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result.get("error"), None, "{result}");
    Some(result)
}

/// Opens a page, lets 20 s pass in the page's clock, and returns its HTML.
fn dom(page: &Path, hash: &str, profile: &Path) -> Option<String> {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args([
            "--disable-background-networking",
            "--window-size=1200,900",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}{hash}", page.display()))
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: chromium is not installed");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What the scripts share.
const HELPERS: &str = r#"
    const section = document.querySelector(".board"), { model, pixels } = section.board;
    const part = (name) => section.querySelector(`[data-part="${name}"]`), text = (name) => part(name).textContent;
    const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
    const press = (...keys) => { for (const key of keys) part("pad").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })); };
    // A stroke downwards, from the middle of the board.
    const draw = () => press(" ", ...Array(9).fill("ArrowDown"), " ");
    const isColoured = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0);
    const tiles = () => [...section.querySelectorAll("td canvas")], weights = () => JSON.stringify(model.parameters());
    const ink = () => pixels().reduce((sum, level) => sum + level, 0), trained = weights();
"#;

#[test]
fn an_example_draws_itself_until_the_first_stroke() {
    let Some(result) = run(
        "softmax",
        "",
        r#"
        const start = { hint: text("hint"), isHidden: part("hint").hidden, ink: ink() };
        await sleep(1500);
        const halfway = ink();
        await sleep(2000);
        const end = ink(), status = text("status"), hash = location.hash;
        draw();
        return { start, halfway, end, status, hash, own: ink(), undone: (press("Backspace"), ink()) };
        "#,
    ) else {
        return;
    };
    assert_eq!(result["start"], serde_json::json!({ "hint": "Draw a digit here", "isHidden": false, "ink": 0 }));
    let [halfway, end, own, undone] = ["halfway", "end", "own", "undone"].map(|name| result[name].as_u64().unwrap());
    assert!(0 < halfway && halfway != end && own > 0 && own != end, "{result}");
    // The example is not the user's drawing: neither undo nor the link has it.
    assert_eq!((undone, result["hash"].as_str()), (0, Some("")));
    assert!(
        result["status"].as_str().unwrap().starts_with("An example. Now draw your own. Most probable: "),
        "{result}"
    );
}

#[test]
fn a_lesson_breaks_another_digit_and_undo_mends_it() {
    let Some(result) = run(
        "softmax",
        "#board=",
        r#"
        const empty = { colours: tiles().some(isColoured), isUndoable: !part("undo").disabled };
        const lesson = part("break").hidden ? "fool" : "break", name = text(lesson);
        part(lesson).click();
        await sleep(10000);
        const status = text("status"), wrong = section.querySelectorAll("button.wrong").length, key = part("key").hidden;
        const taught = weights() !== trained, hash = location.hash;
        part("undo").click();
        return { empty, name, status, wrong, key, taught, hash, undone: weights() === trained && ink() === 0 };
        "#,
    ) else {
        return;
    };
    assert_eq!(result["empty"], serde_json::json!({ "colours": false, "isUndoable": false }));
    assert!(result["name"].as_str().unwrap().starts_with("Teach it "), "{result}");
    assert!(result["status"].as_str().unwrap().starts_with("After "), "{result}");
    assert!(result["wrong"].as_u64().unwrap() > 0 && result["key"] == false, "{result}");
    assert!(result["taught"] == true && result["undone"] == true, "{result}");
    assert!(result["hash"].as_str().unwrap().len() > "#board=".len(), "{result}");
}

/// The product of the three factors, the closed form, and what a step does to a weight agree.
#[test]
fn the_chain_rule_in_numbers_is_the_step() {
    for experiment in ["softmax", "logistic"] {
        let Some(result) = run(
            experiment,
            "#board=",
            r#"
            const columns = model.parameters().bias.length;
            let largest = 0;
            for (const key of ["ArrowRight", "ArrowUp", "ArrowLeft"]) {
                draw();
                press(key, key);
                for (let y = 0; y < model.k; y++) {
                    model.reset();
                    const image = pixels(), before = model.parameters().weight, chains = [];
                    for (let j = 0; j < model.d; j += 13) for (let i = 0; i < columns; i++) {
                        chains.push([j * columns + i, model.chain(image, y, j, model.k - columns + i)]);
                    }
                    model.step(image, y, 1);
                    const after = model.parameters().weight;
                    for (const [i, { product, residual, x }] of chains) {
                        largest = Math.max(largest, Math.abs(product - x * residual), Math.abs(before[i] - after[i] - product));
                    }
                }
            }
            model.reset();
            draw();
            // The largest grey level, and then the pixel to the right of it.
            const cell = () => text("chain-pixel"), first = cell();
            part("seen").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
            const cells = [first, cell(), text("spoken")], shown = ["product", "closed"].map((name) => text("chain-" + name));
            const rows = [...section.querySelectorAll("[data-part=class]")].map((row) => row.querySelectorAll("canvas").length);
            const spoken = [...section.querySelectorAll("td canvas")].every((canvas) => canvas.getAttribute("aria-label"));
            return { largest, cells, shown, rows, spoken };
            "#,
        ) else {
            return;
        };
        assert!(result["largest"].as_f64().unwrap() < 1e-12, "{experiment}: {result}");
        assert_eq!(result["shown"][0], result["shown"][1], "{experiment}: {result}");
        let cells: Vec<String> = serde_json::from_value(result["cells"].clone()).unwrap();
        assert!(cells[0] != cells[1] && cells[2].starts_with(&format!("Pixel {}, class ", cells[1])), "{result}");
        // The first class of the logistic model has no weights, and so no pictures.
        let rows: Vec<u64> = serde_json::from_value(result["rows"].clone()).unwrap();
        let expected = if experiment == "logistic" { vec![0, 2] } else { vec![2; 10] };
        assert!(rows == expected && result["spoken"] == true, "{experiment}: {result}");
    }
}

#[test]
fn a_link_restores_drawing_steps_and_class_and_refuses_garbage() {
    let Some(result) = run(
        "softmax",
        "#board=garbage",
        r##"
        await sleep(600);
        const refused = text("status");
        draw();
        section.querySelectorAll("[data-of=truth]")[4].click();
        part("often").click();
        part("rate").value = -1;
        part("rate").dispatchEvent(new Event("input"));
        press("Delete");
        draw();
        press("ArrowRight", "ArrowRight");
        draw();
        section.querySelectorAll("[data-of=truth]")[2].click();
        part("once").click();
        await sleep(600);
        const link = location.hash, state = () => [weights(), ink(), text("loss"), text("steps"), text("rate-value")].join();
        const expected = state();
        location.hash = "#board=";
        await sleep(600);
        const emptied = weights() === trained && ink() === 0;
        location.hash = link;
        await sleep(600);
        const isRestored = state() === expected;
        // Any other text is refused, or it is a state that has the same text again.
        let accepted = 0, seed = 1;
        const next = () => (seed = (seed * 48271) % 2147483647), codes = link.slice("#board=".length);
        for (let i = 0; i < 3000; i++) {
            const at = next() % codes.length, other = "A_-9zQ%"[next() % 7], garbled = codes.slice(0, at) + other + codes.slice(at + (next() % 3));
            const state = decode(garbled, 10, 10);
            if (!state) continue;
            accepted++;
            if (decode(encode(state), 10, 10) === null) throw new Error(garbled);
        }
        return { refused, emptied, isRestored, link, accepted };
        "##,
    ) else {
        return;
    };
    assert!(
        result["refused"].as_str().unwrap().starts_with("This link has no drawing that this page can read."),
        "{result}"
    );
    assert!(result["emptied"] == true && result["isRestored"] == true, "{result}");
    assert!(result["link"].as_str().unwrap().len() < 200 && result["accepted"].as_u64().unwrap() < 2500, "{result}");
}
