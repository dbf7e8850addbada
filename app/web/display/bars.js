// Values as bars: a dimension's from nothing to all of it, a difference's to either side of the middle.

import { el } from "./dom.js";
import { DIMENSIONS, deviating, dimensionRank, hundred, signed } from "./words.js";

/** List items for the dimensions of an answer. The number is written beside each bar, so the bar is decoration. */
export function dimensionBars(answer) {
  return Object.keys(DIMENSIONS)
    .filter((name) => answer.dimensions?.[name] !== undefined) // models without adjectives have none
    .map((name) => bar(name, answer.dimensions[name], answer.dimensions[name]));
}

/** Those that deviate, each with how many of a hundred photographs score lower in it. */
export function deviatingBars(answer) {
  return deviating(answer).map((name) => {
    const rank = dimensionRank(answer, name);
    return bar(name, answer.dimensions[name], rank === null ? answer.dimensions[name] : rank / 100);
  });
}

function bar(name, value, shown) {
  return el(
    "li",
    { class: "bar", "data-dimension": name },
    el("span", { class: "bar-label", text: DIMENSIONS[name] }),
    el("span", { class: "track", "aria-hidden": "true" }, filled(shown)),
    el("data", { class: "bar-value", value: String(value), text: hundred(shown) }),
  );
}

/** List items for what changed in each dimension, distorted minus reference. */
export function differenceBars(differences) {
  if (!differences) return [];
  return Object.entries(DIMENSIONS)
    .filter(([name]) => differences[name] !== undefined)
    .map(([name, label]) => {
      const value = differences[name];
      const rounded = Math.round(100 * value);
      const kind = rounded < 0 ? "worse" : rounded > 0 ? "better" : "same";
      return el(
        "li",
        { class: `bar difference ${kind}`, "data-dimension": name },
        el("span", { class: "bar-label", text: label }),
        el("span", { class: "track", "aria-hidden": "true" }, diverging(value)),
        el("data", { class: "bar-value", value: String(value), text: signed(value) }),
        el("span", { class: "bar-word", text: kind }),
      );
    });
}

/** A filled bar of a value in [0, 1]. */
export function filled(value) {
  const fill = el("span", { class: "fill" });
  fill.style.width = `${100 * Math.min(Math.max(value, 0), 1)}%`;
  return fill;
}

function diverging(value) {
  const fill = el("span", { class: "fill" });
  const half = 50 * Math.min(Math.abs(value), 1);
  fill.style.width = `${half}%`;
  fill.style.left = `${value < 0 ? 50 - half : 50}%`;
  return fill;
}
