// What was painted on every sample, and the way back.

export class History {
  // Lists of strokes by sample; lists are never changed, so that each is one step of the history.
  #steps = new Map();

  #of(sample) {
    if (!this.#steps.has(sample)) this.#steps.set(sample, { lists: [[]], now: 0 });
    return this.#steps.get(sample);
  }

  strokes(sample) {
    const { lists, now } = this.#of(sample);
    return lists[now];
  }

  // Make a list of strokes the present one; what had been undone is forgotten.
  push(sample, strokes) {
    const steps = this.#of(sample);
    steps.lists.splice(steps.now + 1, Infinity, strokes);
    steps.now += 1;
  }

  move(sample, by) {
    const steps = this.#of(sample);
    steps.now = Math.min(Math.max(steps.now + by, 0), steps.lists.length - 1);
  }

  canMove(sample, by) {
    const { lists, now } = this.#of(sample);
    return lists[now + by] !== undefined;
  }
}

// The document that the server renders, and that Python replays. `base` says which generator it is;
// every stroke has its paint with it, and equal paints go under one name.
export function documentOf(base, sample, strokes) {
  const paints = {};
  const named = strokes.map(({ paint, ...stroke }) => {
    if (paint === null) return { ...stroke, paint: null };
    const text = JSON.stringify([paint.units, paint.values]);
    let name = paint.name;
    for (let number = 2; paints[name] && paints[name].text !== text; number += 1) {
      name = `${paint.name} (${number})`;
    }
    paints[name] = { text, units: paint.units, values: paint.values };
    return { ...stroke, paint: name };
  });
  const plain = Object.entries(paints).map(([name, { units, values }]) => [name, { units, values }]);
  return { ...base, example: sample, paints: Object.fromEntries(plain), strokes: named };
}

// The strokes of a document, each with its paint.
export function strokesOf({ paints, strokes }) {
  return strokes.map(({ paint, ...stroke }) => ({
    ...stroke,
    paint: paint === null ? null : { name: paint, ...paints[paint] },
  }));
}
