"use strict";
// The functions that both pages share. Text of a manifest is only ever inserted as a text node, never as HTML.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const pictures = JSON.parse(byId("pictures").textContent);

/** Create an element with properties and children; children that are strings become text nodes. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Format a number with four significant digits, as the rest of the page does. */
function number(value) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-4)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

const words = (name) => name.replaceAll("_", " ");
const lastPart = (address) => String(address).split("/").pop();

/** Return a small image as {source, width, height}, or as {missing: reason}. */
function picture(key) {
  const found = key === undefined || key === null ? "" : pictures[key];
  if (!Array.isArray(found)) return { missing: found || "no image" };
  return { source: found[0], width: found[1], height: found[2] };
}

const clamped = (value, low, high) => Math.min(high, Math.max(low, value));

/** Create a figure of a small image, or of the reason why there is none; wide images get more of the row. */
function figure(key, caption, hole) {
  const shown = picture(key);
  const ratio = shown.source ? clamped(shown.width / shown.height, 0.6, 1.9) : 1;
  const inside = shown.source
    ? make("img", { src: shown.source, alt: caption, width: shown.width, height: shown.height, loading: "lazy", decoding: "async" })
    : make("div", { className: "hole" }, hole || shown.missing);
  const element = make("figure", {}, inside, make("figcaption", {}, caption));
  element.style.flexGrow = ratio;
  return element;
}

function definitions(pairs) {
  return make("dl", {}, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function section(title, ...content) {
  return make("section", {}, make("h3", {}, title), ...content);
}

/** Sort rows by a value, ascending or descending; rows without a value come last either way. */
function sorted(rows, value, isDescending) {
  const side = isDescending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === undefined || x === null) return y === undefined || y === null ? a.row - b.row : 1;
    if (y === undefined || y === null) return -1;
    if (x === y) return a.row - b.row;
    return (x < y ? -1 : 1) * side;
  });
}

// ---------------------------------------------------------------- the toolbar

/** Call `apply` whenever the toolbar changes `chosen`: by the fields of these names, or by its buttons. */
function connectToolbar(chosen, fields, apply) {
  const initial = { ...chosen };
  for (const name of fields) {
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
  byId("clear").addEventListener("click", () => {
    byId("toolbar").reset();
    Object.assign(chosen, initial);
    apply();
  });
}

// ---------------------------------------------------------------- the list, a page at a time

const list = { rows: [], page: 0, card: null };

function showRows(rows) {
  list.rows = rows;
  list.page = 0;
  showPage();
}

const lastPage = () => Math.max(0, Math.ceil(list.rows.length / data.rowsAPage) - 1);

function showPage() {
  const first = list.page * data.rowsAPage;
  const shown = list.rows.slice(first, first + data.rowsAPage);
  byId("cards").replaceChildren(...shown.map(list.card));
  if (!shown.length) byId("cards").append(make("p", { className: "nothing" }, "No pair is like that."));
  byId("pages").hidden = lastPage() === 0;
  byId("page-back").disabled = list.page === 0;
  byId("page-on").disabled = list.page === lastPage();
  byId("page-number").textContent = `page ${list.page + 1} of ${lastPage() + 1}`;
  const range = list.rows.length > shown.length ? `, ${first + 1} to ${first + shown.length} here` : "";
  byId("count").replaceChildren(make("b", {}, String(list.rows.length)), ` of ${data.rows.length} pairs${range}`);
}

function turnPage(by) {
  const page = clamped(list.page + by, 0, lastPage());
  if (page === list.page) return;
  list.page = page;
  showPage();
  byId("toolbar").scrollIntoView({ block: "start" });
}

byId("page-back").addEventListener("click", () => turnPage(-1));
byId("page-on").addEventListener("click", () => turnPage(1));

// ---------------------------------------------------------------- the viewer

const viewer = { dialog: byId("viewer"), at: -1, show: null };

function openRow(row) {
  viewer.at = list.rows.indexOf(row);
  byId("viewer-title").textContent = row.id;
  byId("previous").disabled = viewer.at <= 0;
  byId("next").disabled = viewer.at < 0 || viewer.at >= list.rows.length - 1;
  viewer.show(row);
  byId("details").scrollTop = 0;
  if (!viewer.dialog.open) viewer.dialog.showModal();
}

function step(by) {
  const row = list.rows[viewer.at + by];
  if (row) openRow(row);
}

byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => viewer.dialog.close());
viewer.dialog.addEventListener("close", () => {
  const row = list.rows[viewer.at];
  if (!row) return;
  const page = Math.floor(viewer.at / data.rowsAPage);
  if (page !== list.page) {
    list.page = page;
    showPage();
  }
  byId("cards").querySelectorAll(".trio")[viewer.at - page * data.rowsAPage]?.focus();
});

// ---------------------------------------------------------------- keys, theme, copying

function focusCard(by) {
  const cards = [...byId("cards").querySelectorAll(".trio")];
  const at = cards.indexOf(document.activeElement);
  const next = cards[at < 0 ? 0 : clamped(at + by, 0, cards.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

const openKeys = {
  ArrowLeft: (event) => slider.move(event.shiftKey ? -10 : -2),
  ArrowRight: (event) => slider.move(event.shiftKey ? 10 : 2),
  Home: () => slider.move(-100),
  End: () => slider.move(100),
  j: () => step(1),
  k: () => step(-1),
  f: () => slider.toggleActual(),
};
const listKeys = {
  "/": () => byId("text").focus(),
  j: () => focusCard(1),
  k: () => focusCard(-1),
  "[": () => turnPage(-1),
  "]": () => turnPage(1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches("input:not([type=range]), select, textarea");
  if (isTyping) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const action = (viewer.dialog.open ? openKeys : listKeys)[event.key];
  if (!action) return;
  event.preventDefault();
  action(event);
});

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));
byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.text);
      button.textContent = "Copied";
    } catch {
      // A page opened from a file may have no access to the clipboard: then the text is selected instead.
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Marked";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}
