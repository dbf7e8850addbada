// Two photographs held against each other, the original and a copy, behind a divider that can be moved.

import { byId, el } from "../display/dom.js";
import { bytes, capital, closeness, hundred } from "../display/words.js";
import { example } from "../photographs/examples.js";
import { refusal } from "../photographs/files.js";
import { problemBlock, waitingText } from "../service/problems.js";
import { Queue } from "../service/queue.js";
import { compare } from "../service/service.js";
import { comparison } from "./comparison.js";

const SIDES = { reference: "Original", distorted: "Copy" };

export class Compare {
  #files = { reference: null, distorted: null };
  #addresses = { reference: null, distorted: null };
  #slots = {};
  #mapFirst = false; // whether the answer is shown with its map of differences: that of the example pair is
  #set;
  #limits;
  #queue = new Queue((job, signal) => compare(job.reference, job.distorted, { resize: job.resize, signal }), {
    started: () => this.#say(el("p", { class: "busy", text: "Comparing" })),
    waiting: (job, seconds, problem) =>
      this.#say(el("p", { class: "busy", text: waitingText(problem, seconds) })),
    done: (job, { answer }) => this.#show(answer),
    failed: (job, problem) => this.#fail(job, problem),
    cancelled: () => {},
    changed: () => {},
  });

  /** `set` gives the photographs that were added to be scored: they can be compared too. `limits`, the service's. */
  constructor(set, limits) {
    this.#set = set;
    this.#limits = limits;
    for (const [side, label] of Object.entries(SIDES)) this.#slots[side] = this.#slot(side, label);
    byId("sides").append(...Object.values(this.#slots).map((slot) => slot.root));
    byId("pair").addEventListener("click", async () => {
      this.take(await Promise.all([example("good"), example("compressed")]));
      this.#mapFirst = true;
    });
  }

  /** Takes a file for a side, and compares as soon as both are there. */
  put(side, file) {
    if (this.#addresses[side]) URL.revokeObjectURL(this.#addresses[side]);
    this.#files[side] = file;
    this.#mapFirst = false;
    this.#addresses[side] = file ? URL.createObjectURL(file) : null;
    this.#fillSlot(side);
    this.#ask(false);
  }

  /** Takes files that were dropped or pasted: two for both sides, one for the free side, or else as the copy. */
  take([first, second]) {
    if (second) {
      this.put("reference", first);
      this.put("distorted", second);
    } else if (first) this.put(this.#files.reference ? "distorted" : "reference", first);
  }

  /** Offers the photographs that are in the set by now. */
  refresh() {
    for (const side of Object.keys(SIDES)) {
      const photos = this.#set();
      const { pick, pickField } = this.#slots[side];
      pick.replaceChildren(
        el("option", { value: "", text: "From the set" }),
        ...photos.map((photo, i) => el("option", { value: String(i), text: photo.name })),
      );
      pickField.hidden = photos.length === 0;
    }
  }

  #slot(side, label) {
    const chooser = el("input", { type: "file", hidden: true });
    const choose = el("button", {
      type: "button",
      id: `choose-${side}`,
      text: "Choose a file",
      on: { click: () => chooser.click() },
    });
    chooser.addEventListener("change", () => {
      const [file] = chooser.files;
      chooser.value = "";
      if (file) this.put(side, file);
    });
    const pick = el("select", {
      id: `pick-${side}`,
      on: {
        change: () => {
          const photo = this.#set()[Number(pick.value)];
          if (pick.value !== "" && photo) this.put(side, photo.file);
        },
      },
    });
    const pickField = el("label", { hidden: true }, el("span", { class: "visually-hidden", text: label }), pick);
    const preview = el("div", { class: "preview" });
    const name = el("p", {
      class: "small",
      id: `name-${side}`,
      text: side === "reference" ? "As it was" : "What became of it",
    });
    const root = el(
      "div",
      { class: "side", role: "group", "aria-label": label },
      el("h3", { text: label }),
      preview,
      name,
      el("div", { class: "actions" }, choose, pickField),
      chooser,
    );
    root.addEventListener("drop", (event) => {
      const [file] = event.dataTransfer.files;
      if (!file) return;
      event.preventDefault(); // and the page leaves it to this side
      this.put(side, file);
    });
    return { root, preview, name, pick, pickField, choose };
  }

  #fillSlot(side) {
    const { preview, name, choose } = this.#slots[side];
    const file = this.#files[side];
    const image = el("img", { src: this.#addresses[side], alt: "" });
    image.addEventListener("error", () =>
      preview.replaceChildren(
        el("p", { class: "small", text: "Not shown by this browser; it is compared all the same." }),
      ),
    );
    preview.replaceChildren(image);
    name.textContent = `${file.name || "pasted image"}, ${bytes(file.size)}`;
    choose.textContent = "Change";
    byId("sides").classList.add("filled");
  }

  #ask(resize) {
    const { reference, distorted } = this.#files;
    this.#queue.cancel();
    byId("comparison").replaceChildren();
    if (!reference || !distorted) {
      this.#say(el("p", { text: reference ? "Now the copy." : "Now the original." }));
      return;
    }
    const job = { reference, distorted, resize };
    const problem = refusal(reference, this.#limits()) ?? refusal(distorted, this.#limits());
    if (problem) this.#fail(job, problem);
    else this.#queue.add(job);
  }

  #say(...nodes) {
    byId("compare-state").replaceChildren(...nodes);
  }

  #fail(job, problem) {
    const block = problemBlock(problem, () => this.#ask(job.resize));
    if (problem.slug === "size-mismatch")
      block.append(
        el("button", {
          type: "button",
          class: "primary",
          id: "bring-to-size",
          text: "Bring it to the original’s size",
          on: { click: () => this.#ask(true) },
        }),
      );
    this.#say(block);
  }

  #show(answer) {
    this.#say(
      el("p", {
        class: "visually-hidden",
        text: `Compared: ${answer.grade ? capital(answer.grade) : closeness(answer.score)}; ${hundred(answer.score)} of 100.`,
      }),
    );
    byId("comparison").replaceChildren(comparison(answer, this.#addresses, this.#mapFirst));
  }
}
