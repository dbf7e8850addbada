// A photograph, large: with the places of its faults marked, and the map of its quality over it on request.

import { el } from "../display/dom.js";
import { depth, drawMap, summary, valueAt } from "../display/map.js";
import { legend, opacitySlider } from "../display/tint.js";
import { capital, hundred } from "../display/words.js";

const WIDE = 1.3; // width to height, from which on a picture may fill the width

let mapped = false; // as it was last chosen, for all photographs

/** Has the map shown, or not, on each photograph that is opened from here on. */
export function showMaps(wanted) {
  mapped = wanted;
}

export class Stage {
  root = el("div", { class: "stage" });
  #photo;
  #frame = el("div", { class: "stage-frame" });
  #canvas = el("canvas", { "aria-hidden": "true", hidden: true });
  #marks = el("div", { class: "marks", "aria-hidden": "true" });
  #controls = el("div", { class: "stage-controls" });
  #read = el("span", { class: "small", id: "map-read" });
  #shown = null; // the answer that is on it

  constructor(photo) {
    this.#photo = photo;
    this.#frame.append(this.#picture(), this.#canvas, this.#marks);
    this.#frame.addEventListener("pointermove", (event) => this.#point(event));
    this.root.append(el("div", { class: "stage-ground" }, this.#frame), this.#controls);
    this.update();
  }

  /** Shows what has become of the photograph; the picture itself stays. */
  update() {
    const { answer, thumbnail } = this.#photo;
    if (thumbnail === "") this.#hidePicture();
    if (answer === this.#shown) return;
    this.#shown = answer;
    if (answer) this.#shape(answer.image.width, answer.image.height);
    this.#marks.replaceChildren(...marks(answer?.faults ?? []));
    this.#controls.replaceChildren();
    this.#canvas.hidden = true;
    if (answer?.quality_map) this.#offerMap(answer);
  }

  #picture() {
    const { address, name } = this.#photo;
    const image = el("img", { src: address, alt: `The photograph ${name}` });
    image.addEventListener("load", () => {
      if (!this.#shown) this.#shape(image.naturalWidth, image.naturalHeight);
    });
    return image;
  }

  #hidePicture() {
    this.#frame.classList.add("unseen");
    const text = `${this.#photo.format} cannot be shown by this browser; it is scored all the same.`;
    this.#frame.firstElementChild.replaceWith(el("p", { class: "unseen-text", text }));
  }

  /** Keeps its place, so that nothing jumps. */
  #shape(width, height) {
    this.#frame.style.setProperty("--natural", `${width}px`);
    this.#frame.style.setProperty("--ratio", `${width} / ${height}`);
    this.#frame.style.setProperty("--shape", String(width / height));
    this.#frame.classList.add("shaped");
    this.#frame.classList.toggle("tall", width / height < WIDE);
  }

  #offerMap(answer) {
    const { median, least, from, to, share } = summary(answer.quality_map.values);
    const input = el("input", { type: "checkbox", role: "switch", id: "detail-map", checked: mapped });
    const label = el("label", { class: "switch" }, input, el("span", { text: "Quality map" }));
    const about = el("span", { class: "inline" });
    if (share > 0) about.append(legend(hundred(from), hundred(to)), opacitySlider(this.#canvas));
    const draw = () => {
      mapped = input.checked;
      this.#canvas.hidden = !mapped;
      about.hidden = !mapped || share === 0;
      if (mapped) drawMap(this.#canvas, answer);
      this.#read.textContent = !mapped
        ? ""
        : share > 0
          ? `Tinted: clearly below the median of ${hundred(median)}, down to ${hundred(least)}.`
          : `Nothing lies clearly below the median of ${hundred(median)}; the lowest is ${hundred(least)}.`;
    };
    input.addEventListener("change", draw);
    this.#controls.append(label, about, this.#read);
    draw();
  }

  #point(event) {
    const answer = this.#shown;
    if (this.#canvas.hidden || !answer) return;
    const box = this.#frame.getBoundingClientRect();
    const value = valueAt(
      answer,
      (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height,
    );
    const low = depth(value, summary(answer.quality_map.values).median) > 0;
    this.#read.textContent = `Local quality here: ${hundred(value)} of 100${low ? ", clearly below the median" : ""}.`;
  }
}

/** A frame for each part of the picture with faults, named by them; what is everywhere needs none. */
function marks(faults) {
  const placed = faults.filter(({ region }) => region && region !== "whole");
  return [...new Set(placed.map(({ region }) => region))].map((region) => {
    const messages = placed.filter((fault) => fault.region === region).map(({ message }) => message);
    const name = el("span", { class: "mark-name", text: capital(messages.join("; ")) });
    return el("div", { class: "mark", "data-region": region }, name);
  });
}
