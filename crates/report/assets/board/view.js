// The page's parts: it shows the state of the board, and changes it. The state is a drawing, the
// correct class that the user has chosen, and the steps since the training. Undo and links restore
// it.
"use strict";
for (const section of document.querySelectorAll(".board")) section.board = board(section);

// Strokes of the digits that the page draws itself, as percent of the board.
function demonstrations() {
  const three = "28,27 36,19 48,16 60,19 66,27 64,37 56,44 44,47 56,48 66,55 69,65 65,76 54,83 41,83 30,78 25,70";
  const seven = "26,23 44,22 70,21 63,34 55,50 49,66 45,84";
  // Cutting the corners of a line twice makes it look drawn by hand.
  const between = (from, to, share) => from.map((value, i) => value + share * (to[i] - value));
  const rounded = (points) => [points[0], ...points.slice(1).flatMap((to, i) => [between(points[i], to, 0.25), between(points[i], to, 0.75)]), points[points.length - 1]];
  const points = (text) => rounded(rounded(text.split(" ").map((point) => point.split(",").map((value) => value / 100))));
  return { 3: points(three), 7: points(seven) };
}

function board(section) {
  const find = (name) => section.querySelector(`[data-part="${name}"]`), all = (name) => [...section.querySelectorAll(`[data-part="${name}"]`)];
  const data = JSON.parse(section.querySelector("script").textContent), [height, width] = data.size;
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const numbers = (text) => Float64Array.from(new (data.float === "f32" ? Float32Array : Float64Array)(bytes(text).buffer));
  const model = classifier({ ...data, weight: numbers(data.weight), bias: Float64Array.from(data.bias) });
  const examples = data.examples.map(([label, pixels]) => ({ label, pixels: bytes(pixels) }));
  const pad = find("pad"), context = pad.getContext("2d"), pen = 0.075;
  const rows = all("class").map((row) => (name) => (name ? row.querySelector(`[data-of="${name}"]`) : row));

  const blank = (fit = true) => ({ strokes: [], example: null, fit });
  // A feature is at most 1, so a step with a rate of 1/d changes no logit by much more than 1.
  const startRate = Math.max(0, RATES - Math.round(100 * Math.log10(model.d)));
  // A state and its lessons are never changed: each change makes a new one. Only the last stroke
  // grows.
  let state = { drawing: blank(), truth: null, rate: startRate, lessons: [] }, past = [];
  let cursor = [0.5, 0.5], isDown = false, pointer = null, waiting = 0, playing = 0, saving = 0;
  // Pixel and class of the worked example, if the user has chosen them. The drawing that plays by
  // itself.
  let spot = { j: null, k: null }, demonstration = null;

  const imageOf = ({ strokes, example, fit }) => (example === null ? fitted(strokes, pen, data.size, fit) : examples[example].pixels);
  const pixels = () => imageOf(state.drawing);
  const isEmpty = () => state.drawing.example === null && !state.drawing.strokes.length;
  const stepCount = () => state.lessons.reduce((sum, { times }) => sum + times, 0);
  const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  const percent = (p) => (100 * p).toFixed(1) + " %";
  // Steps on a wrong class begin far below a tenth of a percent.
  const finePercent = (p) => (p > 0 && p < 1e-3 ? Number((100 * p).toPrecision(2)) + " %" : percent(p));
  const scientific = (value) => value.toExponential(2).replace("e+", "e");
  const size = (value, digits = 3) => (Number.isNaN(value) ? "0 · ∞" : value === Infinity ? "∞" : value >= 1e4 ? scientific(value) : value.toFixed(digits));
  const signed = (value) => (value < 0 ? "−" : "+") + size(Math.abs(value));
  const plain = (value) => (value < 0 ? "−" : "") + (value && Math.abs(value) < 1e-3 ? scientific(Math.abs(value)) : size(Math.abs(value), 4));
  const setStatus = (text, after = 0) => { clearTimeout(waiting); waiting = setTimeout(() => { find("status").textContent = text; }, after); };

  // ---- Changes of the state.

  function set(changes) {
    // A new drawing replaces the one that played by itself; any other change adopts it.
    const before = demonstration ?? state, base = changes.drawing ? before : state;
    demonstration = null;
    past.push(before);
    if (past.length > 500) past.shift();
    state = { ...base, ...changes };
  }
  // Puts the model where the steps of the state lead.
  function relearn() {
    model.reset();
    for (const { drawing, truth, rate, times } of state.lessons) {
      const image = imageOf(drawing);
      for (let i = 0; i < times; i++) model.step(image, truth, rateOf(rate));
    }
  }
  function begin(point) {
    const { drawing } = demonstration ?? state, fresh = demonstration || drawing.example !== null || !drawing.strokes.length;
    set({ drawing: { ...drawing, example: null, strokes: [...(fresh ? [] : drawing.strokes), [place(point)]] }, ...(fresh && { truth: null }) });
  }
  // Links have 256 positions in each direction, so the board has them, too.
  const place = (point) => point.map((value) => Math.round(value * 255) / 255);
  function extend(point) {
    const { strokes } = state.drawing, stroke = strokes[strokes.length - 1], [x, y] = stroke[stroke.length - 1];
    if (Math.max(Math.abs(point[0] - x), Math.abs(point[1] - y)) >= 1.5 / 255) stroke.push(place(point));
  }
  function clear() {
    isDown = false;
    spot = { j: null, k: null };
    set({ drawing: blank(state.drawing.fit), truth: null });
    changed();
  }
  function undo() {
    isDown = false;
    if (demonstration) [state, demonstration] = [demonstration, null];
    else if (past.length) {
      const { lessons } = state;
      state = past.pop();
      if (state.lessons !== lessons) relearn();
    }
    changed();
  }
  function showExample(example, truth = examples[example].label) {
    set({ drawing: { ...blank(state.drawing.fit), example }, truth });
    changed();
  }
  // Takes steps, and returns the probability of the class before them.
  function learn(times) {
    const image = pixels(), { drawing, rate, lessons } = state, truth = classOf(image), before = model.predict(image).probabilities[truth];
    for (let i = 0; i < times; i++) model.step(image, truth, rateOf(rate));
    const last = lessons[lessons.length - 1], goesOn = last && last.drawing === drawing && last.truth === truth && last.rate === rate;
    if (!times) return before;
    const lesson = { drawing, truth, rate, times: times + (goesOn ? last.times : 0) };
    state = { ...state, truth, lessons: [...(goesOn ? lessons.slice(0, -1) : lessons), lesson] };
    return before;
  }
  const classOf = (image) => state.truth ?? model.predict(image).class;

  // ---- What is shown.

  function show() {
    const image = pixels(), empty = isEmpty(), prediction = model.predict(image), y = state.truth ?? prediction.class;
    const residuals = model.residuals(image, y), x = model.features(image);
    const rgb = (name) => getComputedStyle(section).getPropertyValue(name).match(/[0-9a-f]{2}/gi).map((hex) => parseInt(hex, 16));
    const colors = { for: rgb("--for"), against: rgb("--against"), ink: rgb("--pencil") };
    drawPad();
    shadeGrey(find("seen"), image);
    const showsWeights = find("pictures").value === "weights", none = new Float64Array(model.d);
    const pictures = data.classes.map((_, k) => (!model.hasWeights(k) ? none : showsWeights ? model.weights(k) : model.evidence(image, k)));
    const largest = Math.max(...pictures.map((picture) => picture.reduce((most, value) => Math.max(most, Math.abs(value)), 0)));
    const unit = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    rows.forEach((row, k) => {
      row().classList.toggle("first", k === prediction.class && !empty);
      row().classList.toggle("chosen", state.truth === k);
      row("bar").style.width = empty ? 0 : 100 * prediction.probabilities[k] + "%";
      row("probability").textContent = empty ? "–" : percent(prediction.probabilities[k]);
      row("truth").checked = state.truth === k;
      if (!model.hasWeights(k)) return;
      row("logit").textContent = empty ? "–" : signed(prediction.logits[k]);
      row("residual").textContent = empty ? "–" : signed(residuals[k]);
      shade(row("evidence"), colors, pictures[k], largest, image);
      row("evidence").setAttribute("aria-label", empty && !showsWeights ? "nothing" : `${showsWeights ? "weights" : "evidence"}: ${described(pictures[k])}`);
      // The scale does not change, so the pictures fade as the model learns.
      const step = empty ? none : x.map((x) => -x * residuals[k]);
      shade(row("step"), colors, step, unit, null);
      row("step").setAttribute("aria-label", empty ? "nothing" : describedStep(image, step));
    });
    showStep(image, prediction, y);
    showChain(image, y);
    examples.forEach((item, i) => {
      const button = all("example")[i], predicted = model.predict(item.pixels).class, isCorrect = predicted === item.label;
      button.classList.toggle("wrong", !isCorrect);
      button.querySelector("small").textContent = isCorrect ? "" : "→ " + data.classes[predicted];
      button.setAttribute("aria-label", `Example ${data.classes[item.label]}, classified ${isCorrect ? "correctly" : "as " + data.classes[predicted]}`);
      button.setAttribute("aria-pressed", String(state.drawing.example === i));
    });
    if (examples.length) find("key").hidden = !section.querySelector("button.wrong");
    find("fit").checked = (demonstration ?? state).drawing.fit;
    find("hint").hidden = !empty && !demonstration;
    find("hint").classList.toggle("low", Boolean(demonstration));
    find("undo").disabled = !past.length && !demonstration;
    for (const name of ["clear", "save"]) find(name).disabled = empty;
    return prediction;
  }
  // The loss, what one step would do, and how many were taken.
  function showStep(image, prediction, y) {
    const name = data.classes[y], p = prediction.probabilities[y], rate = rateOf(state.rate);
    // One step changes each logit by -rate (p - y) (x . x + 1).
    const long = model.features(image).reduce((sum, x) => sum + x * x, 1);
    const z = prediction.logits.map((z, k) => z - (model.hasWeights(k) ? rate * long * (prediction.probabilities[k] - (k === y ? 1 : 0)) : 0));
    const highest = Math.max(...z), after = Math.exp(z[y] - highest) / z.reduce((sum, z) => sum + Math.exp(z - highest), 0);
    find("loss").textContent = isEmpty() ? "" : `The loss for the ${state.truth === null ? "predicted class" : "class"} ${name} is ${size(prediction.loss(y), 4)} nats.`;
    find("next").textContent = isEmpty() ? "" : `One step takes ${name} from ${finePercent(p)} to ${finePercent(after)}.`;
    const steps = stepCount(), text = String(Number(rate.toPrecision(2)));
    find("steps").textContent = steps === 0 ? "The model has its trained weights." : `The model has ${steps} step${steps === 1 ? "" : "s"} more than after its training.`;
    find("rate").value = state.rate / 100 - RATES / 100;
    find("rate").setAttribute("aria-valuetext", text);
    find("rate-value").textContent = text;
    find("reset").disabled = steps === 0;
    section.querySelectorAll("[data-act]").forEach((button) => { button.disabled = isEmpty(); });
  }
  // The worked example: the chain rule at one pixel, for one class, in numbers.
  function showChain(image, y) {
    const inkiest = () => image.reduce((best, level, j) => (level > image[best] ? j : best), Math.floor(height / 2) * width + Math.floor(width / 2));
    const j = spot.j ?? inkiest(), k = spot.k ?? (model.hasWeights(y) ? y : 1);
    const { factors: [ofLoss, ofProbability, ofLogit], product, residual, x } = model.chain(image, y, j, k);
    const texts = {
      loss: plain(ofLoss), probability: plain(ofProbability), logit: plain(ofLogit), product: plain(product), closed: plain(x * residual),
      parts: `${plain(x)} · ${residual < 0 ? `(${plain(residual)})` : plain(residual)}`,
      pixel: `row ${Math.floor(j / width) + 1}, column ${(j % width) + 1}`, truth: `y = ${data.kind === "logistic" ? y : data.classes[y]}`,
    };
    for (const name in texts) find("chain-" + name).textContent = isEmpty() && name !== "pixel" ? "–" : texts[name];
    find("underflow").hidden = isEmpty() || Number.isFinite(product);
    find("chain-class").value = k;
    find("mark").hidden = isEmpty();
    find("mark").style.cssText = `left: ${100 * (j % width) / width}%; top: ${100 * Math.floor(j / width) / height}%; width: ${100 / width}%; height: ${100 / height}%`;
    return [j, `Pixel ${texts.pixel}, class ${data.classes[k]}: ` +
      (isEmpty() ? "the board is empty" : `${texts.loss} times ${texts.probability} times ${texts.logit} is ${texts.product}; closed form ${texts.closed}`) + "."];
  }
  // Where a picture's values are largest, in words.
  function described(values) {
    const extreme = (sign) => values.reduce((best, value, j) => (sign * value > sign * values[best] ? j : best), 0);
    const part = (j) => {
      const third = (at, side, names) => names[Math.min(2, Math.floor((3 * at) / side))];
      const name = `${third(Math.floor(j / width), height, ["upper", "middle", "lower"])} ${third(j % width, width, ["left", "centre", "right"])}`;
      return name === "middle centre" ? "centre" : name;
    };
    const side = (sign, name) => {
      const total = values.reduce((sum, value) => sum + Math.max(0, sign * value), 0);
      return `${signed(sign * total)} ${name}` + (total > 0 ? `, most at the ${part(extreme(sign))}` : "");
    };
    return `${side(1, "for")}; ${side(-1, "against")}`;
  }
  function describedStep(image, step) {
    const at = (isBetter) => step[image.reduce((best, level, j) => (isBetter(level, image[best]) ? j : best), 0)];
    const verb = (value) => (Math.abs(value) < 5e-4 ? "keeps" : value > 0 ? "raises" : "lowers"), ink = at((a, b) => a > b), ground = at((a, b) => a < b);
    return `step: ${verb(ink)} the weights at the ink, ${verb(ground)} them in the background, by up to ${size(Math.max(Math.abs(ink), Math.abs(ground)))} times the learning rate`;
  }
  function announce(prediction, before = "") {
    const order = data.classes.map((_, k) => k).sort((a, b) => prediction.probabilities[b] - prediction.probabilities[a]);
    const [a, b] = order.map((k) => `${data.classes[k]} at ${percent(prediction.probabilities[k])}`);
    setStatus(isEmpty() ? `${before}The board is empty.` : `${before}Most probable: ${a}, then ${b}.`, 400);
  }
  const changed = () => { announce(show()); keep(); };

  function shadeGrey(canvas, image) {
    const context = canvas.getContext("2d"), picture = context.createImageData(canvas.width, canvas.height);
    image.forEach((level, j) => picture.data.set([level, level, level, 255], 4 * j));
    context.putImageData(picture, 0, 0);
  }
  function drawPad(withCursor = true) {
    const side = pad.width;
    context.fillStyle = "#000";
    context.fillRect(0, 0, side, side);
    if (state.drawing.example !== null) {
      context.imageSmoothingEnabled = false;
      shadeGrey(find("seen"), pixels());
      context.drawImage(find("seen"), 0, 0, side, side);
    }
    context.strokeStyle = "#fff";
    draw(context, state.drawing.strokes, pen * side, (x, y) => [x * side, y * side]);
    if (withCursor && document.activeElement === pad && pad.dataset.keys) {
      context.beginPath();
      context.arc(cursor[0] * side, cursor[1] * side, pen * side * 0.7, 0, 7);
      Object.assign(context, { strokeStyle: isDown ? "#f58b42" : "#4aa8e0", lineWidth: 3 });
      context.stroke();
    }
  }

  // ---- Drawing by pointer and by keyboard.

  const share = (event, element) => {
    const box = element.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((value) => Math.max(0, Math.min(1, value)));
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || pointer !== null) return;
    event.preventDefault();
    pad.focus({ preventScroll: true });
    delete pad.dataset.keys;
    pad.setPointerCapture(event.pointerId);
    pointer = event.pointerId;
    begin(share(event, pad));
    show();
  });
  pad.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    // There can be several moves between two frames.
    const moves = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const move of moves.length ? moves : [event]) extend(share(move, pad));
    show();
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    changed();
  });
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  pad.addEventListener("keydown", (event) => {
    const move = ARROWS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (move) {
      const far = (event.shiftKey ? 4 : 1) / 28;
      cursor = cursor.map((value, i) => Math.max(0, Math.min(1, value + move[i] * far)));
      if (isDown) extend(cursor);
    } else if (event.key === " " || event.key === "Enter") {
      isDown = !isDown;
      if (isDown) begin(cursor);
    } else if (event.key === "Backspace") undo();
    else if (event.key === "Delete") clear();
    else return;
    event.preventDefault();
    pad.dataset.keys = "on";
    const prediction = show(), [column, row] = cursor.map((value) => Math.round(value * 28));
    announce(prediction, `Pen ${isDown ? "down" : "up"}, column ${column} of 28, row ${row}. `);
    keep();
  });
  pad.addEventListener("blur", () => { isDown = false; show(); });
  pad.addEventListener("focus", show);

  // ---- The other controls.

  find("clear").addEventListener("click", clear);
  find("undo").addEventListener("click", undo);
  section.addEventListener("keydown", (event) => {
    if (event.key !== "z" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    undo();
  });
  find("save").addEventListener("click", () => {
    drawPad(false);
    Object.assign(document.createElement("a"), { href: pad.toDataURL("image/png"), download: "drawing.png" }).click();
    drawPad();
  });
  // A setting, like the rate: not a step of undo.
  find("fit").addEventListener("change", () => {
    const withFit = (state) => state && { ...state, drawing: { ...state.drawing, fit: find("fit").checked } };
    [state, demonstration] = [withFit(state), withFit(demonstration)];
    changed();
  });
  find("pictures").addEventListener("change", show);
  rows.forEach((row, k) => {
    row("truth").addEventListener("change", () => { set({ truth: k }); changed(); });
    row().addEventListener("click", (event) => { if (!event.target.closest("label")) row("truth").click(); });
    for (const name of ["evidence", "step"]) if (row(name)) pointAt(row(name), k);
  });
  all("example").forEach((button, i) => {
    shadeGrey(button.querySelector("canvas"), examples[i].pixels);
    button.addEventListener("click", () => showExample(i));
  });
  find("rate").addEventListener("input", () => {
    const rate = Math.round(100 * find("rate").value) + RATES;
    state = { ...state, rate };
    if (demonstration) demonstration = { ...demonstration, rate };
    show();
    keep();
  });
  const steps = (times) => () => {
    set({});
    const before = learn(times), prediction = show();
    setStatus(`${data.classes[state.truth]}: from ${finePercent(before)} to ${finePercent(prediction.probabilities[state.truth])}.`);
    keep();
  };
  find("once").addEventListener("click", steps(1));
  find("often").addEventListener("click", steps(10));
  find("reset").addEventListener("click", () => { set({ lessons: [] }); relearn(); changed(); });

  // Chooses the pixel of the worked example, and its class if the picture belongs to one.
  function pointAt(picture, k) {
    for (const kind of ["pointermove", "pointerdown"]) picture.addEventListener(kind, (event) => {
      const [x, y] = share(event, picture), at = (share, side) => Math.min(side - 1, Math.floor(share * side));
      spot = { j: at(y, height) * width + at(x, width), k: k ?? spot.k };
      showChain(pixels(), classOf(pixels()));
    });
  }
  pointAt(find("seen"), null);
  find("seen").addEventListener("keydown", (event) => {
    const move = ARROWS[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const image = pixels(), [j] = showChain(image, classOf(image)), by = (at, side, step) => Math.max(0, Math.min(side - 1, at + step * (event.shiftKey ? 4 : 1)));
    spot.j = by(Math.floor(j / width), height, move[1]) * width + by(j % width, width, move[0]);
    find("spoken").textContent = showChain(image, classOf(image))[1];
  });
  find("chain-class").addEventListener("change", () => {
    spot.k = Number(find("chain-class").value);
    find("spoken").textContent = showChain(pixels(), classOf(pixels()))[1];
  });

  // ---- What the page does by itself. A click or a key ends it.

  const stop = () => { playing++; };
  for (const kind of ["pointerdown", "keydown"]) section.addEventListener(kind, stop, true);
  // Calls `frame` with the share of the time that has passed, until it is 1. Without motion, only
  // with 1.
  function play(milliseconds, frame) {
    const own = ++playing, start = performance.now();
    const next = () => {
      if (own !== playing) return;
      const share = isCalm() ? 1 : Math.min(1, (performance.now() - start) / milliseconds);
      frame(share);
      if (share < 1) setTimeout(next, 30);
    };
    next();
  }
  // Draws an example. It is no change of the state: the user's first stroke replaces it.
  function demonstrate() {
    const known = demonstrations(), class_ = data.classes.find((class_) => known[class_]);
    const before = demonstration ?? state, points = known[class_], total = points ? points.length - 1 : 0;
    demonstration = before;
    play(1500, (share) => {
      const drawn = share * total, whole = Math.floor(drawn), [from, to] = points ? [points[whole], points[Math.min(total, whole + 1)]] : [];
      const stroke = points && [...points.slice(0, whole + 1), from.map((value, i) => value + (drawn - whole) * (to[i] - value))].map(place);
      state = { ...before, drawing: { ...blank(before.drawing.fit), ...(points ? { strokes: [stroke] } : { example: 0 }) }, truth: null };
      const prediction = show();
      if (share === 1) announce(prediction, points ? "An example. Now draw your own. " : "");
    });
  }
  // Shows an image, and teaches it as class `truth` until the class of image `other` is misread.
  function teach({ example, truth, other, steps }) {
    const name = (class_) => data.classes[class_], shown = name(examples[example].label);
    set({ drawing: { ...blank(), example }, truth, rate: startRate, lessons: [] });
    relearn();
    // Undo goes back to before the whole lesson.
    let taken = -1;
    play(1000 + 180 * steps, (share) => {
      const due = Math.max(0, Math.round((share * (1000 + 180 * steps) - 1000) / 180));
      if (due === taken && share < 1) return;
      learn(due - Math.max(0, taken));
      taken = due;
      const prediction = show(), label = examples[other].label, read = model.predict(examples[other].pixels).class;
      setStatus(share < 1 ? `Step ${taken} on this ${shown} as ${name(truth)}: ${finePercent(prediction.probabilities[truth])}.`
        : `After ${steps} step${steps === 1 ? "" : "s"} on one ${shown}, the model reads the example ${name(label)} as ${name(read)}. ` +
          (other === example ? "The other examples show what that cost." : "Both share ink and background, so each step moved both."));
      if (share === 1) keep();
    });
  }
  // The lessons: a correct one that breaks another digit (a seven breaks nine, or else the pair
  // that needs the fewest steps), and a wrong one. Some models have no short lesson of the first
  // kind.
  function lessons() {
    const limit = 40, fewest = (list) => list.filter(({ steps }) => steps > 0 && steps <= limit).sort((a, b) => a.steps - b.steps)[0];
    const until = (example, truth, other, isDone) => ({ example, truth, other,
      steps: model.stepsUntil(isDone, examples[example].pixels, truth, examples[other].pixels, rateOf(startRate), limit) });
    const label = (i) => examples[i].label, each = examples.map((_, i) => i);
    const pairs = each.flatMap((a) => each.filter((b) => b !== a).map((b) => until(a, label(a), b, (class_) => class_ !== label(b))));
    const isClassic = ({ example, other }) => data.classes[label(example)] === "7" && data.classes[label(other)] === "9";
    const wrong = each.flatMap((i) => data.classes.map((_, k) => k).filter((k) => k !== label(i)).map((k) => until(i, k, i, (class_) => class_ === k)));
    const three = wrong.filter(({ example }) => data.classes[label(example)] === "3");
    return { break: fewest(pairs.filter(isClassic)) ?? fewest(pairs), fool: fewest(three) ?? fewest(wrong) };
  }
  if (examples.length) {
    const { break: broken, fool } = lessons(), name = (class_) => data.classes[class_];
    const offer = (part, lesson, text) => {
      find(part).hidden = !lesson;
      if (!lesson) return;
      find(part).textContent = text(name(examples[lesson.example].label));
      find(part).addEventListener("click", () => teach(lesson));
    };
    offer("break", broken, (shown) => `Teach it one ${shown} until ${name(examples[broken.other].label)} breaks`);
    offer("fool", fool, (shown) => `Teach it that this ${shown} is ${name(fool.truth)}`);
    find("watch").addEventListener("click", demonstrate);
  }

  // ---- Links. The address has the state after each change, and `#board=` alone is an empty board.

  const link = () => encode(demonstration ?? state);
  function keep() {
    clearTimeout(saving);
    saving = setTimeout(() => {
      const text = link();
      if (text && !demonstration) history.replaceState(history.state, "", "#board=" + text);
    }, 300);
  }
  function restore() {
    const found = location.hash.match(/^#board=(.*)$/);
    if (!found) return false;
    stop();
    const restored = found[1] ? decode(found[1], data.classes.length, examples.length) : { ...state, drawing: blank(), truth: null, lessons: [] };
    demonstration = null;
    if (restored) {
      [state, past] = [restored, []];
      relearn();
    }
    announce(show(), restored ? "" : "This link has no drawing that this page can read. ");
    pad.scrollIntoView({ block: "center" });
    return true;
  }
  find("link").addEventListener("click", async () => {
    const text = link();
    if (!text) { setStatus("These are too many drawings and steps for a link."); return; }
    history.replaceState(history.state, "", "#board=" + text);
    // Without permission to copy, the address bar has the link.
    const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
    setStatus(copied ? "The link to this board is copied." : "The address bar has the link to this board.");
  });
  addEventListener("hashchange", restore);

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
  if (!restore() && examples.length) {
    // In the report, the board is far down: the example waits until it is visible.
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      setTimeout(() => { if (isEmpty() && !past.length && !playing) demonstrate(); }, 700);
    }, { threshold: 0.6 });
    seen.observe(pad);
  }
  return { model, pixels, rate: () => rateOf(state.rate) };
}
