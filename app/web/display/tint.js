// The tint that marks places of a picture, for maps of quality and of differences: its color, legend and opacity.

import { el } from "./dom.js";

// Rare in photographs, and apart from their colors for all common kinds of color vision. As --tint in base.css.
const TINT = [224, 0, 122];

let opacity = 0.75; // as it was last chosen, for all pictures

/** A picture of one pixel to a value; `depths` are in [0, 1], and where 0 it is clear. */
function tinted(depths, width, height) {
  const image = new ImageData(width, height);
  depths.forEach((depth, i) => image.data.set([...TINT, Math.round(255 * Math.min(depth, 1))], 4 * i));
  return image;
}

/**
 * Draws a grid of depths, rows from the top, into a canvas of the picture's shape, to be laid over the picture.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number[][]} grid
 * @param {{width: number, height: number}} size  of the picture that the grid lies over, in pixels
 * @param {number} stride  of the grid, in the same pixels
 * @param {number} longest  side of the canvas in pixels at most
 */
export function drawGrid(canvas, grid, { width, height }, stride, longest) {
  const ratio = Math.min(1, longest / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  // A frame of one cell around the grid, so that at the borders it goes on as it is.
  const rows = padded(grid).map(padded);
  const cells = new OffscreenCanvas(rows[0].length, rows.length);
  cells.getContext("2d").putImageData(tinted(rows.flat(), cells.width, cells.height), 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  const cell = stride * ratio;
  context.drawImage(cells, -cell, -cell, cell * cells.width, cell * cells.height);
}

function padded(list) {
  return [list[0], ...list, list.at(-1)];
}

/** What the faintest and the strongest tint stand for. */
export function legend(faint, strong) {
  return el(
    "span",
    { class: "legend" },
    el("span", { text: faint }),
    el("span", { class: "legend-bar", "aria-hidden": "true" }),
    el("span", { text: strong }),
  );
}

/** A slider for the opacity of a canvas with a tint. */
export function opacitySlider(canvas) {
  const slider = el("input", {
    type: "range",
    min: "10",
    max: "100",
    step: "5",
    value: String(Math.round(100 * opacity)),
    "aria-label": "Opacity of the tint",
    class: "opacity",
  });
  const apply = () => {
    opacity = slider.valueAsNumber / 100;
    canvas.style.opacity = String(opacity);
    slider.setAttribute("aria-valuetext", `${slider.value} %`);
  };
  slider.addEventListener("input", apply);
  apply();
  return el("label", { class: "inline" }, "Opacity", slider);
}
