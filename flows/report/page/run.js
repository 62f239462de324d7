// report.html: filter, sort, cards, and what the viewer says of a pair.

const measures = [...data.losses, "seconds"];
const chosen = { text: "", style: "", status: "", measure: "total_loss", low: "", high: "", sort: "row", down: false, outliers: false };

for (const row of data.rows) {
  const cells = [row.id, row.content, row.style, row.error, row.kind, ...(row.notes || []), ...Object.values(row.extra || {})];
  row.haystack = cells.filter(Boolean).join("\n").toLowerCase();
}

function matches(row) {
  if (chosen.text && !chosen.text.toLowerCase().split(/\s+/).every((word) => row.haystack.includes(word))) return false;
  if (chosen.style && row.style !== chosen.style) return false;
  if (chosen.status && row.status !== chosen.status) return false;
  if (chosen.outliers && !row.outlier) return false;
  const value = row[chosen.measure];
  if (chosen.low !== "" && !(value >= Number(chosen.low))) return false;
  return chosen.high === "" || value <= Number(chosen.high);
}

function apply() {
  byId("direction").textContent = chosen.down ? "↓ high first" : "↑ low first";
  showRows(sorted(data.rows.filter(matches), (row) => row[chosen.sort], chosen.down));
}

function figures(row, names) {
  const shown = names.filter((name) => row[name] !== undefined);
  return make("dl", { className: "figures" }, ...shown.map((name) =>
    make("div", { className: name === chosen.sort ? "sorted" : "" },
      make("dt", {}, words(name).replace(" loss", "")), make("dd", {}, number(row[name])))));
}

list.card = (row) => {
  const trio = make("button", { type: "button", className: "trio", "aria-label": `Compare ${row.id}` },
    figure(row.c, "content"), figure(row.s, "style"), figure(row.p, "pastiche", row.p ? "" : row.status));
  if (row.status === "failed" || row.status === "rejected") trio.lastChild.firstChild.classList.add("bad");
  trio.addEventListener("click", () => openRow(row));
  const badges = [
    row.status === "succeeded" ? null : make("span", { className: `badge ${row.status}` }, row.status),
    row.outlier ? make("span", { className: "badge outlier", title: row.outlier.join("\n") }, "outlier") : null,
    data.isStub ? make("span", { className: "badge stubbed" }, "STUB") : null,
  ];
  const extra = Object.values(row.extra || {}).join(" · ");
  const fallen = row.initial_total_loss && row.total_loss !== undefined
    ? make("span", { className: "soft" }, `from ${number(row.initial_total_loss)}`) : null;
  const numbers = figures(row, ["total_loss", "content_loss", "style_loss", ...(row.tv_loss && ["tv_loss"].includes(chosen.sort) ? ["tv_loss"] : []), "seconds"]);
  if (fallen) numbers.firstChild?.append(fallen);
  return make("article", { className: "card", "data-id": row.id, "data-status": row.status }, trio,
    make("div", { className: "about" },
      make("div", { className: "name" }, make("b", {}, row.id), ...badges),
      extra ? make("div", { className: "soft" }, extra) : null,
      row.error ? make("p", { className: "reason" }, row.error) : null,
      numbers.childElementCount ? numbers : null));
};

// ---------------------------------------------------------------- the viewer

viewer.show = (row) => {
  slider.show(
    { name: "content", small: picture(row.c) },
    { name: "pastiche", small: picture(row.p), full: row.full, size: row.size, missing: row.status });
  const losses = [...data.losses, "initial_total_loss"].filter((name) => row[name] !== undefined);
  byId("details").replaceChildren(...[
    row.error ? section(row.status, make("p", { className: "reason" }, row.error)) : null,
    row.status === "failed" ? section("Do it again", make("p", {}, make("code", {}, `${data.again} --only ${row.id}`))) : null,
    row.outlier ? make("section", { className: "marked" }, make("h3", {}, "Outlier"),
      make("ul", {}, ...row.outlier.map((reason) => make("li", {}, reason)))) : null,
    losses.length ? section("Losses", definitions(losses.map((name) => [words(name), number(row[name])]))) : null,
    row.curve ? section("How the loss fell", curve(row.curve)) : null,
    section("From", make("div", { className: "from" }, from(row.c, "content", row.content), from(row.s, "style", row.style))),
    row.full ? section("Made", definitions([
      ["size", `${row.size[0]} × ${row.size[1]} px`], ["time", `${number(row.seconds)} s`], ["recipe", row.recipe]]),
      make("p", { className: "soft" }, row.made), make("p", { className: "soft" }, row.on)) : null,
    row.options ? section("Other options than the run's", make("p", { className: "mono" }, row.options)) : null,
    row.notes ? section("Notes", make("ul", {}, ...row.notes.map((note) => make("li", {}, note)))) : null,
    row.extra ? section("From the manifest", definitions(Object.entries(row.extra))) : null,
    make("p", { className: "soft" }, `line ${row.row} of the manifest, ${row.attempts || 0} attempt${row.attempts === 1 ? "" : "s"}`),
    row.full ? make("p", {}, make("a", { href: row.full }, decodeURIComponent(row.full))) : null,
  ].filter(Boolean));
};

function from(key, name, address) {
  const shown = picture(key);
  return make("figure", {},
    shown.source ? make("img", { src: shown.source, alt: name }) : make("div", { className: "hole" }, shown.missing),
    make("figcaption", {}, `${name}: ${lastPart(address || "")}`));
}

/** Total loss over evaluations, logarithmic; a dashed line where the optimisation went on to a larger size. */
function curve(samples) {
  const [width, height, base] = [300, 130, 112];
  const points = [];
  const levels = [];
  let before = 0;
  let [level, last] = [samples[0][0], 0];
  for (const [at, evaluation, total] of samples) {
    if (at !== level) {
      before += last;
      levels.push(before);
      level = at;
    }
    last = evaluation;
    if (total > 0) points.push([before + evaluation, Math.log10(total)]);
  }
  if (points.length < 2) return make("p", { className: "soft" }, "too short to draw");
  const most = points.at(-1)[0];
  const [low, high] = [Math.min(...points.map((one) => one[1])), Math.max(...points.map((one) => one[1]))];
  const x = (value) => ((value - points[0][0]) / (most - points[0][0] || 1)) * width;
  const y = (value) => 8 + (1 - (value - low) / (high - low || 1)) * (base - 8);
  const svg = svgPart("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `total loss from ${number(10 ** points[0][1])} to ${number(10 ** points.at(-1)[1])} in ${most} evaluations` });
  for (const place of levels) svg.append(svgPart("line", { class: "level", x1: x(place), x2: x(place), y1: 4, y2: base }));
  svg.append(
    svgPart("line", { class: "axis", x1: 0, x2: width, y1: base + 0.5, y2: base + 0.5 }),
    svgPart("polyline", { class: "curve", points: points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }),
    svgPart("text", { x: width, y: 14, "text-anchor": "end" }, `${number(10 ** high)} highest`),
    svgPart("text", { x: 0, y: height - 4 }, "total loss, logarithmic"),
    svgPart("text", { x: width, y: height - 4, "text-anchor": "end" }, `${most} evaluations`),
    svgPart("text", { x: width, y: base - 6, "text-anchor": "end" }, `${number(10 ** low)} lowest`));
  return svg;
}

function svgPart(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

// ---------------------------------------------------------------- the toolbar

for (const style of [...new Set(data.rows.map((row) => row.style).filter(Boolean))].sort()) {
  byId("style").append(make("option", { value: style }, lastPart(style)));
}
for (const name of ["text", "style", "status", "measure", "low", "high", "sort"]) {
  byId(name).addEventListener("input", () => {
    chosen[name] = byId(name).value;
    apply();
  });
}
byId("toolbar").addEventListener("submit", (event) => event.preventDefault());
byId("direction").addEventListener("click", () => {
  chosen.down = !chosen.down;
  apply();
});
byId("outliers")?.addEventListener("click", () => {
  chosen.outliers = !chosen.outliers;
  byId("outliers").setAttribute("aria-pressed", chosen.outliers);
  apply();
});
byId("clear").addEventListener("click", () => {
  byId("toolbar").reset();
  Object.assign(chosen, { text: "", style: "", status: "", measure: "total_loss", low: "", high: "", sort: "row", down: false, outliers: false });
  byId("outliers")?.setAttribute("aria-pressed", false);
  apply();
});

function showBin(bar) {
  Object.assign(chosen, { measure: bar.dataset.measure, low: bar.dataset.low, high: bar.dataset.high });
  for (const name of ["measure", "low", "high"]) byId(name).value = chosen[name];
  apply();
  byId("toolbar").scrollIntoView({ block: "start" });
}

for (const bar of document.querySelectorAll(".bar[role=button]")) {
  bar.addEventListener("click", () => showBin(bar));
  bar.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    showBin(bar);
  });
}

apply();
