// What came of a comparison: how close the copy is, both pictures behind a divider, and what changed, and where.

import { differenceBars } from "../display/bars.js";
import { el } from "../display/dom.js";
import { legend, opacitySlider } from "../display/tint.js";
import { capital, cautions, closeness, hundred, modelName, percent, rank, reading, signed } from "../display/words.js";
import { drawDifference } from "./difference.js";

const SEEN = { reference: "The original", distorted: "The copy" };
const MOST_CHANGES = 5;
const LEAST_CHANGE = 0.1;

/**
 * An element with all of an answer.
 *
 * @param {object} answer
 * @param {{reference: string, distorted: string}} addresses  of the two pictures
 * @param {boolean} mapFirst  whether the map of differences is shown at once, where there is one
 */
export function comparison(answer, addresses, mapFirst) {
  return el(
    "div",
    {},
    el(
      "div",
      { class: "result" },
      el("p", { class: "reading", text: answer.grade ? capital(answer.grade) : closeness(answer.score) }),
      signal(answer),
    ),
    cautions(answer).map((text) => el("p", { class: "care", text })),
    viewer(answer, addresses, mapFirst),
    el(
      "div",
      { class: "compared" },
      el(
        "section",
        {},
        el("h3", { text: "What changed" }),
        el("ul", { class: "bars diverging" }, differenceBars(answer.differences.dimensions)),
        el("p", {
          class: "small",
          text: `The copy against the original, in hundredths, by ${modelName(answer.differences.model)}.`,
        }),
      ),
      changes(answer.differences.adjectives),
      sides(answer),
    ),
  );
}

/** Both pictures in one frame. The slider lies over all of it, so that it can be dragged anywhere. */
function viewer(answer, addresses, mapFirst) {
  const { width, height } = answer.reference.image;
  const images = {
    reference: picture("reference", addresses.reference),
    distorted: picture("distorted", addresses.distorted),
  };
  const slider = el("input", {
    type: "range",
    id: "divider",
    min: "0",
    max: "100",
    value: "50",
    step: "1",
    "aria-label": "Divider between original and copy",
  });
  const canvas = el("canvas", { "aria-hidden": "true", hidden: true });
  const frame = el(
    "div",
    { class: "divider" },
    images.distorted,
    images.reference,
    canvas,
    el("span", { class: "tag left", "aria-hidden": "true", text: "Original" }),
    el("span", { class: "tag right", "aria-hidden": "true", text: "Copy" }),
    slider,
    el("span", { class: "handle", "aria-hidden": "true" }),
  );
  const move = () => {
    frame.style.setProperty("--at", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % original`);
  };
  frame.style.setProperty("--ratio", `${width} / ${height}`);
  slider.addEventListener("input", move);
  move();
  const root = el("div", { class: "viewer" }, frame, differenceControls(frame, canvas, answer, mapFirst));
  root.style.setProperty("--shape", String(width / height));
  return root;
}

function picture(side, address) {
  const image = el("img", { src: address, alt: SEEN[side], class: side });
  image.addEventListener("error", () =>
    image.replaceWith(
      el("p", { class: `unseen-text ${side}`, text: "This browser cannot show the file." }),
    ),
  );
  return image;
}

/** The switch between divider and map of differences; nothing where the service gives none. */
function differenceControls(frame, canvas, answer, mapFirst) {
  const controls = el("div", { class: "stage-controls" });
  if (!answer.difference_map) return controls;
  drawDifference(canvas, answer);
  const input = el("input", { type: "checkbox", role: "switch", id: "difference", checked: mapFirst });
  const about = el(
    "span",
    { class: "inline", hidden: true },
    differenceLegend(answer.difference_map),
    opacitySlider(canvas),
  );
  const apply = () => {
    frame.classList.toggle("differing", input.checked);
    canvas.hidden = !input.checked;
    about.hidden = !input.checked;
  };
  input.addEventListener("change", apply);
  apply();
  controls.append(el("label", { class: "switch" }, input, el("span", { text: "Difference map" })), about);
  return controls;
}

function differenceLegend({ noticeable }) {
  if (noticeable === 0) return el("span", { text: "No part differs by more than is noticed side by side." });
  return [
    legend("just noticed", "strong"),
    el("span", { text: `in ${percent(noticeable)} of the picture` }),
  ];
}

function signal({ score, signal: { psnr_db: psnr, ssim } }) {
  const entry = (term, value, note) =>
    el(
      "div",
      {},
      el("dt", { text: term }),
      el("dd", {}, value),
      el("dd", { class: "small", text: note }),
    );
  const closeTo = el("data", { id: "compare-score", value: String(score), text: hundred(score) });
  return el(
    "dl",
    { class: "signal" },
    entry("Closeness", closeTo, "of 100"),
    entry("PSNR", psnr === null ? "∞" : `${psnr.toFixed(1)} dB`, psnr === null ? "identical" : "40 and more is hard to see"),
    entry("SSIM", ssim.toFixed(3), "1 is all of the structure"),
  );
}

function sides({ reference, distorted, timing_ms: timing }) {
  const each = (label, answer) =>
    el("li", {}, `${label}: `, el("strong", { text: String(rank(answer)) }), ` of 100, ${reading(answer).toLowerCase()}`);
  return el(
    "section",
    {},
    el("h3", { text: "Each alone" }),
    el("ul", { class: "plain" }, each("The original", reference), each("The copy", distorted)),
    el("p", { class: "small", text: `It took ${Math.round(timing.total)} ms.` }),
  );
}

function changes(adjectives) {
  const grown = adjectives
    .filter((each) => each.probability >= LEAST_CHANGE)
    .sort((one, other) => other.probability - one.probability)
    .slice(0, MOST_CHANGES);
  return el(
    "section",
    {},
    el("h3", { text: "Strongest changes" }),
    grown.length === 0
      ? el("p", { text: "No word describes the copy much better or worse than the original." })
      : el(
          "ul",
          { class: "changes" },
          grown.map((each) =>
            el(
              "li",
              { class: each.polarity },
              el("span", { text: `More ${each.adjective} ` }),
              el("data", { value: String(each.probability), text: signed(each.probability) }),
            ),
          ),
        ),
  );
}
