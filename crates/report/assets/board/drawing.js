// From strokes to the image that the model gets, and pictures of signed values.
"use strict";

// Converts strokes in the unit square to an image like MNIST's: scaled to 20 of 28 pixels, with its
// centre of mass in the middle.
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

// Draws signed values in two colours, for and against. The strength of the colour is the square
// root of the value, so that small values are visible. The ink is grey in the background.
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
