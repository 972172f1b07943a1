// What was run and what it found: counts by layer and category, the concepts, the best units.

"use strict";

(() => {
  const page = jaxdissectPage;
  const { el } = page;

  const BEST = 12;
  const CONCEPTS = 16;

  const partsOf = (layer, kind, address) =>
    page.site.categories
      .filter((category) => layer.by_category[category.name])
      .map((category) => ({
        size: layer.by_category[category.name][kind],
        color: category.color,
        title: `${layer.name}: ${
          kind === 0
            ? page.count(layer.by_category[category.name][0], `${category.name} detector`)
            : page.count(layer.by_category[category.name][1], `${category.name} concept`)
        }`,
      }));

  const layersChart = (run, random, kind, share) => {
    const size = (layer, count) => (share ? count / layer.units : count);
    const scaled = (layer) =>
      partsOf(layer, kind).map((part) => ({ ...part, size: size(layer, part.size) }));
    const number = (layer) => (kind === 0 ? layer.detectors : layer.concepts);
    const written = (layer) =>
      share ? page.percent(number(layer) / layer.units) : page.count(number(layer));
    return page.bars(
      kind === 0
        ? share
          ? "Share of units that are detectors"
          : "Detectors in each layer"
        : "Distinct concepts in each layer",
      run.layers.map((layer, k) => {
        const other = random?.layers.find((some) => some.name === layer.name);
        return {
          head: page.link(
            page.address("units", run.id, { layer: k, iou: run.min_iou }),
            { title: layer.name },
            page.breakable(page.short(run, k)),
          ),
          parts: scaled(layer),
          number: written(layer),
          below: other && {
            parts: [
              {
                size: size(other, number(other)),
                class: "random",
                title: `random weights: ${number(other)}`,
              },
            ],
            number: written(other),
          },
        };
      }),
      { columns: ["Layer", kind === 0 ? "Detectors" : "Concepts"] },
    );
  };

  // The same for a run of one layer, whose rows are categories.
  const categoriesChart = (run, random, kind, share) => {
    const [layer] = run.layers;
    const other = random?.layers.find((some) => some.name === layer.name);
    const of = (some, name) => some?.by_category[name]?.[kind] ?? 0;
    const size = (some, name) => (share ? of(some, name) / some.units : of(some, name));
    const written = (some, name) =>
      share ? page.percent(size(some, name)) : page.count(of(some, name));
    return page.bars(
      kind === 0
        ? share
          ? "Share of units that are detectors"
          : "Detectors"
        : "Distinct concepts",
      page.site.categories
        .filter(({ name }) => of(layer, name) + of(other, name) > 0)
        .map(({ name, color }) => ({
          head: page.link(
            page.address("units", run.id, { category: name, iou: run.min_iou }),
            null,
            page.dot(name),
            name,
          ),
          parts: [{ size: size(layer, name), color, title: name }],
          number: written(layer, name),
          below: other && {
            parts: [{ size: size(other, name), class: "random", title: "random weights" }],
            number: written(other, name),
          },
        })),
      { columns: ["Category", kind === 0 ? "Detectors" : "Concepts"] },
    );
  };

  // All counts behind the charts.
  const layersTable = (run) => {
    const used = page.site.categories
      .map((category) => category.name)
      .filter((name) => run.layers.some((layer) => layer.by_category[name]?.[0]));
    return page.sortable({
      caption: "Detectors of each category, and distinct concepts",
      header: ["layer", "units", "detectors", "concepts", ...used],
      rows: run.layers.map((layer) => [
        layer.name,
        layer.units,
        layer.detectors,
        layer.concepts,
        ...used.map((name) => layer.by_category[name]?.[0] ?? 0),
      ]),
    });
  };

  const distinct = (table) => {
    const found = new Set();
    for (let i = 0; i < table.size; i += 1) {
      if (page.isDetector(table, i, table.run.min_iou)) found.add(table.concept[i]);
    }
    return found.size;
  };

  const total = (run, key) => run.layers.reduce((sum, layer) => sum + layer[key], 0);

  page.tile = (value, label, note) =>
    el(
      "div",
      { class: "tile" },
      el("b", null, value),
      el("span", null, label),
      note && el("small", null, note),
    );

  // The IoU of every unit with its best concept: how far above the limit, and above chance.
  const iouHistogram = (table, random) => {
    let high = table.run.min_iou * 2;
    for (const value of table.iou) if (value > high) high = value;
    const step = table.run.min_iou / Math.max(1, Math.round(table.run.min_iou / (high / 40)));
    const bins = Math.ceil(high / step + 1e-9);
    const edges = Array.from({ length: bins + 1 }, (_, i) => i * step);
    const counted = (some) => {
      const counts = new Array(bins).fill(0);
      for (let i = 0; i < some.size; i += 1) {
        if (some.iou[i] >= 0)
          counts[Math.min(bins - 1, Math.floor(some.iou[i] / step + 1e-9))] += 1;
      }
      return counts;
    };
    const drawn = (some, what) =>
      page.histogram({
        edges,
        counts: counted(some),
        line: table.run.min_iou,
        lineLabel: `limit ${table.run.min_iou}`,
        logarithmic: false,
        show: (value) => value.toFixed(2),
        label: `How many units of ${what} have which IoU with their best concept`,
      });
    return el(
      "figure",
      { class: "distribution" },
      el("figcaption", null, "IoU of all units with their best concept"),
      drawn(table, table.run.name),
      random && [
        el("p", { class: "note" }, "The same with random weights, at its own height:"),
        drawn(random, "the network with random weights"),
      ],
    );
  };

  // For every detected concept its detectors, most first.
  page.conceptsOf = (table, limit = table.run.min_iou) => {
    const found = new Map();
    for (let i = 0; i < table.size; i += 1) {
      if (!page.isDetector(table, i, limit)) continue;
      if (!found.has(table.concept[i])) found.set(table.concept[i], []);
      found.get(table.concept[i]).push(i);
    }
    for (const units of found.values()) units.sort((i, j) => table.iou[j] - table.iou[i] || i - j);
    return [...found].map(([concept, units]) => ({ concept, units }));
  };

  const byNumber = (a, b) => b.units.length - a.units.length || a.concept - b.concept;

  const conceptsChart = (table) => {
    const all = page.conceptsOf(table).sort(byNumber);
    const { run } = table;
    return el(
      "div",
      null,
      page.bars(
        all.length > CONCEPTS
          ? `Concepts with most detectors, ${CONCEPTS} of ${all.length}`
          : "Concepts and their detectors",
        all.slice(0, CONCEPTS).map(({ concept, units }) => ({
          head: page.link(
            page.address("concept", run.id, concept),
            null,
            page.conceptOf(run, concept),
          ),
          parts: [
            {
              size: units.length,
              color: page.colorOf(page.categoryOf(run, concept)),
              title: `${page.categoryOf(run, concept)}: ${page.count(units.length, "detector")}`,
            },
          ],
          number: page.count(units.length),
        })),
        { columns: ["Concept", "Detectors"] },
      ),
      page.link(page.address("concepts", run.id), { class: "onward" }, "All concepts"),
    );
  };

  // The units that agree best with a concept, each concept once.
  const bestUnits = (table) =>
    page
      .conceptsOf(table)
      .map(({ units }) => units[0])
      .sort((i, j) => table.iou[j] - table.iou[i] || i - j)
      .slice(0, BEST);

  page.sectionLinks = (sections) =>
    el(
      "ul",
      { class: "section-links" },
      sections.map((section) =>
        el(
          "li",
          null,
          page.link(
            page.address("result", section.id),
            null,
            el("b", null, section.title),
            section.question && el("span", null, page.inline(section.question)),
          ),
        ),
      ),
    );

  page.lead = () => (page.site.lead ?? []).map((text) => page.prose(text, { class: "lead" }));

  page.views.overview = {
    async draw(main, { parts }) {
      const run = page.runOf(parts[0]) ?? page.mainRuns()[0];
      if (run === undefined) {
        page.into(
          main,
          page.heading(page.site.title),
          ...page.lead(),
          page.site.sections.length === 1
            ? page.sectionBody(page.site.sections[0], { titled: true })
            : page.sectionLinks(page.site.sections),
        );
        return;
      }
      const random = page.randomRunOf(run);
      const sections = page.site.sections.filter((some) =>
        [run.id, null, undefined].includes(some.run),
      );
      const table = await page.table(run);
      const charts = el("div", { class: "columns" });
      const chart = run.layers.length > 1 ? layersChart : categoriesChart;
      const drawCharts = (share) =>
        charts.replaceChildren(chart(run, random, 0, share), chart(run, random, 1, false));
      const detectors = total(run, "detectors");
      const chance = random && (await page.table(random));
      const best = bestUnits(table);
      page.into(
        main,
        page.heading(page.site.title, run, "overview"),
        ...page.lead(),
        el(
          "div",
          { class: "tiles" },
          page.tile(
            page.count(detectors),
            `of ${page.count(table.size, "unit")} are detectors`,
            random &&
              `${page.count(total(random, "detectors"))} of ${page.count(total(random, "units"))} with random weights`,
          ),
          page.tile(
            page.count(distinct(table)),
            "distinct concepts",
            chance && `${page.count(distinct(chance))} with random weights`,
          ),
          page.tile(page.count(run.layers.length), run.layers.length === 1 ? "layer" : "layers"),
          page.tile(String(run.min_iou), "limit of IoU", "a unit above it is a detector"),
        ),
        run.command && page.commandLine(run.command),
        page.photosMissing(run),
        el(
          "section",
          null,
          el("h2", null, run.layers.length > 1 ? "Layers" : "Categories"),
          el(
            "div",
            { class: "tools" },
            page.legend(
              page.site.categories
                .map((category) => category.name)
                .filter(
                  (name) =>
                    run.layers.length > 1 &&
                    run.layers.some((layer) => layer.by_category[name]?.[0]),
                ),
              random ? [["random", "random weights"]] : [],
            ),
            page.segments(
              "Count detectors as",
              [
                ["count", "Number"],
                ["share", "Share of units"],
              ],
              "count",
              (way) => drawCharts(way === "share"),
            ),
          ),
          charts,
          el("details", null, el("summary", null, "All numbers"), layersTable(run)),
        ),
        best.length > 0 &&
          el(
            "section",
            null,
            el("h2", null, "Most interpretable units"),
            el("p", { class: "note" }, "The units with the highest IoU, each concept once."),
            el(
              "ul",
              { class: "cards" },
              best.map((i) => el("li", null, page.unitCard(table, i))),
            ),
            page.link(
              page.address("units", run.id),
              { class: "onward" },
              `All ${page.count(table.size, "unit")}`,
            ),
          ),
        el(
          "section",
          null,
          el("h2", null, "Concepts"),
          el("div", { class: "columns" }, conceptsChart(table), iouHistogram(table, chance)),
        ),
        sections.length > 0 &&
          el("section", null, el("h2", null, "Further results"), page.sectionLinks(sections)),
        el(
          "section",
          null,
          el("h2", null, "How it was done"),
          page.definition(run.facts),
          run.notes.map((note) => page.prose(note, { class: "note" })),
        ),
      );
      drawCharts(false);
    },
  };
})();
