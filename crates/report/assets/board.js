// A drawing board for a linear classifier: its prediction, the evidence for it, and a gradient step. This script computes everything in double
// precision, with the formulas on the page. A test compares the results with the program's.
"use strict";
for (const section of document.querySelectorAll(".board")) section.board = board(section);

// The model. In `weight`, the class varies fastest. The logistic model has one column; its logits are 0 and z.
function classifier({ kind, classes, weight, bias, scale, offset }) {
  const columns = bias.length, d = weight.length / columns, k = classes.length;
  const each = (value) => (Array.isArray(value) ? value : new Array(d).fill(value));
  const a = each(scale), c = each(offset), trained = { weight: weight.slice(), bias: bias.slice() };
  const w = weight.slice(), b = bias.slice();
  const features = (pixels) => Float64Array.from(pixels, (pixel, j) => a[j] * pixel + c[j]);
  // The column of W for a class, and its sign.
  const column = (class_) => (kind === "logistic" ? [0, class_ === 0 ? -1 : 1] : [class_, 1]);

  function predict(pixels) {
    const z = b.slice();
    features(pixels).forEach((x, j) => { for (let i = 0; i < columns; i++) z[i] += x * w[j * columns + i]; });
    const logits = kind === "logistic" ? [0, ...z] : [...z];
    const highest = Math.max(...logits), powers = logits.map((z) => Math.exp(z - highest));
    const sum = powers.reduce((sum, power) => sum + power);
    const probabilities = powers.map((power) => power / sum);
    return { logits, probabilities, class: logits.indexOf(highest), loss: (y) => Math.log(sum) + highest - logits[y] };
  }
  // The contribution of each pixel to a class's logit, compared with an empty board.
  function evidence(pixels, class_) {
    const [i, sign] = column(class_);
    return Float64Array.from(pixels, (pixel, j) => sign * a[j] * pixel * w[j * columns + i]);
  }
  function weights(class_) {
    const [i, sign] = column(class_);
    return Float64Array.from({ length: d }, (_, j) => sign * w[j * columns + i]);
  }
  // dC/dz for each class: p - y.
  const residuals = (pixels, y) => predict(pixels).probabilities.map((p, k) => p - (k === y ? 1 : 0));
  // One step of gradient descent on one image: w_jk -= rate x_j (p_k - y_k), b_k -= rate (p_k - y_k).
  function step(pixels, y, rate) {
    const r = residuals(pixels, y), columnResiduals = kind === "logistic" ? [r[1]] : r;
    features(pixels).forEach((x, j) => { for (let i = 0; i < columns; i++) w[j * columns + i] -= rate * x * columnResiduals[i]; });
    columnResiduals.forEach((r, i) => { b[i] -= rate * r; });
  }
  function reset() { w.set(trained.weight); b.set(trained.bias); }
  return { k, d, features, predict, evidence, weights, residuals, step, reset, parameters: () => ({ weight: [...w], bias: [...b] }) };
}

// Converts strokes in the unit square to an image like MNIST's: scaled to 20 of 28 pixels, with its centre of mass in the middle.
function fitted(strokes, pen, [height, width], shouldFit) {
  const image = new Uint8Array(height * width), points = strokes.flat();
  if (!points.length) return image;
  const range = (i) => [Math.min(...points.map((p) => p[i])) - pen / 2, Math.max(...points.map((p) => p[i])) + pen / 2];
  const [left, right] = range(0), [top, bottom] = range(1), room = [height, width].map((side) => Math.round((side * 20) / 28));
  // A dot is not enlarged to the size of a digit.
  const smallest = 0.2;
  const zoom = Math.min(room[0] / Math.max(bottom - top, smallest), room[1] / Math.max(right - left, smallest));
  const ink = shouldFit ? rasterized(strokes, pen, [height, width], (x, y) => [(x - left) * zoom, (y - top) * zoom], zoom)
    : rasterized(strokes, pen, [height, width], (x, y) => [x * width, y * height], Math.min(height, width));
  if (!shouldFit) return ink;
  let mass = 0, row = 0, column = 0;
  ink.forEach((level, j) => { mass += level; row += level * Math.floor(j / width); column += level * (j % width); });
  if (!mass) return image;
  const first = (side, taken, middle) => Math.max(0, Math.min(side - taken, Math.round(Math.floor(side / 2) - middle)));
  const taken = (extent, room) => Math.min(room, Math.ceil(extent * zoom));
  const down = first(height, taken(bottom - top, room[0]), row / mass), over = first(width, taken(right - left, room[1]), column / mass);
  for (let y = 0; y + down < height; y++) for (let x = 0; x + over < width; x++) image[(y + down) * width + x + over] = ink[y * width + x];
  return image;
}

// Returns anti-aliased grey levels: each pixel is the mean of 8 x 8 samples.
function rasterized(strokes, pen, [height, width], place, zoom) {
  const fine = 8, canvas = Object.assign(document.createElement("canvas"), { width: width * fine, height: height * fine });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  draw(context, strokes, pen * zoom * fine, (x, y) => place(x, y).map((value) => value * fine));
  const alpha = context.getImageData(0, 0, canvas.width, canvas.height).data, image = new Uint8Array(height * width);
  for (let j = 0; j < image.length; j++) {
    const top = Math.floor(j / width) * fine, left = (j % width) * fine;
    let sum = 0;
    for (let y = top; y < top + fine; y++) for (let x = left; x < left + fine; x++) sum += alpha[4 * (y * width * fine + x) + 3];
    image[j] = Math.round(sum / (fine * fine));
  }
  return image;
}

function draw(context, strokes, pen, place) {
  Object.assign(context, { lineWidth: pen, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    context.beginPath();
    stroke.forEach(([x, y], i) => (i ? context.lineTo(...place(x, y)) : context.moveTo(...place(x, y))));
    // A single point is a dot.
    context.lineTo(...place(...stroke[stroke.length - 1]));
    context.stroke();
  }
}

// Draws signed values in two colours, for and against. The strength of the colour is the square root of the value, so that small values are
// visible. The ink is grey in the background.
function shade(canvas, colors, values, largest, pixels) {
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  values.forEach((value, j) => {
    const strength = largest > 0 ? Math.sqrt(Math.min(1, Math.abs(value) / largest)) : 0, inkStrength = pixels ? pixels[j] / 255 * 0.25 : 0;
    const color = value < 0 ? colors.against : colors.for, alpha = strength + inkStrength * (1 - strength);
    const mix = (i) => (alpha ? (strength * color[i] + inkStrength * (1 - strength) * colors.ink[i]) / alpha : 0);
    image.data.set([mix(0), mix(1), mix(2), 255 * alpha], 4 * j);
  });
  context.putImageData(image, 0, 0);
}

function board(section) {
  const rgb = (name) => getComputedStyle(section).getPropertyValue(name).match(/[0-9a-f]{2}/gi).map((hex) => parseInt(hex, 16));
  const find = (name) => section.querySelector(`[data-part="${name}"]`), all = (name) => [...section.querySelectorAll(`[data-part="${name}"]`)];
  const data = JSON.parse(section.querySelector("script").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const numbers = (text) => Float64Array.from(new (data.float === "f32" ? Float32Array : Float64Array)(bytes(text).buffer));
  const model = classifier({ ...data, weight: numbers(data.weight), bias: Float64Array.from(data.bias) });
  const examples = data.examples.map(([label, pixels]) => ({ label, pixels: bytes(pixels) }));
  const pad = find("pad"), context = pad.getContext("2d"), pen = 0.075;
  let strokes = [], example = null, truth = null, steps = 0, cursor = [0.5, 0.5], isDown = false, pointer = null, waiting = 0;

  const pixels = () => (example ? example.pixels : fitted(strokes, pen, data.size, find("fit").checked));
  const isEmpty = () => !example && !strokes.length;
  const percent = (p) => (100 * p).toFixed(1) + " %";
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);
  const setStatus = (text, after = 0) => { clearTimeout(waiting); waiting = setTimeout(() => { find("status").textContent = text; }, after); };

  function show() {
    const image = pixels(), prediction = model.predict(image), y = truth ?? prediction.class;
    const residuals = model.residuals(image, y), x = model.features(image);
    const colors = { for: rgb("--for"), against: rgb("--against"), ink: rgb("--pencil") };
    drawPad(image);
    shadeGrey(find("seen"), image);
    const pictures = find("pictures").value === "weights" ? data.classes.map((_, k) => model.weights(k)) : data.classes.map((_, k) => model.evidence(image, k));
    const largest = Math.max(...pictures.map((picture) => picture.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
    const unit = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    data.classes.forEach((_, k) => {
      const row = all("class")[k], part = (name) => row.querySelector(`[data-of="${name}"]`);
      row.classList.toggle("first", k === prediction.class && !isEmpty());
      part("bar").style.width = 100 * prediction.probabilities[k] + "%";
      part("probability").textContent = percent(prediction.probabilities[k]);
      part("logit").textContent = signed(prediction.logits[k]);
      shade(part("evidence"), colors, pictures[k], largest, image);
      part("residual").textContent = signed(residuals[k]);
      // The scale does not change, so the pictures fade as the model learns.
      shade(part("step"), colors, x.map((x) => -x * residuals[k]), unit, null);
      part("truth").checked = truth === k;
    });
    const label = truth === null ? `predicted class ${data.classes[y]}` : `class ${data.classes[y]}`;
    find("loss").textContent = `The loss for the ${label} is ${prediction.loss(y).toFixed(4)} nats.`;
    find("steps").textContent = steps === 0 ? "The model has its trained weights." : `The model has ${steps} step${steps === 1 ? "" : "s"} more than after its training.`;
    section.querySelectorAll("[data-act]").forEach((button) => { button.disabled = isEmpty(); });
    examples.forEach((item, i) => {
      const button = all("example")[i], predicted = model.predict(item.pixels).class, isCorrect = predicted === item.label;
      button.classList.toggle("wrong", !isCorrect);
      button.setAttribute("aria-label", `Example ${data.classes[item.label]}, classified ${isCorrect ? "correctly" : "as " + data.classes[predicted]}`);
      button.setAttribute("aria-pressed", String(example === item));
    });
    return prediction;
  }
  function announce(prediction, before = "") {
    const order = data.classes.map((_, k) => k).sort((a, b) => prediction.probabilities[b] - prediction.probabilities[a]);
    const [a, b] = order.map((k) => `${data.classes[k]} at ${percent(prediction.probabilities[k])}`);
    setStatus(isEmpty() ? "The board is empty." : `${before}Most probable: ${a}, then ${b}.`, 400);
  }
  const changed = () => announce(show());

  function shadeGrey(canvas, image) {
    const context = canvas.getContext("2d"), picture = context.createImageData(canvas.width, canvas.height);
    image.forEach((level, j) => picture.data.set([level, level, level, 255], 4 * j));
    context.putImageData(picture, 0, 0);
  }
  function drawPad(image) {
    const side = pad.width;
    context.fillStyle = "#000";
    context.fillRect(0, 0, side, side);
    if (example) {
      context.imageSmoothingEnabled = false;
      shadeGrey(find("seen"), image);
      context.drawImage(find("seen"), 0, 0, side, side);
    }
    context.strokeStyle = "#fff";
    draw(context, strokes, pen * side, (x, y) => [x * side, y * side]);
    if (document.activeElement === pad && pad.dataset.keys) {
      context.beginPath();
      context.arc(cursor[0] * side, cursor[1] * side, pen * side * 0.7, 0, 7);
      Object.assign(context, { strokeStyle: isDown ? "#f58b42" : "#4aa8e0", lineWidth: 3 });
      context.stroke();
    }
  }

  function begin(point) {
    if (example) { example = null; strokes = []; }
    if (!strokes.length) truth = null;
    strokes.push([point]);
  }
  function clear() { strokes = []; example = null; truth = null; isDown = false; changed(); }
  function undo() { if (example) clear(); else { strokes.pop(); isDown = false; changed(); } }

  const unit = (event) => {
    const box = pad.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((value) => Math.max(0, Math.min(1, value)));
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || pointer !== null) return;
    event.preventDefault();
    pad.focus({ preventScroll: true });
    delete pad.dataset.keys;
    pad.setPointerCapture(event.pointerId);
    pointer = event.pointerId;
    begin(unit(event));
    show();
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    // There can be several moves between two frames.
    const moves = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const move of moves.length ? moves : [event]) strokes[strokes.length - 1].push(unit(move));
    show();
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    changed();
  });
  pad.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }, move = moves[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (move) {
      const far = (event.shiftKey ? 4 : 1) / 28;
      cursor = cursor.map((value, i) => Math.max(0, Math.min(1, value + move[i] * far)));
      if (isDown) strokes[strokes.length - 1].push(cursor.slice());
    } else if (event.key === " " || event.key === "Enter") {
      isDown = !isDown;
      if (isDown) begin(cursor.slice());
    } else if (event.key === "Backspace") undo();
    else if (event.key === "Delete") clear();
    else return;
    event.preventDefault();
    pad.dataset.keys = "on";
    const prediction = show(), [column, row] = cursor.map((value) => Math.round(value * 28));
    announce(prediction, `Pen ${isDown ? "down" : "up"}, column ${column} of 28, row ${row}. `);
  });
  pad.addEventListener("blur", () => { isDown = false; show(); });
  pad.addEventListener("focus", show);

  find("clear").addEventListener("click", clear);
  find("undo").addEventListener("click", undo);
  find("fit").addEventListener("change", changed);
  find("pictures").addEventListener("change", show);
  section.querySelectorAll('[data-of="truth"]').forEach((radio, k) => radio.addEventListener("change", () => { truth = k; show(); }));
  all("example").forEach((button, i) => button.addEventListener("click", () => {
    [strokes, example, truth] = [[], examples[i], examples[i].label];
    changed();
  }));
  const rate = () => 10 ** Number(find("rate").value);
  const showRate = () => {
    const text = String(Number(rate().toPrecision(2)));
    find("rate-value").textContent = text;
    find("rate").setAttribute("aria-valuetext", text);
  };
  find("rate").addEventListener("input", showRate);
  function learn(times) {
    const image = pixels(), y = truth ?? model.predict(image).class, before = model.predict(image).probabilities[y];
    for (let i = 0; i < times; i++) model.step(image, y, rate());
    [truth, steps] = [y, steps + times];
    const prediction = show();
    setStatus(`${data.classes[y]}: from ${percent(before)} to ${percent(prediction.probabilities[y])}.`);
  }
  find("once").addEventListener("click", () => learn(1));
  find("often").addEventListener("click", () => learn(10));
  find("reset").addEventListener("click", () => { model.reset(); steps = 0; changed(); });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  // A feature is at most 1, so a step changes no logit by much more than 1.
  find("rate").value = -Math.log10(model.d);
  showRate();
  show();
  return { model, pixels, rate };
}
