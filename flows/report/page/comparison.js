// The comparison page: cards with the image of every run, differences of losses, and any two images in the viewer.

const chosen = { text: "", sort: "row", down: false };

for (const row of data.rows) row.haystack = [row.id, row.content, row.style].join("\n").toLowerCase();

/** Return the value that a row is sorted by: a field of the row, or for "measure:letter" the difference from A. */
function sortValue(row) {
  const [place, letter] = chosen.sort.split(":");
  if (letter === undefined) return row[chosen.sort];
  return difference(row, data.letters.indexOf(letter), data.measures[Number(place)]);
}

function difference(row, run, measure) {
  const [before, after] = [row.runs[0]?.[measure], row.runs[run]?.[measure]];
  return before === undefined || after === undefined ? undefined : after - before;
}

function apply() {
  byId("direction").textContent = chosen.down ? "↓ high first" : "↑ low first";
  const wanted = chosen.text.toLowerCase().split(/\s+/);
  const rows = data.rows.filter((row) => wanted.every((word) => row.haystack.includes(word)));
  showRows(sorted(rows, sortValue, chosen.down));
}

function lossTable(row) {
  const finished = row.runs.some((run) => run?.total_loss !== undefined);
  if (!finished) return null;
  const shown = data.measures.filter((name) => row.runs.some((run) => run?.[name]));
  const head = make("tr", {}, make("th", {}, ""), ...data.letters.map((letter) => make("th", { className: "num" }, letter)),
    ...data.letters.slice(1).map((letter) => make("th", { className: "num" }, `${letter} − A`)));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...shown.map((name) =>
    make("tr", {}, make("td", { className: "soft label" }, words(name).replace(" loss", "")),
      ...row.runs.map((run) => make("td", { className: "num" }, number(run?.[name]))),
      ...data.letters.slice(1).map((_, place) => change(row, place + 1, name))))));
}

function change(row, run, name) {
  const by = difference(row, run, name);
  if (by === undefined) return make("td", { className: "num" }, "–");
  const before = row.runs[0][name];
  const share = before ? [" ", make("span", {}, `(${by > 0 ? "+" : ""}${((100 * by) / before).toFixed(1)} %)`)] : [];
  const isMeasure = !data.incomparable.includes(name);
  const mood = !isMeasure ? "" : by < 0 ? "better" : by > 0 ? "worse" : "";
  return make("td", { className: `num change ${mood}` }, `${by > 0 ? "+" : ""}${number(by)}`, ...share);
}

list.card = (row) => {
  const trio = make("button", { type: "button", className: "trio", "aria-label": `Compare ${row.id}` },
    figure(row.c, "content"), figure(row.s, "style"),
    ...row.runs.map((run, place) => figure(run?.p, data.letters[place], run ? (run.p ? "" : run.status) : "not in this run")));
  trio.addEventListener("click", () => openRow(row));
  const errors = row.runs.flatMap((run, place) => (run?.error ? [make("p", { className: "reason" }, `${data.letters[place]}: ${run.error}`)] : []));
  return make("article", { className: "card", "data-id": row.id }, trio,
    make("div", { className: "about" }, make("div", { className: "name" }, make("b", {}, row.id)), ...errors, lossTable(row)));
};

const sides = ["content", ...data.letters];
for (const id of ["left", "right"]) {
  byId(id).append(...sides.map((name, place) => make("option", { value: name },
    place ? `${name}: ${data.names[place - 1]}` : "content")));
  byId(id).addEventListener("input", () => showSides(list.rows[viewer.at]));
}
[byId("left").value, byId("right").value] = ["A", "B"];

function side(row, name) {
  const place = data.letters.indexOf(name);
  if (place < 0) return { name, small: picture(row.c) };
  const run = row.runs[place];
  return { name, small: picture(run?.p), full: run?.full, size: run?.size, missing: run ? run.status : "not in this run" };
}

function showSides(row) {
  slider.show(side(row, byId("left").value), side(row, byId("right").value));
}

viewer.show = (row) => {
  showSides(row);
  byId("details").replaceChildren(...[
    section("Losses", lossTable(row)),
    section("From", make("div", { className: "from" }, ...[["c", "content"], ["s", "style"]].map(([key, name]) =>
      make("figure", {}, picture(row[key]).source ? make("img", { src: picture(row[key]).source, alt: name }) : make("div", { className: "hole" }, picture(row[key]).missing),
        make("figcaption", {}, `${name}: ${lastPart(row[name])}`))))),
    ...row.runs.map((run, place) => section(`${data.letters[place]}: ${data.names[place]}`,
      make("p", { className: "soft" }, run ? `${run.id}, ${run.status}` : "does not have this pair"),
      run?.error ? make("p", { className: "reason" }, run.error) : null,
      run?.options ? make("p", { className: "mono" }, run.options) : null,
      run?.full ? make("p", {}, make("a", { href: run.full }, decodeURIComponent(run.full))) : null)),
  ]);
};

connectToolbar(chosen, ["text", "sort"], apply);
apply();
