// The units of a run, as a grid of cards or a table: searched, filtered and sorted.

"use strict";

(() => {
  const page = jaxdissectPage;
  const { el } = page;

  // What a unit's card says beside its pictures.
  page.unitCard = (table, i, { concept = table.concept[i], iou = table.iou[i] } = {}) => {
    const { run } = table;
    const layer = page.short(run, table.layer[i]);
    const name = page.conceptOf(run, concept);
    const detector = concept > 0 && iou > run.min_iou;
    return page.link(
      page.unitAddress(table, i),
      {
        class: detector ? "card" : "card faint",
        "data-unit": `${table.layer[i]}/${table.unit[i]}`,
      },
      run.photos !== null && page.strip(table, i),
      el("span", { class: "name" }, page.dot(page.categoryOf(run, concept)), el("b", null, name)),
      el(
        "span",
        { class: "about" },
        el(
          "span",
          { class: "where" },
          el("span", { title: run.layers[table.layer[i]].name }, layer),
          page.read(" unit"),
          page.unread(" \u00b7"),
          ` ${table.unit[i]}`,
        ),
        el("span", { class: "iou" }, page.read("IoU "), page.iou(iou)),
      ),
    );
  };

  // Columns of the table, which are also what units can be sorted by.
  const columnsOf = (table) => {
    const { run } = table;
    const ranks = run.vocabulary.names
      .map((name, id) => [name, id])
      .sort((a, b) => (a[1] === 0) - (b[1] === 0) || a[0].localeCompare(b[0], "en"))
      .reduce(
        (found, [, id], rank) => found.fill(rank, id, id + 1),
        new Float64Array(run.vocabulary.names.length),
      );
    const kinds = page.site.categories.map((category) => category.name);
    const category = (i) => {
      const kind = page.categoryOf(run, table.concept[i]);
      return kind === null ? null : kinds.indexOf(kind);
    };
    const none = (id, value) => (id > 0 ? value : null);
    const columns = [
      {
        key: "layer",
        name: "Layer",
        of: (i) => i,
        show: (i) => page.breakable(page.short(run, table.layer[i])),
      },
      {
        key: "unit",
        name: "Unit",
        number: true,
        of: (i) => table.unit[i],
        show: (i) => String(table.unit[i]),
      },
      {
        key: "concept",
        name: "Concept",
        of: (i) => none(table.concept[i], ranks[table.concept[i]]),
        show: (i) => [
          page.dot(page.categoryOf(run, table.concept[i])),
          page.conceptOf(run, table.concept[i]),
        ],
      },
      {
        key: "category",
        name: "Category",
        wide: true,
        of: category,
        show: (i) => page.categoryOf(run, table.concept[i]) ?? "\u2013",
      },
      {
        key: "iou",
        name: "IoU",
        number: true,
        down: true,
        of: (i) => table.iou[i],
        show: (i) => page.iou(table.iou[i]),
      },
      {
        key: "second",
        name: "Second concept",
        wide: true,
        of: (i) => none(table.concept_2[i], ranks[table.concept_2[i]]),
        show: (i) => page.conceptOf(run, table.concept_2[i]),
      },
      {
        key: "second-iou",
        name: "IoU of second",
        number: true,
        wide: true,
        down: true,
        of: (i) => table.iou_2[i],
        show: (i) => page.iou(table.iou_2[i]),
      },
      {
        key: "threshold",
        name: "Threshold",
        number: true,
        wide: true,
        down: true,
        of: (i) => table.threshold[i],
        show: (i) => page.value(table.threshold[i]),
      },
      {
        key: "active",
        name: "Active",
        number: true,
        wide: true,
        down: true,
        of: (i) => table.active[i],
        show: (i) => page.percent(table.active[i]),
      },
    ];
    if (run.has_importance) {
      columns.push({
        key: "importance",
        name: page.sentence(run.importance_label ?? "importance"),
        number: true,
        wide: true,
        down: true,
        of: (i) => table.importance[i],
        show: (i) => page.value(table.importance[i]),
      });
    }
    return columns;
  };

  // Words are parts of concept names, whole names of categories, parts of layer names, or numbers of
  // units; a unit is found if every word fits.
  const finder = (table, text) => {
    const { run } = table;
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const tests = words.map((word) => {
      const concepts = new Uint8Array(table.lower.length);
      table.lower.forEach((name, id) => {
        if (
          id > 0 &&
          (name.includes(word) || run.vocabulary.categories[id].toLowerCase() === word)
        ) {
          concepts[id] = 1;
        }
      });
      const layers = run.layers.map(
        (layer) => word.length > 1 && layer.name.toLowerCase().includes(word),
      );
      const unit = /^\d+$/.test(word) ? Number(word) : -1;
      return (i) => concepts[table.concept[i]] || layers[table.layer[i]] || table.unit[i] === unit;
    });
    return (i) => tests.every((test) => test(i));
  };

  // Units that fit, in order. `options` are those of the address.
  page.findUnits = (table, columns, options) => {
    const text = options.get("q") ?? "";
    const layer = options.get("layer");
    const category = options.get("category");
    const least = Number(options.get("iou") ?? 0);
    const concept = options.get("concept");
    const found = finder(table, text);
    const kinds = table.run.vocabulary.categories;
    const order = [];
    for (let i = 0; i < table.size; i += 1) {
      if (layer !== null && table.layer[i] !== Number(layer)) continue;
      if (least > 0 && !(table.concept[i] > 0 && table.iou[i] > least)) continue;
      if (category !== null && (table.concept[i] === 0 || kinds[table.concept[i]] !== category))
        continue;
      if (concept !== null && table.concept[i] !== Number(concept)) continue;
      if (text !== "" && !found(i)) continue;
      order.push(i);
    }
    const sort = options.get("sort") ?? "-iou";
    const down = sort.startsWith("-");
    const column = columns.find((some) => some.key === sort.replace("-", "")) ?? columns[4];
    const values = new Map(order.map((i) => [i, column.of(i)]));
    order.sort((i, j) => {
      const [a, b] = [values.get(i), values.get(j)];
      const missing = (a === null || a === undefined) !== (b === null || b === undefined);
      const way = page.compareCells(a, b);
      return (down && !missing ? -way : way) || i - j;
    });
    return order;
  };

  // A slider whose limit is a hundredth of the way to the highest IoU, and what it says.
  const iouSlider = (highest, value, change) => {
    const shown = el("output", null, value > 0 ? `over ${value}` : "any");
    const input = el("input", {
      type: "range",
      min: 0,
      max: Math.max(0.05, Math.ceil(highest * 100) / 100),
      step: 0.01,
      value,
      "aria-label": "IoU with the best concept at least",
    });
    input.addEventListener("input", () => {
      const number = Number(input.value);
      shown.textContent = number > 0 ? `over ${number.toFixed(2)}` : "any";
      input.setAttribute("aria-valuetext", shown.textContent);
      change(number > 0 ? number.toFixed(2) : null);
    });
    return el("label", { class: "field slider" }, el("span", null, "IoU ", shown), input);
  };

  // The pictures of layers that are not in view yet, one file after the other.
  const AHEAD = 32;
  const fetchAhead = async (run) => {
    for (let layer = 0; layer < Math.min(run.layers.length, AHEAD); layer += 1) {
      await page.need("strips", `${run.id}/${layer}`).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  };

  page.views.units = {
    async draw(main, { parts, options }) {
      const run = page.runOf(parts[0]) ?? page.mainRuns()[0];
      const table = await page.table(run);
      const columns = columnsOf(table);
      const state = new URLSearchParams(options);
      const counted = el("p", { class: "counted", role: "status" });
      const holder = el("div", { class: "found" });
      const nothing = el(
        "div",
        { class: "nothing" },
        el("p", null, "No unit fits."),
        el("button", { type: "button", on: { click: () => reset() } }, "Clear all filters"),
      );
      let list = null;
      let order = [];

      const address = () => page.address("units", run.id, Object.fromEntries(state));
      const set = (key, value, redraw = true) => {
        if (value === null || value === "") state.delete(key);
        else state.set(key, value);
        page.remember(address());
        if (redraw) refresh();
      };
      const reset = () => {
        location.hash = page.address(
          "units",
          run.id,
          state.has("view") ? { view: state.get("view") } : {},
        );
      };

      const grid = () => {
        const cards = page.cardList(
          "Units",
          (k) => order[k],
          (i) => page.unitCard(table, order[i]),
        );
        return { node: cards.holder, show: cards.show };
      };

      const rows = () => {
        const sort = () => state.get("sort") ?? "-iou";
        const body = el("tbody");
        const heads = columns.map((column) => {
          const press = () => {
            const now = sort();
            const first = column.down ? `-${column.key}` : column.key;
            const other = column.down ? column.key : `-${column.key}`;
            set("sort", now === first ? other : first);
            mark();
          };
          return el(
            "th",
            {
              scope: "col",
              class: [column.number && "number", column.wide && "wide"].filter(Boolean).join(" "),
              "data-key": column.key,
            },
            el("button", { type: "button", on: { click: press } }, column.name),
          );
        });
        const mark = () => {
          for (const head of heads) {
            const key = head.getAttribute("data-key");
            const way = sort() === key ? "ascending" : sort() === `-${key}` ? "descending" : null;
            if (way === null) head.removeAttribute("aria-sort");
            else head.setAttribute("aria-sort", way);
          }
          sorter.querySelector("select").value = sort();
        };
        const pictures = run.photos !== null;
        const make = (k) => {
          const i = order[k];
          return el(
            "tr",
            { class: page.isDetector(table, i, run.min_iou) ? null : "faint" },
            pictures && el("td", { class: "pictures" }, page.strip(table, i, 3)),
            columns.map((column) =>
              el(
                "td",
                {
                  class: [column.number && "number", column.wide && "wide", column.key]
                    .filter(Boolean)
                    .join(" "),
                },
                column.key === "unit" || column.key === "concept"
                  ? page.link(
                      page.unitAddress(table, i),
                      column.key === "unit"
                        ? { tabindex: "-1", "aria-hidden": "true" }
                        : { "data-unit": `${table.layer[i]}/${table.unit[i]}` },
                      column.show(i),
                    )
                  : column.show(i),
              ),
            ),
          );
        };
        const node = el(
          "table",
          { class: "data units" },
          el("caption", { class: "hidden" }, "Units"),
          el(
            "thead",
            null,
            el("tr", null, pictures && el("th", { scope: "col" }, "Images"), heads),
          ),
          body,
        );
        const inner = page.rowList(body, (k) => order[k], make, columns.length + 1);
        mark();
        return {
          node,
          show: (number) => {
            node.setAttribute("aria-rowcount", number + 1);
            inner.show(number);
          },
          mark,
        };
      };

      const refresh = () => {
        order = page.findUnits(table, columns, state);
        page.listed = { run: run.id, order, address: address() };
        const detectors = order.filter((i) => page.isDetector(table, i, run.min_iou)).length;
        counted.textContent =
          `${page.count(order.length)} of ${page.count(table.size, "unit")}` +
          (order.length ? `, ${page.count(detectors, "detector")}` : "");
        nothing.hidden = order.length > 0;
        list.node.hidden = order.length === 0;
        list.show(order.length);
        list.mark?.();
      };

      const lay = () => {
        list = state.get("view") === "table" ? rows() : grid();
        holder.replaceChildren(list.node);
        refresh();
      };

      const search = el("input", {
        type: "search",
        value: state.get("q") ?? "",
        placeholder: "road, or conv4 446",
        autocomplete: "off",
        spellcheck: "false",
        "data-search": true,
        on: { input: (event) => set("q", event.target.value.trim()) },
      });
      const orders = columns.flatMap((column) => {
        const name = column.name;
        return column.number
          ? [
              [`-${column.key}`, `${name}, high to low`],
              [column.key, `${name}, low to high`],
            ]
          : [
              [column.key, column.key === "layer" ? "Layer, first to last" : `${name}, A to Z`],
              [
                `-${column.key}`,
                column.key === "layer" ? "Layer, last to first" : `${name}, Z to A`,
              ],
            ];
      });
      const sorter = page.select("Sort by", orders, state.get("sort") ?? "-iou", (value) =>
        set("sort", value === "-iou" ? null : value),
      );
      const used = page.site.categories
        .map((category) => category.name)
        .filter((name) => run.vocabulary.categories.includes(name));
      let highest = 0;
      for (const value of table.iou) if (value > highest) highest = value;
      const concept = state.get("concept");

      page.into(
        main,
        page.heading("Units", run, "units"),
        el(
          "form",
          { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
          el("label", { class: "field search" }, el("span", null, "Search"), search),
          run.layers.length > 1 &&
            page.select(
              "Layer",
              [["", "All layers"], ...run.layers.map((layer, k) => [k, layer.name])],
              state.get("layer") ?? "",
              (value) => set("layer", value),
            ),
          page.select(
            "Category",
            [["", "All categories"], ...used.map((name) => [name, name])],
            state.get("category") ?? "",
            (value) => set("category", value),
          ),
          iouSlider(highest, Number(state.get("iou") ?? 0), (value) => set("iou", value)),
          sorter,
          page.segments(
            "Show units as",
            [
              ["grid", "Grid"],
              ["table", "Table"],
            ],
            state.get("view") ?? "grid",
            (value) => {
              set("view", value === "grid" ? null : value, false);
              lay();
            },
          ),
        ),
        el(
          "div",
          { class: "status" },
          counted,
          concept !== null &&
            el(
              "button",
              {
                type: "button",
                class: "chip",
                "aria-label": `No longer only ${page.conceptOf(run, concept)}`,
                on: {
                  click: (event) => {
                    event.currentTarget.remove();
                    set("concept", null);
                  },
                },
              },
              page.dot(run.vocabulary.categories[concept]),
              page.conceptOf(run, concept),
              " \u00d7",
            ),
        ),
        page.photosMissing(run),
        holder,
        nothing,
        el("p", { class: "print-only" }, "Printed are the first units of this list."),
      );
      lay();
      if (run.photos !== null) fetchAhead(run);
    },
  };
})();
