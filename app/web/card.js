// One photograph's place in the set: its picture, and in short what the service said of it.

import { dimensionBars } from "./bars.js";
import { el, parts } from "./dom.js";
import { drawMap } from "./map.js";
import { explained, waitingText } from "./problems.js";
import { bytes, cautions, count, hundred, modelName, percent, reading, sentence } from "./words.js";

const MAP_SIDE = 240; // pixels; the card's picture is small
const MOST_REASONS = 3;
const OUTCOMES = { pass: "Pass", review: "Review", fail: "Fail" };
const MARKS = { pass: "✓", review: "?", fail: "✕" };

/** The mark of a verdict, which says in a word and a sign what its colour says. */
export function outcomeMark(outcome) {
  return el(
    "strong",
    { class: `outcome ${outcome}` },
    el("span", { "aria-hidden": "true", text: `${MARKS[outcome] ?? "•"} ` }),
    OUTCOMES[outcome] ?? outcome,
  );
}

/** The sentences of a verdict, each limit with what was found, and by which model. */
export function reasonsList(verdict) {
  return listOf(verdict.reasons, (reason) =>
    reason.model ? `${modelName(reason.model)}: ${measured(reason)}` : measured(reason),
  );
}

/** The first few of them, each sentence once: two models often say the same. */
function mainReasons(verdict) {
  const said = verdict.reasons.map((reason) => reason.message);
  const first = verdict.reasons.filter((reason, i) => said.indexOf(reason.message) === i);
  return listOf(first.slice(0, MOST_REASONS), measured);
}

function listOf(reasons, found) {
  return el(
    "ul",
    { class: "reasons" },
    reasons.map((reason) =>
      el(
        "li",
        { class: reason.outcome },
        reason.message,
        " ",
        el("span", { class: "small", text: `(${found(reason)})` }),
      ),
    ),
  );
}

function measured({ measure, value, limit }) {
  if (measure === "size") return `${count(value)} pixels; the limit is ${count(limit)}`;
  if (measure === "exposure") return `${percent(value)}; the limit is ${percent(limit)}`;
  return `${hundred(value)}; the limit is ${hundred(limit)}`;
}

/** What stands in the way of a photograph's answer, with the buttons that may help. */
export function problemBlock(problem, again) {
  const { title, text, again: helps } = explained(problem);
  return el(
    "div",
    { class: "problem", "data-slug": problem.slug },
    el("p", { class: "problem-title" }, el("span", { "aria-hidden": "true", text: "! " }), title),
    el("p", { text }),
    helps && again
      ? el("button", { type: "button", class: "again", on: { click: again }, text: "Try again" })
      : null,
  );
}

export class Card {
  #photo;
  #parts;
  #on;
  #maps = false;
  #shown = null; // the answer that is on the card

  /** `on` is {open, remove, again}, each given the photograph. */
  constructor(photo, on) {
    this.#photo = photo;
    this.#on = on;
    this.#parts = parts("card-template");
    const { open, remove, name } = this.#parts;
    name.textContent = photo.name.split("/").pop();
    name.title = photo.name;
    open.setAttribute("aria-label", `Look at ${photo.name} in detail`);
    open.addEventListener("click", () => on.open(photo));
    remove.setAttribute("aria-label", `Remove ${photo.name}`);
    remove.addEventListener("click", () => on.remove(photo));
    this.update();
  }

  get root() {
    return this.#parts.root;
  }

  /** Shows what has become of the photograph. */
  update() {
    const { answer, state } = this.#photo;
    this.root.dataset.state = state;
    this.#updatePicture();
    this.#parts.state.replaceChildren(...this.#stateNodes());
    this.#parts.answer.hidden = answer === null;
    if (answer !== null && answer !== this.#shown) this.#updateAnswer(answer);
    this.#shown = answer;
  }

  /** Lays the map of local quality over the picture, or takes it off. */
  showMap(wanted) {
    this.#maps = wanted;
    this.#updateMap();
  }

  #updatePicture() {
    const { thumbnail, placeholder } = this.#parts;
    const address = this.#photo.thumbnail;
    if (address && thumbnail.getAttribute("src") !== address) thumbnail.src = address;
    thumbnail.hidden = !address;
    placeholder.hidden = Boolean(address);
    // Only once it is sure that the browser cannot show the file.
    placeholder.textContent = address === "" ? this.#photo.format : "";
  }

  #stateNodes() {
    const { state, problem, pause, answer } = this.#photo;
    const again = () => this.#on.again(this.#photo);
    switch (state) {
      case "failed":
        return [problemBlock(problem, again)];
      case "paused":
        return [el("p", { class: "busy", text: waitingText(pause.problem, pause.seconds) })];
      case "asking":
        return [el("p", { class: "busy", text: answer ? "Judging again" : "Scoring" })];
      case "waiting":
        return [el("p", { class: "busy", text: "Waiting" })];
      case "cancelled":
        return [
          el(
            "p",
            {},
            "Not scored. ",
            el("button", { type: "button", class: "again", on: { click: again }, text: "Score it" }),
          ),
        ];
      default:
        return [];
    }
  }

  #updateAnswer(answer) {
    const { score, reading: read, sentence: says, bars, facts, care, verdict } = this.#parts;
    score.value = String(answer.score);
    score.textContent = hundred(answer.score);
    read.textContent = reading(answer.models[answer.model]);
    says.textContent = sentence(answer);
    bars.replaceChildren(...dimensionBars(answer.dimensions));
    const warned = cautions(answer.warnings);
    care.hidden = warned.length === 0;
    care.textContent = warned.length ? `Read with care: ${warned[0]}` : "";
    const others = Object.entries(answer.models).filter(([name]) => name !== answer.model);
    facts.textContent = [
      ...others.map(([name, model]) => `${modelName(name)}\u00a0${hundred(model.score)}`),
      `${answer.image.width}\u00a0×\u00a0${answer.image.height}`,
      `${answer.image.format}, ${bytes(answer.image.bytes)}`,
      this.#photo.remembered ? "remembered" : `${Math.round(answer.timing_ms.total)}\u00a0ms`,
    ].join(" · ");
    verdict.hidden = !answer.verdict;
    verdict.replaceChildren(
      ...(answer.verdict ? [outcomeMark(answer.verdict.outcome), mainReasons(answer.verdict)] : []),
    );
    this.#updateMap();
  }

  #updateMap() {
    const { map, open } = this.#parts;
    const there = this.#maps && Boolean(this.#photo.answer?.quality_map);
    if (there) drawMap(map, this.#photo.answer, MAP_SIDE);
    map.hidden = !there;
    open.classList.toggle("mapped", there);
  }
}
