// The dialog of one photograph: large, with its map, and all that is known of it.

import { dimensionBars } from "./bars.js";
import { outcomeMark, problemBlock, reasonsList } from "./card.js";
import { byId, el } from "./dom.js";
import { evidence } from "./evidence.js";
import { drawMap, range, valueAt } from "./map.js";
import { betterThan, bytes, cautions, count, hundred, modelName, reading, sentence } from "./words.js";

export class Detail {
  #dialog = byId("detail");
  #on;
  #photo = null;
  #map = false;
  #spread = false;

  /** `on` is {around, remove, again, compare}: the photographs as they are shown, and what the buttons do. */
  constructor(on) {
    this.#on = on;
    this.#dialog.addEventListener("close", () => {
      this.#photo = null;
      this.#dialog.replaceChildren(); // and with it the photograph at its full size
    });
    this.#dialog.addEventListener("keydown", (event) => {
      if (/** @type {Element} */ (event.target).closest("input, summary, textarea") || event.ctrlKey || event.metaKey || event.altKey)
        return;
      if (event.key === "ArrowLeft") this.#step(-1);
      if (event.key === "ArrowRight") this.#step(1);
    });
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside it, on the backdrop
    });
  }

  open(photo) {
    this.#photo = photo;
    this.#map = byId("maps").checked;
    this.#fill();
    this.#dialog.showModal();
    byId("detail-close").focus();
  }

  /** Shows again what has changed with the photograph, if it is the one that is open. */
  update(photo) {
    if (photo !== this.#photo || photo.state === "asking" || photo.state === "waiting") return;
    const focused = this.#dialog.contains(document.activeElement) ? document.activeElement.id : "";
    this.#fill();
    if (focused) byId(focused)?.focus();
  }

  #step(by) {
    const photos = this.#on.around();
    const next = photos[photos.indexOf(this.#photo) + by];
    if (!next) return;
    const focused = document.activeElement?.id;
    this.#photo = next;
    this.#fill();
    const before = focused && byId(focused);
    (before && !before.disabled ? before : byId("detail-close")).focus();
  }

  #fill() {
    const photo = this.#photo;
    this.#dialog.replaceChildren(
      this.#head(photo),
      el(
        "div",
        { class: "detail-body" },
        this.#stage(photo),
        el(
          "div",
          { class: "detail-facts" },
          photo.state === "failed" ? problemBlock(photo.problem, () => this.#on.again(photo)) : null,
          photo.answer
            ? summary(photo)
            : photo.state === "failed"
              ? null
              : el("p", { text: "Not scored yet." }),
          this.#actions(photo),
        ),
      ),
      photo.answer ? evidence(photo.answer) : "",
    );
  }

  #head(photo) {
    const photos = this.#on.around();
    const at = photos.indexOf(photo);
    const button = (id, label, sign, act, disabled) =>
      el(
        "button",
        { type: "button", id, class: "quiet", "aria-label": label, disabled, on: { click: act } },
        el("span", { "aria-hidden": "true", text: sign }),
      );
    return el(
      "header",
      { class: "detail-head" },
      el("h2", { id: "detail-name", text: photo.name }),
      button("detail-previous", "Previous photograph", "‹", () => this.#step(-1), at <= 0),
      button("detail-next", "Next photograph", "›", () => this.#step(1), at < 0 || at >= photos.length - 1),
      button("detail-close", "Close", "×", () => this.#dialog.close()),
    );
  }

  #stage(photo) {
    const { answer } = photo;
    const frame = el("div", { class: "stage-frame" });
    const canvas = el("canvas", { "aria-hidden": "true", hidden: true });
    if (photo.thumbnail === "") {
      frame.classList.add("unseen");
      frame.append(
        el("p", {
          class: "unseen-text",
          text: `${photo.format} cannot be shown by this browser; it is scored all the same.`,
        }),
        canvas,
      );
    } else {
      frame.append(el("img", { src: photo.address, alt: `The photograph ${photo.name}` }), canvas);
    }
    if (answer) {
      // Its place is kept before it is loaded, so that nothing jumps.
      const { width, height } = answer.image;
      frame.style.setProperty("--natural", `${width}px`);
      frame.style.setProperty("--ratio", `${width} / ${height}`);
      frame.style.setProperty("--shape", String(width / height));
      frame.classList.add("shaped");
    }
    if (!answer?.quality_map) return el("div", { class: "stage" }, frame);
    const read = el("p", { class: "small", id: "map-read" });
    const draw = () => {
      frame.classList.toggle("mapped", this.#map);
      canvas.hidden = !this.#map;
      if (this.#map) drawMap(canvas, answer, undefined, this.#spread);
      controls.spread.disabled = !this.#map;
      scale.hidden = !this.#map;
      const [least, most] = range(answer.quality_map.values);
      read.textContent = this.#map
        ? `Local quality from ${hundred(least)} to ${hundred(most)}. Point at a place to read it.`
        : "";
    };
    frame.addEventListener("pointermove", (event) => {
      if (!this.#map) return;
      const box = frame.getBoundingClientRect();
      const value = valueAt(
        answer,
        (event.clientX - box.left) / box.width,
        (event.clientY - box.top) / box.height,
      );
      read.textContent = `Local quality here: ${hundred(value)} of 100.`;
    });
    const toggle = (id, text, checked, act) => {
      const input = el("input", {
        type: "checkbox",
        role: "switch",
        id,
        checked,
        on: { change: () => act(input.checked) },
      });
      return { label: el("label", { class: "switch" }, input, el("span", { text })), input };
    };
    const map = toggle("detail-map", "Quality map", this.#map, (checked) => {
      this.#map = checked;
      draw();
    });
    const spread = toggle("detail-spread", "Spread the scale", this.#spread, (checked) => {
      this.#spread = checked;
      draw();
    });
    const controls = { spread: spread.input };
    const scale = el(
      "p",
      { class: "scale" },
      el("span", { text: "good" }),
      el("span", { class: "scale-bar" }),
      el("span", { text: "bad" }),
    );
    draw();
    return el(
      "div",
      { class: "stage" },
      frame,
      el("div", { class: "stage-controls" }, map.label, spread.label, scale),
      read,
    );
  }

  #actions(photo) {
    const act = (text, work) => el("button", { type: "button", text, on: { click: work } });
    const compareAs = (side) => () => {
      this.#dialog.close();
      this.#on.compare(photo, side);
    };
    return el(
      "p",
      { class: "actions" },
      act("Compare as original", compareAs("reference")),
      act("Compare as copy", compareAs("distorted")),
      act("Remove", () => {
        this.#dialog.close();
        this.#on.remove(photo);
      }),
    );
  }
}

function summary({ answer, remembered }) {
  const model = answer.models[answer.model];
  const better = betterThan(model);
  return el(
    "div",
    {},
    el(
      "p",
      { class: "headline" },
      el(
        "span",
        { class: "number" },
        el("data", { value: String(answer.score), text: hundred(answer.score) }),
        el("span", { class: "of", text: " of 100" }),
      ),
      " ",
      el("span", { class: "reading", text: reading(model) }),
    ),
    el("p", { class: "sentence", text: sentence(answer) }),
    better
      ? el("p", {
          class: "small",
          text: `Of ordinary photographs, ${better} score lower (${modelName(answer.model)}).`,
        })
      : null,
    answer.verdict
      ? el("div", { class: "verdict" }, outcomeMark(answer.verdict.outcome), reasonsList(answer.verdict))
      : null,
    el("ul", { class: "bars" }, dimensionBars(answer.dimensions)),
    cautions(answer.warnings).map((text) => el("p", { class: "care", text: `Read with care: ${text}` })),
    el("p", { class: "small", text: origin(answer, remembered) }),
  );
}

function ms(value) {
  return Math.round(value);
}

function origin({ image, timing_ms: timing }, remembered) {
  const how = remembered
    ? "The service remembered it."
    : `It took ${ms(timing.total)} ms: ${ms(timing.decode)} to decode, ${ms(timing.queue)} waiting, ` +
      `${ms(timing.inference)} to score.`;
  return `${count(image.width)} × ${count(image.height)} pixels, ${image.format}, ${bytes(image.bytes)}. ${how}`;
}
