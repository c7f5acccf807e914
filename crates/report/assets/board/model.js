// The model of the drawing board, in double precision, with the formulas on the page. A test
// compares its numbers with the program's.
"use strict";

// In `weight`, the class varies fastest. The logistic model has one column; its logits are 0 and z.
function classifier({ kind, classes, weight, bias, scale, offset }) {
  const columns = bias.length, d = weight.length / columns, k = classes.length;
  const each = (value) => (Array.isArray(value) ? value : new Array(d).fill(value));
  const a = each(scale), c = each(offset), trained = { weight: weight.slice(), bias: bias.slice() };
  const w = weight.slice(), b = bias.slice();
  const features = (pixels) => Float64Array.from(pixels, (pixel, j) => a[j] * pixel + c[j]);
  // The column of W for a class. The first class of the logistic model has none: its logit is 0.
  const column = (class_) => (kind === "logistic" ? class_ - 1 : class_);
  const hasWeights = (class_) => column(class_) >= 0;

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
  const evidence = (pixels, class_) => Float64Array.from(pixels, (pixel, j) => a[j] * pixel * w[j * columns + column(class_)]);
  const weights = (class_) => Float64Array.from({ length: d }, (_, j) => w[j * columns + column(class_)]);
  // dC/dz for each class: p - y. For the class y, it is minus the sum of all others, which does not
  // cancel.
  function residuals(pixels, y) {
    const p = predict(pixels).probabilities;
    return p.map((own, k) => (k === y ? -p.reduce((sum, p, i) => (i === y ? sum : sum + p), 0) : own));
  }
  // One step of gradient descent on one image: w_jk -= rate x_j (p_k - y_k), b_k -= rate (p_k -
  // y_k).
  function step(pixels, y, rate) {
    const r = residuals(pixels, y), columnResiduals = kind === "logistic" ? [r[1]] : r;
    features(pixels).forEach((x, j) => { for (let i = 0; i < columns; i++) w[j * columns + i] -= rate * x * columnResiduals[i]; });
    columnResiduals.forEach((r, i) => { b[i] -= rate * r; });
  }
  // The chain rule for the weight of pixel j and class k: dC/dp, dp/dz, dz/dw, their product, and
  // the closed form. If p underflows to 0, the product is 0 times infinity, and only the closed
  // form has a value.
  function chain(pixels, y, j, k) {
    const { probabilities: p } = predict(pixels), residual = residuals(pixels, y)[k], x = a[j] * pixels[j] + c[j];
    const factors = kind === "logistic" ? [y === 1 ? -1 / p[1] : 1 / p[0], p[0] * p[1], x]
      : [-1 / p[y], -p[y] * residual, x];
    return { factors, product: factors[0] * factors[1] * factors[2], residual, x };
  }
  // Along one image, a step changes the logits z of any image by -rate (p - y) (x . x' + 1). So the
  // steps that a lesson needs can be counted without changing the weights. Infinity if they exceed
  // the limit.
  function stepsUntil(isDone, pixels, y, other, rate, limit) {
    const x = features(pixels), of = features(other);
    const [own, shared] = [x, of].map((of) => x.reduce((sum, x, j) => sum + x * of[j], 1));
    let z = predict(pixels).logits, seen = predict(other).logits;
    for (let steps = 0; steps <= limit; steps++) {
      if (isDone(seen.indexOf(Math.max(...seen)))) return steps;
      const highest = Math.max(...z), powers = z.map((z) => Math.exp(z - highest)), sum = powers.reduce((sum, power) => sum + power);
      const r = powers.map((power, k) => (hasWeights(k) ? power / sum - (k === y ? 1 : 0) : 0));
      [z, seen] = [z.map((z, k) => z - rate * r[k] * own), seen.map((z, k) => z - rate * r[k] * shared)];
    }
    return Infinity;
  }
  function reset() { w.set(trained.weight); b.set(trained.bias); }
  return { k, d, features, hasWeights, predict, evidence, weights, residuals, step, chain, stepsUntil, reset, parameters: () => ({ weight: [...w], bias: [...b] }) };
}
