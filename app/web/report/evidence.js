// What lies behind a photograph's score, in full.

import { dimensionBars, filled } from "../display/bars.js";
import { el } from "../display/dom.js";
import { DIMENSIONS, hundred, modelName, provenance } from "../display/words.js";

/** What lies behind a score, to be unfolded: what was scored, every dimension and adjective, the answer as it came. */
export function evidence(answer) {
  const details = el("details", { class: "everything" }, el("summary", { text: "All measurements" }));
  // It is long, and few look at it.
  details.addEventListener(
    "toggle",
    () => details.append(el("div", { class: "everything-body" }, sections(answer))),
    { once: true },
  );
  return details;
}

function sections(answer) {
  const names = Object.keys(answer.models).sort(
    (one, other) => Number(other === answer.model) - Number(one === answer.model),
  );
  const worded = names.filter((name) => answer.models[name].adjectives.length > 0);
  return [
    el(
      "section",
      {},
      el("h3", { text: "What was scored" }),
      el(
        "ul",
        { class: "plain" },
        provenance(answer).map((text) => el("li", { text })),
        names.map((name) => el("li", { text: `${modelName(name)}: ${answer.models[name].score.toFixed(3)} of 1.` })),
        answer.warnings.map((text) => el("li", { class: "small", text })),
      ),
    ),
    answer.dimensions === null ? null : dimensions(answer),
    worded.length === 0 ? null : adjectives(answer, worded),
    prompts(answer),
    raw(answer),
  ].filter(Boolean);
}

function dimensions(answer) {
  return el(
    "section",
    {},
    el("h3", { text: "Dimensions" }),
    el("ul", { class: "bars" }, dimensionBars(answer)),
  );
}

/** The adjectives by each of the named models, which have some. */
function adjectives(answer, names) {
  return el(
    "section",
    {},
    el("h3", { text: "Adjectives" }),
    el("p", {
      class: "small",
      text: "100 where the first word of a pair describes the photograph, 0 where the second does.",
    }),
    el(
      "div",
      { class: "tables" },
      Object.entries(DIMENSIONS).map(([dimension, label]) => pairsTable(answer, names, dimension, label)),
    ),
  );
}

function pairsTable(answer, names, dimension, label) {
  const pairs = (name) => {
    const words = answer.models[name].adjectives.filter((each) => each.dimension === dimension);
    return words
      .filter((each) => each.polarity === "positive")
      .map((good, i) => [good, words.filter((each) => each.polarity === "negative")[i]]);
  };
  return el(
    "table",
    {},
    el("caption", { text: label }),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col", text: "Words" }),
        names.map((name) => el("th", { scope: "col", text: modelName(name) })),
      ),
    ),
    el(
      "tbody",
      {},
      pairs(names[0]).map(([good, bad], i) =>
        el(
          "tr",
          {},
          el("th", { scope: "row", text: `${good.adjective} rather than ${bad.adjective}` }),
          names.map((name) => valueCell(pairs(name)[i][0].probability)),
        ),
      ),
    ),
  );
}

function prompts(answer) {
  const [name, model] = Object.entries(answer.models).find(([, each]) => each.prompt_pairs.length > 0) ?? [];
  if (!model) return null;
  return el(
    "section",
    {},
    el("h3", { text: "Prompts" }),
    el(
      "div",
      { class: "tables" },
      el(
        "table",
        {},
        el("caption", {
          text: `100 where the first sentence fits, 0 where the second does, by ${modelName(name)}`,
        }),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col", text: "Sentences" }),
            el("th", { scope: "col", text: "Of 100" }),
          ),
        ),
        el(
          "tbody",
          {},
          model.prompt_pairs.map((pair) =>
            el(
              "tr",
              {},
              el("th", { scope: "row", text: `“${pair.positive}” rather than “${pair.negative}”` }),
              valueCell(pair.probability),
            ),
          ),
        ),
      ),
    ),
  );
}

function valueCell(value) {
  return el("td", {}, el("span", { class: "track", "aria-hidden": "true" }, filled(value)), hundred(value));
}

function raw(answer) {
  const text = JSON.stringify(answer, null, 2);
  const shown = el("pre", { tabindex: "0", "aria-label": "The answer as JSON" });
  const said = el("span", { role: "status", class: "small" });
  const copy = el("button", {
    type: "button",
    id: "detail-copy",
    text: "Copy",
    on: {
      click: async () => {
        try {
          await navigator.clipboard.writeText(text);
          said.textContent = "Copied.";
        } catch {
          // Pages that come neither over HTTPS nor from this machine have no clipboard.
          getSelection().selectAllChildren(shown);
          said.textContent = "Selected: copy it with the keyboard.";
        }
      },
    },
  });
  const details = el(
    "details",
    {},
    el("summary", { text: "The answer as the service gave it (JSON)" }),
    el("p", { class: "actions" }, copy, said),
    shown,
  );
  // It is long, and few look at it.
  details.addEventListener("toggle", () => (shown.textContent ||= text));
  return el("section", {}, details);
}
