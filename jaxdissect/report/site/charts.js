// Charts: tables whose cells hold bars, so that they read aloud, print and shrink as tables do, and
// a histogram. Bars stretch with their column; the numbers stand beside them.

"use strict";

(() => {
  const page = jaxdissectPage;
  const { el, svg } = page;

  // A bar of several parts. `parts` are {size, color, title, address}; `limit` fills the column.
  page.bar = (parts, limit, { mark = null, thin = false } = {}) => {
    let at = 0;
    const shapes = parts
      .filter((part) => part.size > 0)
      .map((part) => {
        const shape = svg(
          "rect",
          {
            x: (100 * at) / limit,
            width: (100 * part.size) / limit,
            y: 0,
            height: 10,
            class: part.class,
            style: part.color ? { "--color": part.color } : {},
          },
          part.title && svg("title", null, part.title),
        );
        at += part.size;
        return shape;
      });
    return svg(
      "svg",
      {
        class: thin ? "bar thin" : "bar",
        viewBox: "0 0 100 10",
        preserveAspectRatio: "none",
        "aria-hidden": "true",
      },
      shapes,
      mark !== null &&
        svg("line", {
          class: "mark",
          x1: (100 * mark) / limit,
          x2: (100 * mark) / limit,
          y1: 0,
          y2: 10,
        }),
    );
  };

  const SHORT = 20; // characters that stay on one line

  const rowHead = (head) => {
    const cell = el("th", { scope: "row" }, head);
    cell.classList.toggle("short", cell.textContent.length <= SHORT);
    return cell;
  };

  // Rows of [heading, bar, number]. A row is {head, parts, number, below, title}; `below` is a second
  // bar that stands under the first for comparison, {parts, number}.
  page.bars = (caption, rows, { limit, mark = null, columns = ["", ""] } = {}) => {
    const most =
      limit ??
      Math.max(
        1e-9,
        ...rows.flatMap((row) =>
          [row, row.below]
            .filter(Boolean)
            .map((some) => some.parts.reduce((sum, part) => sum + part.size, 0)),
        ),
      );
    return el(
      "table",
      { class: "bars" },
      el("caption", null, caption),
      el(
        "thead",
        { class: "hidden" },
        el(
          "tr",
          null,
          el("th", { scope: "col" }, columns[0]),
          el("td"),
          el("th", { scope: "col" }, columns[1]),
        ),
      ),
      el(
        "tbody",
        null,
        rows.map((row) =>
          el(
            "tr",
            null,
            rowHead(row.head),
            el(
              "td",
              { class: "plot" },
              page.bar(row.parts, most, { mark }),
              row.below && page.bar(row.below.parts, most, { thin: true }),
            ),
            el(
              "td",
              { class: "number" },
              row.number,
              row.below && el("span", { class: "below" }, row.below.number),
            ),
          ),
        ),
      ),
    );
  };

  page.legend = (categories, more = []) =>
    el(
      "ul",
      { class: "legend" },
      categories.map((category) => el("li", null, page.dot(category), category)),
      more.map(([name, text]) => el("li", null, el("span", { class: `sample ${name}` }), text)),
    );

  // Counts of values between edges. `line`, one of them but for rounding, is drawn, and what lies
  // above it is lit.
  page.histogram = ({
    edges,
    counts,
    line = null,
    lineLabel,
    label,
    logarithmic = true,
    show = page.value,
  }) => {
    const [low, high] = [edges[0], edges.at(-1)];
    const place = (value) => (100 * (value - low)) / (high - low || 1);
    const height = logarithmic ? (count) => Math.log10(1 + count) : (count) => count;
    const top = Math.max(1e-9, ...counts.map(height));
    const gap = (i) => Math.abs(edges[i] - line);
    const split =
      line === null ? Infinity : edges.reduce((best, _, i) => (gap(i) < gap(best) ? i : best), 0);
    const bars = counts.map((count, i) => {
      const tall = (96 * height(count)) / top;
      return svg(
        "rect",
        {
          class: i >= split ? "over" : "under",
          x: place(edges[i]),
          width: Math.max(0.05, place(edges[i + 1]) - place(edges[i])),
          y: 100 - tall,
          height: tall,
        },
        svg("title", null, `${show(edges[i])} to ${show(edges[i + 1])}: ${page.count(count)}`),
      );
    });
    const inside = line !== null && line >= low && line <= high;
    return el(
      "div",
      { class: "histogram", role: "img", "aria-label": label },
      inside &&
        el(
          "span",
          {
            class: place(line) > 60 ? "line-label left" : "line-label",
            style: { "--at": `${place(line)}%` },
          },
          lineLabel,
        ),
      svg(
        "svg",
        { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" },
        bars,
        inside && svg("line", { class: "mark", x1: place(line), x2: place(line), y1: 0, y2: 100 }),
      ),
      el("span", { class: "axis" }, el("span", null, show(low)), el("span", null, show(high))),
    );
  };

  // Any table of a result, sorted by a click on a heading. Cells are plain values, estimates with an
  // interval {value, low, high}, or units {layer, unit}.
  const amount = (cell) => {
    if (cell !== null && typeof cell === "object") return cell.value ?? cell.unit ?? null;
    return typeof cell === "boolean" ? Number(cell) : cell;
  };

  const shownCell = (cell) => {
    if (cell === null || typeof cell !== "object") return page.cell(cell);
    if ("unit" in cell) {
      const run = cell.run ? page.runOf(cell.run) : undefined;
      const layer = run ? run.layers.findIndex((some) => some.name === cell.layer) : -1;
      return layer >= 0 && cell.unit < run.layers[layer].units
        ? page.link(page.address("unit", run.id, layer, cell.unit), null, String(cell.unit))
        : String(cell.unit);
    }
    const interval =
      cell.low === null || cell.low === undefined
        ? null
        : ` [${page.value(cell.low)}, ${page.value(cell.high)}]`;
    return [page.cell(cell.value), interval && el("span", { class: "interval" }, interval)];
  };

  page.compareCells = (a, b) => {
    if (a === null || a === undefined) return b === null || b === undefined ? 0 : 1;
    if (b === null || b === undefined) return -1;
    if (page.isNumber(a) && page.isNumber(b)) return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const LONG = 15; // rows that a long table shows at first; on paper it shows all

  page.sortable = ({ caption, header, rows, note }) => {
    const numeric = header.map(
      (_, k) =>
        rows.some((row) => page.isNumber(amount(row[k]))) &&
        rows.every((row) => row[k] === null || page.isNumber(amount(row[k]))),
    );
    let order = rows.map((_, i) => i);
    let sorted = { column: -1, down: false };
    let all = rows.length <= LONG + 5;
    const id = `table-${(page.sortable.made = (page.sortable.made ?? 0) + 1)}`;
    const body = el("tbody");
    const more = el("button", { type: "button", class: "quiet" });
    const draw = () => {
      body.replaceChildren(
        ...order.map((i, place) =>
          el(
            "tr",
            { class: !all && place >= LONG && "folded" },
            rows[i].map((cell, k) => el("td", { class: numeric[k] && "number" }, shownCell(cell))),
          ),
        ),
      );
      more.hidden = all;
      more.textContent = `Show all ${page.count(rows.length)} rows`;
    };
    more.addEventListener("click", () => {
      all = true;
      draw();
    });
    const heads = header.map((name, k) => {
      const head = el("th", { scope: "col", class: numeric[k] && "number" });
      const press = () => {
        const down = sorted.column === k ? !sorted.down : numeric[k];
        sorted = { column: k, down };
        order = rows
          .map((_, i) => i)
          .sort((i, j) => {
            const [a, b] = [amount(rows[i][k]), amount(rows[j][k])];
            const missing = (a === null) !== (b === null);
            const found = page.compareCells(a, b);
            return (down && !missing ? -found : found) || i - j;
          });
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        draw();
      };
      head.append(el("button", { type: "button", on: { click: press } }, name));
      return head;
    });
    draw();
    return el(
      "div",
      { class: "table" },
      page.prose(caption, { class: "note caption", id }),
      el(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": id },
        el(
          "table",
          { class: "data", "aria-labelledby": id },
          el("thead", null, el("tr", null, heads)),
          body,
        ),
      ),
      more,
      note && page.prose(note, { class: "note" }),
    );
  };
})();
