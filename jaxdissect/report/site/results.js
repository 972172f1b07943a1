// Results of other experiments: what was asked, what was found, and what that cannot say.

"use strict";

(() => {
  const page = jaxdissectPage;
  const { el } = page;

  const figure = ({ caption, alt, file, width, height }) =>
    el(
      "figure",
      { class: "picture" },
      el(
        "a",
        { href: file },
        el("img", {
          src: file,
          alt,
          width,
          height,
          loading: "lazy",
          decoding: "async",
          on: { load: ({ target }) => target.classList.toggle("large", target.naturalWidth > 700) },
        }),
      ),
      el("figcaption", null, caption),
    );

  page.sectionBody = (section, { titled = false } = {}) => {
    return el(
      "article",
      { class: "result" },
      !titled && el("h1", { tabindex: "-1" }, section.title),
      section.question && page.prose(section.question, { class: "question" }),
      section.facts?.length > 0 &&
        el(
          "div",
          { class: "tiles" },
          section.facts.map(([label, value, note]) => page.tile(page.cell(value), label, note)),
        ),
      (section.found ?? []).map((text) => page.prose(text)),
      section.command && page.commandLine(section.command),
      section.content.map((item) => (item.kind === "table" ? page.sortable(item) : figure(item))),
      section.limits?.length > 0 &&
        el(
          "section",
          { class: "limits" },
          el("h2", null, "What this cannot say"),
          section.limits.map((text) => page.prose(text)),
        ),
    );
  };

  page.views.result = {
    async draw(main, { parts: [id] }) {
      const place = page.site.sections.findIndex((some) => some.id === id);
      if (place < 0) throw new Error("This report has no such result.");
      const [before, after] = [page.site.sections[place - 1], page.site.sections[place + 1]];
      page.into(
        main,
        el("div", { class: "trail" }, page.link("#/results", { rel: "up" }, "Results")),
        page.sectionBody(page.site.sections[place]),
        el(
          "nav",
          { class: "onwards", "aria-label": "Other results" },
          before &&
            page.link(page.address("result", before.id), { rel: "prev" }, `\u2190 ${before.title}`),
          after &&
            page.link(page.address("result", after.id), { rel: "next" }, `${after.title} \u2192`),
        ),
      );
    },
  };

  page.views.results = {
    async draw(main) {
      page.into(main, page.heading("Results"), page.sectionLinks(page.site.sections));
    },
  };
})();
