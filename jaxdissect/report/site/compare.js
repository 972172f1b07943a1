// Two sides beside each other: runs, or layers of runs; what both detect, and what only one does.

"use strict";

(() => {
  const page = jaxdissectPage;
  const { el } = page;

  const PAIRS = 24;
  const CHIPS = 40;

  // A side as "run" (all its layers) or "run:3" (one of them).
  const sideOf = (text) => {
    const [id, layerText] = (text ?? "").split(":");
    const run = page.runOf(id);
    if (run === undefined) return null;
    const layer = layerText === undefined ? null : Number(layerText);
    if (layer !== null && !run.layers[layer]) return null;
    const short = page.site.runs.length > 1 ? run.name : "All layers";
    const name =
      layer === null
        ? short
        : page.site.runs.length > 1
          ? `${run.name}, ${run.layers[layer].name}`
          : run.layers[layer].name;
    return { text, run, layer, name };
  };

  const choices = () =>
    page.site.runs.flatMap((run) => {
      const prefix = page.site.runs.length > 1 ? `${run.name}, ` : "";
      const layers =
        run.layers.length > 1
          ? run.layers.map((layer, k) => [`${run.id}:${k}`, `${prefix}${layer.name}`])
          : [];
      return [
        [run.id, `${prefix}${run.layers.length > 1 ? "all layers" : run.layers[0].name}`],
        ...layers,
      ];
    });

  const defaults = () => {
    const [first, second] = [
      page.mainRuns()[0],
      page.mainRuns()[1] ?? page.randomRunOf(page.mainRuns()[0]),
    ];
    if (second) return [first.id, second.id];
    return first.layers.length > 1
      ? [`${first.id}:0`, `${first.id}:${first.layers.length - 1}`]
      : [first.id, first.id];
  };

  const keyOf = (run, concept) =>
    `${run.vocabulary.names[concept]}\n${run.vocabulary.categories[concept]}`;

  // Detectors by concept, of the concepts that the other side knows too.
  const detected = (side, table, other) => {
    const known = new Set(other.run.vocabulary.names.map((_, id) => keyOf(other.run, id)));
    const found = new Map();
    let units = 0;
    let unknown = 0;
    for (let i = 0; i < table.size; i += 1) {
      if (side.layer !== null && table.layer[i] !== side.layer) continue;
      units += 1;
      if (!page.isDetector(table, i, side.limit)) continue;
      const key = keyOf(side.run, table.concept[i]);
      if (!known.has(key)) {
        unknown += 1;
        continue;
      }
      if (!found.has(key)) found.set(key, []);
      found.get(key).push(i);
    }
    for (const list of found.values()) list.sort((i, j) => table.iou[j] - table.iou[i] || i - j);
    return { units, unknown, found };
  };

  const categoryOf = (key) => key.split("\n")[1];
  const nameOf = (key) => key.split("\n")[0];

  const tally = ({ units, found }) => {
    const byCategory = {};
    let detectors = 0;
    for (const [key, list] of found) {
      const counts = (byCategory[categoryOf(key)] ??= [0, 0]);
      counts[0] += list.length;
      counts[1] += 1;
      detectors += list.length;
    }
    return { units, detectors, concepts: found.size, by_category: byCategory };
  };

  // The rule of `jaxdissect.compare`: detectors of one concept, paired in the order of their IoU.
  const RULE =
    "Units are matched by concept: the best detector of one side with the best of the other, the second with the second, and so on.";

  // Why two runs cannot be compared, as `jaxdissect.compare` refuses them; null where they can.
  const unlike = (a, b) => {
    const [first, second] = [a.run.preset ?? {}, b.run.preset ?? {}];
    for (const [key, what] of [
      ["fraction", "fractions of active pixels"],
      ["scope", "scopes"],
    ]) {
      if (first[key] == null || second[key] == null || first[key] === second[key]) continue;
      return `their presets have other ${what}, ${first[key]} in ${a.name} and ${second[key]} in ${b.name}.`;
    }
    return null;
  };

  const computed = (a, b, tables) => {
    const refused = unlike(a, b);
    if (refused) return { refused };
    const [foundA, foundB] = [detected(a, tables[0], b), detected(b, tables[1], a)];
    const alone = (own, other, table) =>
      [...own.found]
        .filter(([key]) => !other.found.has(key))
        .map(([key, list]) => [
          nameOf(key),
          categoryOf(key),
          list.length,
          table.layer[list[0]],
          table.unit[list[0]],
          table.iou[list[0]],
        ]);
    const matched = [];
    let both = 0;
    for (const [key, list] of foundA.found) {
      const others = foundB.found.get(key);
      if (!others) continue;
      both += 1;
      for (let k = 0; k < Math.min(list.length, others.length); k += 1) {
        matched.push([
          tables[0].layer[list[k]],
          tables[0].unit[list[k]],
          tables[1].layer[others[k]],
          tables[1].unit[others[k]],
          null,
        ]);
      }
    }
    const notes = [];
    const left = foundA.unknown + foundB.unknown;
    if (left)
      notes.push(
        `${page.count(left, "detector")} of concepts that only one vocabulary has ${left === 1 ? "is" : "are"} left out.`,
      );
    if (a.run.min_iou !== b.run.min_iou)
      notes.push(`The limits of IoU differ; both sides are counted above ${a.limit}.`);
    return {
      rule: RULE,
      notes,
      refused: null,
      a: tally(foundA),
      b: tally(foundB),
      both,
      only_a: alone(foundA, foundB, tables[0]),
      only_b: alone(foundB, foundA, tables[1]),
      matched,
    };
  };

  const flipped = (found) => ({
    ...found,
    a: found.b,
    b: found.a,
    only_a: found.only_b,
    only_b: found.only_a,
    matched: found.matched?.map(([la, ua, lb, ub, shared, ia, ib, ...concept]) => [
      ...[lb, ub, la, ua, shared, ib, ia],
      ...concept,
    ]),
  });

  const written = async (a, b) => {
    if (a.layer !== null || b.layer !== null) return null;
    for (const [first, second] of page.site.comparisons ?? []) {
      const key = `${first}/${second}`;
      if (first === a.run.id && second === b.run.id) return page.need("comparison", key);
      if (first === b.run.id && second === a.run.id)
        return flipped(await page.need("comparison", key));
    }
    return null;
  };

  const sideTile = (side, found, letter) =>
    el(
      "div",
      { class: `side ${letter}` },
      el(
        "h2",
        null,
        el("span", { class: "letter" }, letter.toUpperCase()),
        page.breakable(side.name),
      ),
      el(
        "div",
        { class: "tiles" },
        page.tile(
          page.count(found.detectors),
          `of ${page.count(found.units, "unit")} are detectors`,
          page.percent(found.detectors / Math.max(1, found.units)),
        ),
        page.tile(page.count(found.concepts), "distinct concepts"),
      ),
    );

  const categoryRows = (found, which) => {
    const used = page.site.categories.filter(
      ({ name }) => found.a.by_category[name]?.[which] || found.b.by_category[name]?.[which],
    );
    return used.map(({ name, color }) => ({
      head: [page.dot(name), name],
      parts: [{ size: found.a.by_category[name]?.[which] ?? 0, color, title: `A, ${name}` }],
      number: page.count(found.a.by_category[name]?.[which] ?? 0),
      below: {
        parts: [
          {
            size: found.b.by_category[name]?.[which] ?? 0,
            color,
            class: "second",
            title: `B, ${name}`,
          },
        ],
        number: page.count(found.b.by_category[name]?.[which] ?? 0),
      },
    }));
  };

  const onlyList = (side, found, title) => {
    const list = el("ul", { class: "chips" });
    const order = [...found].sort((p, q) => q[2] - p[2] || q[5] - p[5]);
    const more = el(
      "button",
      { type: "button", class: "quiet" },
      `Show all ${page.count(order.length)}`,
    );
    const draw = (number) => {
      more.hidden = number >= order.length;
      list.replaceChildren(
        ...order.slice(0, number).map(([name, category, number, layer, unit, iou]) =>
          el(
            "li",
            null,
            page.link(
              page.address("unit", side.run.id, layer, unit),
              {
                class: "chip",
                title: `${category}; best: ${side.run.layers[layer].name} unit ${unit}, IoU ${page.iou(iou)}`,
              },
              page.dot(category),
              name,
              el("small", null, page.count(number)),
            ),
          ),
        ),
      );
    };
    more.addEventListener("click", () => draw(order.length));
    draw(order.length <= CHIPS + 10 ? order.length : CHIPS);
    return el(
      "section",
      null,
      el("h2", null, `${title}: ${page.count(found.length, "concept")}`),
      found.length ? [list, more] : el("p", { class: "note" }, "None."),
    );
  };

  // The layers of two runs, with what was stated, or refused, of the runs as a whole.
  const betweenLayers = async (a, b, tables) => {
    const found = computed(a, b, tables);
    if (found.refused || a.run === b.run) return found;
    const whole = await written({ run: a.run, layer: null }, { run: b.run, layer: null });
    if (!whole) return found;
    return { ...found, refused: whole.refused, notes: [...whole.notes, ...found.notes] };
  };

  // What two units are matched by, where that is not what their cards name: units are taken for
  // the best of the concepts that both vocabularies have.
  const matchedBy = (a, b, tables, i, j, [, , , , , first, second, name, category]) => {
    if (name === undefined) return null;
    const key = `${name}\n${category}`;
    if (keyOf(a.run, tables[0].concept[i]) === key && keyOf(b.run, tables[1].concept[j]) === key)
      return null;
    return el(
      "span",
      { class: "shared" },
      `matched by ${name}, which both know: IoU ${page.iou(first)} and ${page.iou(second)}`,
    );
  };

  const pairs = (a, b, tables, found) => {
    const index = (table, layer, unit) => table.starts[layer] + unit;
    const lower = ({ pair, i, j }) =>
      Math.min(pair[5] ?? tables[0].iou[i], pair[6] ?? tables[1].iou[j]);
    const order = found.matched
      .map((pair) => ({
        pair,
        i: index(tables[0], pair[0], pair[1]),
        j: index(tables[1], pair[2], pair[3]),
      }))
      .sort((p, q) => lower(q) - lower(p));
    const list = el("ul", { class: "pairs" });
    const more = el("button", { type: "button", class: "quiet" });
    const draw = (number) => {
      list.replaceChildren(
        ...order
          .slice(0, number)
          .map(({ pair, i, j }) =>
            el(
              "li",
              { class: "pair" },
              el("span", { class: "side-name" }, "A"),
              el("span", { class: "side-name" }, "B"),
              page.unitCard(tables[0], i),
              page.unitCard(tables[1], j),
              matchedBy(a, b, tables, i, j, pair),
              page.isNumber(pair[4]) &&
                el("span", { class: "shared" }, `${page.count(pair[4], "top image")} in common`),
            ),
          ),
      );
      more.hidden = number >= order.length;
      more.textContent = `Show all ${page.count(order.length)} pairs`;
    };
    more.addEventListener("click", () => draw(order.length));
    draw(PAIRS);
    return el(
      "section",
      null,
      el("h2", null, `Matched units: ${page.count(order.length, "pair")}`),
      page.prose(found.rule, { class: "note" }),
      list,
      more,
    );
  };

  page.views.compare = {
    async draw(main, { parts }) {
      const [first, second] = defaults();
      const a = sideOf(parts[0]) ?? sideOf(first);
      const b = sideOf(parts[1]) ?? sideOf(second);
      a.limit = b.limit = Math.max(a.run.min_iou, b.run.min_iou);
      const go = (left, right) => (location.hash = page.address("compare", left, right));
      const all = choices();
      page.into(
        main,
        page.heading("Compare"),
        el(
          "form",
          { class: "filters sides", on: { submit: (event) => event.preventDefault() } },
          page.select("A", all, a.text, (value) => go(value, b.text)),
          el(
            "button",
            {
              type: "button",
              class: "swap",
              "aria-label": "Exchange A and B",
              on: { click: () => go(b.text, a.text) },
            },
            "\u21c4",
          ),
          page.select("B", all, b.text, (value) => go(a.text, value)),
        ),
      );
      if (a.text === b.text) {
        page.into(main, el("p", { class: "note" }, "Choose two different sides."));
        return;
      }
      const tables = await Promise.all([page.table(a.run), page.table(b.run)]);
      const found = (await written(a, b)) ?? (await betweenLayers(a, b, tables));
      if (found.refused) {
        page.into(
          main,
          page.prose(`These cannot be compared: ${found.refused}`, { class: "problem" }),
        );
        return;
      }
      page.into(
        main,
        el("div", { class: "columns two" }, sideTile(a, found.a, "a"), sideTile(b, found.b, "b")),
        ...(found.notes ?? []).map((note) => page.prose(note, { class: "note" })),
        el(
          "section",
          null,
          el("h2", null, "By category"),
          el(
            "ul",
            { class: "legend" },
            el("li", null, el("span", { class: "sample a" }), "A, above"),
            el("li", null, el("span", { class: "sample b" }), "B, below"),
          ),
          el(
            "div",
            { class: "columns" },
            page.bars("Detectors", categoryRows(found, 0), {
              columns: ["Category", "Detectors of A and of B"],
            }),
            page.bars("Distinct concepts", categoryRows(found, 1), {
              columns: ["Category", "Concepts of A and of B"],
            }),
          ),
        ),
        el(
          "p",
          null,
          `${page.count(found.both, "concept")} ${found.both === 1 ? "has" : "have"} detectors on both sides.`,
        ),
        el(
          "div",
          { class: "columns" },
          onlyList(a, found.only_a, "Only A"),
          onlyList(b, found.only_b, "Only B"),
        ),
        pairs(a, b, tables, found),
      );
    },
  };
})();
