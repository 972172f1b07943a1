// What every part of the page stands on: elements, numbers, data files, and the address bar.
//
// The page is opened from disk, where browsers allow neither requests nor modules: data arrive by
// <script> elements that call `jaxdissectPage.receive`. Text from users becomes text nodes, never
// markup.

"use strict";

const jaxdissectPage = { views: {} };

(() => {
  const page = jaxdissectPage;

  // --- elements -----------------------------------------------------------------------------------

  const SVG = "http://www.w3.org/2000/svg";

  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") {
        for (const [event, react] of Object.entries(value)) node.addEventListener(event, react);
      } else if (name === "style") {
        for (const [property, text] of Object.entries(value))
          node.style.setProperty(property, text);
      } else node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat(Infinity)) {
      if (child !== null && child !== undefined && child !== false) node.append(child);
    }
    return node;
  };

  page.el = (tag, attributes, ...children) =>
    fill(document.createElement(tag), attributes, children);
  page.into = (node, ...children) => fill(node, null, children);
  page.svg = (tag, attributes, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);

  // Plain text in which `backticks` set code, and a paragraph of it.
  page.inline = (text) =>
    String(text)
      .split("`")
      .map((part, i) => (i % 2 ? page.el("code", null, part) : part));
  page.prose = (text, attributes) => page.el("p", attributes, page.inline(text));

  // --- numbers ------------------------------------------------------------------------------------

  const whole = new Intl.NumberFormat("en");
  const MINUS = "\u2212";

  page.count = (number, one, many) => {
    const text = whole.format(number);
    return one === undefined ? text : `${text} ${number === 1 ? one : (many ?? `${one}s`)}`;
  };

  // A measured value: three decimals near 1, about three significant digits elsewhere.
  page.value = (number) => {
    if (number === null || number === undefined || !Number.isFinite(number)) return "\u2013";
    if (number === 0) return "0";
    const size = Math.abs(number);
    const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
    const text = size < 0.0005 ? number.toExponential(1) : number.toFixed(digits);
    return text.replace("-", MINUS);
  };

  page.iou = (number) => (number === null || number === undefined ? "\u2013" : number.toFixed(3));

  page.percent = (share) => {
    if (share === null || share === undefined || !Number.isFinite(share)) return "\u2013";
    const number = 100 * share;
    const digits = number === 0 || number >= 10 ? 0 : number >= 0.1 ? 1 : 2;
    return `${number.toFixed(digits)}%`;
  };

  page.sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  page.isNumber = (value) => typeof value === "number";

  page.cell = (value) => {
    if (value === null || value === undefined) return "\u2013";
    if (value === true || value === false) return value ? "yes" : "no";
    if (!page.isNumber(value)) return String(value);
    return Number.isInteger(value) ? whole.format(value).replace("-", MINUS) : page.value(value);
  };

  // --- data ---------------------------------------------------------------------------------------

  const arrived = new Map();
  const expected = new Map();

  // Called by every data file. A file's key names what it holds, such as "run-1/3/0".
  page.receive = (kind, key, payload) => {
    arrived.set(`${kind} ${key}`, payload);
    if (kind === "site") page.site = payload;
  };

  const addressOf = {
    units: (key) => `page/data/${key}/units.js`,
    strips: (key) => `page/data/${key}/strips.js`,
    details: (key) => `page/data/${key}.js`,
    comparison: (key) => `page/data/comparisons/${key.replace("/", "_")}.js`,
  };

  // Load what a data file holds, once; many may wait for it.
  page.need = (kind, key) => {
    const name = `${kind} ${key}`;
    if (arrived.has(name)) return Promise.resolve(arrived.get(name));
    if (!expected.has(name)) {
      const address = addressOf[kind](key);
      expected.set(
        name,
        new Promise((resolve, reject) => {
          const failed = () => {
            expected.delete(name);
            reject(new Error(`${address} cannot be read; is this folder complete?`));
          };
          const script = page.el("script", {
            src: address,
            on: {
              load: () => (arrived.has(name) ? resolve(arrived.get(name)) : failed()),
              error: failed,
            },
          });
          document.head.append(script);
        }),
      );
    }
    return expected.get(name);
  };

  page.atHand = (kind, key) => arrived.get(`${kind} ${key}`);

  page.runOf = (id) => page.site.runs.find((run) => run.id === id);

  // Runs in their own right, without those that only stand beside another for comparison.
  page.mainRuns = () => page.site.runs.filter((run) => run.random_of === null);
  page.randomRunOf = (run) => page.site.runs.find((other) => other.random_of === run.id);

  page.colorOf = (category) =>
    page.site.categories.find((known) => known.name === category)?.color ?? "#8a8f98";

  // A run's units as columns, with what is looked up often: how many there are, where layers begin.
  const tables = new Map();
  page.table = async (run) => {
    if (tables.has(run.id)) return tables.get(run.id);
    const columns = await page.need("units", run.id);
    const size = columns.unit.length;
    const starts = [];
    for (let i = 0; i < size; i += 1) if (columns.unit[i] === 0) starts.push(i);
    const lower = run.vocabulary.names.map((name) => name.toLowerCase());
    const table = { ...columns, run, size, starts, lower };
    tables.set(run.id, table);
    return table;
  };

  page.isDetector = (table, i, limit) => table.concept[i] > 0 && table.iou[i] > limit;

  page.unitAddress = (table, i) =>
    page.address("unit", table.run.id, table.layer[i], table.unit[i]);

  // The name of a concept, with its category where several concepts have that name.
  const twice = new Map();
  page.conceptOf = (run, id) => {
    if (!(id > 0)) return "no concept";
    const { names, categories } = run.vocabulary;
    if (!twice.has(run.id)) {
      twice.set(run.id, new Set(names.filter((name, k) => names.indexOf(name) !== k)));
    }
    return twice.get(run.id).has(names[id]) ? `${names[id]} (${categories[id]})` : names[id];
  };
  page.categoryOf = (run, id) => (id > 0 ? run.vocabulary.categories[id] : null);

  // --- the address bar ----------------------------------------------------------------------------

  // "#/units/run-1?layer=3" is the view "units" of "run-1", with one option.
  page.address = (view, ...parts) => {
    const last = parts.at(-1);
    const options = last !== null && typeof last === "object" ? parts.pop() : {};
    const query = new URLSearchParams(
      Object.entries(options).filter(([, value]) => value !== null && value !== ""),
    ).toString();
    const path = [view, ...parts].map(encodeURIComponent).join("/");
    return `#/${path}${query ? `?${query}` : ""}`;
  };

  page.route = () => {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    const [view, ...parts] = path.split("/").map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
    return { view: view || "overview", parts, options: new URLSearchParams(query ?? "") };
  };

  // Write options into the address without a new entry in the history, as while typing.
  page.remember = (address) => {
    if (location.hash === address) return;
    history.replaceState(history.state, "", address);
    page.addressInView = location.hash;
  };

  // --- small parts of many views ------------------------------------------------------------------

  page.dot = (category) =>
    page.el("span", {
      class: category === null ? "dot none" : "dot",
      style: category === null ? {} : { "--color": page.colorOf(category) },
    });

  page.link = (address, attributes, ...children) =>
    page.el("a", { href: address, ...attributes }, ...children);

  page.definition = (facts) =>
    page.el(
      "dl",
      { class: "facts" },
      facts.map(([label, value]) =>
        page.el("div", null, page.el("dt", null, label), page.el("dd", null, page.cell(value))),
      ),
    );

  page.problem = (error) =>
    page.el("p", { class: "problem", role: "alert" }, error.message ?? String(error));

  // Words for those who hear the page, and marks for those who see it.
  page.read = (text) => page.el("span", { class: "hidden" }, text);
  page.unread = (text) => page.el("span", { "aria-hidden": "true" }, text);

  // A labelled choice among few; `choose` is called with the new value.
  page.segments = (label, choices, chosen, choose) => {
    const name = `choice-${(page.segments.made = (page.segments.made ?? 0) + 1)}`;
    return page.el(
      "fieldset",
      { class: "segments" },
      page.el("legend", { class: "hidden" }, label),
      choices.map(([value, text]) =>
        page.el(
          "label",
          null,
          page.el("input", {
            type: "radio",
            name,
            value,
            checked: value === chosen,
            on: { change: () => choose(value) },
          }),
          page.el("span", null, text),
        ),
      ),
    );
  };

  page.select = (label, choices, chosen, choose, attributes) =>
    page.el(
      "label",
      { class: "field", ...attributes },
      page.el("span", null, label),
      page.el(
        "select",
        { on: { change: (event) => choose(event.target.value) } },
        choices.map(([value, text]) =>
          page.el("option", { value, selected: String(value) === String(chosen) }, text),
        ),
      ),
    );

  page.copyButton = (text) => {
    const button = page.el("button", { type: "button", class: "copy" }, "Copy");
    const say = (word) => {
      button.textContent = word;
      setTimeout(() => (button.textContent = "Copy"), 1600);
    };
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        say("Copied");
      } catch {
        // Pages from disk may lack the clipboard: select the text, so that one keystroke copies.
        const code = button.parentElement.querySelector("code");
        getSelection().selectAllChildren(code);
        say(document.execCommand("copy") ? "Copied" : "Selected");
      }
    });
    return button;
  };

  page.commandLine = (command) =>
    page.el("div", { class: "command" }, page.copyButton(command), page.el("code", null, command));

  // Names of layers without the beginning that all layers of the run share, such as "features.";
  // of "blocks.0" and "blocks.1" no bare number is left.
  const shorts = new Map();
  page.short = (run, layer) => {
    if (!shorts.has(run.id)) {
      const names = run.layers.map((some) => some.name);
      const [first] = names;
      const ends = [...first.matchAll(/[./]/g)].map((found) => found.index + 1).reverse();
      const shared =
        names.length > 1 &&
        ends.find((end) =>
          names.every((name) => name.startsWith(first.slice(0, end)) && /^\D/.test(name.slice(end))),
        );
      shorts.set(
        run.id,
        names.map((name) => name.slice(shared || 0)),
      );
    }
    return shorts.get(run.id)[layer];
  };

  // Long identifiers break after dots and slashes, very long ones after underscores too.
  page.breakable = (name) =>
    name
      .split(name.length > 24 ? /(?<=[._/])/ : /(?<=[./])/)
      .flatMap((part, i) => (i ? [page.el("wbr"), part] : [part]));
})();
