// Shows a figure's exact values in a tooltip, and shows or hides curves by their legend. The figures are complete without this script.
"use strict";
for (const figure of document.querySelectorAll("figure")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const drawing = figure.querySelector(".drawing");
  const svg = drawing.querySelector("svg");
  const tip = drawing.querySelector(".tip");
  const view = data.series ? chart(figure, svg, data) : pictures(svg, data);

  const place = (x, y, text) => {
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const room = drawing.clientWidth - tip.offsetWidth;
    tip.style.left = Math.max(0, Math.min(x + 14, room)) + "px";
    tip.style.top = Math.max(0, y - tip.offsetHeight - 10) + "px";
  };
  // Converts screen pixels to the units of the drawing.
  const units = (event) => {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale, scale];
  };
  const showTip = (event) => {
    const [x, y, scale] = units(event);
    place(x / scale, y / scale, view.at(x, y));
  };
  const leave = () => { view.leave(); place(0, 0, ""); };
  drawing.addEventListener("pointermove", showTip);
  drawing.addEventListener("pointerdown", showTip);
  // After a touch, the tooltip stays until the next touch elsewhere, so that it can be read.
  drawing.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") leave(); });
  document.addEventListener("pointerdown", (event) => { if (!drawing.contains(event.target)) leave(); });
  drawing.addEventListener("blur", leave);
  drawing.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape") leave();
    if (!moves[event.key]) return;
    event.preventDefault();
    const [x, y, text] = view.step(...moves[event.key]);
    const scale = svg.viewBox.baseVal.width / svg.getBoundingClientRect().width;
    place(x / scale, y / scale, text);
  });
}

function element(parent, name, attributes) {
  const child = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) child.setAttribute(key, attributes[key]);
  return parent.appendChild(child);
}

function chart(figure, svg, { plot: [left, top, right, bottom], x: xAxis, y: yAxis, series }) {
  const map = (axis, value) => (axis.log ? Math.log10(value) : value);
  const share = (axis, value) => (map(axis, value) - map(axis, axis.from)) / (map(axis, axis.to) - map(axis, axis.from));
  const place = ([x, y], shift = 0) => [left + (share(xAxis, x) + shift) * (right - left), bottom - share(yAxis, y) * (bottom - top)];
  const write = (axis, value) => {
    const scaled = axis.percent ? 100 * value : value;
    return String(Number(scaled.toPrecision(7))) + (axis.percent ? " %" : "");
  };
  const shown = series.map(() => true);
  figure.querySelectorAll("[data-series]").forEach((box) => {
    const { color } = series[box.dataset.series], marks = svg.querySelectorAll(`[stroke="${color}"], [fill="${color}"]`);
    box.addEventListener("change", () => {
      shown[box.dataset.series] = box.checked;
      marks.forEach((mark) => mark.classList.toggle("off", !box.checked));
    });
  });

  const line = element(svg, "line", { class: "at off", y1: top, y2: bottom });
  const dots = series.map(({ color }) => element(svg, "circle", { class: "point off", r: 3.5, stroke: color }));
  const leave = () => [line, ...dots].forEach((mark) => mark.classList.add("off"));
  // Describes the point of each visible curve that is nearest in x, if it is within 8 units.
  const describe = (at) => {
    const nearest = series.map(({ points, shift }, i) => {
      if (!shown[i] || !points.length) return null;
      const distance = (k) => Math.abs(place(points[k], shift)[0] - at);
      const k = points.reduce((best, _, k) => (distance(k) < distance(best) ? k : best), 0);
      return distance(k) <= 8 ? k : null;
    });
    dots.forEach((dot, i) => {
      const point = nearest[i] !== null && place(series[i].points[nearest[i]], series[i].shift);
      const inside = point && !series[i].upright && point[1] >= top - 1 && point[1] <= bottom + 1;
      dot.classList.toggle("off", !inside);
      if (inside) { dot.setAttribute("cx", point[0]); dot.setAttribute("cy", point[1]); }
    });
    line.classList.remove("off");
    line.setAttribute("x1", at);
    line.setAttribute("x2", at);
    return nearest.map((k, i) => {
      if (k === null) return null;
      const [x, y] = series[i].points[k], band = series[i].band[k];
      const spread = band === undefined ? "" : " ± " + write(yAxis, band);
      const value = series[i].upright ? "" : `: ${write(yAxis, y)}${spread}`;
      return `${series[i].name}\n${xAxis.label} ${write(xAxis, x)}${value}`;
    }).filter(Boolean).join("\n");
  };
  const at = (x, y) => {
    if (x < left - 8 || x > right + 8 || y < top || y > bottom) { leave(); return ""; }
    return describe(Math.max(left, Math.min(right, x)));
  };
  let current = 0, k = -1;
  const step = (dx, dy) => {
    const visible = series.map((_, i) => i).filter((i) => shown[i] && series[i].points.length);
    if (!visible.length) return [0, 0, ""];
    current = visible[(Math.max(0, visible.indexOf(current)) + dy + visible.length) % visible.length];
    k = Math.max(0, Math.min(series[current].points.length - 1, k + dx));
    const [x, y] = place(series[current].points[k], series[current].shift);
    return [x, Math.max(top, y), describe(x)];
  };
  return { at, step, leave };
}

function pictures(svg, { columns, size: [height, width], rows }) {
  const images = [...svg.querySelectorAll("image")].map((image) => ["x", "y", "width", "height"].map((key) => Number(image.getAttribute(key))));
  const mark = element(svg, "rect", { class: "at off" });
  const leave = () => mark.classList.add("off");
  const pixel = (i, x, y) => {
    const [left, top, wide, high] = images[i], zoom = wide / width;
    const row = rows[Math.floor(i / columns.length)], column = i % columns.length;
    for (const [key, value] of [["x", left + x * zoom], ["y", top + y * zoom], ["width", zoom], ["height", zoom]]) mark.setAttribute(key, value);
    mark.classList.remove("off");
    const weight = (row.classes[column][y * width + x] / 1e4).toFixed(4);
    return `${row.name}, class ${columns[column]}\nrow ${y}, column ${x}: weight ${weight}`;
  };
  const at = (x, y) => {
    const i = images.findIndex(([left, top, wide, high]) => x >= left && x < left + wide && y >= top && y < top + high);
    if (i < 0) { leave(); return ""; }
    const [left, top, wide, high] = images[i];
    return pixel(i, Math.floor(((x - left) / wide) * width), Math.floor(((y - top) / high) * height));
  };
  // Arrow keys move over all pixels of a row of pictures, and between rows of pixels.
  let column = -1, line = Math.floor(height / 2);
  const step = (dx, dy) => {
    column = Math.max(0, Math.min(columns.length * width - 1, column + dx));
    line = Math.max(0, Math.min(rows.length * height - 1, line + dy));
    const i = Math.floor(line / height) * columns.length + Math.floor(column / width);
    const [left, top, wide] = images[i], zoom = wide / width;
    return [left + (column % width) * zoom, top + (line % height) * zoom, pixel(i, column % width, line % height)];
  };
  return { at, step, leave };
}
