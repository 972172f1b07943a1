// Starts the page: the bar at the top, the views, the keyboard, and light or dark.

"use strict";

(() => {
  const page = jaxdissectPage;
  const { el } = page;
  const main = document.getElementById("main");

  // --- light and dark -----------------------------------------------------------------------------

  const root = document.documentElement;
  const SCHEMES = [
    ["auto", "Auto"],
    ["light", "Light"],
    ["dark", "Dark"],
  ];
  const stored = () => {
    try {
      return localStorage.getItem("jaxdissect-scheme") ?? "auto";
    } catch {
      return "auto"; // pages from disk may have no storage
    }
  };
  const wear = (scheme) => {
    if (scheme === "auto") delete root.dataset.scheme;
    else root.dataset.scheme = scheme;
  };
  const keepScheme = (scheme) => {
    wear(scheme);
    try {
      localStorage.setItem("jaxdissect-scheme", scheme);
    } catch {
      // It lasts as long as the page does.
    }
  };
  wear(stored());

  // --- parts that views share ---------------------------------------------------------------------

  // A heading, and beside it the choice of run where there are several.
  page.heading = (title, run, view) => {
    const head = el("h1", { tabindex: "-1" }, title);
    if (run === undefined || page.site.runs.length < 2) return head;
    const choice = page.select(
      "Run",
      page.site.runs.map((some) => [some.id, some.name]),
      run.id,
      (id) => (location.hash = page.address(view, id)),
      { class: "field run" },
    );
    const printed = el("p", { class: "print-only" }, run.name);
    return el("div", { class: "headline" }, head, choice, printed);
  };

  page.photosMissing = (run) =>
    run.photos === null && run.photos_missing
      ? page.prose(run.photos_missing, { class: "note missing" })
      : null;

  // --- the bar ------------------------------------------------------------------------------------

  const bar = document.getElementById("bar");
  const links = () => {
    const { runs, sections } = page.site;
    const units = runs.length > 0;
    const several = runs.length > 1 || runs.some((run) => run.layers.length > 1);
    return [
      ["overview", "Overview", ["overview"]],
      units && ["units", "Units", ["units", "unit"]],
      units && ["concepts", "Concepts", ["concepts", "concept"]],
      units && several && ["compare", "Compare", ["compare"]],
      sections.length > 0 &&
        !(runs.length === 0 && sections.length === 1) && [
          "results",
          "Results",
          ["results", "result"],
        ],
    ].filter(Boolean);
  };

  // The run a link of the bar stays with.
  const runInView = ({ view, parts }) =>
    ["overview", "units", "unit", "concepts", "concept"].includes(view) && page.runOf(parts[0])
      ? parts[0]
      : null;

  const drawBar = (route) => {
    const run = runInView(route);
    const nav = bar.querySelector("nav");
    nav.replaceChildren(
      ...links().map(([view, name, views]) =>
        page.link(
          run && ["overview", "units", "concepts"].includes(view)
            ? page.address(view, run)
            : page.address(view),
          { "aria-current": views.includes(route.view) ? "page" : null },
          name,
        ),
      ),
    );
  };

  const makeBar = () => {
    bar.append(
      page.link("#/overview", { class: "brand" }, page.site.title),
      el("nav", { "aria-label": "Views" }),
      el(
        "button",
        {
          type: "button",
          class: "icon",
          "aria-label": "Keyboard shortcuts",
          on: { click: () => help.showModal() },
        },
        "?",
      ),
      el(
        "label",
        { class: "scheme" },
        el("span", { class: "hidden" }, "Colours"),
        el(
          "select",
          { on: { change: (event) => keepScheme(event.target.value) } },
          SCHEMES.map(([value, name]) =>
            el("option", { value, selected: value === stored() }, name),
          ),
        ),
      ),
    );
  };

  // --- views --------------------------------------------------------------------------------------

  const places = new Map(); // how far each address was scrolled
  page.addressInView = null;
  let turn = 0;
  let byLink = true;

  const show = async () => {
    if (page.addressInView !== null) places.set(page.addressInView, scrollY);
    const route = page.route();
    const mine = (turn += 1);
    const view = page.views[route.view] ?? page.views.overview;
    const next = el("div", { class: `view ${route.view}` });
    drawBar(route);
    main.setAttribute("aria-busy", "true");
    // Lists measure themselves, so the view is in the document, unseen, before it is filled.
    const before = main.firstElementChild;
    try {
      const slow = setTimeout(() => mine === turn && before?.classList.add("waiting"), 150);
      const filled = view.draw(next, route);
      if (!before) main.append(next);
      else {
        next.classList.add("pending");
        main.append(next);
      }
      await filled;
      clearTimeout(slow);
    } catch (error) {
      if (mine === turn)
        next.append(page.problem(error), page.link("#/overview", { class: "onward" }, "Overview"));
    }
    if (mine !== turn) {
      next.remove();
      return;
    }
    next.classList.remove("pending");
    for (const other of [...main.children]) if (other !== next) other.remove();
    main.removeAttribute("aria-busy");
    page.drawn = route.view;
    page.addressInView = location.hash;
    dispatchEvent(new Event("scroll")); // lists that were unseen look where they are
    const heading = main.querySelector("h1");
    const name = heading?.textContent ?? "Nothing here";
    document.title = name === page.site.title ? name : `${name} \u2013 ${page.site.title}`;
    const kept = byLink ? 0 : (places.get(location.hash) ?? 0);
    byLink = false;
    scrollTo(0, kept);
    if (started) heading?.focus({ preventScroll: true });
    started = true;
  };
  let started = false;

  // --- keyboard -----------------------------------------------------------------------------------

  const help = el(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    el("h2", { id: "help-title" }, "Keyboard"),
    el(
      "dl",
      null,
      [
        ["/", "Search"],
        ["\u2190 \u2192", "Previous and next unit, or card"],
        ["\u2191 \u2193", "Card above and below"],
        ["Enter", "Open"],
        ["u", "Back to the list"],
        ["g then o, u, c, m, r", "Overview, units, concepts, compare, results"],
        ["?", "This list"],
      ].map(([keys, text]) =>
        el("div", null, el("dt", null, el("kbd", null, keys)), el("dd", null, text)),
      ),
    ),
    el("form", { method: "dialog" }, el("button", { autofocus: true }, "Close")),
  );
  document.body.append(help);

  const GO = { o: "overview", u: "units", c: "concepts", m: "compare", r: "results" };
  let leader = 0;

  const follow = (selector) => {
    const link = main.querySelector(selector);
    link?.click();
    return Boolean(link);
  };

  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || help.open) return;
    const typing = event.target.matches?.("input:not([type=radio]),select,textarea");
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (Date.now() - leader < 1200 && GO[event.key]) {
      leader = 0;
      if (links().some(([view]) => view === GO[event.key]))
        location.hash = page.address(GO[event.key]);
      return;
    }
    const actions = {
      g: () => (leader = Date.now()),
      "?": () => help.showModal(),
      "/": () => {
        const field = main.querySelector("[data-search]");
        if (field) field.select();
        else if (page.site.runs.length)
          location.hash = page.address("units", runInView(page.route()) ?? page.mainRuns()[0].id);
      },
      u: () => follow("[rel=up]"),
      ArrowLeft: () =>
        page.drawn === "unit" && !event.target.matches?.("input,.scroll") && follow("[rel=prev]"),
      ArrowRight: () =>
        page.drawn === "unit" && !event.target.matches?.("input,.scroll") && follow("[rel=next]"),
      ArrowDown: () => {
        const card =
          document.activeElement === main.querySelector("h1") && main.querySelector(".cards a");
        card?.focus?.();
        return Boolean(card);
      },
    };
    if (actions[event.key]) {
      const done = actions[event.key]();
      if (event.key === "/" || (done && event.key.startsWith("Arrow"))) event.preventDefault();
    }
  });

  addEventListener("beforeprint", () => page.drawPictures());

  // --- start --------------------------------------------------------------------------------------

  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address is the view's
    main.focus();
  });
  addEventListener("click", (event) => {
    if (event.target.closest?.("a[href^='#/']")) byLink = true;
  });
  addEventListener("hashchange", show);
  if ("scrollRestoration" in history) history.scrollRestoration = "manual";

  if (page.site === undefined) {
    page.into(
      main,
      page.problem(new Error("page/data/site.js cannot be read; is this folder complete?")),
    );
    return;
  }
  makeBar();
  show().then(() => {
    performance.mark("jaxdissect-first-view");
    // What other views need loads once the first one stands.
    for (const run of page.site.runs) page.table(run).catch(() => {});
  });
})();
