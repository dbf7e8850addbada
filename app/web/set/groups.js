// The set in groups of near duplicates and bursts: the one of each to keep, large, and why; the others beside it.

import { byId, el, perFrame } from "../display/dom.js";
import { bytes, count, plural } from "../display/words.js";
import { csv, save } from "../photographs/table.js";
import { problemBlock, waitingText } from "../service/problems.js";
import { Queue } from "../service/queue.js";
import { pick } from "../service/service.js";
import { Card } from "./card.js";

const MOST = 64; // that the service compares at a time, whatever its settings are

// What the service names in favor of the best one, said of the photograph that has less of it.
const WORSE = {
  pixels: "Fewer pixels",
  sharpness: "Less sharp",
  cleanness: "More noise",
  compression: "More compressed",
  exposure: "Worse exposed",
  faults: "More faults",
  score: "Lower score",
  detail: "Enlarged: shows less detail",
  none: "As good; one is enough",
};

/** @type {import("../photographs/table.js").Column[]} */
const COLUMNS = [
  { name: "file", kind: "text", path: [] },
  { name: "group", kind: "whole", path: ["group"] },
  { name: "keep", kind: "text", path: ["keep"] },
  { name: "reason", kind: "text", path: ["reason"] },
  { name: "score", kind: "number", path: ["score"] },
];

export class Groups {
  #set;
  #on;
  #active = false;
  #asked = null; // the photographs that the groups are of; null before the first question
  #groups = []; // {members, keep, reason, worse}, those with most to choose from first
  #said = null; // what stands in place of groups while there are none: a node
  #cards = new Map();
  #shown = ""; // what is on the page, to leave it alone if nothing has changed
  #focus = null; // the place among the cards that gets the focus after a removal
  #render = perFrame(() => this.#arrange());
  #queue = new Queue((job, signal) => pick(job.map((photo) => photo.file), { signal }), {
    started: (job) => this.#say(busy(`Looking for near duplicates among ${count(job.length)} photographs`)),
    waiting: (job, seconds, problem) => this.#say(busy(waitingText(problem, seconds))),
    done: (job, answer) => this.#take(job, answer),
    failed: (job, problem) => this.#say(problemBlock(problem, () => this.#ask())),
    cancelled: () => this.#say(null),
    changed: () => {},
  });

  /**
   * @param {{shown(): any[], idle(): boolean, limits(): any}} set gives the photographs as they are shown, whether
   *   all work on them is done, and the service's limits or null.
   * @param {{open(photo: any): void, remove(photo: any): void, again(photo: any): void, changed(): void}} on is what
   *   cards need, and `changed`, called when the view is switched on or off.
   */
  constructor(set, on) {
    this.#set = set;
    this.#on = {
      ...on,
      remove: (photo) => {
        this.#focus = this.#cardsInOrder().indexOf(this.#cards.get(photo)?.root);
        on.remove(photo);
      },
    };
    byId("grouped").addEventListener("click", () => this.#switch(!this.#active));
    byId("groups-again").addEventListener("click", () => this.#ask());
    byId("groups-best").addEventListener("click", () => {
      for (const { keep, members } of this.#present())
        if (members.includes(keep)) for (const each of members) if (each !== keep) on.remove(each);
      byId("grouped").focus();
    });
    byId("groups-export").addEventListener("click", () =>
      save(csv(COLUMNS, this.#rows()), "groups.csv", "text/csv"),
    );
  }

  /** The photographs in the order of the groups; null where the set is not shown in groups. */
  inOrder() {
    return this.#active && this.#groups.length > 0 ? this.#present().flatMap(({ members }) => members) : null;
  }

  /** Shows again what has changed with the set. */
  refresh() {
    if (this.#active) this.#render();
  }

  /** Shows again what has changed with a photograph. */
  update(photo) {
    this.#cards.get(photo)?.update();
  }

  #switch(active) {
    this.#active = active;
    byId("grouped").setAttribute("aria-pressed", String(active));
    byId("set").classList.toggle("grouping", active);
    byId("groups").hidden = !active;
    if (!active) this.#queue.cancel();
    else if (this.#set.idle() && this.#newcomers().length > 0) this.#ask();
    this.#on.changed();
    this.#render();
  }

  /** Those of the set that can be compared. */
  #sendable() {
    return this.#set.shown().filter((photo) => photo.answer && photo.state !== "failed");
  }

  /** As many of them as one request may have. */
  #bounded() {
    const { max_files: most = MOST, max_files_bytes: room } = this.#set.limits() ?? {};
    const photos = this.#sendable().slice(0, Math.min(MOST, most ?? MOST));
    let left = room ?? Infinity;
    const beyond = photos.findIndex((photo) => (left -= photo.file.size) < 0);
    return beyond < 0 ? photos : photos.slice(0, beyond);
  }

  #newcomers() {
    return this.#bounded().filter((photo) => !this.#asked?.includes(photo));
  }

  #ask() {
    const photos = this.#bounded();
    this.#queue.cancel();
    this.#groups = [];
    this.#asked = photos;
    if (photos.length > 1) this.#queue.add(photos);
    this.#render();
  }

  #take(photos, { groups, images }) {
    this.#said = null;
    this.#groups = groups.map((group) => ({
      members: [group.keep, ...group.images.filter((each) => each !== group.keep)].map((each) => photos[each]),
      keep: photos[group.keep],
      reason: group.reason,
      worse: new Map(group.images.map((each) => [photos[each], WORSE[images[each].advantage] ?? ""])),
    }));
    // What could not be compared is shown all the same.
    const alone = photos.filter((_, place) => !groups.some((group) => group.images.includes(place)));
    this.#groups.push(...alone.map((photo) => ({ members: [photo], keep: photo, reason: "", worse: new Map() })));
    this.#render();
  }

  #say(node) {
    this.#said = node;
    this.#render();
  }

  /** The groups with those of their members that are still shown, in the order of the set. */
  #present() {
    const shown = this.#set.shown();
    const places = new Map(shown.map((photo, place) => [photo, place]));
    const first = ({ members }) => Math.min(...members.map((photo) => places.get(photo)));
    return this.#groups
      .map((group) => ({ ...group, members: group.members.filter((photo) => places.has(photo)) }))
      .filter(({ members }) => members.length > 0)
      .sort(
        (one, other) =>
          Number(other.members.length > 1) - Number(one.members.length > 1) || first(one) - first(other),
      );
  }

  #arrange() {
    if (!this.#active) return;
    const idle = this.#set.idle();
    if (idle && this.#asked === null && this.#sendable().length > 1) return void this.#ask();
    const present = this.#present();
    const several = present.filter(({ members }) => members.length > 1);
    const stale = this.#groups.length > 0 && idle && this.#isStale(several);
    const state = this.#said ?? this.#summary(present, several);
    const key = [
      idle,
      stale,
      this.#said ? "" : state.textContent,
      ...present.map(({ members, keep }) => [members.includes(keep), ...members.map((photo) => photo.order)]),
    ].join("|");
    const same = key === this.#shown && byId("groups-state").firstChild === state;
    if (same) return;
    this.#shown = key;
    byId("groups-state").replaceChildren(state);
    byId("groups-limit").textContent = this.#limitText();
    byId("groups-limit").hidden = !byId("groups-limit").textContent;
    byId("groups-again").hidden = !stale;
    byId("groups-best").hidden = byId("groups-export").hidden = several.length === 0;
    this.#fill(present, several);
  }

  #fill(present, several) {
    const focused = byId("groups-list").contains(document.activeElement) ? document.activeElement : null;
    const alone = present.filter(({ members }) => members.length === 1).map(({ members }) => members[0]);
    for (const [photo] of this.#cards)
      if (!present.some(({ members }) => members.includes(photo))) this.#cards.delete(photo);
    byId("groups-list").replaceChildren(
      ...several.map((group, place) => this.#section(group, place)),
      ...(alone.length > 0 && several.length > 0
        ? [el("h3", { class: "groups-alone", text: `Without a near duplicate: ${count(alone.length)}` })]
        : []),
      el("ol", { class: "cards", "aria-label": "Photographs without a near duplicate" }, alone.map((photo) => this.#card(photo))),
    );
    if (this.#focus !== null && this.#focus >= 0) {
      const cards = this.#cardsInOrder();
      /** @type {HTMLElement} */ (cards[Math.min(this.#focus, cards.length - 1)]?.querySelector("button"))?.focus();
    } else if (focused instanceof HTMLElement && focused.isConnected) focused.focus({ preventScroll: true });
    this.#focus = null;
  }

  #section({ members, keep, reason, worse }, place) {
    const best = members.includes(keep) ? keep : null;
    const others = members.filter((photo) => photo !== best);
    const id = `group-${place}`;
    return el(
      "section",
      { class: "group", "aria-labelledby": id },
      el("h3", { id, text: `${count(members.length)} that show the same` }),
      el(
        "div",
        { class: "group-body" },
        best && el("ol", { class: "best" }, this.#card(best, el("p", { class: "picked" }, kept(), ` ${reason}`))),
        el(
          "ol",
          { class: "cards others", "aria-label": "The others of the group" },
          others.map((photo) =>
            this.#card(photo, el("p", { class: "picked", text: best ? worse.get(photo) : "The one to keep was removed" })),
          ),
        ),
      ),
    );
  }

  /** A photograph's card, with what was decided about it. */
  #card(photo, decided = null) {
    if (!this.#cards.has(photo)) this.#cards.set(photo, new Card(photo, this.#on));
    const { root } = this.#cards.get(photo);
    root.querySelector(".picked")?.remove();
    if (decided) root.querySelector("h3").after(decided);
    return root;
  }

  #cardsInOrder() {
    return [...byId("groups-list").querySelectorAll(".card")];
  }

  /** Whether there are photographs that the groups do not know, or a group lacks the one to keep. */
  #isStale(several) {
    return this.#newcomers().length > 0 || several.some(({ members, keep }) => !members.includes(keep));
  }

  #summary(present, several) {
    if (!this.#set.idle()) return busy("Groups are made as soon as all photographs are scored");
    if (this.#groups.length === 0)
      return el("p", { text: "Groups need two photographs or more that are scored." });
    const total = present.reduce((sum, { members }) => sum + members.length, 0);
    if (total === 0) return el("p", { text: "Nothing that is shown was compared yet." });
    const text =
      several.length === 0
        ? `No near duplicates among ${plural(total, "photograph")}.`
        : `${plural(several.length, "group")} of near duplicates among ${count(total)} photographs. ` +
          `With the best of each, ${count(present.length)} are left.`;
    return el("p", { text });
  }

  #limitText() {
    const all = this.#sendable().length;
    const taken = this.#asked?.length ?? 0;
    if (this.#groups.length === 0 || this.#bounded().length === all) return "";
    const room = this.#set.limits()?.max_files_bytes;
    const most = Math.min(MOST, this.#set.limits()?.max_files ?? MOST);
    const limit = taken < most && room ? `${bytes(room)} of photographs` : `${count(most)} photographs`;
    return (
      `The service compares ${limit} at a time: these are the first ${count(taken)} of ${count(all)}, as they are ` +
      "sorted. Filter them, and group again, to compare others."
    );
  }

  #rows() {
    return this.#present().flatMap(({ members, keep, reason, worse }, place) =>
      members.map((photo) => ({
        name: photo.name,
        answer: {
          group: place + 1,
          keep: photo === keep ? "yes" : "no",
          reason: photo === keep ? reason : worse.get(photo),
          score: photo.answer?.score,
        },
      })),
    );
  }
}

function kept() {
  return el("strong", { class: "outcome pass" }, el("span", { "aria-hidden": "true", text: "✓ " }), "Keep");
}

function busy(text) {
  return el("p", { class: "busy", text });
}
