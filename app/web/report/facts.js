// What is known of a photograph beside its quality: its file, at which size it was scored, and the answer's facts.

import { el } from "../display/dom.js";
import { bytes, capital, count, percent, scaling } from "../display/words.js";

const NAMES = {
  clipped_shadows: "Black shadows",
  clipped_highlights: "White highlights",
  jpeg_quality: "JPEG quality",
  chroma_subsampling: "Chroma",
};
const SHARE = /clipped|share/; // in the names of what is a share of 1
const LEFT_OUT = ["mean_luminance", "p99_luminance"]; // are in the answer, and say little to people

/** A list of terms and values; what the answer does not have is left out. */
export function factRows({ answer, remembered }) {
  const { image, timing_ms: timing } = answer;
  const rows = [
    ["Size", [`${count(image.width)} × ${count(image.height)}`, scaling(answer)].filter(Boolean).join(", ")],
    ["File", `${image.format}, ${bytes(image.bytes)}`],
    ["Color space", image.color_space],
    image.monochrome && ["Monochrome", "yes"],
    ...leaves(answer.facts ?? {}).filter(([name]) => name !== "Monochrome"),
    ["Time", remembered ? "remembered" : `${Math.round(timing.total)} ms`],
  ];
  return el(
    "dl",
    { class: "facts", "data-part": "facts" },
    rows
      .filter((row) => row && row[1] !== undefined && row[1] !== null)
      .map(([term, value]) => el("div", {}, el("dt", { text: term }), el("dd", { text: value }))),
  );
}

/** Facts of any shape as terms and values: a service of a later version may know more of them. */
function leaves(facts) {
  return Object.entries(facts).flatMap(([name, value]) => {
    if (value === null || LEFT_OUT.includes(name)) return [];
    if (typeof value === "object") return leaves(value);
    return [[NAMES[name] ?? capital(name.replaceAll("_", " ")), shown(name, value)]];
  });
}

function shown(name, value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (SHARE.test(name)) return percent(value);
  return Number.isInteger(value) ? count(value) : value.toFixed(2);
}
