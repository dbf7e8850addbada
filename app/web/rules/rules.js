// Rules from one's own photographs: good ones, and bad ones if there are any, become the limits of a policy.

import { byId, el, perFrame } from "../display/dom.js";
import { count, plural } from "../display/words.js";
import { droppedFiles, imagesOnly, refusal } from "../photographs/files.js";
import { Photo } from "../photographs/photo.js";
import { dropThumbnail, makeThumbnail } from "../photographs/thumbnails.js";
import { explained, problemBlock, waitingText } from "../service/problems.js";
import { Queue } from "../service/queue.js";
import { calibrate, score } from "../service/service.js";
import { found } from "./found.js";

const KINDS = {
  good: { label: "Good photographs", hint: "Such as should pass: fifty or more, of the kind that you expect." },
  bad: { label: "Bad photographs", hint: "If you have some: such as should be rejected." },
};
const MOST = 500; // photographs of each kind that the service takes
const MOST_SHOWN = 8; // thumbnails; the rest is a number
const DECIMALS = 1e4;

export class Rules {
  #limits;
  #photos = { good: [], bad: [] };
  #left = { good: 0, bad: 0 }; // files beyond the most
  #sides = {};
  #asked = ""; // the question that was answered, or is under way
  #render = perFrame(() => this.#show());
  #scoring = new Queue((photo, signal) => score(photo.file, { map: false, signal }), {
    started: (photo) => this.#become(photo, { state: "asking", pause: null }),
    waiting: (photo, seconds, problem) => this.#become(photo, { state: "paused", pause: { problem, seconds } }),
    done: (photo, { answer }) => this.#become(photo, { state: "scored", answer, problem: null }),
    failed: (photo, problem) => {
      this.#become(photo, { state: "failed", problem });
      if (problem.slug === "unauthorized") this.#scoring.cancel(); // nothing else can be scored either
    },
    cancelled: (photo) => this.#become(photo, { state: "cancelled" }),
    changed: () => this.#render(),
  });
  #finding = new Queue((job, signal) => calibrate(job.question, { signal }), {
    started: () => this.#say(el("p", { class: "busy", text: "Finding limits" })),
    waiting: (job, seconds, problem) => this.#say(el("p", { class: "busy", text: waitingText(problem, seconds) })),
    done: (job, answer) => this.#take(job, answer),
    failed: (job, problem) => this.#fail(problem),
    cancelled: () => {},
    changed: () => {},
  });

  /** `limits` gives those of the service, or null. */
  constructor(limits) {
    this.#limits = limits;
    for (const kind of Object.keys(KINDS)) this.#sides[kind] = this.#side(kind);
    byId("kinds").append(...Object.values(this.#sides).map(({ root }) => root));
    byId("rules-form").addEventListener("submit", (event) => event.preventDefault());
    byId("rules-form").addEventListener("change", () => this.#render());
  }

  /** Takes files, of good photographs unless it is said otherwise. */
  take(files, kind = "good") {
    const room = MOST - this.#photos[kind].length;
    this.#left[kind] += Math.max(0, files.length - room);
    const photos = files.slice(0, room).map((file) => new Photo(file));
    this.#photos[kind].push(...photos);
    for (const photo of photos) {
      const problem = refusal(photo.file, this.#limits());
      if (problem) Object.assign(photo, { state: "failed", problem });
      else this.#scoring.add(photo);
      makeThumbnail(photo, (ready) => (this.#photos[kind].includes(ready) ? this.#render() : ready.release()));
    }
    this.#render();
  }

  #become(photo, changes) {
    Object.assign(photo, changes);
    this.#render();
  }

  #clear(kind) {
    const photos = this.#photos[kind];
    this.#photos[kind] = [];
    this.#left[kind] = 0;
    for (const photo of photos) {
      this.#scoring.cancel(photo);
      dropThumbnail(photo);
      photo.release();
    }
    this.#sides[kind].choose.focus();
    this.#render();
  }

  #side(kind) {
    const { label, hint } = KINDS[kind];
    const files = el("input", { type: "file", multiple: true, hidden: true });
    const folder = el("input", { type: "file", webkitdirectory: true, hidden: true });
    for (const chooser of [files, folder])
      chooser.addEventListener("change", () => {
        const chosen = [...chooser.files];
        chooser.value = "";
        this.take(chooser === folder ? imagesOnly(chosen, this.#limits()) : chosen, kind);
      });
    const button = (text, act, attributes = {}) =>
      el("button", { type: "button", text, on: { click: act }, ...attributes });
    const choose = button("Choose photographs", () => files.click(), { id: `rules-${kind}` });
    const clear = button("Remove all", () => this.#clear(kind), { class: "quiet", hidden: true });
    const again = button("Try again", () => this.#scoring.add(...this.#unfinished(kind)), { hidden: true });
    const counts = el("p", { class: "small", text: hint });
    const strip = el("div", { class: "strip", "aria-hidden": "true" });
    const root = el(
      "div",
      { class: "side kind", role: "group", "aria-label": label, "data-kind": kind },
      el("h3", { text: label }),
      counts,
      strip,
      el("div", { class: "actions" }, choose, button("Choose a folder", () => folder.click(), { class: "folder" }), again, clear),
      files,
      folder,
    );
    root.addEventListener("drop", async (event) => {
      if (event.dataTransfer.files.length === 0) return;
      event.preventDefault(); // and the page leaves it to this side
      this.take(await droppedFiles(event.dataTransfer, this.#limits()), kind);
    });
    return { root, counts, strip, again, clear, choose };
  }

  #show() {
    for (const kind of Object.keys(KINDS)) this.#showSide(kind);
    if (this.#of("good").length + this.#of("bad").length === 0) {
      this.#forget();
      return;
    }
    if (!this.#scoring.idle) {
      this.#forget(el("p", { class: "busy", text: "Limits are found as soon as all photographs are scored" }));
      return;
    }
    const question = this.#question();
    const key = JSON.stringify(question);
    if (key === this.#asked) return;
    this.#asked = key;
    this.#finding.cancel();
    this.#finding.add({ question, good: this.#of("good"), bad: this.#of("bad") });
  }

  #forget(...said) {
    this.#finding.cancel();
    this.#asked = "";
    byId("rules-found").replaceChildren();
    this.#say(...said);
  }

  #showSide(kind) {
    const photos = this.#photos[kind];
    const { counts, strip, again, clear } = this.#sides[kind];
    const failed = photos.filter(({ state }) => state === "failed");
    const [problem] = failed.map((photo) => explained(photo.problem).title);
    const text =
      photos.length === 0
        ? KINDS[kind].hint
        : [
            `${this.#of(kind).length} of ${count(photos.length)} scored`,
            failed.length > 0 && `${plural(failed.length, "problem")} (${problem})`,
            this.#left[kind] > 0 && `${count(this.#left[kind])} left out, as ${MOST} are the most`,
          ]
            .filter(Boolean)
            .join(", ");
    if (counts.textContent !== text) counts.textContent = text;
    clear.hidden = photos.length === 0;
    again.hidden = !this.#scoring.idle || this.#unfinished(kind).length === 0;
    const small = photos.filter(({ thumbnail }) => thumbnail).slice(0, MOST_SHOWN);
    if (strip.children.length !== small.length || strip.firstElementChild?.getAttribute("src") !== (small[0]?.thumbnail ?? undefined))
      strip.replaceChildren(...small.map(({ thumbnail }) => el("img", { src: thumbnail, alt: "" })));
  }

  /** Those that another attempt may get scored. */
  #unfinished(kind) {
    return this.#photos[kind].filter(
      ({ state, problem }) => state === "cancelled" || (state === "failed" && explained(problem).again),
    );
  }

  #of(kind) {
    return this.#photos[kind].filter((photo) => photo.answer);
  }

  #question() {
    const [first] = [...this.#of("good"), ...this.#of("bad")];
    return {
      good: this.#of("good").map(measured),
      bad: this.#of("bad").map(measured),
      reject_at_most: Number(byId("rules-form").elements.namedItem("reject").value),
      name: byId("rules-name").value.trim() || "mine",
      weights: first.answer.models[first.answer.model].weights.sha256,
    };
  }

  #take(job, answer) {
    this.#say(el("p", { class: "visually-hidden", text: answer.sentences[0] }));
    byId("rules-found").replaceChildren(found(answer, job));
  }

  #fail(problem) {
    byId("rules-found").replaceChildren();
    // What the service says of a policy is made for people: too few photographs, a name that is none.
    if (problem.slug === "invalid-parameter") this.#say(el("p", { class: "care", text: problem.detail }));
    else
      this.#say(
        problemBlock(problem, () => {
          this.#asked = "";
          this.#render();
        }),
      );
  }

  #say(...nodes) {
    byId("rules-state").replaceChildren(...nodes);
  }
}

/** What limits can be about, of an answer; few decimals, so that many fit in one question. */
function measured({ answer }) {
  const short = (value) => Math.round(value * DECIMALS) / DECIMALS;
  const { dimensions, facts, image } = answer;
  const { p99_luminance: p99, clipped_highlights: clipped } = facts.exposure;
  return {
    score: short(answer.score),
    dimensions: dimensions
      ? Object.fromEntries(
          Object.entries(dimensions)
            .filter(([name]) => name !== "overall")
            .map(([name, value]) => [name, short(value)]),
        )
      : null,
    exposure: { p99_luminance: short(p99), clipped_highlights: short(clipped) },
    ...(image.monochrome ? { monochrome: true } : {}),
    ...(image.photograph === false ? { photograph: false } : {}),
  };
}
