// The map of local quality over a photograph: it tints what lies clearly below the photograph's own median.

import { drawGrid } from "./tint.js";

const CLEARLY = 0.08; // below the median; what is nearer is the ordinary variation within a photograph
const FULLY = 0.3;
const FAINTEST = 0.3; // of the tint, where there is any
const STRIDE = 32; // pixels of the scored image to a cell
const LONGEST_SIDE = 1024; // of what is drawn; the values are far coarser

/** The median and the least value of a map, where its tint begins and is full, and the share of cells that have it. */
export function summary(values) {
  const sorted = values.flat().sort((one, other) => one - other);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  const from = median - CLEARLY;
  const share = sorted.filter((each) => each < from).length / sorted.length;
  return { median, least: sorted[0], from, to: Math.max(median - FULLY, 0), share };
}

/** How deep the tint of a value is, in [0, 1]; 0 for what does not lie clearly below the median. */
export function depth(value, median) {
  const below = (median - value - CLEARLY) / (FULLY - CLEARLY);
  return below > 0 ? Math.min(FAINTEST + (1 - FAINTEST) * below, 1) : 0;
}

/**
 * Draws the answer's map into a canvas of the photograph's shape, to be laid over the photograph.
 *
 * @param longest  side of the canvas in pixels at most
 */
export function drawMap(canvas, answer, longest = LONGEST_SIDE) {
  const { values } = answer.quality_map;
  const { median } = summary(values);
  const depths = values.map((row) => row.map((value) => depth(value, median)));
  drawGrid(canvas, depths, answer.models[answer.model].scored, STRIDE, longest);
}

/** The value at a place of the photograph, given as shares of its width and height. */
export function valueAt(answer, across, down) {
  const { values } = answer.quality_map;
  const { width, height } = answer.models[answer.model].scored;
  const row = values[Math.min(values.length - 1, Math.max(0, Math.floor((down * height) / STRIDE)))];
  return row[Math.min(row.length - 1, Math.max(0, Math.floor((across * width) / STRIDE)))];
}
