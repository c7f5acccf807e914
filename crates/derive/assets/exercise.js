// The exercise: checks what is typed while it is typed. Each check runs in a worker of its own, so that it blocks nothing and can
// be ended.
"use strict";
const SECONDS = 10, PAUSE = 300;
const element = (id) => document.getElementById(id);
const workerCode = URL.createObjectURL(new Blob([element("exercise-worker").textContent], { type: "text/javascript" }));
let module;

// Returns the bytes of a text of base 85 (`base85` in src/exercise.rs).
function bytes(text) {
  const digits = Array.from(text, (letter) => letter.charCodeAt(0)).map((code) => code - 40 - (code > 60) - (code > 92));
  const all = [];
  for (let at = 0; at < digits.length; at += 5) {
    const number = [0, 1, 2, 3, 4].reduce((sum, place) => 85 * sum + (digits[at + place] ?? 84), 0);
    const missing = Math.max(0, at + 5 - digits.length);
    all.push(...[24, 16, 8, 0].slice(0, 4 - missing).map((shift) => (number >>> shift) & 255));
  }
  return Uint8Array.from(all);
}

// Unpacks the checker: gzip of WebAssembly.
async function compile() {
  const packed = bytes(element("checker").textContent.trim());
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compile(await new Response(unpacked).arrayBuffer());
}

// Checks steps that continue a page. Returns what was found, `{ problem }`, or nothing after `signal`.
async function checkSteps(page, steps, { signal, seconds = SECONDS } = {}) {
  let compiled;
  try {
    compiled = await (module ??= compile());
  } catch (error) {
    return { problem: `this browser cannot run the checker: ${error.message}` };
  }
  if (signal?.aborted) return undefined;
  return new Promise((resolve) => {
    const worker = new Worker(workerCode);
    const end = (answer) => { clearTimeout(timer); worker.terminate(); resolve(answer); };
    const timer = setTimeout(() => end({ problem: `the check was stopped after ${seconds} seconds` }), 1000 * seconds);
    worker.onmessage = ({ data }) => end(data);
    worker.onerror = ({ message }) => end({ problem: `the checker failed: ${message}` });
    signal?.addEventListener("abort", () => end(undefined));
    worker.postMessage({ module: compiled, request: `${page}\0${steps}` });
  });
}

const page = element("exercise-page").textContent, typed = element("exercise-steps");
let running, pause;

function show(summary, html) {
  element("exercise-summary").textContent = summary;
  element("exercise-lines").innerHTML = html;
  // The numbers where a step is wrong are seen at once.
  for (const details of document.querySelectorAll("#exercise-lines details")) details.open = true;
  element("exercise-answer").ariaBusy = false;
}

async function check() {
  clearTimeout(pause);
  running?.abort();
  const { signal } = (running = new AbortController());
  element("exercise-answer").ariaBusy = true;
  if (!typed.value.trim()) return show("", "");
  element("exercise-summary").textContent = "Checking …";
  // The comment goes on with a scope of the page.
  const scope = element("exercise-scope"), prefix = scope ? `<!-- scope: ${scope.value} -->\n` : "";
  const answer = await checkSteps(page + (prefix && `\n\n${prefix}`), typed.value, { signal });
  if (!answer) return undefined;
  if (answer.problem) return show(`Not checked: ${answer.problem}.`, "");
  const hint = "There is no formula with = to check. Between $ and $, everything is read as one.";
  return show(answer.report.lines.length ? answer.summary : hint, answer.html);
}

typed.addEventListener("input", () => {
  element("exercise-answer").ariaBusy = true;
  clearTimeout(pause);
  pause = setTimeout(check, PAUSE);
});
element("exercise-scope")?.addEventListener("change", check);
element("exercise").addEventListener("submit", (event) => { event.preventDefault(); check(); });
typed.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); check(); }
});
