// One photograph's tile in the set: its picture, and in short what the service said of it.

import { deviatingBars } from "../display/bars.js";
import { el, parts } from "../display/dom.js";
import { drawMap } from "../display/map.js";
import { mainReasons, outcomeMark } from "../display/verdict.js";
import { cautions, rank, reading, scaling, sentence } from "../display/words.js";
import { problemBlock, waitingText } from "../service/problems.js";

const MAP_SIDE = 240; // pixels; the tile's picture is small
const MOST_BARS = 2;

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
    this.#parts.grade.hidden = answer === null;
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
    const { grade, score, reading: read, sentence: says, bars, facts, care, verdict } = this.#parts;
    grade.dataset.reading = answer.reading ?? "";
    score.value = String(answer.score);
    score.textContent = String(rank(answer));
    read.textContent = reading(answer);
    says.textContent = sentence(answer);
    bars.replaceChildren(...deviatingBars(answer).slice(0, MOST_BARS));
    const warned = cautions(answer);
    care.hidden = warned.length === 0;
    care.textContent = warned.length ? `Read with care: ${warned[0]}` : "";
    facts.textContent = [`${answer.image.width}\u00a0×\u00a0${answer.image.height}`, scaling(answer)]
      .filter(Boolean)
      .join(", ");
    verdict.hidden = !answer.verdict;
    verdict.replaceChildren(
      ...(answer.verdict
        ? [outcomeMark(answer.verdict.outcome), el("span", { class: "reasons", text: mainReasons(answer.verdict) })]
        : []),
    );
    this.#updateMap();
  }

  #updateMap() {
    const { map } = this.#parts;
    const there = this.#maps && Boolean(this.#photo.answer?.quality_map);
    if (there) drawMap(map, this.#photo.answer, MAP_SIDE);
    map.hidden = !there;
  }
}
