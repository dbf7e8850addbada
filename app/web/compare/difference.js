// Where two pictures differ, as the service measured it, tinted over the copy.

import { drawGrid } from "../display/tint.js";

const CELL = 16; // pixels of the compared picture to a cell
const NOTICED = 0.02; // a distance of colors that is just noticed side by side; less is clear
const STRONGEST = 0.25; // as in the picture of POST /compare/map
const LONGEST_SIDE = 1024; // of what is drawn; the values are far coarser

/** How deep the tint of a difference is, in [0, 1]; 0 for what is not noticed. */
export function differenceDepth(value) {
  return value < NOTICED ? 0 : Math.sqrt(Math.min(value / STRONGEST, 1));
}

/** Draws the differences of an answer into a canvas of the pictures' shape. */
export function drawDifference(canvas, answer) {
  const depths = answer.difference_map.values.map((row) => row.map(differenceDepth));
  drawGrid(canvas, depths, answer.models[answer.model].scored, CELL, LONGEST_SIDE);
}
