// The image, and the brush on it: mouse, pen, finger and keyboard make strokes in image pixels.

const FRACTIONS = 16; // coordinates are multiples of 1/16 pixel, as the server reads them
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Board {
  // onStroke(points, finished) is told of a stroke while it grows and when it is finished, onCancel
  // when it is dropped.
  constructor(element, { imageSize, cells, maxPoints, onStroke, onCancel }) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    [this.height, this.width] = imageSize;
    [this.rows, this.columns] = cells;
    this.maxPoints = maxPoints;
    this.onStroke = onStroke;
    this.onCancel = onCancel;
    this.points = null; // of the stroke that grows
    this.pointer = null; // id of what draws it; "keyboard" for keys
    this.cursor = null; // where the brush is shown
    // The brush of the keyboard starts in the middle of a cell.
    const middle = (size, cells) => ((Math.floor(cells / 2) + 0.5) * size) / cells;
    this.keyboard = this.#inside(middle(this.width, this.columns), middle(this.height, this.rows));
    this.brush = 1;
    this.showGrid = true;
    this.painted = [];
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(element);
  }

  update(changes) {
    Object.assign(this, changes);
    this.draw();
  }

  cancel() {
    if (this.points === null) return;
    this.points = this.pointer = null;
    this.onCancel();
    this.draw();
  }

  #listen() {
    const { element } = this;
    element.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary || event.button !== 0 || this.points !== null) return;
      element.setPointerCapture(event.pointerId);
      this.#start(event.pointerId, this.#place(event));
    });
    element.addEventListener("pointermove", (event) => {
      if (this.points !== null && this.pointer === event.pointerId) {
        const events = event.getCoalescedEvents?.() ?? [];
        for (const each of events.length ? events : [event]) this.#extend(this.#place(each));
      }
      if (this.pointer !== "keyboard") this.update({ cursor: this.#place(event) });
    });
    element.addEventListener("pointerup", (event) => {
      if (this.pointer === event.pointerId) this.#finish();
    });
    element.addEventListener("pointercancel", (event) => {
      if (this.pointer === event.pointerId) this.cancel();
    });
    element.addEventListener("pointerleave", () => {
      if (this.points === null) this.update({ cursor: null });
    });
    element.addEventListener("keydown", (event) => this.#keyDown(event));
    element.addEventListener("keyup", (event) => {
      if (event.key === " " && this.pointer === "keyboard") this.#finish();
    });
    element.addEventListener("focus", () => {
      if (element.matches(":focus-visible")) this.update({ cursor: this.keyboard });
    });
    element.addEventListener("blur", () => {
      if (this.pointer === "keyboard") this.#finish();
      this.update({ cursor: null });
    });
  }

  #keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) {
      const [x, y] = ARROWS[event.key];
      const [across, down] = event.shiftKey
        ? [1, 1]
        : [this.width / this.columns, this.height / this.rows];
      this.keyboard = this.#inside(this.keyboard[0] + x * across, this.keyboard[1] + y * down);
      if (this.pointer === "keyboard") this.#extend(this.keyboard);
      this.update({ cursor: this.keyboard });
    } else if (event.key === " ") {
      if (!event.repeat && this.points === null) this.#start("keyboard", this.keyboard);
      this.update({ cursor: this.keyboard });
    } else if (event.key === "Escape") {
      this.cancel();
    } else {
      return;
    }
    event.preventDefault();
  }

  #start(pointer, point) {
    this.pointer = pointer;
    this.points = [point];
    this.#tell(false);
  }

  #extend(point) {
    const last = this.points.at(-1);
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) < 0.5) return;
    this.points.push(point);
    if (this.points.length < this.maxPoints) {
      this.#tell(false);
    } else {
      this.#tell(true); // a stroke can hold no more: go on with another
      this.points = [point];
    }
  }

  #finish() {
    const { points } = this;
    this.pointer = null;
    this.points = null;
    this.onStroke(points, true);
    this.draw();
  }

  #tell(finished) {
    this.onStroke([...this.points], finished);
    this.draw();
  }

  #place(event) {
    const box = this.element.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.width;
    const y = ((event.clientY - box.top) / box.height) * this.height;
    return this.#inside(x, y);
  }

  #inside(x, y) {
    const round = (value, most) =>
      Math.min(Math.max(Math.round(value * FRACTIONS) / FRACTIONS, 0), most);
    return [round(x, this.width), round(y, this.height)];
  }

  draw() {
    const { canvas } = this;
    const box = this.element.getBoundingClientRect();
    canvas.width = Math.round(box.width * devicePixelRatio);
    canvas.height = Math.round(box.height * devicePixelRatio);
    const pen = canvas.getContext("2d");
    const scale = canvas.width / this.width; // from image pixels
    const line = devicePixelRatio;
    const [cellWidth, cellHeight] = [canvas.width / this.columns, canvas.height / this.rows];
    const twoTone = (path, width) => {
      for (const [color, more] of [["rgb(0 0 0 / .75)", 2 * line], ["#fff", 0]]) {
        pen.strokeStyle = color;
        pen.lineWidth = width + more;
        pen.stroke(path);
      }
    };
    if (this.showGrid) {
      const grid = new Path2D();
      for (let row = 1; row < this.rows; row += 1) {
        grid.moveTo(0, row * cellHeight);
        grid.lineTo(canvas.width, row * cellHeight);
      }
      for (let column = 1; column < this.columns; column += 1) {
        grid.moveTo(column * cellWidth, 0);
        grid.lineTo(column * cellWidth, canvas.height);
      }
      pen.strokeStyle = "rgb(255 255 255 / .4)";
      pen.lineWidth = line;
      pen.stroke(grid);
      twoTone(this.#borders(cellWidth, cellHeight), 2 * line);
    }
    if (this.points !== null) {
      pen.strokeStyle = "rgb(255 255 255 / .35)";
      pen.lineWidth = this.brush * scale;
      pen.lineCap = pen.lineJoin = "round";
      const path = new Path2D();
      const [first, ...rest] = this.points;
      path.moveTo(first[0] * scale, first[1] * scale);
      for (const [x, y] of rest.length ? rest : [first]) path.lineTo(x * scale, y * scale);
      pen.stroke(path);
    }
    if (this.cursor !== null) {
      const circle = new Path2D();
      const [x, y] = this.cursor;
      circle.arc(x * scale, y * scale, Math.max((this.brush / 2) * scale, 3 * line), 0, 7);
      twoTone(circle, 1.5 * line);
    }
  }

  // The outline of all painted cells together.
  #borders(width, height) {
    const painted = new Set(this.painted.map(([row, column]) => row * this.columns + column));
    const has = (row, column) =>
      row >= 0 && row < this.rows && column >= 0 && column < this.columns
      && painted.has(row * this.columns + column);
    const path = new Path2D();
    for (const [row, column] of this.painted) {
      const [left, top] = [column * width, row * height];
      for (const [other, from, to] of [
        [has(row - 1, column), [left, top], [left + width, top]],
        [has(row + 1, column), [left, top + height], [left + width, top + height]],
        [has(row, column - 1), [left, top], [left, top + height]],
        [has(row, column + 1), [left + width, top], [left + width, top + height]],
      ]) {
        if (other) continue;
        path.moveTo(...from);
        path.lineTo(...to);
      }
    }
    return path;
  }
}
