// What a policy says of a photograph: its outcome, and the reasons.

import { el } from "./dom.js";
import { capital, count, hundred, modelName, percent } from "./words.js";

const BUILT_IN = ["upload", "catalog", "portrait", "training-set"];
const MARKS = { pass: "✓", review: "?", fail: "✕" };

export const OUTCOMES = { pass: "Pass", review: "Review", fail: "Fail" };

/** A policy's name for people. */
export function policyTitle(name) {
  return BUILT_IN.includes(name) ? `${name.replace("-", " ")} rules` : name;
}

/** The mark of a verdict, which says in a word and a sign what its color says. */
export function outcomeMark(outcome) {
  return el(
    "strong",
    { class: `outcome ${outcome}` },
    el("span", { "aria-hidden": "true", text: `${MARKS[outcome] ?? "•"} ` }),
    OUTCOMES[outcome] ?? capital(outcome),
  );
}

/** The sentences of a verdict, each limit with what was found, and by which model. */
export function reasonsList(verdict) {
  return el(
    "ul",
    { class: "reasons" },
    verdict.reasons.map((reason) =>
      el(
        "li",
        { class: reason.outcome },
        el("span", { text: reason.message }),
        " ",
        el("span", {
          class: "small",
          text: [reason.model && modelName(reason.model), measured(reason)].filter(Boolean).join(" "),
        }),
      ),
    ),
  );
}

/** The reasons in short, each once: two models often say the same. */
export function mainReasons(verdict) {
  return [...new Set(verdict.reasons.map((reason) => reason.message))].join(" ");
}

function measured({ measure, value, limit }) {
  if (measure === "photograph") return "by its flat areas and edges";
  if (measure === "fault") return "";
  if (measure === "size") return `${count(value)} pixels, limit ${count(limit)}`;
  if (measure === "exposure") return `${percent(value)}, limit ${percent(limit)}`;
  return `${hundred(value)}, limit ${hundred(limit)}`;
}
