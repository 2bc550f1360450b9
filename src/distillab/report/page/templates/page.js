/* Draws the figures that the page contains as JSON, in the shades of the page; sorts and filters tables. */
(function () {
  "use strict";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 640px)");
  const darkShades = JSON.parse(document.getElementById("dark-shades").textContent);
  const PRINT_WIDTH = 680;
  let printing = false;

  const isDark = () => !printing && (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);

  /* ---- plots ---- */

  function figureOf(box) {
    let text = document.getElementById(box.id + "-data").textContent;
    if (isDark()) text = text.replace(/"(#[0-9a-f]{6}|rgba\([^"]*\))"/g, (whole, shade) => darkShades[shade] ? `"${darkShades[shade]}"` : whole);
    const figure = JSON.parse(text);
    if (narrow.matches && !printing) makeNarrow(figure.layout);
    if (printing) Object.assign(figure.layout, { width: Math.min(PRINT_WIDTH, box.clientWidth), autosize: false });
    return figure;
  }

  /* On a phone, the rows of a forest plot get their labels above the marks, and the whole width for these. */
  function makeNarrow(layout) {
    layout.font.size = 11;
    for (const axis of [layout.xaxis, layout.yaxis]) axis.tickfont = { size: 11 };
    if (!layout.yaxis2) return;
    layout.yaxis2.showticklabels = layout.yaxis.showticklabels = false;
    layout.yaxis.title = undefined;
    layout.height *= 1.5;
    const line = (lines) => lines.length === 1 || lines.join(" ").length <= 50 ? lines.join(" ") : lines[0] + " …";
    const label = (y, i) => ({
      x: 0, xref: "paper", xanchor: "left", y, yshift: 13, showarrow: false,
      text: line(layout.yaxis.ticktext[i].split("<br>")), font: { size: 11 },
    });
    layout.annotations = [...(layout.annotations || []), ...layout.yaxis.tickvals.map(label)];
  }

  const saved = (format) => ({
    name: `save ${format}`,
    title: `Save this figure as ${format.toUpperCase()}`,
    icon: Plotly.Icons.camera,
    click: (box) => Plotly.downloadImage(box, {
      format, filename: box.id || "figure", scale: format === "png" ? 2 : 1,
      width: box.clientWidth, height: box.clientHeight,
    }),
  });
  // A function, since pages without plots come without Plotly.
  const config = () => ({
    responsive: true,
    displaylogo: false,
    modeBarButtons: [[saved("png"), saved("svg")]],
  });

  function draw(box) {
    if (box.closest("details:not([open])")) return; // drawn when it is opened
    const figure = figureOf(box);
    Plotly.react(box, figure.data, figure.layout, config());
    box.dataset.drawn = isDark() ? "dark" : "light";
  }

  const drawAll = (within) => within.querySelectorAll(".plot").forEach(draw);

  /* ---- light and dark ---- */

  const button = document.getElementById("theme");

  function remember(theme) {
    try { localStorage.setItem("distillab-theme", theme); } catch { /* a page from a file may have no storage */ }
  }

  function refresh() {
    button.setAttribute("aria-pressed", String(isDark()));
    drawAll(document);
  }

  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    refresh();
  });
  dark.addEventListener("change", refresh);
  narrow.addEventListener("change", () => drawAll(document));

  /* ---- folds and print ---- */

  document.querySelectorAll("details").forEach((fold) => {
    fold.addEventListener("toggle", () => { if (fold.open) drawAll(fold); });
  });

  let opened = [];
  addEventListener("beforeprint", () => {
    printing = true;
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((fold) => { fold.open = true; });
    drawAll(document);
  });
  addEventListener("afterprint", () => {
    printing = false;
    opened.forEach((fold) => { fold.open = false; });
    drawAll(document);
  });

  /* ---- tables ---- */

  function compare(a, b, column) {
    const [x, y] = [a, b].map((row) => row.cells[column]);
    if (x.classList.contains("number")) return Number(x.dataset.order) - Number(y.dataset.order);
    return x.textContent.localeCompare(y.textContent, "en", { numeric: true });
  }

  document.querySelectorAll("th > button").forEach((head) => {
    head.addEventListener("click", () => {
      const th = head.parentElement, body = th.closest("table").tBodies[0], column = th.cellIndex;
      const down = th.getAttribute("aria-sort") === "ascending";
      th.parentElement.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = th.classList.contains("number");
      const known = (row) => !numeric || row.cells[column].dataset.order !== undefined;
      const rows = [...body.rows];
      const sorted = rows.filter(known).sort((a, b) => (down ? -1 : 1) * compare(a, b, column));
      body.append(...sorted, ...rows.filter((row) => !known(row))); // rows without a number come last
    });
  });

  document.querySelectorAll("input[data-filter]").forEach((field) => {
    const table = document.getElementById(field.dataset.filter);
    const count = document.getElementById(field.dataset.filter + "-count");
    const rows = [...table.tBodies[0].rows].map((row) => [row, [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase()]);
    field.addEventListener("input", () => {
      const terms = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = !terms.every((term) => text.includes(term));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    });
  });

  /* ---- current section ---- */

  const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((a) => a.removeAttribute("aria-current"));
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  document.querySelectorAll("main > section").forEach((section) => watcher.observe(section));

  refresh();
})();
