// A linear classifier that one draws for: what it says, why, and the gradient step that would teach it. All arithmetic is here, in double
// precision, by the formulas that the page shows; a test holds it against the program's own.
"use strict";
for (const section of document.querySelectorAll(".board")) section.board = board(section);

// The model's arithmetic. `weight` has the class running fastest; the logistic model has one column, whose logits are 0 and z.
function classifier({ kind, classes, weight, bias, scale, offset }) {
  const columns = bias.length, d = weight.length / columns, k = classes.length;
  const each = (value) => (Array.isArray(value) ? value : new Array(d).fill(value));
  const a = each(scale), c = each(offset), first = { weight: weight.slice(), bias: bias.slice() };
  const w = weight.slice(), b = bias.slice();
  const features = (pixels) => Float64Array.from(pixels, (pixel, j) => a[j] * pixel + c[j]);
  // W's column that speaks for a class, and its sign.
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
  // What the ink adds to a class's logit, pixel by pixel: the logit less that of an empty board.
  function evidence(pixels, class_) {
    const [i, sign] = column(class_);
    return Float64Array.from(pixels, (pixel, j) => sign * a[j] * pixel * w[j * columns + i]);
  }
  function weights(class_) {
    const [i, sign] = column(class_);
    return Float64Array.from({ length: d }, (_, j) => sign * w[j * columns + i]);
  }
  // dC/dz of every class: p - y.
  const residuals = (pixels, y) => predict(pixels).probabilities.map((p, k) => p - (k === y ? 1 : 0));
  // One step of gradient descent on one image: w_jk -= rate x_j (p_k - y_k), b_k -= rate (p_k - y_k).
  function step(pixels, y, rate) {
    const r = residuals(pixels, y), own = kind === "logistic" ? [r[1]] : r;
    features(pixels).forEach((x, j) => { for (let i = 0; i < columns; i++) w[j * columns + i] -= rate * x * own[i]; });
    own.forEach((r, i) => { b[i] -= rate * r; });
  }
  function reset() { w.set(first.weight); b.set(first.bias); }
  return { k, d, features, predict, evidence, weights, residuals, step, reset, parameters: () => ({ weight: [...w], bias: [...b] }) };
}

// Strokes in the unit square as an image like MNIST's: fitted into 20 of 28 pixels, and centred by its mass.
function fitted(strokes, pen, [height, width], shouldFit) {
  const image = new Uint8Array(height * width), points = strokes.flat();
  if (!points.length) return image;
  const range = (i) => [Math.min(...points.map((p) => p[i])) - pen / 2, Math.max(...points.map((p) => p[i])) + pen / 2];
  const [left, right] = range(0), [top, bottom] = range(1), room = [height, width].map((side) => Math.round((side * 20) / 28));
  // A dot is not blown up to a digit's size.
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

// Grey levels by anti-aliasing: each pixel is the mean of 8 x 8.
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

// Signed values as a picture: one colour for, the other against, deeper where more (by the square root,
// so that little shows, too); the ink itself lies grey below.
function shade(canvas, colors, values, largest, pixels) {
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  values.forEach((value, j) => {
    const strength = largest > 0 ? Math.sqrt(Math.min(1, Math.abs(value) / largest)) : 0, under = pixels ? pixels[j] / 255 * 0.25 : 0;
    const color = value < 0 ? colors.against : colors.for, alpha = strength + under * (1 - strength);
    const mix = (i) => (alpha ? (strength * color[i] + under * (1 - strength) * colors.ink[i]) / alpha : 0);
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
  const say = (text, after = 0) => { clearTimeout(waiting); waiting = setTimeout(() => { find("status").textContent = text; }, after); };

  function show() {
    const image = pixels(), found = model.predict(image), y = truth ?? found.class;
    const residuals = model.residuals(image, y), x = model.features(image);
    const colors = { for: rgb("--for"), against: rgb("--against"), ink: rgb("--pencil") };
    drawPad(image);
    shadeGrey(find("seen"), image);
    const pictures = find("pictures").value === "weights" ? data.classes.map((_, k) => model.weights(k)) : data.classes.map((_, k) => model.evidence(image, k));
    const largest = Math.max(...pictures.map((picture) => picture.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
    const unit = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    data.classes.forEach((_, k) => {
      const row = all("class")[k], part = (name) => row.querySelector(`[data-of="${name}"]`);
      row.classList.toggle("first", k === found.class && !isEmpty());
      part("bar").style.width = 100 * found.probabilities[k] + "%";
      part("probability").textContent = percent(found.probabilities[k]);
      part("logit").textContent = signed(found.logits[k]);
      shade(part("evidence"), colors, pictures[k], largest, image);
      part("residual").textContent = signed(residuals[k]);
      // On one scale for ever, so that it fades as the model learns.
      shade(part("step"), colors, x.map((x) => -x * residuals[k]), unit, null);
      part("truth").checked = truth === k;
    });
    const name = data.classes[y], whose = truth === null ? `If it is ${name}, as the model thinks` : `If it is ${name}`;
    find("loss").textContent = `${whose}, the loss is ${found.loss(y).toFixed(4)} nats.`;
    find("steps").textContent = steps === 0 ? "The model is as it was trained." : `The model is ${steps} step${steps === 1 ? "" : "s"} away from where training left it.`;
    section.querySelectorAll("[data-act]").forEach((button) => { button.disabled = isEmpty(); });
    examples.forEach((own, i) => {
      const button = all("example")[i], said = model.predict(own.pixels).class, isRight = said === own.label;
      button.classList.toggle("wrong", !isRight);
      button.setAttribute("aria-label", `Example ${data.classes[own.label]}, classified ${isRight ? "rightly" : "as " + data.classes[said]}`);
      button.setAttribute("aria-pressed", String(example === own));
    });
    return found;
  }
  function tell(found, before = "") {
    const order = data.classes.map((_, k) => k).sort((a, b) => found.probabilities[b] - found.probabilities[a]);
    const [a, b] = order.map((k) => `${data.classes[k]} at ${percent(found.probabilities[k])}`);
    say(isEmpty() ? "The board is empty." : `${before}Most probable: ${a}, then ${b}.`, 400);
  }
  const changed = () => tell(show());

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
    // Between two frames a hand makes several moves.
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
    const found = show(), [column, row] = cursor.map((value) => Math.round(value * 28));
    tell(found, `Pen ${isDown ? "down" : "up"}, column ${column} of 28, row ${row}. `);
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
    const found = show();
    say(`${data.classes[y]}: from ${percent(before)} to ${percent(found.probabilities[y])}.`);
  }
  find("once").addEventListener("click", () => learn(1));
  find("often").addEventListener("click", () => learn(10));
  find("reset").addEventListener("click", () => { model.reset(); steps = 0; changed(); });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  // No feature is larger than 1, so that a step moves no logit by much more than 1.
  find("rate").value = -Math.log10(model.d);
  showRate();
  show();
  return { model, pixels, rate };
}
