// The page of one run, report.html: filter, sorting, cards, and the details of a pair in the viewer.

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
  byId("outliers")?.setAttribute("aria-pressed", chosen.outliers);
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
  const extra = Object.entries(row.extra || {}).map(([name, value]) => data.named.includes(name) ? `${name} ${value}` : value).join(" · ");
  const fallen = row.initial_total_loss && row.total_loss !== undefined
    ? make("span", { className: "soft" }, `from ${number(row.initial_total_loss)}`) : null;
  const numbers = figures(row, ["total_loss", "content_loss", "style_loss", ...["tv_loss", ...data.distances].filter((name) => row[name] && name === chosen.sort), "seconds"]);
  if (fallen) numbers.firstChild?.append(fallen);
  return make("article", { className: "card", "data-id": row.id, "data-status": row.status }, trio,
    make("div", { className: "about" },
      make("div", { className: "name" }, make("b", {}, row.id), ...badges),
      extra ? make("div", { className: "soft" }, extra) : null,
      row.error ? make("p", { className: "reason" }, row.error) : null,
      numbers.childElementCount ? numbers : null));
};

// ---------------------------------------------------------------- the viewer

openKeys.t = () => byId("film")?.click();

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
    row.timeline ? timeline(row) : null,
    losses.length ? section("Losses", definitions(losses.map((name) => [words(name), number(row[name])]))) : null,
    row.style_distance === undefined ? null : section("Distances", definitions(data.distances.map((name) => [words(name), number(row[name])])),
      make("p", { className: "soft" }, "one measure for all recipes: 0 is a match")),
    row.curve ? section("How the loss fell", ...curves(row)) : null,
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

/** The animation of the optimisation: a still image; a click starts the animation, another click stops it. */
function timeline(row) {
  const still = picture(row.p);
  const [image, note] = [make("img", { src: still.source || "", alt: "pastiche" }), make("p", { className: "soft", role: "status" })];
  const button = make("button", { type: "button", className: "film", id: "film", title: "Play or stop (t)", "aria-pressed": "false", "aria-label": "Play how it came to be" }, image);
  let times = 0;
  button.addEventListener("click", () => {
    const isPlaying = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", isPlaying);
    note.textContent = "";
    // The URL differs each time, so that the animation starts from its first frame.
    image.src = isPlaying ? `${row.timeline}#${(times += 1)}` : still.source || "";
  });
  image.addEventListener("error", () => {
    if (button.getAttribute("aria-pressed") !== "true") return;
    button.setAttribute("aria-pressed", "false");
    image.src = still.source || "";
    note.textContent = `${decodeURIComponent(row.timeline)} cannot be reached from here`;
  });
  return section("How it came to be", button, note);
}

const parts = ["total", "content", "style", "TV"];
const drawn = new Set(parts); // the user's choice is kept from pair to pair

/** A chart of the weighted losses over the evaluations, with buttons that show or hide each of them. */
function curves(row) {
  const weights = [1, ...(row.weights || [])];
  const shown = parts.map((name, part) => ({ name, part })).filter(({ part }) => weights[part]);
  const plot = make("div", { className: "plot" });
  const draw = () => plot.replaceChildren(curve(row.curve, shown.filter(({ name }) => drawn.has(name)), weights));
  const last = row.curve.at(-1);
  const legend = shown.map(({ name, part }) => {
    const button = make("button", { type: "button", className: `key part-${part}`, "aria-pressed": String(drawn.has(name)), title: "Show or hide" },
      make("span", { className: "swatch" }), weights[part] === 1 ? name : `${number(weights[part])} × ${name}`,
      make("b", {}, number(last[2 + part] === null ? null : last[2 + part] * weights[part])));
    button.addEventListener("click", () => {
      if (!drawn.delete(name)) drawn.add(name);
      button.setAttribute("aria-pressed", String(drawn.has(name)));
      draw();
    });
    return button;
  });
  draw();
  return [plot, make("div", { className: "legend" }, ...legend)];
}

const LEAST_OF_TOTAL = 1 / 50; // a part below this share of the lowest total is drawn at the bottom

/** Place the evaluations of all sizes one after the other: {points: [[place, sample], ...], levels: [place, ...]}. */
function inARow(samples) {
  const [points, levels] = [[], []];
  let [before, level, last] = [0, samples[0][0], 0];
  for (const sample of samples) {
    if (sample[0] !== level) {
      before += last;
      levels.push(before);
      level = sample[0];
    }
    last = sample[1];
    points.push([before + last, sample]);
  }
  return { points, levels };
}

/** Return at most five round numbers, such as 0.5, 1, 2, between two numbers. */
function ticks(low, high) {
  const found = (steps) => {
    const values = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1)
      values.push(...steps.map((step) => step * 10 ** power).filter((value) => value >= low && value <= high));
    return values;
  };
  return [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]].map(found).find((values) => values.length <= 5) || [];
}

function curve(samples, shown, weights) {
  const [left, width, height, base] = [26, 300, 150, 132];
  const { points, levels } = inARow(samples);
  const totals = points.map((one) => one[1][2]).filter((value) => value > 0);
  if (totals.length < 2) return make("p", { className: "soft" }, "too short to draw");
  const lines = shown.map(({ part }) => [part, points.map(([at, sample]) => [at, sample[2 + part] * weights[part]]).filter((one) => one[1] > 0)]);
  const values = lines.flatMap(([, line]) => line.map((one) => one[1]));
  const high = Math.max(...values, Math.min(...totals));
  const low = Math.max(Math.min(...values, ...totals), Math.min(...totals) * LEAST_OF_TOTAL);
  const [first, most] = [points[0][0], points.at(-1)[0]];
  const x = (value) => left + ((value - first) / (most - first || 1)) * (width - left);
  const y = (value) => 8 + (1 - (Math.log10(Math.max(value, low)) - Math.log10(low)) / (Math.log10(high / low) || 1)) * (base - 8);
  const svg = svgPart("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `total loss from ${number(totals[0])} to ${number(totals.at(-1))} in ${most} evaluations` });
  for (const value of ticks(low, high)) {
    svg.append(svgPart("line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) }));
    svg.append(svgPart("text", { x: left - 4, y: y(value) + 3.5, "text-anchor": "end" }, number(value)));
  }
  for (const place of levels) svg.append(svgPart("line", { class: "level", x1: x(place), x2: x(place), y1: 4, y2: base }));
  svg.append(svgPart("line", { class: "axis", x1: left, x2: width, y1: base + 0.5, y2: base + 0.5 }));
  for (const [part, line] of lines.reverse()) {
    const places = line.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    svg.append(svgPart("polyline", { class: `curve part-${part}`, points: places }));
  }
  svg.append(
    svgPart("text", { x: left, y: height - 4 }, levels.length ? "logarithmic; dashed: a larger size" : "logarithmic"),
    svgPart("text", { x: width, y: height - 4, "text-anchor": "end" }, `${most} evaluations`));
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
connectToolbar(chosen, ["text", "style", "status", "measure", "low", "high", "sort"], apply);
byId("outliers")?.addEventListener("click", () => {
  chosen.outliers = !chosen.outliers;
  apply();
});

function showBin(bar) {
  Object.assign(chosen, { measure: bar.dataset.measure, low: bar.dataset.low, high: bar.dataset.high });
  for (const name of ["measure", "low", "high"]) byId(name).value = chosen[name];
  apply();
  byId("toolbar").scrollIntoView({ block: "start" });
}

const rowOf = new Map(data.rows.map((row) => [String(row.row), row]));

for (const dot of document.querySelectorAll(".dot")) {
  const open = () => openRow(rowOf.get(dot.dataset.row));
  dot.addEventListener("click", open);
  dot.addEventListener("keydown", (event) => { if (event.key === "Enter") open(); });
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
