// The painting page: its state is the strokes on every sample; the server makes images of them.

import { Board } from "./board.js";
import { History, documentOf, strokesOf } from "./history.js";

const $ = (id) => document.getElementById(id);
const OWN = "own units";
const SHOWN_AREAS = 7;

const history = new History();
let session;
let board;
let sample = 0;
let live = null; // the stroke that grows
let shown = null; // what the server said last, and the document it was said of
let busy = false;
let wanted = false; // the painting changed while the server was busy
let doing = ""; // what the user did last, for the status line

// --- talking to the server ------------------------------------------------------------------------

async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer. Is `jaxdissect paint` still running?");
  }
  const found = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (!answer.ok) throw new Error(`The server refused: ${found.error}`);
  return found;
}

function render(painting) {
  const headers = { "content-type": "application/json" };
  return ask("render", { method: "POST", headers, body: JSON.stringify(painting) });
}

// Render the present painting. While the server is busy, only the last of all changes waits.
async function refresh() {
  wanted = true;
  if (busy) return;
  busy = true;
  $("board").dataset.busy = "true";
  try {
    while (wanted) {
      wanted = false;
      const strokes = [...history.strokes(sample), ...(live === null ? [] : [live])];
      const painting = documentOf(session.document, sample, strokes);
      const start = performance.now();
      const found = await render(painting);
      shown = { ...found, painting, all: performance.now() - start };
      if (painting.example === sample) show();
    }
    hideError();
  } catch (problem) {
    showError(problem.message, refresh);
  } finally {
    busy = false;
    $("board").dataset.busy = "false";
    updateButtons();
  }
}

function showError(message, retry) {
  $("error-text").textContent = message;
  $("error").hidden = false;
  $("retry").hidden = !retry;
  $("retry").onclick = retry;
}

function hideError() {
  $("error").hidden = true;
}

// --- showing --------------------------------------------------------------------------------------

function show() {
  const { image, cells, painting, milliseconds, all } = shown;
  const count = painting.strokes.length;
  $("waiting").hidden = true;
  if (!$("original").checked) $("picture").src = image;
  $("picture").alt = `Sample ${sample}, ${count} ${count === 1 ? "stroke" : "strokes"}`;
  board.update({ painted: cells });
  const [rows, columns] = session.cells;
  $("status").textContent = `${doing} ${cells.length} of ${rows * columns} cells painted.`;
  $("times").textContent =
    `Image made in ${milliseconds.toFixed(0)} ms, shown after ${all.toFixed(0)} ms.`;
  showChanges(shown.areas, painting);
}

// The areas that changed most, after those of the concepts that were painted with.
function showChanges(areas, painting) {
  const names = Object.keys(painting.paints).map((name) => name.split(", ")[0]);
  const known = new Set(session.concepts.map(({ name }) => name));
  const painted = [...new Set(names)].filter((name) => known.has(name));
  const first = painted.map((concept) =>
    areas.find((area) => area.concept === concept) ?? { concept, before: 0, after: 0 });
  const others = areas.filter(({ concept, before, after }) =>
    before !== after && !painted.includes(concept));
  const shownAreas = session.segmented && painting.strokes.length
    ? [...first, ...others].slice(0, Math.max(SHOWN_AREAS, first.length))
    : [];
  const [height, width] = session.document.image_size;
  $("changes-help").textContent = !session.segmented
    ? "No segmenter looks at these images."
    : painting.strokes.length === 0
      ? "Nothing is painted yet."
      : shownAreas.length === 0
        ? "A segmenter sees no object with another area."
        : `Pixels of each object, as a segmenter sees them, of ${height * width}.`;
  $("changes-table").hidden = shownAreas.length === 0;
  const rows = shownAreas.map(({ concept, before, after }) => {
    const row = document.createElement("tr");
    const sign = after > before ? "+" : after < before ? "−" : "";
    const texts = [concept, before, after, `${sign}${Math.abs(after - before)}`];
    for (const [index, text] of texts.entries()) {
      const cell = document.createElement(index ? "td" : "th");
      if (!index) cell.scope = "row";
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  });
  $("changes-table").tBodies[0].replaceChildren(...rows);
}

function updateButtons() {
  $("undo").disabled = !history.canMove(sample, -1);
  $("redo").disabled = !history.canMove(sample, 1);
  $("reset").disabled = history.strokes(sample).length === 0;
  const ready = shown !== null && !busy;
  for (const id of ["save-image", "save-edit"]) $(id).disabled = !ready;
}

// --- the brush ------------------------------------------------------------------------------------

const action = () => document.querySelector("input[name=action]:checked").value;

function ownUnits() {
  const words = $("own").value.split(/[\s,;]+/).filter(Boolean);
  const units = words.map(Number);
  const most = session.units - 1;
  const good = (unit) => Number.isInteger(unit) && unit >= 0 && unit <= most;
  const wrong = words.filter((_, index) => !good(units[index]));
  let problem = "";
  if (wrong.length) problem = `${wrong[0]} is no unit: they are 0 to ${most}.`;
  else if (!units.length) problem = "Name at least one unit.";
  else if (new Set(units).size < units.length) problem = "Every unit once, please.";
  $("own-error").textContent = problem;
  $("own-error").hidden = !problem;
  $("own").setAttribute("aria-invalid", problem ? "true" : "false");
  return problem ? null : units;
}

// What the brush paints with now; undefined if the user named no good units.
function paint() {
  if (action() === "restore") return null;
  const name = $("concept").value;
  let units;
  let title;
  if (name === OWN) {
    units = ownUnits();
    if (units === null) return undefined;
    title = `units ${units.join(" ")}`.slice(0, 150);
  } else {
    units = session.concepts.find((choice) => choice.name === name).units;
    units = units.slice(0, Number($("number").value));
    title = `${name}, ${units.length} units`;
  }
  return { name: title, units, values: units.map((unit) => session.levels[unit]) };
}

function onStroke(points, finished) {
  const used = paint();
  if (used === undefined) {
    showError(`Nothing to paint with: ${$("own-error").textContent}`);
    return;
  }
  const strokes = history.strokes(sample);
  if (strokes.length >= session.limits.strokes) {
    showError(`A painting has at most ${session.limits.strokes} strokes: save it, or undo some.`);
    return;
  }
  $("original").checked = false;
  live = {
    action: action(),
    paint: used,
    strength: Number($("strength").value) / 100,
    brush: Number($("brush").value),
    points,
  };
  if (finished) {
    const verbs = { draw: "Drew", erase: "Erased", restore: "Restored" };
    doing = `${verbs[live.action]}${used === null ? "" : ` ${$("concept").value}`}.`;
    history.push(sample, [...strokes, live]);
    live = null;
  }
  updateButtons();
  refresh();
}

function updateControls() {
  const [name, kind] = [$("concept").value, action()];
  const restore = kind === "restore";
  const what = name === OWN ? "the units" : `the best units for “${name}”`;
  $("action-help").textContent = {
    draw: `Sets ${what} to a high level: the one that each exceeds on only ${shownRest()}% of pixels.`,
    erase: `Sets ${what} to zero.`,
    restore: "Gives the place back as it was, all its units.",
  }[kind];
  $("concept-field").hidden = restore;
  $("number-field").hidden = restore || name === OWN;
  $("own-field").hidden = restore || name !== OWN;
  $("strength-field").hidden = restore;
  $("concept-help").hidden = name === OWN;
  $("number-value").textContent = $("number").value;
  $("brush-value").textContent = `${$("brush").value} px`;
  $("strength-value").textContent = `${$("strength").value}%`;
  board.update({ brush: Number($("brush").value), showGrid: $("grid").checked });
}

const shownRest = () => Number((100 - session.percent).toFixed(4));

// --- what the buttons do --------------------------------------------------------------------------

function move(by) {
  board.cancel();
  if (!history.canMove(sample, by)) return;
  history.move(sample, by);
  doing = by < 0 ? "Undone." : "Done again.";
  updateButtons();
  refresh();
}

function reset() {
  board.cancel();
  history.push(sample, []);
  doing = "Reset.";
  updateButtons();
  refresh();
}

function choose(number) {
  board.cancel();
  sample = number;
  doing = `Sample ${number}.`;
  $("original").checked = false;
  for (const button of $("sample-list").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(Number(button.value) === number));
  }
  updateButtons();
  return refresh();
}

function download(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

function saveEdit() {
  const text = JSON.stringify(shown.painting, null, 1);
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  download(address, `painting_${shown.painting.example}.json`);
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

async function openEdit(file) {
  let painting;
  try {
    painting = JSON.parse(await file.text());
  } catch {
    showError(`${file.name} is no JSON.`);
    return;
  }
  try {
    await render(painting);
  } catch (problem) {
    showError(problem.message);
    return;
  }
  history.push(painting.example, strokesOf(painting));
  await choose(painting.example);
}

// --- the beginning --------------------------------------------------------------------------------

function fillChoices() {
  const options = session.concepts.map(({ name, iou }) => [name, `${name} (IoU ${iou.toFixed(2)})`]);
  for (const [value, text] of [...options, [OWN, "Units of my own …"]]) {
    $("concept").add(new Option(text, value, value === "door", value === "door"));
  }
  const most = session.concepts[0]?.units.length ?? 1;
  Object.assign($("number"), { max: most, value: Math.min(session.usual_units, most) });
  const [height, width] = session.document.image_size;
  Object.assign($("brush"), { max: Math.max(height, width) / 2, value: width / session.cells[1] / 2 });
  $("strength").max = 100 * session.limits.strength;
  $("own-help").textContent = `0 to ${session.units - 1}, with commas between.`;
  const [rows, columns] = session.cells;
  $("layer").textContent = `${session.document.layer} (${rows} × ${columns} cells)`;
  Object.assign($("picture"), { width, height });
  const items = Array.from({ length: session.samples }, (_, number) => {
    const [item, button] = [document.createElement("li"), document.createElement("button")];
    Object.assign(button, { type: "button", value: String(number) });
    button.setAttribute("aria-label", `Sample ${number}`);
    button.append(Object.assign(new Image(width, height), { alt: "" }), String(number));
    button.addEventListener("click", () => choose(number));
    item.append(button);
    return item;
  });
  $("sample-list").replaceChildren(...items);
}

function listen() {
  $("undo").addEventListener("click", () => move(-1));
  $("redo").addEventListener("click", () => move(1));
  $("reset").addEventListener("click", reset);
  $("dismiss").addEventListener("click", hideError);
  $("save-image").addEventListener("click", () => download(shown.image, `painting_${shown.painting.example}.png`));
  $("save-edit").addEventListener("click", saveEdit);
  $("open-edit").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", async () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) await openEdit(file);
  });
  $("original").addEventListener("change", () => {
    $("picture").src = $("original").checked ? `samples/${sample}.png` : shown.image;
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("controls").addEventListener("input", updateControls);
  $("own").addEventListener("input", ownUnits);
  $("grid").addEventListener("change", updateControls);
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.target === $("own")) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    move(key === "z" && !event.shiftKey ? -1 : 1);
  });
}

async function begin() {
  hideError();
  try {
    session = await ask("session.json");
  } catch (problem) {
    showError(problem.message, begin);
    return;
  }
  const { document: { image_size: imageSize }, cells, limits } = session;
  const onCancel = () => {
    live = null;
    refresh();
  };
  board = new Board($("board"), { imageSize, cells, maxPoints: limits.points, onStroke, onCancel });
  fillChoices();
  listen();
  updateControls();
  await choose(0);
  // The image to paint on comes first.
  for (const button of $("sample-list").querySelectorAll("button")) {
    Object.assign(button.firstChild, { loading: "lazy", src: `samples/${button.value}.png` });
  }
}

begin();
