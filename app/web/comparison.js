// What came of a comparison: both pictures behind a divider, how close they are, and what changed.

import { differenceBars } from "./bars.js";
import { el } from "./dom.js";
import { cautions, closeness, hundred, modelName, reading, signed } from "./words.js";

const SEEN = { reference: "The original", distorted: "The copy" };
const MOST_CHANGES = 5;
const LEAST_CHANGE = 0.1;

/** An element with all of an answer; `addresses` are of the two pictures, by side. */
export function comparison(answer, addresses) {
  return el(
    "div",
    {},
    divider(answer, addresses),
    el(
      "div",
      { class: "compared" },
      el(
        "section",
        {},
        el("h3", { text: "How close the copy comes" }),
        el(
          "p",
          { class: "headline" },
          el(
            "span",
            { class: "number" },
            el("data", { id: "compare-score", value: String(answer.score), text: hundred(answer.score) }),
            el("span", { class: "of", text: " of 100" }),
          ),
          " ",
          el("span", { class: "reading", text: closeness(answer.score) }),
        ),
        signal(answer.signal),
        sides(answer),
        cautions(answer.warnings).map((text) => el("p", { class: "care", text })),
        el("p", { class: "small", text: `It took ${Math.round(answer.timing_ms.total)} ms.` }),
      ),
      el(
        "section",
        {},
        el("h3", { text: "What changed" }),
        el("p", {
          class: "small",
          text: `The copy against the original, in hundredths, by ${modelName(answer.differences.model)}.`,
        }),
        el("ul", { class: "bars diverging" }, differenceBars(answer.differences.dimensions)),
        changes(answer.differences.adjectives),
      ),
    ),
  );
}

/** Both pictures in one frame. The slider lies over all of it, so that it can be dragged anywhere. */
function divider({ reference }, addresses) {
  const { width, height } = reference.image;
  const picture = (side) => {
    const image = el("img", { src: addresses[side], alt: SEEN[side], class: side });
    image.addEventListener("error", () =>
      image.replaceWith(
        el("p", { class: `unseen-text ${side}`, text: "This browser cannot show the file." }),
      ),
    );
    return image;
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
  const frame = el(
    "div",
    { class: "divider" },
    picture("distorted"),
    picture("reference"),
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
  frame.style.setProperty("--shape", String(width / height));
  slider.addEventListener("input", move);
  move();
  return frame;
}

function signal({ psnr_db: psnr, ssim }) {
  const entry = (term, value, note) =>
    el("div", {}, el("dt", { text: term }), el("dd", {}, value, el("span", { class: "small", text: note })));
  return el(
    "dl",
    { class: "signal" },
    entry(
      "PSNR",
      psnr === null ? "identical" : `${psnr.toFixed(1)} dB`,
      psnr === null ? " every pixel is the same" : " noise against signal; 40 and more is hard to see",
    ),
    entry("SSIM", ssim.toFixed(3), " structure kept; 1 is all of it"),
  );
}

function sides({ reference, distorted }) {
  const each = (label, answer) =>
    el(
      "li",
      {},
      `${label}: `,
      el("strong", { text: hundred(answer.score) }),
      ` of 100, ${reading(answer.models[answer.model]).toLowerCase()}`,
    );
  return el(
    "ul",
    { class: "plain" },
    each("The original alone", reference),
    each("The copy alone", distorted),
  );
}

function changes(adjectives) {
  const grown = adjectives
    .filter((each) => each.probability >= LEAST_CHANGE)
    .sort((one, other) => other.probability - one.probability)
    .slice(0, MOST_CHANGES);
  if (grown.length === 0)
    return el("p", { text: "No word describes the copy much better or worse than the original." });
  return el(
    "div",
    {},
    el("h4", { text: "Strongest changes" }),
    el(
      "ul",
      { class: "changes" },
      grown.map((each) =>
        el(
          "li",
          { class: each.polarity },
          `More ${each.adjective} `,
          el("data", { value: String(each.probability), text: signed(each.probability) }),
        ),
      ),
    ),
  );
}
