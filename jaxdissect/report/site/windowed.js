// Long lists of which only what is near the window exists: 4,224 units open as fast as 40.

"use strict";

(() => {
  const page = jaxdissectPage;

  const BEYOND = 600; // pixels above and below the window that are ready
  const PRINTED = 96;
  const KEPT = 400; // items that are kept for when they are found again

  // Fill `holder` with items in rows of equal height: place `i` shows item `key(i)`, which
  // `make(i)` makes and `number(node, i)` tells its place. `spacer()` makes what stands for the
  // places above and below. Items that stay keep their elements, so focus stays too.
  page.windowed = (holder, { key, make, number: tell, spacer, perRow, guess }) => {
    const kept = new Map();
    const item = (i) => {
      const name = key(i);
      let node = kept.get(name);
      if (node === undefined || node.isConnected) {
        node = make(i);
        if (kept.size >= KEPT) kept.delete(kept.keys().next().value);
        kept.set(name, node);
      }
      tell?.(node, i);
      return node;
    };
    let count = 0;
    let rowHeight = 0;
    let printing = false;
    let asked = 0;
    const shown = new Map();
    const above = spacer();
    const below = spacer();
    holder.append(above, below);

    const forget = () => {
      for (const node of shown.values()) node.remove();
      shown.clear();
    };

    const draw = () => {
      asked = 0;
      if (!holder.isConnected) return;
      const across = perRow();
      const tall = rowHeight || guess;
      const rows = Math.ceil(count / across);
      const top = above.getBoundingClientRect().top;
      const clamp = (row) => Math.min(Math.max(row, 0), rows);
      const first = printing ? 0 : clamp(Math.floor((-top - BEYOND) / tall));
      const last = printing
        ? clamp(Math.ceil(PRINTED / across))
        : clamp(Math.ceil((innerHeight - top + BEYOND) / tall));
      const [from, to] = [first * across, Math.min(last * across, count)];
      for (const [i, node] of shown) {
        if ((i < from || i >= to) && !node.contains(document.activeElement)) {
          node.remove();
          shown.delete(i);
        }
      }
      let after = above;
      const early = [...shown.keys()].filter((i) => i < from).sort((a, b) => a - b);
      for (const i of early) after = shown.get(i);
      for (let i = from; i < to; i += 1) {
        if (!shown.has(i)) {
          const node = item(i);
          after.after(node);
          shown.set(i, node);
        }
        after = shown.get(i);
      }
      above.style.height = `${first * tall}px`;
      below.style.height = printing ? "0" : `${Math.max(0, rows - last) * tall}px`;
      const known = shown.get(from);
      if (known) {
        const later = shown.get(from + across);
        const measured = later
          ? later.getBoundingClientRect().top - known.getBoundingClientRect().top
          : known.getBoundingClientRect().height;
        if (measured > 0 && Math.abs(measured - rowHeight) > 0.5) {
          rowHeight = measured;
          draw();
        }
      }
    };

    const ask = () => {
      if (!asked) asked = requestAnimationFrame(draw);
    };
    const heed = () => {
      if (!holder.isConnected) stop();
      else ask();
    };
    const print = (event) => {
      printing = event.type === "beforeprint";
      draw();
      if (printing) page.drawPictures();
    };
    let width = 0;
    const watched = new ResizeObserver(([entry]) => {
      const changed = Math.abs(entry.contentRect.width - width) > 0.5;
      width = entry.contentRect.width;
      if (!changed) return;
      rowHeight = 0;
      ask();
    });
    const stop = () => {
      removeEventListener("scroll", heed);
      removeEventListener("resize", heed);
      removeEventListener("beforeprint", print);
      removeEventListener("afterprint", print);
      watched.disconnect();
    };
    addEventListener("scroll", heed, { passive: true });
    addEventListener("resize", heed); // a taller window shows more
    addEventListener("beforeprint", print);
    addEventListener("afterprint", print);
    watched.observe(holder);

    const focus = (i) => {
      if (i < 0 || i >= count) return;
      if (!shown.has(i)) {
        const top = holder.getBoundingClientRect().top + scrollY;
        scrollTo(0, top + Math.floor(i / perRow()) * rowHeight - innerHeight / 3);
        draw();
      }
      const node = shown.get(i);
      (node.matches("a,button") ? node : node.querySelector("a,button")).focus();
    };

    holder.addEventListener("keydown", (event) => {
      const across = perRow();
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
      if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      if (across === 1 && Math.abs(step) === 1 && event.key.match(/Left|Right/)) return;
      for (const [i, node] of shown) {
        if (node.contains(document.activeElement)) {
          event.preventDefault();
          event.stopPropagation();
          focus(i + step);
          return;
        }
      }
    });

    return {
      // Show `number` items made anew.
      show: (number) => {
        count = number;
        forget();
        draw();
      },
      stop,
    };
  };

  // A grid of cards: as many columns as fit.
  page.cardList = (label, key, make) => {
    const holder = page.el("ul", { class: "cards", "aria-label": label });
    const perRow = () => {
      const columns = getComputedStyle(holder).gridTemplateColumns.split(" ").length;
      return Math.max(1, columns);
    };
    const list = page.windowed(holder, {
      key,
      make: (i) => page.el("li", null, make(i)),
      spacer: () => page.el("li", { class: "spacer", "aria-hidden": "true", role: "presentation" }),
      perRow,
      guess: 260,
    });
    return { holder, show: list.show };
  };

  page.rowList = (body, key, make, columns) => {
    const list = page.windowed(body, {
      key,
      make,
      number: (row, i) => row.setAttribute("aria-rowindex", i + 2),
      spacer: () =>
        page.el(
          "tr",
          { class: "spacer", "aria-hidden": "true" },
          page.el("td", { colspan: columns }),
        ),
      perRow: () => 1,
      guess: 56,
    });
    return list;
  };
})();
