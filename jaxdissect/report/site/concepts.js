// Concepts and the units that detect them.

"use strict";

(() => {
  const page = jaxdissectPage;
  const { el } = page;

  const orders = [
    ["-units", "Most detectors first"],
    ["-iou", "Highest IoU first"],
    ["name", "Name, A to Z"],
    ["-layers", "Most layers first"],
  ];

  const values = {
    units: (entry) => entry.units.length,
    iou: (entry, table) => table.iou[entry.units[0]],
    name: (entry, table) => table.run.vocabulary.names[entry.concept],
    layers: (entry) => entry.perLayer.filter(Boolean).length,
  };

  // How many detectors each layer has, as small columns.
  const layerColumns = (run, counts, most) =>
    el(
      "span",
      {
        class: "columns-small",
        "aria-hidden": "true",
      },
      counts.map((count, k) =>
        el("span", {
          title: `${run.layers[k].name}: ${count}`,
          style: { "--height": count / most },
          class: count ? null : "empty",
        }),
      ),
    );

  const conceptCard = (table, { concept, units, perLayer }) => {
    const { run } = table;
    const name = page.conceptOf(run, concept);
    return page.link(
      page.address("concept", run.id, concept),
      {
        class: "card concept",
        "data-concept": concept,
      },
      run.photos !== null && page.strip(table, units[0]),
      el("span", { class: "name" }, page.dot(page.categoryOf(run, concept)), el("b", null, name)),
      run.layers.length > 1 && layerColumns(run, perLayer, Math.max(...perLayer)),
      el(
        "span",
        { class: "about" },
        el("span", null, page.count(units.length, "unit")),
        el("span", { class: "iou" }, page.read("IoU "), page.iou(table.iou[units[0]])),
      ),
    );
  };

  const perLayerOf = (table, units) => {
    const counts = table.run.layers.map(() => 0);
    for (const i of units) counts[table.layer[i]] += 1;
    return counts;
  };

  page.views.concepts = {
    async draw(main, { parts, options }) {
      const run = page.runOf(parts[0]) ?? page.mainRuns()[0];
      const table = await page.table(run);
      const state = new URLSearchParams(options);
      const all = page
        .conceptsOf(table)
        .map((entry) => ({ ...entry, perLayer: perLayerOf(table, entry.units) }));
      const counted = el("p", { class: "counted", role: "status" });
      let found = [];
      const list = page.cardList(
        "Concepts",
        (k) => found[k].concept,
        (k) => conceptCard(table, found[k]),
      );
      const refresh = () => {
        const text = (state.get("q") ?? "").toLowerCase();
        const category = state.get("category");
        const sort = state.get("sort") ?? "-units";
        const value = values[sort.replace("-", "")] ?? values.units;
        const sign = sort.startsWith("-") ? -1 : 1;
        found = all
          .filter(
            ({ concept }) => category === null || run.vocabulary.categories[concept] === category,
          )
          .filter(({ concept }) => table.lower[concept].includes(text))
          .sort(
            (a, b) =>
              sign * page.compareCells(value(a, table), value(b, table)) || a.concept - b.concept,
          );
        counted.textContent = `${page.count(found.length)} of ${page.count(all.length, "concept")} with detectors`;
        list.show(found.length);
      };
      const set = (key, value) => {
        if (value === null || value === "") state.delete(key);
        else state.set(key, value);
        page.remember(page.address("concepts", run.id, Object.fromEntries(state)));
        refresh();
      };
      const used = page.site.categories
        .map((category) => category.name)
        .filter((name) => all.some(({ concept }) => run.vocabulary.categories[concept] === name));
      page.into(
        main,
        page.heading("Concepts", run, "concepts"),
        el(
          "form",
          { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
          el(
            "label",
            { class: "field search" },
            el("span", null, "Search"),
            el("input", {
              type: "search",
              value: state.get("q") ?? "",
              autocomplete: "off",
              spellcheck: "false",
              "data-search": true,
              on: { input: (event) => set("q", event.target.value.trim()) },
            }),
          ),
          page.select(
            "Category",
            [["", "All categories"], ...used.map((name) => [name, name])],
            state.get("category") ?? "",
            (value) => set("category", value),
          ),
          page.select("Sort by", orders, state.get("sort") ?? "-units", (value) =>
            set("sort", value),
          ),
        ),
        el("div", { class: "status" }, counted),
        page.photosMissing(run),
        list.holder,
      );
      refresh();
    },
  };

  page.views.concept = {
    async draw(main, { parts: [id, text] }) {
      const run = page.runOf(id);
      const concept = Number(text);
      if (run === undefined || !(concept > 0 && concept < run.vocabulary.names.length)) {
        throw new Error("This report has no such concept.");
      }
      const table = await page.table(run);
      const [name, category] = [page.conceptOf(run, concept), run.vocabulary.categories[concept]];
      const keyOf = (other, k) => `${other.vocabulary.names[k]}\n${other.vocabulary.categories[k]}`;
      const key = keyOf(run, concept);
      const best = [];
      const second = [];
      for (let i = 0; i < table.size; i += 1) {
        if (table.concept[i] === concept) best.push(i);
        else if (table.concept_2[i] === concept && table.iou_2[i] > run.min_iou) second.push(i);
      }
      best.sort((i, j) => table.iou[j] - table.iou[i] || i - j);
      second.sort((i, j) => table.iou_2[j] - table.iou_2[i] || i - j);
      const over = best.filter((i) => page.isDetector(table, i, run.min_iou));
      const under = best.filter((i) => !page.isDetector(table, i, run.min_iou));
      const counts = perLayerOf(table, over);
      page.listed = { run: run.id, order: [...over, ...under], address: location.hash };
      const cards = (label, units, options) => {
        const list = page.cardList(
          label,
          (k) => units[k],
          (k) => page.unitCard(table, units[k], options?.(units[k])),
        );
        queueMicrotask(() => list.show(units.length));
        return list.holder;
      };
      const random = page.randomRunOf(run);
      const chance = random && (await page.table(random));
      let byChance = 0;
      if (chance) {
        for (let i = 0; i < chance.size; i += 1) {
          if (
            page.isDetector(chance, i, random.min_iou) &&
            keyOf(random, chance.concept[i]) === key
          )
            byChance += 1;
        }
      }
      const runs = page.site.runs.filter((other) => other !== run);
      page.into(
        main,
        el(
          "div",
          { class: "trail" },
          page.link(page.address("concepts", run.id), { rel: "up" }, "Concepts"),
          el("span", { "aria-hidden": "true" }, "/"),
          el("span", null, category),
        ),
        el("h1", { tabindex: "-1" }, page.dot(category), name),
        el(
          "div",
          { class: "tiles" },
          page.tile(
            page.count(over.length),
            over.length === 1 ? "detector" : "detectors",
            random && `${page.count(byChance)} with random weights`,
          ),
          over.length > 0 && page.tile(page.iou(table.iou[over[0]]), "highest IoU"),
          run.layers.length > 1 &&
            page.tile(
              page.count(counts.filter(Boolean).length),
              `of ${page.count(run.layers.length, "layer")}`,
            ),
        ),
        run.layers.length > 1 &&
          over.length > 0 &&
          el(
            "section",
            null,
            el("h2", null, "Layers"),
            page.bars(
              "Detectors in each layer",
              run.layers.map((layer, k) => ({
                head: page.link(
                  page.address("units", run.id, { layer: k, concept }),
                  { title: layer.name },
                  page.breakable(page.short(run, k)),
                ),
                parts: [
                  {
                    size: counts[k],
                    color: page.colorOf(category),
                    title: `${layer.name}: ${counts[k]}`,
                  },
                ],
                number: page.count(counts[k]),
              })),
              { columns: ["Layer", "Detectors"] },
            ),
          ),
        page.photosMissing(run),
        over.length > 0
          ? el("section", null, el("h2", null, "Detectors"), cards("Detectors", over))
          : el(
              "p",
              null,
              `No unit is a detector of ${name}: none has it as its best concept with an IoU over ${run.min_iou}.`,
            ),
        under.length > 0 &&
          el(
            "section",
            null,
            el("h2", null, "Not over the limit"),
            el(
              "p",
              { class: "note" },
              `Units for which ${name} is the best concept, but with an IoU of at most ${run.min_iou}.`,
            ),
            cards("Units not over the limit", under),
          ),
        second.length > 0 &&
          el(
            "section",
            null,
            el("h2", null, "Second best"),
            el(
              "p",
              { class: "note" },
              `Units that agree with ${name} too, but better with another concept; the IoU is that with ${name}.`,
            ),
            cards("Units with it as second concept", second, (i) => ({
              concept,
              iou: table.iou_2[i],
            })),
          ),
        runs.length > 0 &&
          el(
            "section",
            null,
            el("h2", null, "In other runs"),
            el(
              "ul",
              { class: "plain" },
              runs.map((other) => {
                const there = other.vocabulary.names.findIndex((_, k) => keyOf(other, k) === key);
                return el(
                  "li",
                  null,
                  there > 0
                    ? page.link(page.address("concept", other.id, there), null, other.name)
                    : `${other.name}: not in its vocabulary`,
                );
              }),
            ),
          ),
      );
    },
  };
})();
