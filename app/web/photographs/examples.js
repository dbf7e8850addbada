// Examples for a first look: one good photograph, and what is made of it here, blurred, dark and compressed.

import { byId, el } from "../display/dom.js";

const RADIUS = 4; // pixels; three passes of it are close to a Gaussian of sigma 4.5
const PASSES = 3;
const DARKNESS = 0.22;

const KINDS = {
  good: { label: "Good" },
  blurred: { label: "Blurred", change: blur },
  dark: { label: "Dark", change: darken },
  compressed: { label: "Compressed", quality: 0.1 },
};

let original = null;
const made = new Map();

/** The file of an example, by the name of its kind; made once. */
export async function example(kind) {
  if (!made.has(kind)) made.set(kind, make(kind));
  return made.get(kind);
}

/**
 * Shows the examples as buttons.
 *
 * @param {(files: File[]) => void} choose is given one example, or all of them.
 */
export function setUpExamples(choose) {
  const buttons = Object.entries(KINDS).map(([kind, { label }]) => {
    const image = el("img", { alt: "", width: 600, height: 400 });
    const button = el(
      "button",
      { type: "button", class: "example", "data-example": kind, "aria-pressed": "false" },
      image,
      label,
    );
    button.addEventListener("click", async () => choose([await example(kind)]));
    example(kind).then(
      (file) => (image.src = URL.createObjectURL(file)),
      (error) => {
        console.info("There are no examples.", error);
        byId("examples").remove();
      },
    );
    return button;
  });
  byId("examples-list").append(...buttons.map((button) => el("li", {}, button)));
  byId("examples-all").addEventListener("click", async () =>
    choose(await Promise.all(Object.keys(KINDS).map(example))),
  );
}

/** Marks the example that is looked at; with no name none is. */
export function markExample(name) {
  for (const button of byId("examples-list").querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(name === nameOf(button.dataset.example)));
}

function nameOf(kind) {
  return `coffee-${kind}.jpg`;
}

async function make(kind) {
  original ??= fetch(new URL("../example.jpg", import.meta.url)).then((response) => response.blob());
  const { change, quality = 0.92 } = KINDS[kind];
  const blob = kind === "good" ? await original : await changed(await original, change, quality);
  return new File([blob], nameOf(kind), { type: "image/jpeg" });
}

async function changed(blob, change, quality) {
  const bitmap = await createImageBitmap(blob);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  if (change) {
    const image = context.getImageData(0, 0, canvas.width, canvas.height);
    change(image);
    context.putImageData(image, 0, 0);
  }
  return canvas.convertToBlob({ type: "image/jpeg", quality });
}

function darken({ data }) {
  for (let i = 0; i < data.length; i++) if (i % 4 < 3) data[i] *= DARKNESS;
}

function blur({ data, width, height }) {
  for (let pass = 0; pass < PASSES; pass++) {
    average(data, { length: width, lines: height, step: 4, stride: 4 * width });
    average(data, { length: height, lines: width, step: 4 * width, stride: 4 });
  }
}

/** A running mean along lines of pixels, in place. */
function average(data, { length, lines, step, stride }) {
  const line = new Float32Array(length);
  for (let i = 0; i < lines; i++)
    for (let color = 0; color < 3; color++) {
      const start = i * stride + color;
      const at = (place) => data[start + step * Math.min(Math.max(place, 0), length - 1)];
      let sum = 0;
      for (let place = -RADIUS; place <= RADIUS; place++) sum += at(place);
      for (let place = 0; place < length; place++) {
        line[place] = sum / (2 * RADIUS + 1);
        sum += at(place + RADIUS + 1) - at(place - RADIUS);
      }
      for (let place = 0; place < length; place++) data[start + step * place] = line[place];
    }
}
