// The set of photographs as it is shown: sorted, filtered, counted.

import { byId, el, perFrame } from "../display/dom.js";
import { OUTCOMES } from "../display/verdict.js";
import { DIMENSIONS, plural, rank } from "../display/words.js";
import { Card } from "./card.js";

const NEW_PER_FRAME = 24; // cards; many more at once would hold up the page
const DIRECTIONS = { order: ["Newest first", "Oldest first"], name: ["Z to A", "A to Z"] };

export class Gallery {
  #photos = [];
  #cards = new Map();
  #on;
  #descending = false;
  #render = perFrame(() => this.#arrange());

  /** `on` is what cards need, and `changed`, called after each time that the set was arranged. */
  constructor(on) {
    this.#on = on;
    const sort = byId("sort");
    sort.append(
      ...Object.entries(DIMENSIONS).map(([name, label]) => el("option", { value: name, text: label })),
    );
    for (const control of [sort, byId("filter-kind")]) control.addEventListener("change", this.#render);
    for (const id of ["filter-name", "filter-from", "filter-to"])
      byId(id).addEventListener("input", this.#render);
    byId("filter").addEventListener("click", () => {
      const open = byId("tools").hidden;
      byId("tools").hidden = !open;
      byId("filter").setAttribute("aria-expanded", String(open));
    });
    byId("worst").addEventListener("click", () => {
      const already = this.#worstFirst;
      sort.value = already ? "order" : "score";
      this.#descending = false;
      this.#render();
    });
    byId("direction").addEventListener("click", () => {
      this.#descending = !this.#descending;
      this.#render();
    });
    // What one expects first: the first name, but the best score.
    sort.addEventListener("change", () => (this.#descending = !(sort.value in DIRECTIONS)));
    byId("filters-off").addEventListener("click", () => this.#filtersOff());
    byId("maps").addEventListener("change", () => this.#showMaps());
  }

  get #worstFirst() {
    return byId("sort").value === "score" && !this.#descending;
  }

  get photos() {
    return this.#photos;
  }

  add(photos) {
    this.#photos.push(...photos);
    this.#render();
  }

  remove(photo) {
    const cards = [...byId("cards").children];
    const at = cards.indexOf(this.#cards.get(photo)?.root);
    const focused = cards[at]?.contains(document.activeElement);
    this.#photos = this.#photos.filter((each) => each !== photo);
    this.#cards.get(photo)?.root.remove();
    this.#cards.delete(photo);
    photo.release();
    // So that the keyboard goes on where it was.
    if (focused) (cards[at + 1] ?? cards[at - 1])?.querySelector("button").focus();
    this.#render();
  }

  /** Shows again what has changed with a photograph. */
  update(photo) {
    this.#cards.get(photo)?.update();
    this.#render();
  }

  /** The photographs as they are shown: those that fit the filters, in order. */
  shown() {
    return this.#photos.filter(this.#filter()).sort(this.#order());
  }

  /** Offers the verdicts as filters, where photographs are judged. */
  offerVerdicts(judged) {
    const kinds = byId("filter-kind");
    for (const option of [...kinds.options]) if (option.value in OUTCOMES) option.remove();
    if (judged)
      kinds.append(...Object.entries(OUTCOMES).map(([value, text]) => el("option", { value, text })));
    this.#render();
  }

  #arrange() {
    const shown = this.shown();
    const list = byId("cards");
    const focused = list.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
    let place = list.firstElementChild;
    let made = 0;
    for (const photo of shown) {
      if (!this.#cards.has(photo) && made++ >= NEW_PER_FRAME) {
        this.#render(); // the rest in the frames that follow
        break;
      }
      const { root } = this.#card(photo);
      if (root === place) place = place.nextElementSibling;
      else list.insertBefore(root, place);
    }
    while (made <= NEW_PER_FRAME && place !== null) {
      const next = place.nextElementSibling;
      place.remove();
      place = next;
    }
    // A card that was moved has lost the focus on the way.
    if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
    list.hidden = this.#photos.length === 1; // which is shown large instead
    this.#label(shown);
    this.#on.changed();
  }

  #label(shown) {
    const [down, up] = DIRECTIONS[byId("sort").value] ?? ["Highest first", "Lowest first"];
    byId("direction").textContent = this.#descending ? down : up;
    byId("worst").setAttribute("aria-pressed", String(this.#worstFirst));
    byId("nothing").hidden = shown.length > 0 || this.#photos.length < 2;
    const all = shown.length === this.#photos.length;
    byId("export").textContent = all ? "Export CSV" : `Export ${plural(shown.length, "row")}`;
  }

  #card(photo) {
    if (!this.#cards.has(photo)) {
      const card = new Card(photo, this.#on);
      card.showMap(byId("maps").checked);
      this.#cards.set(photo, card);
    }
    return this.#cards.get(photo);
  }

  #filter() {
    const name = byId("filter-name").value.trim().toLowerCase();
    const kind = byId("filter-kind").value;
    const [from, to] = ["filter-from", "filter-to"].map((id) => byId(id).valueAsNumber);
    return (photo) => {
      if (name && !photo.name.toLowerCase().includes(name)) return false;
      if (kind === "problem" && photo.state !== "failed") return false;
      if (kind in OUTCOMES && photo.answer?.verdict?.outcome !== kind) return false;
      if (Number.isNaN(from) && Number.isNaN(to)) return true;
      // As it is shown: 70 means the 70 that stands on the tile.
      const score = photo.answer ? rank(photo.answer) : null;
      return score !== null && !(score < from) && !(score > to);
    };
  }

  #order() {
    const by = byId("sort").value;
    const sign = this.#descending ? -1 : 1;
    if (by === "order") return (one, other) => sign * (one.order - other.order);
    if (by === "name")
      return (one, other) => sign * one.name.localeCompare(other.name, undefined, { numeric: true });
    const value = ({ answer }) => (by === "score" ? answer?.score : answer?.dimensions?.[by]);
    // Those without a value stand at the end, whichever way the others go.
    return (one, other) => {
      const [first, second] = [value(one), value(other)];
      if (first === undefined || second === undefined)
        return Number(first === undefined) - Number(second === undefined) || one.order - other.order;
      return sign * (first - second) || one.order - other.order;
    };
  }

  #filtersOff() {
    for (const id of ["filter-name", "filter-from", "filter-to"]) byId(id).value = "";
    byId("filter-kind").value = "all";
    byId("filter-name").focus();
    this.#render();
  }

  #showMaps() {
    const wanted = byId("maps").checked;
    byId("scale").hidden = !wanted;
    for (const card of this.#cards.values()) card.showMap(wanted);
  }
}
