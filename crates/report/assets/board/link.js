// The state of the board as text for a link: the drawing, the correct class, the learning rate, and
// all steps since the training, each with its drawing. Bytes in base64url: counts and indices are
// LEB128 numbers, points of strokes two bytes each.
"use strict";

// Rates are powers of ten in steps of a hundredth, from 10^-4 to 1: an integer from 0 to 400.
const RATES = 400, rateOf = (index) => 10 ** ((index - RATES) / 100);
// A link never makes the page compute more than these.
const LIMIT = { drawings: 64, strokes: 200, points: 4000, lessons: 200, steps: 20000, text: 16000 };

// Returns the text, or null if the state is too large for a link.
function encode({ drawing, truth, rate, lessons }) {
  const drawings = [...new Set([...lessons.map((lesson) => lesson.drawing), drawing])], bytes = [];
  const put = (value) => { for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128); bytes.push(value); };
  put(1);
  put(drawings.length);
  for (const { strokes, example, fit } of drawings) {
    put(fit ? 1 : 0);
    put(example === null ? 0 : example + 1);
    put(strokes.length);
    for (const stroke of strokes) {
      put(stroke.length);
      for (const point of stroke) bytes.push(...point.map((value) => Math.round(value * 255)));
    }
  }
  put(drawings.indexOf(drawing));
  put(truth === null ? 0 : truth + 1);
  put(rate);
  put(lessons.length);
  for (const { drawing, truth, rate, times } of lessons) [drawings.indexOf(drawing), truth, rate, times].forEach(put);
  const text = btoa(String.fromCharCode(...bytes.slice(0, LIMIT.text))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
  return decode(text, Infinity, Infinity) && text;
}

// Returns the state, or null for a text that is not one of this model's states.
function decode(text, classes, examples) {
  try {
    const all = atob(text.replace(/-/g, "+").replace(/_/g, "/")), allowed = { ...LIMIT };
    let next = 0;
    const check = (isValid) => { if (!isValid) throw new RangeError("not a state of the board"); };
    const byte = () => { check(next < all.length); return all.charCodeAt(next++); };
    const take = (largest) => {
      let value = 0;
      for (let shift = 0; ; shift += 7) {
        const part = byte();
        value += (part & 127) * 2 ** shift;
        check(value <= largest && shift < 28);
        if (part < 128) return value;
      }
    };
    const count = (what) => { const n = take(allowed[what]); allowed[what] -= n; return n; };
    const list = (n, item) => Array.from({ length: n }, item);
    check(take(1) === 1);
    const drawings = list(count("drawings"), () => {
      const fit = take(1) === 1, example = take(examples) - 1;
      const strokes = list(count("strokes"), () => list(count("points"), () => [byte() / 255, byte() / 255]));
      check(strokes.every((stroke) => stroke.length) && (example < 0 || !strokes.length));
      return { strokes, example: example < 0 ? null : example, fit };
    });
    const one = () => drawings[take(drawings.length - 1)], drawing = one(), truth = take(classes) - 1, rate = take(RATES);
    const isEmpty = ({ strokes, example }) => !strokes.length && example === null;
    const lessons = list(count("lessons"), () => ({ drawing: one(), truth: take(classes - 1), rate: take(RATES), times: count("steps") }));
    check(next === all.length && lessons.every((lesson) => !isEmpty(lesson.drawing)));
    return { drawing, truth: truth < 0 ? null : truth, rate, lessons };
  } catch {
    return null;
  }
}
