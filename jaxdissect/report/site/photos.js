// Photographs lit where a unit is active: masks as text become outlines drawn over the picture.

"use strict";

(() => {
  const page = jaxdissectPage;
  const { el, svg } = page;

  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const valueOf = new Map([...DIGITS].map((digit, value) => [digit, value]));

  // Run lengths, off first, in base 32, lowest digit first; 32 more means that digits follow.
  const runLengths = (text) => {
    const lengths = [];
    let length = 0;
    let place = 1;
    for (const character of text) {
      const digit = valueOf.get(character);
      length += (digit % 32) * place;
      place *= 32;
      if (digit < 32) {
        lengths.push(length);
        length = 0;
        place = 1;
      }
    }
    return lengths;
  };

  page.mask = (text, [rows, columns]) => {
    const cells = new Uint8Array(rows * columns);
    let at = 0;
    runLengths(text).forEach((length, i) => {
      if (i % 2) cells.fill(1, at, at + length);
      at += length;
    });
    return cells;
  };

  page.shareOf = (text, [rows, columns]) =>
    runLengths(text).reduce((sum, length, i) => (i % 2 ? sum + length : sum), 0) / (rows * columns);

  // The outline of the cells that are on, as the data of an SVG path in units of cells. Edges run
  // with the region on their right, so that chains close; where four meet, any pairing is right.
  const outline = (cells, [rows, columns]) => {
    const on = (row, column) =>
      row >= 0 && row < rows && column >= 0 && column < columns && cells[row * columns + column];
    const next = new Map();
    const edge = (x, y, toX, toY) => {
      const from = y * (columns + 1) + x;
      if (!next.has(from)) next.set(from, []);
      next.get(from).push(toY * (columns + 1) + toX);
    };
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        if (!on(row, column)) continue;
        if (!on(row - 1, column)) edge(column, row, column + 1, row);
        if (!on(row, column + 1)) edge(column + 1, row, column + 1, row + 1);
        if (!on(row + 1, column)) edge(column + 1, row + 1, column, row + 1);
        if (!on(row, column - 1)) edge(column, row + 1, column, row);
      }
    }
    const parts = [];
    for (const start of next.keys()) {
      while (next.get(start).length) {
        let point = start;
        let step = 0;
        parts.push(`M${point % (columns + 1)} ${Math.floor(point / (columns + 1))}`);
        do {
          const to = next.get(point).pop();
          const now = to - point;
          const [x, y] = [to % (columns + 1), Math.floor(to / (columns + 1))];
          const command = Math.abs(now) === 1 ? `H${x}` : `V${y}`;
          if (now === step) parts[parts.length - 1] = command;
          else parts.push(command);
          step = now;
          point = to;
        } while (point !== start);
        parts.push("Z");
      }
    }
    return parts.join("");
  };

  const outlines = new Map();
  const outlineOf = (text, size) => {
    const key = `${size} ${text}`;
    if (!outlines.has(key)) {
      if (outlines.size > 4000) outlines.clear();
      outlines.set(key, outline(page.mask(text, size), size));
    }
    return outlines.get(key);
  };

  page.photoAddress = (run, position) => `${run.photos.directory}/${position}.jpg`;

  const picture = (run, position, alt, eager) =>
    el("img", {
      src: page.photoAddress(run, position),
      alt,
      width: run.photos.width,
      height: run.photos.height,
      loading: eager ? "eager" : "lazy",
      decoding: "async",
      draggable: "false",
    });

  // Once a picture is there, overlays take on its proportions, which may differ from others'.
  const whenKnown = (image, run, react) => {
    react(run.photos.width, run.photos.height);
    image.addEventListener("load", () => {
      const { naturalWidth, naturalHeight } = image;
      if (naturalWidth * run.photos.height !== naturalHeight * run.photos.width) {
        react(naturalWidth, naturalHeight);
      }
    });
  };

  // A photograph with everything but the unit's region in shade. `crop` fills a square with it.
  page.lit = (
    run,
    { photo, mask, concept_mask: concept },
    { alt = "", crop = false, eager } = {},
  ) => {
    const size = run.photos.mask;
    const image = picture(run, photo, alt, eager);
    const kind = ["lit", crop && "crop", concept && "two"].filter(Boolean).join(" ");
    const tile = el("span", { class: kind }, image);
    if (mask === null || mask === undefined) return tile;
    const [rows, columns] = size;
    const region = mask === "" ? "" : outlineOf(mask, size);
    const marks = svg(
      "g",
      null,
      svg("path", {
        class: "shade",
        "fill-rule": "evenodd",
        d: `M0 0H${columns}V${rows}H0Z${region}`,
      }),
      region && svg("path", { class: "edge", d: region }),
      concept && svg("path", { class: "concept-edge under", d: outlineOf(concept, size) }),
      concept && svg("path", { class: "concept-edge", d: outlineOf(concept, size) }),
    );
    const overlay = svg(
      "svg",
      { "aria-hidden": "true", preserveAspectRatio: `xMidYMid ${crop ? "slice" : "meet"}` },
      marks,
    );
    whenKnown(image, run, (width, height) => {
      overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
      marks.setAttribute("transform", `scale(${width / columns} ${height / rows})`);
    });
    tile.append(overlay);
    return tile;
  };

  // The part of a photograph that a unit sees at its peak. Boxes too small to recognise anything in
  // are shown with what lies around them, and outlined.
  const SMALLEST = 0.2;
  page.patch = (run, { photo, box }, alt) => {
    const image = picture(run, photo, alt);
    const frame = el("span", { class: "frame" }, image);
    const widen = (low, high) => {
      const size = Math.max(high - low, SMALLEST);
      const start = Math.min(Math.max((low + high - size) / 2, 0), 1 - size);
      return [start, start + size];
    };
    const [left, right] = widen(box[0], box[2]);
    const [top, bottom] = widen(box[1], box[3]);
    const [across, down] = [right - left, bottom - top];
    const small = across > box[2] - box[0] + 1e-6 || down > box[3] - box[1] + 1e-6;
    image.style.width = `${100 / across}%`;
    image.style.height = `${100 / down}%`;
    image.style.left = `${(-100 * left) / across}%`;
    image.style.top = `${(-100 * top) / down}%`;
    if (small) {
      const part = (value) => `${100 * value}%`;
      frame.append(
        el("span", {
          class: "field-edge",
          style: {
            left: part((box[0] - left) / across),
            top: part((box[1] - top) / down),
            width: part((box[2] - box[0]) / across),
            height: part((box[3] - box[1]) / down),
          },
        }),
      );
    }
    whenKnown(image, run, (width, height) => {
      const shape = (across * width) / (down * height);
      frame.style.aspectRatio = String(shape);
      frame.classList.toggle("tall", shape < 1);
    });
    return el("span", { class: "patch" }, frame);
  };

  // What is drawn after the frame that shows the words: pictures in grids wait here, a few
  // milliseconds of them at a time, so that typing and scrolling never wait for them.
  const SLICE = 8;
  let waiting = [];
  let asked = false;

  const work = () => {
    const end = performance.now() + SLICE;
    while (waiting.length && performance.now() < end) {
      const next = waiting.findIndex(({ node }) => node.isConnected);
      const [{ draw }] = waiting.splice(Math.max(0, next), 1);
      draw();
    }
    asked = waiting.length > 0;
    if (asked) setTimeout(work);
  };

  // Paper does not wait: draw all that is in the document, and load it now.
  page.drawPictures = () => {
    const here = waiting.filter(({ node }) => node.isConnected);
    waiting = waiting.filter(({ node }) => !node.isConnected);
    for (const { draw } of here) draw();
    for (const image of document.querySelectorAll("#main img")) image.loading = "eager";
  };

  const afterwards = (node, draw) => {
    waiting.push({ node, draw });
    if (!asked) {
      asked = true;
      requestAnimationFrame(() => setTimeout(work));
    }
  };

  // The first images of a unit, once its layer's file has arrived.
  page.strip = (table, i, number = 4) => {
    const { run } = table;
    const holder = el("span", { class: "strip", "aria-hidden": "true" });
    if (run.photos === null) return holder;
    const draw = (strips) => {
      const unit = table.unit[i];
      const tiles = strips.photos[unit]
        .slice(0, number)
        .map((photo, k) => page.lit(run, { photo, mask: strips.masks[unit][k] }, { crop: true }));
      holder.replaceChildren(...tiles);
    };
    for (let k = 0; k < number; k += 1) holder.append(el("span", { class: "lit crop" }));
    const key = `${run.id}/${table.layer[i]}`;
    const there = page.atHand("strips", key);
    if (there) afterwards(holder, () => draw(there));
    else {
      page.need("strips", key).then(
        (strips) => afterwards(holder, () => draw(strips)),
        () => holder.classList.add("missing"),
      );
    }
    return holder;
  };
})();
