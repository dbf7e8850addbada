// The report of one photograph: the picture, large, and beside it how good it is, what is wrong, and how sure that is.

import { deviatingBars, filled } from "../display/bars.js";
import { el } from "../display/dom.js";
import { outcomeMark, policyTitle, reasonsList } from "../display/verdict.js";
import { capital, cautions, rank, reading, sentence, standing } from "../display/words.js";
import { problemBlock, waitingText } from "../service/problems.js";
import { evidence } from "./evidence.js";
import { factRows } from "./facts.js";
import { Stage } from "./stage.js";

export class Report {
  #root;
  #on;
  #photo = null;
  #stage = null;
  #panel = null;
  #below = null;
  #shown = null; // what is in the panel: the answer, or the state without one

  /** `on` is {again, remove, compare}, each given the photograph. */
  constructor(root, on) {
    this.#root = root;
    this.#on = on;
  }

  /** Shows a photograph, or with null none. */
  show(photo) {
    if (photo === this.#photo) return;
    this.#photo = photo;
    this.#shown = null;
    this.#root.replaceChildren(); // and with it the photograph at its full size
    if (!photo) return;
    this.#stage = new Stage(photo);
    this.#panel = el("div", { class: "panel" });
    this.#below = el("div", { class: "below" });
    this.#root.append(el("div", { class: "report-body" }, this.#stage.root, this.#panel), this.#below);
    this.update(photo);
  }

  /** Shows again what has changed with the photograph, if it is the one that is shown. */
  update(photo) {
    if (photo === null || photo !== this.#photo) return;
    this.#root.dataset.state = photo.state;
    this.#stage.update();
    const seen = photo.answer && photo.state !== "failed" ? photo.answer : `${photo.state}${photo.pause?.seconds}`;
    if (seen === this.#shown) return;
    this.#shown = seen;
    const focused = this.#root.contains(document.activeElement) ? document.activeElement.id : "";
    this.#panel.replaceChildren(...this.#sections(photo));
    this.#below.replaceChildren(...(photo.answer ? [evidence(photo.answer)] : []));
    if (focused) document.getElementById(focused)?.focus();
  }

  #sections(photo) {
    const { answer } = photo;
    const name = el("h3", { class: "file-name", title: photo.name, text: photo.name.split("/").pop() });
    const parts = [name, ...this.#state(photo)];
    if (answer) parts.push(headline(answer), ...findings(answer), factRows(photo));
    parts.push(this.#actions(photo));
    return parts.filter(Boolean);
  }

  #state(photo) {
    const { state, problem, pause, answer } = photo;
    const again = () => this.#on.again(photo);
    if (state === "failed") return [problemBlock(problem, again)];
    if (state === "paused") return [el("p", { class: "busy", text: waitingText(pause.problem, pause.seconds) })];
    if (answer) return [];
    if (state === "cancelled")
      return [
        el(
          "p",
          {},
          "Not scored. ",
          el("button", { type: "button", class: "again", on: { click: again }, text: "Score it" }),
        ),
      ];
    return [el("p", { class: "busy", text: state === "asking" ? "Scoring" : "Waiting" })];
  }

  #actions(photo) {
    const act = (text, work) => el("button", { type: "button", class: "quiet", text, on: { click: work } });
    return el(
      "p",
      { class: "actions" },
      act("Compare as original", () => this.#on.compare(photo, "reference")),
      act("Compare as copy", () => this.#on.compare(photo, "distorted")),
      act("Remove", () => this.#on.remove(photo)),
    );
  }
}

function headline(answer) {
  const read = reading(answer);
  const of100 = rank(answer);
  const mark = el("span", { class: "standing-mark" });
  mark.style.left = `${of100}%`;
  return el(
    "section",
    { class: "headline", "data-reading": answer.reading },
    el(
      "p",
      { class: "reading" },
      el("data", { "data-part": "score", value: String(answer.score), text: read || String(of100) }),
    ),
    el("div", { class: "standing", "aria-hidden": "true" }, filled(of100 / 100), mark),
    el(
      "p",
      { class: "small sides-apart" },
      el("span", { "data-part": "standing", text: standing(answer) }),
      answer.confidence ? el("span", { text: `${answer.confidence.level} confidence` }) : null,
    ),
    el("p", { class: "sentence", "data-part": "sentence", text: sentence(answer) }),
  );
}

/** What was found: faults, the verdict of a policy, dimensions that deviate, and what to read with care. */
function findings(answer) {
  const low = deviatingBars(answer);
  const { faults = [], verdict, confidence } = answer;
  const care = cautions(answer);
  if (confidence?.level === "low" && care.length === 0) care.push("The reading is uncertain.");
  return [
    faults.length > 0 && section("What is wrong", el("ul", { class: "faults" }, faults.map(fault))),
    verdict &&
      el(
        "section",
        { class: "verdict" },
        el("h3", { text: `Against ${policyTitle(verdict.policy)}` }),
        outcomeMark(verdict.outcome),
        reasonsList(verdict),
      ),
    low.length > 0 && section(answer.percentile == null ? "Weak, of 100" : "Weaker than usual, rank of 100", el("ul", { class: "bars low" }, low)),
    care.length > 0 &&
      section(
        "Read with care",
        care.map((text) => el("p", { class: "care", text })),
      ),
  ];
}

function section(title, ...content) {
  return el("section", {}, el("h3", { text: title }), ...content);
}

function fault(found) {
  return el(
    "li",
    { class: found.severity, "data-fault": found.fault },
    el("span", { class: "fault", text: capital(found.message) }),
    el("span", { class: "sure", text: `${Math.round(100 * found.confidence)}\u00a0% sure` }),
  );
}
