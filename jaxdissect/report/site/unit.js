// One unit: what lights it up, how well that agrees with every concept, and what it matters for.

"use strict";

(() => {
  const page = jaxdissectPage;
  const { el } = page;

  const BLOCK = 64;
  const SHOWN_SCORES = 12;
  const RELATED = 12;

  const part = (title, text, ...content) =>
    el(
      "section",
      null,
      el("h2", null, title),
      text && page.prose(text, { class: "note" }),
      content,
    );

  const activeShare = (run, mask) =>
    mask === null || mask === undefined
      ? ""
      : `, active on ${page.percent(page.shareOf(mask, run.photos.mask))}`;

  const photoList = (run, items, describe, small) =>
    el(
      "ul",
      { class: small ? "photos small" : "photos" },
      items.map((item, k) =>
        el(
          "li",
          null,
          page.lit(run, item, { alt: describe(item, k), eager: k < 8 && !small }),
          page.isNumber(item.peak) && el("span", { class: "peak" }, page.value(item.peak)),
        ),
      ),
    );

  const edgesOf = ({ edges }) =>
    Array.isArray(edges)
      ? edges
      : Array.from(
          { length: edges.bins + 1 },
          (_, i) => edges.low + ((edges.high - edges.low) * i) / edges.bins,
        );

  const histogramOf = (table, i, histogram) =>
    part(
      "Activation",
      histogram.text ??
        (histogram.examples
          ? `All values on ${page.count(histogram.examples, "image")}; the height is logarithmic.`
          : "The height is logarithmic."),
      page.histogram({
        edges: edgesOf(histogram),
        counts: histogram.counts,
        line: table.threshold[i],
        lineLabel: `threshold ${page.value(table.threshold[i])}`,
        label:
          `How often the unit has which value; it is over its threshold ` +
          `${page.value(table.threshold[i])} on ${page.percent(table.active[i])} of all pixels`,
      }),
    );

  // Where annotation is partial, only these pixels count against a concept.
  const SCOPES = {
    annotated_images: " in images with annotations of the concept's category",
    annotated_pixels: " with annotations of the concept's category",
  };
  const within = (run) => SCOPES[run.preset?.scope] ?? "";

  const scoresOf = (table, scores) => {
    const { run } = table;
    const columns = [
      ["IoU", scores.iou, 1e-4],
      ["precision", scores.precision, 1e-3],
      ["recall", scores.recall, 1e-3],
    ].filter(([, values]) => values);
    const limit = Math.max(run.min_iou, ...scores.iou.map((value) => value * 1e-4));
    const best = scores.concepts.slice(0, SHOWN_SCORES).map((concept, k) => ({
      head: page.link(page.address("concept", run.id, concept), null, page.conceptOf(run, concept)),
      parts: [
        {
          size: scores.iou[k] * 1e-4,
          color: page.colorOf(page.categoryOf(run, concept)),
          title: `${page.categoryOf(run, concept)}, IoU ${page.iou(scores.iou[k] * 1e-4)}`,
        },
      ],
      number: page.iou(scores.iou[k] * 1e-4),
    }));
    const whole = el(
      "details",
      null,
      el(
        "summary",
        null,
        `${scores.more ? "The best" : "All"} ${page.count(scores.concepts.length, "concept")}`,
      ),
    );
    whole.addEventListener(
      "toggle",
      () =>
        whole.append(
          page.sortable({
            caption:
              columns.length > 1
                ? `Precision: the share of the active pixels${within(run)} that show the concept. Recall: the share of the concept's pixels on which the unit is active.`
                : "IoU with every concept",
            header: ["concept", "category", ...columns.map(([name]) => name)],
            rows: scores.concepts.map((concept, k) => [
              page.conceptOf(run, concept),
              page.categoryOf(run, concept),
              ...columns.map(([, values, scale]) =>
                values[k] === null ? null : Math.round(values[k]) * scale,
              ),
            ]),
          }),
        ),
      { once: true },
    );
    return part(
      "Agreement with concepts",
      `IoU with each concept; the line is the limit, ${run.min_iou}.`,
      scores.concepts.length
        ? page.bars("Concepts, best first", best, {
            limit,
            mark: run.min_iou,
            columns: ["Concept", "IoU"],
          })
        : el("p", null, "No concept has an IoU of 0.0005 or more with it."),
      scores.concepts.length > SHOWN_SCORES && whole,
      scores.concepts.length <= SHOWN_SCORES &&
        scores.concepts.length > 0 &&
        columns.length > 1 &&
        whole,
    );
  };

  const changesOf = (importance) =>
    part(
      "Importance to classes",
      null,
      page.sortable({
        caption: importance.caption,
        header: ["class", "change"],
        rows: importance.rows.map(([name, change, low = null, high = null]) => [
          name,
          { value: change, low, high },
        ]),
      }),
    );

  // The list the unit was opened from, if it is in it; else its layer.
  const neighbours = (table, i) => {
    const { listed } = page;
    const order =
      listed?.run === table.run.id && listed.order.includes(i)
        ? listed.order
        : Array.from(
            { length: table.run.layers[table.layer[i]].units },
            (_, k) => table.starts[table.layer[i]] + k,
          );
    const place = order.indexOf(i);
    return { before: order[place - 1], after: order[place + 1], place, number: order.length };
  };

  const steps = (table, i) => {
    const { before, after, place, number } = neighbours(table, i);
    const step = (to, key, label, arrow) =>
      to === undefined
        ? el("span", { class: "step off", "aria-hidden": "true" }, arrow)
        : page.link(
            page.unitAddress(table, to),
            { class: "step", rel: key, "aria-label": label },
            arrow,
          );
    return el(
      "nav",
      { class: "steps", "aria-label": "Neighbouring units" },
      step(before, "prev", "Previous unit", "\u2190"),
      el("span", null, `${page.count(place + 1)} of ${page.count(number)}`),
      step(after, "next", "Next unit", "\u2192"),
    );
  };

  const ways = [
    ["lit", "Lit"],
    ["outline", "Outline"],
    ["plain", "Plain"],
  ];

  page.views.unit = {
    async draw(main, { parts: [id, layerText, unitText] }) {
      const run = page.runOf(id);
      const [layer, unit] = [Number(layerText), Number(unitText)];
      if (
        run === undefined ||
        !run.layers[layer] ||
        !(unit >= 0 && unit < run.layers[layer].units)
      ) {
        throw new Error("This report has no such unit.");
      }
      const table = await page.table(run);
      const i = table.starts[layer] + unit;
      const block = `${run.id}/${layer}/${Math.floor(unit / BLOCK)}`;
      const details = await page.need("details", block);
      const detail = details.units[unit - details.first];
      const concept = table.concept[i];
      const name = page.conceptOf(run, concept);
      const where = run.layers[layer].name;
      const detector = page.isDetector(table, i, run.min_iou);
      const top = detail.top ?? [];
      const patches = top.filter((item) => item.box);
      const position = ({ photo }) => `image ${photo}`;

      page.into(
        main,
        el(
          "div",
          { class: "trail" },
          page.link(
            page.listed?.run === run.id ? page.listed.address : page.address("units", run.id),
            { rel: "up" },
            "Units",
          ),
          el("span", { "aria-hidden": "true" }, "/"),
          page.link(page.address("units", run.id, { layer }), null, page.breakable(where)),
          steps(table, i),
        ),
        el(
          "h1",
          { tabindex: "-1", class: "unit-title" },
          page.dot(page.categoryOf(run, concept)),
          name,
          el("span", { class: "unit-name" }, page.breakable(where), ` unit ${unit}`),
        ),
        el(
          "div",
          { class: "tiles" },
          page.tile(
            page.iou(table.iou[i]),
            "IoU",
            detector ? `over the limit, ${run.min_iou}` : `not over the limit, ${run.min_iou}`,
          ),
          page.tile(
            page.value(table.threshold[i]),
            "threshold",
            `active on ${page.percent(table.active[i])} of all pixels`,
          ),
          page.isNumber(table.peak?.[i]) && page.tile(page.value(table.peak[i]), "highest value"),
          run.has_importance &&
            page.isNumber(table.importance[i]) &&
            page.tile(
              page.value(table.importance[i]),
              run.importance_label ?? "importance",
              // Chosen in some images and measured in others, so the table may name another.
              table.importance_class?.[i] &&
                `${table.importance_class[i]}, which lost most in the images that rank units`,
            ),
        ),
        concept > 0 &&
          el(
            "p",
            { class: "aside" },
            page.link(
              page.address("concept", run.id, concept),
              { class: "onward" },
              `All units for ${name}`,
            ),
          ),
        page.photosMissing(run),
      );

      if (top.length && run.photos !== null) {
        const photos = photoList(
          run,
          top,
          (item, k) =>
            `Top image ${k + 1}, ${position(item)}: highest value ${page.value(item.peak)}${activeShare(run, item.mask)}`,
        );
        page.into(
          main,
          el(
            "section",
            null,
            el("h2", null, "Top images"),
            el(
              "div",
              { class: "tools" },
              page.prose("Where the unit is over its threshold; the number is its highest value.", {
                class: "note",
              }),
              page.segments("Show regions", ways, "lit", (way) => (photos.dataset.way = way)),
            ),
            photos,
          ),
        );
      }
      if (top.length && run.photos === null) {
        const listed = top.map((item) => `${item.photo} (${page.value(item.peak)})`).join(", ");
        page.into(
          main,
          part(
            "Top images",
            "Positions of images in the data set, and the highest value in each.",
            el("p", null, listed),
          ),
        );
      }
      if (patches.length && run.photos !== null) {
        page.into(
          main,
          part(
            "Top patches",
            `What the unit sees where it is highest: its receptive field in each top image${
              detail.field ? `, ${detail.field[1]} \u00d7 ${detail.field[0]} pixels` : ""
            }; outlined where it is too small to be shown alone.`,
            el(
              "ul",
              { class: "photos" },
              patches.map((item, k) =>
                el("li", null, page.patch(run, item, `Patch ${k + 1}, of ${position(item)}`)),
              ),
            ),
          ),
        );
      }
      page.into(
        main,
        el(
          "div",
          { class: "columns" },
          scoresOf(table, detail.scores),
          detail.histogram && histogramOf(table, i, detail.histogram),
        ),
      );
      if (detail.importance || detail.removal) {
        page.into(
          main,
          el(
            "div",
            { class: "columns" },
            detail.importance && changesOf(detail.importance),
            detail.removal &&
              part(
                "Effect of its removal",
                detail.removal.caption,
                page.definition(detail.removal.facts),
              ),
          ),
        );
      }
      if (run.photos !== null && concept > 0) {
        page.into(
          main,
          el(
            "div",
            { class: "columns" },
            detail.false_positives?.length > 0 &&
              part(
                `Active without ${name}`,
                `Where the unit is active outside ${name}, images without any first.`,
                photoList(
                  run,
                  detail.false_positives,
                  (item) =>
                    `${position(item)}, where it is active outside ${name}${activeShare(run, item.mask)}`,
                  true,
                ),
              ),
            detail.false_negatives?.length > 0 &&
              part(
                `${page.sentence(name)} that it misses`,
                `Where ${name}, dashed, does not activate the unit, images in which none of it does first.`,
                photoList(
                  run,
                  detail.false_negatives,
                  (item) => `${position(item)}, with ${name}${activeShare(run, item.mask)}`,
                  true,
                ),
              ),
          ),
        );
      }
      if (concept > 0) {
        const others = [];
        for (let k = 0; k < table.size; k += 1)
          if (k !== i && table.concept[k] === concept) others.push(k);
        others.sort((a, b) => table.iou[b] - table.iou[a] || a - b);
        if (others.length) {
          page.into(
            main,
            part(
              `Other units for ${name}`,
              null,
              el(
                "ul",
                { class: "cards" },
                others.slice(0, RELATED).map((k) => el("li", null, page.unitCard(table, k))),
              ),
              others.length > RELATED &&
                page.link(
                  page.address("concept", run.id, concept),
                  { class: "onward" },
                  `All ${page.count(others.length + 1)}`,
                ),
            ),
          );
        }
      }
    },
  };
})();
