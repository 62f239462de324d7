// Two images on top of each other, with a movable line that divides them.

const slider = {
  root: byId("slider"),
  under: byId("slider").querySelector(".under"),
  over: byId("slider").querySelector(".over"),
  input: byId("position"),
  size: [1, 1],

  /**
   * Show two sides. A side is {name, small: picture, full: address or undefined, size: [w, h] or undefined, note}.
   * Both are shown at the size of the right side, or if unknown, of the left side.
   */
  show(left, right) {
    const known = right.size || left.size || [right.small.width || left.small.width, right.small.height || left.small.height];
    this.size = known;
    this.root.style.setProperty("--ratio", known[0] / known[1]);
    this.root.style.setProperty("--actual", `${known[0] / devicePixelRatio}px`);
    const single = !left.small.source || !right.small.source;
    this.root.classList.toggle("single", single);
    this.notes = new Map();
    this.put(this.under, left, this.root.querySelector(".left"));
    this.put(this.over, right, this.root.querySelector(".right"));
    this.set(single ? (right.small.source ? 0 : 100) : 50);
  },

  put(image, side, tag) {
    image.alt = side.name;
    tag.textContent = side.name;
    tag.hidden = image.hidden = !side.small.source;
    image.onerror = image.onload = null;
    image.removeAttribute("src");
    const copy = `${side.name}: a copy of ${side.small.width} × ${side.small.height} px`;
    if (!side.small.source) return this.note(side.name, `${side.name}: ${side.missing || side.small.missing}`);
    if (!side.full) {
      image.src = side.small.source;
      return this.note(side.name, copy);
    }
    // Show the small copy immediately, and the file itself as soon as it is loaded.
    image.src = side.small.source;
    this.note(side.name, `${side.name}: loading ${side.full}`);
    const full = new Image();
    image.full = full;
    full.onload = () => {
      if (image.full !== full) return;
      image.src = full.src;
      this.note(side.name, `${side.name}: the file itself, ${full.naturalWidth} × ${full.naturalHeight} px`);
    };
    full.onerror = () => {
      const why = /\.tiff?$/.test(side.full) ? "is a TIFF, which this browser does not show" : "cannot be reached from here";
      if (image.full === full) this.note(side.name, `${copy}, as ${decodeURIComponent(side.full)} ${why}`);
    };
    full.src = side.full;
  },

  note(name, text) {
    this.notes.set(name, text);
    byId("picture-note").textContent = [...this.notes.values()].join(" · ");
  },

  set(percent) {
    const at = clamped(percent, 0, 100);
    this.input.value = at;
    this.root.style.setProperty("--at", `${at}%`);
  },

  move(by) {
    if (!this.root.classList.contains("single")) this.set(Number(this.input.value) + by);
  },

  toggleActual() {
    const isActual = this.root.classList.toggle("actual");
    byId("actual").setAttribute("aria-pressed", isActual);
  },
};

slider.input.addEventListener("input", () => slider.set(Number(slider.input.value)));
byId("actual").addEventListener("click", () => slider.toggleActual());
// The listener is on the window, as the pointer may leave the image during a drag.
let isDragging = false;
slider.root.addEventListener("pointerdown", (event) => {
  if (slider.root.classList.contains("single")) return;
  event.preventDefault();
  isDragging = true;
  drag(event);
});
addEventListener("pointermove", (event) => isDragging && drag(event));
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (isDragging = false));

function drag(event) {
  const box = slider.root.getBoundingClientRect();
  slider.set((100 * (event.clientX - box.left)) / box.width);
}
